"""Reads and writes the file of the JSON database: atomically, and locked against other runs."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from reconcile.adapters import files
from reconcile.adapters.opening import hint, reason
from reconcile.core.errors import LocalDatabaseError, StoreUnavailable

BOM = "\ufeff"


def read_whole(path: Path) -> bytes:
    """Returns the content of the file. Raises OSError, and ValueError if it changed meanwhile."""
    with files.open_whole(path) as file:
        before = os.fstat(file.fileno())
        raw = file.read()
        after = os.fstat(file.fileno())
    if len(raw) != after.st_size or before.st_mtime_ns != after.st_mtime_ns:
        raise ValueError("it was written while it was read")
    return raw


def explained(path: Path, error: Exception) -> LocalDatabaseError:
    """Returns the error for a file that could not be read or is not JSON."""
    said = f"the local database {path}"
    match error:
        case FileNotFoundError():
            said, do = f"{said} is not there", "set path under [local_db] in the rules file, or remove that section"
        case OSError():
            said, do = f"{said} cannot be read: {reason(error)}", hint(error, "give this user the right to read it")
        case json.JSONDecodeError():
            what = "the file is empty" if not error.doc.strip(BOM + " \t\r\n") else f"{error.msg}, column {error.colno}"
            said = f"{path}:{error.lineno}: the local database is not JSON: {what}"
            do = "restore it from a copy, or correct that line"
        case UnicodeDecodeError():
            said, do = f"{said} is not UTF-8 at byte {error.start}", "save it as UTF-8"
        case _:
            said, do = f"{said} cannot be read: {error}", "run again, or restore it from a copy"
    return LocalDatabaseError(said, hint=do)


@contextlib.contextmanager
def locked(path: Path, patience: float) -> Iterator[None]:
    """Holds the lock that keeps other runs from writing the file; the workflow itself does not know it.

    Raises StoreUnavailable after ``patience`` seconds, and LocalDatabaseError if the lock file cannot be created.
    """
    try:
        lock = files.lock(files.near(path, "lock"), patience)
    except files.LockBusy as error:
        raise StoreUnavailable(
            f"another run has been writing the local database {path} for {patience:g} s", hint="run again"
        ) from error
    except OSError as error:
        raise LocalDatabaseError(
            f"the folder of the local database {path} cannot be written: {error}",
            hint=hint(error, "give this user the right to write in it"),
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def bounded(path: Path) -> Iterator[None]:
    """Raises LocalDatabaseError for a document that is nested deeper than Python's stack."""
    try:
        yield
    except RecursionError as error:
        raise LocalDatabaseError(
            f"a document of the local database {path} is nested too deeply",
            hint="Firestore allows 20 levels; flatten it",
        ) from error


def check_writable(path: Path, found: os.stat_result) -> None:
    """Raises LocalDatabaseError for a file that this user may not write, although its folder would allow replacing it.

    It does so for a file with several hard links, too, because the other names would keep the old content.
    """
    if found.st_nlink > 1:
        raise LocalDatabaseError(
            f"the local database {path} has {found.st_nlink} names (hard links), so it was left alone",
            hint="give it one name, with a copy or a symbolic link for the others, or set rewrite = false"
            " under [local_db]",
        )
    if not found.st_mode & 0o222 or not os.access(path, os.W_OK):
        raise LocalDatabaseError(
            f"the local database {path} is read-only, so it was left alone",
            hint="give this user the right to write it, or set rewrite = false under [local_db]",
        )


def write_beside(part: Path, new: bytes, like: Path) -> None:
    """Writes the new content to a file next to the old one, with its mode, owner, access list and extended attributes.

    It is on disk on return. Raises OSError if it cannot have these attributes: others could lose their right to write
    it.
    """
    found = like.stat()
    with contextlib.suppress(FileNotFoundError):
        files.remove(part)
    files.create(part, new)
    if hasattr(os, "chown"):
        try:
            os.chown(part, found.st_uid, found.st_gid)
        except PermissionError:
            os.chown(part, -1, found.st_gid)
    os.chmod(part, stat.S_IMODE(found.st_mode))
    _copy_attributes(like, part)


def _copy_attributes(old: Path, new: Path) -> None:
    """Copies the extended attributes. Raises OSError if one that a user or the access list has set cannot be copied."""
    if sys.platform == "linux":
        try:
            names = os.listxattr(old)
        except OSError as error:
            if error.errno == errno.ENOTSUP:
                return
            raise
        for name in names:
            try:
                os.setxattr(new, name, os.getxattr(old, name))
            except OSError:
                if not name.startswith(("security.", "trusted.")):  # the system sets these itself
                    raise
