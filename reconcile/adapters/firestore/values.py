"""Firestore's value messages as plain Python and back, losing nothing.

Null, booleans, integers, floats, text, arrays and maps become plain values. Everything else (timestamps, bytes, points,
references, vectors, kinds that are yet to come) stays the message that it is, and goes back as it came.
Imports Google's client: import this module only where it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from google.cloud.firestore_v1.types.document import Value as _Value
from google.protobuf.timestamp_pb2 import Timestamp

Value = _Value.pb()
"""The raw message: many times cheaper to read than its wrapper."""

_PLAIN = frozenset({"boolean_value", "integer_value", "double_value", "string_value"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TYPED_MAP = "__type__"
"""The key by which a map stands for something else, such as a vector."""


def decode_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a document or a map, in the order of their names (the wire has none)."""
    return {name: decode(fields[name]) for name in sorted(fields)}


def decode(value: Any) -> Any:
    """A plain value, or the message itself if Python has no equal of it."""
    kind = value.WhichOneof("value_type")
    if kind in _PLAIN:
        return getattr(value, kind)
    if kind == "array_value":
        return [decode(each) for each in value.array_value.values]
    if kind == "map_value" and _TYPED_MAP not in value.map_value.fields:
        return decode_fields(value.map_value.fields)
    return None if kind == "null_value" else value


def encode_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Messages of the fields, by name. Raises ValueError or TypeError if a value has no place in Firestore."""
    return {name: encode(value) for name, value in fields.items()}


def encode(value: Any) -> Any:
    """The message of a plain value; a message stays itself. Raises ValueError or TypeError."""
    match value:
        case None:
            return Value(null_value=0)
        case bool():
            return Value(boolean_value=value)
        case int():
            return Value(integer_value=value)
        case float():
            return Value(double_value=value)
        case str():
            return Value(string_value=value)
        case list() | tuple():
            return Value(array_value={"values": [encode(each) for each in value]})
        case Mapping():
            return Value(map_value={"fields": encode_fields(value)})
        case Value():
            return value
        case _:
            raise TypeError(f"a {type(value).__name__} is not a value of Firestore's")


def same_fields(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two sets of messages are the same, bit by bit (NaN equals itself, 1 is not 1.0)."""
    return one.keys() == other.keys() and all(_canonical(one[name]) == _canonical(other[name]) for name in one)


def token(timestamp: Any) -> str:
    """A time as RFC 3339 with microseconds, or nanoseconds if it has them; it sorts as the time does.

    Raises ValueError for a message that is not a time from the year 1 to 9999.
    """
    fraction = f"{timestamp.nanos:09d}"
    if fraction.endswith("000"):
        fraction = fraction[:6]
    try:
        moment = _EPOCH + timedelta(seconds=timestamp.seconds)
    except OverflowError:
        moment = None
    if moment is None or not 0 <= timestamp.nanos < 1_000_000_000:
        raise ValueError(f"{timestamp.seconds} s and {timestamp.nanos} ns is not a time")
    return f"{moment.isoformat(timespec='seconds').removesuffix('+00:00')}.{fraction}Z"


def timestamp(text: str) -> Any:
    """The time that such a token stands for. Raises ValueError."""
    parsed = Timestamp()
    parsed.FromJsonString(text)
    return parsed


def _canonical(value: Any) -> bytes:
    encoded: bytes = value.SerializeToString(deterministic=True)
    return encoded
