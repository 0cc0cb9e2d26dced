"""Replaces the content of a file that others replace or write at any time, and loses nothing that they wrote.

Two files exchange their names in one step. What came out of a step is then compared with what was put in before: what
differs is somebody's update, and gets the place back. A note, on disk before the first step, tells after a kill which
file is whose.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import msgspec

from reconcile.adapters.files import move_to_free, near, open_whole, read_bytes, remove, replace, write_whole
from reconcile.adapters.system import current

_MOST_STEPS = 32
"""Steps after which somebody who writes without a rest gets the last word, and the other file is kept."""

Swap: TypeAlias = Callable[[Path, Path], bool]
"""Gives two files each other's names in one step; False, with nothing changed, if there is no such step."""


class _Note(msgspec.Struct, frozen=True):
    """Digests of the content that goes in, and of the content that is to come out."""

    new: str
    old: str


class Exchange:
    """The exchange of one file's content. ``part`` is written first; ``fresh`` then has the new content, and after the
    step what came out."""

    def __init__(self, real: Path, swap: Swap) -> None:
        self._real = real
        self._swap = swap
        self.part = near(real, "part")
        self._fresh = near(real, "new")
        self._note = near(real, "swap")

    def put(self, new: bytes, old: bytes) -> bool:
        """Puts ``part``, which holds the new bytes, in the file's place if that has the old ones and nobody writes it.
        Gives whether it did. Raises OSError."""
        note = _Note(_digest(new), _digest(old))
        write_whole(self._note, msgspec.json.encode(note))
        replace(self.part, self._fresh)
        # As late as can be: an update after this look is out of its place until it has been put back, and whoever reads
        # the file meanwhile does not see it.
        if read_bytes(self._real) != old:
            self.settle()
            return False
        try:
            swapped = self._swap(self._fresh, self._real)
            if not swapped:
                replace(self._fresh, self._real)
        except PermissionError:  # Windows refuses while another process has the file open
            self.settle()
            return False
        is_done = self.settle()
        return is_done or not swapped

    def settle(self) -> bool:
        """Ends an exchange, also one that a kill interrupted: every file of others is in its place, or kept. Gives
        whether the new content is there, and the old came out as it was. Raises OSError."""
        is_done = False
        with contextlib.suppress(FileNotFoundError):
            remove(self.part)  # never anybody's but ours
        self._bring_back()
        note = self._read_note()
        with contextlib.suppress(FileNotFoundError):
            out = _content(self._fresh)
            if note is not None and out == note.new:
                remove(self._fresh)
            elif note is not None and out == note.old:
                remove(self._fresh)
                is_done = True
            elif note is not None:
                self._put_back(note.new)
            else:
                self._keep()
        with contextlib.suppress(FileNotFoundError):
            remove(self._note)
        return is_done

    def _bring_back(self) -> None:
        """Ends a step that a kill interrupted on Windows, whose step needs a third name."""
        if not current().is_windows:
            return
        aside = _aside(self._real)
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            move_to_free(aside, self._real)
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            move_to_free(aside, self._fresh)

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
            remove(self._fresh)
        else:
            self._keep()

    def _keep(self) -> None:
        """Gives what is somebody's a name that people see. It stays the same file, for they may have it open still."""
        for name in _kept_names(self._real, _content_of(self._fresh)):
            with contextlib.suppress(FileExistsError):
                move_to_free(self._fresh, name)
                return

    def _read_note(self) -> _Note | None:
        try:
            return msgspec.json.decode(read_bytes(self._note), type=_Note)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None


def left_beside(path: Path) -> list[Path]:
    """Files beside a database that hold updates of others which could not get their place, and what a run that was
    killed left until the next write puts it right."""
    real = Path(os.path.realpath(path))
    found = sorted(real.parent.glob(glob.escape(near(real, "kept-", lead="").name) + "*"))
    ours = (near(real, "new"), _aside(real))
    return [*found, *(path for path in ours if path.is_file())]


def _kept_names(real: Path, digest: str) -> Iterator[Path]:
    first = f"kept-{digest[:8]}"
    yield near(real, first, lead="")
    yield from (near(real, f"{first}-{number}", lead="") for number in itertools.count(2))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _content_of(path: Path) -> str:
    return _digest(read_bytes(path))


def _content(path: Path) -> str:
    """A digest of the file's content; empty while a process has it open for writing, so that it may still change."""
    with open_whole(path) as file:
        # In this order: a writer who is gone by the first look has left what the second one sees.
        return "" if current().has_writer(file.fileno()) else _digest(file.read())


def _aside(place: Path) -> Path:
    return near(place, "out")


def exchange(one: Path, other: Path) -> bool:
    """This system's ``Swap``. Raises OSError."""
    return current().exchange(one, other, _aside(other))
