"""Windows' rules for files, on top of the calls that only Windows has (``win32``).

An open file cannot be renamed or removed unless every program that has it open shares that, and cannot be replaced by
``MoveFileEx`` at all. Virus scanners and indexers open each new file for a moment. So files are opened in the way that
disturbs others least, closed while nothing is read, and each step that others may block is retried for a while.
"""

from __future__ import annotations

import contextlib
import errno
import ntpath
import os
import re
import stat
from pathlib import Path
from typing import Any, Protocol

from reconcile.adapters.posix import System

SHARING_VIOLATION = 32
LOCK_VIOLATION = 33
ACCESS_DENIED = 5
_IN_USE = (SHARING_VIOLATION, LOCK_VIOLATION)
_NO_SUCH_STEP = (1, 50, 87)  # ERROR_INVALID_FUNCTION, ERROR_NOT_SUPPORTED, ERROR_INVALID_PARAMETER
_RECALLED = 0x400000 | 0x40000 | 0x1000  # FILE_ATTRIBUTE_RECALL_ON_DATA_ACCESS, _RECALL_ON_OPEN, _OFFLINE
# ERROR_UNABLE_TO_REMOVE_REPLACED, ERROR_UNABLE_TO_MOVE_REPLACEMENT and _2
_NOT_MOVED = (1175, 1176, 1177)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PLAIN = re.compile(r"[\w\\/:.@+=-]+")
_PREFIX, _UNC = "\\\\?\\", "\\\\?\\UNC\\"


class Calls(Protocol):
    """The calls that only Windows has. Each raises OSError with ``winerror``."""

    def open_shared(self, path: str, *, deny_writers: bool = False) -> int:
        """Returns a descriptor for reading that lets others rename, remove and (unless denied) write the file."""

    def final_path(self, fd: int) -> str:
        """Returns the path of an open file, without links."""

    def changed_ns(self, file: str | int) -> int:
        """Returns when a file, or a link itself, was last changed in any way: ``FILE_BASIC_INFO.ChangeTime``."""

    def replace_file(self, place: str, fresh: str, backup: str) -> None:
        """Calls ``ReplaceFileW``: ``fresh`` gets the name, rights and streams of ``place``, which becomes
        ``backup``."""

    def drive_target(self, drive: str) -> str:
        r"""Returns the folder, on a disk or another machine, that a drive (``Z:\``) stands for; a disk's drive stands
        for itself."""

    def takes_escapes(self, fd: int) -> bool:
        """Makes a console obey escape sequences; False if it cannot. Anything but a console obeys them."""

    def is_remote(self, path: str) -> bool:
        """Whether the path is on another machine's drive."""

    def owner(self, path: str) -> str:
        """Returns the account, with its domain, that owns a file or folder."""


class Windows(System):
    """Windows; its own calls are injected."""

    is_windows = True
    lets_go = True
    private = 0o666
    """A narrower mode would become an access list that excludes colleagues, and its creator after an elevated run."""
    name_unit = "UTF-16 units"
    waits = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.4, 0.5)
    """About two seconds: a scanner holds a fresh file for a few hundred milliseconds."""
    by_component = False

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._remote: dict[str, bool] = {}

    def open(self, path: Path | str, flags: int, mode: int = 0o666, *, folder: int | None = None) -> int:
        assert folder is None
        if flags & _WRITING:
            return self.patiently(lambda: os.open(path, flags, mode))
        return self._calls.open_shared(os.fspath(path))

    def check_place(self, fd: int, path: str) -> None:
        # The open file itself says where it is, so nobody can create a link between a check and the opening.
        try:
            found = self._calls.final_path(fd)
        except OSError:  # a drive without a letter: all that is left is to check the path again
            return self.refuse_link(path)
        if os.path.normcase(self.plain(found)) != os.path.normcase(self.plain(path)):
            raise OSError("a part of the path is a link")
        return None

    def is_in_use(self, error: OSError) -> bool:
        return getattr(error, "winerror", None) in _IN_USE

    def is_being_written(self, path: str) -> bool:
        # The system refuses to deny writing exactly while somebody has the file open for it. The probe is closed at
        # once, because a writer that comes meanwhile would be refused.
        try:
            os.close(self._calls.open_shared(path, deny_writers=True))
        except OSError as error:
            return self.is_in_use(error)
        return False

    def has_writer(self, fd: int) -> bool:
        try:
            path = self._calls.final_path(fd)
        except OSError:
            return False
        return self.is_being_written(path)

    def lstat(self, path: str) -> os.stat_result:
        found = self._with_change_time(os.lstat(path), path)
        # Some network drives report another id for a file each time it is opened.
        return _with(found, st_ino=0) if self._is_remote(path) else found

    def fstat(self, fd: int) -> os.stat_result:
        return self._with_change_time(os.fstat(fd), fd)

    def _with_change_time(self, found: os.stat_result, file: str | int) -> os.stat_result:
        """Returns the status with the change time: Python's ``st_ctime`` is the creation time here, which edits do not
        change."""
        if not stat.S_ISREG(found.st_mode):
            return found
        try:
            changed = self._calls.changed_ns(file)
        except FileNotFoundError:
            raise
        except OSError:  # the drive has no such time
            changed = 0
        return _with(found, st_ctime_ns=changed)

    def is_elsewhere(self, found: os.stat_result) -> bool:
        return bool(getattr(found, "st_file_attributes", 0) & _RECALLED)

    def owner(self, path: Path) -> str:
        return self._calls.owner(self.extended(str(path)))

    def to_get_rights(self, path: str) -> str:
        return f"as administrator, `icacls {self.quoted(path)} /reset /T` gives it the rights of the folder above it"

    def name_length(self, name: str) -> int:
        return len(name.encode("utf-16-le", "surrogatepass")) // 2

    def extended(self, path: str) -> str:
        if path.startswith(_PREFIX):
            return path
        return _UNC + path[2:] if path.startswith("\\\\") else _PREFIX + path

    def plain(self, path: str) -> str:
        if path[: len(_UNC)].upper() == _UNC:
            return "\\\\" + path[len(_UNC) :]
        return path.removeprefix(_PREFIX)

    def beyond_drives(self, path: str) -> str:
        # A mapped drive, or one created by `subst`, exists only in the session that created it.
        drive, rest = ntpath.splitdrive(path)
        if not re.fullmatch("[A-Za-z]:", drive):
            return path
        real = self._calls.drive_target(f"{drive}\\")
        return path if real[:2].upper() == drive.upper() else ntpath.join(real, rest.lstrip("\\/"))

    def spelled(self, path: str) -> str:
        # Whether to follow a link is for the walk to decide; other names are spelled as on disk, in full and in their
        # case.
        return path if os.path.islink(path) else self.plain(os.path.realpath(self.extended(path)))

    def quoted(self, word: str) -> str:
        # Both cmd and PowerShell accept double quotes. But PowerShell runs a quoted path only after a `&`, so a path
        # without blanks is not quoted.
        return word if _PLAIN.fullmatch(word) else '"' + word.replace('"', '\\"') + '"'

    def takes_escapes(self, fd: int) -> bool:
        return self._calls.takes_escapes(fd)

    def make_private(self, folder: Path) -> None:
        # With the rights of the parent folder. With mode 0o700, newer Pythons create a folder that only its creator and
        # administrators may use: after one elevated run the same person, or a colleague, could not use the project.
        folder.mkdir()

    def exchange(self, one: Path, other: Path, aside: Path) -> bool:
        """Exchanges two files: ``one`` also gets the rights and the streams of ``other``."""
        place, fresh, backup = (self.extended(str(path)) for path in (other, one, aside))
        try:
            self.patiently(lambda: self._calls.replace_file(place, fresh, backup))
        except OSError as error:
            # After one of its errors, the file has the backup's name.
            if aside.exists() and not other.exists():
                self.patiently(lambda: os.rename(aside, other))
            number = getattr(error, "winerror", None)
            if number in _NO_SUCH_STEP:
                return False
            if number in _NOT_MOVED:  # one of them was opened meanwhile
                raise PermissionError(errno.EACCES, error.strerror, str(other)) from error
            raise
        self.patiently(lambda: os.rename(aside, one))
        return True

    def gives_events(self, folder: str) -> bool:
        return not self._is_remote(folder)

    def _is_remote(self, path: str) -> bool:
        drive = os.path.splitdrive(self.plain(path))[0]
        if drive not in self._remote:
            with contextlib.suppress(OSError):
                self._remote[drive] = self._calls.is_remote(self.plain(path))
        return self._remote.get(drive, False)

    def may_pass(self, error: PermissionError) -> bool:
        # A file that is being deleted, or is open without shared deletion, is refused as "access denied".
        return getattr(error, "winerror", None) in (*_IN_USE, ACCESS_DENIED)


def _with(found: os.stat_result, **changed: int) -> os.stat_result:
    parts: Any = found.__reduce__()
    fields, more = parts[1]
    if "st_ino" in changed:
        fields = (fields[0], changed.pop("st_ino"), *fields[2:])
    return os.stat_result(fields, {**more, **changed})
