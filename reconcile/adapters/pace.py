"""Limits on HTTP answers, which fail if they arrive too slowly or their headers are too long.

The system's time-out bounds the wait for a single byte. Here it bounds the head of an answer, and each ``FLOOR`` bytes
of its body, so that a server that sends a byte now and then cannot hold up a run forever.
"""

from __future__ import annotations

import http.client
import io
import time
from collections.abc import Callable
from typing import Any

FLOOR = 16 * 1024
"""Bytes of a body that must arrive within the time-out, unless the body is shorter."""
LONGEST_ANSWER = 32 * 1024 * 1024
"""The maximum bytes of an answer that is held in memory: four times the longest page of a listing."""
_LINE = 64 * 1024
_LINES = 1024 * 1024


class Paced(io.RawIOBase):
    """The bytes that arrive through a socket.

    ``limit`` (seconds) bounds the wait for all of them, or for each ``FLOOR`` bytes once ``renewed`` was called. Time
    that the reader spends elsewhere does not count.
    """

    def __init__(
        self, raw: Any, limit: float, set_timeout: Callable[[float], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._raw = raw
        self._limit = limit
        self._set_timeout = set_timeout
        self._clock = clock
        self._waited = 0.0
        self._came = 0
        self._renews = False

    def renewed(self) -> None:
        """Applies the limit to each ``FLOOR`` bytes from now on."""
        self._renews = True
        self._waited, self._came = 0.0, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        """Reads into the buffer. Raises TimeoutError if the bytes arrive too slowly."""
        left = self._limit - self._waited
        if left <= 0:
            raise TimeoutError(f"less than {FLOOR:,} bytes came in {self._limit:g} s")
        self._set_timeout(left)
        began = self._clock()
        count: int | None = self._raw.readinto(buffer)
        self._waited += self._clock() - began
        self._came += count or 0
        if self._renews and self._came >= FLOOR:
            self._waited, self._came = 0.0, 0
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Reader(io.BufferedReader):
    """A reader of lines of bounded length, and of a bounded number of them in a row."""

    _lines = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(_LINE if size is None or size < 0 else size)
        self._lines += len(line)
        if self._lines > _LINES:
            raise http.client.HTTPException("its headers have no end")
        return line

    def read(self, size: int | None = -1, /) -> bytes:
        self._lines = 0
        return super().read(size)

    def read1(self, size: int = -1, /) -> bytes:
        self._lines = 0
        return super().read1(size)


class Response(http.client.HTTPResponse):
    """An answer whose head, and each ``FLOOR`` bytes of its body, must arrive within the socket's time-out."""

    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        # Every connection of ours has a time-out.
        self._paced = Paced(sock.makefile("rb", buffering=0), sock.gettimeout(), sock.settimeout)
        self.fp.close()
        self.fp = _Reader(self._paced)

    def begin(self) -> None:
        super().begin()
        self._paced.renewed()

    def _safe_read(self, amt: int) -> bytes:
        if amt < 0:
            raise http.client.HTTPException("a part of it has a negative length")
        found: bytes = super()._safe_read(amt)  # type: ignore[misc]
        return found
