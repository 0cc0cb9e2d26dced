"""PROJECT/.reconcile/journal: one append-only file per run, readable only by its owner."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from reconcile.adapters.files import write_all
from reconcile.adapters.state.folder import StateFolder, rights
from reconcile.core.closing import Closing
from reconcile.core.errors import JournalError, StateError
from reconcile.core.journal import JournaledRun, Line, RunStarted, encode, past

_SUFFIX = ".jsonl"
_AS_OWNER = "read it as the user who made it, or give this user the folder .reconcile"
MAX_BYTES = 1 << 30
"""Bytes; a run of a million changes writes about a third of this."""
_NAME = re.compile(r"(?P<run_id>[0-9A-Za-z-]{1,64})(?:\.(?P<number>[0-9]{1,18}))?\.jsonl", re.ASCII)


class _Entry(NamedTuple):
    """The file of one run. Entries sort in the order in which runs began."""

    number: int
    run_id: str
    path: Path


class Journal:
    """The journal of the runs of one project folder.

    Each run takes a number when it begins, which orders the runs, since clocks may be wrong. A file is named
    RUN_ID.NUMBER.jsonl. Files without a number are older, and are ordered by id.
    """

    def __init__(self, project: Path) -> None:
        self._project = project
        self._folder = StateFolder(project, "journal")

    def begin(self, run: RunStarted) -> RunFile:
        """Creates the file of a run; its first line is on disk on return. Raises JournalError."""
        path = self._folder.path
        try:
            self._folder.make()
            path = path / f"{run.run_id}.{self._next_number(run.run_id):06}{_SUFFIX}"
            log = RunFile(self._folder.create(path.name), path)
        except OSError as error:
            otherwise = rights(self._project) if isinstance(error, PermissionError) else ""
            raise _unwritable(path, error, otherwise) from error
        try:
            log.write(run, durable=True)
        except JournalError:
            log.close()
            with contextlib.suppress(OSError):
                self._folder.remove(path.name)
            raise
        return log

    def run_ids(self) -> list[str]:
        """Returns the ids of the runs, oldest first. Raises JournalError if the folder cannot be read."""
        return [entry.run_id for entry in self._entries()]

    def read(self, run_id: str) -> JournaledRun | None:
        """Returns one run, or None if it does not exist or has changed nothing yet.

        Raises JournalError if it cannot be read, or if other users could write it: undo writes into records what it
        reads here.
        """
        found = next((entry for entry in self._entries() if entry.run_id == run_id), None)
        return None if found is None else self._read(found)

    def runs(self, missed: list[JournalError] | None = None) -> Iterator[JournaledRun]:
        """Yields every run, newest first.

        Raises JournalError for a run that cannot be read, or adds the error to ``missed`` and continues; always raises
        it if the folder cannot be read.
        """
        for entry in reversed(self._entries()):
            try:
                found = self._read(entry)
            except JournalError as error:
                if missed is None:
                    raise
                missed.append(error)
                continue
            if found is not None:
                yield found

    def _read(self, entry: _Entry) -> JournaledRun | None:
        try:
            data = self._folder.read(entry.path.name, MAX_BYTES, trusted=True)
        except OSError as error:
            raise _unreadable(entry.path, error.strerror or str(error)) from error
        except StateError as error:
            raise JournalError(error.message, hint=_AS_OWNER) from error
        found = past(data or b"")
        # A run writes its first line to disk before any change, so without a whole line nothing was changed.
        if found is None and b"\n" in (data or b""):
            raise _unreadable(entry.path, "it is damaged, or was written by another version of reconcile")
        return found

    def _entries(self) -> list[_Entry]:
        """Returns the entries, oldest first. Raises JournalError."""
        try:
            return self._listed()
        except OSError as error:
            raise _unreadable(self._folder.path, error.strerror or str(error)) from error

    def _listed(self) -> list[_Entry]:
        matches = (match for match in map(_NAME.fullmatch, self._folder.names()) if match)
        folder = self._folder.path
        return sorted(_Entry(int(found["number"] or 0), found["run_id"], folder / found[0]) for found in matches)

    def _next_number(self, run_id: str) -> int:
        """Returns the highest number plus one. Raises OSError; FileExistsError if a run has this id."""
        entries = self._listed()
        if any(entry.run_id == run_id for entry in entries):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        return 1 + max((entry.number for entry in entries), default=0)


class RunFile(Closing):
    """The open file of one run; thread-safe."""

    def __init__(self, fd: int, path: Path) -> None:
        self._fd = fd
        self._path = path
        self._lock = threading.Lock()

    def write(self, line: Line, *, durable: bool = False) -> None:
        data = encode(line)
        with self._lock:
            try:
                write_all(self._fd, data)
                if durable:
                    os.fsync(self._fd)
            except OSError as error:
                # If the disk has room again, the next line must not be joined to this torn one.
                with contextlib.suppress(OSError):
                    os.write(self._fd, b"\n")
                raise _unwritable(self._path, error) from error

    def close(self) -> None:
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1


def _unreadable(path: Path, why: str) -> JournalError:
    return JournalError(f"the journal {str(path)!r} cannot be read: {why}", hint=_AS_OWNER)


def _unwritable(path: Path, error: OSError, do: str = "") -> JournalError:
    return JournalError(
        f"the journal {str(path)!r} cannot be written: {error.strerror or error}",
        hint=f"{do or 'make room, or the folder writable'}; --no-journal works without one, and then there is no undo",
    )
