"""The lock of a project folder: one run at a time. It ends with its process; a note says who holds it."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import msgspec

from reconcile.adapters.files import HeldLock, LockBusy
from reconcile.adapters.state.folder import StateFolder
from reconcile.core.closing import Closing
from reconcile.core.errors import LockHeld, StateError

_NOTE = "lock.json"


class Holder(msgspec.Struct, frozen=True):
    """The holder of the lock; ``since`` is RFC 3339."""

    pid: int
    host: str
    command: str
    since: str


class ProjectLock(Closing):
    """The lock of a project folder, which excludes other runs on this machine; the system frees it if the process dies.

    If the folder cannot be written there is no lock, and ``warning`` says so. Two runs at once are safe, since each
    write has its own precondition, but they may do the same work twice.
    """

    def __init__(self, project: Path) -> None:
        self._project = project
        self._folder = StateFolder(project)
        self._lock: HeldLock | None = None
        self.warning = ""

    def acquire(self, wait: float = 0) -> Self:
        """Takes the lock, waiting up to ``wait`` seconds for another run to end.

        Raises LockHeld, which names the holder, and StateError if the lock file is not ours.
        """
        try:
            self._lock = self._folder.lock("lock", wait)
        except LockBusy as error:
            raise LockHeld(self._sentence(), hint="wait until it ends, or stop it") from error
        except OSError as error:
            self.warning = f"the project folder {self._project} cannot be locked: {error}"
            return self
        self._write_note()
        return self

    def close(self) -> None:
        """Releases the lock if it is held."""
        if self._lock is None:
            return
        with contextlib.suppress(OSError):
            self._folder.remove(_NOTE)
        self._lock.release()
        self._lock = None

    def holder(self) -> Holder | None:
        """Returns the holder of the lock according to its note, or None if the note is missing or unreadable."""
        try:
            return self._folder.value(_NOTE, Holder)
        except StateError:
            return None

    def _write_note(self) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        note = msgspec.json.encode(Holder(os.getpid(), socket.gethostname(), _command(sys.argv), now))
        # The note only names the holder in messages, so the run continues without it if the disk is full.
        with contextlib.suppress(OSError):
            self._folder.write(_NOTE, note)

    def _sentence(self) -> str:
        holder = self.holder()
        if holder is None:
            return f"another run holds the lock of {self._project}"
        return (
            f"another run holds the lock of {self._project}: process {holder.pid} on {holder.host},"
            f" “{holder.command}”, since {holder.since}"
        )


def _command(argv: list[str]) -> str:
    """Returns the program and its first argument; the rest may be arguments of a workflow and contain secrets."""
    program = Path(argv[0]) if argv and argv[0] else Path("python")
    name = program.parent.name if program.name == "__main__.py" else program.name
    return f"{name} {argv[1]}" if len(argv) > 1 and argv[1].isalpha() else name
