"""How many jobs run at once (a fixed number, or as many as go fastest), and how fast all of them may send."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from reconcile.adapters.descriptors import fitting
from reconcile.adapters.retry import Clock
from reconcile.core.bandwidth import DAY, Bucket, Timetable
from reconcile.core.width import MOST, Width


class Lanes:
    """The number of jobs at once: ``fixed``, or what ``Width`` finds if that is None; limited by open files and
    connections.

    Thread-safe.
    """

    def __init__(self, fixed: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.fixed = fixed
        self.most = fitting(MOST if fixed is None else fixed)
        self._clock = clock
        self._lock = threading.Lock()
        self._width = Width(self.most)

    @property
    def at_once(self) -> int:
        """The number of jobs that should run now."""
        return self.most if self.fixed is not None else self._width.at_once

    def start(self) -> None:
        """Begins anew: what was measured before no longer counts."""
        with self._lock:
            self._width = Width(self.most)
            self._width.start(self._clock())

    def moved(self, size: int) -> None:
        """Notes that bytes were sent; negative if a part has to be sent again."""
        with self._lock:
            self._width.moved(size, self._clock())

    def finished(self) -> None:
        """Notes that a job succeeded."""
        with self._lock:
            self._width.finished(self._clock())

    def refused(self) -> None:
        """Notes that the store refused a request for now, or did not answer it."""
        with self._lock:
            self._width.refused(self._clock())


def limited(
    timetable: Timetable, clock: Clock = time, local: Callable[[], time.struct_time] = time.localtime
) -> Callable[[int], None]:
    """Returns what waits until so many bytes may be sent, by a timetable in local time. Thread-safe; threads wait one
    after another."""
    turn, bucket = threading.Lock(), Bucket(clock.monotonic())

    def rate() -> float | None:
        now = local()
        return timetable.rate(now.tm_wday * DAY + now.tm_hour * 60 + now.tm_min)

    def wait(size: int) -> None:
        with turn:
            while pause := bucket.take(size, clock.monotonic(), rate()):
                clock.sleep(pause)

    return wait
