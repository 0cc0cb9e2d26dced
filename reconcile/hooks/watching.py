"""``watch_directory``: a watcher in a thread of the workflow's own process."""

from __future__ import annotations

import logging
import os
import threading
from functools import partial

from reconcile.adapters.workers import joined
from reconcile.commands.watch import WatchOptions, watch
from reconcile.config.settings import Settings
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
        settings = settings_of(None, [folder])
        if os.path.realpath(folder) != os.path.realpath(settings.root):
            raise UsageError(
                f"{folder} is not the local root of the project {settings.project}, which is {settings.root}",
                hint="watch that folder, or set root under [local] in the rules file",
            )
        self._stop = threading.Event()
        self.error: Exception | None = None
        arguments = (settings, WatchOptions(apply=auto_upload))
        self._thread = threading.Thread(target=self._run, args=arguments, name="reconcile-watch", daemon=True)
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

    def _run(self, settings: Settings, options: WatchOptions) -> None:
        project, reopen = ClosedProject(settings), partial(ClosedProject.open, settings.project)
        try:
            watch(project, options, listener=_log, stop=self._stop, reopen=reopen)
        except Exception as error:  # noqa: BLE001 a thread has no caller to raise it to
            self.error = error
            logging.getLogger(LOGGER).error("the watcher of %s ended: %s", settings.root, error)


def _log(event: WatchEvent) -> None:
    trouble = event.event.value in ("failed", "warning", "waiting")
    logging.getLogger(LOGGER).log(logging.WARNING if trouble else logging.INFO, "%s", event.message)
