"""Runs a full walk in a second process, so that this process has a core of its own for the rest.

The process is a second Python, started rather than forked, because threads are running by then. It reads, writes
nothing, and sends blocks of rows (``wire``) through a pipe ahead of their consumer. If it fails, the walk continues in
this process.
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

from reconcile.adapters.children import NO_WINDOW, is_python
from reconcile.adapters.local import wire
from reconcile.adapters.local.seen import Row
from reconcile.adapters.room import started
from reconcile.adapters.system import current
from reconcile.adapters.workers import joined
from reconcile.core.closing import Closing

MOST_HELD = 16 * 2**20
"""Bytes of rows that may wait to be consumed; a row takes about 70."""
_PIPE = 2**20
"""Bytes that the pipe holds, if the system allows it: in a small one each process would often wait for the other."""
_GLANCE = 0.2
_ENDING = 5.0
# It runs no code of the user's, and imports from the same places as this process. Ctrl-C is for this process alone.
_CODE = (
    "import sys, os, marshal, signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    "size, job = int.from_bytes(os.read(0, 4), 'big'), b''\n"
    "while len(job) < size: job += os.read(0, size - len(job)) or sys.exit()\n"
    "sys.path[:], sys.pycache_prefix, *job = marshal.loads(job)\n"
    "from reconcile.adapters.walker import main; main(*job)"
)


def is_possible() -> bool:
    """Whether there is a second core, and an interpreter to start."""
    if not is_python():
        return False
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores > 1


def command() -> list[str]:
    """Returns the command line of the second process, which reads its job from stdin."""
    flags = ["-I", "-S"]
    if sys.dont_write_bytecode:
        flags.append("-B")
    if sys.flags.utf8_mode:
        flags += ["-X", "utf8"]
    return [sys.executable, *flags, "-c", _CODE]


class WalkProcess(Closing):
    """A walk in a process of its own, which begins at once. ``job`` holds the arguments of ``adapters.walker.main``."""

    def __init__(self, job: Sequence[Any], started_by: Sequence[str] | None = None) -> None:
        self._command = list(started_by or command())
        data = marshal.dumps(([*map(str, sys.path)], sys.pycache_prefix, *job))
        self._job = len(data).to_bytes(4, "big") + data
        self._change = threading.Condition()
        self._blocks: deque[bytes] = deque()
        self.held = 0
        self._closed = self._over = self.came_to_end = False
        self.child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._work, name="walk", daemon=True)
        if not started(self._thread):
            self._over = True

    def rows(self) -> Iterator[Row]:
        """Yields its rows in code point order of the path, as far as it came; once."""
        with suppress(ValueError, EOFError, TypeError):  # the pipe has ended, or held something else
            yield from wire.rows(self._taken())
            self.came_to_end = True

    def close(self) -> None:
        """Ends the process, however far it is."""
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
            with suppress(OSError, ValueError):  # it could not be started, has ended, or sent what is not a block
                self._read()
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
            bufsize=_PIPE,
            creationflags=NO_WINDOW,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            with self._change:
                self.child = child
            current().widen(child.stdout.fileno(), _PIPE)
            child.stdin.write(self._job)
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

    def _has_room(self) -> bool:
        with self._change:
            while self.held > MOST_HELD and not self._closed:
                self._change.wait(_GLANCE)
            return not self._closed
