"""The body of an upload: a file that is checked against the planned checksum while it is sent."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import BinaryIO, TypeVar

from reconcile.core.digest import encode_crc32c
from reconcile.core.errors import SourceChanged, SourceError
from reconcile.ports import DesiredObject, Progress

BLOCK = 64 * 1024

T = TypeVar("T")


class Body:
    """The content of one file, read while it is sent.

    The last block is held back until the whole content has the planned checksum. ``pace`` waits until that many bytes
    may be sent.
    """

    def __init__(
        self,
        file: BinaryIO,
        desired: DesiredObject,
        progress: Progress | None,
        pace: Callable[[int], None] = lambda _size: None,
    ) -> None:
        self.size = desired.size
        self._desired = desired
        self._file = file
        self._progress = progress
        self._pace = pace
        self._hashed = 0
        self._crc = 0
        self._mark = (0, 0)
        self._told = 0

    def blocks(self, start: int, stop: int) -> Iterator[bytes]:
        """Yields the bytes from ``start`` to ``stop``. Raises SourceChanged or SourceError."""
        self.check_size()
        self._hash_up_to(start)
        self.tell(start)
        at = start
        while at < stop:
            block = self._next(min(BLOCK, stop - at))
            at += len(block)
            if at == self.size:
                self._check_whole()
            self._pace(len(block))
            self.tell(at)
            yield block
        if self.size == 0:
            self._check_whole()

    def tell(self, position: int) -> None:
        """Reports the upload's position, which moves back if a part has to be sent again."""
        if self._progress is not None and position != self._told:
            self._progress(position - self._told)
        self._told = position

    def check_size(self) -> None:
        """Raises SourceChanged if the file no longer has the planned length; called before more of it is sent."""
        size = self._done(self._file.seek, 0, os.SEEK_END)
        if size != self.size:
            raise self._changed(f"it has {size} bytes, not the planned {self.size}")

    def _hash_up_to(self, start: int) -> None:
        # The part that a resumed upload skips is hashed too: the checksum covers the whole file.
        if start < self._hashed:
            self._hashed, self._crc = self._mark if self._mark[0] <= start else (0, 0)
        self._done(self._file.seek, self._hashed)
        while self._hashed < start:
            self._next(min(BLOCK, start - self._hashed))
        self._mark = (self._hashed, self._crc)

    def _next(self, length: int) -> bytes:
        from crc32c import crc32c

        block = self._done(self._file.read, length)
        if len(block) != length:
            raise self._changed("it is shorter than planned")
        self._crc = crc32c(block, self._crc)
        self._hashed += length
        return block

    def _done(self, call: Callable[..., T], *arguments: int) -> T:
        """Returns what a call to the file returns. Raises SourceError."""
        try:
            return call(*arguments)
        except OSError as error:
            message = f"the file for {self._desired.key!r} could not be read: {error}"
            raise SourceError(message, hint="check the disk") from error

    def _check_whole(self) -> None:
        if encode_crc32c(self._crc) != self._desired.crc32c:
            raise self._changed("its bytes are not the planned ones")
        if self._done(self._file.read, 1):
            raise self._changed("it is longer than planned")

    def _changed(self, how: str) -> SourceChanged:
        return SourceChanged(f"the file for {self._desired.key!r} has changed: {how}", hint="plan again")


class Payload:
    """A request body of known length. It starts over each time it is iterated, so a request can be sent again."""

    def __init__(self, body: Body, start: int, stop: int, head: bytes = b"", tail: bytes = b"") -> None:
        self._body = body
        self._start = start
        self._stop = stop
        self._head = head
        self._tail = tail

    def __len__(self) -> int:
        return len(self._head) + self._stop - self._start + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        blocks = self._body.blocks(self._start, self._stop)
        if self._stop - self._start <= BLOCK:
            yield b"".join((self._head, *blocks, self._tail))
            return
        yield self._head + next(blocks)
        yield from blocks
        if self._tail:
            yield self._tail
