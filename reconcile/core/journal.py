"""The journal of a run, written while it works and read back later: the values before and after every change.

One file per run, one JSON line per event. The values before a write are on disk before the write is sent, so that even
a killed run can be shown and undone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any, TypeAlias, TypeVar

import msgspec

from reconcile.core.cost import Used
from reconcile.core.plan import Scope, Stores
from reconcile.core.report import Counts, Outcome, OutcomeKind, Status
from reconcile.core.rows import World
from reconcile.core.way import Way

FORMAT = "reconcile.journal/1"


class Place(Enum):
    """What happened to the map that contains a field."""

    KEPT = "kept"
    ADDED = "added"
    REMOVED = "removed"


class Touched(msgspec.Struct, frozen=True, kw_only=True):
    """One field of one map, before and after a write.

    ``had`` and ``has`` distinguish an absent field from one that is null. ``at`` is the path to a text in another
    place, or to the record's index.
    """

    id: str
    entry: str | None
    position: int | None
    field: str
    before: Any
    had: bool
    after: Any
    has: bool
    place: Place = Place.KEPT
    at: Way | msgspec.UnsetType = msgspec.UNSET

    @property
    def way(self) -> Way:
        """The path to the text; empty for a field of a map."""
        return () if self.at is msgspec.UNSET else self.at

    @property
    def is_index(self) -> bool:
        return len(self.way) == 1 and (isinstance(self.before, list) or isinstance(self.after, list))

    def reversed(self) -> Touched:
        other = {Place.ADDED: Place.REMOVED, Place.REMOVED: Place.ADDED, Place.KEPT: Place.KEPT}
        return msgspec.structs.replace(
            self, before=self.after, had=self.has, after=self.before, has=self.had, place=other[self.place]
        )


class RunStarted(msgspec.Struct, frozen=True, kw_only=True, tag_field="line", tag="run"):
    """The first line: the run, its scope and its stores. ``undoes`` is the run that this one undoes."""

    run_id: str
    started: str
    tool: str
    command: str
    scope: Scope
    stores: Stores
    fingerprint: str
    actions: int
    undoes: str | None = None
    format: str = FORMAT


class FieldsTouched(msgspec.Struct, frozen=True, kw_only=True, tag_field="line", tag="fields"):
    """These fields of a document are about to be written; a later line with the same ids replaces this one."""

    world: World
    document: str
    touched: tuple[Touched, ...]


class RecordMade(msgspec.Struct, frozen=True, kw_only=True, tag_field="line", tag="record"):
    """A document is about to be created."""

    id: str
    document: str
    fields: dict[str, Any]


class ChangeEnded(msgspec.Struct, frozen=True, kw_only=True, tag_field="line", tag="outcome"):
    """The outcome of one change.

    For an object: its URI, its content, and the generation before and after; ``source``, the URI of the object that it
    was copied from; ``content_type``, the one to be set, with the one before.
    """

    outcome: Outcome
    char_id: str | None = None
    asset_type: str | None = None
    uri: str | None = None
    size: int | None = None
    crc32c: str | None = None
    generation_before: int | None = None
    generation: int | None = None
    source: str | None = None
    content_type: str | None = None
    content_type_before: str | None = None


class RunEnded(msgspec.Struct, frozen=True, kw_only=True, tag_field="line", tag="end"):
    """The last line; a run without it was killed or is still running. ``used`` is null in older journals."""

    ended: str
    status: Status
    counts: Counts
    bytes: int
    seconds: float
    used: Used | None = None


Line: TypeAlias = RunStarted | FieldsTouched | RecordMade | ChangeEnded | RunEnded
LineT = TypeVar("LineT", bound=Line)


class JournaledRun(msgspec.Struct, frozen=True):
    """One run as recorded in its journal. ``end`` is None for a run that did not finish.

    ``unread`` counts lines that no run writes, which are skipped; a torn last line, which a kill leaves, does not
    count.
    """

    run: RunStarted
    fields: tuple[FieldsTouched, ...]
    made: tuple[RecordMade, ...]
    outcomes: tuple[ChangeEnded, ...]
    end: RunEnded | None
    unread: int = 0

    def written(self) -> dict[tuple[World, str], list[Touched]]:
        """Returns every field that the run wrote, or may have written, by (world, document), in the order of writing.

        The last attempt counts. A change whose outcome says that it was left alone wrote nothing.
        """
        left_alone = {each.outcome.id for each in self.outcomes if each.outcome.outcome in _LEFT_ALONE}
        found: dict[tuple[World, str], dict[str, Touched]] = {}
        for line in self.fields:
            for touched in line.touched:
                if touched.id not in left_alone:
                    found.setdefault((line.world, line.document), {})[touched.id] = touched
        return {place: list(fields.values()) for place, fields in found.items()}


_LEFT_ALONE = (OutcomeKind.STALE, OutcomeKind.BLOCKED, OutcomeKind.NOT_STARTED)


def encode(line: Line) -> bytes:
    return msgspec.json.encode(line, enc_hook=repr) + b"\n"


def past(data: bytes) -> JournaledRun | None:
    """Returns the run in a journal file, or None if the file has no ``RunStarted`` of this format."""
    lines = [_line(raw) for raw in data.split(b"\n")]
    run = next(_of(RunStarted, lines), None)
    if run is None or run.format != FORMAT:
        return None
    *_, end = (None, *_of(RunEnded, lines))
    return JournaledRun(
        run,
        fields=tuple(_of(FieldsTouched, lines)),
        made=tuple(_of(RecordMade, lines)),
        outcomes=tuple(_of(ChangeEnded, lines)),
        end=end,
        unread=lines[:-1].count(None),
    )


def _of(kind: type[LineT], lines: Iterable[Line | None]) -> Iterator[LineT]:
    return (line for line in lines if isinstance(line, kind))


def _line(raw: bytes) -> Line | None:
    try:
        return _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


_DECODER: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)
