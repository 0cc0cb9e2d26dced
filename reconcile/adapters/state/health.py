"""PROJECT/.reconcile/watch-health.json: the health of a watcher, and the lock that allows only one watcher."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from reconcile.adapters import files
from reconcile.adapters.files import LockBusy
from reconcile.adapters.state.folder import StateFolder
from reconcile.core.errors import LockHeld
from reconcile.core.watch_report import WatchHealth

FILE = "watch-health.json"
_LOCK = "watch.lock"
_ASKING = 0.5
"""Seconds to wait for the lock: a check for a running watcher holds it for a moment."""


def read_health(project: Path) -> WatchHealth | None:
    """Returns what the project's watcher last wrote, or None if that is missing or unreadable.

    Raises StateError if the file is not ours.
    """
    return StateFolder(project).value(FILE, WatchHealth)


def is_place_free(project: Path) -> bool:
    """Whether no process of this machine watches the project; False if unknown.

    Raises StateError if the lock file is not ours.
    """
    try:
        path = StateFolder(project).plain(_LOCK)
        if not path.exists():  # a watcher runs without a lock file if the disk is full or does not support locks
            return False
        files.lock(path, 0).release()
    except (LockBusy, OSError):
        return False
    return True


def take_place(project: Path) -> contextlib.ExitStack:
    """Takes the lock of the project's watcher, and returns what releases it. If the disk is full or does not support
    locks, it takes none, and the watcher continues.

    Raises LockHeld if another watcher has it, and StateError if the lock file is not ours.
    """
    held = contextlib.ExitStack()
    try:
        held.callback(StateFolder(project).lock(_LOCK, _ASKING).release)
    except LockBusy as error:
        found = read_health(project)
        who = f"process {found.pid} on {found.host}, since {found.since}" if found else "another process"
        message = f"the project {project} is being watched already: {who}"
        raise LockHeld(message, hint="stop it, or leave it to it") from error
    except OSError:
        pass
    return held


def write_health(project: Path, health: WatchHealth) -> None:
    """Writes the health file, unless the disk is full."""
    data = msgspec.json.format(msgspec.json.encode(health), indent=2) + b"\n"
    with contextlib.suppress(OSError):
        StateFolder(project).write(FILE, data)
