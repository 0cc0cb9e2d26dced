"""PROJECT/.reconcile/watch-health.json: the health of a watcher, and the lock that allows one watcher at a time."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from reconcile.adapters import files
from reconcile.adapters.files import HeldLock, LockBusy
from reconcile.adapters.state.folder import StateFolder
from reconcile.core.errors import LockHeld
from reconcile.core.watch_report import WatchHealth

FILE = "watch-health.json"
_LOCK = "watch.lock"
_ASKING = 0.5
"""Seconds to wait for the lock: whoever only checks whether a watcher runs holds it for a moment."""


def read_health(project: Path) -> WatchHealth | None:
    """What the watcher of a project last wrote; None if there is nothing, or nothing readable. Raises StateError if the
    file is not ours."""
    return StateFolder(project).value(FILE, WatchHealth)


def is_place_free(project: Path) -> bool:
    """Whether no process of this machine is the watcher of the project; False if that is not known. Raises StateError
    if the lock file is not ours."""
    try:
        path = StateFolder(project).plain(_LOCK)
        if not path.exists():  # a watcher whose disk was full, or that cannot lock there, runs without
            return False
        files.lock(path, 0).release()
    except (LockBusy, OSError):
        return False
    return True


class HealthFile:
    """The health file while a watcher writes it. If the disk is full there is no file, but the watcher goes on."""

    def __init__(self, project: Path) -> None:
        self._project = project
        self._folder = StateFolder(project)
        self._lock: HeldLock | None = None

    def open(self) -> None:
        """Takes the lock of the project's watcher. Raises LockHeld if another watcher has it, and StateError if the
        lock file is not ours."""
        try:
            self._lock = self._folder.lock(_LOCK, _ASKING)
        except LockBusy as error:
            found = read_health(self._project)
            who = f"process {found.pid} on {found.host}, since {found.since}" if found else "another process"
            raise LockHeld(
                f"the project {self._project} is being watched already: {who}", hint="stop it, or leave it to it"
            ) from error
        except OSError:
            return

    def write(self, health: WatchHealth) -> None:
        data = msgspec.json.format(msgspec.json.encode(health), indent=2) + b"\n"
        with contextlib.suppress(OSError):
            self._folder.write(FILE, data)

    def close(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None
