"""Content encodings: an encoded object is stored compressed, and a reader of its URL gets the decompressed content."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from reconcile.core.portable import Portable

GZIP = "gzip"
PIECE = 256 * 1024
SMALL = 64 * 1024 * 1024
RATIO = 100
BARREN = 4 * 1024 * 1024
"""Consecutive compressed bytes that may yield nothing, such as padding or empty members."""
_SYNONYMS = {"x-gzip": GZIP, "identity": ""}


class BadEncoding(Portable, Exception):
    """Raised if bytes cannot be decompressed, or not within the limits. The text says why, to follow "it"."""


def encoding_of(header: str | None) -> str:
    """Returns a ``Content-Encoding`` in its canonical spelling; empty if the content is stored as it is."""
    if not header:  # as with nearly all objects
        return ""
    names = (part.strip().lower() for part in header.split(","))
    return ", ".join(name for each in names if (name := _SYNONYMS.get(each, each)))


def can_unpack(encoding: str) -> bool:
    return encoding == GZIP


def most_unpacked(size: int) -> int:
    """Returns the maximum that ``size`` compressed bytes may expand to; more counts as a decompression bomb."""
    return max(SMALL, RATIO * size)


def unpacked(chunks: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Yields gzip data decompressed, in pieces of bounded size.

    Raises BadEncoding for incomplete or invalid gzip data, past ``most`` bytes, and for more than ``BARREN`` bytes that
    yield nothing.
    """
    members, size, barren = 0, 0, 0
    stream = None
    for chunk in chunks:
        data = chunk
        barren += len(chunk)
        if barren > BARREN + len(chunk):
            raise BadEncoding(f"holds more than {BARREN:,} packed bytes that come to nothing")
        while data:
            if stream is None:
                data = data.lstrip(b"\0") if members else data  # padding after the end, which gzip allows
                if not data:
                    break
                stream = zlib.decompressobj(wbits=31)
            try:
                piece = stream.decompress(data, PIECE)
            except zlib.error as error:
                raise BadEncoding(f"is not sound gzip data ({error})") from error
            size += len(piece)
            if size > most:
                raise BadEncoding(f"unpacks to more than {most:,} bytes")
            if piece:
                barren = 0
                yield piece
            if stream.eof:
                data, stream, members = stream.unused_data, None, members + 1
            else:
                data = stream.unconsumed_tail
    if stream is not None or not members:
        raise BadEncoding("is gzip data without its end")
