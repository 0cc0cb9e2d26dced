"""How many files are sent at once: more while the rate grows, fewer when the store refuses.

Pure: the time (seconds of a monotonic clock), the sent bytes, the finished files and the refusals are passed in.
"""

from __future__ import annotations

import math

FIRST = 8
MOST = 64
GAIN = 0.15
"""The gain in rate that doubling the width must bring to be kept; a smaller step needs proportionally less."""
ONE = 256 * 1024
"""Bytes that a file counts for in addition to its own: the request, whatever its size."""
SHORTEST = 0.1
"""The minimum seconds for which a rate is measured."""
LONGEST = 2.0
"""Seconds after which a rate is known from the sent bytes, even if few files have finished."""
FIRST_HOLD = 5.0
LAST_HOLD = 60.0
REMEMBERED = 60.0
"""Seconds for which a refused width is not tried again."""
APART = 1.0
"""Seconds within which refusals count as one: the requests had started together."""


class Width:
    """The number of files to send at once. ``at_once`` starts at 8, or at ``most`` if that is less.

    At each width, the rate is measured once the first files are through. If it grew with the width, the width doubles;
    if not, the width steps back, and the next attempt waits, longer each time. A refusal halves the width, and for a
    while the width stays below the refused one.
    """

    def __init__(self, most: int = MOST) -> None:
        self.most = max(1, most)
        self.at_once = min(FIRST, self.most)
        self._before: tuple[int, float] | None = None
        self._hold = FIRST_HOLD
        self._held_until = -math.inf
        self._refused = 0
        self._refused_at = -math.inf
        self.start(-math.inf)

    def start(self, now: float, *, warm: bool = False) -> None:
        """Begins to measure, as files begin to be sent; if ``warm``, the first ones at this width are through."""
        self._since, self._warm = now, warm
        self._work, self._ended = 0, 0

    def moved(self, size: int, now: float) -> None:
        """Notes that bytes were sent; negative if a part has to be sent again."""
        self._work += size
        self._look(now)

    def finished(self, now: float) -> None:
        """Notes that a file was sent completely."""
        self._work += ONE
        self._ended += 1
        self._look(now)

    def refused(self, now: float) -> None:
        """Notes that the store refused a request for now, or did not answer one."""
        if now < self._refused_at + APART:
            return
        self._refused, self._refused_at = self.at_once, now
        self._before, self._hold = None, FIRST_HOLD
        self._held_until = now + APART
        self._become(max(1, self.at_once // 2), now)

    def _look(self, now: float) -> None:
        """Moves on from warming up to measuring, and from measuring to the next width."""
        enough, passed = self._ended >= self.at_once, now - self._since
        if not self._warm:
            if enough or passed >= LONGEST:
                self.start(now, warm=True)
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
            self.start(now, warm=True)
            return
        self._before = (width, rate)
        self._become(wider, now)

    def _wider(self, now: float) -> int:
        if now < self._refused_at + REMEMBERED and self._refused > self.at_once:
            return (self.at_once + self._refused) // 2
        return min(2 * self.at_once, self.most)

    def _become(self, width: int, now: float) -> None:
        self.at_once = width
        self.start(now)
