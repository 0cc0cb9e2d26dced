"""Converts Firestore's values, as in its JSON API, to plain Python without loss.

Null, booleans, integers, floats, text, arrays and maps become plain values. Everything else (timestamps, bytes, points,
references, vectors, future kinds) becomes an ``Opaque`` value that holds its JSON text (``{"timestampValue": …}``) and
is written back unchanged.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec

from reconcile.core.opaque import Opaque
from reconcile.core.portable import Portable

_INT64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_TYPED_MAP = "__type__"
"""The key that marks a map as something else, such as a vector."""
_TIME = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?Z", re.ASCII)

Raw = Mapping[str, msgspec.Raw]
"""A value on the wire: its single kind, with its content."""


class _Array(msgspec.Struct, gc=False):
    values: list[dict[str, msgspec.Raw]] = []


class _Map(msgspec.Struct, gc=False):
    fields: dict[str, dict[str, msgspec.Raw]] = {}


_ARRAY = msgspec.json.Decoder(_Array)
_MAP = msgspec.json.Decoder(_Map)
_TEXT = msgspec.json.Decoder(str)
_FLAG = msgspec.json.Decoder(bool)
_INTEGER = msgspec.json.Decoder(_INT64, strict=False)
_FIELDS = msgspec.json.Decoder(dict[str, dict[str, msgspec.Raw]])
_USUAL = msgspec.json.Decoder(dict[str, Any])
_USUAL_INTEGER = re.compile("0|-?[1-9][0-9]{0,17}", re.ASCII)


def decode_document(fields: msgspec.Raw) -> dict[str, Any]:
    """Returns the fields of a document, sorted by name (the wire has no order).

    Raises ValueError if they are not a map of values.
    """
    # Most documents hold only kinds that JSON itself tells apart, and decoding those takes half the time. If any value
    # may mean something else, each is decoded by its kind.
    try:
        return _usual_fields(_USUAL.decode(fields))
    except (_Unusual, ValueError, RecursionError):
        return decode_fields(_FIELDS.decode(fields))


class _Unusual(Portable, Exception):
    """Raised if only a value's kind says what its JSON means."""


def _usual_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in sorted(fields):
        value = fields[name]
        text = value.get("stringValue") if type(value) is dict and len(value) == 1 else None
        found[name] = text if type(text) is str else _usual(value)
    return found


def _usual(value: Any) -> Any:
    """Returns a value as ``decode`` does. Raises _Unusual."""
    if type(value) is not dict or len(value) != 1:
        raise _Unusual
    [(kind, held)] = value.items()
    held_type = type(held)
    if held_type is dict:
        if kind == "mapValue" and type(fields := held.get("fields")) is dict and _TYPED_MAP not in fields:
            return _usual_fields(fields)
        if kind == "arrayValue" and type(values := held.get("values")) is list:
            return [_usual(each) for each in values]
    elif held_type is str:
        if kind == "stringValue":
            return held
        if kind == "integerValue" and _USUAL_INTEGER.fullmatch(held):
            return int(held)
        if kind == "timestampValue":
            return Opaque(f'{{"timestampValue":"{moment(held)}"}}')
    elif (kind == "booleanValue" and held_type is bool) or (kind == "doubleValue" and held_type is float):
        return held
    elif kind == "nullValue":
        return None
    raise _Unusual


def decode_fields(fields: Mapping[str, Raw]) -> dict[str, Any]:
    """Returns the fields of a map, sorted by name, each decoded by its kind. Raises ValueError."""
    return {name: decode(fields[name]) for name in sorted(fields)}


def decode(value: Raw) -> Any:
    """Returns a plain value, or an ``Opaque`` one if Python has no equivalent. Raises ValueError."""
    if len(value) != 1:
        if value:
            raise ValueError(f"a value is of {len(value)} kinds")
        return Opaque("{}")
    [(kind, held)] = value.items()
    match kind:
        case "stringValue":
            return _TEXT.decode(held)
        case "integerValue":
            return _INTEGER.decode(held)
        case "arrayValue":
            return [decode(each) for each in _ARRAY.decode(held).values]
        case "mapValue":
            fields = _MAP.decode(held).fields
            return _opaque(kind, held) if _TYPED_MAP in fields else decode_fields(fields)
        case "booleanValue":
            return _FLAG.decode(held)
        case "nullValue":
            return None
        case "doubleValue":
            return _double(bytes(held))
        case _:
            return _opaque(kind, held)


def moment(text: str) -> str:
    """Returns a time in RFC 3339 with microseconds, or with nanoseconds if it has them; as text it sorts by time.

    Raises ValueError for a text that is not a time in the years 1 to 9999.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is not a time")
    datetime.fromisoformat(found[1])
    fraction = (found[2] or "").ljust(9, "0")
    return f"{found[1]}.{fraction.removesuffix('000')}Z"


def _double(held: bytes) -> float:
    """Returns a float. The JSON API writes NaN and the infinities as strings, and -0.0 in several ways.

    Raises ValueError.
    """
    if held[:1] == b'"':
        text = _TEXT.decode(held)
        if text not in ("NaN", "Infinity", "-Infinity"):
            raise ValueError(f"{text[:40]!r} is not a float")
        return float(text)
    found = float(held)
    if math.isinf(found):
        raise ValueError("a float is too large")
    return found


def _opaque(kind: str, held: msgspec.Raw) -> Opaque:
    body = json.loads(bytes(held), parse_int=_whole)
    if kind == "timestampValue":
        body = moment(body) if isinstance(body, str) else body
    return Opaque(json.dumps({kind: body}, sort_keys=True, separators=(",", ":")))


def _whole(numeral: str) -> float:
    return -0.0 if numeral == "-0" else int(numeral)
