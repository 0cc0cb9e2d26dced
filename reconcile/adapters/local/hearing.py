"""How far the system's events of a folder can be relied on: what they told is held against what looking finds.

A queue that overflows loses events without a word, and on Windows the listening may be over then. Looking at the whole
folder finds what changed; a file of which no event tells, not even a while later, shows that events are lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

RECHECK_EVERY = 300.0
"""Seconds between two looks at the whole folder while its events are relied on."""
RECHECK_LOST = 60.0
"""The same once some were lost."""
LATE = 10.0
"""Seconds for which an event may be on its way."""

_FAILURES = 3
_FAILURES_WITHIN = 600.0


class Hearing:
    """What the events of one folder told since it was last looked at."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told: set[str] = set()
        self._untold: set[str] = set()
        self._looked_at = 0.0
        self._failures: list[float] = []
        self.recheck = RECHECK_EVERY
        """Seconds until the folder is to be looked at again."""

    def told(self, paths: Iterable[str]) -> None:
        """Events told of these files and folders."""
        self._told.update(paths)
        self._untold = {path for path in self._untold if not self._is_told(path)}

    def looked(self, changed: Iterable[str]) -> None:
        """Looking has found these files changed since the last look."""
        self._untold = {path for path in changed if not self._is_told(path)}
        self._told.clear()
        self._looked_at = self._clock()

    def forget(self) -> None:
        """The listening has begun anew."""
        self._told.clear()
        self._untold.clear()

    def lost(self, is_being_written: Callable[[str], bool]) -> list[str]:
        """The files of which events should have told by now; asked when no event is waiting to be heard. Windows may
        tell of a file that is being written once it is closed, and not before."""
        if not self._untold or self._clock() - self._looked_at < LATE:
            return []
        lost = sorted(path for path in self._untold if not is_being_written(path))
        self._untold.clear()
        if lost:
            self.recheck = RECHECK_LOST
        return lost

    def failed(self) -> bool:
        """Counts a failure of the listening; whether there were too many of late."""
        now = self._clock()
        self._failures = [*(at for at in self._failures if now - at < _FAILURES_WITHIN), now]
        return len(self._failures) > _FAILURES

    def _is_told(self, path: str) -> bool:
        """Whether an event told of it, or of a folder that came with it."""
        while path and path not in self._told:
            path = path.rpartition("/")[0]
        return bool(path)
