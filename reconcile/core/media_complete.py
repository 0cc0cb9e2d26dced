"""Detects truncated media files, by what their formats say about their length.

Only certain results are reported. A format that is unknown here, or a variant that does not say, is never called
incomplete; neither is a file with something after its end (a phone puts a film after a picture), nor one whose writer
could not know its size when it wrote the header (into a pipe).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import TypeAlias

ReadAt: TypeAlias = Callable[[int, int], bytes]
"""Maps ``(offset, count)`` to the bytes there; fewer at the file's end."""

_HEAD = 16
_BLOCK = 65_536
_MOST_PARTS = 100_000
"""The maximum number of chunks, boxes or segments that are followed; a file with more is not judged."""

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_JPEG = b"\xff\xd8\xff"
_JPEG_SOS, _JPEG_EOI = 0xDA, 0xD9
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length: TEM, the restarts and the start of an image."""
_JPEG_NEXT = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
"""The marker that ends a scan. Smaller ones are data, also in JPEG-LS, and restarts belong to the scan."""
_GIF = (b"GIF87a", b"GIF89a")
_EBML = b"\x1aE\xdf\xa3"
_EBML_SEGMENT = b"\x18S\x80g"
_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})
_INDEXES = frozenset({b"moov", b"meta", b"styp", b"moof", b"sidx"})
_STRICT = frozenset({"avif", "avi", "gif", "heic", "jpeg", "jpg", "m4a", "m4v", "mkv", "mov", "mp4", "ogg", "opus",
                     "png", "wav", "webm", "webp"})  # fmt: skip
"""File extensions of formats that never begin with zeros."""
_LENIENT = frozenset({"aac", "aif", "aiff", "bmp", "flac", "mp3", "tif", "tiff"})
"""File extensions of formats whose readers search for the beginning, or that are too rare to be judged by it."""
_PLACEHOLDER = 0x7F000000
"""Sizes from here on may be placeholders of writers that do not know the size: 0x7FFFF024, 0x80000024, 0xFFFFFFFF."""


def missing_end(name: str, size: int, read_at: ReadAt) -> str | None:
    """Returns what the file certainly lacks, in words that follow "it"; None if it is complete or that is unknown.

    The content decides the format; the name only decides whether zeros are a file that is still to be filled.
    """
    if size == 0:
        return "has no bytes"
    head = read_at(0, _HEAD)
    for start, check in ((_PNG, _png), (_JPEG, _jpeg), (_GIF, _gif), (_EBML, _ebml)):
        if head.startswith(start):
            return check(size, read_at)
    if head[:4] == b"RIFF":
        return _sized(struct.unpack_from("<I", head, 4)[0] if len(head) >= 8 else 0, size)
    if head[:4] == b"FORM" and head[8:11] == b"AIF":
        return _sized(struct.unpack_from(">I", head, 4)[0], size)
    if head[4:8] in _BOXES:
        return _boxes(size, read_at)
    if head[:3] == b"ID3" and len(head) >= 10:
        return _tagged(head, size)
    return None if any(head) else _zeros(name, size, read_at)


def _zeros(name: str, size: int, read_at: ReadAt) -> str | None:
    ending = name.rpartition(".")[2].lower()
    if ending in _STRICT:
        return "begins with zeros"
    if ending not in _LENIENT:
        return None
    zeros = all(not any(read_at(at, _BLOCK)) for at in range(0, size, _BLOCK))
    return "holds nothing but zeros" if zeros else None


def _png(size: int, read_at: ReadAt) -> str | None:
    if read_at(max(0, size - len(_PNG_END)), len(_PNG_END)) == _PNG_END:
        return None
    at = len(_PNG)
    for _ in range(_MOST_PARTS):
        chunk = read_at(at, 8)
        if len(chunk) < 8 or not any(chunk):
            return "has no IEND chunk"
        length, kind = struct.unpack(">I4s", chunk)
        at += 12 + length
        if at > size:
            return f"ends within its {_printable(kind)} chunk"
        if kind == b"IEND":  # what follows is not part of the picture, but does no harm
            return None
    return None


def _jpeg(size: int, read_at: ReadAt) -> str | None:
    """Follows the segments and scans to the end of the picture.

    An embedded preview has its own end, inside a segment; anything after the picture's end is not part of it.
    """
    at = 2
    for _ in range(_MOST_PARTS):
        marker = read_at(at, 4)
        if len(marker) < 2 or not any(marker):
            return "has no end-of-image marker"
        if marker[0] != 0xFF:
            return None
        kind = marker[1]
        if kind == _JPEG_EOI:
            return None
        if kind == 0xFF or kind in _JPEG_ALONE:  # any number of 0xFF may pad the space before a marker
            at += 1 if kind == 0xFF else 2
            continue
        if kind < 0xC0:
            return None
        if len(marker) < 4:
            return "has no end-of-image marker"
        length = int.from_bytes(marker[2:4], "big")
        if length < 2:
            return None
        at += 2 + length
        if at > size:
            return "has no end-of-image marker"
        if kind == _JPEG_SOS:
            found = _after_scan(at, size, read_at)
            if found is None:
                return "has no end-of-image marker"
            at = found
    return None


def _after_scan(at: int, size: int, read_at: ReadAt) -> int | None:
    """Returns the position of the marker that ends a scan; None if there is none."""
    while at < size:
        block = read_at(at, _BLOCK)
        found = _JPEG_NEXT.search(block)
        if found is not None:
            return at + found.start()
        if len(block) < _BLOCK:
            return None
        at += len(block) - 1  # a marker may span two blocks
    return None


def _gif(size: int, read_at: ReadAt) -> str | None:
    """Reports only a picture that breaks off: some writers omit the last byte, and all readers accept that."""
    file = _Bytes(size, read_at)
    if size < 13:
        return "ends within its header"
    at = 13 + _colours(file.byte(10))
    pictures = 0
    while at < size:
        kind = file.byte(at)
        if kind == 0x21:
            at = _after_blocks(file, at + 2)
        elif kind == 0x2C:
            if at + 10 > size:
                return "ends within a picture"
            at = _after_blocks(file, at + 11 + _colours(file.byte(at + 9)))
            pictures += 1
        else:  # its end, or an unknown block
            return None
    return None if at == size and pictures else "ends within a picture"


def _colours(packed: int) -> int:
    return 3 << ((packed & 7) + 1) if packed & 0x80 else 0


def _after_blocks(file: _Bytes, at: int) -> int:
    """Returns where a chain of blocks ends; past the file's end if it breaks off."""
    while at < file.size:
        length = file.byte(at)
        at += 1 + length
        if length == 0:
            return at
    return file.size + 1


class _Bytes:
    """Single bytes of a file, read in blocks."""

    def __init__(self, size: int, read_at: ReadAt) -> None:
        self.size = size
        self._read_at = read_at
        self._block = b""
        self._at = 0

    def byte(self, at: int) -> int:
        """Returns the byte at an offset; 0 past the end."""
        if not self._at <= at < self._at + len(self._block):
            self._block, self._at = self._read_at(at, _BLOCK), at
        return self._block[at - self._at] if self._block else 0


def _sized(declared: int, size: int) -> str | None:
    """Checks a chunked file that begins with the size of the rest, which is 0 or very large if it was unknown."""
    whole = 8 + declared
    # Some writers count a final padding byte that they do not write.
    if declared == 0 or declared >= _PLACEHOLDER or size + 1 >= whole:
        return None
    return f"has {size:,} of the {whole:,} bytes that it declares"


def _ebml(size: int, read_at: ReadAt) -> str | None:
    """Checks Matroska and WebM: a header, then one segment, whose size may be unknown."""
    length, width = _vint(read_at(4, 8))
    if length is None:
        return None
    at = 4 + width + length
    if at > size:
        return "ends within its header"
    segment = read_at(at, 12)
    if segment[:4] != _EBML_SEGMENT:
        return None
    length, width = _vint(segment[4:])
    if length is None:
        return None
    whole = at + 4 + width + length
    return f"has {size:,} of the {whole:,} bytes that it declares" if size < whole else None


def _vint(data: bytes) -> tuple[int | None, int]:
    """Returns an EBML number and its width in bytes; None for one that says "unknown" or is cut off."""
    if not data or not data[0]:
        return None, 0
    width = 9 - data[0].bit_length()
    value = int.from_bytes(data[:width], "big") & ((1 << 7 * width) - 1)
    return (None if len(data) < width or value == (1 << 7 * width) - 1 else value), width


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
        if length < 8:
            # 0 means "to the end of the file", but writers also use it while they do not know the length.
            return None if indexed or kind in _INDEXES else "has no moov box"
        at += length
        if at > size:
            # After its last box, a file may contain foreign data that is not a box.
            ours = kind in _BOXES or kind in _INDEXES
            return f"ends within its {_printable(kind)} box" if ours or not indexed else None
        indexed = indexed or kind in _INDEXES
    return None


def _tagged(head: bytes, size: int) -> str | None:
    """Checks an MP3, which says how long its tag is, but not reliably how long its sound is."""
    tag = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    return "ends within its ID3 tag" if size <= tag else None


def _printable(kind: bytes) -> str:
    return kind.decode("ascii") if kind.isalnum() and kind.isascii() else "last"
