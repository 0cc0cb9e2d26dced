"""Atomic file writes that never go through a link, and locks that end with their process."""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias

from reconcile.adapters.opening import READ_FILE
from reconcile.adapters.system import current
from reconcile.core.portable import Portable

PRIVATE = 0o600
SHARED = 0o666
"""Reduced by the umask, as for any file that a program creates."""

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_LINK = {"follow_symlinks": False} if os.link in os.supports_follow_symlinks else {}
LONGEST_NAME = 255
"""The length of the longest name that systems allow, in the unit of the system (``System.name_unit``)."""
_LONGEST_ENDING = 24
"""Bytes reserved for the lead and ending that ``near`` adds, so that all names next to one place have the same form."""


Stamp: TypeAlias = tuple[int, int, int]
"""Modification time, size and inode of a file; writing it changes at least one of them."""


class HeldLock(Protocol):
    """A lock that is held until it is released or its process ends."""

    def release(self) -> None: ...


class LockBusy(Portable, Exception):
    """Raised if another process, or another part of this one, holds the lock."""


def create(path: Path, data: bytes, mode: int = PRIVATE, *, folder: int | None = None) -> None:
    """Creates a file whose content is on disk on return. Raises FileExistsError if the name is taken, and OSError.

    Here and below, ``folder`` is an open folder to which the path is relative, if the system supports that.
    """
    fd = os.open(path, NEW, mode, dir_fd=folder)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)


@contextlib.contextmanager
def beside(place: Path, data: bytes, mode: int = PRIVATE, *, folder: int | None = None) -> Iterator[Path]:
    """Yields a new file next to a place, with the data on disk, to be moved there; afterwards removes it unless moved.

    Raises OSError.
    """
    # The name is random: in a folder that others can write to, nobody can create a link of that name in advance.
    fresh = place.with_name(f".{os.urandom(8).hex()}.new")
    try:
        create(fresh, data, mode, folder=folder)
        yield fresh
    finally:
        with contextlib.suppress(OSError):
            remove(fresh, folder=folder)


def near(place: Path, ending: str, *, lead: str = ".") -> Path:
    """Returns a path next to a place: the place's name with an ending, or its digest with it if that could be too
    long."""
    name = os.fsencode(place.name)
    if len(name) <= LONGEST_NAME - _LONGEST_ENDING:
        return place.with_name(f"{lead}{place.name}.{ending}")
    return place.with_name(f"{lead}{hashlib.sha256(name).hexdigest()[:16]}.{ending}")


def write_whole(place: Path, data: bytes, mode: int = PRIVATE, *, folder: int | None = None) -> None:
    """Replaces or creates a file atomically: a reader sees the old or the new content.

    Raises OSError, and the old content is then still there.
    """
    with beside(place, data, mode, folder=folder) as fresh:
        replace(fresh, place, folder=folder)


def replace(path: Path | str, place: Path | str, *, folder: int | None = None) -> None:
    """Moves a file to a place, replacing what is there; retries while another program has one of them open.

    Raises OSError.
    """
    current().patiently(lambda: os.replace(path, place, src_dir_fd=folder, dst_dir_fd=folder))


def remove(path: Path | str, *, folder: int | None = None) -> None:
    """Removes a file, retrying like ``replace``. Raises OSError, also FileNotFoundError."""
    current().patiently(lambda: os.unlink(path, dir_fd=folder))


@contextlib.contextmanager
def open_whole(path: Path | str) -> Iterator[BinaryIO]:
    """Yields a file open for reading, such that others may rename and remove it. Raises OSError."""
    with open(current().open(path, READ_FILE & ~_NO_FOLLOW), "rb", buffering=0) as file:
        yield file


def read_bytes(path: Path | str) -> bytes:
    """Returns the file's content. Raises OSError."""
    with open_whole(path) as file:
        return file.read()


def md5_of(file: BinaryIO) -> str:
    """Returns the MD5 of a file that is open for reading, in base64 as Cloud Storage writes it. Raises OSError."""
    found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))  # type: ignore[arg-type]
    return base64.b64encode(found.digest()).decode()


def move_to_free(path: Path | str, place: Path | str, *, folder: int | None = None) -> None:
    """Renames a file to a free name. Raises FileExistsError if the name is taken, and OSError."""
    system = current()
    if system.is_windows:
        system.patiently(lambda: os.rename(path, place))  # on Windows, rename never replaces a file
        return
    try:
        os.link(path, place, src_dir_fd=folder, dst_dir_fd=folder, **_LINK)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links: somebody may take the name between this check and the renaming.
        if _is_taken(place, folder):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place)) from None
        os.rename(path, place, src_dir_fd=folder, dst_dir_fd=folder)
    else:
        os.unlink(path, dir_fd=folder)


def sync_folder(folder: Path | int) -> None:
    """Makes the names in a folder survive a power cut, if the system and the drive can."""
    with contextlib.suppress(OSError):
        if isinstance(folder, int):
            return os.fsync(folder)
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def stamp_of(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def lock(path: Path, wait: float, *, poll: float = 0.05) -> HeldLock:
    """Takes a file lock, waiting up to ``wait`` seconds.

    Raises LockBusy if it is held elsewhere, and OSError if locks are impossible there.
    """
    from filelock import FileLock, Timeout  # slow to import, and most commands take no lock

    # The lock file stays: without it, a killed watcher would look like one that took no lock.
    system = current()
    taken = FileLock(path, timeout=wait, mode=system.private, thread_local=False, preserve_lock_file=system.is_windows)
    try:
        taken.acquire(poll_interval=poll)
    except Timeout as error:
        raise LockBusy(str(path)) from error
    except NotImplementedError as error:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), str(path)) from error
    return taken


def write_all(fd: int, data: bytes) -> None:
    """Writes all of the data to an open file or a pipe. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _is_taken(place: Path | str, folder: int | None) -> bool:
    try:
        os.stat(place, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
