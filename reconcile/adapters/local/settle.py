"""Whether a file has stopped changing: it looked the same twice, ``settle`` seconds apart by our own monotonic clock.

A file's own times are compared with themselves alone: on a share they come from another machine's clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

Look: TypeAlias = tuple[int, int, int, int]
"""Size, modification and change time (ns) and file id: what is compared to see that a file is the same."""


class Looks:
    """The first look at each new file, and when it was. ``settle`` is in seconds; 0 calls every file settled.

    ``sleep`` waits; without one nothing is ever waited for. ``on_wait`` is told of the one wait of a
    run: how many files are new, and the seconds.
    """

    def __init__(
        self,
        settle: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] | None = time.sleep,
        on_wait: Callable[[int, float], None] = lambda _count, _seconds: None,
    ) -> None:
        self.settle = settle
        self._clock = clock
        self._sleep = sleep
        self._on_wait = on_wait
        self._due: dict[str, tuple[Look, float]] = {}

    @property
    def can_wait(self) -> bool:
        """Whether the wait of this run is still to be had."""
        return self._sleep is not None

    def is_settled(self, path: str, look: Look) -> bool:
        """Whether the file looked like this ``settle`` seconds ago already; this look is noted if it is a new one."""
        if not self.settle:
            return True
        now = self._clock()
        found = self._due.get(path)
        if found is None or found[0] != look:
            self._due[path] = (look, now + self.settle)
            return False
        return now >= found[1]

    def knows(self, path: str, look: Look) -> None:
        """Takes it from somebody else that the file has looked like this long enough."""
        self._due[path] = (look, self._clock())

    def wait(self) -> None:
        """Passes the time until every file that was seen so far can have settled; once a run."""
        sleep, self._sleep = self._sleep, None
        if sleep is None:
            return
        now = self._clock()
        waiting = [due for _, due in self._due.values() if due > now]
        if waiting:
            last = max(waiting)
            self._on_wait(len(waiting), last - now)
            while (left := last - self._clock()) > 0:
                sleep(left)

    def prune(self, before: float) -> None:
        """Forgets files that had settled by then: if they are not taken by now, nobody waits for them."""
        self._due = {path: found for path, found in self._due.items() if found[1] > before}
