"""Time for stores that wait between their attempts: it passes only while somebody waits."""

from __future__ import annotations

import threading


class SkippingClock:
    """A clock that nobody has to wait for. ``pauses`` are what was waited, in seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.pauses.append(seconds)
            self.now += seconds
