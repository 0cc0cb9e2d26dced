"""Content identity: crc32c in GCS's notation, and a comparison with three results."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from enum import Enum

from reconcile.core.rows import Agreed, RemoteObject

_CRC32C = re.compile(r"[A-Za-z0-9+/]{6}==")


class Comparison(Enum):
    """Whether two contents are the same, differ, or cannot be compared; unknown never counts as equal."""

    SAME = "same"
    DIFFERENT = "different"
    UNKNOWN = "unknown"


def encode_crc32c(value: int) -> str:
    """Returns the unsigned 32-bit checksum as base64 of its four big-endian bytes, like GCS's ``crc32c``."""
    return base64.b64encode(value.to_bytes(4, "big")).decode("ascii")


def is_crc32c(text: str) -> bool:
    return _CRC32C.fullmatch(text) is not None


def are_crc32c(texts: Iterable[str]) -> bool:
    return all(map(_CRC32C.fullmatch, texts))


def compare(size: int, crc32c: str | None, other_size: int, other_crc32c: str | None) -> Comparison:
    """Compares two contents by size (bytes) and crc32c; unknown unless both have a checksum."""
    if size != other_size:
        return Comparison.DIFFERENT
    if crc32c is None or other_crc32c is None:
        return Comparison.UNKNOWN
    return Comparison.SAME if crc32c == other_crc32c else Comparison.DIFFERENT


def compare_object(size: int, crc32c: str | None, found: RemoteObject, agreed: Agreed | None = None) -> Comparison:
    """Compares a content with an object, by what a listing says about it.

    The size and crc32c of an encoded object are those of its compressed bytes and say nothing about its content. A
    remembered state of the same generation does, if it describes the decompressed content: an object may have been
    marked as encoded after it agreed with a file as stored.
    """
    if not found.encoding:
        return compare(size, crc32c, found.size, found.crc32c)
    if agreed is None or agreed.generation != found.generation:
        return Comparison.UNKNOWN
    if compare(agreed.size, agreed.crc32c, found.size, found.crc32c) is not Comparison.DIFFERENT:
        return Comparison.UNKNOWN
    return compare(size, crc32c, agreed.size, agreed.crc32c)
