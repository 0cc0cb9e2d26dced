"""Checks whether the system's events of a folder are reliable, by comparing them with scans of the folder.

A queue that overflows loses events silently, and on Windows there may be none from then on. A scan finds every change;
if a change has no event, even some time later, events are being lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

RECHECK_EVERY = 300.0
"""Seconds between scans of the folder while its events are reliable."""
RECHECK_LOST = 60.0
"""Seconds between scans after events were lost."""
LATE = 10.0
"""Seconds that an event may take to arrive."""

_FAILURES = 3
_FAILURES_WITHIN = 600.0


class HeardPaths:
    """The paths of one folder with events since its last scan, and the changed paths without one."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._heard: set[str] = set()
        self._unheard: set[str] = set()
        self._looked_at = 0.0
        self._failures: list[float] = []
        self.recheck = RECHECK_EVERY
        """Seconds until the folder should be scanned again."""

    def heard(self, paths: Iterable[str]) -> None:
        """Adds the files and folders of new events."""
        self._heard.update(paths)
        self._unheard = {path for path in self._unheard if not self._was_heard(path)}

    def looked(self, changed: Iterable[str]) -> None:
        """Adds the files that a scan found changed since the last one."""
        self._unheard = {path for path in changed if not self._was_heard(path)}
        self._heard.clear()
        self._looked_at = self._clock()

    def forget(self) -> None:
        """Forgets everything, because the listener was restarted."""
        self._heard.clear()
        self._unheard.clear()

    def lost(self, is_being_written: Callable[[str], bool]) -> list[str]:
        """Returns the files whose events must be lost; call it when no event is waiting.

        On Windows, the event of a file that is being written may come only when it is closed.
        """
        if not self._unheard or self._clock() - self._looked_at < LATE:
            return []
        lost = sorted(path for path in self._unheard if not is_being_written(path))
        self._unheard.clear()
        if lost:
            self.recheck = RECHECK_LOST
        return lost

    def failed(self) -> bool:
        """Counts a failure of the listener; returns whether there were too many lately."""
        now = self._clock()
        self._failures = [*(at for at in self._failures if now - at < _FAILURES_WITHIN), now]
        return len(self._failures) > _FAILURES

    def _was_heard(self, path: str) -> bool:
        """Whether there was an event for the path or for a folder that contains it."""
        while path and path not in self._heard:
            path = path.rpartition("/")[0]
        return bool(path)
