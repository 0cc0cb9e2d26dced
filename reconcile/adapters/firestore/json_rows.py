"""Decodes the elements of a JSON array while its bytes arrive.

Elements that arrived before the stream broke off are yielded; an element that is too long is an error. A short,
complete array is decoded at once; a long or broken one is first split into elements by its brackets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

import msgspec

from reconcile.adapters.firestore.calls import CallFailed, Nonsense

T = TypeVar("T")

LONGEST_ELEMENT = 64 * 1024 * 1024
"""Bytes of one element. In JSON, a document of 1 MiB made of one-byte values takes a third of that."""
_AT_ONCE = 4 * 1024 * 1024
_MARK = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}"]', re.DOTALL)


class Rows(Generic[T]):
    """A decoder of an array whose elements are of the type ``element``."""

    def __init__(self, element: type[T]) -> None:
        self._one = msgspec.json.Decoder(element)
        self._all = msgspec.json.Decoder(list[element])  # type: ignore[valid-type]

    def read(self, pieces: Iterable[bytes]) -> Iterator[T]:
        """Yields the elements of the array.

        Raises CallFailed if the array breaks off, Nonsense if it is not one of such elements, and what ``pieces``
        raises, each after the elements that arrived whole.
        """
        taker = _Taker()
        threshold = _AT_ONCE
        try:
            for piece in pieces:
                taker.held += piece
                if len(taker.held) >= threshold:
                    yield from map(self._decoded, taker.take())
                    if len(taker.held) > LONGEST_ELEMENT:
                        raise _unreadable(f"one element of a list has more than {LONGEST_ELEMENT:,} bytes")
                    threshold = max(_AT_ONCE, 2 * len(taker.held))
        except Nonsense:
            raise
        except Exception:
            yield from map(self._decoded, taker.take())
            raise
        wrong: Exception | None = None
        if taker.untouched:
            try:
                found = self._all.decode(bytes(taker.held))
            except (ValueError, RecursionError) as error:
                wrong = error  # split it below, to yield what arrived whole and to find the fault
            else:
                yield from found
                return
        yield from map(self._decoded, taker.take())
        if not taker.ended:
            raise CallFailed("UNAVAILABLE", "its answer breaks off")
        if wrong is not None:
            raise _unreadable(wrong) from wrong

    def _decoded(self, element: bytes) -> T:
        try:
            return self._one.decode(element)
        except (ValueError, RecursionError) as error:
            raise _unreadable(error) from error


def _unreadable(why: object) -> Nonsense:
    return Nonsense(f"what cannot be read: {why}")


class _Taker:
    """A buffer that splits whole elements off its beginning."""

    def __init__(self) -> None:
        self.held = bytearray()
        self.untouched = True
        self.ended = False
        self._at = 0
        self._depth = 0
        self._start = 0
        self._ended = 0

    def take(self) -> Iterator[bytes]:
        """Yields the elements that are whole so far. Raises Nonsense."""
        self.untouched = False
        data = bytes(self.held)
        for mark in _MARK.finditer(data, self._at):
            kind = mark[0]
            if kind == b'"' and self._depth > 1:  # the string's closing quote has not arrived yet
                self._at = mark.start()
                break
            if self._depth <= 1 and (kind[:1] not in b"{[]" or data[self._ended : mark.start()].strip(b", \t\r\n")):
                raise _unreadable("an answer is not a list of objects")
            self._at = mark.end()
            if self.ended or (self._depth == 0 and kind != b"["):
                raise _unreadable("an answer is not a list")
            if kind in (b"{", b"["):
                if self._depth == 1:
                    self._start = mark.start()
                self._depth += 1
                if self._depth == 1:
                    self._ended = self._at
            elif kind in (b"}", b"]"):
                self._depth -= 1
                if self._depth <= 1:
                    self._ended = self._at
                if self._depth == 1:
                    yield data[self._start : self._at]
                self.ended = self._depth == 0
        else:
            self._at = len(data)
        kept = self._start if self._depth > 1 else self._ended
        del self.held[:kept]
        self._at = max(self._at - kept, 0)
        self._start -= kept
        self._ended -= kept
