"""Files on other machines, from their scans: a ``FileSource`` whose files cannot be opened."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from operator import attrgetter
from typing import BinaryIO

import msgspec

from reconcile.core import scan as scans
from reconcile.core.errors import SourceChanged, UsageError
from reconcile.core.rows import FileProblem, LocalFile
from reconcile.core.scan import HEAD, Scan
from reconcile.ports import SharedFolder


class ScannedFiles:
    """The files of several scans, as if they were below one root. Raises UsageError for an incomplete scan."""

    def __init__(self, folders: Sequence[SharedFolder]) -> None:
        self._scans = [(folder, open_scan(folder)) for folder in folders]
        names = Counter(scan.name for _, scan in self._scans)
        twice = next((name for name, count in names.items() if count > 1), None)
        if twice is not None:
            raise UsageError(
                f"two scans are of the machine {twice}", hint="give one a name of its own: `reconcile scan --name`"
            )

    @property
    def heads(self) -> list[Scan]:
        """The head of each scan."""
        return [scan for _, scan in self._scans]

    def machines(self, paths: Collection[str]) -> dict[str, str]:
        """Returns the name of the scan that has each of these paths; the first of several."""
        found: dict[str, str] = {}
        for folder, scan in self._scans:
            for file in self._files(folder, scan):
                if file.path in paths:
                    found.setdefault(file.path, scan.name)
        return found

    def walk(self, prefixes: Sequence[str] = ("",)) -> Iterator[LocalFile]:
        """Walks as ``FileSource.walk``.

        Files of several machines under one path are one file if their content is the same, and otherwise cannot be
        uploaded.
        """
        within = tuple(prefixes)
        merged = heapq.merge(*(self._files(folder, scan) for folder, scan in self._scans), key=attrgetter("path"))
        for path, found in groupby(merged, attrgetter("path")):
            files = list(found)
            if path.startswith(within):
                yield one_of(files)

    def names(self, prefixes: Sequence[str] = ("",)) -> Iterator[str]:
        """Yields paths as ``FileSource.names``."""
        return (file.path for file in self.walk(prefixes))

    def lookup(self, paths: Iterable[str], *, before: Sequence[str] = (), anew: bool = False) -> Iterator[LocalFile]:  # noqa: ARG002
        """Looks up as ``FileSource.lookup``."""
        asked = list(paths)
        found = {file.path: file for file in self.walk(tuple(asked))} if asked else {}
        return (found[path] for path in asked if path in found)

    def forget(self, path: str) -> None:
        """Does nothing: nothing is remembered."""

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Raises SourceChanged: the content is not here."""
        raise SourceChanged(f"{path} is on another machine", hint="apply the plan there")

    @staticmethod
    def _files(folder: SharedFolder, scan: Scan) -> Iterator[LocalFile]:
        last = ""
        for shard in scan.shards:
            for file in scans.read_shard(shard, folder.read(shard.name), str(folder)):
                if file.path < last:  # the listings of several machines are merged as they are read
                    raise UsageError(f"{shard.name} in {folder} is not in order", hint=scans.AGAIN)
                last = file.path
                yield file


def open_scan(folder: SharedFolder) -> Scan:
    """Returns the head of the scan in a folder. Raises UsageError if one of its files is missing or has another
    length."""
    sizes = folder.sizes()
    scans.FOLDER.check_head(sizes, str(folder))
    scan = scans.load_head(folder.read(HEAD), str(folder))
    scans.FOLDER.check_files({each.name: each.bytes for each in scan.shards}, sizes, str(folder))
    return scan


def one_of(files: Sequence[LocalFile]) -> LocalFile:
    """Merges the files that several machines have under one path, in their order.

    Returns the first if all have the same content, otherwise one that cannot be uploaded.
    """
    if len({(each.size, each.crc32c) for each in files}) == 1:
        return files[0]
    why = f"{len(files)} machines have different content under this path"
    return msgspec.structs.replace(files[0], crc32c=None, problem=FileProblem.UNREADABLE, detail=why)
