"""Whether a media file has its end: what its own format says of its length, from a few short reads.

Only what is sure is said. A format that is not known here, or a variant that does not tell, is never called unfinished.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeAlias

ReadAt: TypeAlias = Callable[[int, int], bytes]
"""``(offset, count)`` → the bytes there, fewer at the file's end."""

_HEAD = 16
_TAIL = 65_536
_MOST_PARTS = 100_000
"""Chunks or boxes that are followed; a file of more is not judged."""

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_JPEG = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})
_INDEXES = frozenset({b"moov", b"meta", b"styp"})
_KNOWN = frozenset({"gif", "jpeg", "jpg", "m4a", "m4v", "mov", "mp3", "mp4", "png", "wav", "webp"})
_NO_DATA_YET = (0, 36)
"""What a WAV writer puts for the size before it knows it."""
_UNKNOWN_SIZE = 0xFFFFFFFF


def missing_end(name: str, size: int, read_at: ReadAt) -> str | None:
    """What the file surely lacks, in words that follow "it"; None where it is whole, or where nothing tells.

    The content decides which format it is; the name only says whether leading zeros are a file yet to be filled.
    """
    if size == 0:
        return "has no bytes"
    head = read_at(0, _HEAD)
    if head.startswith(_PNG):
        return _png(size, read_at)
    if head.startswith(_JPEG):
        return _jpeg(size, read_at)
    if head[:4] == b"RIFF":
        return _riff(head, size)
    if head[4:8] in _BOXES:
        return _boxes(size, read_at)
    if head[:3] == b"ID3" and len(head) >= 10:
        return _tagged(head, size)
    ending = name.rpartition(".")[2].lower()
    return "begins with zeros" if ending in _KNOWN and not any(head) else None


def _png(size: int, read_at: ReadAt) -> str | None:
    if read_at(max(0, size - len(_PNG_END)), len(_PNG_END)) == _PNG_END:
        return None
    at = len(_PNG)
    for _ in range(_MOST_PARTS):
        chunk = read_at(at, 8)
        if len(chunk) < 8:
            return "has no IEND chunk"
        length, kind = struct.unpack(">I4s", chunk)
        at += 12 + length
        if at > size:
            return f"ends within its {_printable(kind)} chunk"
        if kind == b"IEND":  # what follows belongs to nobody, but does no harm
            return None
    return None


def _jpeg(size: int, read_at: ReadAt) -> str | None:
    tail = read_at(max(0, size - _TAIL), _TAIL)
    # A preview within the picture has an end of its own, so one that is not the last thing proves nothing.
    return None if _JPEG_END in tail else "has no end-of-image marker"


def _riff(head: bytes, size: int) -> str | None:
    (declared,) = struct.unpack_from("<I", head, 4)
    if declared == _UNKNOWN_SIZE:
        return None
    if head[8:12] == b"WAVE" and declared in _NO_DATA_YET and size > 44:
        return "does not count its data yet"
    # Some writers count a last byte of padding that they do not write.
    whole = 8 + declared
    return f"has {size:,} of the {whole:,} bytes that it declares" if size + 1 < whole else None


def _boxes(size: int, read_at: ReadAt) -> str | None:
    at = 0
    indexed = False
    for _ in range(_MOST_PARTS):
        if at == size:
            return None if indexed else "has no moov box"
        head = read_at(at, 16)
        length, kind = struct.unpack_from(">I4s", head) if len(head) >= 8 else (0, b"")
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack_from(">Q", head, 8)
        indexed = indexed or kind in _INDEXES
        if length < 8:
            # 0 is "to the end of the file", and also what a writer puts that does not know the length yet.
            return None if indexed else "has no moov box"
        at += length
        if at > size:
            return f"ends within its {_printable(kind)} box"
    return None


def _tagged(head: bytes, size: int) -> str | None:
    """An MP3 says how long its tag is, but not, for sure, how long its sound is."""
    tag = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    return "ends within its ID3 tag" if size <= tag else None


def _printable(kind: bytes) -> str:
    return kind.decode("ascii") if kind.isalnum() and kind.isascii() else "last"
