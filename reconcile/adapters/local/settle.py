"""Decides whether a file has stopped changing: it looked the same twice, ``settle`` seconds apart by our monotonic
clock.

The file's own times are never compared with our clock: on a share they come from another machine's clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from reconcile.core.rows import Signature


class FirstLooks:
    """The first look at each new file, with its time.

    ``settle`` is in seconds; with 0, every file is settled. Without ``sleep``, a run never waits. ``on_wait`` is called
    before the single wait of a run, with the number of new files and the seconds.
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
        self._due: dict[str, tuple[Signature, float]] = {}

    @property
    def can_wait(self) -> bool:
        """Whether this run may still wait."""
        return self._sleep is not None

    def is_settled(self, path: str, look: Signature) -> bool:
        """Whether the file already looked like this ``settle`` seconds ago; a new look is noted."""
        if not self.settle:
            return True
        now = self._clock()
        found = self._due.get(path)
        if found is None or found[0] != look:
            self._due[path] = (look, now + self.settle)
            return False
        return now >= found[1]

    def knows(self, path: str, look: Signature) -> None:
        """Notes that the file is settled if it looks like this."""
        self._due[path] = (look, self._clock())

    def wait(self) -> None:
        """Sleeps until every file seen so far can have settled; at most once per run."""
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
        """Forgets files that had settled before this time: nobody is waiting for those that were not uploaded since."""
        self._due = {path: found for path, found in self._due.items() if found[1] > before}
