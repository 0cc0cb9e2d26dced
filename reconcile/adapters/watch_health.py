"""PROJECT/.reconcile/watch-health.json: how a watcher is, for those who look after it; and one watcher at a time."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from reconcile.adapters.state import FOLDER
from reconcile.core.errors import LockHeld
from reconcile.core.watching import WatchHealth

if TYPE_CHECKING:
    from filelock import BaseFileLock

FILE = "watch-health.json"
_LOCK = "watch.lock"
_ASKING = 0.5
"""Seconds for which somebody who only asks whether a watcher runs may hold its lock at the very most."""
_REPLACE_TRIES = 5


def read_health(project: Path) -> WatchHealth | None:
    """What the watcher of a project last wrote; None where there is nothing that can be read as that."""
    try:
        return msgspec.json.decode((project / FOLDER / FILE).read_bytes(), type=WatchHealth)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def is_place_free(project: Path) -> bool:
    """Whether no process of this machine is the watcher of the project; False where that cannot be told."""
    from filelock import FileLock, Timeout

    path = project / FOLDER / _LOCK
    if not path.exists():  # a watcher whose disk was full, or that cannot lock there, goes without it
        return False
    try:
        with FileLock(path, timeout=0, mode=0o600, thread_local=False):
            return True
    except (Timeout, OSError, NotImplementedError):
        return False


class HealthFile:
    """The health file while a watcher writes it. A disk that is full costs the file, never the watcher."""

    def __init__(self, project: Path) -> None:
        self._project = project
        self._path = project / FOLDER / FILE
        self._lock: BaseFileLock | None = None

    def open(self) -> None:
        """Takes the place of the one watcher of the project. Raises LockHeld where another one has it."""
        from filelock import FileLock, Timeout

        lock = FileLock(self._path.with_name(_LOCK), timeout=_ASKING, mode=0o600, thread_local=False)
        try:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            lock.acquire()
        except Timeout as error:
            found = read_health(self._project)
            who = f"process {found.pid} on {found.host}, since {found.since}" if found else "another process"
            raise LockHeld(
                f"The project {self._project} is being watched already: {who}.", hint="Stop it, or leave it to it."
            ) from error
        except (OSError, NotImplementedError):
            return
        self._lock = lock

    def write(self, health: WatchHealth) -> None:
        """Replaces the file as a whole."""
        beside = self._path.with_name(f"{FILE}.new")
        with contextlib.suppress(OSError):
            fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(health), indent=2) + b"\n")
            self._replace(beside)

    def close(self) -> None:
        """Leaves the place to another one."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _replace(self, beside: Path) -> None:
        for left in reversed(range(_REPLACE_TRIES)):
            try:
                return os.replace(beside, self._path)
            except PermissionError:  # on Windows, while somebody reads it
                if not left:
                    raise
                time.sleep(0.02)
        return None
