"""PROJECT/.reconcile/journal: one file a run, readable by its owner alone, appended to and never changed."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from reconcile.adapters.opening import READ_FILE
from reconcile.adapters.state.folder import StateFolder
from reconcile.core.errors import JournalError
from reconcile.core.journal import Line, Past, RunStarted, encode, past

_SUFFIX = ".jsonl"
MAX_BYTES = 1 << 30
"""A run of a million changes leaves about a third of this."""
_NAME = re.compile(r"(?P<run_id>[0-9A-Za-z-]{1,64})(?:\.(?P<number>[0-9]{1,18}))?\.jsonl", re.ASCII)


class _Entry(NamedTuple):
    """The file of one run. In this order runs began."""

    number: int
    run_id: str
    path: Path


class Journal:
    """The runs of one project folder, in the order of a number that each takes when it begins: clocks go wrong.

    A file is named RUN_ID.NUMBER.jsonl. Those without a number are older than the numbers, and go by their ids.
    """

    def __init__(self, project: Path) -> None:
        self._folder = StateFolder(project, "journal")

    def begin(self, run: RunStarted) -> RunLog:
        """Starts the file of a run; its first line is on disk when this returns.

        Raises JournalError where it cannot be written: nothing has been changed yet.
        """
        path = self._folder.path
        try:
            self._folder.make()
            path = path / f"{run.run_id}.{self._next_number(run.run_id):06}{_SUFFIX}"
            log = RunLog(self._folder.create(path.name), path)
        except OSError as error:
            raise _unwritable(path, error) from error
        try:
            log.write(run, durable=True)
        except JournalError:
            log.close()
            with contextlib.suppress(OSError):
                self._folder.remove(path.name)
            raise
        return log

    def run_ids(self) -> list[str]:
        """The runs, oldest first. Raises JournalError where it cannot be told which there are."""
        return [entry.run_id for entry in self._entries()]

    def read(self, run_id: str) -> Past | None:
        """One run; None where it is not there, or has changed nothing yet. Raises JournalError where it cannot be read,
        or where somebody else may have written it: what undo puts into records is read from it."""
        found = next((entry.path for entry in self._entries() if entry.run_id == run_id), None)
        return None if found is None else _read(found)

    def runs(self, missed: list[JournalError] | None = None) -> Iterator[Past]:
        """Every run, newest first. What cannot be read raises JournalError, or is added to ``missed`` and passed over.

        That raises too where it cannot be told which runs there are.
        """
        for entry in reversed(self._entries()):
            try:
                found = _read(entry.path)
            except JournalError as error:
                if missed is None:
                    raise
                missed.append(error)
                continue
            if found is not None:
                yield found

    def _entries(self) -> list[_Entry]:
        """Oldest first. Raises JournalError."""
        try:
            return self._listed()
        except OSError as error:
            raise _unreadable(self._folder.path, error.strerror or str(error)) from error

    def _listed(self) -> list[_Entry]:
        matches = (match for match in map(_NAME.fullmatch, self._folder.names()) if match)
        folder = self._folder.path
        return sorted(_Entry(int(found["number"] or 0), found["run_id"], folder / found[0]) for found in matches)

    def _next_number(self, run_id: str) -> int:
        """One more than any run has. Raises OSError; FileExistsError where there is a run of that id."""
        entries = self._listed()
        if any(entry.run_id == run_id for entry in entries):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        return 1 + max((entry.number for entry in entries), default=0)


class RunLog:
    """The open file of one run; safe for several threads."""

    def __init__(self, fd: int, path: Path) -> None:
        self._fd = fd
        self._path = path
        self._lock = threading.Lock()

    def write(self, line: Line, *, durable: bool = False) -> None:
        """Appends a line, which outlives the process; a ``durable`` one outlives the machine too.

        Raises JournalError where it cannot be written.
        """
        data = memoryview(encode(line))
        with self._lock:
            try:
                while data:
                    data = data[os.write(self._fd, data) :]
                if durable:
                    os.fsync(self._fd)
            except OSError as error:
                # A torn line must not run into the next one, should the disk have room again.
                with contextlib.suppress(OSError):
                    os.write(self._fd, b"\n")
                raise _unwritable(self._path, error) from error

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _read(path: Path) -> Past | None:
    try:
        fd = os.open(path, READ_FILE)
        with os.fdopen(fd, "rb") as file:
            refused = _refusal(os.fstat(fd))
            if refused:
                raise _unreadable(path, refused)
            data = file.read(MAX_BYTES + 1)
            if len(data) > MAX_BYTES:
                raise _unreadable(path, f"it is larger than {MAX_BYTES // 2**20} MiB, which no run writes")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    found = past(data)
    # Its first line is on disk before a run changes anything: without one whole line nothing was changed.
    if found is None and b"\n" in data:
        raise _unreadable(path, "it is damaged, or was written by another version of reconcile")
    return found


def _refusal(found: os.stat_result) -> str:
    """Why the file is not believed: somebody else can have written it; empty where nobody can."""
    if not stat.S_ISREG(found.st_mode):
        return "it is not an ordinary file"
    if not hasattr(os, "geteuid"):
        return ""
    if found.st_uid not in (0, os.geteuid()):
        return "it belongs to another user, so it is not trusted"
    return "other users may write it, so it is not trusted" if found.st_mode & 0o022 else ""


def _unreadable(path: Path, why: str) -> JournalError:
    return JournalError(
        f"the journal {str(path)!r} cannot be read: {why}",
        hint="read it as the user who made it, or give this user the folder .reconcile",
    )


def _unwritable(path: Path, error: OSError) -> JournalError:
    return JournalError(
        f"the journal {str(path)!r} cannot be written: {error.strerror or error}",
        hint="make room, or the folder writable; --no-journal works without one, and then there is no undo",
    )
