"""Replaces the content of a file that others replace or write at any time, and loses nothing that they wrote.

Two files exchange their names in one step. What came out of a step is then compared with what was put in before: what
differs is somebody's update, and gets the place back. A note, on disk before the first step, tells after a kill which
file is whose.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import msgspec

from reconcile.adapters.files import move_to_free, write_whole

_NO_SUCH_STEP = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)
_MOST_STEPS = 32
"""Steps after which somebody who writes without a rest gets the last word, and the other file is kept."""

Swap: TypeAlias = Callable[[Path, Path], bool]
"""Gives two files each other's names in one step; False, with nothing changed, if there is no such step."""


class _Note(msgspec.Struct, frozen=True):
    """Digests of the content that goes in, and of the content that is to come out."""

    new: str
    old: str


class Exchange:
    """The exchange of one file's content. ``part`` is written first, ``fresh`` holds what is whole: ours before the
    step, and afterwards what came out. ``kept`` are the files of others that came out and have no place any more."""

    def __init__(self, real: Path, swap: Swap) -> None:
        self._real = real
        self._swap = swap
        self.part = real.with_name(f".{real.name}.part")
        self._fresh = real.with_name(f".{real.name}.new")
        self._note = real.with_name(f".{real.name}.swap")
        self.kept: list[Path] = []

    def put(self, new: bytes, old: bytes) -> bool:
        """Puts ``part``, which holds the new bytes, in the file's place if that has the old ones and nobody writes it.

        Gives whether it did. Raises OSError.
        """
        note = _Note(_digest(new), _digest(old))
        write_whole(self._note, msgspec.json.encode(note))
        os.replace(self.part, self._fresh)
        # As late as can be: an update after this look is out of its place until it has been put back, and whoever reads
        # the file meanwhile does not see it.
        if self._real.read_bytes() != old:
            self.settle()
            return False
        try:
            swapped = self._swap(self._fresh, self._real)
            if not swapped:
                os.replace(self._fresh, self._real)
        except PermissionError:  # Windows refuses while another process has the file open
            self.settle()
            return False
        is_done = self.settle()
        return is_done or not swapped

    def settle(self) -> bool:
        """Ends an exchange, also one that a kill interrupted: every file of others is in its place, or kept.

        Gives whether the new content stands, and the old came out as it was. Raises OSError.
        """
        is_done = False
        with contextlib.suppress(FileNotFoundError):
            self.part.unlink()  # never anybody's but ours
        note = self._read_note()
        with contextlib.suppress(FileNotFoundError):
            out = _content(self._fresh)
            if note is not None and out == note.new:
                self._fresh.unlink()
            elif note is not None and out == note.old:
                self._fresh.unlink()
                is_done = True
            elif note is not None:
                self._put_back(note.new)
            else:
                self._keep()
        with contextlib.suppress(FileNotFoundError):
            self._note.unlink()
        return is_done

    def _put_back(self, ours: str) -> None:
        """Gives the place to what came out, until what comes out next is what was put in the time before."""
        put = ours
        for _ in range(_MOST_STEPS):
            back = _content_of(self._fresh)
            try:
                # As late as can be: what is written after this look is out of its place until the next step.
                if put == ours and _content_of(self._real) != ours:
                    break
                self._swap(self._fresh, self._real)
            except FileNotFoundError:  # some writers remove the file first
                break
            out = _content(self._fresh) if put == ours else _content_of(self._fresh)
            if out == put:
                break
            put = back
        if _content(self._fresh) == ours:
            self._fresh.unlink()
        else:
            self._keep()

    def _keep(self) -> None:
        """Gives what is somebody's a name that people see. It stays the same file, for they may have it open still."""
        for name in _kept_names(self._real, _content_of(self._fresh)):
            try:
                move_to_free(self._fresh, name)
            except FileExistsError:
                continue
            self.kept.append(name)
            return

    def _read_note(self) -> _Note | None:
        try:
            return msgspec.json.decode(self._note.read_bytes(), type=_Note)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None


def left_beside(path: Path) -> list[Path]:
    """Files beside a database that hold updates of others which could not get their place, and what a run that was
    killed left until the next write puts it right."""
    real = Path(os.path.realpath(path))
    found = sorted(real.parent.glob(f"{_escaped(real.name)}.kept-*"))
    fresh = real.with_name(f".{real.name}.new")
    return [*found, fresh] if fresh.is_file() else found


def _kept_names(real: Path, digest: str) -> Iterator[Path]:
    yield real.with_name(f"{real.name}.kept-{digest[:8]}")
    yield from (real.with_name(f"{real.name}.kept-{digest[:8]}-{number}") for number in itertools.count(2))


def _escaped(name: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _content_of(path: Path) -> str:
    return _digest(path.read_bytes())


def _content(path: Path) -> str:
    """A digest of the file's content; empty while a process has it open for writing, so that it may still change."""
    with path.open("rb", buffering=0) as file:
        # In this order: a writer who is gone by the first look has left what the second one sees.
        return "" if _has_writer(file.fileno()) else _digest(file.readall())


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
    """A ``Swap`` for Linux, if the file system has that step. Raises OSError."""
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
