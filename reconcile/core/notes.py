"""What a workflow's own call knows of a file and its path does not say: whose it is, and of which type."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence

import msgspec

from reconcile.core.pattern import CHAR_ID
from reconcile.core.rules import AssetMap, Ownership, Reading, minimal_prefixes


class Note(msgspec.Struct, frozen=True):
    """One file, by its path below the local root; None where the call said nothing."""

    path: str
    char_id: str | None = None
    asset_type: str | None = None


class NotedMap(AssetMap, frozen=True, dict=True):
    """The asset map of a project of which a few files are noted: for those the note goes before what their path says.

    A noted character counts as known, and a scope of this character reaches the file wherever it lies.
    """

    notes: Mapping[str, Note] = {}

    @classmethod
    def over(cls, asset_map: AssetMap, notes: Iterable[Note]) -> NotedMap:
        """The map with these notes, which replace earlier ones of the same files."""
        earlier = asset_map.notes if isinstance(asset_map, NotedMap) else {}
        return cls(asset_map.rules, {**earlier, **{note.path: note for note in notes}})

    def read(self, path: str, known: Container[str]) -> Reading | None:
        """As the map reads it, by the note where there is one."""
        note = self.notes.get(path)
        if note is None:
            return AssetMap.read(self, path, known)
        if note.char_id is None:
            return self._read_by_type(path, known, note.asset_type)
        found = AssetMap.read(self, path, (note.char_id,))
        if found is None:
            return None
        return msgspec.structs.replace(found, ownership=Ownership.KNOWN, characters=(note.char_id,))

    def _read_by_type(self, path: str, known: Container[str], asset_type: str | None) -> Reading | None:
        """The type settles which of two characters it is, where two rules read two in the path."""
        found = AssetMap.read(self, path, known)
        rule = None if asset_type is None else self.rule(asset_type)
        if found is None or rule is None or found.ownership is not Ownership.AMBIGUOUS:
            return found
        captures = next(rule.owners(path, known), None)
        return found if captures is None else Reading(rule, Ownership.KNOWN, captures, (captures[CHAR_ID],))

    def character_in_name(self, path: str) -> str | None:
        """The noted character, or the one that the file's whole name says."""
        note = self.notes.get(path)
        return note.char_id if note is not None and note.char_id else AssetMap.character_in_name(self, path)

    def whole_name_prefixes(self, id_prefix: str = "") -> tuple[str, ...]:
        """As the map's, and where the noted characters' files lie."""
        noted = (note.path for note in self.notes.values() if note.char_id and note.char_id.startswith(id_prefix))
        return minimal_prefixes((*AssetMap.whole_name_prefixes(self, id_prefix), *noted))

    def path_prefixes(self, char_ids: Sequence[str], asset_types: Sequence[str] = ()) -> tuple[str, ...]:
        """As the map's, and the paths that are noted as these characters'."""
        noted = (note.path for note in self._of(char_ids))
        return minimal_prefixes((*AssetMap.path_prefixes(self, char_ids, asset_types), *noted))

    def key_prefixes(self, char_ids: Sequence[str], asset_types: Sequence[str] = ()) -> tuple[str, ...]:
        """The same for keys."""
        noted = (self.key_for(note.path, ()) for note in self._of(char_ids))
        return minimal_prefixes((*AssetMap.key_prefixes(self, char_ids, asset_types), *noted))

    def _of(self, char_ids: Sequence[str]) -> list[Note]:
        return [note for note in self.notes.values() if note.char_id is not None and note.char_id in char_ids]
