"""Content identity: crc32c written as GCS writes it, and the comparison that has three answers."""

from __future__ import annotations

import base64
import binascii
from enum import Enum


class Comparison(Enum):
    """Two contents are the same, differ, or cannot be told apart; unknown is never taken for equal."""

    SAME = "same"
    DIFFERENT = "different"
    UNKNOWN = "unknown"


def encode_crc32c(value: int) -> str:
    """The unsigned 32-bit checksum as base64 of its four big-endian bytes, as in GCS's ``crc32c``."""
    return base64.b64encode(value.to_bytes(4, "big")).decode("ascii")


def is_crc32c(text: str) -> bool:
    """Whether the text is a crc32c as GCS writes it."""
    try:
        return len(base64.b64decode(text, validate=True)) == 4
    except (binascii.Error, ValueError):
        return False


def compare(size: int, crc32c: str | None, other_size: int, other_crc32c: str | None) -> Comparison:
    """Compares two contents by size (bytes) and crc32c; without a hash on both sides equality is unknown."""
    if size != other_size:
        return Comparison.DIFFERENT
    if crc32c is None or other_crc32c is None:
        return Comparison.UNKNOWN
    return Comparison.SAME if crc32c == other_crc32c else Comparison.DIFFERENT
