"""PROJECT/.reconcile/outbox: a note for each file that workflow code handed over while the cloud was unreachable.

A note tells the next run what a walk cannot find out: the record that the file belongs to. If a note is lost, the file
itself is not.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from reconcile.adapters.files import LockBusy
from reconcile.adapters.state.folder import SMALL, StateFolder
from reconcile.core.errors import SourceError
from reconcile.core.notes import Note, joined, overtaken

FORMAT = "reconcile.note/1"
_ENDING = ".json"
_FAILED = "failed"
_LOCK = "outbox.lock"
PATIENCE = 2.0
"""Seconds to wait for others that change notes, which takes milliseconds unless a process is stopped meanwhile."""


class _Written(msgspec.Struct, frozen=True):
    format: str
    note: Note
    id: str = ""
    """Distinguishes equal notes: a file that is created again is noted again."""


class Outbox:
    """The outbox of a project folder; safe for several threads and processes.

    A note is written atomically, a second note of a file is joined with the first, and notes are changed and removed
    under a lock. ``clock`` returns seconds since the epoch; ``patience`` is how many seconds to wait for the lock.
    """

    def __init__(self, project: Path, clock: Callable[[], float] = time.time, *, patience: float = PATIENCE) -> None:
        self._state = StateFolder(project)
        self._folder = StateFolder(project, "outbox")
        self._clock = clock
        self._patience = patience
        self._seen: dict[str, str] = {}

    def add(self, notes: Iterable[Note]) -> None:
        """Writes these notes; they are on disk on return. Raises SourceError."""
        listed = list(notes)
        with self._alone():
            self._overtake(listed)
            self._put(joined(self._held(note.path), note) for note in listed)

    def overtake(self, notes: Iterable[Note]) -> None:
        """Removes the places that these notes name from older notes of other files. Raises SourceError."""
        listed = [note for note in notes if note.places]
        # Most calls find an empty outbox; otherwise it is read again under the lock.
        if listed and self._names():
            with self._alone():
                self._overtake(listed)

    def _overtake(self, notes: Iterable[Note]) -> None:
        listed = [note for note in notes if note.places]
        held = (found.note for found in self._all()) if listed else ()
        changed = list(overtaken(held, listed))
        if changed:
            self._put(changed)

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Holds the lock, so that nobody else changes a note between reading and writing it. Yields false if others
        hold it for too long: then nothing is removed, but writing without the lock is better than losing a note."""
        held = True
        with contextlib.ExitStack() as stack:
            try:
                stack.callback(self._state.lock(_LOCK, self._patience, poll=0.01).release)
            except LockBusy:
                held = False
            except OSError:  # the folder cannot be locked or written
                pass
            yield held

    def _put(self, notes: Iterable[Note]) -> None:
        try:
            self._folder.make()
            for note in notes:
                written = _Written(FORMAT, note, os.urandom(8).hex())
                self._folder.write(_name(note.path), msgspec.json.encode(written))
                self._seen[note.path] = written.id
        except OSError as error:
            raise SourceError(
                f"the outbox {self._folder.path} cannot be written: {error.strerror}",
                hint="free some space, or give this user the right to write there",
            ) from error

    def notes(self) -> tuple[Note, ...]:
        """Returns the readable notes, sorted by path."""
        found = self._all()
        self._seen.update((each.note.path, each.id) for each in found)
        return tuple(sorted((each.note for each in found), key=lambda note: note.path))

    def remove(self, notes: Iterable[Note]) -> None:
        """Removes these notes, each only if it is unchanged since this object read or added it."""
        listed = list(notes)
        if not listed or not self._names():
            return
        with self._alone() as alone:
            for note in listed if alone else ():  # a note that is left is removed by the next run
                name = _name(note.path)
                found = self._read(name)
                if found is not None and found.note == note and found.id == self._seen.get(note.path):
                    with contextlib.suppress(OSError):
                        self._folder.remove(name)

    def _all(self) -> list[_Written]:
        found = (self._read(name) for name in self._names())
        return [each for each in found if each is not None]

    def _held(self, path: str) -> Note | None:
        found = self._read(_name(path))
        return None if found is None else found.note

    def failed(self) -> None:
        """Remembers that the cloud is unreachable now."""
        with contextlib.suppress(OSError):
            self._folder.make()
            self._folder.write(_FAILED, repr(self._clock()).encode())

    def mended(self) -> None:
        """Forgets that the cloud was unreachable."""
        with contextlib.suppress(OSError):
            self._folder.remove(_FAILED)

    def failed_within(self, seconds: float) -> bool:
        """Whether the cloud was unreachable less than ``seconds`` ago."""
        try:
            ago = self._clock() - float(self._folder.read(_FAILED, SMALL) or b"nan")
        except (OSError, ValueError):
            return False
        return 0 <= ago < seconds

    def _names(self) -> list[str]:
        try:
            return [name for name in self._folder.names() if name.endswith(_ENDING)]
        except OSError:
            return []

    def _read(self, name: str) -> _Written | None:
        found = self._folder.value(name, _Written)
        return found if found is not None and found.format == FORMAT else None


def _name(path: str) -> str:
    # A digest, because a path may be longer than a file name and contain characters that one cannot.
    return hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()[:32] + _ENDING
