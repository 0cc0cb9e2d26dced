"""The initial request rates of the stores, and their growth. Pure: the time is passed in, in seconds.

Firestore asks for at most 500 operations per second on a collection at first, growing by half every five minutes; a
bucket for 1,000 writes and 5,000 reads per second, doubling every twenty minutes. Faster growth causes errors and
latency. Sources: https://firebase.google.com/docs/firestore/best-practices#ramping_up_traffic,
https://cloud.google.com/storage/docs/request-rate.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from reconcile.core.bandwidth import Bucket

BURST = 1.0
"""Seconds whose operations may begin at once after a pause."""
FASTEST = 1e12
"""Operations per second that no ramp goes past: after days of growth the number would be too large for a float."""


class Ramp(msgspec.Struct, frozen=True):
    """A rate of ``start`` operations per second, multiplied by ``factor`` after every ``every`` seconds."""

    start: Annotated[float, Meta(ge=1)]
    factor: Annotated[float, Meta(ge=1)]
    every: Annotated[float, Meta(ge=1)]

    def rate(self, passed: float) -> float:
        """Returns the operations per second, ``passed`` seconds after the first one."""
        try:
            return float(min(self.start * self.factor ** int(passed // self.every), FASTEST))
        except OverflowError:
            return FASTEST

    def shared(self, count: int) -> Ramp:
        """Returns the share of each of ``count`` machines that use the same store."""
        return Ramp(self.start / count, self.factor, self.every)


class Rates(msgspec.Struct, frozen=True):
    """The ramps of the two stores: operations on records, and writes and reads of objects."""

    records: Ramp = Ramp(500.0, 1.5, 300.0)
    object_writes: Ramp = Ramp(1_000.0, 2.0, 1_200.0)
    object_reads: Ramp = Ramp(5_000.0, 2.0, 1_200.0)


class Turn:
    """Lets operations begin one after another, at the rate of a ramp that starts with the first."""

    def __init__(self, ramp: Ramp) -> None:
        self._ramp = ramp
        self._began: float | None = None
        self._bucket = Bucket(0.0, burst=BURST)

    def take(self, now: float, operations: int = 1) -> float:
        """Returns 0 if the next operation may begin now, which it then does; else the seconds to wait before the next
        attempt."""
        if self._began is None:
            self._began, self._bucket = now, Bucket(now, burst=BURST)
        return self._bucket.take(operations, now, self._ramp.rate(now - self._began))
