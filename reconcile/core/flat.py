"""Encodes rows as bytes and decodes them, for an engine that keeps them on disk.

Names may contain lone surrogates, which JSON, MessagePack and SQLite refuse; ``marshal`` preserves them, and every
number exactly. Decoded rows equal the originals, so change ids and fingerprints are the same as for rows in memory.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any, NamedTuple, get_args, get_origin

import msgspec
from msgspec.structs import astuple

from reconcile.core.catalogue import Listed, Mark
from reconcile.core.opaque import Opaque
from reconcile.core.rows import (
    Answer,
    Candidate,
    Claim,
    Document,
    KeyRow,
    Source,
    Stream,
)
from reconcile.core.way import Titled, Way

_PLAIN = (type(None), bool, int, float, str)


class _Coder(NamedTuple):
    """The conversion of one type's values to values that ``marshal`` supports, and back."""

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def _coder(kind: Any) -> _Coder | None:
    """Returns the coder for a field of this type, or None if ``marshal`` supports its values. It never gets None."""
    if kind == Way:
        return _Coder(_flat_way, _way)
    if isinstance(kind, type) and issubclass(kind, Enum):
        members = tuple(kind)
        return _Coder({each: at for at, each in enumerate(members)}.__getitem__, members.__getitem__)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _struct_coder(kind)
    inner = next(filter(None, map(_coder, get_args(kind))), None)
    if inner is None or get_origin(kind) is not tuple:
        return inner
    return _Coder(lambda items: tuple(map(inner.write, items)), lambda items: tuple(map(inner.read, items)))


def _struct_coder(kind: type[msgspec.Struct]) -> _Coder:
    """Returns the coder of a struct as a tuple of its fields, derived from their types, so that it covers new
    fields."""
    coders = [(at, found) for at, each in enumerate(msgspec.structs.fields(kind)) if (found := _coder(each.type))]
    writes = [(at, each.write) for at, each in coders]
    reads = [(at, each.read) for at, each in coders]

    def write(value: Any) -> list[Any]:
        parts = list(astuple(value))
        for at, make in writes:
            if parts[at] is not None:
                parts[at] = make(parts[at])
        return parts

    def read(parts: list[Any]) -> Any:
        for at, make in reads:
            if parts[at] is not None:
                parts[at] = make(parts[at])
        return kind(*parts)

    return _Coder(write, read) if coders else _Coder(astuple, lambda parts: kind(*parts))


def _flat_way(way: Way) -> tuple[Any, ...]:
    return tuple((step.title,) if isinstance(step, Titled) else step for step in way) if way else ()


def _way(flat: tuple[Any, ...]) -> Way:
    return tuple(Titled(step[0]) if isinstance(step, tuple) else step for step in flat) if flat else ()


_KINDS: dict[Stream, type[msgspec.Struct]] = {
    Stream.KEY: KeyRow,
    Stream.REFERENCE: Candidate,
    Stream.ANSWER: Answer,
    Stream.CLAIM: Claim,
    Stream.MARK: Mark,
    Stream.LISTED: Listed,
    Stream.SOURCE: Source,
}
_DOCUMENTS = {Stream.RECORD, Stream.LOCAL_RECORD}  # to look up a member of an enumeration takes four times as long
_STREAMS = (Stream.RECORD, Stream.LOCAL_RECORD, *_KINDS)
_NUMBER = {stream: number for number, stream in enumerate(_STREAMS)}


@cache
def _coder_of(stream: Stream) -> _Coder:
    return _struct_coder(_KINDS[stream])


def packed(stream: Stream, value: Any) -> bytes:
    """Encodes a row of one of the streams that engines group, without its key.

    In a document, a value of a store's client that is not an ``Opaque`` appears as its repr, as in a plan.
    """
    number = _NUMBER[stream]
    if stream not in _DOCUMENTS:
        return marshal.dumps((number, _coder_of(stream).write(value)))
    rest = (value.id, value.update_time, value.stored_as)
    try:
        return marshal.dumps((number, (value.fields, *rest, False)))
    except ValueError:
        return marshal.dumps((number, (_flat_value(value.fields), *rest, True)))


def unpacked(data: bytes) -> tuple[Stream, Any]:
    """Returns the stream and the value of such a row."""
    number, parts = marshal.loads(data)
    stream = _STREAMS[number]
    if stream in _DOCUMENTS:
        return stream, _document(*parts)
    return stream, _coder_of(stream).read(parts)


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
