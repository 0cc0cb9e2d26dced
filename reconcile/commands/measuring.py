"""Measures an object: size and checksum of its stored bytes, and of the content that a reader of its URL gets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from reconcile.core.digest import encode_crc32c
from reconcile.core.encoding import BadEncoding, can_unpack, most_unpacked, unpacked


class Sum(msgspec.Struct, frozen=True):
    """A number of bytes, and their crc32c."""

    size: int
    crc32c: str


class Measured(msgspec.Struct, frozen=True):
    """The ``stored`` bytes, and the ``content`` that a reader gets. They differ only for an encoded object.

    If ``content`` is None, ``why`` says what is wrong with the object, as the rest of a sentence that begins "it …".
    """

    stored: Sum
    content: Sum | None
    why: str = ""


def measure(chunks: Iterable[bytes], size: int, encoding: str = "") -> Measured:
    """Reads an object of ``size`` stored bytes to its end, in bounded memory, and keeps none of them."""
    stored = _Summing(chunks)
    if not encoding:
        return Measured(stored.rest(), stored.rest())
    if not can_unpack(encoding):
        return Measured(stored.rest(), None, f'is encoded as "{encoding}", which cannot be unpacked here')
    content, why = None, ""
    try:
        content = _Summing(unpacked(stored, most_unpacked(size))).rest()
    except BadEncoding as error:
        why = str(error)
    return Measured(stored.rest(), content, why)


def content_from(chunks: Iterable[bytes], size: int, offset: int) -> Iterator[bytes]:
    """Yields the content of a gzip object of ``size`` stored bytes, from an offset on. Raises BadEncoding."""
    for piece in unpacked(chunks, most_unpacked(size)):
        if offset < len(piece):
            yield piece[offset:]
        offset = max(0, offset - len(piece))


class _Summing:
    """Counts and hashes the chunks that pass through it."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._size = self._crc = 0

    def __iter__(self) -> Iterator[bytes]:
        from crc32c import crc32c

        for chunk in self._chunks:
            self._size += len(chunk)
            self._crc = crc32c(chunk, self._crc)
            yield chunk

    def rest(self) -> Sum:
        """Reads to the end, and returns the sum of all chunks."""
        for _ in self:
            pass
        return Sum(self._size, encode_crc32c(self._crc))
