"""Creates files below the local root: each is complete and verified before it gets its name, replaces nothing, and is
never created through a link."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from reconcile.adapters.disk_names import native
from reconcile.adapters.files import LONGEST_NAME, write_all
from reconcile.adapters.local.folder import OpenFolder, OpenFolders
from reconcile.adapters.opening import READ_FILE, hint, reason, split
from reconcile.adapters.system import current
from reconcile.core.digest import encode_crc32c
from reconcile.core.errors import NotThere, Rejected, SourceChanged, SourceError
from reconcile.core.pattern import Template
from reconcile.core.reach import Selection, is_ours
from reconcile.ports import Progress

CHUNK = 256 * 1024
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_WHICH = {5: 1, 6: 1, 7: 1, 8: 1, 9: 2, 10: 2, 11: 2}
"""How many letters at the end of a part's name, by the length of the name, come from the generation."""
_COMMON = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOINHERIT", 0) | getattr(os, "O_NOFOLLOW", 0)
_PART = os.O_RDWR | os.O_CREAT | _COMMON | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
_NOT_ON_WINDOWS = frozenset('<>"|?*') | frozenset(map(chr, range(32)))


class LocalPlaces:
    """Creates files below ``root``; ``ignore`` and ``rules`` are the same as the walk's. May be used by several threads
    at once."""

    def __init__(self, root: Path, *, ignore: Sequence[str] = (), rules: Sequence[Template] | None = None) -> None:
        self._root = current().extended(os.path.abspath(root))
        self._selection = Selection(ignore, rules, ignore_case=current().is_windows)
        self._freed = threading.Condition()
        self._busy: set[tuple[str, str]] = set()
        self._parts: dict[str, set[str]] = {}

    def refusal(self, path: str) -> str | None:
        """Returns why no file with this relative path can be created on this system, or None."""
        parts = split(path)
        if not parts:
            return "it is not a name below a folder of this system"
        system = current()
        if any(system.name_length(part) > LONGEST_NAME for part in parts):
            return f"a name in it is longer than {LONGEST_NAME} {system.name_unit}"
        if system.is_windows and any(_NOT_ON_WINDOWS & set(part) for part in parts):
            return "Windows does not allow a character in it"
        return None

    def ignores(self, path: str) -> bool:
        """Whether a walk would leave out a file with this path."""
        return self._selection.excludes(path)

    def rival(self, path: str) -> str | None:
        """Returns what blocks a file with this path, in words, or None.

        It may be a file with the name of one of its folders, or a folder with its own name.
        """
        parts = split(path)
        for count in range(1, len(parts) + 1):
            try:
                found = os.lstat(os.path.join(self._root, *map(native, parts[:count])))
            except OSError:
                return None
            if count < len(parts) and stat.S_ISREG(found.st_mode):
                return f"the file {'/'.join(parts[:count])}"
            if count == len(parts) and stat.S_ISDIR(found.st_mode):
                return f"the folder {path}"
        return None

    def begun(self, path: str, generation: int) -> int:
        """Returns how many bytes of this generation an interrupted run has left next to the path."""
        parts = split(path)
        beside = os.path.join(self._root, *map(native, parts[:-1]), _part_name(path, generation))
        try:
            found = os.lstat(beside)
        except OSError:
            return 0
        return found.st_size if stat.S_ISREG(found.st_mode) else 0

    def place(
        self,
        path: str,
        body: Callable[[int], Iterator[bytes]],
        *,
        size: int,
        crc32c: str,
        generation: int,
        modified_ns: int | None = None,
        progress: Progress | None = None,
    ) -> bool:
        """Creates the file with exactly this content, or not at all; the root and the folders are created first.

        ``body`` yields the content from an offset on; bytes that an earlier run left are not requested again. Returns
        False if a file with this content already existed when it was complete. Raises SourceChanged if something else
        is there, SourceError if it cannot be written, Rejected if the content does not have this size and crc32c, and
        what ``body`` raises; the bytes received until then are kept for the next time.
        """
        why = self.refusal(path)
        if why is not None:
            raise SourceError(f"the file {path} cannot be made here: {why}", hint="restore it on another system")
        above, slash, last = path.rpartition("/")
        meant = (size, crc32c)
        try:
            name = _part_name(path, generation)
            os.makedirs(self._root, exist_ok=True)
            with OpenFolders(self._root, _made) as folders, self._alone(folders.at(above + slash), name) as folder:
                part = _Part(folder, name, progress or (lambda _moved: None))
                try:
                    part.fill(body, meant, path)
                except NotThere:
                    part.drop()  # its generation is gone for good
                    raise
                placed = part.take_place(folder.spelled(last), meant, path, modified_ns)
                self._drop_older(folder, path, name)
                return placed
        except OSError as error:
            raise SourceError(
                f"the file {path} cannot be made: {reason(error)}",
                hint=hint(error, "check the disk and the rights on the folder, and that no part of the path is a link"),
            ) from error

    @contextlib.contextmanager
    def _alone(self, folder: OpenFolder, name: str) -> Iterator[OpenFolder]:
        """Yields the folder once no other file uses this part's name, which two files with short names may share."""
        place = (folder.path, name)
        with self._freed:
            while place in self._busy:
                self._freed.wait()
            self._busy.add(place)
        try:
            yield folder
        finally:
            with self._freed:
                self._busy.discard(place)
                self._freed.notify_all()

    def _drop_older(self, folder: OpenFolder, path: str, own: str) -> None:
        """Removes this file's parts of other generations, left by interrupted runs. Lists each folder once."""
        start, former = own[: -_WHICH[len(own)]], _former_start(path)
        with self._freed:
            if folder.path not in self._parts:
                self._parts[folder.path] = {name for name in folder.names() if is_ours(name)}
            parts = self._parts[folder.path]
            same = {name for name in parts if len(name) == len(own) and name.startswith(start)}
            older = {*same, *(name for name in parts if name.startswith(former))} - {own}
            older -= {name for where, name in self._busy if where == folder.path}
            parts -= older
        for name in older:
            with contextlib.suppress(OSError):
                folder.unlink(name)


def _made(folder: OpenFolder, name: str) -> OpenFolder:
    """Returns the folder of this name in another one, created if missing."""
    return folder.make(folder.spelled(name))


class _Part:
    """The part of a file that has arrived so far, next to its final place."""

    def __init__(self, folder: OpenFolder, name: str, progress: Progress) -> None:
        self._folder = folder
        self.name = name
        self._progress = progress

    def fill(self, body: Callable[[int], Iterator[bytes]], meant: tuple[int, str], path: str) -> None:
        """Appends what is missing.

        Raises Rejected if the content is not the expected one. Raises what ``body`` raises; the part is then kept.
        """
        before = self._folder.found(self.name)
        if before is not None and not stat.S_ISREG(before.st_mode):
            raise OSError(f"{self.name} is not a regular file")
        if before is not None and before.st_nlink > 1:
            # A run was killed between two steps: the part also has the file's name, and must not be written to.
            self.drop()
        fd = self._folder.open(self.name, _PART)
        with io.FileIO(fd, "r+") as file:
            found = self._add(file, body, meant, from_start=False)
            if found != meant:
                found = self._add(file, body, meant, from_start=True)
            os.fsync(fd)
        if found != meant:
            self.drop()
            raise Rejected(
                f"the bytes that came for {path} are not those of its checksum",
                hint="run again; `reconcile verify --deep` tells whether the object is damaged",
            )

    def _add(
        self, file: io.FileIO, body: Callable[[int], Iterator[bytes]], meant: tuple[int, str], *, from_start: bool
    ) -> tuple[int, str]:
        """Completes the part; returns the size and the crc32c of all of it."""
        from crc32c import crc32c as checksum

        size = file.seek(0, os.SEEK_END)
        if from_start or size > meant[0]:
            if from_start:
                self._progress(-size)
            file.truncate(0)
        file.seek(0)
        size, value = _summed(file, self._progress)
        if size < meant[0]:
            for chunk in body(size):
                write_all(file.fileno(), chunk)
                value = checksum(chunk, value)
                size += len(chunk)
                self._progress(len(chunk))
                if size > meant[0]:
                    break
        return size, encode_crc32c(value)

    def take_place(self, name: str, meant: tuple[int, str], path: str, modified_ns: int | None) -> bool:
        """Renames the part to this name; returns False if a file with the same content already has it.

        Raises SourceChanged if something else has the name.
        """
        try:
            if modified_ns is not None:
                self._set_modified(modified_ns)
            self._folder.move(self.name, name)
        except (FileExistsError, FileNotFoundError):  # another run may have moved our part, which is its own too
            same = self._holds(name, meant)
            self.drop()
            if same:
                return False
            raise SourceChanged(
                f"there is something else at {path} by now; it was left alone", hint="move it away and restore again"
            ) from None
        self._folder.sync()
        return True

    def _set_modified(self, modified_ns: int) -> None:
        fd = self._folder.open(self.name, _PART & ~os.O_CREAT)  # Windows flushes only files that are open for writing
        with io.FileIO(fd, "r+"):
            self._folder.set_modified(self.name, fd, modified_ns)
            os.fsync(fd)

    def drop(self) -> None:
        # If a virus scanner holds it for long, the next run removes it.
        with contextlib.suppress(FileNotFoundError, PermissionError):
            self._folder.unlink(self.name)

    def _holds(self, name: str, meant: tuple[int, str]) -> bool:
        found = self._folder.found(name)
        if found is None or not stat.S_ISREG(found.st_mode):
            return False
        with io.FileIO(self._folder.open(name, READ_FILE)) as file:
            if os.fstat(file.fileno()).st_size != meant[0]:
                return False
            size, value = _summed(file, lambda _moved: None)
        return (size, encode_crc32c(value)) == meant


def _summed(file: io.FileIO, progress: Progress) -> tuple[int, int]:
    """Returns the size and the crc32c of what is left to read of a file."""
    from crc32c import crc32c as checksum

    size = value = 0
    while chunk := file.read(CHUNK):
        value = checksum(chunk, value)
        size += len(chunk)
        progress(len(chunk))
    return size, value


def _part_name(path: str, generation: int) -> str:
    """Returns the name of the part of this generation of a file.

    It has at least five letters, and is otherwise no longer than the file's name, because some drives allow only short
    names.
    """
    length = len(path.rpartition("/")[2].encode("utf-8", "surrogateescape"))
    length = min(max(length, min(_WHICH)), max(_WHICH))
    which = _WHICH[length]
    return ".r-" + _digits(path, length - 3 - which) + _digits(str(generation), which)


def _digits(text: str, count: int) -> str:
    value = int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    return "".join(_ALPHABET[value // len(_ALPHABET) ** place % len(_ALPHABET)] for place in range(count))


def _former_start(path: str) -> str:
    """Returns how the names of this file's parts began in an earlier version."""
    shown = path.rpartition("/")[2].encode("utf-8", "surrogateescape")[:100].decode("utf-8", "ignore")
    return f".{shown}.{hashlib.sha256(path.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}."
