"""Fixtures of the whole suite: the servers that the real clients talk to. And how Hypothesis searches: the same
examples on every machine and in every run, without a clock; in `make soak` more of them, and others each time."""

import os
import signal
import sys

import pytest
from hypothesis import settings

from tests.kit.windows import systems_of

pytest_plugins = ["tests.servers.fixtures_gcs", "tests.servers.fixtures_firestore"]

settings.register_profile("default", deadline=None, max_examples=100, derandomize=True, print_blob=True, database=None)
settings.register_profile("soak", settings.get_profile("default"), max_examples=500, derandomize=False)
settings.load_profile("default")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "on_each_system" in metafunc.fixturenames:
        metafunc.parametrize("on_each_system", systems_of(metafunc), indirect=True)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: some tests wait for what is slow or never answers."""
    return len(os.sched_getaffinity(0) if sys.platform == "linux" else range(os.cpu_count() or 1)) + 1


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
