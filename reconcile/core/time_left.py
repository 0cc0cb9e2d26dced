"""An estimate of the time that work takes whose pieces differ much in size, such as many small files and a few large
ones. Each piece costs time, and so does each byte: both costs are learned from the work that is done."""

from __future__ import annotations

import msgspec

_APART = 0.02
"""How unlike the mixes of pieces and bytes must be, from 0 to 1, to tell what each of them costs."""
_USUAL = 1e-7
"""Seconds for a byte at 10 MB/s."""


class RestEstimate(msgspec.Struct):
    """Sums over the stretches of time in which ``pieces`` and ``bytes`` were done, for a fit of least squares."""

    pieces: float = 0.0
    bytes: float = 0.0
    seconds: float = 0.0
    _pp: float = 0.0
    _pb: float = 0.0
    _bb: float = 0.0
    _pt: float = 0.0
    _bt: float = 0.0

    def add(self, pieces: int, size: int, seconds: float) -> None:
        """Adds a stretch of time, and how many pieces and bytes were done in it."""
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
        """The seconds that these pieces and their bytes will take; None if nothing is known yet."""
        if not self.seconds or not (self.pieces or self.bytes):
            return None
        a_piece, a_byte = self._costs()
        spent = a_piece * self.pieces + a_byte * self.bytes
        if not spent:
            return None
        # What was spent in all is known, whatever the fit makes of it.
        return (a_piece * max(pieces, 0) + a_byte * max(size, 0)) * self.seconds / spent

    def _costs(self) -> tuple[float, float]:
        """Seconds for each piece and for each byte; neither is negative."""
        determinant = self._pp * self._bb - self._pb * self._pb
        if determinant > _APART * self._pp * self._bb:
            a_piece = (self._pt * self._bb - self._bt * self._pb) / determinant
            a_byte = (self._bt * self._pp - self._pt * self._pb) / determinant
            if a_piece >= 0 and a_byte >= 0:
                return a_piece, a_byte
            return (0.0, self._bt / self._bb) if a_piece < 0 else (self._pt / self._pp, 0.0)
        # All alike so far, so that the fit says nothing: bytes cost what they do on a usual line, pieces the rest.
        if not self.pieces:
            return 0.0, self.seconds / self.bytes
        a_byte = min(_USUAL, self.seconds / self.bytes) if self.bytes else 0.0
        return (self.seconds - a_byte * self.bytes) / self.pieces, a_byte
