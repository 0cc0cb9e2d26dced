"""PROJECT/.reconcile/journal: one file a run, readable by its owner alone, appended to and never changed."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from reconcile.adapters.state import FOLDER
from reconcile.core.errors import JournalError
from reconcile.core.journal import Line, Past, RunStarted, encode, past

_RUN_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
_SUFFIX = ".jsonl"
# On Windows a descriptor would otherwise write each line's end as two bytes.
_READING = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0)


class Journal:
    """The runs of one project folder."""

    def __init__(self, project: Path) -> None:
        self._folder = project / FOLDER / "journal"

    def begin(self, run: RunStarted) -> RunLog:
        """Starts the file of a run; its first line is on disk when this returns.

        Raises JournalError where it cannot be written: nothing has been changed yet.
        """
        path = self._folder / f"{run.run_id}{_SUFFIX}"
        try:
            self._folder.parent.mkdir(mode=0o700, exist_ok=True)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            # Values of records stand in it: for its owner only, even where the folder was made by another hand.
            log = RunLog(os.open(path, _FLAGS, 0o600), path)
        except OSError as error:
            raise _unwritable(path, error) from error
        try:
            log.write(run, durable=True)
            self._sync_folder()
        except JournalError:
            log.close()
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        return log

    def run_ids(self) -> list[str]:
        """The runs, oldest first."""
        try:
            names = os.listdir(self._folder)
        except OSError:
            return []
        stems = (name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))
        return sorted(stem for stem in stems if _RUN_ID.fullmatch(stem))

    def read(self, run_id: str) -> Past | None:
        """One run; None where its file is not there, or is no journal."""
        if not _RUN_ID.fullmatch(run_id):
            return None
        try:
            fd = os.open(self._folder / f"{run_id}{_SUFFIX}", _READING)
            with os.fdopen(fd, "rb") as file:
                return past(file.read()) if _is_ours(os.fstat(fd)) else None
        except OSError:
            return None

    def runs(self) -> Iterator[Past]:
        """Every run that can be read, newest first."""
        for run_id in reversed(self.run_ids()):
            found = self.read(run_id)
            if found is not None:
                yield found

    def _sync_folder(self) -> None:
        """A file's name is on disk only when its folder is; not every system can say so."""
        with contextlib.suppress(OSError, AttributeError):
            fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


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


def _is_ours(found: os.stat_result) -> bool:
    """Whether nobody else can have written it: what undo puts into records is read from it."""
    if not stat.S_ISREG(found.st_mode):
        return False
    if not hasattr(os, "geteuid"):
        return True
    return found.st_uid in (0, os.geteuid()) and not found.st_mode & 0o022


def _unwritable(path: Path, error: OSError) -> JournalError:
    return JournalError(
        f"the journal {str(path)!r} cannot be written: {error.strerror or error}",
        hint="make room, or the folder writable; --no-journal works without one, and then there is no undo",
    )
