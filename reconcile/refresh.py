"""Ports → observations: reads the three worlds at once, streaming; a failed listing is an error, never "empty"."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Protocol, TypeVar

import msgspec

from reconcile.core.events import Advanced, Listener, Phase
from reconcile.core.names import BucketRoot, key_problem
from reconcile.core.pattern import BOUNDARIES, CHAR_ID
from reconcile.core.plan import Scope
from reconcile.core.rows import (
    Agreed,
    Candidate,
    Coverage,
    Document,
    FileProblem,
    LocalFile,
    RemoteObject,
    Slot,
    World,
)
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
    """Who is there: the documents in scope, of both record worlds, and every known character id that matters.

    ``ids_known`` is false where a folder whose files' names are ids could not be read.
    """

    documents: tuple[Document, ...]
    local_documents: tuple[Document, ...]
    known_ids: frozenset[str]
    records: Coverage
    ids_known: bool = True


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
        in_files, ids_known = names.result()
    chosen = [document for document in local_documents if scope.takes_character(document.id)]
    coverage = Coverage(prefixes=(), names=frozenset(scope.char_ids)) if scope.char_ids else Coverage()
    return Roster(tuple(documents), tuple(chosen), frozenset({*known, *local_ids, *in_files}), coverage, ids_known)


def _local_documents(worlds: Worlds) -> list[Document]:
    return [] if worlds.local_db is None else list(worlds.local_db.read())


def _records(worlds: Worlds, scope: Scope, listener: Listener) -> tuple[list[Document], set[str]]:
    """The documents in scope, and the ids among which a name is read."""
    if not scope.char_ids:
        documents = list(_counted(worlds.records.read(), Phase.RECORDS, listener))
        return documents, {document.id for document in documents}
    shorter = {short for char_id in scope.char_ids for short in _shorter(char_id)}
    starts = scope.char_ids if _ids_stand_first(worlds.asset_map) else ("",)
    longer = {name for start in starts for name in worlds.records.ids(start)}
    found = list(worlds.records.read(sorted({*scope.char_ids, *shorter})))
    chosen = [document for document in found if document.id in scope.char_ids]
    return list(_counted(chosen, Phase.RECORDS, listener)), longer | {document.id for document in found}


def _ids_stand_first(asset_map: AssetMap) -> bool:
    """Whether a file of one character can only be read as another's whose id begins like this one's, or the reverse:
    each id stands right behind a rule's first literal text, and no such text begins with another."""
    paths = [rule.path for rule in asset_map.rules if rule.names_character]
    starts = {path.literal_prefix for path in paths}
    nested = any(one != other and one.startswith(other) for one in starts for other in starts)
    first = all(path.prefix({CHAR_ID: "x"}).startswith(f"{path.literal_prefix}x") for path in paths)
    return asset_map.keys_are_paths and first and not nested


def _shorter(char_id: str) -> Iterator[str]:
    """The ids that this one begins with, up to a boundary: a name could be theirs."""
    return (char_id[:at] for at in range(1, len(char_id)) if char_id[at] in BOUNDARIES)


def _ids_in_files(worlds: Worlds, scope: Scope) -> tuple[set[str], bool]:
    """The ids that files say by their whole name, and whether all of those files could be seen."""
    wanted = {*scope.char_ids, *(short for char_id in scope.char_ids for short in _shorter(char_id))}
    if not wanted or not _ids_stand_first(worlds.asset_map):
        wanted = {""}
    prefixes = minimal_prefixes(p for each in wanted for p in worlds.asset_map.whole_name_prefixes(each))
    names = list(worlds.files.names(prefixes)) if prefixes else []
    found = {worlds.asset_map.character_in_name(name) for name in names}
    stops = [row for name in names if name.endswith("/") for row in worlds.files.walk((name,))]
    return {char_id for char_id in found if char_id}, all(row.problem is FileProblem.SYMLINK for row in stops)


class Observations:
    """Files and objects, key by key, and what was read whole. Iterate once; then the counts are right."""

    def __init__(self, worlds: Worlds, scope: Scope, known_ids: frozenset[str], listener: Listener) -> None:
        self._worlds = worlds
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
        self._unread: list[Unread] = []

    def look_up(self, candidates: Sequence[Candidate]) -> frozenset[str]:
        """Reads, one by one, what records name outside what is listed. Where a text leads to nothing that may still be
        there in another case or Unicode form, everything is listed instead. Gives the further characters that the names
        of these files could be about."""
        paths = {each.key: self._path(each.key) for each in candidates if self._may_answer(each)}
        texts = _respelt(candidates)
        respelt = frozenset(itertools.chain.from_iterable(texts))
        asked = [key for key in sorted(paths) if key in respelt or not self._covers(key, paths[key])]
        files = self._look_at({path for key in asked if (path := paths[key]) is not None})
        objects = self._get([key for key in asked if paths[key] not in files or not self.remote.covers(key)])
        if any(not any(paths.get(key) in files or key in objects for key in keys) for keys in texts):
            self.local, self.remote = Coverage(), Coverage()
            return self._learn([path for path in paths.values() if path is not None])
        self._named_files = [file for path, file in sorted(files.items()) if not self.local.covers(path)]
        self._named_objects = [found for key, found in sorted(objects.items()) if not self.remote.covers(key)]
        stopped = tuple(folder.folder.path for folder in self._unread)
        names = frozenset(path for key in asked if (path := paths[key]) and not path.startswith(stopped))
        self.local = msgspec.structs.replace(self.local, names=names)
        self.remote = msgspec.structs.replace(self.remote, names=frozenset(asked))
        return self._learn([path for key in asked if (path := paths[key]) is not None])

    def _learn(self, paths: Iterable[str]) -> frozenset[str]:
        """Whose these files are is read among more characters than the scope's own."""
        templates = [rule.path for rule in self._map.rules if rule.names_character]
        spans = ((each, path, span) for path in paths for each in templates for span in each.readings(path))
        possible = {span[0] for each, path, span in spans if each.match_span(path, span[1], span[2]) is not None}
        # Without characters in the scope every record was read, and every id is known.
        unknown = sorted(possible - self._known_ids) if self._of_characters else []
        found = {document.id for document in self._worlds.records.read(unknown)} if unknown else set()
        prefixes = minimal_prefixes(each for value in unknown for each in self._map.whole_name_prefixes(value))
        named = (
            {self._map.character_in_name(name) for name in self._worlds.files.names(prefixes)} if prefixes else set()
        )
        self._known_ids |= found | {value for value in named if value in possible}
        return self._known_ids

    def _path(self, key: str) -> str | None:
        return self._map.path_for(key, self._known_ids)

    def _covers(self, key: str, path: str | None) -> bool:
        return self.remote.covers(key) and (path is None or self.local.covers(path))

    def _may_answer(self, candidate: Candidate) -> bool:
        path = None if candidate.sure else self._path(candidate.key)
        return candidate.sure or (path is not None and self._map.read(path, self._known_ids) is not None)

    def _look_at(self, paths: Iterable[str]) -> dict[str, LocalFile]:
        """The files at these paths; one below a folder that is not read is unknown, and the folder is noted."""
        files: dict[str, LocalFile] = {}
        for file in self._worlds.files.lookup(sorted(paths)):
            stop = self._stop(file)
            if stop is None:
                files[file.path] = file
            else:
                self._unread.append(Unread(msgspec.structs.replace(file, path=stop)))
        return files

    def _stop(self, file: LocalFile) -> str | None:
        if file.problem not in (FileProblem.UNREADABLE, FileProblem.SYMLINK):
            return None
        names = self._worlds.files.names((file.path,))
        return next((name for name in names if name.endswith("/") and file.path.startswith(name)), None)

    def _get(self, keys: Sequence[str]) -> dict[str, RemoteObject]:
        possible = [key for key in keys if key_problem(self._worlds.bucket.object_name(key)) is None]
        with ThreadPoolExecutor(LOOKUPS_AT_ONCE) as pool:
            found = list(pool.map(self._worlds.objects.get, possible))
        return {each.key: each for each in found if each is not None}

    def __iter__(self) -> Iterator[KeyRows | Unread]:
        with ExitStack() as stack:
            files = _ahead(stack, self._files)
            objects = _ahead(stack, self._objects)
            unread = self._unread
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
            while unread:
                yield self._note(unread.pop(0))

    def _note(self, folder: Unread) -> Unread:
        path = folder.folder.path
        failed = () if folder.folder.problem is FileProblem.SYMLINK else (path,)
        self.local = msgspec.structs.replace(
            self.local, unreadable=(*self.local.unreadable, path), failed=(*self.local.failed, *failed)
        )
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
        return rows if self._map.keys_are_paths else _one_for_each_key(sorted(rows, key=lambda row: row[0]))

    def _keyed(self, files: Iterable[LocalFile], unread: list[Unread]) -> Iterator[tuple[str, LocalFile]]:
        for file in files:
            if file.path.endswith("/"):
                unread.append(Unread(file))
            else:
                yield self._map.key_for(file.path, self._known_ids), file


def _one_for_each_key(rows: Iterable[tuple[str, LocalFile]]) -> Iterator[tuple[str, LocalFile]]:
    """Where several files have one key, the first of them, as the twin of another: none of them can be uploaded."""
    for key, group in itertools.groupby(rows, key=lambda row: row[0]):
        files = sorted((file for _, file in group), key=lambda file: file.path)
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
