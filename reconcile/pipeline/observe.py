"""Ports → rows: files and objects, joined key by key as both listings stream in order; a failed listing is an error,
never "empty".

What the credentials may not read can be left unknown instead, for a reader that asks for what is ``partial``.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing
from operator import attrgetter, itemgetter
from typing import Any, TypeAlias

import msgspec

from reconcile.adapters.sorting import Keyed, Sorter, Spill
from reconcile.core.errors import AccessDenied
from reconcile.core.events import Advanced, Listener, Phase
from reconcile.core.names import fold
from reconcile.core.plan import Scope
from reconcile.core.rows import Agreed, KeyRow, LocalFile, RemoteObject, Row, Stream
from reconcile.pipeline.engine import Prefetch, SortedRows, merge, ranges
from reconcile.pipeline.gaps import Denied, Extent, Store, Unread
from reconcile.pipeline.look_up import LookUp
from reconcile.pipeline.shortcut import Shortcut, as_row
from reconcile.project import OpenProject

LISTED_TOGETHER = 4_000
"""Objects, at the last run, of each part of a long listing."""
ASKED_TOGETHER = 500
"""Keys, of those that are asked for, that are read at once."""
STATES_TOGETHER = 1_000

Streams: TypeAlias = tuple[Iterable[tuple[str, Any]], ...]


class Observations:
    """Files and objects, key by key. ``extent`` is how much of them was read: what may not be read is an error, except
    if ``partial``, then it is a gap. ``named`` is what is read by name beside what is listed."""

    looks_again = False
    """Whether files were looked at before the records were read. A workflow writes a file first, and then the record
    that names it: so what is named and was not seen is looked for at the end."""

    def __init__(
        self,
        worlds: OpenProject,
        scope: Scope,
        known_ids: frozenset[str],
        listener: Listener,
        spill: Spill,
        *,
        partial: bool = False,
    ) -> None:
        self._worlds = worlds
        self._spill = spill
        self._partial = partial
        self._listener = listener
        self._map = worlds.asset_map
        self.extent = Extent(self._map, scope)
        self.named = LookUp(worlds, scope, self.extent, known_ids, partial=partial)
        self.files = 0

    def rows(self, asked: Iterable[Keyed], shortcut: Shortcut | None = None) -> Iterator[Row]:
        """A row for each key that is there, or that is ``asked``, each in order, behind the rows asked with it; none
        for what a ``shortcut`` takes. Iterate once."""
        agreed, extent = self._worlds.agreed, self.extent
        references = ((key, [row for _, row in of]) for key, of in itertools.groupby(asked, itemgetter(0)))
        with closing(Prefetch(self._files)) as files, closing(Prefetch(self._objects)) as objects:
            if shortcut is None:
                named = ((each.key, each) for each in self.named.objects)
                yield from self._joined(
                    (self._local_by_key(files), self._listed_by_key(objects), named, references), agreed.of
                )
            else:
                unseen = Sorter(self._spill) if self.looks_again else None
                for streams, state_of in self._skipping(files, objects, references, shortcut):
                    yield from self._joined(streams, state_of, unseen)
                yield from self._seen_now(unseen or ())
        extent.note_gaps()

    def _joined(
        self, streams: Streams, state_of: Callable[[str], Agreed | None], unseen: Sorter | None = None
    ) -> Iterator[Row]:
        """The rows of files, listed objects, those got by name and references, each by key; those of files that are
        named and were not seen are put into ``unseen``, if it is given."""
        extent = self.extent
        names = ("local files", "objects", "named objects", "references")
        for key, (file, in_listing, by_name, asking) in merge(tuple(zip(names, streams, strict=True))):
            if extent.unread:
                extent.note_gaps()
            rows = [] if asking is None else [row for row in asking if row is not None]
            found = in_listing or by_name
            if file is not None or found is not None:
                self._listener(Advanced(Phase.LISTING, 1))
                self._note_file(file)
                rows.append(self._row(key, file, found, state_of(key)))
            elif asking is not None:
                rows.append(self._row(key, None, None, None))
            if unseen is None or file is not None or asking is None:
                yield from rows
            else:
                for row in rows:
                    unseen.add(key, row)

    def _seen_now(self, unseen: Iterable[Keyed]) -> Iterator[Row]:
        """The rows of files that were not seen, after another look."""
        rows = ((key, row) for key, row in unseen if row is not None)
        by_key = ((key, [row for _, row in group]) for key, group in itertools.groupby(rows, itemgetter(0)))
        while some := dict(itertools.islice(by_key, ASKED_TOGETHER)):
            paths = [key for key in some if self.named.path_of(key) is not None and self.extent.local.covers(key)]
            files = {file.path: file for file in self._worlds.files.lookup(paths)}
            for key, (*asking, row) in some.items():
                yield from asking
                self._note_file(file := files.get(key))
                yield row if file is None else self._row(key, file, row.value.remote, self._worlds.agreed.of(key))

    def _note_file(self, file: LocalFile | None) -> None:
        self.files += file is not None and self._map.first_match(file.path) is not None

    def _skipping(
        self,
        files: Prefetch[LocalFile],
        objects: Prefetch[RemoteObject | Denied],
        references: Iterator[tuple[str, list[Row | None]]],
        shortcut: Shortcut,
    ) -> Iterator[tuple[Streams, Callable[[str], Agreed | None]]]:
        """What a shortcut leaves of files, objects and references, a range of keys at a time, and the states."""
        listings = (
            SortedRows(map(list, map(self._keyed, iter(files.batch, []))), "local files"),
            SortedRows(map(list, map(self._listed_by_key, iter(objects.batch, []))), "objects"),
            SortedRows(iter(lambda: list(itertools.islice(references, ASKED_TOGETHER)), [])),
            SortedRows(shortcut.asked()),
        )
        remembered = _InOrder(self._worlds.agreed.all())
        for local, listed, others, asked in ranges(listings):
            states = remembered.of({row[0] for row in (*local, *listed)})
            skipped = shortcut.skipped(local, listed, states, others, asked)
            if skipped:
                self._listener(Advanced(Phase.LISTING, len(skipped)))
                self.files += len(skipped)
            left = dict(others)
            for each in asked:
                if each[0] not in skipped:
                    left.setdefault(each[0], []).append(as_row(each))
            rest = ([row for row in rows if row[0] not in skipped] for rows in (local, listed))
            yield (*rest, (), sorted(left.items(), key=itemgetter(0))), states.get

    def _row(self, key: str, file: LocalFile | None, found: RemoteObject | None, state: Agreed | None) -> Row:
        path = file.path if file is not None else self.named.path_of(key)
        local_known = file is not None or path is None or self.extent.local.covers(path)
        remote_known = found is not None or self.extent.remote.covers(key)
        return Row(Stream.KEY, fold(key), KeyRow(key, path, file, found, state, local_known, remote_known))

    def _files(self) -> Iterator[LocalFile]:
        """Those that are listed and those that are named elsewhere, in one order."""
        listed = self._worlds.files.walk(self.extent.local.prefixes)
        return heapq.merge(listed, self.named.files, key=attrgetter("path")) if self.named.files else listed

    def _objects(self) -> Iterator[RemoteObject | Denied]:
        return itertools.chain.from_iterable(self._listing(prefix, "") for prefix in self.extent.remote.prefixes)

    def _listing(self, prefix: str, after: str) -> Iterator[RemoteObject | Denied]:
        """The objects below a prefix, with a key after this one. A listing that is refused is tried again for each part
        of it in which the rules have keys: the permission may be for those alone."""
        at, parts = after, self._map.key_prefixes(())
        # Parts of a long listing are asked for at once: each page is a wait for an answer.
        cuts = () if prefix else self._worlds.agreed.cuts(LISTED_TOGETHER)
        try:
            for found in self._worlds.objects.list(prefix, [part for part in (*parts, *cuts) if part]):
                # An object with the bare prefix as its name is a folder's placeholder: it has no key.
                if found.key > after:
                    at = found.key
                    yield found
        except AccessDenied as error:
            if not self._partial:
                raise
            narrower = tuple(part for part in parts if part != prefix and part.startswith(prefix))
            yield Denied(Store.BUCKET, prefix, error, narrower)
            for part in narrower:
                yield from self._listing(part, at)
        else:
            self.extent.listed = True

    def _listed_by_key(self, rows: Iterable[RemoteObject | Denied]) -> Iterator[tuple[str, RemoteObject]]:
        for each in rows:
            if isinstance(each, Denied):
                self.extent.leave_unknown(each)
            else:
                yield each.key, each

    def _local_by_key(self, files: Iterable[LocalFile]) -> Iterator[tuple[str, LocalFile]]:
        """Files under their keys, in key order; if a rule gives keys of its own, the walk's order is another."""
        rows = self._keyed(files)
        return rows if self._map.keys_are_paths else self._one_for_each_key(rows)

    def _keyed(self, files: Iterable[LocalFile]) -> Iterator[tuple[str, LocalFile]]:
        keys_are_paths = self._map.keys_are_paths
        for file in files:
            path = file.path
            if path.endswith("/"):
                self.extent.unread.append(Unread(file))
            else:
                yield path if keys_are_paths else self._map.key_for(path, self.named.known_ids), file

    def _one_for_each_key(self, rows: Iterable[tuple[str, LocalFile]]) -> Iterator[tuple[str, LocalFile]]:
        """Where several files have one key, the first of them, as the twin of another: none of them can be uploaded."""
        by_key = Sorter(self._spill)
        for key, file in rows:
            by_key.add(key, Row(Stream.KEY, key, KeyRow(key, file.path, file)))
        for key, group in itertools.groupby(by_key, itemgetter(0)):
            files = sorted((row.value.local for _, row in group if row is not None), key=attrgetter("path"))
            twin = files[1].path if len(files) > 1 else files[0].twin
            yield key, msgspec.structs.replace(files[0], twin=twin)


class _InOrder:
    """Remembered states that are asked for in order of their keys."""

    def __init__(self, states: Iterator[Agreed]) -> None:
        pages = iter(lambda: list(itertools.islice(states, STATES_TOGETHER)), [])
        self._states = SortedRows([(each.key, each) for each in page] for page in pages)

    def of(self, keys: Collection[str]) -> dict[str, Agreed]:
        """The states of these keys, which all come behind those that were asked for before."""
        last, found = max(keys, default=""), dict[str, Agreed]()
        while (end := self._states.end()) is not None and (some := self._states.upto(last)):
            found.update((key, state) for key, state in some if key in keys)
            if end > last:
                break
        return found
