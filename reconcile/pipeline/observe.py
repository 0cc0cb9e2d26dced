"""Ports → rows: files and objects, joined key by key as both listings stream in order; a failed listing is an error,
never "empty".

What the credentials may not read can be left unknown instead, for a reader that asks for what is ``partial``.
"""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from operator import attrgetter, itemgetter
from typing import Any

import msgspec

from reconcile.adapters.workers import Workers, awaited
from reconcile.core.errors import AccessDenied
from reconcile.core.events import Advanced, Listener, Phase
from reconcile.core.names import fold, key_problem, spelling
from reconcile.core.plan import Scope
from reconcile.core.rows import (
    Agreed,
    Candidate,
    Coverage,
    FileProblem,
    KeyRow,
    LocalFile,
    RemoteObject,
    Row,
    Slot,
    Stream,
    World,
)
from reconcile.core.rules import AssetMap, minimal_prefixes
from reconcile.pipeline.engine import Prefetch, merge
from reconcile.pipeline.gaps import Denied, Gap, Store, Unread
from reconcile.pipeline.roster import named_by_files, possible_owners, spelled_once, stored_among
from reconcile.pipeline.shortcut import Shortcut
from reconcile.pipeline.sorting import Keyed, Sorter, Spill
from reconcile.project import OpenProject

LOOKUPS_AT_ONCE = 8


class Observations:
    """Files and objects, key by key, and what was read whole. What may not be read is an error, except if ``partial``:
    then it is one of the ``gaps``, and no key in it is called absent."""

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
        self._known_ids = known_ids
        self._of_characters = bool(scope.char_ids)
        self._listener = listener
        self._map = worlds.asset_map
        whole = not scope.char_ids and not scope.asset_types
        types = _rivals(self._map, scope.asset_types)
        self.local = Coverage(("",) if whole else self._map.path_prefixes(scope.char_ids, types))
        self.remote = Coverage(("",) if whole else self._map.key_prefixes(scope.char_ids, types))
        self._named_files: list[LocalFile] = []
        self._named_objects: list[RemoteObject] = []
        self._unread: list[Gap] = []
        self.gaps: list[Gap] = []
        self.files = 0
        self.ids_known = True
        """Whether no record that could be a further character was refused."""
        self.listed = False
        """Whether the bucket could be asked for anything."""

    def look_up(self, candidates: Sequence[Candidate]) -> frozenset[str]:
        """Reads, one by one, what records name outside what is listed. Where a text leads to nothing that may still be
        there in another case or Unicode form, everything is listed instead. Gives the further characters that the names
        of these files could be about."""
        paths = {each.key: self._path(each.key) for each in candidates if self._may_answer(each)}
        texts = _respelt(candidates)
        respelt = frozenset(itertools.chain.from_iterable(texts))
        asked = [
            key
            for key, path in sorted(paths.items())
            if key in respelt or not self.remote.covers(key) or (path is not None and not self.local.covers(path))
        ]
        files = self._look_at({path for key in asked if (path := paths[key]) is not None})
        gotten = [key for key in asked if paths[key] not in files or not self.remote.covers(key)]
        objects, refused = self._get(gotten)
        if any(not any(paths.get(key) in files or key in objects for key in keys) for keys in texts):
            self.local, self.remote = Coverage(), Coverage()
            return self._learn([path for path in paths.values() if path is not None])
        self._named_files = [file for path, file in sorted(files.items()) if not self.local.covers(path)]
        self._named_objects = [found for key, found in sorted(objects.items()) if not self.remote.covers(key)]
        stopped = tuple(each.folder.path for each in self._unread if isinstance(each, Unread))
        names = frozenset(path for key in asked if (path := paths[key]) and not path.startswith(stopped))
        self.local = msgspec.structs.replace(self.local, names=names)
        self._unread += [each for each in refused if not self.remote.covers(each.name)]
        hidden = {each.name for each in refused}
        # What is left to the listing is not known by name: the listing may be refused.
        self.remote = msgspec.structs.replace(self.remote, names=frozenset(gotten).difference(hidden))
        return self._learn([path for key in asked if (path := paths[key]) is not None])

    def _learn(self, paths: Iterable[str]) -> frozenset[str]:
        """Whose these files are is read among more characters than the scope's own."""
        possible = possible_owners(self._map, paths)
        # Without characters in the scope every record was read, and every id is known.
        unknown = {each for each in possible if self._of_characters and spelling(each, self._known_ids) is None}
        stored: set[str] = set()
        try:
            stored = stored_among(self._worlds.records, unknown)
        except AccessDenied as error:
            if not self._partial:
                raise
            self.ids_known = False
            self._unread.append(Denied(Store.RECORDS, "", error))
        self._known_ids |= spelled_once(stored, named_by_files(self._worlds, sorted(unknown)) & possible)
        return self._known_ids

    def _path(self, key: str) -> str | None:
        return self._map.path_for(key, self._known_ids)

    def _may_answer(self, candidate: Candidate) -> bool:
        path = None if candidate.sure else self._path(candidate.key)
        return candidate.sure or (path is not None and self._map.read(path, self._known_ids) is not None)

    def _look_at(self, paths: Iterable[str]) -> dict[str, LocalFile]:
        """The files at these paths; one below a folder that is not read is unknown, and the folder is noted."""
        files: dict[str, LocalFile] = {}
        for file in self._worlds.files.lookup(sorted(paths), before=self.local.prefixes):
            stop = self._stop(file)
            if stop is None:
                files[file.path] = file
            else:
                self._unread.append(Unread(msgspec.structs.replace(file, path=stop)))
        return files

    def _stop(self, file: LocalFile) -> str | None:
        if file.problem not in (FileProblem.UNREADABLE, FileProblem.SYMLINK, FileProblem.UNCLAIMED):
            return None
        names = self._worlds.files.names((file.path,))
        return next((name for name in names if name.endswith("/") and file.path.startswith(name)), None)

    def _get(self, keys: Sequence[str]) -> tuple[dict[str, RemoteObject], list[Denied]]:
        possible = [key for key in keys if key_problem(self._worlds.bucket.object_name(key)) is None]
        with Workers(LOOKUPS_AT_ONCE, "lookup") as pool:
            found = [awaited(each) for each in [pool.submit(self._get_one, key) for key in possible]]
        objects = {each.key: each for each in found if isinstance(each, RemoteObject)}
        return objects, [each for each in found if isinstance(each, Denied)]

    def _get_one(self, key: str) -> RemoteObject | Denied | None:
        try:
            found = self._worlds.objects.get(key)
        except AccessDenied as error:
            if not self._partial:
                raise
            return Denied(Store.BUCKET, key, error)
        self.listed = True
        return found

    def rows(self, asked: Iterable[Keyed], shortcut: Shortcut | None = None) -> Iterator[Row]:
        """A row for each key that is there, or that is ``asked``, each in order, behind the rows asked with it; none
        for what a ``shortcut`` takes. Iterate once."""
        agreed = self._worlds.agreed
        with closing(Prefetch(self._files)) as files, closing(Prefetch(self._objects)) as objects:
            streams: list[tuple[str, Iterable[tuple[str, Any]]]] = [
                ("local files", self._local_by_key(files)),
                ("objects", self._listed_by_key(objects)),
                ("named objects", ((each.key, each) for each in self._named_objects)),
                ("references", ((key, [row for _, row in of]) for key, of in itertools.groupby(asked, itemgetter(0)))),
            ]
            for key, (file, in_listing, by_name, asking) in merge(streams):
                if self._unread:
                    self._note_gaps()
                found = in_listing or by_name
                state = agreed.of(key) if file is not None or found is not None else None
                if shortcut is not None and shortcut.takes(file, in_listing, state, asking):
                    self._listener(Advanced(Phase.LISTING, 1))
                    self.files += 1
                    continue
                if asking is not None:
                    yield from (row for row in asking if row is not None)
                if file is not None or found is not None:
                    self._listener(Advanced(Phase.LISTING, 1))
                    self.files += file is not None and self._worlds.asset_map.first_match(file.path) is not None
                    yield self._row(key, file, found, state)
                elif asking is not None:
                    yield self._row(key, None, None, None)
        self._note_gaps()

    def _note_gaps(self) -> None:
        """Takes what was not read out of what counts as read, before the first key that it concerns."""
        while self._unread:
            gap = self._unread.pop(0)
            self.gaps.append(gap)
            if isinstance(gap, Unread):
                local, path = self.local, gap.folder.path
                failed = (path,) if gap.hides_ours else ()
                self.local = msgspec.structs.replace(
                    local, unreadable=(*local.unreadable, path), failed=(*local.failed, *failed)
                )

    def _row(self, key: str, file: LocalFile | None, found: RemoteObject | None, state: Agreed | None) -> Row:
        path = file.path if file is not None else self._path(key)
        local_known = file is not None or path is None or self.local.covers(path)
        remote_known = found is not None or self.remote.covers(key)
        return Row(Stream.KEY, fold(key), KeyRow(key, path, file, found, state, local_known, remote_known))

    def _files(self) -> Iterator[LocalFile]:
        """Those that are listed and those that are named elsewhere, in one order."""
        return heapq.merge(self._worlds.files.walk(self.local.prefixes), self._named_files, key=attrgetter("path"))

    def _objects(self) -> Iterator[RemoteObject | Denied]:
        return itertools.chain.from_iterable(self._listing(prefix, "") for prefix in self.remote.prefixes)

    def _listing(self, prefix: str, after: str) -> Iterator[RemoteObject | Denied]:
        """The objects below a prefix, with a key after this one. A listing that is refused is tried again for each part
        of it in which the rules have keys: the permission may be for those alone."""
        at, parts = after, self._map.key_prefixes(())
        try:
            for found in self._worlds.objects.list(prefix, [part for part in parts if part]):
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
            self.listed = True

    def _listed_by_key(self, rows: Iterable[RemoteObject | Denied]) -> Iterator[tuple[str, RemoteObject]]:
        for each in rows:
            if isinstance(each, Denied):
                self._leave_unknown(each)
            else:
                yield each.key, each

    def _leave_unknown(self, refused: Denied) -> None:
        """From here on nothing below this prefix is called absent, except in parts of it that can be listed."""
        remote, name = self.remote, refused.name
        if refused.narrower:
            prefixes = minimal_prefixes((*(each for each in remote.prefixes if each != name), *refused.narrower))
            self.remote = msgspec.structs.replace(remote, prefixes=prefixes)
        else:
            unreadable, failed = (*remote.unreadable, name), (*remote.failed, name)
            self.remote = msgspec.structs.replace(remote, unreadable=unreadable, failed=failed)
        self._unread.append(refused)

    def _local_by_key(self, files: Iterable[LocalFile]) -> Iterator[tuple[str, LocalFile]]:
        """Files under their keys, in key order; if a rule gives keys of its own, the walk's order is another."""
        rows = self._keyed(files)
        return rows if self._map.keys_are_paths else self._one_for_each_key(rows)

    def _keyed(self, files: Iterable[LocalFile]) -> Iterator[tuple[str, LocalFile]]:
        for file in files:
            if file.path.endswith("/"):
                self._unread.append(Unread(file))
            else:
                yield self._map.key_for(file.path, self._known_ids), file

    def _one_for_each_key(self, rows: Iterable[tuple[str, LocalFile]]) -> Iterator[tuple[str, LocalFile]]:
        """Where several files have one key, the first of them, as the twin of another: none of them can be uploaded."""
        by_key = Sorter(self._spill)
        for key, file in rows:
            by_key.add(key, Row(Stream.KEY, key, KeyRow(key, file.path, file)))
        for key, group in itertools.groupby(by_key, itemgetter(0)):
            files = sorted((row.value.local for _, row in group if row is not None), key=attrgetter("path"))
            twin = files[1].path if len(files) > 1 else files[0].twin
            yield key, msgspec.structs.replace(files[0], twin=twin)


def _respelt(candidates: Iterable[Candidate]) -> list[set[str]]:
    """The keys of each text whose files may be there in another case or Unicode form."""
    texts: dict[tuple[World, str, Slot], list[Candidate]] = defaultdict(list)
    for each in candidates:
        texts[each.world, each.document, each.slot].append(each)
    odd = (group for group in texts.values() if any(each.windows or not each.key.isascii() for each in group))
    return [{each.key for each in group} for group in odd]


def _rivals(asset_map: AssetMap, asset_types: Sequence[str]) -> tuple[str, ...]:
    """These types, and those whose files claim the same fields."""
    fields = {rule.field for rule in asset_map.rules if rule.type in asset_types and rule.field is not None}
    return tuple(rule.type for rule in asset_map.rules if rule.type in asset_types or rule.field in fields)
