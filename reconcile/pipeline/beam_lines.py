"""The result of a planning on Beam as JSON lines, which can be read back from a place that nobody trusts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from reconcile.adapters.inventory.store import ReportedRows
from reconcile.core.changes import Change, Finding
from reconcile.core.errors import AccessDenied
from reconcile.core.report import Problem
from reconcile.core.rows import Agreed, FileProblem, LocalFile, Row, Source, Stream
from reconcile.pipeline.gaps import Denied, Gap, Store, Unread

_KINDS: dict[Stream, Any] = {
    Stream.CHANGE: Change,
    Stream.FINDING: Finding,
    Stream.AGREED: Agreed,
    Stream.SOURCE: Source,
}


class _RowLine(msgspec.Struct, frozen=True):
    """The value of a row, and its stream."""

    stream: Stream
    value: Any


def line(row: Row) -> str:
    """Returns a row of the result as a line. Raises an error for a value with lone surrogates, which no plan holds."""
    return msgspec.json.encode(_RowLine(row.stream, row.value), enc_hook=repr).decode()


def rows_of(lines: Iterable[str]) -> Iterator[Row]:
    """Yields the rows that the lines of a result hold. Raises msgspec.DecodeError."""
    for text in lines:
        found = msgspec.json.decode(text, type=_RowLine)
        value = msgspec.convert(found.value, _KINDS[found.stream])
        yield Row(found.stream, value.content if isinstance(value, Source) else "", value)


def as_line(value: msgspec.Struct) -> str:
    """Returns a gap, or what was noted, as a line."""
    return msgspec.json.encode(value).decode()


class Noted(msgspec.Struct, frozen=True):
    """Notes of a worker, in addition to what it read: that a part ``failed``; that no record may be read
    (``refused``); that some of the bucket was ``listed``; that the moment of the records ``lapsed``; the ``rows`` of a
    report; that a record ``has_entries`` under their name, or the ``array`` that the name may have meant; the number of
    keys ``in_step``, of ``objects`` in scope, and of ``files`` that a rule matches."""

    failed: Problem | None = None
    refused: Problem | None = None
    listed: bool = False
    lapsed: bool = False
    rows: ReportedRows = msgspec.field(default_factory=ReportedRows)
    has_entries: bool = False
    array: tuple[str, ...] = ()
    in_step: int = 0
    objects: int = 0
    files: int = 0

    def __add__(self, other: Noted) -> Noted:
        """Joins two. Of several problems one is kept, the same in any order."""
        return Noted(
            _first(self.failed, other.failed),
            _first(self.refused, other.refused),
            self.listed or other.listed,
            self.lapsed or other.lapsed,
            self.rows + other.rows,
            self.has_entries or other.has_entries,
            min(self.array, other.array) if self.array and other.array else self.array or other.array,
            self.in_step + other.in_step,
            self.objects + other.objects,
            self.files + other.files,
        )


def _first(one: Problem | None, other: Problem | None) -> Problem | None:
    if one is None or other is None:
        return one or other
    return min(one, other, key=lambda each: each.sentence)


def noted(lines: Iterable[str]) -> Noted:
    """Returns what all lines note, joined."""
    return joined(msgspec.json.decode(text, type=Noted) for text in lines)


def joined(notes: Iterable[Noted]) -> Noted:
    """Joins all notes."""
    return sum(notes, Noted())


class _GapLine(msgspec.Struct, frozen=True):
    """A gap: a folder, by its ``path``, which need not be valid text; or a part of a ``store``, by its name."""

    path: bytes = b""
    problem: FileProblem | None = None
    detail: str = ""
    store: Store | None = None
    name: str = ""
    why: Problem | None = None
    narrower: tuple[str, ...] = ()


def gap_line(gap: Gap) -> str:
    """Returns a part that was not read as a line."""
    if isinstance(gap, Denied):
        return as_line(_GapLine(store=gap.store, name=gap.name, why=Problem.of(gap.error), narrower=gap.narrower))
    folder = gap.folder
    return as_line(_GapLine(folder.path.encode("utf-8", "surrogatepass"), folder.problem, folder.detail))


def gaps_of(lines: Iterable[str]) -> list[Gap]:
    """Returns the gaps that the lines name, each once, always in the same order."""
    parts: dict[tuple[Store | None, str], Gap] = {}
    for text in sorted(set(lines)):
        found = msgspec.json.decode(text, type=_GapLine)
        name = found.name if found.store is not None else found.path.decode("utf-8", "surrogatepass")
        parts.setdefault((found.store, name), _gap(found, name))
    return list(parts.values())


def _gap(found: _GapLine, name: str) -> Gap:
    if found.store is None or found.why is None:
        return Unread(LocalFile(name, 0, 0, problem=found.problem, detail=found.detail))
    return Denied(found.store, name, AccessDenied(found.why.message, hint=found.why.hint), found.narrower)
