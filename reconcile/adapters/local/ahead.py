"""Looking at files ahead of the walk, for drives on which each look is a question to another machine.

What a folder's listing says of its files would cost nothing, but on Windows it is old while a program writes.
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
"""Gives what was seen. Raises OSError."""
Names: TypeAlias = Iterator[tuple[str, Entry]]
"""A folder's names in their order."""

AT_ONCE = 16
_AHEAD = 4 * AT_ONCE
"""Files that are looked at before their turn. What changes between the two is left for the next run, so not many."""


class Ahead(Closing):
    """Begins looks at files a little before their turn."""

    def __init__(self, folders: OpenFolders) -> None:
        self._folders = folders
        self._workers = Workers(AT_ONCE, "look")
        self._begun: dict[str, Look] = {}

    def close(self) -> None:
        self._workers.close(cancel=True)

    def names(self, listing: Listing, is_wanted: Callable[[str], bool]) -> Names:
        """The names of a folder; looks at the files of the paths that are wanted are begun before their turn."""
        # No file is looked at before a folder that precedes it is left: the walk may be in there for long.
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
        """The look at the file of this path, if one was begun; once."""
        return self._begun.pop(path, None)

    def _begin(self, path: str, rel: str, entry: Entry) -> None:
        with suppress(OSError):  # the walk will find out, and say so
            folder = self._folders.at(rel)
            future = self._workers.submit(folder.stat, entry.name)
            self._begun[path] = lambda: awaited(future)
