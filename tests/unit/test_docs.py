"""What the documents say is so: the commands they show run, and their tables are those of the program."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from reconcile.core.changes import Code
from reconcile.core.errors import ExitCode
from reconcile.core.findings import SEVERITIES
from reconcile.demo import build
from tests.system.workshop import reconcile

ROOT = Path(__file__).resolve().parents[2]


def shown(document: str) -> list[str]:
    """The reconcile commands in a document's console blocks."""
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [line.partition("  #")[0].strip() for line in lines if line.startswith("reconcile ")]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "studio"
    build(folder)
    return folder


@pytest.mark.parametrize("command", [*shown("README.md"), *shown("CONTRIBUTING.md")])
def test_a_command_that_is_shown_runs(command: str, studio: Path) -> None:
    done = reconcile(studio, *shlex.split(command)[1:])
    right = {ExitCode.OK, ExitCode.DIFFERENCES} if "--detailed-exitcode" in command else {ExitCode.OK}
    if command == "reconcile init":
        right = {ExitCode.USAGE}  # the studio has rules already, and they are never overwritten
    assert done.code in right, done.err


def test_the_readme_shows_commands() -> None:
    assert len(shown("README.md")) >= 6


def test_the_readme_has_every_exit_code() -> None:
    rows = re.findall(r"^\| (\d+) \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(map(int, rows)) == sorted(int(code) for code in ExitCode)


def test_every_finding_is_explained_with_its_severity() -> None:
    text = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", text, re.MULTILINE))
    assert rows == {code.value: SEVERITIES[code].value for code in Code}


def test_every_key_of_the_rules_is_explained() -> None:
    text = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    template = (ROOT / "rules" / "asset_map.toml").read_text(encoding="utf-8")
    keys = set(re.findall(r"^(?:# )?(\w+) =", template, re.MULTILINE))
    missing = [key for key in keys if not re.search(rf"`(\w+\.)?{key}`", text)]
    assert missing == []
