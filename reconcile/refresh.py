"""Ports → observations: reads the three worlds at once, streaming; a failed listing is an error, never "empty"."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Protocol, TypeVar

import msgspec

from reconcile.core.events import Advanced, Listener, Phase
from reconcile.core.names import BucketRoot, key_problem
from reconcile.core.pattern import BOUNDARIES
from reconcile.core.plan import Scope
from reconcile.core.rows import Agreed, Candidate, Coverage, Document, LocalFile, RemoteObject
from reconcile.core.rules import AssetMap, minimal_prefixes
from reconcile.core.stages.key import KeyRows
from reconcile.engine import Prefetch, merge
from reconcile.ports import AgreedStates, FileSource, ObjectStore, RecordStore

T = TypeVar("T")
LOOKUPS_AT_ONCE = 8


class Worlds(Protocol):
    """What is read: the opened stores of one project, and the map that says where to look."""

    @property
    def asset_map(self) -> AssetMap: ...
    @property
    def bucket(self) -> BucketRoot: ...
    @property
    def files(self) -> FileSource: ...
    @property
    def objects(self) -> ObjectStore: ...
    @property
    def records(self) -> RecordStore: ...
    @property
    def local_db(self) -> RecordStore | None: ...
    @property
    def agreed(self) -> AgreedStates: ...


class Roster(msgspec.Struct, frozen=True):
    """Who is there: the documents in scope, of both record worlds, and every known character id that matters."""

    documents: tuple[Document, ...]
    local_documents: tuple[Document, ...]
    known_ids: frozenset[str]
    records: Coverage


class Unread(msgspec.Struct, frozen=True):
    """A folder that was not read (no permission, a symlink): nothing below it is known to be absent."""

    folder: LocalFile


def read_roster(worlds: Worlds, scope: Scope, listener: Listener) -> Roster:
    """Reads the records first: they say which characters exist and which keys they name."""
    with ThreadPoolExecutor(3) as pool:
        names = pool.submit(_ids_in_files, worlds, scope)
        local = pool.submit(_local_documents, worlds)
        documents, known = _records(worlds, scope, listener)
        local_documents = local.result()
        local_ids = {document.id for document in local_documents}
        known_ids = frozenset({*known, *local_ids, *names.result()})
    chosen = [document for document in local_documents if scope.takes_character(document.id)]
    coverage = Coverage(prefixes=(), names=frozenset(scope.char_ids)) if scope.char_ids else Coverage()
    return Roster(tuple(documents), tuple(chosen), known_ids, coverage)


def _local_documents(worlds: Worlds) -> list[Document]:
    return [] if worlds.local_db is None else list(worlds.local_db.read())


def _records(worlds: Worlds, scope: Scope, listener: Listener) -> tuple[list[Document], set[str]]:
    """The documents in scope, and the ids among which a name is read."""
    if not scope.char_ids:
        documents = list(_counted(worlds.records.read(), Phase.RECORDS, listener))
        return documents, {document.id for document in documents}
    shorter = {short for char_id in scope.char_ids for short in _shorter(char_id)}
    longer = {name for char_id in scope.char_ids for name in worlds.records.ids(char_id)}
    found = list(worlds.records.read(sorted({*scope.char_ids, *shorter})))
    chosen = [document for document in found if document.id in scope.char_ids]
    return list(_counted(chosen, Phase.RECORDS, listener)), longer | {document.id for document in found}


def _shorter(char_id: str) -> Iterator[str]:
    """The ids that this one begins with, up to a boundary: a name could be theirs."""
    return (char_id[:at] for at in range(1, len(char_id)) if char_id[at] in BOUNDARIES)


def _ids_in_files(worlds: Worlds, scope: Scope) -> set[str]:
    """The ids that files say by their whole name."""
    wanted = {*scope.char_ids, *(short for char_id in scope.char_ids for short in _shorter(char_id))} or {""}
    prefixes = minimal_prefixes(p for each in wanted for p in worlds.asset_map.whole_name_prefixes(each))
    found = (worlds.asset_map.character_in_name(path) for path in worlds.files.names(prefixes)) if prefixes else ()
    return {char_id for char_id in found if char_id is not None}


class Observations:
    """Files and objects, key by key, and what was read whole. Iterate once; then the counts are right."""

    def __init__(self, worlds: Worlds, scope: Scope, known_ids: frozenset[str], listener: Listener) -> None:
        self._worlds = worlds
        self._known_ids = known_ids
        self._listener = listener
        self._map = worlds.asset_map
        whole = not scope.char_ids and not scope.asset_types
        self.local = Coverage(("",) if whole else self._map.path_prefixes(scope.char_ids, scope.asset_types))
        self.remote = Coverage(("",) if whole else self._map.key_prefixes(scope.char_ids, scope.asset_types))
        self._named_files: list[LocalFile] = []
        self._named_objects: list[RemoteObject] = []

    def look_up(self, candidates: Iterable[Candidate]) -> None:
        """Reads, one by one, the keys that records name outside what is listed; where a name may be spelt in another
        way, everything that a rule can take is listed instead."""
        outside = sorted({each.key for each in candidates if not self.remote.covers(each.key)})
        paths = {key: self._map.path_for(key, self._known_ids) for key in outside}
        wanted = [path for path in paths.values() if path is not None and not self.local.covers(path)]
        self._named_files = list(self._worlds.files.lookup(wanted))
        possible = [key for key in outside if key_problem(self._worlds.bucket.object_name(key)) is None]
        with ThreadPoolExecutor(LOOKUPS_AT_ONCE) as pool:
            found = list(pool.map(self._worlds.objects.get, possible))
        self._named_objects = [each for each in found if each is not None]
        self.local = msgspec.structs.replace(self.local, names=frozenset(wanted))
        self.remote = msgspec.structs.replace(self.remote, names=frozenset(outside))
        there = {each.path for each in self._named_files} | {each.key for each in self._named_objects}
        if any(_may_be_respelt(each) and each.key in outside and each.key not in there for each in candidates):
            self._widen()

    def _widen(self) -> None:
        """Lists everything that a rule can take; what was looked up one by one stays known."""
        local, remote = self.local, self.remote
        wider = minimal_prefixes([*local.prefixes, *self._map.path_prefixes(())])
        self.local = Coverage(wider, names=local.names)
        self._named_files = [each for each in self._named_files if not each.path.startswith(wider)]
        wider = minimal_prefixes([*remote.prefixes, *self._map.key_prefixes(())])
        self.remote = Coverage(wider, names=remote.names)
        self._named_objects = [each for each in self._named_objects if not each.key.startswith(wider)]

    def __iter__(self) -> Iterator[KeyRows | Unread]:
        with ExitStack() as stack:
            files = _ahead(stack, self._files)
            objects = _ahead(stack, self._objects)
            unread: list[Unread] = []
            local = self._local_by_key(files, unread)
            agreed = ((state.key, state) for state in self._worlds.agreed.all())
            # An object with the bare prefix as its name is a folder's placeholder: it has no key.
            remote = ((each.key, each) for each in objects if each.key)
            streams = [("local files", local), ("objects", remote), ("states", agreed)]
            for key, (file, found, state) in merge(streams):
                while unread:
                    yield self._note(unread.pop(0))
                if file is not None or found is not None:
                    self._listener(Advanced(Phase.LISTING, 1))
                    yield self._row(key, file, found, state)
            for folder in unread:
                yield self._note(folder)

    def _note(self, folder: Unread) -> Unread:
        folders = (*self.local.unreadable, folder.folder.path)
        self.local = msgspec.structs.replace(self.local, unreadable=folders)
        return folder

    def _row(self, key: str, file: LocalFile | None, found: RemoteObject | None, state: Agreed | None) -> KeyRows:
        path = file.path if file is not None else self._map.path_for(key, self._known_ids)
        return KeyRows(key, path, file, found, state)

    def _files(self) -> Iterator[LocalFile]:
        return _merged(self._worlds.files.walk(self.local.prefixes), self._named_files, lambda file: file.path)

    def _objects(self) -> Iterator[RemoteObject]:
        splits = [prefix for prefix in self._map.key_prefixes(()) if prefix]
        listings = (self._worlds.objects.list(prefix, splits) for prefix in self.remote.prefixes)
        listed = itertools.chain.from_iterable(listings)
        return _merged(listed, self._named_objects, lambda found: found.key)

    def _local_by_key(self, files: Iterable[LocalFile], unread: list[Unread]) -> Iterator[tuple[str, LocalFile]]:
        """Files under their keys, in key order; where a rule gives keys of its own, the walk's order is another."""
        rows = self._keyed(files, unread)
        return rows if self._map.keys_are_paths else iter(sorted(rows, key=lambda row: row[0]))

    def _keyed(self, files: Iterable[LocalFile], unread: list[Unread]) -> Iterator[tuple[str, LocalFile]]:
        for file in files:
            if file.path.endswith("/"):
                unread.append(Unread(file))
            else:
                yield self._map.key_for(file.path, self._known_ids), file


def _may_be_respelt(candidate: Candidate) -> bool:
    return candidate.windows or not candidate.key.isascii()


def _ahead(stack: ExitStack, make: Callable[[], Iterable[T]]) -> Prefetch[T]:
    rows = Prefetch(make)
    stack.callback(rows.close)
    return rows


def _merged(listed: Iterable[T], named: Sequence[T], name: Callable[[T], str]) -> Iterator[T]:
    """Two sorted streams as one; named ones are outside what is listed."""
    if not named:
        return iter(listed)
    rows = merge([("listed", ((name(row), row) for row in listed)), ("named", ((name(row), row) for row in named))])
    return (first if first is not None else second for _, (first, second) in rows)


def _counted(rows: Iterable[T], phase: Phase, listener: Listener) -> Iterator[T]:
    for row in rows:
        listener(Advanced(phase, 1))
        yield row
