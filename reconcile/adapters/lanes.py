"""How many jobs run at once, either a fixed number or as many as go fastest, and how fast all of them may send."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from reconcile.adapters.descriptors import fitting
from reconcile.adapters.retry import Clock
from reconcile.core.bandwidth import DAY, Bucket, Timetable
from reconcile.core.width import MOST, Width


class Lanes:
    """``fixed`` jobs at once, or as many as ``Width`` finds if that is None; never more than may have their files and
    connections open. Safe for several threads."""

    def __init__(self, fixed: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.fixed = fixed
        self.most = fitting(MOST if fixed is None else fixed)
        self._clock = clock
        self._lock = threading.Lock()
        self._width = Width(self.most)

    @property
    def at_once(self) -> int:
        """How many there are to be now."""
        return self.most if self.fixed is not None else self._width.at_once

    def start(self) -> None:
        """Jobs begin. What was found before no longer counts."""
        with self._lock:
            self._width = Width(self.most)
            self._width.start(self._clock())

    def moved(self, size: int) -> None:
        """Bytes were sent; negative if a part has to be sent again."""
        with self._lock:
            self._width.moved(size, self._clock())

    def finished(self) -> None:
        """A job has succeeded."""
        with self._lock:
            self._width.finished(self._clock())

    def refused(self) -> None:
        """The store refused a request for now, or did not answer it."""
        with self._lock:
            self._width.refused(self._clock())


class Limit:
    """Bounds the bytes a second by a timetable, in this machine's local time. Safe for several threads, which wait one
    behind the other."""

    def __init__(
        self, timetable: Timetable, clock: Clock = time, local: Callable[[], time.struct_time] = time.localtime
    ) -> None:
        self._timetable = timetable
        self._clock = clock
        self._local = local
        self._turn = threading.Lock()
        self._bucket = Bucket(clock.monotonic())

    def wait(self, size: int) -> None:
        """Waits until this number of bytes may be sent."""
        with self._turn:
            while pause := self._bucket.take(size, self._clock.monotonic(), self._rate()):
                self._clock.sleep(pause)

    def _rate(self) -> float | None:
        now = self._local()
        return self._timetable.rate(now.tm_wday * DAY + now.tm_hour * 60 + now.tm_min)
