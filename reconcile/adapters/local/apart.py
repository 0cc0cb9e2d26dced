"""The walk of everything by a second process, so that this one has its own core for the rest.

It is a second Python, started and not forked: threads are at work here by then. It reads, writes nothing, and sends
blocks of rows (``wire``) through a pipe, ahead of whoever asks for them. It begins to look at files only when it is
told to, but is started before, because that takes a while. Whatever becomes of it, the walk goes on in this process.
"""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from reconcile.adapters.local import wire
from reconcile.adapters.local.seen import Row
from reconcile.adapters.room import has_thread
from reconcile.adapters.workers import joined
from reconcile.core.closing import Closing

MOST_HELD = 16 * 2**20
"""Bytes of rows that may wait to be asked for; each takes some 70."""
GO = b"!"
_GLANCE = 0.2
_ENDING = 5.0
_NO_WINDOW: int = getattr(subprocess, "CREATE_NO_WINDOW", 0)
_PYTHONS = ("python", "pypy", "graalpy")
# Nothing of the user's runs in it, and it imports from where this process does. Ctrl-C is for this process alone.
_CODE = (
    "import sys, os, marshal, signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    "size, job = int.from_bytes(os.read(0, 4), 'big'), b''\n"
    "while len(job) < size: job += os.read(0, size - len(job)) or sys.exit()\n"
    "sys.path[:], sys.pycache_prefix, *job = marshal.loads(job)\n"
    "from reconcile.adapters.walker import main; main(*job)"
)


def is_possible() -> bool:
    """Whether there is a second core, and a program to start."""
    if not _is_python():
        return False
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores > 1


def command() -> list[str]:
    """The command line of the second process, which reads its job from stdin."""
    flags = ["-I", "-S"]
    if sys.dont_write_bytecode:
        flags.append("-B")
    if sys.flags.utf8_mode:
        flags += ["-X", "utf8"]
    return [sys.executable, *flags, "-c", _CODE]


class Apart(Closing):
    """A walk in a process of its own, which starts at once and looks at no file before ``begin``. The ``job`` is what
    ``adapters.walker`` takes."""

    def __init__(self, job: Sequence[Any], started_by: Sequence[str] | None = None) -> None:
        self._command = list(started_by or command())
        told = marshal.dumps(([*map(str, sys.path)], sys.pycache_prefix, *job))
        self._job = len(told).to_bytes(4, "big") + told
        self._change = threading.Condition()
        self._blocks: deque[bytes] = deque()
        self.held = 0
        self._closed = self._over = self.came_to_end = False
        self.root: tuple[int, int] | None = None
        self.child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._work, name="walk", daemon=True)
        try:
            if has_thread():
                self._thread.start()
        except RuntimeError:  # the system gives no further thread
            self._over = True
        self._over = self._over or self._thread.ident is None

    def begin(self, root: tuple[int, int]) -> None:
        """Lets it look at files, from now on; ``root`` is which folder the root is."""
        with self._change:
            self.root = root
            self._change.notify_all()

    def rows(self) -> Iterator[Row]:
        """Its rows, in code point order of the path, as far as it came; once."""
        with suppress(ValueError, EOFError, TypeError):  # the pipe has ended, or gave what is not ours
            yield from wire.rows(self._taken())
            self.came_to_end = True

    def close(self) -> None:
        """Ends the process, wherever it is."""
        with self._change:
            self._closed = True
            self._change.notify_all()
            if self.child is not None:
                with suppress(OSError):
                    self.child.kill()
        if self._thread.ident is not None:
            joined(self._thread, _ENDING)

    def _taken(self) -> Iterator[bytes]:
        while True:
            with self._change:
                while not self._blocks and not self._over:
                    self._change.wait(_GLANCE)
                if not self._blocks:
                    return
                body = self._blocks.popleft()
                self.held -= len(body)
                self._change.notify_all()
            yield body

    def _work(self) -> None:
        try:
            self._read()
        except (OSError, ValueError):  # it could not be started, has ended, or sent what is no block
            pass
        finally:
            with self._change:
                self._over = True
                self._change.notify_all()

    def _read(self) -> None:
        child = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            creationflags=_NO_WINDOW,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            with self._change:
                self.child = child
            child.stdin.write(self._job)
            child.stdin.flush()
            if self._is_begun():
                child.stdin.write(GO)
                child.stdin.flush()
                while self._has_room():
                    body = wire.read(child.stdout.read)
                    with self._change:
                        self._blocks.append(body)
                        self.held += len(body)
                        self._change.notify_all()
        finally:
            child.kill()
            for pipe in (child.stdin, child.stdout):
                with suppress(OSError):
                    pipe.close()
            with suppress(subprocess.TimeoutExpired):
                child.wait(_ENDING)

    def _is_begun(self) -> bool:
        with self._change:
            while self.root is None and not self._closed:
                self._change.wait(_GLANCE)
            return not self._closed

    def _has_room(self) -> bool:
        with self._change:
            while self.held > MOST_HELD and not self._closed:
                self._change.wait(_GLANCE)
            return not self._closed


def _is_python() -> bool:
    """Whether this program is an interpreter, and not another one with Python inside."""
    name = os.path.basename(sys.executable or "").lower()
    return name.startswith(_PYTHONS) and not getattr(sys, "frozen", False)
