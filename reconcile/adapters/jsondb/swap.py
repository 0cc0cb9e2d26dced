"""Replaces a file that others may write or replace at any time, without losing their writes.

The new file and the old one exchange their names in one step. The file that comes out is then compared with what was
read: if it differs, it is somebody's update, and is put back. A note, on disk before the first step, says after a kill
which file is which.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import msgspec

from reconcile.adapters.files import move_to_free, near, open_whole, read_bytes, remove, replace, write_whole
from reconcile.adapters.system import current

_MOST_STEPS = 32
"""Steps after which files are no longer put back: one version stays, and the other is kept next to it."""

Swap: TypeAlias = Callable[[Path, Path], bool]
"""Exchanges the names of two files in one step; False, with nothing changed, if the system has no such step."""


class _Note(msgspec.Struct, frozen=True):
    """Digests of the content that is put in, and of the content that should come out."""

    new: str
    old: str


class Exchange:
    """The exchange of one file's content.

    ``part`` is written first. It becomes ``fresh``, which holds the new content before the step, and afterwards what
    came out.
    """

    def __init__(self, real: Path, swap: Swap) -> None:
        self._real = real
        self._swap = swap
        self.part = near(real, "part")
        self._fresh = near(real, "new")
        self._note = near(real, "swap")

    def put(self, new: bytes, old: bytes) -> bool:
        """Puts ``part``, which holds the new content, in the file's place if the file holds the old and nobody is
        writing it.

        Returns whether it did. Raises OSError.
        """
        note = _Note(_digest(new), _digest(old))
        write_whole(self._note, msgspec.json.encode(note))
        replace(self.part, self._fresh)
        # Checked as late as possible: readers miss an update after this check until it has been put back.
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
        """Ends an exchange, also one that a kill interrupted: updates of others are put back, or kept.

        Returns whether the new content is in place and the old came out as it was read. Raises OSError.
        """
        is_done = False
        with contextlib.suppress(FileNotFoundError):
            remove(self.part)  # always our own
        self._bring_back()
        note = self._read_note()
        with contextlib.suppress(FileNotFoundError):
            out = _content(self._fresh)
            if note is None:
                self._keep()
            elif out in (note.new, note.old):
                remove(self._fresh)
                is_done = out != note.new
            else:
                self._put_back(note.new)
        with contextlib.suppress(FileNotFoundError):
            remove(self._note)
        return is_done

    def _bring_back(self) -> None:
        """Ends a step that a kill interrupted on Windows, where it needs a third name."""
        if not current().is_windows:
            return
        aside = _aside(self._real)
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            move_to_free(aside, self._real)
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            move_to_free(aside, self._fresh)

    def _put_back(self, ours: str) -> None:
        """Puts back what came out, until the file that comes out is the one put in before."""
        put = ours
        for _ in range(_MOST_STEPS):
            back = _content_of(self._fresh)
            try:
                # Checked as late as possible: what is written after this check is missed until the next step.
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
        """Gives an update of others a visible name. It stays the same file, because they may still have it open."""
        first = f"kept-{_content_of(self._fresh)[:8]}"
        for ending in itertools.chain([first], (f"{first}-{number}" for number in itertools.count(2))):
            with contextlib.suppress(FileExistsError):
                move_to_free(self._fresh, near(self._real, ending, lead=""))
                return

    def _read_note(self) -> _Note | None:
        try:
            return msgspec.json.decode(read_bytes(self._note), type=_Note)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None


def left_beside(path: Path) -> list[Path]:
    """Returns the files next to a database with updates that could not be put back, and a killed run's leftovers until
    the next write."""
    real = Path(os.path.realpath(path))
    found = sorted(real.parent.glob(glob.escape(near(real, "kept-", lead="").name) + "*"))
    ours = (near(real, "new"), _aside(real))
    return [*found, *(path for path in ours if path.is_file())]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _content_of(path: Path) -> str:
    return _digest(read_bytes(path))


def _content(path: Path) -> str:
    """Returns a digest of the file's content; empty while a process has it open for writing, so that it may still
    change."""
    with open_whole(path) as file:
        # In this order: a writer that is gone at the first check has written what the second one reads.
        return "" if current().has_writer(file.fileno()) else _digest(file.read())


def _aside(place: Path) -> Path:
    return near(place, "out")


def exchange(one: Path, other: Path) -> bool:
    """Exchanges two files in this system's way, as a ``Swap``. Raises OSError."""
    return current().exchange(one, other, _aside(other))
