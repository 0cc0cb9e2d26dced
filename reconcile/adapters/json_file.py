"""The JSON database's file: read whole or not at all, locked against other runs, replaced in one step."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from reconcile.core.errors import LocalDatabaseError, StoreUnavailable

BOM = "\ufeff"


class Torn(ValueError):
    """The file was written while it was read."""


def read_whole(path: Path) -> bytes:
    """The file's bytes. Raises OSError, and Torn where it changed meanwhile."""
    with path.open("rb", buffering=0) as file:
        before = os.fstat(file.fileno())
        raw = file.readall()
        after = os.fstat(file.fileno())
    if len(raw) != after.st_size or before.st_mtime_ns != after.st_mtime_ns:
        raise Torn("it was written while it was read")
    return raw


def explained(path: Path, error: Exception) -> LocalDatabaseError:
    """What to say of a file that could not be read, or not as JSON."""
    match error:
        case FileNotFoundError():
            return LocalDatabaseError(
                f"The local database {path} is not there.",
                hint="Set path under [local_db] in the rules file, or remove that section.",
            )
        case OSError():
            return LocalDatabaseError(
                f"The local database {path} cannot be read: {error.strerror or error}.",
                hint="Give this user the right to read it.",
            )
        case json.JSONDecodeError():
            what = "the file is empty" if not error.doc.strip(BOM + " \t\r\n") else f"{error.msg}, column {error.colno}"
            return LocalDatabaseError(
                f"{path}:{error.lineno}: the local database is not JSON: {what}.",
                hint="Restore it from a copy, or correct that line.",
            )
        case UnicodeDecodeError():
            return LocalDatabaseError(
                f"The local database {path} is not UTF-8 at byte {error.start}.", hint="Save it as UTF-8."
            )
        case _:
            return LocalDatabaseError(
                f"The local database {path} cannot be read: {error}.", hint="Run again, or restore it from a copy."
            )


@contextlib.contextmanager
def locked(path: Path, patience: float) -> Iterator[None]:
    """Keeps other runs of this tool from writing the file at once; the pipeline itself knows nothing of the lock.

    Raises StoreUnavailable after ``patience`` seconds, LocalDatabaseError where there is no place for the lock.
    """
    from filelock import FileLock, Timeout  # slow to import, and most runs write nothing here

    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=patience, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise StoreUnavailable(
            f"Another run has been writing the local database {path} for {patience:g} s.", hint="Run again."
        ) from error
    except (OSError, NotImplementedError) as error:
        raise LocalDatabaseError(
            f"The folder of the local database {path} cannot be written: {error}.",
            hint="Give this user the right to write in it.",
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def bounded(path: Path) -> Iterator[None]:
    """Says so where a document is nested deeper than Python's stack."""
    try:
        yield
    except RecursionError as error:
        raise LocalDatabaseError(
            f"A document of the local database {path} is nested too deeply.",
            hint="Firestore takes 20 levels; flatten it.",
        ) from error


def write_beside(fresh: Path, new: bytes, like: os.stat_result) -> None:
    """Writes the bytes to a file of their own, on disk when this returns, with the mode and owner of the old file."""
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(new)
        file.flush()
        os.fsync(fd)
    if hasattr(os, "chown"):
        with contextlib.suppress(PermissionError):
            os.chown(fresh, like.st_uid, like.st_gid)
    os.chmod(fresh, stat.S_IMODE(like.st_mode))


def sync_folder(folder: Path) -> None:
    """Makes the new name last through a power cut, where a folder can be synced."""
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
