"""Estimates the remaining time of work with pieces of very different sizes, such as many small and a few large files.

Each piece costs time, and so does each byte: both costs are learned from the finished work.
"""

from __future__ import annotations

import msgspec

_APART = 0.02
"""How different the mixes of pieces and bytes must be, from 0 to 1, to derive both costs."""
_USUAL = 1e-7
"""Seconds per byte at 10 MB/s."""


class RestEstimate(msgspec.Struct):
    """Sums over the periods in which ``pieces`` and ``bytes`` were done, for a least-squares fit."""

    pieces: float = 0.0
    bytes: float = 0.0
    seconds: float = 0.0
    _pp: float = 0.0
    _pb: float = 0.0
    _bb: float = 0.0
    _pt: float = 0.0
    _bt: float = 0.0

    def add(self, pieces: int, size: int, seconds: float) -> None:
        """Adds a period, with the pieces and bytes that were done in it."""
        count, moved = float(pieces), float(max(size, 0))
        self.pieces += count
        self.bytes += moved
        self.seconds += seconds
        self._pp += count * count
        self._pb += count * moved
        self._bb += moved * moved
        self._pt += count * seconds
        self._bt += moved * seconds

    def left(self, pieces: int, size: int) -> float | None:
        """Returns the seconds that these pieces and bytes will take; None if nothing is known yet."""
        if not self.seconds or not (self.pieces or self.bytes):
            return None
        a_piece, a_byte = self._costs()
        spent = a_piece * self.pieces + a_byte * self.bytes
        if not spent:
            return None
        # The total time spent is known, whatever the fit says.
        return (a_piece * max(pieces, 0) + a_byte * max(size, 0)) * self.seconds / spent

    def _costs(self) -> tuple[float, float]:
        """Returns the seconds per piece and per byte; neither is negative."""
        determinant = self._pp * self._bb - self._pb * self._pb
        if determinant > _APART * self._pp * self._bb:
            a_piece = (self._pt * self._bb - self._bt * self._pb) / determinant
            a_byte = (self._bt * self._pp - self._pt * self._pb) / determinant
            if a_piece >= 0 and a_byte >= 0:
                return a_piece, a_byte
            return (0.0, self._bt / self._bb) if a_piece < 0 else (self._pt / self._pp, 0.0)
        # All mixes were alike so far, so the fit says nothing: assume a usual cost per byte, and the rest for pieces.
        if not self.pieces:
            return 0.0, self.seconds / self.bytes
        a_byte = min(_USUAL, self.seconds / self.bytes) if self.bytes else 0.0
        return (self.seconds - a_byte * self.bytes) / self.pieces, a_byte
