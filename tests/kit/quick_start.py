"""Processes that begin with everything imported: each is forked from one that has the modules, and waits.

Such a process has its own folder, environment, arguments, streams and exit code. How an interpreter starts, and what a
command imports, it does not show: the tests of that start one.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from atexit import register
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NoReturn, Protocol

PACKAGES = (
    *(
        "asyncio",
        "concurrent.futures.thread",
        "csv",
        "http.client",
        "sqlite3",
        "ssl",
        "tomllib",
        "xml.etree.ElementTree",
    ),
    *(
        "crc32c",
        "filelock",
        "google.auth.transport.requests",
        "google.cloud.firestore",
        "grpc",
        "jinja2",
        "msgspec.json",
    ),
    *("rich.columns", "rich.live", "rich.progress", "rich.table", "typer", "watchfiles"),
)
"""What takes long to import, beside this program's own modules."""
HEEDED_AT_THE_START = ("GRPC_", "LANG", "LC_", "PYTHON", "TZ")
"""How the variables begin that count when an interpreter starts, or when a package is imported."""
REQUEST = 1 << 17
"""Bytes that a request may have."""


def run(
    module: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: float
) -> tuple[int, bytes, bytes]:
    """Runs ``python -m MODULE ARGUMENTS`` in a folder, with nothing to read: its exit code, stdout and stderr.

    Raises subprocess.TimeoutExpired after that many seconds, and kills it then.
    """
    return start(module, arguments, folder, environment).finish(timeout)


def start(module: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Begun:
    """Begins the same, and gives it while it runs."""
    if sys.platform != "linux":
        return _Interpreter(module, arguments, folder, environment)
    heeded = ((name, text) for name, text in environment.items() if name.startswith(HEEDED_AT_THE_START))
    waiting = _waiting(os.getpid(), tuple(sorted(heeded)))
    return waiting.start(json.dumps([module, [*arguments], str(folder), {**environment}]))


class Begun(Protocol):
    """A process that runs."""

    def kill(self) -> None:
        """Ends it at once. Its end is still to be waited for."""

    def finish(self, timeout: float) -> tuple[int, bytes, bytes]:
        """Its exit code, stdout and stderr, once it has ended; what ``run`` raises."""


class _Interpreter:
    """One that a new interpreter runs."""

    def __init__(self, module: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=folder,
            env={**environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def kill(self) -> None:
        self._process.kill()

    def finish(self, timeout: float) -> tuple[int, bytes, bytes]:
        try:
            out, err = self._process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise
        return self._process.returncode, out, err


class _Fork:
    """One that was forked: its id comes through the first of its pipes, and how it ended."""

    def __init__(self, pipes: Sequence[int]) -> None:
        self._pipes = pipes
        self._process = b""

    def kill(self) -> None:
        if not self._process:
            while (byte := os.read(self._pipes[0], 1)) != b" ":
                assert byte
                self._process += byte
        with contextlib.suppress(ProcessLookupError):  # it has ended already, as one of ``subprocess`` may have
            os.kill(int(self._process), signal.SIGKILL)

    def finish(self, timeout: float) -> tuple[int, bytes, bytes]:
        told, out, err = _read(self._pipes, time.monotonic() + timeout)
        process, _, status = told.rpartition(b" ")
        if status:
            return os.waitstatus_to_exitcode(int(status)), out, err
        if not (self._process or process):
            raise RuntimeError("the process that waits has ended")
        os.kill(int(self._process or process), signal.SIGKILL)
        raise subprocess.TimeoutExpired("a fork", timeout, out, err)


@cache
def _waiting(owner: int, heeded: tuple[tuple[str, str], ...]) -> _Waiting:
    return _Waiting(dict(heeded))


class _Waiting:
    """The process that has the packages, as those see it that want another."""

    def __init__(self, heeded: Mapping[str, str]) -> None:
        self._one_at_a_time = threading.Lock()
        self._owner = os.getpid()
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                cwd=Path(__file__).parents[2],
                env={"PATH": os.defpath, **heeded},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # as its forks have: what a stream is, Python looks at once
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
            )
        register(self._close)

    def start(self, request: str) -> _Fork:
        """Has it fork another."""
        assert len(request) < REQUEST
        pipes = [os.pipe() for _ in range(3)]
        try:
            with self._one_at_a_time:
                socket.send_fds(self._line, [request.encode("ascii")], [write for _, write in pipes])
        finally:
            for _, write in pipes:
                os.close(write)
        return _Fork([read for read, _ in pipes])

    def _close(self) -> None:
        if os.getpid() == self._owner:
            self._line.close()
            self._process.communicate()


def _read(pipes: Sequence[int], end: float) -> list[bytes]:
    """What comes out of pipes until all are closed, or until this moment of ``time.monotonic``."""
    parts: dict[int, list[bytes]] = {pipe: [] for pipe in pipes}
    with selectors.DefaultSelector() as open_ones, contextlib.ExitStack() as stack:
        for pipe in pipes:
            stack.callback(os.close, pipe)
            open_ones.register(pipe, selectors.EVENT_READ)
        while open_ones.get_map() and (left := end - time.monotonic()) > 0:
            for key, _ in open_ones.select(left):
                parts[key.fd].append(os.read(key.fd, 1 << 16))
                if not parts[key.fd][-1]:
                    open_ones.unregister(key.fd)
    return [b"".join(each) for each in parts.values()]


# --- the process that waits, and its forks ----------------------------------------------------------------------------


def _wait(line: socket.socket) -> list[str]:
    """Forks for each request, until nobody can ask any more. Returns in a fork alone: the module and its arguments."""
    import reconcile

    ours = (each.name for each in pkgutil.walk_packages(reconcile.__path__, "reconcile."))
    for name in (*PACKAGES, *(name for name in ours if not name.endswith("__main__") and ".beam_" not in name)):
        import_module(name)
    assert threading.active_count() == 1
    gc.collect()
    gc.freeze()
    while True:
        request, pipes, _, _ = socket.recv_fds(line, REQUEST, 3)
        with contextlib.suppress(ChildProcessError):  # there is none yet
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not request:
            os._exit(0)
        if os.fork():
            for pipe in pipes:
                os.close(pipe)
            continue
        line.close()
        module, arguments, folder, environment = json.loads(request)
        told, *streams = pipes
        if process := os.fork():
            _report(told, streams, process)
        os.close(told)
        for number, pipe in enumerate(streams, 1):
            os.dup2(pipe, number)
            os.close(pipe)
        os.chdir(folder)
        # Python itself sets this one where no locale is named.
        kept = {"LC_CTYPE": os.environ["LC_CTYPE"]} if "LC_CTYPE" in os.environ else {}
        os.environ.clear()
        os.environ.update({**kept, **environment})
        sys.path[0] = folder
        return [module, *arguments]


def _report(told: int, streams: list[int], process: int) -> NoReturn:
    """Writes which process was begun, and how it ended."""
    for stream in streams:
        os.close(stream)
    os.write(told, b"%d " % process)
    _, status = os.waitpid(process, 0)
    os.write(told, b"%d" % status)
    os._exit(0)


def _end(codes: list[int]) -> None:
    """Ends a fork whose exit code is known, after its threads and whatever it wanted done at its end: to take down all
    modules would copy each page of them."""
    gc.collect()  # a file that nobody closed complains
    if codes:
        with contextlib.suppress(OSError, ValueError):  # Python itself says that a stream could not be written
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(codes[0])


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as _line:
        sys.argv = _wait(_line)
    _codes: list[int] = []
    register(_end, _codes)
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        _codes.append(0)
    except SystemExit as _exit:
        if _exit.code is None or isinstance(_exit.code, int):
            _codes.append((_exit.code or 0) & 0xFF)
        raise
