"""Stats files ahead of the walk, for drives on which each stat is a request to another machine.

The metadata in a folder's listing would be free, but on Windows it is outdated while a program writes.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import groupby
from typing import TypeAlias

from reconcile.adapters.local.folder import OpenFolders
from reconcile.adapters.local.names import Entry, Listing
from reconcile.adapters.workers import Workers, awaited
from reconcile.core.closing import Closing

Look: TypeAlias = Callable[[], os.stat_result]
"""Returns the status of a file. Raises OSError."""
Names: TypeAlias = Iterator[tuple[str, Entry]]
"""The names of a folder, in order."""

AT_ONCE = 16
_AHEAD = 4 * AT_ONCE
"""Files that are statted before their turn; few, since a change between the two is left for the next run."""


class Ahead(Closing):
    """Starts to stat files shortly before their turn."""

    def __init__(self, folders: OpenFolders) -> None:
        self._folders = folders
        self._workers = Workers(AT_ONCE, "look")
        self._begun: dict[str, Look] = {}

    def close(self) -> None:
        self._workers.close(cancel=True)

    def names(self, listing: Listing, is_wanted: Callable[[str], bool]) -> Names:
        """Yields the names of a folder, while the stats of wanted paths are started ahead of their turn."""
        # No file is statted until the folders before it are done: the walk may spend a long time in them.
        for is_folder, group in groupby(listing.names, lambda each: each[0].endswith("/")):
            ahead: deque[tuple[str, Entry]] = deque()
            for name, entry in group:
                if not is_folder and is_wanted(path := listing.folder.rel + name):
                    self._begin(path, listing.folder.rel, entry)
                ahead.append((name, entry))
                if is_folder or len(ahead) > _AHEAD:
                    yield ahead.popleft()
            yield from ahead

    def look(self, path: str) -> Look | None:
        """Returns the stat of this path if one was started, once."""
        return self._begun.pop(path, None)

    def _begin(self, path: str, rel: str, entry: Entry) -> None:
        with suppress(OSError):  # the walk will find the error and report it
            folder = self._folders.at(rel)
            future = self._workers.submit(folder.stat, entry.name)
            self._begun[path] = lambda: awaited(future)
