"""``watch_directory``: a watcher in a thread of the workflow's own process."""

from __future__ import annotations

import logging
import os
import threading

from reconcile.adapters.workers import joined
from reconcile.commands.watch import WatchOptions, watch
from reconcile.core.closing import Closing
from reconcile.core.errors import UsageError
from reconcile.core.watch_report import WatchEvent
from reconcile.hooks.errors import LOGGER
from reconcile.hooks.handover import settings_of
from reconcile.project import ClosedProject


class Watching(Closing):
    """A running watcher. ``error`` is what ended it, if ``stop`` did not: another watcher of the same folder, for
    example."""

    def __init__(self, path: str | os.PathLike[str], *, auto_upload: bool) -> None:
        """Starts the watcher. Raises UsageError if the folder is not the local root of a project, and ConfigError."""
        folder = os.fspath(path)
        # Passed like a file, so that the search for a project begins with the folder above it.
        self._project = ClosedProject(settings_of(None, [folder]))
        self._auto_upload = auto_upload
        root = self._project.settings.root
        if os.path.realpath(folder) != os.path.realpath(root):
            raise UsageError(
                f"{folder} is not the local root of the project {self._project.settings.project}, which is {root}",
                hint="watch that folder, or set root under [local] in the rules file",
            )
        self._stop = threading.Event()
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="reconcile-watch", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self, timeout: float | None = None) -> bool:
        """Stops the watcher once it has finished what is in flight, and waits up to ``timeout`` seconds for that.
        Returns whether it has ended."""
        self._stop.set()
        joined(self._thread, timeout)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Stops the watcher, and waits until it has ended."""
        self.stop()

    def _run(self) -> None:
        folder = self._project.settings.project
        try:
            watch(
                self._project,
                WatchOptions(apply=self._auto_upload),
                listener=_log,
                stop=self._stop,
                reopen=lambda: ClosedProject.open(folder),
            )
        except Exception as error:  # noqa: BLE001 a thread has no caller to raise it to
            self.error = error
            logging.getLogger(LOGGER).error("the watcher of %s ended: %s", self._project.settings.root, error)


def _log(event: WatchEvent) -> None:
    trouble = event.event.value in ("failed", "warning", "waiting")
    logging.getLogger(LOGGER).log(logging.WARNING if trouble else logging.INFO, "%s", event.message)
