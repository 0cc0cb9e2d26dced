"""Reads the records: the documents in scope, every known character id, and the context that follows from them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec

from reconcile.adapters.workers import Workers, awaited
from reconcile.config.settings import Settings
from reconcile.core.context import Context
from reconcile.core.errors import AccessDenied, ConfigError, UsageError
from reconcile.core.events import Listener, Phase, PhaseDone, PhaseStarted, Warned, counted
from reconcile.core.in_step import shorter
from reconcile.core.moment import Moment
from reconcile.core.names import fold, shared_prefix, spelling, spellings
from reconcile.core.plan import Scope
from reconcile.core.rows import Coverage, Document, FileProblem, World
from reconcile.core.rules import AssetMap, minimal_prefixes
from reconcile.pipeline.gaps import Denied, Store
from reconcile.ports import RecordReader
from reconcile.project import OpenProject


class Roster(msgspec.Struct, frozen=True):
    """The documents in scope, from the records and the local database, and every known character id that matters.

    ``scope`` is the requested one, with each id in the Unicode form in which it is known. ``ids_known`` is false if a
    record, or a folder in which file names are ids, could not be read. ``as_of`` is the moment as of which all records
    were read (RFC 3339), if there is one.
    """

    documents: Iterable[Document]
    local_documents: tuple[Document, ...]
    known_ids: frozenset[str]
    records: Coverage
    scope: Scope = Scope()
    ids_known: bool = True
    refused: tuple[Denied, ...] = ()
    as_of: str | None = None

    def by_world(self) -> Iterator[tuple[World, Document]]:
        """Yields every document in scope with its world, the records first."""
        yield from ((World.RECORDS, each) for each in self.documents)
        yield from ((World.LOCAL_DB, each) for each in self.local_documents)

    @property
    def denied(self) -> AccessDenied | None:
        """The error if no record in scope could be read at all; None if one could."""
        nothing = not self.records.prefixes and not self.records.names
        return self.refused[0].error if nothing and self.refused else None


def read_roster(
    worlds: OpenProject,
    scope: Scope,
    listener: Listener,
    *,
    partial: bool = False,
    shelve: Callable[[Iterable[Document]], Iterable[Document]] = tuple,
    whole: bool = True,
    refused: AccessDenied | None = None,
    remembered: bool = False,
) -> Roster:
    """Reads the records, which say which characters exist.

    If not ``whole``, only their ids are read; if it is already known that they are ``refused``, nothing is. If they may
    be ``remembered``, records that have not changed are not read again. ``shelve`` stores the documents so that they
    can be iterated more than once. Raises AccessDenied if a record may not be read; a ``partial`` roster lists it
    instead.
    """
    at = Moment()
    with Workers(2, "roster") as pool:
        names = pool.submit(_ids_in_files, worlds, scope)
        local = pool.submit(lambda: [] if worlds.local_db is None else list(worlds.local_db.read()))
        try:
            if refused is not None:
                raise refused
            if not whole:
                read = Roster((), (), frozenset(worlds.records.ids(at=at)), Coverage())
            elif scope.char_ids:
                read = _records_of(worlds, scope, listener, at, partial=partial)
            else:
                read = _all_records(worlds, listener, shelve, at, remembered=remembered)
        except AccessDenied as error:
            if not partial:
                raise
            read = Roster((), (), frozenset(), _only_unread(("",)), refused=(Denied(Store.RECORDS, "", error),))
        in_database = awaited(local)
        local_documents = _as_recorded(in_database, read.known_ids)
        in_files, ids_known = awaited(names)
    noted = {*read.known_ids, *(document.id for document in local_documents)}
    known = frozenset({*noted, *(char_id for char_id in in_files if spelling(char_id, noted) is None)})
    asked = tuple(spelling(char_id, known) or char_id for char_id in scope.char_ids)
    scope = msgspec.structs.replace(scope, char_ids=asked)
    return msgspec.structs.replace(
        read,
        documents=_of_scope(read.documents, scope) if scope.char_ids else read.documents,
        local_documents=_of_scope(local_documents, scope),
        known_ids=known,
        scope=scope,
        ids_known=ids_known and not read.refused,
        as_of=at.of_all,
    )


def _of_scope(documents: Iterable[Document], scope: Scope) -> tuple[Document, ...]:
    return tuple(document for document in documents if scope.takes_character(document.id))


def _as_recorded(documents: Sequence[Document], recorded: frozenset[str]) -> list[Document]:
    """Returns the documents of the local database. If an id differs from that of a record only in its Unicode form, the
    document gets the id of the record."""
    taken = {document.id for document in documents}
    renamed: list[Document] = []
    for document in documents:
        char_id = spelling(document.id, recorded)
        stays = char_id is None or char_id in taken
        renamed.append(document if stays else msgspec.structs.replace(document, id=char_id, stored_as=document.id))
    return renamed


def _all_records(
    worlds: OpenProject,
    listener: Listener,
    shelve: Callable[[Iterable[Document]], Iterable[Document]],
    at: Moment,
    *,
    remembered: bool,
) -> Roster:
    names: set[str] = set()
    memory = worlds.remembered_documents if remembered else None
    read = worlds.records.read(at=at) if memory is None else memory.read(at)
    documents = shelve(counted(_noting(read, names), Phase.RECORDS, listener))
    if memory is not None:
        memory.forget_others(names)
        for warning in set(memory.warnings).difference(worlds.state.warnings):
            listener(Warned(warning))
    return Roster(documents, (), frozenset(names), Coverage())


def _noting(documents: Iterable[Document], names: set[str]) -> Iterator[Document]:
    for each in documents:
        names.add(each.id)
        yield each


def _records_of(worlds: OpenProject, scope: Scope, listener: Listener, at: Moment, *, partial: bool) -> Roster:
    wanted = {each for char_id in scope.char_ids for each in spellings(char_id)}
    shorts = {short for char_id in wanted for short in shorter(char_id)}
    starts = [shared_prefix(each) for each in scope.char_ids] if ids_stand_first(worlds.asset_map) else [""]
    longer: set[str] = set()
    refused: list[Denied] = []
    try:
        longer = {name for start in starts for name in worlds.records.ids(start, at=at)}
    except AccessDenied as error:
        if not partial:
            raise
        refused.append(Denied(Store.RECORDS, "", error))
    found, denied = _read_each(worlds, sorted(wanted | shorts), at, partial=partial)
    unread = tuple(sorted(denied.keys() & wanted))
    coverage = msgspec.structs.replace(_only_unread(unread), names=frozenset(wanted.difference(unread)))
    chosen = [document for document in found if document.id in wanted]
    documents = tuple(counted(chosen, Phase.RECORDS, listener))
    refused += [Denied(Store.RECORDS, char_id, error) for char_id, error in sorted(denied.items())]
    known = frozenset(longer.union(document.id for document in found))
    return Roster(documents, (), known, coverage, refused=tuple(refused))


def _only_unread(names: tuple[str, ...]) -> Coverage:
    return Coverage(prefixes=(), unreadable=names, failed=names)


def _read_each(
    worlds: OpenProject, ids: Sequence[str], at: Moment, *, partial: bool
) -> tuple[list[Document], dict[str, AccessDenied]]:
    """Returns the documents of these ids that may be read, and why the others may not. All are read together, or one by
    one if that is denied."""
    try:
        return list(worlds.records.read(ids, at=at)), {}
    except AccessDenied as error:
        if not partial:
            raise
        if len(ids) == 1:
            return [], {ids[0]: error}
    read = [_read_each(worlds, [each], at, partial=partial) for each in ids]
    found = [document for documents, _ in read for document in documents]
    return found, {name: error for _, denied in read for name, error in denied.items()}


def ids_stand_first(asset_map: AssetMap) -> bool:
    """Whether each rule has the id right after its first literal text, and no such text begins with another. A path can
    then be about two characters only if the id of one begins with the id of the other."""
    rules = [rule for rule in asset_map.rules if rule.names_character]
    starts = {rule.path.literal_prefix for rule in rules}
    nested = any(one != other and one.startswith(other) for one in starts for other in starts)
    return asset_map.keys_are_paths and all(rule.begins_with_id for rule in rules) and not nested


def _ids_in_files(worlds: OpenProject, scope: Scope) -> tuple[set[str], bool]:
    """Returns the ids that are the whole name of a file, as in ``characters/{char_id}.png``, and whether every folder
    with such files could be read."""
    asset_map = worlds.asset_map
    if not scope.char_ids or not ids_stand_first(asset_map):
        return _ids_below(worlds, asset_map.whole_name_prefixes())
    longer = {p for each in scope.char_ids for p in asset_map.whole_name_prefixes(each)}
    short = {each for char_id in scope.char_ids for each in shorter(char_id)}
    found, seen = _ids_below(worlds, longer.union(*map(asset_map.whole_names, short)))
    if all(spelling(each, found) is not None for each in scope.char_ids):
        return found, seen
    # There may be no such character. Then the ids that begin like it are needed for the hint.
    return _ids_below(worlds, longer.union(*map(asset_map.whole_name_prefixes, short)))


def _ids_below(worlds: OpenProject, starts: Iterable[str]) -> tuple[set[str], bool]:
    prefixes = minimal_prefixes(starts)
    found: set[str] = set()
    folders: list[str] = []
    for name in worlds.files.names(prefixes) if prefixes else ():
        if name.endswith("/"):
            folders.append(name)
        char_id = worlds.asset_map.character_in_name(name)
        if char_id:
            found.add(char_id)
    stops = (row for name in folders for row in worlds.files.walk((name,)))
    return found, all(row.problem is not FileProblem.UNREADABLE for row in stops)


def known_owners(worlds: OpenProject, paths: Iterable[str], told: str | None = None) -> frozenset[str]:
    """Returns the known characters to which these files could belong by their names. The one that the caller was
    ``told`` counts as known. Each id is in the Unicode form of the records, if they have it. Raises StoreError and
    SourceError if a world cannot be read."""
    by_call = {told} if told is not None else set()
    possible = possible_owners(worlds.asset_map, paths) | by_call
    stores: tuple[RecordReader | None, ...] = (worlds.records, worlds.local_db)
    stored = [stored_among(store, possible) for store in stores if store is not None]
    return spelled_once(*stored, named_by_files(worlds, sorted(possible)) & possible, by_call)


def fields_of(
    project: OpenProject, documents: Iterable[tuple[World, str]]
) -> dict[tuple[World, str], Mapping[str, Any]]:
    """Returns the present fields of those of these documents that exist. Raises what the stores raise."""
    found: dict[tuple[World, str], Mapping[str, Any]] = {}
    wanted = set(documents)
    for world, store in ((World.RECORDS, project.records), (World.LOCAL_DB, project.local_db)):
        ids = sorted(document for each, document in wanted if each is world)
        if ids and store is not None:
            found |= {(world, each.id): each.fields for each in store.read(ids)}
    return found


def stored_among(store: RecordReader, ids: Iterable[str]) -> set[str]:
    """Returns the ids of documents in the store that are among these in any Unicode form."""
    asked = sorted({each for value in ids for each in spellings(value)})
    return {document.id for document in store.read(asked)} if asked else set()


def spelled_once(*found: set[str]) -> frozenset[str]:
    """Returns the ids of all these sets. Of ids that differ only in their Unicode form, the first is used."""
    known: set[str] = set()
    for ids in found:
        known |= {char_id for char_id in ids if spelling(char_id, known) is None}
    return frozenset(known)


def possible_owners(asset_map: AssetMap, paths: Iterable[str]) -> set[str]:
    """Returns every character, known or not, to which these files could belong by their names."""
    templates = [rule.path for rule in asset_map.rules if rule.names_character]
    spans = ((each, path, span) for path in paths for each in templates for span in each.readings(path))
    return {span[0] for each, path, span in spans if each.match_span(path, span[1], span[2]) is not None}


def named_by_files(worlds: OpenProject, ids: Sequence[str]) -> set[str]:
    """Returns the characters whose ids are the whole name of a file, searched where files with these ids would be."""
    prefixes = minimal_prefixes(each for value in ids for each in worlds.asset_map.whole_name_prefixes(value))
    found = (worlds.asset_map.character_in_name(name) for name in (worlds.files.names(prefixes) if prefixes else ()))
    return {char_id for char_id in found if char_id is not None}


def open_records(
    project: OpenProject,
    scope: Scope,
    listener: Listener,
    read: Callable[[], Roster],
    trace: Collection[str] = (),
    *,
    whole: bool = True,
) -> tuple[Roster, Context]:
    """Reads the records and checks that the characters in scope exist. Returns the roster, and the context that follows
    from it. Raises as ``read`` does, UsageError for an unknown character, and, if the records are read ``whole``, as
    ``check_entries``."""
    project.heard_by(listener)
    listener(PhaseStarted(Phase.RECORDS))
    roster = read()
    check_characters(roster, scope)
    if whole:
        check_entries(project.settings, chain(roster.documents, roster.local_documents))
    listener(PhaseDone(Phase.RECORDS))
    return roster, context_of(project, roster, trace)


class UnknownCharacter(UsageError):
    """The requested character is unknown to the records, the local database, and the files."""


def check_characters(roster: Roster, scope: Scope) -> None:
    """Checks that the characters in scope exist. Raises UnknownCharacter."""
    for char_id in scope.char_ids:
        if spelling(char_id, roster.known_ids) is None and roster.records.covers(char_id):
            near = sorted(known for known in roster.known_ids if fold(known).startswith(fold(char_id)[:3]))[:5]
            hint = f"did you mean {' or '.join(near)}?" if near else "`reconcile status --by character` lists them"
            raise UnknownCharacter(
                f"no record, no local database entry and no image names the character {char_id!r}", hint=hint
            )


def check_entries(settings: Settings, documents: Iterable[Document]) -> None:
    """Checks ``records.entries``. Raises ConfigError if it names one field, such as ``media.assets``, but must have
    been meant as a path: no document has a field of this name, and some have an array at the path."""
    meant = settings.entries.meant(document.fields for document in documents)
    if meant is not None:
        names = ", ".join(f'"{name}"' for name in meant.path)
        path = f"[{names}]" if len(meant.path) > 1 else names
        raise ConfigError(
            f'{settings.rules_path}: records.entries = "{settings.entries.top}" names one field, which no record has;'
            f" there are records with the array below {names}",
            hint=f"did you mean entries = {path}?",
        )


def warn_if_root_is_gone(project: OpenProject, listener: Listener) -> None:
    """Warns if the local root was found to be missing. To be called after the files were looked at."""
    if project.root_is_gone:
        what = f"the local root {project.settings.root} has disappeared: is a drive missing? It is taken for empty;"
        listener(Warned(f"{what} nothing is deleted anywhere, and `reconcile restore` brings its files back"))


def context_of(project: OpenProject, roster: Roster, trace: Collection[str] = ()) -> Context:
    """Returns the context of one planning."""
    settings = project.settings
    noted = (note.path for note in project.noted)
    return Context(
        asset_map=settings.asset_map,
        bucket=settings.bucket,
        collection=settings.records.collection,
        entries=settings.entries,
        roots=settings.roots,
        known_ids=roster.known_ids,
        ids_known=roster.ids_known,
        records=roster.records,
        replacing=settings.policy.replace,
        content_types=settings.policy.content_types,
        create_records=settings.policy.create_records,
        rewrite_local_db=settings.local_db is not None and settings.local_db.rewrite,
        scope=roster.scope,
        index=settings.index,
        trace=frozenset((*trace, *noted)),
    )
