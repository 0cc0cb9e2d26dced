"""A limit on how fast bytes are sent, by all threads together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from reconcile.adapters.retry import Clock
from reconcile.core.bandwidth import DAY, Bucket, Timetable


class Limit:
    """Lets no more bytes a second through than the timetable says for now, by this machine's local time. Safe for
    several threads, which wait one behind the other."""

    def __init__(
        self, timetable: Timetable, clock: Clock = time, local: Callable[[], time.struct_time] = time.localtime
    ) -> None:
        self._timetable = timetable
        self._clock = clock
        self._local = local
        self._turn = threading.Lock()
        self._bucket = Bucket(clock.monotonic())

    def wait(self, size: int) -> None:
        """Waits until so many bytes may be sent."""
        with self._turn:
            while pause := self._bucket.take(size, self._clock.monotonic(), self._rate()):
                self._clock.sleep(pause)

    def _rate(self) -> float | None:
        now = self._local()
        return self._timetable.rate(now.tm_wday * DAY + now.tm_hour * 60 + now.tm_min)
