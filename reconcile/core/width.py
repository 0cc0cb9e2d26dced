"""How many files are sent at once: more while the rate grows, less when the store refuses.

Pure: it is told the time (seconds of a clock that only goes forward), what was sent, what ended and what was refused.
"""

from __future__ import annotations

import math

FIRST = 8
MOST = 64
GAIN = 0.15
"""What twice the width must add to the rate to be kept; a smaller step must add as much less."""
ONE = 256 * 1024
"""Bytes that a file counts for beside its own: the request, whatever is in it."""
SHORTEST = 0.1
"""Seconds that a rate is measured for, at least."""
LONGEST = 2.0
"""Seconds after which a rate is known by the bytes that were sent, though few files have ended."""
FIRST_HOLD = 5.0
LAST_HOLD = 60.0
REMEMBERED = 60.0
"""Seconds for which a width that was refused is not tried again."""
APART = 1.0
"""Seconds in which refusals count as one: the requests had set out together."""


class Width:
    """How many files to send at once. ``at_once`` begins with 8, or ``most`` if that is less.

    At each width the rate is measured once the first files are through. One that grew with the width leads to the next,
    twice as wide; one that did not leads back, and the next attempt waits, each time for longer. A refusal halves the
    width, and for a while the way back up ends below the one that was refused.
    """

    def __init__(self, most: int = MOST) -> None:
        self.most = max(1, most)
        self.at_once = min(FIRST, self.most)
        self._before: tuple[int, float] | None = None
        self._hold = FIRST_HOLD
        self._held_until = -math.inf
        self._refused = 0
        self._refused_at = -math.inf
        self._measure(-math.inf)

    def start(self, now: float) -> None:
        """Files begin to be sent."""
        self._measure(now)

    def moved(self, size: int, now: float) -> None:
        """Bytes were sent; fewer than none if a part has to be sent again."""
        self._work += size
        self._look(now)

    def finished(self, now: float) -> None:
        """A file was sent to its end."""
        self._work += ONE
        self._ended += 1
        self._look(now)

    def refused(self, now: float) -> None:
        """The store refused a request, for now, or did not answer one."""
        if now < self._refused_at + APART:
            return
        self._refused, self._refused_at = self.at_once, now
        self._before, self._hold = None, FIRST_HOLD
        self._held_until = now + APART
        self._become(max(1, self.at_once // 2), now)

    def _look(self, now: float) -> None:
        """Goes on from warming up to measuring, and from that to the next width."""
        enough, passed = self._ended >= self.at_once, now - self._since
        if not self._warm:
            if enough or passed >= LONGEST:
                self._measure(now, warm=True)
        elif passed >= SHORTEST and (enough or passed >= LONGEST):
            self._judge(self._work / passed, now)

    def _judge(self, rate: float, now: float) -> None:
        width, before = self.at_once, self._before
        if before is not None and rate <= before[1] * (1 + GAIN * (width / before[0] - 1)):
            self._before = None
            self._held_until, self._hold = now + self._hold, min(2 * self._hold, LAST_HOLD)
            self._become(before[0], now)
            return
        wider = self._wider(now)
        if wider == width or now < self._held_until:
            self._before = None
            self._measure(now, warm=True)
            return
        self._before = (width, rate)
        self._become(wider, now)

    def _wider(self, now: float) -> int:
        if now < self._refused_at + REMEMBERED and self._refused > self.at_once:
            return (self.at_once + self._refused) // 2
        return min(2 * self.at_once, self.most)

    def _become(self, width: int, now: float) -> None:
        self.at_once = width
        self._measure(now)

    def _measure(self, now: float, *, warm: bool = False) -> None:
        self._since, self._warm = now, warm
        self._work, self._ended = 0, 0
