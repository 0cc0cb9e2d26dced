"""What a watcher watches: the folder of local files, the rules file and the local database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from reconcile.adapters.files import Stamp, stamp_of
from reconcile.adapters.local.settle import FirstLooks
from reconcile.adapters.local.watching import FolderWatch
from reconcile.config.settings import Incomplete, Settings
from reconcile.core.changes import canonical
from reconcile.core.watching import Poll
from reconcile.project import OpenProject


class Sources:
    """The three places in which something may change, and their state when they were last checked.

    ``gone`` says whether the folder is missing. ``looks`` is what passes remember of new files.
    """

    def __init__(
        self, settings: Settings, watched: Callable[[Settings], FolderWatch], clock: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._watched = watched
        self._clock = clock
        self._stamps: dict[Path, Stamp | None] = {}
        self.folder = watched(settings)
        self.looks = _looks(settings, clock)
        self._digests: dict[str, int] | None = None
        """A digest of the entry of each character in the local database; None before the first pass over everything."""
        self.gone = False

    @property
    def root(self) -> Path:
        return self._settings.root

    def take(self, settings: Settings) -> None:
        """Replaces the settings."""
        before, self._settings = self._settings, settings
        if before.settle != settings.settle:
            self.looks = _looks(settings, self._clock)
        if any(getattr(before, name) != getattr(settings, name) for name in ("root", "ignore", "incomplete")) or (
            before.asset_map.templates != settings.asset_map.templates
        ):
            self.folder.close()
            self.folder = self._watched(settings)

    def changed(self) -> tuple[bool, bool]:
        """Returns whether the rules file, and whether the local database, has changed since the last call."""
        paths = [self._settings.rules_path]
        if self._settings.local_db is not None:
            paths.append(self._settings.local_db.path)
        now = {path: stamp_of(path) for path in paths}
        changed = [path in self._stamps and now[path] != self._stamps[path] for path in paths]
        self._stamps = now
        return changed[0], changed[-1] and len(paths) > 1

    def read_database(self, project: OpenProject) -> set[str]:
        """Reads the local database, if there is one. Returns the characters whose entries have changed since it was
        last read, none the first time. Raises what reading it raises."""
        documents = project.local_db.read() if project.local_db is not None else ()
        before = self._digests
        self._digests = {document.id: hash(canonical(document.fields)) for document in documents}
        if before is None:  # the first pass over everything takes them all
            return set()
        return {char_id for char_id, digest in self._digests.items() if before.get(char_id) != digest}


def folder_of(settings: Settings, poll: Poll) -> FolderWatch:
    holds = settings.incomplete is Incomplete.HOLD
    return FolderWatch(
        settings.root, ignore=settings.ignore, rules=settings.asset_map.templates, holds_incomplete=holds, poll=poll
    )


def _looks(settings: Settings, clock: Callable[[], float]) -> FirstLooks:
    """Returns an empty memory of new files. Passes do not wait for files to settle: the agenda does."""
    return FirstLooks(settings.settle, clock=clock, sleep=None)
