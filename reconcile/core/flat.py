"""Rows as bytes and back, for an engine that keeps them on disk.

Names may hold lone surrogates, which JSON, MessagePack and SQLite refuse; ``marshal`` keeps them, and every number as
it is. What is read back equals what was written, so change ids and fingerprints are those of the rows in memory.
"""

from __future__ import annotations

import marshal
from collections.abc import Mapping
from typing import Any

from msgspec.structs import astuple

from reconcile.core.catalogue import Asset, AssetState, Listed
from reconcile.core.opaque import Opaque
from reconcile.core.rows import (
    Agreed,
    Answer,
    Candidate,
    Claim,
    Document,
    FileProblem,
    KeyRow,
    LocalFile,
    Outlook,
    Recorded,
    RemoteObject,
    Retyped,
    Slot,
    Source,
    Stream,
    Unsettled,
    Unwanted,
    World,
)
from reconcile.core.way import Titled, Way

_PLAIN = (type(None), bool, int, float, str)
_WORLDS = tuple(World)
_OUTLOOKS = tuple(Outlook)
_STREAMS = (
    *(Stream.KEY, Stream.REFERENCE, Stream.ANSWER, Stream.CLAIM, Stream.RECORD, Stream.LOCAL_RECORD),
    *(Stream.LISTED, Stream.MARK, Stream.SOURCE),
)
_MARKS = (Unwanted, Unsettled, Recorded, Retyped)
_NUMBER = {each: at for each_of in (_WORLDS, _OUTLOOKS, _STREAMS) for at, each in enumerate(each_of)}


def packed(stream: Stream, value: Any) -> bytes:
    """A row of one of the streams that engines group, without its key."""
    match stream:
        case Stream.REFERENCE | Stream.ANSWER:
            parts = _flat_reference(value) if stream is Stream.REFERENCE else _flat_answer(value)
        case Stream.CLAIM:
            document, entry, field, key, rule, outlook, *rest = astuple(value)
            parts = (document, entry, field, key, rule, _NUMBER[outlook], *rest)
        case Stream.KEY:
            parts = _flat_key(value)
        case Stream.LISTED:
            parts = _flat_listed(value)
        case Stream.MARK:
            parts = (_MARKS.index(type(value)), value.key)
        case Stream.SOURCE:
            parts = astuple(value)
        case _:
            return packed_document(value, _NUMBER[stream])
    return marshal.dumps((_NUMBER[stream], parts))


def unpacked(data: bytes) -> tuple[Stream, Any]:
    """The stream and the value of such a row."""
    number, parts = marshal.loads(data)
    match stream := _STREAMS[number]:
        case Stream.REFERENCE:
            return stream, _reference(*parts)
        case Stream.ANSWER:
            return stream, _answer(*parts)
        case Stream.CLAIM:
            return stream, _claim(*parts)
        case Stream.KEY:
            return stream, _key(*parts)
        case Stream.LISTED:
            return stream, _listed(*parts)
        case Stream.MARK:
            return stream, _MARKS[parts[0]](parts[1])
        case Stream.SOURCE:
            return stream, Source(*parts)
        case _:
            return stream, _document(*parts)


def packed_document(document: Document, number: int = _NUMBER[Stream.RECORD]) -> bytes:
    """A document, by default as a row of the records. A value of a store's client that is no ``Opaque`` one stands in
    it as its repr, as in a plan."""
    rest = (document.id, document.update_time, document.stored_as)
    try:
        fields: Any = document.fields
        return marshal.dumps((number, (fields, *rest, False)))
    except ValueError:
        return marshal.dumps((number, (_flat_value(document.fields), *rest, True)))


def unpacked_document(data: bytes) -> Document:
    """The document again."""
    return _document(*marshal.loads(data)[1])


def _document(fields: Any, name: str, update_time: str, stored_as: str | None, is_flattened: bool) -> Document:
    return Document(name, _value(fields) if is_flattened else fields, update_time, stored_as)


def _flat_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _flat_value(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_flat_value(each) for each in value]
    return value if type(value) in _PLAIN else (repr(value),)


def _value(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _value(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_value(each) for each in value]
    return Opaque(value[0]) if isinstance(value, tuple) else value


def _flat_slot(slot: Slot) -> tuple[Any, ...]:
    at = tuple((step.title,) if isinstance(step, Titled) else step for step in slot.at)
    return slot.position, slot.entry, slot.field, slot.item, at, slot.is_name


def _slot(position: Any, entry: Any, field: str, item: Any, at: tuple[Any, ...], is_name: bool) -> Slot:
    way: Way = tuple(Titled(step[0]) if isinstance(step, tuple) else step for step in at) if at else ()
    return Slot(position, entry, field, item, way, is_name)


def _flat_reference(value: Candidate) -> tuple[Any, ...]:
    key, world, document, slot, *rest = astuple(value)
    return (key, _NUMBER[world], document, _flat_slot(slot), *rest)


def _reference(key: str, world: int, document: str, slot: tuple[Any, ...], *rest: Any) -> Candidate:
    return Candidate(key, _WORLDS[world], document, _slot(*slot), *rest)


def _flat_answer(value: Answer) -> tuple[Any, ...]:
    world, document, slot, rank, key, spelling, damaged, exact, outlook, *rest = astuple(value)
    flat = _flat_slot(slot)
    return (_NUMBER[world], document, flat, rank, key, spelling, damaged, exact, _NUMBER[outlook], *rest)


def _answer(world: int, document: str, slot: tuple[Any, ...], *parts: Any) -> Answer:
    rank, key, spelling, damaged, exact, outlook, *rest = parts
    return Answer(
        _WORLDS[world], document, _slot(*slot), rank, key, spelling, damaged, exact, _OUTLOOKS[outlook], *rest
    )


def _claim(document: str, entry: str, field: str, key: str, rule: int, outlook: int, *rest: Any) -> Claim:
    return Claim(document, entry, field, key, rule, _OUTLOOKS[outlook], *rest)


def _flat_key(value: KeyRow) -> tuple[Any, ...]:
    local, sides = value.local, (value.remote, value.agreed)
    file = None
    if local is not None:
        *look, problem, detail, twin = astuple(local)
        file = (*look, None if problem is None else problem.value, detail, twin)
    flat = (None if each is None else astuple(each) for each in sides)
    return value.key, value.path, file, *flat, value.local_known, value.remote_known


def _key(key: str, path: str | None, local: Any, remote: Any, agreed: Any, *known: bool) -> KeyRow:
    file = None
    if local is not None:
        path_there, size, mtime_ns, crc32c, problem, detail, twin = local
        problem = None if problem is None else FileProblem(problem)
        file = LocalFile(path_there, size, mtime_ns, crc32c, problem, detail, twin)
    found = None if remote is None else RemoteObject(*remote)
    return KeyRow(key, path, file, found, None if agreed is None else Agreed(*agreed), *known)


def _flat_listed(value: Listed) -> tuple[Any, ...]:
    rows = tuple((*seen, state.value, url) for *seen, state, url in map(astuple, value.assets))
    return value.key, rows, value.pending


def _listed(key: str, rows: tuple[tuple[Any, ...], ...], pending: bool) -> Listed:
    return Listed(key, tuple(_asset(*row) for row in rows), pending)


def _asset(*parts: Any) -> Asset:
    values: tuple[Any, ...] = (*parts[:-2], AssetState(parts[-2]), parts[-1])
    return Asset(*values)
