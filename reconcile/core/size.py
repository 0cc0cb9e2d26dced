"""Parses and formats amounts: bytes as ``512K``, ``32M``, ``1.5G`` (units of 1024), things as ``1 file``, ``2,000
files``."""

from __future__ import annotations

import re

_UNITS = "bkmgt"
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([bkmgt])(?:i?b)?", re.IGNORECASE | re.ASCII)
_LARGEST = 2**60
_PREFIXES = "kMGTPEZY"


def many(count: int, one: str, several: str = "") -> str:
    """Returns a count with its noun: ``1 file``, ``2,000 files``; ``several`` is the plural if not formed with s."""
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


def decimal(count: int) -> str:
    """Returns bytes in units of 1000, as for disks and networks: ``1 byte``, ``999 bytes``, ``48.2 kB``."""
    if count < 1000:
        return many(count, "byte")
    exponent = next((each for each in range(1, len(_PREFIXES)) if count < 1000 ** (each + 1)), len(_PREFIXES))
    return f"{1000 * count / 1000 ** (exponent + 1):,.1f} {_PREFIXES[exponent - 1]}B"


def parse_size(text: str) -> int:
    """Returns the bytes. Raises ValueError, with a sentence for people, if the text is not an amount with a unit."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not an amount of memory; write it as 512K, 32M or 1.5G")
    size = float(found[1]) * 1024 ** _UNITS.index(found[2].lower())
    if size > _LARGEST:
        raise ValueError(f"{text!r} is more than any machine has")
    return int(size)
