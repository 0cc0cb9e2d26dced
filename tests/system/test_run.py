"""``reconcile run``: the workflow's terminal, signals and exit code pass through; then its files are in step."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from reconcile import Project
from reconcile.adapters.system import current
from tests.kit import quick_start
from tests.kit.small_project import make_project, open_objects, open_records
from tests.kit.windows import on_each_system  # noqa: F401
from tests.kit.workshop import environment
from tools import schemas

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals are POSIX's")
pytestmark = posix_only
posix = pytest.mark.posix("Windows has no such signals and terminals")

URI = "gs://my-bucket/anime_dance/characters/ai_hoshino_cosplay.png"
MAKE = "printf made > output/characters/ai_hoshino_cosplay.png"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project", settle=0.2)


def module() -> str:
    """The program by the rules that this test runs by."""
    return "tests.kit.as_windows" if current().is_windows else "reconcile"


def program() -> list[str]:
    """The same for a new interpreter."""
    return [sys.executable, "-m", module()]


def given() -> dict[str, str]:
    """Its environment."""
    return environment({"PYTHONPATH": str(Path(__file__).resolve().parents[2])} if current().is_windows else None)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.CompletedProcess(arguments, *quick_start.run(module(), ["run", *arguments], folder, given(), 60))


def keys(folder: Path) -> set[str]:
    store = open_objects(folder)
    try:
        return {found.key for found in store.list()}
    finally:
        store.close()


def cosplay(folder: Path) -> Any:
    store = open_records(folder)
    try:
        return (store.fields("ai_hoshino") or {})["assets"][0].get("cosplay_image")
    finally:
        store.close()


# -- what it does --


def test_what_the_workflow_made_is_in_step_when_it_ends(folder: Path) -> None:
    done = run(folder, "--char-id", "ai_hoshino", "--", "sh", "-c", f"{MAKE}; echo out; echo err >&2")

    assert (done.returncode, done.stdout) == (0, b"out\n")
    assert done.stderr.startswith(b"err\n")
    assert b"Done: " in done.stderr
    assert cosplay(folder) == URI


def test_without_a_scope_everything_is_applied(folder: Path) -> None:
    assert run(folder, "--quiet", "--", "true").returncode == 0
    assert "characters/ai_hoshino.png" in keys(folder)


def test_a_workflow_that_made_nothing_for_a_new_character_has_done_nothing_wrong(folder: Path) -> None:
    for options in ((), ("--quiet",)):
        done = run(folder, *options, "--char-id", "brand_new", "--", "true")
        assert done.returncode == 0
        assert b"warning: nothing was applied: the workflow made nothing for it" in done.stderr
        assert b"'brand_new'" in done.stderr
        assert b"error" not in done.stderr


@pytest.mark.parametrize("code", [1, 2, 3, 64, 75, 77, 130, 255])
def test_a_workflow_that_fails_is_not_applied_and_keeps_its_code(folder: Path, code: int) -> None:
    before = keys(folder)
    done = run(folder, "--char-id", "ai_hoshino", "--", "sh", "-c", f"{MAKE}; exit {code}")

    assert (done.returncode, done.stdout) == (code, b"")
    assert done.stderr == f"the workflow ended with {code}, so nothing was applied\n".encode()
    assert keys(folder) == before


def test_otherwise_the_code_is_applys(folder: Path) -> None:
    away = "mv stores away; echo x > stores"
    assert run(folder, "--char-id", "ai_hoshino", "--", "sh", "-c", away).returncode == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSEGV])
def test_a_workflow_that_a_signal_ended_gives_128_and_its_number(folder: Path, number: signal.Signals) -> None:
    done = run(folder, "--", "sh", "-c", f"ulimit -c 0; kill -{number.value} $$")
    assert done.returncode == 128 + number


@pytest.mark.parametrize(("program", "code"), [("no-such-program", 127), ("/etc/passwd", 126), ("/tmp", 126)])
def test_what_cannot_be_run_is_told_as_a_shell_does(folder: Path, program: str, code: int) -> None:
    done = run(folder, "--json", "--", program)
    assert done.returncode == code
    assert json.loads(done.stdout)["code"] == "not_run"
    assert program.encode() in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["--asset-type", "none"], ["--wait-lock", "soon"], ["--no-such-option"]])
def test_what_is_wrong_is_said_before_the_workflow_runs(folder: Path, arguments: Sequence[str]) -> None:
    done = run(folder, *arguments, "--", "sh", "-c", "echo ran")
    assert (done.returncode, done.stdout) == (64, b"")


def test_wrong_rules_are_said_before_the_workflow_runs(folder: Path) -> None:
    (folder / "rules" / "asset_map.toml").write_text("nonsense")
    done = run(folder, "--", "sh", "-c", "echo ran")
    assert (done.returncode, done.stdout) == (78, b"")


def test_options_behind_the_workflows_name_are_its_own(folder: Path) -> None:
    for separator in (["--"], []):
        done = run(folder, "--quiet", *separator, "echo", "--json", "-C", "/nowhere", "--", "--help")
        assert (done.returncode, done.stdout) == (0, b"--json -C /nowhere -- --help\n")


# -- json --


def documents(done: subprocess.CompletedProcess[bytes]) -> tuple[bytes, Any]:
    """What the workflow wrote, and the document in the last line."""
    before, _, last = done.stdout.rstrip(b"\n").rpartition(b"\n")
    document = json.loads(last)
    jsonschema.validate(document, schemas.schema("run"), cls=jsonschema.Draft202012Validator)
    return before, document


def test_the_document_is_the_last_line_whatever_the_workflow_wrote(folder: Path) -> None:
    done = run(folder, "--json", "--char-id", "ai_hoshino", "--", "sh", "-c", f"{MAKE}; printf 'no end of line'")
    before, document = documents(done)

    assert before == b"no end of line"
    assert (document["exit_code"], document["result"]["status"], document["error"]) == (0, "success", None)


def test_the_document_of_a_workflow_that_failed_has_no_result(folder: Path) -> None:
    _, document = documents(run(folder, "--json", "--", "sh", "-c", "exit 9"))
    assert (document["exit_code"], document["result"], document["error"]) == (9, None, None)


def test_the_document_of_an_apply_that_could_not_be_has_the_error(folder: Path) -> None:
    with Project.open(folder).opened() as project, project.lock().acquire():
        done = run(folder, "--json", "--wait-lock", "0s", "--char-id", "ai_hoshino", "--", "true")
    _, document = documents(done)
    assert (done.returncode, document["exit_code"], document["error"]["code"]) == (75, 0, "locked")


def test_the_documented_command(folder: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "hooks.md").read_text(encoding="utf-8")
    (command,) = [line for line in text.splitlines() if line.startswith("$ reconcile run ")]
    write = "import pathlib, sys; pathlib.Path(f'output/characters/{sys.argv[1]}_cosplay.png').write_text('made')"
    (folder / "character_gen.py").write_text(write)
    arguments = shlex.split(command.removeprefix("$ reconcile run ").replace(" python ", f" {sys.executable} "))
    assert run(folder, *arguments).returncode == 0
    assert cosplay(folder) == URI


# -- another run --


def test_another_run_is_waited_for(folder: Path) -> None:
    with Project.open(folder).opened() as project, project.lock().acquire() as lock:
        command = [*program(), "run", "--char-id", "ai_hoshino", "--", "sh", "-c", MAKE]
        child = subprocess.Popen(command, cwd=folder, env=given(), stderr=subprocess.PIPE)
        assert child.stderr is not None
        assert b"waiting up to 10m" in child.stderr.readline()
        assert cosplay(folder) is None
        lock.close()
        child.communicate(timeout=60)
    assert child.returncode == 0
    assert cosplay(folder) == URI


def test_the_lock_is_not_held_while_the_workflow_runs(folder: Path) -> None:
    inner = [*program(), "apply", "--yes", "--quiet", "--char-id", "ai_hoshino"]
    done = run(folder, "--quiet", "--char-id", "ai_hoshino", "--", *inner)
    assert done.returncode == 0, done.stderr
    assert "characters/ai_hoshino.png" in keys(folder)


# -- what passes through --


GIVEN = """
import os, sys
print(sys.stdin.read(), os.read(int(sys.argv[1]), 99), sorted(os.environ), len(os.listdir("/dev/fd")), os.getcwd())
"""


@pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="this system does not list a process's open files")
def test_input_environment_and_open_files_are_just_what_we_were_given(folder: Path) -> None:
    read, write = os.pipe()
    probe = [sys.executable, "-c", GIVEN, str(read)]
    answers = []
    for command in (probe, [*program(), "run", "--quiet", "--", *probe]):
        os.write(write, b"from a pipe of ours")
        done = subprocess.run(
            command,
            cwd=folder,
            env=given(),
            capture_output=True,
            check=True,
            input=b"from stdin",
            pass_fds=(read,),
        )
        answers.append(done.stdout)
    os.close(read)
    os.close(write)

    assert b"from stdin" in answers[0]
    assert answers[1] == answers[0]


class Terminal:
    """The program on a terminal of its own, as a person has it."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        import pty

        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            command = [sys.executable, "-m", "reconcile", "run", "--quiet", *arguments]
            os.execve(sys.executable, command, environment())
        self.text = b""

    def wait_for(self, text: bytes) -> None:
        deadline = time.monotonic() + 30
        while text not in self.text:
            assert select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0], self.text
            self.text += self._read()

    def _read(self) -> bytes:
        data = b""
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            data = os.read(self.fd, 65536)
        assert data, self.text
        return data

    def type(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def end(self) -> int:
        with contextlib.suppress(AssertionError):
            while True:
                self.text += self._read()
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


PROBE = """
import os, sys
terminal = all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
front = os.tcgetpgrp(0) == os.getpgrp()
print("ready", terminal, front, os.get_terminal_size().columns > -1, flush=True)
print("typed", input(), flush=True)
"""

LISTENS = """
import os, signal, sys
got = []
def on(number, frame):
    got.append(number)
    os.write(1, f"got {signal.Signals(number).name} {len(got)}\\n".encode())
    if len(got) >= int(sys.argv[1]):
        sys.exit(int(sys.argv[2]))
for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGQUIT"):
    signal.signal(getattr(signal, name), on)
# signal.pause() would sleep through a signal that came just before it.
heard, telling = os.pipe()
os.set_blocking(telling, False)
signal.set_wakeup_fd(telling)
os.write(1, b"ready\\n")
while True:
    os.read(heard, 1)
"""


@posix
def test_the_workflow_has_the_terminal(folder: Path) -> None:
    terminal = Terminal(folder, "--char-id", "ai_hoshino", "--", sys.executable, "-c", PROBE)
    terminal.wait_for(b"ready True True True")
    terminal.type(b"hello\n")
    terminal.wait_for(b"typed hello")
    assert terminal.end() == 0
    assert "characters/ai_hoshino.png" in keys(folder)


@posix
def test_the_keyboards_interrupt_goes_to_the_workflow_once_and_we_wait_for_it(folder: Path) -> None:
    terminal = Terminal(folder, "--char-id", "ai_hoshino", "--", sys.executable, "-c", LISTENS, "2", "5")
    terminal.wait_for(b"ready")
    terminal.type(b"\x03")
    terminal.wait_for(b"got SIGINT 1")
    terminal.type(b"\x1c")
    terminal.wait_for(b"got SIGQUIT 2")
    assert terminal.end() == 5
    assert b" 3" not in terminal.text
    assert "characters/ai_hoshino.png" not in keys(folder)


@posix
def test_a_workflow_that_an_interrupt_ended_gives_130_without_a_word_of_ours(folder: Path) -> None:
    terminal = Terminal(folder, "--", sys.executable, "-c", "print('ready', flush=True); import time; time.sleep(60)")
    terminal.wait_for(b"ready")
    terminal.type(b"\x03")
    assert terminal.end() in (1, 130)
    assert b"bug" not in terminal.text


@posix
def test_a_workflow_that_takes_an_interrupt_and_succeeds_is_applied(folder: Path) -> None:
    terminal = Terminal(folder, "--char-id", "ai_hoshino", "--", sys.executable, "-c", LISTENS, "1", "0")
    terminal.wait_for(b"ready")
    terminal.type(b"\x03")
    assert terminal.end() == 0
    assert "characters/ai_hoshino.png" in keys(folder)


def started(folder: Path, *workflow: str) -> subprocess.Popen[bytes]:
    command = [*program(), "run", "--char-id", "ai_hoshino", "--", *workflow]
    child = subprocess.Popen(
        command,
        cwd=folder,
        env=given(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    return child


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_that_only_we_get_is_passed_on(folder: Path, number: signal.Signals) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip(
            f"the tests were started with {number.name} ignored, as nohup does, and so is everything below them"
        )
    child = started(folder, sys.executable, "-c", LISTENS, "1", "7")
    child.send_signal(number)
    out, _ = child.communicate(timeout=60)
    assert (child.returncode, out) == (7, f"got {number.name} 1\n".encode())


def test_after_a_request_to_end_nothing_is_applied_even_where_the_workflow_ended_well(folder: Path) -> None:
    child = started(folder, sys.executable, "-c", LISTENS, "1", "0")
    child.send_signal(signal.SIGTERM)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert b"the workflow was asked to end (SIGTERM); nothing was applied" in err
    assert "characters/ai_hoshino.png" not in keys(folder)


def test_an_interrupt_while_files_settle_leaves_them_for_the_next_run(folder: Path) -> None:
    rules = folder / "rules" / "asset_map.toml"
    rules.write_text(rules.read_text().replace("settle = 0.2", "settle = 3600"))
    child = started(folder, "echo", "ready")
    assert child.stderr is not None
    for line in child.stderr:
        if b"files are new: looking again in 1h, to see whether they are still being written" in line:
            break
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert b"interrupted" in err
