"""``--log-file``: all that a job writes goes into one file, which does not grow without end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reconcile.adapters.logfile import KEPT, LARGE, open_log
from reconcile.adapters.windows import SHARING_VIOLATION
from reconcile.core.errors import UsageError
from tests.kit.windows import on_each_system, refusal, rules  # noqa: F401
from tests.kit.workshop import environment


def written(path: Path, text: str) -> None:
    with open_log(path) as log:
        log.write(text)


def numbered(path: Path) -> list[str]:
    """What the older logs begin with, the newest first."""
    places = (path.with_name(f"{path.name}.{number}") for number in range(1, KEPT + 3))
    return [place.read_text("utf-8")[:2] for place in places if place.exists()]


# -- the file --


def test_a_log_is_appended_to_until_it_is_large_and_only_so_many_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "nightly.log"
    for night in range(KEPT + 4):
        written(path, f"{night:02}")
        written(path, "x" * LARGE)
    assert numbered(path) == [f"{night:02}" for night in range(KEPT + 2, 2, -1)]
    assert path.read_text("utf-8")[:3] == f"{KEPT + 3:02}x"
    assert sorted(os.listdir(tmp_path)) == sorted(["nightly.log", *(f"nightly.log.{n}" for n in range(1, KEPT + 1))])


def test_a_gap_that_a_killed_run_left_among_the_numbers_costs_no_log(tmp_path: Path) -> None:
    path = tmp_path / "nightly.log"
    for name, text in (("nightly.log", "00" + "x" * LARGE), ("nightly.log.1", "01"), ("nightly.log.3", "03")):
        (tmp_path / name).write_text(text, "utf-8")
    written(path, "new")
    assert numbered(path) == ["00", "01", "03"]


def test_a_log_that_a_scanner_has_open_on_windows_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, opened, left = tmp_path / "nightly.log", os.open, [3]

    def refused(name: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        if name == path and left[0]:
            left[0] -= 1
            raise refusal(SHARING_VIOLATION, name)
        return opened(name, flags, mode, **more)

    with rules(monkeypatch):
        monkeypatch.setattr(os, "open", refused)
        written(path, "new")
    assert left == [0]
    assert path.read_text("utf-8") == "new"


def test_a_log_that_an_editor_has_open_on_windows_is_appended_to_and_no_older_one_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "nightly.log"
    path.write_text("x" * LARGE, "utf-8")
    for number in range(1, KEPT + 1):
        path.with_name(f"nightly.log.{number}").write_text(f"{number:02}", "utf-8")
    with rules(monkeypatch), path.open("rb"):
        for _ in range(3):
            written(path, "more")
        assert numbered(path) == [f"{number:02}" for number in range(1, KEPT)]
    assert path.read_text("utf-8").endswith("xmoremoremore")
    written(path, "new")
    assert path.read_text("utf-8") == "new"
    assert len(numbered(path)) == KEPT


@pytest.mark.parametrize("name", ["characters.json", "a.png", "log", ".log", "a.log.1"])
def test_no_other_file_can_be_named_by_a_slip(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("work", "utf-8")
    with pytest.raises(UsageError, match=r"does not end in \.log"):
        open_log(path)
    assert path.read_text("utf-8") == "work"


@pytest.mark.parametrize("kind", ["link", "folder", "missing folder"])
def test_what_is_no_file_of_its_own_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    (tmp_path / "work").write_text("work", "utf-8")
    if kind == "link":
        path.symlink_to(tmp_path / "work")
    elif kind == "folder":
        path.mkdir()
    else:
        path = tmp_path / "no" / "x.log"
    with pytest.raises(UsageError, match="cannot be written"):
        open_log(path)
    assert (tmp_path / "work").read_text("utf-8") == "work"


@pytest.mark.posix("Windows has no pipes among its files")
def test_a_pipe_makes_nothing_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.log")
    with pytest.raises(UsageError, match="cannot be written"):
        open_log(tmp_path / "x.log")


# -- the command --


def test_results_notes_and_errors_go_into_the_log_and_the_streams_come_back(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    for given in (["plan"], ["status", "-C", str(tmp_path / "nowhere")]):
        answer = run(*given, "--log-file", str(path))
        assert (answer.out, answer.err) == ("", "")
    first, second = re.split(r"^---- ", path.read_text("utf-8"), flags=re.MULTILINE)[1:]
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ reconcile plan\n", first)
    assert "to do" in first.lower()
    assert "error: the project folder" in second
    assert "to do" in run("plan").out.lower()


def test_the_option_may_stand_before_the_command(run: Any, tmp_path: Path) -> None:
    answer = run("--log-file", str(tmp_path / "x.log"), "rules", "check")
    assert (answer.code, answer.out) == (0, "")
    assert (tmp_path / "x.log").read_text("utf-8").count("----") == 1


def test_json_lines_stay_json_lines(run: Any, tmp_path: Path) -> None:
    run("plan", "--json", "--log-format", "json", "--log-file", str(tmp_path / "x.log"))
    assert (tmp_path / "x.log").read_text("utf-8").startswith("{")


def test_a_name_in_any_script_is_utf_8_whatever_the_code_page(project: Path, tmp_path: Path) -> None:
    (project / "output" / "characters" / "レム.png").write_bytes(b"x")
    command = [sys.executable, "-m", "reconcile", "-C", str(project), "plan", "--log-file", str(tmp_path / "x.log")]
    done = subprocess.run(command, env={**environment(), "PYTHONIOENCODING": "cp1252"}, check=False)
    assert done.returncode == 0
    assert "レム.png" in (tmp_path / "x.log").read_text("utf-8")


def test_what_a_notifier_prints_is_in_the_log(run: Any, tmp_path: Path) -> None:
    run("apply", "--yes", "--notify", "echo told; echo badly >&2", "--log-file", str(tmp_path / "x.log"))
    assert (tmp_path / "x.log").read_text("utf-8").endswith("told\nbadly\n")


def test_a_run_has_the_variables_that_it_is_given(run: Any, project: Path) -> None:
    (project / "rules" / "asset_map.toml").rename(project / "other.toml")
    command = [sys.executable, "-m", "reconcile", "-C", str(project), "apply", "-n", "--env"]
    done = subprocess.run(
        [*command, f"RECONCILE_RULES={project / 'other.toml'}"], env=environment(), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for wrong in ("RECONCILE_RULES", "=x", ""):
        assert run("apply", "-n", "--env", wrong).code == 64
