"""Ports → observations: reads the three worlds at once, streaming; a failed listing is an error, never "empty".

What the credentials may not read can be left unknown instead, for a reader that asks for what is ``partial``.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from enum import Enum
from typing import Protocol, TypeVar

import msgspec

from reconcile.adapters.workers import Workers
from reconcile.core.errors import AccessDenied
from reconcile.core.events import Advanced, Listener, Phase
from reconcile.core.names import BucketRoot, key_problem, shared_prefix, spelling, spellings
from reconcile.core.pairing import Pairing
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
from reconcile.pipeline.engine import Prefetch, merge
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


class Store(Enum):
    """One of the two stores that may refuse to be read."""

    BUCKET = "the bucket"
    RECORDS = "the records"


class Refused(msgspec.Struct, frozen=True):
    """A part of a store that these credentials may not read: nothing in it is known to be absent.

    ``name`` is a prefix of keys, one key, or a document; an empty one is all of the store. ``narrower`` are the
    prefixes within it that are tried one by one instead.
    """

    store: Store
    name: str
    error: AccessDenied
    narrower: tuple[str, ...] = ()


class Roster(msgspec.Struct, frozen=True):
    """Who is there: the documents in scope, of both record worlds, and every known character id that matters.

    ``scope`` is what was asked for, each id in the Unicode form in which it is known. ``ids_known`` is false if a
    folder whose files' names are ids could not be read, or a record could not.
    """

    documents: tuple[Document, ...]
    local_documents: tuple[Document, ...]
    known_ids: frozenset[str]
    records: Coverage
    scope: Scope = Scope()
    ids_known: bool = True
    refused: tuple[Refused, ...] = ()

    @property
    def denied(self) -> AccessDenied | None:
        """Why no record in scope could be read at all; None where one could."""
        nothing = not self.records.prefixes and not self.records.names
        return self.refused[0].error if nothing and self.refused else None


class Unread(msgspec.Struct, frozen=True):
    """A folder that was not read (no permission, a symlink): nothing below it is known to be absent."""

    folder: LocalFile


def read_roster(worlds: Worlds, scope: Scope, listener: Listener, *, partial: bool = False) -> Roster:
    """Reads the records first: they say which characters exist and which keys they name.

    Raises AccessDenied where one may not be read, but for a ``partial`` roster, which tells of it.
    """
    with Workers(2, "roster") as pool:
        names = pool.submit(_ids_in_files, worlds, scope)
        local = pool.submit(_local_documents, worlds)
        read = _records(worlds, scope, listener, partial=partial)
        local_documents = _as_recorded(local.result(), read.known_ids)
        in_files, ids_known = names.result()
    noted = {*read.known_ids, *(document.id for document in local_documents)}
    known = frozenset({*noted, *(char_id for char_id in in_files if spelling(char_id, noted) is None)})
    asked = tuple(spelling(char_id, known) or char_id for char_id in scope.char_ids)
    scope = msgspec.structs.replace(scope, char_ids=asked)
    records = [document for document in read.documents if scope.takes_character(document.id)]
    local_documents = [document for document in local_documents if scope.takes_character(document.id)]
    ids_known = ids_known and not read.refused
    return Roster(tuple(records), tuple(local_documents), known, read.coverage, scope, ids_known, read.refused)


def _local_documents(worlds: Worlds) -> list[Document]:
    return [] if worlds.local_db is None else list(worlds.local_db.read())


def _as_recorded(documents: Sequence[Document], recorded: set[str]) -> list[Document]:
    """The local database's documents under the ids that the records have for them, whatever the Unicode form."""
    taken = {document.id for document in documents}
    return [_renamed(document, spelling(document.id, recorded), taken) for document in documents]


def _renamed(document: Document, char_id: str | None, taken: set[str]) -> Document:
    if char_id is None or char_id in taken:
        return document
    return msgspec.structs.replace(document, id=char_id, stored_as=document.id)


class _Read(msgspec.Struct, frozen=True):
    """The documents in scope, the ids among which a name is read, and what of the scope was read."""

    documents: list[Document]
    known_ids: set[str]
    coverage: Coverage
    refused: tuple[Refused, ...] = ()


def _records(worlds: Worlds, scope: Scope, listener: Listener, *, partial: bool) -> _Read:
    if scope.char_ids:
        return _records_of(worlds, scope, listener, partial=partial)
    try:
        documents = list(_counted(worlds.records.read(), Phase.RECORDS, listener))
    except AccessDenied as error:
        if not partial:
            raise
        return _Read([], set(), _only_unread(("",)), (Refused(Store.RECORDS, "", error),))
    return _Read(documents, {document.id for document in documents}, Coverage())


def _records_of(worlds: Worlds, scope: Scope, listener: Listener, *, partial: bool) -> _Read:
    wanted = {each for char_id in scope.char_ids for each in spellings(char_id)}
    shorter = {short for char_id in wanted for short in _shorter(char_id)}
    starts = [shared_prefix(each) for each in scope.char_ids] if _ids_stand_first(worlds.asset_map) else [""]
    longer: set[str] = set()
    refused: list[Refused] = []
    try:
        longer = {name for start in starts for name in worlds.records.ids(start)}
    except AccessDenied as error:
        if not partial:
            raise
        refused.append(Refused(Store.RECORDS, "", error))
    found, denied = _read_each(worlds, sorted(wanted | shorter), partial=partial)
    unread = tuple(sorted(denied.keys() & wanted))
    coverage = msgspec.structs.replace(_only_unread(unread), names=frozenset(wanted.difference(unread)))
    chosen = [document for document in found if document.id in wanted]
    documents = list(_counted(chosen, Phase.RECORDS, listener))
    refused += [Refused(Store.RECORDS, char_id, error) for char_id, error in sorted(denied.items())]
    return _Read(documents, longer | {document.id for document in found}, coverage, tuple(refused))


def _only_unread(names: tuple[str, ...]) -> Coverage:
    return Coverage(prefixes=(), unreadable=names, failed=names)


def _read_each(worlds: Worlds, ids: Sequence[str], *, partial: bool) -> tuple[list[Document], dict[str, AccessDenied]]:
    """The documents of these ids that may be read, and why the others may not: at once, else one by one."""
    try:
        return list(worlds.records.read(ids)), {}
    except AccessDenied as error:
        if not partial:
            raise
        if len(ids) == 1:
            return [], {ids[0]: error}
    read = [_read_each(worlds, [each], partial=partial) for each in ids]
    found = [document for documents, _ in read for document in documents]
    return found, {name: error for _, denied in read for name, error in denied.items()}


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
    return {char_id for char_id in found if char_id}, all(row.problem is not FileProblem.UNREADABLE for row in stops)


def known_owners(worlds: Worlds, paths: Iterable[str], told: str | None = None) -> frozenset[str]:
    """The known characters that the names of these files could be about, and the one that was ``told``, which counts
    as known: each in the Unicode form of the records, if they have it. Raises StoreError and SourceError if a world
    cannot be read."""
    possible = _possible_owners(worlds.asset_map, paths) | ({told} if told is not None else set())
    asked = sorted({each for value in possible for each in spellings(value)})
    stores = [store for store in (worlds.records, worlds.local_db) if store is not None and asked]
    stored = [{document.id for document in store.read(asked)} for store in stores]
    named = _named_by_files(worlds, sorted(possible)) & possible
    known: set[str] = set()
    for ids in (*stored, named, {told} if told is not None else set()):
        known |= {char_id for char_id in ids if spelling(char_id, known) is None}
    return frozenset(known)


def _possible_owners(asset_map: AssetMap, paths: Iterable[str]) -> set[str]:
    """Every character, known or not, that the names of these files could be about."""
    templates = [rule.path for rule in asset_map.rules if rule.names_character]
    spans = ((each, path, span) for path in paths for each in templates for span in each.readings(path))
    return {span[0] for each, path, span in spans if each.match_span(path, span[1], span[2]) is not None}


def _named_by_files(worlds: Worlds, ids: Sequence[str]) -> set[str]:
    """The characters that files say by their whole name, in the places of the files of these."""
    prefixes = minimal_prefixes(each for value in ids for each in worlds.asset_map.whole_name_prefixes(value))
    found = (worlds.asset_map.character_in_name(name) for name in (worlds.files.names(prefixes) if prefixes else ()))
    return {char_id for char_id in found if char_id is not None}


class Observations:
    """Files and objects, key by key, and what was read whole. Iterate once; then the counts are right.

    What may not be read is an error, but for ``partial`` ones, which tell of it before the first key that it concerns.
    """

    def __init__(
        self,
        worlds: Worlds,
        scope: Scope,
        known_ids: frozenset[str],
        listener: Listener,
        *,
        partial: bool = False,
    ) -> None:
        self._worlds = worlds
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
        self._unread: list[Unread | Refused] = []
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
        asked = [key for key in sorted(paths) if key in respelt or not self._covers(key, paths[key])]
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
        possible = _possible_owners(self._map, paths)
        # Without characters in the scope every record was read, and every id is known.
        unknown = sorted(each for each in possible if spelling(each, self._known_ids) is None)
        unknown = unknown if self._of_characters else []
        found = self._known_among([each for name in unknown for each in spellings(name)]) if unknown else set()
        named = _named_by_files(self._worlds, unknown) & possible
        self._known_ids |= found | {value for value in named if spelling(value, found) is None}
        return self._known_ids

    def _known_among(self, ids: Sequence[str]) -> set[str]:
        try:
            return {document.id for document in self._worlds.records.read(ids)}
        except AccessDenied as error:
            if not self._partial:
                raise
            self.ids_known = False
            self._unread.append(Refused(Store.RECORDS, "", error))
            return set()

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

    def _get(self, keys: Sequence[str]) -> tuple[dict[str, RemoteObject], list[Refused]]:
        possible = [key for key in keys if key_problem(self._worlds.bucket.object_name(key)) is None]
        with Workers(LOOKUPS_AT_ONCE, "lookup") as pool:
            found = [each.result() for each in [pool.submit(self._get_one, key) for key in possible]]
        objects = {each.key: each for each in found if isinstance(each, RemoteObject)}
        return objects, [each for each in found if isinstance(each, Refused)]

    def _get_one(self, key: str) -> RemoteObject | Refused | None:
        try:
            found = self._worlds.objects.get(key)
        except AccessDenied as error:
            if not self._partial:
                raise
            return Refused(Store.BUCKET, key, error)
        self.listed = True
        return found

    def __iter__(self) -> Iterator[KeyRows | Unread | Refused]:
        with ExitStack() as stack:
            files = _ahead(stack, self._files)
            objects = _ahead(stack, self._objects)
            unread = self._unread
            local = self._local_by_key(files, unread)
            agreed = ((state.key, state) for state in self._worlds.agreed.all())
            listed = self._listed_by_key(objects)
            named = ((each.key, each) for each in self._named_objects)
            streams = [("local files", local), ("objects", listed), ("named objects", named), ("states", agreed)]
            pairing = Pairing()
            for key, (file, in_listing, by_name, state) in merge(streams):
                while unread:
                    yield self._note(unread.pop(0))
                found = in_listing or by_name
                if file is not None or found is not None:
                    self._listener(Advanced(Phase.LISTING, 1))
                    row = self._row(key, file, found, state)
                    if not pairing.holds(row):
                        yield row
            while unread:
                yield self._note(unread.pop(0))
            yield from pairing.rest()

    def _note(self, folder: Unread | Refused) -> Unread | Refused:
        if isinstance(folder, Refused):
            return folder
        path = folder.folder.path
        failed = (path,) if folder.folder.problem is FileProblem.UNREADABLE else ()
        self.local = msgspec.structs.replace(
            self.local, unreadable=(*self.local.unreadable, path), failed=(*self.local.failed, *failed)
        )
        return folder

    def _row(self, key: str, file: LocalFile | None, found: RemoteObject | None, state: Agreed | None) -> KeyRows:
        path = file.path if file is not None else self._map.path_for(key, self._known_ids)
        return KeyRows(key, path, file, found, state)

    def _files(self) -> Iterator[LocalFile]:
        return _merged(self._worlds.files.walk(self.local.prefixes), self._named_files, lambda file: file.path)

    def _objects(self) -> Iterator[RemoteObject | Refused]:
        prefixes = self.remote.prefixes
        return itertools.chain.from_iterable(self._listing(prefix, "") for prefix in prefixes)

    def _listing(self, prefix: str, after: str) -> Iterator[RemoteObject | Refused]:
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
            yield Refused(Store.BUCKET, prefix, error, narrower)
            for part in narrower:
                yield from self._listing(part, at)
        else:
            self.listed = True

    def _listed_by_key(self, rows: Iterable[RemoteObject | Refused]) -> Iterator[tuple[str, RemoteObject]]:
        for each in rows:
            if isinstance(each, Refused):
                self._leave_unknown(each)
            else:
                yield each.key, each

    def _leave_unknown(self, refused: Refused) -> None:
        """From here on nothing below this prefix is called absent, but for its parts as long as they can be listed."""
        remote, name = self.remote, refused.name
        if refused.narrower:
            prefixes = minimal_prefixes((*(each for each in remote.prefixes if each != name), *refused.narrower))
            self.remote = msgspec.structs.replace(remote, prefixes=prefixes)
        else:
            unreadable, failed = (*remote.unreadable, name), (*remote.failed, name)
            self.remote = msgspec.structs.replace(remote, unreadable=unreadable, failed=failed)
        self._unread.append(refused)

    def _local_by_key(
        self, files: Iterable[LocalFile], unread: list[Unread | Refused]
    ) -> Iterator[tuple[str, LocalFile]]:
        """Files under their keys, in key order; where a rule gives keys of its own, the walk's order is another."""
        rows = self._keyed(files, unread)
        return rows if self._map.keys_are_paths else _one_for_each_key(sorted(rows, key=lambda row: row[0]))

    def _keyed(self, files: Iterable[LocalFile], unread: list[Unread | Refused]) -> Iterator[tuple[str, LocalFile]]:
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
