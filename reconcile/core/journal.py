"""What a run writes down while it works, and what is read back: the values before and after every change.

One file a run, one JSON line an event. The values before a write are on disk before the write is sent, so that a run
that was killed can be told, and undone, too.
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
    """What became of the map that a field is in."""

    KEPT = "kept"
    ADDED = "added"
    REMOVED = "removed"


class Touched(msgspec.Struct, frozen=True, kw_only=True):
    """One field of one map, as it was before a write and as it is after. ``had`` and ``has`` tell a field that is
    absent from one that holds null. ``at`` is the way to a text in another place, or to the record's index."""

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
        """The way to the text; empty for a field of a map."""
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
    """The first line: which run, of what, over which stores. ``undoes`` is the run that this one takes back."""

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
    """About to write these fields of a document; a later line with the same ids takes the place of this one."""

    world: World
    document: str
    touched: tuple[Touched, ...]


class RecordMade(msgspec.Struct, frozen=True, kw_only=True, tag_field="line", tag="record"):
    """About to create a document."""

    id: str
    document: str
    fields: dict[str, Any]


class ChangeEnded(msgspec.Struct, frozen=True, kw_only=True, tag_field="line", tag="outcome"):
    """What became of one change. For an object: its URI, its bytes, and the generation before and after; ``source``,
    the URI of the object that it was copied from; ``content_type``, the one to be set, with the one before."""

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
    """The last line; a run without it was killed, or is still at work. ``used`` is null in older journals."""

    ended: str
    status: Status
    counts: Counts
    bytes: int
    seconds: float
    used: Used | None = None


Line: TypeAlias = RunStarted | FieldsTouched | RecordMade | ChangeEnded | RunEnded
LineT = TypeVar("LineT", bound=Line)


class Past(msgspec.Struct, frozen=True):
    """One run as its journal tells it. ``end`` is None for a run that did not come to its end. ``unread`` is how many
    lines are not as a run writes them, and are passed over; a torn last one, as a kill leaves it, does not count."""

    run: RunStarted
    fields: tuple[FieldsTouched, ...]
    made: tuple[RecordMade, ...]
    outcomes: tuple[ChangeEnded, ...]
    end: RunEnded | None
    unread: int = 0

    def touched(self) -> list[tuple[World, str, Touched]]:
        """Every field that the run wrote, or may have written, as (world, document, fields), in the order of writing.
        The last attempt counts. A change whose outcome says that it was left alone wrote nothing."""
        left_alone = {each.outcome.id for each in self.outcomes if each.outcome.outcome in _LEFT_ALONE}
        found: dict[tuple[World, str, str], Touched] = {}
        for line in self.fields:
            for touched in line.touched:
                if touched.id not in left_alone:
                    found[line.world, line.document, touched.id] = touched
        return [(world, document, touched) for (world, document, _), touched in found.items()]


_LEFT_ALONE = (OutcomeKind.STALE, OutcomeKind.BLOCKED, OutcomeKind.NOT_STARTED)


def encode(line: Line) -> bytes:
    return msgspec.json.encode(line, enc_hook=repr) + b"\n"


def past(data: bytes) -> Past | None:
    """The run that a journal file tells of; None if the file has no ``RunStarted`` of this format."""
    lines = [_line(raw) for raw in data.split(b"\n")]
    run = next(_of(RunStarted, lines), None)
    if run is None or run.format != FORMAT:
        return None
    *_, end = (None, *_of(RunEnded, lines))
    return Past(
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
