"""A person at a terminal is asked, whatever is redirected; where there is no terminal nobody is. And processes that
were started without their standard streams, or in a folder that is gone."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconcile.__main__ import main
from tests.kit.bench_project import AtTerminal, command
from tests.kit.small_project import make_project, open_objects

if sys.platform == "win32":
    pytest.skip("terminals here are POSIX", allow_module_level=True)
import fcntl
import pty
import termios

QUESTION = b"[y/N] "
STREAMS = ("stdin", "stdout", "stderr")
SOME = [names for count in range(4) for names in itertools.combinations(STREAMS, count)]
REDIRECTED = {"stdin": "</dev/null", "stdout": ">out.txt", "stderr": "2>err.txt"}
CLOSED = {"stdin": "<&-", "stdout": ">&-", "stderr": "2>&-"}
RECONCILE = f"{sys.executable} -m reconcile"


def at_a_terminal(folder: Path, line: str, answer: bytes) -> tuple[int, bytes]:
    """Runs a shell's line as the foreground of a terminal, answers the first question, and gives the exit code and
    what the terminal showed."""
    ours, theirs = pty.openpty()

    def own_terminal() -> None:
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    child = subprocess.Popen(
        ["/bin/sh", "-c", line],
        cwd=folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=own_terminal,
    )
    os.close(theirs)
    seen, asked = b"", False
    try:
        while chunk := os.read(ours, 65536):
            seen += chunk
            if not asked and QUESTION in seen:  # what tee passes on may come behind it
                asked = True
                os.write(ours, answer)
    except OSError:
        pass  # Linux says so when the other end is closed
    os.close(ours)
    return child.wait(60), seen


def is_uploaded(folder: Path) -> bool:
    objects = open_objects(folder)
    try:
        return objects.get("characters/ai_hoshino.png") is not None
    finally:
        objects.close()


@pytest.mark.parametrize("redirected", SOME, ids="+".join)
def test_a_person_is_asked_whatever_is_redirected(redirected: tuple[str, ...], project: Path) -> None:
    where = " ".join(REDIRECTED[name] for name in redirected)
    code, seen = at_a_terminal(project, f"{RECONCILE} apply {where}", b"n\n")
    assert QUESTION in seen
    assert code == 5
    assert not is_uploaded(project)
    # What the plan comes to is seen with the question, wherever the plan itself went.
    assert b"Plan: 2 to upload" in seen


@pytest.mark.parametrize("closed", SOME[1:], ids="+".join)
def test_a_person_is_asked_whatever_is_closed(closed: tuple[str, ...], project: Path) -> None:
    where = " ".join(CLOSED[name] for name in closed)
    code, seen = at_a_terminal(project, f"{RECONCILE} apply {where}", b"n\n")
    assert QUESTION in seen
    assert code == 5


@pytest.mark.parametrize(
    "line", ["apply 2>&1 | tee log", "apply --json > out.json", "apply --quiet < /dev/null > log 2>&1"]
)
def test_a_yes_at_the_terminal_is_a_yes(line: str, project: Path) -> None:
    code, seen = at_a_terminal(project, f"{RECONCILE} {line}", b"y\n")
    assert QUESTION in seen
    assert code == 0
    assert is_uploaded(project)


def test_restore_and_undo_ask_in_the_same_manner(project: Path) -> None:
    assert main(["-C", str(project), "apply", "--yes"]) == 0
    (project / "output" / "characters" / "rem.png").unlink()
    _, seen = at_a_terminal(project, f"{RECONCILE} restore 2>&1 | cat", b"n\n")
    assert b"Restore these files?" in seen
    assert not (project / "output" / "characters" / "rem.png").exists()
    code, seen = at_a_terminal(project, f"{RECONCILE} undo last > log 2>&1", b"n\n")
    assert b"Put back the record fields that run" in seen
    assert code == 5


def test_yes_asks_nobody(project: Path) -> None:
    code, seen = at_a_terminal(project, f"{RECONCILE} apply --yes", b"n\n")
    assert QUESTION not in seen
    assert code == 0


def test_a_job_in_the_background_is_not_stopped_by_a_question_and_does_not_go_ahead(project: Path) -> None:
    line = f"set -m; {RECONCILE} apply < /dev/null > log 2>&1 & wait $!"
    code, seen = at_a_terminal(project, line, b"y\n")
    assert code == 64
    assert QUESTION not in seen
    assert "--yes" in (project / "log").read_text(encoding="utf-8")
    assert not is_uploaded(project)


@pytest.mark.parametrize("closed", SOME, ids="+".join)
def test_where_there_is_no_terminal_it_goes_ahead_whatever_is_closed(closed: tuple[str, ...], project: Path) -> None:
    where = " ".join(CLOSED[name] for name in closed)
    done = subprocess.run(
        f"{RECONCILE} -C {project} apply {where}",
        shell=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        start_new_session=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"bug" not in done.stdout + done.stderr
    assert QUESTION not in done.stdout + done.stderr
    assert is_uploaded(project)


def test_a_workflow_of_a_process_without_stdin_reads_nothing_and_not_our_files(project: Path) -> None:
    line = f"{RECONCILE} -C {project} run --char-id ai_hoshino -- /bin/sh -c 'cat; echo done' <&-"
    done = subprocess.run(line, shell=True, capture_output=True, start_new_session=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"done\n"


# -- a current folder that is gone --


@pytest.fixture
def gone(tmp_path: Path) -> Iterator[Path]:
    """The current folder, which was removed."""
    before = Path.cwd()
    folder = tmp_path / "gone"
    folder.mkdir()
    os.chdir(folder)
    folder.rmdir()
    yield folder
    os.chdir(before)


WITHOUT_A_FOLDER: list[list[str]] = [
    ["plan"],
    ["status"],
    ["apply", "--yes"],
    ["apply", "--dry-run"],
    ["verify"],
    ["restore", "--dry-run"],
    ["history"],
    ["explain", "ai_hoshino"],
    ["doctor"],
    ["rules", "check"],
    ["rules", "test", "characters/rem.png"],
    ["schedule", "cron"],
    ["run", "--", "true"],
]


@pytest.mark.parametrize("command", WITHOUT_A_FOLDER, ids=" ".join)
@pytest.mark.usefixtures("gone")
def test_with_c_no_command_needs_a_current_folder(command: list[str], tmp_path: Path, capfd: Any) -> None:
    project = make_project(tmp_path / "elsewhere")
    code = main(["-C", str(project), *command])
    told = capfd.readouterr()
    assert code in (0, 1, 2), told.err
    assert "bug" not in told.err
    assert "current folder" not in told.err


@pytest.mark.parametrize("command", [*WITHOUT_A_FOLDER, ["init"], ["watch", "--check"], ["undo", "last"]], ids=" ".join)
@pytest.mark.usefixtures("gone")
def test_without_c_a_current_folder_that_is_gone_is_a_sentence(command: list[str], capfd: Any) -> None:
    assert main(command) == 64
    told = capfd.readouterr()
    assert "error: the current folder cannot be used: No such file or directory" in told.err
    assert "-C" in told.err


@pytest.mark.parametrize(
    "command", [["plan", "--rules", "r.toml"], ["schedule", "cron", "--log", "x/log"]], ids=" ".join
)
@pytest.mark.usefixtures("gone")
def test_a_relative_name_in_a_folder_that_is_gone_is_a_sentence(command: list[str], tmp_path: Path, capfd: Any) -> None:
    project = make_project(tmp_path / "elsewhere")
    assert main(["-C", str(project), *command]) == 64
    assert "the current folder cannot be used" in capfd.readouterr().err


@pytest.mark.usefixtures("gone")
def test_init_and_demo_need_no_current_folder_where_they_are_given_one(tmp_path: Path, capfd: Any) -> None:
    (tmp_path / "new").mkdir()
    assert main(["-C", str(tmp_path / "new"), "init"]) == 0
    assert main(["demo", str(tmp_path / "demo")]) == 0
    assert "bug" not in capfd.readouterr().err


@pytest.mark.parametrize(("answers", "code"), [((b"maybe\n", b"y\n"), 0), ((b"maybe\n", b"what\n", b"no\n"), 5)])
def test_an_answer_that_is_neither_yes_nor_no_is_asked_again(
    answers: tuple[bytes, ...], code: int, project: Path
) -> None:
    terminal = AtTerminal(command("apply", "-q"), project)
    terminal.until(b"[y/N] ")
    for number, answer in enumerate(answers):
        terminal.type(answer)
        if number + 1 < len(answers):
            terminal.until(b"y for yes, or n for no: " if not number else b"what\r\nPlease answer")
    assert terminal.wait() == code
    assert is_uploaded(project) is (code == 0)


def test_an_interrupt_at_the_question_says_that_nothing_was_changed(project: Path) -> None:
    terminal = AtTerminal(command("apply", "-q"), project)
    terminal.until(b"[y/N] ")
    terminal.press_ctrl_c()
    assert terminal.wait() == 130
    assert "error: interrupted at the question; nothing was changed\r\n" in terminal.text
    assert "goes on" not in terminal.text


def test_the_question_names_the_bucket_and_the_counts_and_breaks_between_words(project: Path) -> None:
    terminal = AtTerminal(command("apply", "-q"), project)
    terminal.until(b"[y/N] ")
    asked = " ".join(terminal.text.rpartition("Apply to")[2].split())
    assert asked.startswith(f"gs://my-bucket/anime_dance at file:{project}/stores: ")
    assert asked.endswith(": 2 uploads (49.2 kB), 2 fields? [y/N]")
    terminal.type(b"n\n")
    assert terminal.wait() == 5
