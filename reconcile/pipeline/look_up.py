"""Reads, one by one, the files and objects that the records in scope name and that are not listed."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from reconcile.adapters.workers import Workers, awaited
from reconcile.core.errors import AccessDenied
from reconcile.core.names import key_problem, spelling, spellings
from reconcile.core.plan import Scope
from reconcile.core.rows import Candidate, Coverage, FileProblem, LocalFile, RemoteObject, Slot, World
from reconcile.pipeline.gaps import Denied, Extent, Store, Unread
from reconcile.pipeline.roster import named_by_files, possible_owners, spelled_once, stored_among
from reconcile.project import OpenProject

LOOKUPS_AT_ONCE = 8


class LookUp:
    """The ``files`` and ``objects`` that are named but not listed, and the known characters: those of the records in
    scope, and further ones to which these files could belong by their names."""

    def __init__(
        self, worlds: OpenProject, scope: Scope, extent: Extent, known_ids: frozenset[str], *, partial: bool
    ) -> None:
        self._worlds = worlds
        self._map = worlds.asset_map
        self._of_characters = bool(scope.char_ids)
        self._extent = extent
        self._partial = partial
        self.files: list[LocalFile] = []
        self.objects: list[RemoteObject] = []
        self.known_ids = known_ids
        self.ids_known = True
        """Whether all records that could be of further characters were readable."""

    def look_up(self, candidates: Sequence[Candidate]) -> None:
        """Reads what these texts may mean. If one of them leads to nothing, but what it means may exist in another case
        or Unicode form, everything is to be listed instead."""
        extent = self._extent
        answering = (each.key for each in candidates if self._may_answer(each))
        # One side may spell a name in one Unicode form, and the other one in another.
        paths = {form: self.path_of(form) for key in answering for form in spellings(key)}
        texts = _respelt(candidates)
        respelt = frozenset(itertools.chain.from_iterable(texts))
        asked = [
            key
            for key, path in sorted(paths.items())
            if key in respelt or not extent.remote.covers(key) or (path is not None and not extent.local.covers(path))
        ]
        paths_asked = {path for key in asked if (path := paths[key]) is not None}
        files = self.look_at(paths_asked, before=extent.local.prefixes)
        gotten = [key for key in asked if paths[key] not in files or not extent.remote.covers(key)]
        objects, refused = self._get(gotten)
        if any(not any(paths.get(key) in files or key in objects for key in keys) for keys in texts):
            extent.local, extent.remote = Coverage(), Coverage()
            self._learn([path for path in paths.values() if path is not None])
            return
        self.files = [file for path, file in sorted(files.items()) if not extent.local.covers(path)]
        self.objects = [found for key, found in sorted(objects.items()) if not extent.remote.covers(key)]
        stopped = tuple(each.folder.path for each in extent.unread if isinstance(each, Unread))
        names = frozenset(path for key in asked if (path := paths[key]) and not path.startswith(stopped))
        extent.local = msgspec.structs.replace(extent.local, names=names)
        extent.unread += [each for each in refused if not extent.remote.covers(each.name)]
        hidden = {each.name for each in refused}
        # What the listing will show does not count as known by name, because the listing may be refused.
        extent.remote = msgspec.structs.replace(extent.remote, names=frozenset(gotten).difference(hidden))
        self._learn([path for key in asked if (path := paths[key]) is not None])

    def _learn(self, paths: Iterable[str]) -> None:
        """Finds out which of the characters exist to whom these files may belong, in addition to those in scope."""
        possible = possible_owners(self._map, paths)
        # If the scope names no characters, every record was read, and every id is known.
        unknown = {each for each in possible if self._of_characters and spelling(each, self.known_ids) is None}
        stored: set[str] = set()
        try:
            stored = stored_among(self._worlds.records, unknown)
        except AccessDenied as error:
            if not self._partial:
                raise
            self.ids_known = False
            self._extent.unread.append(Denied(Store.RECORDS, "", error))
        self.known_ids |= spelled_once(stored, named_by_files(self._worlds, sorted(unknown)) & possible)

    def path_of(self, key: str) -> str | None:
        """Returns the path at which the file of a key is, or would be."""
        return self._map.path_for(key, self.known_ids)

    def _may_answer(self, candidate: Candidate) -> bool:
        path = None if candidate.sure else self.path_of(candidate.key)
        return candidate.sure or (path is not None and self._map.read(path, self.known_ids) is not None)

    def look_at(self, paths: Iterable[str], *, before: Sequence[str] = ()) -> dict[str, LocalFile]:
        """Returns the files at these paths. A file below a folder that is not read is unknown, and the folder is noted.
        ``before`` are the prefixes of a walk that follows."""
        files: dict[str, LocalFile] = {}
        for file in self._worlds.files.lookup(sorted(paths), before=before):
            stop = self._stop(file)
            if stop is None:
                files[file.path] = file
            else:
                self._extent.unread.append(Unread(msgspec.structs.replace(file, path=stop)))
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
        self._extent.listed = True
        return found


def _respelt(candidates: Iterable[Candidate]) -> list[set[str]]:
    """Returns the keys of each text whose file may exist in another case or Unicode form."""
    texts: dict[tuple[World, str, Slot], list[Candidate]] = defaultdict(list)
    for each in candidates:
        texts[each.world, each.document, each.slot].append(each)
    odd = (group for group in texts.values() if any(each.windows or not each.key.isascii() for each in group))
    return [{each.key for each in group} for group in odd]
