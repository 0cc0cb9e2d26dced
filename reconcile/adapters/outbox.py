"""PROJECT/.reconcile/outbox: what workflow code handed over while the cloud was away, one small file a note.

A note tells the next run what the walk alone could not: whose file it is. Losing one loses that, never the file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from reconcile.adapters.state import FOLDER
from reconcile.core.errors import SourceError
from reconcile.core.notes import Note, joined, overtaken

FORMAT = "reconcile.note/1"
_ENDING = ".json"
_FAILED = "failed"


class _Written(msgspec.Struct, frozen=True):
    format: str
    note: Note


class Outbox:
    """The outbox of a project folder. Safe for several threads and processes: a note is there whole or not at all, and
    one of the same file replaces the other. ``clock`` gives seconds since the epoch."""

    def __init__(self, project: Path, clock: Callable[[], float] = time.time) -> None:
        self._state = project / FOLDER
        self._folder = self._state / "outbox"
        self._clock = clock

    def add(self, notes: Iterable[Note]) -> None:
        """Notes these files, on disk when this returns. Raises SourceError."""
        listed = list(notes)
        self.overtake(listed)
        self._put(joined(_read(self._place(note.path)), note) for note in listed)

    def overtake(self, notes: Iterable[Note]) -> None:
        """Takes the places of these from the notes of other files: they were told something newer. Raises
        SourceError."""
        listed = [note for note in notes if note.places]
        changed = list(overtaken(self.notes(), listed)) if listed else []
        if changed:
            self._put(changed)

    def _put(self, notes: Iterable[Note]) -> None:
        try:
            self._make_folder()
            for note in notes:
                self._write(self._place(note.path), msgspec.json.encode(_Written(FORMAT, note)))
        except OSError as error:
            raise SourceError(
                f"the outbox {self._folder} cannot be written: {error.strerror}",
                hint="free some space, or give this user the right to write there",
            ) from error

    def notes(self) -> tuple[Note, ...]:
        """What is noted, in order of the path. A note that cannot be read is passed over: it is one for nobody."""
        found = (_read(path) for path in self._files())
        return tuple(sorted((note for note in found if note is not None), key=lambda note: note.path))

    def remove(self, notes: Iterable[Note]) -> None:
        """Forgets these, but for one that was noted otherwise since."""
        for note in notes:
            place = self._place(note.path)
            if _read(place) == note:
                with contextlib.suppress(OSError):
                    place.unlink(missing_ok=True)

    def failed(self) -> None:
        """Remembers that the cloud could not be reached just now."""
        with contextlib.suppress(OSError):
            self._make_folder()
            self._write(self._folder / _FAILED, repr(self._clock()).encode())

    def mended(self) -> None:
        """Forgets it."""
        with contextlib.suppress(OSError):
            (self._folder / _FAILED).unlink(missing_ok=True)

    def failed_within(self, seconds: float) -> bool:
        """Whether it could not be reached, less than so many seconds ago."""
        try:
            ago = self._clock() - float((self._folder / _FAILED).read_bytes())
        except (OSError, ValueError):
            return False
        return 0 <= ago < seconds

    def _files(self) -> list[Path]:
        try:
            return [self._folder / name for name in os.listdir(self._folder) if name.endswith(_ENDING)]
        except OSError:
            return []

    def _place(self, path: str) -> Path:
        # A digest, because a path may be longer than a name can be, and hold what a name cannot.
        name = hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return self._folder / f"{name}{_ENDING}"

    def _make_folder(self) -> None:
        for folder in (self._state, self._folder):
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
        ignored = self._state / ".gitignore"
        if not ignored.exists():
            ignored.write_text("*\n", encoding="utf-8")

    def _write(self, place: Path, data: bytes) -> None:
        beside = self._folder / f".{place.name}.{os.getpid()}.{threading.get_ident()}"
        try:
            fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, place)
        except OSError:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            raise


def _read(place: Path) -> Note | None:
    try:
        found = msgspec.json.decode(place.read_bytes(), type=_Written)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found.note if found.format == FORMAT else None
