"""A Windows for tests, on Linux: its rules over open files, and the calls that only it has.

``FakeWindows`` is the value that the program is handed. ``rules`` also puts the rules behind Python's own functions, so
that they hold for the program, for its libraries and for the test's hands alike. What it holds:

- a file that is open in this process is not renamed or removed unless each opening shares that (WinError 32), and is
  not replaced by ``os.replace`` at all (WinError 32, or 5 if sharing was the only thing in order);
- ``os.rename`` never replaces a file;
- ``os.fsync`` refuses what is open for reading only; there is no ``dir_fd``;
- the time of a file that is open for writing stands still, ``st_ctime`` is the creation's, a folder's entries have no
  file id and may have an old size;
- a lock file goes with its lock unless it is told to stay.

What it cannot hold: access lists, how long NTFS keeps a time back, drives of other machines, reparse points other than
symbolic links, names that differ in case only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import pytest

from reconcile.adapters.system import using
from reconcile.adapters.windows import ACCESS_DENIED, SHARING_VIOLATION, Windows

if sys.platform != "win32":
    import fcntl

_open, _stat, _lstat, _fstat = os.open, os.stat, os.lstat, os.fstat
_replace, _rename, _unlink, _fsync = os.replace, os.rename, os.unlink, os.fsync
_scandir, _link, _mkdir = os.scandir, os.link, os.mkdir

Id = tuple[int, int]


def refusal(winerror: int, path: object) -> PermissionError:
    """The error as Windows' Python raises it."""
    error = PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))  # type: ignore[arg-type]
    error.winerror = winerror  # type: ignore[attr-defined]
    return error


class Handles:
    """The files that are open in this process, and how each opening shares them."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        """Held while a file is opened or looked up: on Windows an opening and what it shares are one step."""
        self.shared: dict[int, Id] = {}
        """Descriptors that let others rename and remove the file."""
        self.refusing_readers: set[Id] = set()
        """Files that another program has open and lets nobody read."""
        self.refusing: dict[Id, int] = {}
        """Files that a scanner holds, and how many more steps it refuses."""
        self.times: dict[Id, int] = {}
        self.born: dict[Id, int] = {}
        self.violations: list[tuple[str, str]] = []

    def of(self, file: Id) -> list[tuple[int, bool]]:
        """The openings of a file: its descriptor, and whether it may write."""
        found = []
        for name in os.listdir("/proc/self/fd"):
            fd = int(name)
            try:
                if _id(_fstat(fd)) == file:
                    found.append((fd, fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY))
            except OSError:
                continue
        return found

    def is_shared(self, fd: int, file: Id) -> bool:
        return self.shared.get(fd) == file

    def check(self, path: Any, step: str, *, replaced: bool = False, folder: int | None = None) -> None:
        """Raises what Windows does for a file that may not be renamed, removed or replaced now."""
        with self.lock:
            self._check(path, step, replaced=replaced, folder=folder)

    def _check(self, path: Any, step: str, *, replaced: bool, folder: int | None) -> None:
        try:
            found = _stat(path, dir_fd=folder, follow_symlinks=False)
        except OSError:
            return
        if not stat.S_ISREG(found.st_mode):
            return
        file = _id(found)
        left = self.refusing.get(file, 0)
        if left > 0:
            self.refusing[file] = left - 1
            raise refusal(SHARING_VIOLATION, path)
        openings = self.of(file)
        if any(not self.is_shared(fd, file) for fd, _ in openings):
            self.violations.append((step, os.fspath(path)))
            raise refusal(SHARING_VIOLATION, path)
        if openings and replaced:
            self.violations.append((step, os.fspath(path)))
            raise refusal(ACCESS_DENIED, path)

    def with_times(self, found: os.stat_result) -> os.stat_result:
        """The times that Windows gives: of the last writing that was closed, and of the file's creation."""
        if not stat.S_ISREG(found.st_mode):
            return found
        file = _id(found)
        born = self.born.setdefault(file, found.st_ctime_ns)
        if any(writes for _, writes in self.of(file)):
            modified = self.times.setdefault(file, found.st_mtime_ns)
        else:
            self.times.pop(file, None)
            modified = found.st_mtime_ns
        kind, (fields, more) = found.__reduce__()  # type: ignore[misc]
        return kind(fields, {**more, "st_mtime_ns": modified, "st_ctime_ns": born})  # type: ignore[operator,no-any-return]


class FakeCalls:
    """The calls that Python does not have, on Linux."""

    def __init__(self, handles: Handles) -> None:
        self._handles = handles
        self.has_replace_file = True
        self.old_consoles: set[int] = set()
        """Descriptors of consoles that know no escape sequences."""
        self.drives: dict[str, str] = {}
        """Drives that stand for folders elsewhere."""
        self.remote = False
        self.account = "BUILTIN\\Administrators"

    def open_shared(self, path: str, *, deny_writers: bool = False) -> int:
        with self._handles.lock:
            return self._open_shared(path, deny_writers=deny_writers)

    def _open_shared(self, path: str, *, deny_writers: bool) -> int:
        fd = _open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        found = _fstat(fd)
        if stat.S_ISREG(found.st_mode):
            file = _id(found)
            others = [writes for other, writes in self._handles.of(file) if other != fd]
            if file in self._handles.refusing_readers or (deny_writers and any(others)):
                os.close(fd)
                raise refusal(SHARING_VIOLATION, path)
            self._handles.shared[fd] = file
        return fd

    def final_path(self, fd: int) -> str:
        return os.readlink(f"/proc/self/fd/{fd}")

    def changed_ns(self, file: str | int) -> int:
        return (_fstat(file) if isinstance(file, int) else _lstat(file)).st_ctime_ns

    def replace_file(self, place: str, fresh: str, backup: str) -> None:
        """In one step as far as readers can tell: the place is never empty."""
        if not self.has_replace_file:
            error = OSError(errno.EINVAL, os.strerror(errno.EINVAL), place)
            error.winerror = 50  # type: ignore[attr-defined]
            raise error
        for path in (place, fresh):
            self._handles.check(path, "replace_file")
        kept = _stat(place)
        _link(place, backup)
        _replace(fresh, place)
        os.chmod(place, stat.S_IMODE(kept.st_mode))

    def takes_escapes(self, fd: int) -> bool:
        return fd not in self.old_consoles

    def drive_target(self, drive: str) -> str:
        return self.drives.get(drive, drive)

    def is_remote(self, path: str) -> bool:
        return self.remote or path.startswith("\\\\")

    def owner(self, path: str) -> str:
        _stat(path)
        return self.account


class FakeWindows(Windows):
    """Windows as the program is handed it."""

    waits = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.05, 0.05, 0.05, 0.05)

    def __init__(self) -> None:
        self.handles = Handles()
        self.calls = FakeCalls(self.handles)
        super().__init__(self.calls)
        self.elsewhere = False
        self.denied: Path | None = None
        """A folder in which this user has no right to make a file."""

    def open(self, path: Path | str, flags: int, mode: int = 0o666, *, folder: int | None = None) -> int:
        if self.denied is not None and flags & os.O_CREAT and Path(path).is_relative_to(self.denied):
            raise refusal(ACCESS_DENIED, path)
        return super().open(path, flags, mode, folder=folder)

    def is_elsewhere(self, found: os.stat_result) -> bool:
        return self.elsewhere or super().is_elsewhere(found)

    def extended(self, path: str) -> str:
        return path  # the test's paths are Linux'

    def spelled(self, path: str) -> str:
        found = Path("/")
        for part in Path(path).parts[1:]:
            there = os.listdir(found) if found.is_dir() else []
            alike = [part] if part in there else [name for name in there if name.casefold() == part.casefold()]
            found /= alike[0] if alike else part
        return str(found)


class _Entry:
    """A folder's entry as Windows keeps it: without a file id, and with the size that it had before it was opened."""

    def __init__(self, entry: os.DirEntry[Any]) -> None:
        self._entry = entry
        self.name = entry.name
        self.path = entry.path

    def __fspath__(self) -> Any:
        return self.path

    def inode(self) -> int:
        return 0

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self._entry.is_dir(follow_symlinks=follow_symlinks)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return self._entry.is_file(follow_symlinks=follow_symlinks)

    def is_symlink(self) -> bool:
        return self._entry.is_symlink()

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        kind, (fields, more) = self._entry.stat(follow_symlinks=follow_symlinks).__reduce__()  # type: ignore[misc]
        fields = (fields[0], 0, 0, *fields[3:6], 0, *fields[7:])  # type: ignore[index,misc]
        return kind(fields, more)  # type: ignore[operator,no-any-return]


class _Entries:
    def __init__(self, path: Any) -> None:
        self._found = _scandir(path)

    def __enter__(self) -> _Entries:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> _Entries:
        return self

    def __next__(self) -> _Entry:
        return _Entry(next(self._found))

    def close(self) -> None:
        self._found.close()


class _VanishingLock(filelock.FileLock):  # type: ignore[misc,valid-type]
    """A lock file that goes with its lock, unless it is told to stay."""

    def _release(self) -> None:
        super()._release()
        if not self._settings.preserve_lock_file:
            with contextlib.suppress(OSError):
                _unlink(self.lock_file)


@contextlib.contextmanager
def rules(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWindows]:
    """Windows' rules behind Python's functions, and a ``FakeWindows`` as the system, for a while."""
    system = FakeWindows()
    handles = system.handles

    def refuse_folder(*folders: int | None) -> None:
        if any(folder is not None for folder in folders):
            raise NotImplementedError("dir_fd unavailable on this platform")

    def replace(path: Any, place: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        refuse_folder(src_dir_fd, dst_dir_fd)
        handles.check(path, "replace")
        handles.check(place, "replace over", replaced=True)
        _replace(path, place)

    def rename(path: Any, place: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        refuse_folder(src_dir_fd, dst_dir_fd)
        if os.path.lexists(place):
            error = FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(place))
            error.winerror = 183  # type: ignore[attr-defined]
            raise error
        handles.check(path, "rename")
        _rename(path, place)

    def unlink(path: Any, *, dir_fd: int | None = None) -> None:
        # shutil removes trees by descriptor where it can; that is the test's own tidying.
        handles.check(path, "unlink", folder=dir_fd)
        _unlink(path, dir_fd=dir_fd)

    def fsync(file: Any) -> None:
        fd = file if isinstance(file, int) else file.fileno()
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        _fsync(fd)

    def mkdir(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        refuse_folder(dir_fd)
        _mkdir(path, mode)

    def stat_(path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        return handles.with_times(_stat(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks))

    def lstat(path: Any, *, dir_fd: int | None = None) -> os.stat_result:
        return handles.with_times(_lstat(path, dir_fd=dir_fd))

    def fstat(fd: int) -> os.stat_result:
        return handles.with_times(_fstat(fd))

    for name, function in (
        ("replace", replace),
        ("rename", rename),
        ("unlink", unlink),
        ("remove", unlink),
        ("fsync", fsync),
        ("mkdir", mkdir),
        ("stat", stat_),
        ("lstat", lstat),
        ("fstat", fstat),
        ("scandir", _Entries),
    ):
        monkeypatch.setattr(os, name, function)
    monkeypatch.setattr(os, "supports_fd", os.supports_fd - {os.utime})
    monkeypatch.setattr(shutil, "_use_fd_functions", False)
    monkeypatch.setattr(filelock, "FileLock", _VanishingLock)
    with using(system):
        yield system


class Scanner(threading.Thread):
    """A virus scanner: it opens each fresh file below a folder for a while, and does not share its removal."""

    def __init__(self, folder: Path, held: float = 0.02) -> None:
        super().__init__(daemon=True)
        self._folder = folder
        self._held = held
        self._over = threading.Event()
        self._seen: set[tuple[int, int, int]] = set()
        self.opened = 0

    def run(self) -> None:
        while not self._over.is_set():
            for path in self._fresh():
                with contextlib.suppress(OSError):
                    fd = _open(path, os.O_RDONLY)
                    self.opened += 1
                    self._over.wait(self._held)
                    os.close(fd)
            self._over.wait(0.001)

    def _fresh(self) -> list[str]:
        found = []
        for folder, _, names in os.walk(self._folder):
            for name in names:
                path = os.path.join(folder, name)
                with contextlib.suppress(OSError):
                    looked = _lstat(path)
                    key = (looked.st_dev, looked.st_ino, looked.st_mtime_ns)
                    if stat.S_ISREG(looked.st_mode) and key not in self._seen:
                        self._seen.add(key)
                        found.append(path)
        return found

    def __enter__(self) -> Scanner:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def _id(found: os.stat_result) -> Id:
    return found.st_dev, found.st_ino


@pytest.fixture(autouse=True)
def on_each_system(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs each test of the module that imports this by the rules of this system, and by those of Windows.

    Tests that are marked ``posix`` hold something that Windows does not have.
    """
    which = str(request.param)
    if which == "windows":
        if mark := request.node.get_closest_marker("posix"):
            pytest.skip(mark.args[0])
        with rules(request.getfixturevalue("monkeypatch")):
            yield which
    else:
        yield which


def systems_of(metafunc: pytest.Metafunc) -> list[str]:
    """The systems that a test runs on."""
    if os.name == "nt" or metafunc.definition.get_closest_marker("posix"):
        return ["here"]
    return ["here", "windows"]
