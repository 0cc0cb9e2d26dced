"""PROJECT/.reconcile/outbox: what workflow code handed over while the cloud was away, one small file a note.

A note tells the next run what the walk alone could not: whose file it is. Losing one loses that, never the file.
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
"""Seconds to wait for others that change notes. It takes each some milliseconds, but a process may be stopped in it."""


class _Written(msgspec.Struct, frozen=True):
    format: str
    note: Note
    id: str = ""
    """Tells two notes apart that say the same: a file that was made anew is noted anew."""


class Outbox:
    """The outbox of a project folder. Safe for several threads and processes: a note is there whole or not at all, one
    of the same file takes in the places of the other, and who changes or removes notes does so alone. ``clock`` gives
    seconds since the epoch, ``patience`` is how many of them others are waited for."""

    def __init__(self, project: Path, clock: Callable[[], float] = time.time, *, patience: float = PATIENCE) -> None:
        self._state = StateFolder(project)
        self._folder = StateFolder(project, "outbox")
        self._clock = clock
        self._patience = patience
        self._seen: dict[str, str] = {}

    def add(self, notes: Iterable[Note]) -> None:
        """Notes these files, on disk when this returns. Raises SourceError."""
        listed = list(notes)
        with self._alone():
            self._overtake(listed)
            self._put(joined(self._held(note.path), note) for note in listed)

    def overtake(self, notes: Iterable[Note]) -> None:
        """Takes the places of these from the notes of other files: they were told something newer. Raises
        SourceError."""
        listed = [note for note in notes if note.places]
        # Most calls find an empty outbox, and one that is not is looked at again by who may change it.
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
    def _alone(self, *, at_any_rate: bool = True) -> Iterator[bool]:
        """While nobody else changes notes: no change may be made from what was read before another one. Gives whether
        that is so. What others keep to themselves for too long is changed ``at_any_rate``: a call must not be lost."""
        held = True
        with contextlib.ExitStack() as stack:
            try:
                stack.callback(self._state.lock(_LOCK, self._patience, poll=0.01).release)
            except LockBusy:
                held = at_any_rate
            except OSError:  # no lock can be had there, or nothing can be written
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
        """What is noted, in order of the path. A note that cannot be read is passed over: it is one for nobody."""
        found = self._all()
        self._seen.update((each.note.path, each.id) for each in found)
        return tuple(sorted((each.note for each in found), key=lambda note: note.path))

    def remove(self, notes: Iterable[Note]) -> None:
        """Forgets these, each only if it still is the very note that was read or added here."""
        listed = list(notes)
        if not listed or not self._names():
            return
        with self._alone(at_any_rate=False) as alone:
            for note in listed if alone else ():  # a note too many is cleared by the next run
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
        """Remembers that the cloud could not be reached just now."""
        with contextlib.suppress(OSError):
            self._folder.make()
            self._folder.write(_FAILED, repr(self._clock()).encode())

    def mended(self) -> None:
        """Forgets it."""
        with contextlib.suppress(OSError):
            self._folder.remove(_FAILED)

    def failed_within(self, seconds: float) -> bool:
        """Whether it could not be reached, less than ``seconds`` ago."""
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
    # A digest, because a path may be longer than a name can be, and hold what a name cannot.
    return hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()[:32] + _ENDING
