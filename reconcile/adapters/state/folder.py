"""PROJECT/.reconcile and its subfolders. Only files of this user are opened there, and never through a link.

A project may come from elsewhere, as an archive or on a share, with links, pipes or other people's files in it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from reconcile.adapters import files
from reconcile.adapters.files import NEW, PRIVATE, write_whole
from reconcile.adapters.opening import READ_FILE, READ_FOLDER, READ_ROOT, leads_elsewhere
from reconcile.adapters.system import current
from reconcile.core.errors import StateError

T = TypeVar("T")

FOLDER = ".reconcile"
SMALL = 1 << 20
"""Bytes; more than any note that reconcile writes."""


class StateFolder:
    """PROJECT/.reconcile, or the folder ``below`` in it.

    All methods raise StateError for what is not ours, and OSError for what the system refuses.
    """

    def __init__(self, project: Path, below: str = "") -> None:
        self._project = project
        self._parts = [FOLDER, below] if below else [FOLDER]
        self.path = project.joinpath(*self._parts)

    def make(self) -> None:
        """Creates the folder if it is missing, private to its owner and ignored by git."""
        for count in range(1, len(self._parts) + 1):
            folder = self._project.joinpath(*self._parts[:count])
            with contextlib.suppress(FileExistsError):
                current().make_private(folder)
        with self._opened(self._parts[:1], private=True) as folder_fd:
            note = self._project / FOLDER / ".gitignore"
            with contextlib.suppress(FileExistsError):
                files.create(self._named(note, folder_fd), b"*\n", folder=folder_fd)

    def or_temporary(self) -> Path:
        """Returns the folder, created if missing, or the system's temporary folder if it cannot be created."""
        try:
            self.make()
        except (OSError, StateError):
            from tempfile import gettempdir

            return Path(gettempdir())
        return self.path

    def names(self) -> list[str]:
        """Returns the names in the folder; none if it is missing."""
        try:
            with self._opened() as folder:
                return os.listdir(self.path if folder is None else folder)
        except FileNotFoundError:
            return []

    def read(self, name: str, most: int, *, trusted: bool = False) -> bytes | None:
        """Returns the content of a file, or None if there is none. Raises OSError (EFBIG) above ``most`` bytes.

        ``trusted`` is for content that is acted on: the file must then not be writable by other users.
        """
        try:
            with self._opened() as folder:
                self._check(name, folder)
                path, system = self._named(self.path / name, folder), current()
                fd = system.patiently(lambda: system.open(path, READ_FILE, folder=folder))
                with os.fdopen(fd, "rb") as file:
                    found = os.fstat(fd)
                    self._refuse(name, found)
                    if trusted and not current().is_windows and found.st_mode & 0o022:
                        raise _not_ours(self.path / name, "can be written by other users")
                    data = file.read(most + 1)
        except FileNotFoundError:
            return None
        if len(data) > most:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(self.path / name))
        return data

    def value(self, name: str, kind: type[T]) -> T | None:
        """Returns the content of a small JSON file, or None if it is missing, unreadable or of another kind."""
        try:
            return msgspec.json.decode(self.read(name, SMALL) or b"", type=kind)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def write(self, name: str, data: bytes) -> None:
        """Writes a file atomically, replacing whatever has the name."""
        with self._opened() as folder:
            write_whole(self._named(self.path / name, folder), data, folder=folder)

    def create(self, name: str) -> int:
        """Returns a descriptor for appending to a new file, whose name is then on disk. Raises FileExistsError if it
        exists."""
        with self._opened() as folder:
            fd = current().open(self._named(self.path / name, folder), NEW | os.O_APPEND, PRIVATE, folder=folder)
            if folder is not None:
                files.sync_folder(folder)
            return fd

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError), self._opened() as folder:
            files.remove(self._named(self.path / name, folder), folder=folder)

    def lock(self, name: str, wait: float, *, poll: float = 0.05) -> files.HeldLock:
        """Takes the lock of this name; creates the folder if missing.

        Raises files.LockBusy after ``wait`` seconds.
        """
        self.make()
        return files.lock(self.plain(name), wait, poll=poll)

    def plain(self, name: str) -> Path:
        """Returns the path of a file that a library opens by name and writes, once what has the name is known to be
        ours.

        A file with further hard links is replaced by a copy, so that the other names keep their content.
        """
        path = self.path / name
        with self._opened() as folder:
            found = self._check(name, folder)
            if found is not None:
                if found.st_nlink > 1:
                    self._part(path, folder)
                if not current().is_windows and found.st_mode & 0o077:
                    with contextlib.suppress(OSError):
                        os.chmod(path, found.st_mode & 0o700)
        return path

    def _part(self, path: Path, folder: int | None) -> None:
        with os.fdopen(current().open(self._named(path, folder), READ_FILE, folder=folder), "rb") as file:
            write_whole(self._named(path, folder), file.read(), folder=folder)

    def _check(self, name: str, folder: int | None) -> os.stat_result | None:
        """Returns the status of what has the name, or None. Raises StateError if it is not ours.

        It is not opened, because opening a device may have effects.
        """
        try:
            found = os.stat(self._named(self.path / name, folder), dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return None
        self._refuse(name, found)
        return found

    def _refuse(self, name: str, found: os.stat_result) -> None:
        path = self.path / name
        if _is_link(found):
            raise _not_ours(path, "is a link")
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(found.st_mode):
            raise _not_ours(path, "is a pipe, a socket or a device")
        if not _is_ours(found):
            raise _not_ours(path, f"belongs to another user ({found.st_uid})")

    @contextlib.contextmanager
    def _opened(self, parts: list[str] | None = None, *, private: bool = False) -> Iterator[int | None]:
        """Yields a descriptor of the folder, each part of its path checked; None if the system lacks relative
        opening."""
        path = self._project
        fd = os.open(path, READ_ROOT) if current().by_component else None
        try:
            for part in parts or self._parts:
                path = path / part
                found = os.stat(self._named(path, fd), dir_fd=fd, follow_symlinks=False)
                if _is_link(found):
                    raise _not_ours(path, "is a link")
                if not stat.S_ISDIR(found.st_mode) and not stat.S_ISREG(found.st_mode):
                    raise _not_ours(path, "is a pipe, a socket or a device, and should be a folder")
                if not stat.S_ISDIR(found.st_mode):
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
                if fd is not None:
                    below = os.open(part, READ_FOLDER, dir_fd=fd)
                    os.close(fd)
                    fd = below
                    found = os.fstat(fd)
                if not _is_ours(found):
                    raise _not_ours(path, f"belongs to another user ({found.st_uid})")
                if sys.platform != "win32" and private and fd is not None and found.st_mode & 0o077:
                    with contextlib.suppress(OSError):
                        os.fchmod(fd, stat.S_IMODE(found.st_mode) & 0o700)
            yield fd
        finally:
            if fd is not None:
                os.close(fd)

    @staticmethod
    def _named(path: Path, folder: int | None) -> Path:
        return path if folder is None else Path(path.name)


def rights(project: Path) -> str:
    """Returns part of a hint: who owns PROJECT/.reconcile, which this user may not write, and what to do about it.

    Empty if the folder is missing, or its owner is not the reason.
    """
    folder, system = project / FOLDER, current()
    try:
        owner = system.owner(folder)
    except OSError:
        return ""
    return f"{folder} belongs to {owner}: {system.to_get_rights(str(folder))}" if owner else ""


def _is_link(found: os.stat_result) -> bool:
    return stat.S_ISLNK(found.st_mode) or leads_elsewhere(found)


def _is_ours(found: os.stat_result) -> bool:
    """Whether a file belongs to this user, or to root, who can do anything anyway."""
    return current().is_windows or not hasattr(os, "geteuid") or found.st_uid in (0, os.geteuid())


def _not_ours(path: Path, what: str) -> StateError:
    return StateError(
        f"{str(path)!r} cannot be read or written safely: it {what}",
        hint="find out who put it there; once it is gone, reconcile makes its own when it needs it",
    )
