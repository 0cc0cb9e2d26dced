"""The files around the code keep their word: locks, make targets, the gate, the developer's scripts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tools import check_links, lock, make_venv

ROOT = Path(__file__).resolve().parent.parent.parent
LOCKS = ("run", "build", "dev", "docs")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

needs_make = pytest.mark.skipif(shutil.which("make") is None or os.name == "nt", reason="no POSIX make here")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(name: str) -> dict[str, str]:
    """Each package of a lock file with its version."""
    text = (ROOT / f"requirements/{name}.txt").read_text("utf-8")
    return {normal(package): version for package, version in re.findall(r"^([\w.-]+)==([\w.+!]+)", text, re.MULTILINE)}


def named(requirements: list[str]) -> set[str]:
    return {normal(re.split(r"[\s<>=~!;\[]", text, maxsplit=1)[0]) for text in requirements}


MARKS = {each.partition(":")[0] for each in PROJECT["tool"]["pytest"]["ini_options"]["markers"]}


def folders() -> list[Path]:
    return [path for path in (ROOT / "reconcile").rglob("*") if path.is_dir() and path.name != "__pycache__"]


def found(path: str) -> Path | None:
    """The file or folder of a path that begins at the project or at the package, with or without its ``.py``."""
    tried = (base / f"{path}{end}" for base in (ROOT, ROOT / "reconcile") for end in ("", ".py"))
    return next((each for each in tried if each.exists()), None)


def defines(name: str, code: str) -> bool:
    """Whether the last part of a dotted name is a function, a class, a variable or a field there."""
    last = re.escape(name.rpartition(".")[2])
    return bool(re.search(rf"^\s*(?:(?:async )?def|class) {last}\b|^\s*{last}(?::| =)", code, re.MULTILINE))


# --- locks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_is_pinned_and_hashed_and_no_index_is_named(name: str) -> None:
    text = (ROOT / f"requirements/{name}.txt").read_text("utf-8").replace(" \\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines
    for line in lines:
        assert re.match(r"[\w.-]+==\S+ (; [^#]+ )?( *--hash=sha256:[0-9a-f]{64})+$", line), line
    assert "://" not in text


@pytest.mark.parametrize(
    ("name", "requirements"),
    [
        ("run", PROJECT["project"]["dependencies"]),
        ("build", PROJECT["build-system"]["requires"]),
        ("dev", PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"]),
        ("docs", PROJECT["dependency-groups"]["docs"]),
    ],
)
def test_locks_hold_what_the_project_asks_for(name: str, requirements: list[str]) -> None:
    assert named(requirements) <= pins(name).keys()


@pytest.mark.parametrize("name", ["run", "build"])
def test_the_development_lock_holds_the_others(name: str) -> None:
    assert pins(name).items() <= pins("dev").items()


def test_no_development_tool_is_among_the_runtime_packages() -> None:
    assert not named(PROJECT["dependency-groups"]["dev"]) & pins("run").keys()


def test_without_uv_the_lock_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert lock.main([]) == 1
    assert "install it" in capsys.readouterr().err


# --- make and the gate --------------------------------------------------------------------------------------------


def make(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    command = ["make", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False)


@needs_make
def test_help_is_the_default_and_lists_every_target() -> None:
    listed = re.findall(r"^  make (\S+) +\S", make().stdout, re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert phony is not None
    assert set(listed) == set(phony[1].split()) - {"python", "run-venv", "dev-venv"}
    assert {"demo", "test", "check"} <= set(listed)


@needs_make
def test_a_python_too_old_or_not_there_is_said_in_a_sentence(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2"\nexit 1\n', "ascii")
    old.chmod(0o755)
    done = make("demo", f"PYTHON={old}")
    assert done.returncode != 0
    assert f"Python 3.11 or newer is needed, but {old} is: Python 3.9.2." in done.stderr
    assert "make demo PYTHON=/path/to/python3" in done.stderr
    gone = make("test", "PYTHON=no-such-python")
    assert gone.returncode != 0
    assert "Python 3.11 or newer is needed" in gone.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no executable bit")
def test_the_gate_can_be_run_from_anywhere() -> None:
    gate = ROOT / ".ci/run"
    assert os.access(gate, os.X_OK)
    lines = gate.read_text("utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert subprocess.run(["bash", "-n", str(gate)], check=False, timeout=60).returncode == 0


def test_the_developers_page_names_only_targets_that_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"`make ([a-z-]+)", (ROOT / "CONTRIBUTING.md").read_text("utf-8")):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/design.md"])
def test_the_developers_pages_name_only_files_and_names_that_are_there(page: str) -> None:
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    spans = set(re.findall(r"`([^`\n]+)`", text)) - {".reconcile/"}
    paths = {span for span in spans if re.fullmatch(r"[\w./-]*(?:/|/[\w-]+|\.(?:py|toml|md|json|yml))", span)}
    assert paths
    assert {path for path in paths if not found(path)} == set()
    code = [path.read_text("utf-8") for top in ("reconcile", "tests", "tools") for path in (ROOT / top).rglob("*.py")]
    names = {span.partition("(")[0] for span in spans - paths if re.fullmatch(r"\w+(?:\.\w+)*(?:\(.*\))?", span)}
    modules = {path.stem for path in (ROOT / "reconcile").rglob("*.py")} | {path.name for path in folders()}
    unknown = {name for name in names - modules - MARKS if not any(defines(name, each) for each in code)}
    assert unknown == set()
    for path, name in re.findall(r"`([\w./]+\.py)`: `(\w+)`", text):
        file = found(path)
        assert file is not None
        assert defines(name, file.read_text("utf-8")), (path, name)


# --- the virtual environment --------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder with an environment for the program that looks whole."""
    for name in ("pyproject.toml", "tools/make_venv.py", *(f"requirements/{each}.txt" for each in LOCKS)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    python = make_venv.interpreter(tmp_path / ".venv")
    python.parent.mkdir(parents=True)
    shutil.copy(sys.executable, python)
    make_venv.stamp(tmp_path / ".venv", "run").write_text(make_venv.digest(tmp_path, "run"), "ascii")
    return tmp_path


def test_an_environment_serves_its_kind_and_the_lesser(project: Path) -> None:
    assert make_venv.whole(project, "run")
    assert not make_venv.whole(project, "dev")
    make_venv.stamp(project / ".venv", "run").rename(make_venv.stamp(project / ".venv", "dev"))
    make_venv.stamp(project / ".venv", "dev").write_text(make_venv.digest(project, "dev"), "ascii")
    assert make_venv.whole(project, "run")
    assert make_venv.whole(project, "dev")


@pytest.mark.parametrize(
    "name", ["pyproject.toml", "requirements/run.txt", "requirements/build.txt", "tools/make_venv.py"]
)
def test_a_changed_input_makes_it_stale(project: Path, name: str) -> None:
    path = project / name
    path.write_bytes(path.read_bytes() + b"\n")
    assert not make_venv.whole(project, "run")


def test_a_lost_interpreter_makes_it_stale(project: Path) -> None:
    make_venv.interpreter(project / ".venv").unlink()
    assert not make_venv.whole(project, "run")


def test_a_half_made_or_moved_environment_is_not_whole(project: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(project, moved, ignore=shutil.ignore_patterns("moved"))
    assert not make_venv.whole(moved, "run")
    stamp = make_venv.stamp(project / ".venv", "run")
    stamp.write_text(stamp.read_text("ascii")[:20], "ascii")
    assert not make_venv.whole(project, "run")
    stamp.unlink()
    assert not make_venv.whole(project, "run")


# --- links --------------------------------------------------------------------------------------------------------


def test_dead_links_are_found_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/guide.md").write_text(
        "# One `two` & three\n\n## Twice\n\n## Twice\n\n<a id='here'></a>\n", "utf-8"
    )
    (tmp_path / "docs/a b(1).png").write_bytes(b"x")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden/page.md").write_text("[dead](nowhere)", "utf-8")
    (tmp_path / "README.md").write_text(
        "[good](docs/guide.md#one-two--three) [again](docs/guide.md#twice-1) [id](docs/guide.md#here)\n"
        "![image](<docs/a b(1).png>) ![quoted](docs/a%20b(1).png) [folder](docs) [web](https://example.com/x#y)\n"
        "`[code](nowhere)`\n```\n[fenced](nowhere)\n```\n"
        "[gone](docs/gone.md) and [anchor](docs/guide.md#four)\n"
        '[out](../x) <img src="logo.svg"> [case](docs/Guide.md)\n'
        "[ref]: missing.txt\n# Top\n[self](#top) [none](#bottom)\n",
        "utf-8",
    )
    assert list(check_links.dead_links(tmp_path)) == [
        "README.md:7: docs/gone.md: is not there",
        "README.md:7: docs/guide.md#four: has no heading that gives #four",
        "README.md:8: ../x: leads out of the project",
        "README.md:8: docs/Guide.md: is not there",
        "README.md:8: logo.svg: is not there",
        "README.md:9: missing.txt: is not there",
        "README.md:11: #bottom: has no heading that gives #bottom",
    ]


def test_the_exit_code_tells_of_dead_links(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_links.main([str(tmp_path)]) == 0
    (tmp_path / "page.md").write_text("[dead](nowhere)", "utf-8")
    assert check_links.main([str(tmp_path)]) == 1
    assert capsys.readouterr().err == "page.md:1: nowhere: is not there\n"
