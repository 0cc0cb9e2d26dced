"""Open folders below the local root. Names are used relative to a folder's descriptor, so links are never followed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from reconcile.adapters.disk_names import as_text, native
from reconcile.adapters.files import move_to_free, remove, sync_folder
from reconcile.adapters.opening import READ_FILE, READ_FOLDER, READ_ROOT
from reconcile.adapters.system import current
from reconcile.core.closing import Closing
from reconcile.core.names import nfc

_HELD = 6


class OpenFolder:
    """An open folder.

    If the system can, names are used relative to its descriptor, so that no link is followed even if one is created
    meanwhile. Elsewhere they are used by path, after checking that the path contains no link.
    """

    __slots__ = ("_fd", "path")

    def __init__(self, path: str, fd: int | None) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    def at_root(cls, root: str) -> OpenFolder:
        if current().by_component:
            return cls(root, os.open(root, READ_ROOT))
        return cls(os.path.realpath(root), None)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def enter(self, name: str) -> OpenFolder:
        """Returns the folder of this name in this one. Raises OSError, also for a link."""
        name = native(name)
        if self._fd is None:
            path = os.path.join(self.path, name)
            current().refuse_link(path)
            return OpenFolder(path, None)
        return OpenFolder(f"{self.path}{os.sep}{name}", os.open(name, READ_FOLDER, dir_fd=self._fd))

    def make(self, name: str) -> OpenFolder:
        """Returns the folder of this name in this one, created if missing. Raises OSError, also for a link."""
        try:
            os.mkdir(self._at(name), dir_fd=self._fd)
        except FileExistsError:
            return self.enter(name)
        below = self.enter(name)
        self.sync()
        return below

    def entries(self) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """Returns the entries, which are valid while this folder is open and have names as the system spells them."""
        return os.scandir(self.path if self._fd is None else self._fd)

    def stat(self, name: str) -> os.stat_result:
        """Returns the status of the entry of this name, a link's own for a link. Raises OSError."""
        if self._fd is None:
            return current().lstat(self._at(name))
        return os.stat(native(name), dir_fd=self._fd, follow_symlinks=False)

    def found(self, name: str) -> os.stat_result | None:
        """Returns the status like ``stat``, or None if no entry has this name. Raises OSError."""
        try:
            return self.stat(name)
        except FileNotFoundError:
            return None

    def target(self, name: str) -> str:
        """Returns the target of a link. Raises OSError."""
        return as_text(os.readlink(self._at(name), dir_fd=self._fd))

    def open(self, name: str, flags: int) -> int:
        """Returns a descriptor of the file of this name. Raises OSError, also for a link."""
        if self._fd is not None:
            return os.open(self._at(name), flags, 0o666, dir_fd=self._fd)
        system, path = current(), self._at(name)
        system.refuse_link(path)
        fd = system.open(path, flags)
        try:
            system.check_place(fd, path)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def is_being_written(self, name: str) -> bool:
        """Whether a program has the file open for writing, if the system can tell."""
        return current().is_being_written(self._at(name))

    def unlink(self, name: str) -> None:
        remove(self._at(name), folder=self._fd)

    def move(self, name: str, to: str) -> None:
        """Renames the file unless the new name is taken. Raises FileExistsError."""
        move_to_free(self._at(name), self._at(to), folder=self._fd)

    def set_modified(self, name: str, fd: int, modified_ns: int) -> None:
        times = (modified_ns, modified_ns)
        if os.utime in os.supports_fd:
            os.utime(fd, ns=times)
        else:
            os.utime(self._at(name), ns=times)

    def names(self) -> list[str]:
        return [as_text(name) for name in os.listdir(self.path if self._fd is None else self._fd)]

    def spelled(self, name: str) -> str:
        """Returns the name as the folder spells it, if the folder has it in exactly one other Unicode form."""
        if name.isascii() or self.found(name) is not None:
            return name
        alike = [each for each in self.names() if nfc(each) == nfc(name)]
        return alike[0] if len(alike) == 1 else name

    def sync(self) -> None:
        """Makes the names durable, if the system can flush a folder."""
        if self._fd is not None:
            sync_folder(self._fd)

    def _at(self, name: str) -> str:
        return native(name) if self._fd is not None else os.path.join(self.path, native(name))


class OpenFolders(Closing):
    """The folders below a root, opened on demand, each from its parent by ``step``.

    Only a few are kept open, because a tree may be deeper than the number of descriptors, and its paths longer than the
    system allows.
    """

    def __init__(self, root: str, step: Callable[[OpenFolder, str], OpenFolder] = OpenFolder.enter) -> None:
        self._root = root
        self._step = step
        self._open: dict[str, OpenFolder] = {}
        self._last: tuple[str, OpenFolder] | None = None

    def close(self) -> None:
        for folder in self._open.values():
            folder.close()
        self._open.clear()
        self._last = None

    def at(self, path: str) -> OpenFolder:
        """Returns the folder at this path below the root ("" or ending in ``/``), which stays open until a few others
        were requested. Raises OSError, also for a link on the way."""
        if self._last is not None and path == self._last[0]:
            return self._last[1]
        found = self._open.pop(path, None) or self._reach(path)
        self._open[path] = found
        if len(self._open) > _HELD:
            self._open.pop(next(iter(self._open))).close()
        self._last = path, found
        return found

    def _reach(self, path: str) -> OpenFolder:
        above, names = path, []
        while above and above not in self._open:
            above, name = _split(above)
            names.append(name)
        held = self._open.pop(above, None)
        if held is not None:
            self._open[above] = held  # as the most recently used one
        folder = held or OpenFolder.at_root(self._root)
        try:
            for name in reversed(names):
                below = self._step(folder, name)
                if folder is not held:
                    folder.close()
                folder = below
        except BaseException:
            if folder is not held:
                folder.close()
            raise
        return folder


def open_below(root: str, path: str) -> int:
    """Returns a descriptor for reading the file at this path below the root. Raises OSError, also for a link on the
    way."""
    above, slash, name = path.rpartition("/")
    with OpenFolders(root) as folders:
        return folders.at(above + slash).open(name, READ_FILE)


def _split(path: str) -> tuple[str, str]:
    above, slash, name = path.removesuffix("/").rpartition("/")
    return above + slash, name
