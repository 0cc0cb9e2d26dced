"""Fixtures of the whole suite: the servers that the real clients talk to. And how Hypothesis searches: the same
examples on every machine and in every run, without a clock; in `make soak` more of them, and others each time."""

import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import settings

from tests.kit.windows import systems_of

pytest_plugins = ["tests.servers.fixtures_gcs", "tests.servers.fixtures_firestore"]

settings.register_profile("default", deadline=None, max_examples=80, derandomize=True, print_blob=True, database=None)
settings.register_profile("soak", settings.get_profile("default"), max_examples=500, derandomize=False)
settings.load_profile("default")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "on_each_system" in metafunc.fixturenames:
        metafunc.parametrize("on_each_system", systems_of(metafunc), indirect=True)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """What is collected stays to the end: nobody looks through it for garbage, neither meanwhile nor ever again."""
    gc.disable()
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        _compile(session, int(worker.removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    yield
    gc.freeze()
    gc.enable()


def _compile(session: pytest.Session, worker: int, workers: int) -> None:
    """Begins with a part of the modules, in each worker another, as all workers import all: where none is compiled yet,
    each finds compiled what another began with."""
    root = Path(__file__).parents[1]
    named = [Path(session.config.invocation_params.dir, each.partition("::")[0]) for each in session.config.args]
    files = sorted(file for each in named for file in ([each] if each.is_file() else each.rglob("test_*.py")))
    for file in files[worker::workers]:
        with suppress(Exception, pytest.skip.Exception):  # which is told when it is collected
            import_module(".".join(file.relative_to(root).with_suffix("").parts))


def pytest_xdist_auto_num_workers() -> int:
    """Two more than there are processors: many tests wait for what is slow or never answers."""
    return len(os.sched_getaffinity(0) if sys.platform == "linux" else range(os.cpu_count() or 1)) + 2


def pytest_runtest_setup(item: pytest.Item) -> None:
    if os.name == "nt" and (mark := item.get_closest_marker("posix")):
        pytest.skip(mark.args[0])


def _leave_the_terminal() -> None:
    """Commands ask the person at their terminal: a test's must not ask the one who runs the tests."""
    if sys.platform == "win32":
        return
    import fcntl
    import termios

    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which the leader of a session gets for it
    try:
        fcntl.ioctl(terminal, termios.TIOCNOTTY)
    finally:
        os.close(terminal)
        signal.signal(signal.SIGHUP, before)


_leave_the_terminal()
