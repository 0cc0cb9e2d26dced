"""Reads files and objects, and joins them key by key while both listings stream in order. A failed listing is an error,
never "empty".

For a reader that accepts a ``partial`` result, what the credentials may not read stays unknown instead.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, nullcontext
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple, TypeAlias

import msgspec

from reconcile.adapters.sorting import Keyed, SortedRows, Sorter, Spill, ranges
from reconcile.core.errors import AccessDenied
from reconcile.core.events import Advanced, Listener, Phase
from reconcile.core.names import fold
from reconcile.core.plan import Scope
from reconcile.core.rows import Agreed, KeyRow, LocalFile, RemoteObject, Row, Stream
from reconcile.pipeline.engine import Prefetch, merge
from reconcile.pipeline.gaps import Denied, Extent, Store, Unread
from reconcile.pipeline.look_up import LookUp
from reconcile.pipeline.shortcut import Shortcut, as_row
from reconcile.project import OpenProject

LISTED_TOGETHER = 4_000
"""Objects in each part of a long listing, as of the last run."""
ASKED_TOGETHER = 500
"""Requested keys that are read together."""
STATES_TOGETHER = 1_000

Streams: TypeAlias = tuple[Iterable[tuple[str, Any]], ...]


class _Missed(NamedTuple):
    """Files that are there, as ``is_there`` says, and that the walk did not see: their paths, which are their keys, and
    the rows of these."""

    is_there: Callable[[str], bool]
    paths: list[str]
    rows: Sorter


class Observations:
    """Files and objects, key by key.

    ``extent`` says how much of them was read. What may not be read is an error, or a gap if ``partial``. ``named`` is
    what is read by name in addition to what is listed.
    """

    looks_again = False
    """Whether files may have been walked before the records were read. A workflow writes a file and then the record
    that names it, so each key that is not skipped is then compared with what is there by now."""

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
        """Yields a row for each key that exists or is ``asked``, in order, each after the rows that were asked with it.
        Keys that a ``shortcut`` skips have no rows. To be iterated once."""
        agreed, extent = self._worlds.agreed, self.extent
        references = ((key, [row for _, row in of]) for key, of in itertools.groupby(asked, itemgetter(0)))
        with closing(Prefetch(self._files)) as files, closing(Prefetch(self._objects)) as objects:
            if shortcut is None:
                named = ((each.key, each) for each in self.named.objects)
                yield from self._joined(
                    (
                        self._local_by_key(files),
                        itertools.chain.from_iterable(self._listed(objects)),
                        named,
                        references,
                    ),
                    agreed.of,
                )
            else:
                with self._worlds.presence() if self.looks_again else nullcontext() as is_there:
                    missed = None if is_there is None else _Missed(is_there, [], Sorter(self._spill))
                    for streams, state_of in self._skipping(files, objects, references, shortcut):
                        yield from self._joined(streams, state_of, missed)
                if missed is not None:
                    yield from self._seen_now(missed)
        extent.note_gaps()

    def _joined(
        self,
        streams: Streams,
        state_of: Callable[[str], Agreed | None],
        missed: _Missed | None = None,
    ) -> Iterator[Row]:
        """Yields the rows of files, listed objects, objects read by name, and references, by key.

        With ``missed``, files that are gone by now are left out, and the rows of keys whose files are there but were
        not seen go to it instead.
        """
        extent = self.extent
        names = ("local files", "objects", "named objects", "references")
        for key, (file, in_listing, by_name, asking) in merge(tuple(zip(names, streams, strict=True))):
            if extent.unread:
                extent.note_gaps()
            is_missed = False
            if missed is not None and self._is_within(key) and missed.is_there(key) != (file is not None):
                is_missed, file = file is None, None
            rows = [] if asking is None else [row for row in asking if row is not None]
            found = in_listing or by_name
            if file is not None or found is not None:
                self._listener(Advanced(Phase.LISTING, 1))
                self._note_file(file)
                rows.append(self._row(key, file, found, state_of(key)))
            elif asking is not None:
                rows.append(self._row(key, None, None, None))
            if missed is None or not is_missed:
                yield from rows
            else:
                missed.paths.append(key)
                for row in rows:
                    missed.rows.add(key, row)

    def _is_within(self, key: str) -> bool:
        """Whether the file of this key can be there, in a part that was read."""
        return self.named.path_of(key) is not None and self.extent.local.covers(key)

    def _seen_now(self, missed: _Missed) -> Iterator[Row]:
        """Yields the rows of the keys whose files were missed, after looking at these files."""
        files = self.named.look_at(missed.paths) if missed.paths else {}
        self.extent.note_gaps()
        rows = ((key, row) for key, row in missed.rows if row is not None)
        for key, group in itertools.groupby(rows, itemgetter(0)):
            *asking, (_, row) = group
            yield from (each for _, each in asking)
            file, remote = files.get(key), row.value.remote
            self._note_file(file)
            state = None if file is None and remote is None else self._worlds.agreed.of(key)
            yield self._row(key, file, remote, state)

    def _note_file(self, file: LocalFile | None) -> None:
        self.files += file is not None and self._map.first_match(file.path) is not None

    def _skipping(
        self,
        files: Prefetch[LocalFile],
        objects: Prefetch[RemoteObject | Denied],
        references: Iterator[tuple[str, list[Row | None]]],
        shortcut: Shortcut,
    ) -> Iterator[tuple[Streams, Callable[[str], Agreed | None]]]:
        """Yields, for one range of keys at a time, the files, objects and references that a shortcut does not skip, and
        a function that returns the state of a key."""
        listings = (
            SortedRows(map(list, map(self._keyed, iter(files.batch, []))), "local files"),
            SortedRows(self._listed(objects), "objects"),
            SortedRows(iter(lambda: list(itertools.islice(references, ASKED_TOGETHER)), [])),
            SortedRows(shortcut.asked()),
        )
        agreed = self._worlds.agreed.all()
        pages = iter(lambda: list(itertools.islice(agreed, STATES_TOGETHER)), [])
        remembered = SortedRows([(each.key, each) for each in page] for page in pages)
        for local, listed, others, asked in ranges(listings):
            keys = {row[0] for row in (*local, *listed)}
            states = {key: state for key, state in remembered.upto(max(keys, default="")) if key in keys}
            skipped = shortcut.skipped(local, listed, states, others, asked)
            if skipped:
                self._listener(Advanced(Phase.LISTING, len(skipped)))
                self.files += len(skipped)
            left: dict[str, list[Row | None]] = dict(others)
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
        """Yields the listed files and those that are only named, in one order."""
        listed = self._worlds.files.walk(self.extent.local.prefixes)
        return heapq.merge(listed, self.named.files, key=attrgetter("path")) if self.named.files else listed

    def _objects(self) -> Iterator[RemoteObject | Denied]:
        return itertools.chain.from_iterable(self._listing(prefix, "") for prefix in self.extent.remote.prefixes)

    def _listing(self, prefix: str, after: str) -> Iterator[RemoteObject | Denied]:
        """Yields the objects below a prefix whose keys come after this one. If the listing is refused, each part of it
        in which the rules have keys is listed instead, because the permission may be for those parts only."""
        at, parts = after, self._map.key_prefixes(())
        # The parts of a long listing are requested at the same time, because each page means waiting for an answer.
        cuts = () if prefix else self._worlds.agreed.cuts(LISTED_TOGETHER)
        try:
            for found in self._worlds.objects.list(prefix, [part for part in (*parts, *cuts) if part]):
                # An object whose name is the bare prefix is the placeholder of a folder, and has no key.
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

    def _listed(self, objects: Prefetch[RemoteObject | Denied]) -> Iterator[list[tuple[str, RemoteObject]]]:
        """Yields objects by key, some at a time. What could not be listed becomes unknown when the objects before it
        have been consumed: up to them, what was not listed is absent."""
        for batch in iter(objects.batch, []):
            rows: list[tuple[str, RemoteObject]] = []
            for each in batch:
                if isinstance(each, Denied):
                    yield rows
                    rows = []
                    self.extent.leave_unknown(each)
                else:
                    rows.append((each.key, each))
            yield rows

    def _local_by_key(self, files: Iterable[LocalFile]) -> Iterator[tuple[str, LocalFile]]:
        """Yields files by key, in the order of the keys. They are sorted if a rule makes keys that are not the
        paths."""
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
        """Yields one file for each key, the ``first_of`` several."""
        by_key = Sorter(self._spill)
        for key, file in rows:
            by_key.add(key, Row(Stream.KEY, key, KeyRow(key, file.path, file)))
        for key, group in itertools.groupby(by_key, itemgetter(0)):
            yield key, first_of(row.value.local for _, row in group if row is not None)


def first_of(files: Iterable[LocalFile]) -> LocalFile:
    """Returns the file of a key; of several the first, as the twin of another, because none of them can be uploaded."""
    first, *others = sorted(files, key=attrgetter("path"))
    return msgspec.structs.replace(first, twin=others[0].path) if others else first
