"""Names with control characters, markup and overrides of direction, through everything that people look at."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from reconcile.commands.demo_media import png
from tests.kit.small_project import make_project, open_records, write
from tests.kit.workshop import environment
from tests.security.attack import run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="such names cannot be there")

NAMES = [
    "\x1b]0;owned\x07\x1b[2J",
    "\x9b31mred",
    "line\nbreak\r",
    "gpj.\u202eexe",
    "zero\u200bwidth\u2066",
    "\u2028separator",
    "<script>alert(1)</script>",
    "`|@everyone](http:evil)",
    "del\x7f",
]
# What a terminal obeys, or an eye misreads; a line's own end is the program's.
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files and records of such names, in folders that the rules take and elsewhere."""
    folder = make_project(tmp_path_factory.mktemp("names") / "studio")
    store = open_records(folder)
    for at, name in enumerate(NAMES):
        file_name = name.replace("/", ":")
        write(folder, f"characters/{file_name}.png", f"image {at}".encode())
        write(folder, f"notes/{file_name}", b"note")
        path = f"/elsewhere/{name}/x.png"
        store.put(f"id{at}", {"assets": [{"title": name, "anime_image": path, "icon": f"gs://other/{name}"}]})
    store.close()
    return folder


COMMANDS = [
    ["plan", "--verbose"],
    ["status", "--by", "character"],
    ["explain", "id0"],
    ["rules", "test", "output/characters/\x1b[31m.png"],
    ["explain", "characters/\x1b[31m\u202e.png"],
    ["plan", "--char-id", "\x1b[31mnobody\u202e"],
    ["\x1b[31m\u202e"],
    ["plan", "--out", "\x1b[31m/\u202e.json"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0][:7])
@pytest.mark.parametrize("options", [[], ["--json"], ["--log-format", "json"], ["--color", "always", "--quiet"]])
def test_no_name_reaches_a_terminal_or_a_log_as_control(project: Path, command: list[str], options: list[str]) -> None:
    done = run(project, *command, *options)
    said = re.sub("\x1b\\[[0-9;]*m", "", done.out + done.err) if "always" in options else done.out + done.err
    assert OBEYED.findall(said) == []
    assert said


def test_names_come_back_whole_from_json(project: Path) -> None:
    found = {action["key"] for action in run(project, "plan", "--json").document["actions"]}
    takeable = [name for name in NAMES if "\n" not in name]
    assert {f"characters/{name.replace('/', ':')}.png" for name in takeable} <= found


def test_an_apply_says_no_name_as_control(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "studio")
    for name in NAMES:
        write(folder, f"characters/{name.replace('/', ':')}.png", b"x")
    for options in ([], ["--json", "--log-format", "json"]):
        done = run(folder, "apply", "--yes", "--verbose", *options)
        assert OBEYED.findall(done.out + done.err) == []


def test_a_run_says_no_name_as_control(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "studio")
    for name in NAMES:
        write(folder, f"characters/{name.replace('/', ':')}.png", b"x")
    done = run(folder, "run", "--json", "--", sys.executable, "-c", "")
    assert OBEYED.findall(done.out + done.err) == []
    [document] = [json.loads(line) for line in done.out.splitlines() if line]
    assert any("\u202e" in outcome["key"] for outcome in document["result"]["outcomes"])


@pytest.mark.parametrize("options", [["--verbose"], ["--json"]])
def test_a_watcher_says_no_name_as_control(tmp_path: Path, options: list[str]) -> None:
    folder = make_project(tmp_path / "studio")
    half = png(1)[:-1]
    for name in NAMES:
        write(folder, f"characters/{name.replace('/', ':')}.png", half)
    command = [sys.executable, "-m", "reconcile", "watch", "--every", "1s", *options]
    said = b""
    with subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as watching:
        assert watching.stdout is not None
        try:
            # All that is held back has been told before the watcher rests.
            for line in watching.stdout:
                said += line
                if said.count(b"not complete") >= len(NAMES) - 2 and b"idle" in line:
                    break
        finally:
            watching.kill()
    assert OBEYED.findall(said.decode()) == []
    assert b"202e" in said
    if "--json" in options:
        paths = {path for line in said.splitlines() for path in json.loads(line).get("paths", ())}
        assert any("\u202e" in path for path in paths)


@pytest.mark.parametrize("suffix", ["html", "md"])
def test_a_page_holds_no_name_as_control(project: Path, suffix: str) -> None:
    assert run(project, "report", "--out", f"page.{suffix}", "--quiet").code == 0
    text = (project / f"page.{suffix}").read_text(encoding="utf-8")
    assert OBEYED.findall(text) == []
    assert "owned" in text
    # The page has two elements of its own: its data, and what draws it.
    assert re.sub("`[^`\n]*`", "", text).count("<script") == (2 if suffix == "html" else 0)


def test_a_name_that_is_no_unicode_is_told_in_every_manner(tmp_path: Path) -> None:
    if sys.platform == "darwin":
        pytest.skip("the file system takes no such names")
    folder = make_project(tmp_path / "studio")
    write(folder, "characters/a\udcff.png", b"x")
    for options in ([], ["--json"], ["--log-format", "json"]):
        assert run(folder, "plan", *options).code == 0
    for options in ([], ["--json"], ["--log-format", "json"]):
        assert run(folder, "plan", "--out", "b\udcff.json", *options).code == 0
    done = run(folder, "explain", "c\udcff", "--json")
    assert json.loads(done.out)["format"] == "reconcile.error/1"
