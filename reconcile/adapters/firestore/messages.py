"""Converts plain values to Firestore's protobuf messages, for writes.

It imports Google's client, so import this module only where it is needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from google.cloud.firestore_v1.types.document import Value as _Value
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.timestamp_pb2 import Timestamp

from reconcile.adapters.firestore.values import moment
from reconcile.core.opaque import Opaque

Value = _Value.pb()
"""The raw protobuf message, many times cheaper than its proto-plus wrapper."""


def encode_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the messages of the fields, by name. Raises ValueError or TypeError if Firestore cannot hold a value."""
    return {name: encode(value) for name, value in fields.items()}


def encode(value: Any) -> Any:
    """Returns the message of a value. Raises ValueError or TypeError if Firestore cannot hold it."""
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
        case Opaque():
            return _message(value)
        case _:
            raise TypeError(f"a {type(value).__name__} is not a value of Firestore's")


def same_fields(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two sets of messages are equal bit for bit (NaN equals itself, 1 is not 1.0)."""
    return one.keys() == other.keys() and all(_canonical(one[name]) == _canonical(other[name]) for name in one)


def token(timestamp: Any) -> str:
    """Returns the update time of a timestamp, as ``values.moment``. Raises ValueError if it is not a time in the years
    1 to 9999."""
    try:
        return moment(timestamp.ToJsonString())
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{timestamp.seconds} s and {timestamp.nanos} ns is not a time") from error


def timestamp(text: str) -> Any:
    """Returns the timestamp of such a token. Raises ValueError."""
    parsed = Timestamp()
    parsed.FromJsonString(text)
    return parsed


def _message(value: Opaque) -> Any:
    try:
        return ParseDict(json.loads(value.text), Value())
    except ParseError as error:
        raise ValueError(f"the client here does not know the value {value.text[:100]}") from error


def _canonical(value: Any) -> bytes:
    encoded: bytes = value.SerializeToString(deterministic=True)
    return encoded
