"""Commands that tests start as forks of one process are like those that a new interpreter runs."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.kit import quick_start
from tests.kit.small_project import make_project
from tests.kit.workshop import environment, reconcile

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each command is a new interpreter's")
PROGRAM = """
import os, signal, sys, threading
threading.Thread(target=sys.stdout.write, args=("a thread\\n",)).start()
print(os.getcwd(), sorted(os.environ.items()), sys.argv[1:], sys.warnoptions, sys.stdin.read())
print(sys.stdout.encoding, sys.stdout.errors, sys.stderr.errors, sys.path, len(os.listdir("/proc/self/fd")))
print("to the other stream", file=sys.stderr)
print(__name__, sys.modules["__main__"].__spec__.name, os.path.basename(sys.argv[0]), signal.getsignal(signal.SIGCHLD))
{end}
"""


def _new(module: str, arguments: tuple[str, ...], folder: Path) -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("raise ValueError('wrong')", 1),
        ("import warnings; warnings.warn('an error here')", 1),
        ("sys.stdout.flush(); sys.stderr.flush(); os.kill(os.getpid(), signal.SIGKILL)", -9),
        ("import atexit; atexit.register(print, 'at the end')", 0),
    ],
)
def test_a_program_sees_and_leaves_the_same(tmp_path: Path, end: str, code: int) -> None:
    (tmp_path / "program.py").write_text(PROGRAM.format(end=end))
    arguments = ("one", "--two=レム")
    forked = quick_start.run("program", arguments, tmp_path, environment(), 60)
    fresh = _new("program", arguments, tmp_path)
    assert forked[0] == fresh[0] == code
    assert forked[1].splitlines() == fresh[1].splitlines()
    assert forked[2].splitlines()[-1:] == fresh[2].splitlines()[-1:]
    assert forked[2].splitlines()[:1] == fresh[2].splitlines()[:1]


@pytest.mark.parametrize(
    "arguments",
    [(), ("--version",), ("--help",), ("init",), ("plan", "--json"), ("no", "such", "command")],
    ids=" ".join,
)
def test_a_command_is_answered_the_same(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    forked, fresh = tmp_path / "forked" / "project", tmp_path / "new" / "project"
    for folder in (forked, fresh):
        folder.mkdir(parents=True)
    run = reconcile(forked, *arguments)
    code, out, err = _new("reconcile", arguments, fresh)
    assert (run.code, run.out.replace(str(forked), "")) == (code, out.decode().replace(str(fresh), ""))
    assert run.err.replace(str(forked), "") == err.decode().replace(str(fresh), "")


@pytest.mark.parametrize(
    "arguments",
    ["list", "status", "explain characters/rem.png", "history", "doctor", "rules", "url --char-id rem"],
)
def test_a_command_imports_itself_what_it_needs(tmp_path: Path, arguments: str) -> None:
    """Those that no other test has a new interpreter run: a fork finds the modules of all."""
    folder = make_project(tmp_path / "project")
    code, out, err = _new("reconcile", tuple(arguments.split()), folder)
    run = reconcile(folder, *arguments.split())
    assert (code, out.decode()) == (run.code, run.out), err
    assert b"bug" not in err


def test_one_that_is_killed_is_told_from_one_that_ends(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(60)\n")
    begun = quick_start.start("program", (), tmp_path, environment())
    begun.kill()
    assert begun.finish(60)[0] == -9


def test_one_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import os, time\nopen('it', 'w').write(str(os.getpid()))\nprint('begun', flush=True)\ntime.sleep(60)\n"
    )
    with pytest.raises(subprocess.TimeoutExpired):
        quick_start.run("program", (), tmp_path, environment(), 2)
    process = int((tmp_path / "it").read_text())
    with suppress(ProcessLookupError):
        while True:
            os.kill(process, 0)
