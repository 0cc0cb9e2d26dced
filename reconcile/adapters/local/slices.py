"""A file that is read in slices and closed between them, so that a slow reader does not block its replacement.

On Windows nobody can replace an open file. An upload may take hours, and hashing a large file minutes.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable

from reconcile.adapters.opening import reason, unreadable
from reconcile.adapters.system import current
from reconcile.core.errors import SourceChanged

SLICE = 8 * 1024 * 1024
"""Bytes that are read, and held in memory, at a time."""


class SlicedFile(io.RawIOBase):
    """A local file for reading, reopened for each slice.

    ``found`` is its status when first opened; ``reopen`` returns a descriptor of it, or raises OSError. Reading raises
    SourceChanged if it was replaced or has changed, and SourceError if it cannot be read.
    """

    def __init__(self, found: os.stat_result, reopen: Callable[[], int], path: str) -> None:
        super().__init__()
        self._reopen = reopen
        self._path = path
        self._size = found.st_size
        self._look = times(found)
        self._position = 0
        self._start = 0
        self._slice = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        if not self._start <= self._position < self._start + len(self._slice):
            self._slice, self._start = self._next(), self._position
        begin = self._position - self._start
        data = self._slice[begin : begin + len(buffer)]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _next(self) -> bytes:
        if self._position >= self._size:
            return b""
        try:
            fd = self._reopen()
        except OSError as error:
            raise self._changed(reason(error)) from error
        try:
            if times(current().fstat(fd)) != self._look:
                raise self._changed("it was replaced or written")
            os.lseek(fd, self._position, os.SEEK_SET)
            return os.read(fd, SLICE)
        except OSError as error:
            raise unreadable(self._path, error) from error
        finally:
            os.close(fd)

    def _changed(self, why: str) -> SourceChanged:
        return SourceChanged(f"the local file {self._path} changed while it was read: {why}", hint="plan again")


def times(found: os.stat_result) -> tuple[int, int, int]:
    # Without the file id, which some network drives change at each opening; the change time is enough.
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns
