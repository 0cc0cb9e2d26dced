"""The JSON database's file: read whole or not at all, locked against other runs, replaced in one step."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from reconcile.core.errors import LocalDatabaseError, StoreUnavailable
from reconcile.core.portable import Portable

BOM = "\ufeff"
_NO_SUCH_STEP = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)

Swap: TypeAlias = Callable[[Path, Path], bool]
"""Gives two files each other's names in one step; False, with nothing changed, where there is no such step."""


class Torn(Portable, ValueError):
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


def stamp_of(path: Path) -> tuple[int, int, int] | None:
    """What differs once the file was written; None where it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


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


def check_writable(path: Path, found: os.stat_result) -> None:
    """Raises LocalDatabaseError for a file that this user may not write: its folder alone would let it be replaced."""
    if not found.st_mode & 0o222 or not os.access(path, os.W_OK):
        raise LocalDatabaseError(
            f"The local database {path} is read-only, so it was left alone.",
            hint="Give this user the right to write it, or set rewrite = false under [local_db].",
        )


def write_beside(fresh: Path, new: bytes, like: os.stat_result) -> None:
    """Writes the bytes to a file of their own, on disk when this returns, with the mode and owner of the old file.

    Raises OSError, also where it could not even have the old one's group: others would lose their right to write it.
    """
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(new)
        file.flush()
        os.fsync(fd)
    if hasattr(os, "chown"):
        try:
            os.chown(fresh, like.st_uid, like.st_gid)
        except PermissionError:
            os.chown(fresh, -1, like.st_gid)
    os.chmod(fresh, stat.S_IMODE(like.st_mode))


def put_in_place(fresh: Path, real: Path, old: bytes, swap: Swap) -> bool:
    """Puts the fresh file in the other's place if that still holds the old bytes and nobody is writing it; whether it
    did. What is left under the name ``fresh`` is nobody's. Raises OSError."""
    try:
        if real.read_bytes() != old:
            return False
        if not swap(fresh, real):
            os.replace(fresh, real)
            return True
        if _is_left(fresh, old):
            return True
        # Somebody was faster, or is about to write: their very file comes back, for they may have it open still.
        swap(fresh, real)
    except PermissionError:
        pass  # Windows refuses while another process has the file open.
    return False


def _is_left(path: Path, old: bytes) -> bool:
    """Whether nobody writes this file any more, and nobody did."""
    with path.open("rb", buffering=0) as file:
        # In this order: a writer who is gone by the first look has left what the second one sees.
        return not _has_writer(file.fileno()) and file.readall() == old


def _has_writer(fd: int) -> bool:
    """Whether a process has this file open for writing, as far as the system tells: Linux gives no lease on it then.

    Network file systems refuse a lease for other reasons too, but those cannot swap files, and so are not asked.
    """
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        # Whoever opens it meanwhile waits for the lease's end; this signal is ignored, the usual one would kill.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    return False


def exchange(one: Path, other: Path) -> bool:
    """A ``Swap`` for Linux, where the file system has that step. Raises OSError."""
    if sys.platform != "linux":
        return False
    import ctypes

    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    here, exchanging = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    # Python itself tells of every rename; whoever listens hears of this one too.
    sys.audit("os.rename", os.fspath(one), os.fspath(other), -1, -1)
    if rename(here, os.fsencode(one), here, os.fsencode(other), exchanging) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_SUCH_STEP:
        return False
    raise OSError(number, os.strerror(number), os.fspath(other))


def sync_folder(folder: Path) -> None:
    """Makes the new name last through a power cut, where a folder can be synced."""
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
