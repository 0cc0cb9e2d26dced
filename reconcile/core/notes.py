"""What a workflow's call says about a file, and its path does not: its owner and its type."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TypeAlias

import msgspec

from reconcile.core.names import nfc, spelling, spellings
from reconcile.core.pattern import CHAR_ID
from reconcile.core.rules import AssetMap, Reading, minimal_prefixes

Place: TypeAlias = tuple[str, str]
"""A field of a character's record: the key of its map, and its name."""


class Note(msgspec.Struct, frozen=True):
    """The note on one file, by its path below the local root; None where the call said nothing.

    ``places`` are the fields of the character's record that the call assigned to it, whatever they name now.
    """

    path: str
    char_id: str | None = None
    asset_type: str | None = None
    places: tuple[Place, ...] = ()

    @property
    def owner(self) -> str | None:
        """The character in the composed Unicode form in which ids are compared."""
        return None if self.char_id is None else nfc(self.char_id)


def overtaken(held: Iterable[Note], notes: Sequence[Note]) -> Iterator[Note]:
    """Yields the held notes that newer ones change, changed: a place belongs to one file, the last."""
    taken = {(note.owner, place): note.path for note in notes for place in note.places}
    for note in held:
        kept = tuple(each for each in note.places if taken.get((note.owner, each), note.path) == note.path)
        if kept != note.places:
            yield msgspec.structs.replace(note, places=kept)


def joined(held: Note | None, note: Note) -> Note:
    """Returns a note extended by the places of an earlier one for the same file and character."""
    if held is None or held.owner != note.owner:
        return note
    return msgspec.structs.replace(note, places=tuple(dict.fromkeys((*held.places, *note.places))))


class NotedMap(AssetMap, frozen=True, dict=True):
    """The asset map of a project with notes on a few files, which take precedence over their paths.

    A noted character counts as known, and a scope of this character includes the file wherever it is.
    """

    notes: Mapping[str, Note] = {}

    @classmethod
    def over(cls, asset_map: AssetMap, notes: Iterable[Note]) -> NotedMap:
        """Returns the map with these notes, which replace earlier ones of the same files."""
        earlier = asset_map.notes if isinstance(asset_map, NotedMap) else {}
        added = list(notes)
        changed = {note.path: note for note in overtaken(earlier.values(), added)}
        both = {**earlier, **changed}
        return cls(asset_map.rules, {**both, **{note.path: joined(both.get(note.path), note) for note in added}})

    def read(self, path: str, known: Container[str]) -> Reading | None:
        """Returns the reading of a path by its note if there is one, otherwise as the base map."""
        note = self.notes.get(path)
        if note is None:
            return AssetMap.read(self, path, known)
        if note.char_id is None:
            return self._read_by_type(path, known, note.asset_type)
        plain, owner = AssetMap.read(self, path, known), spelling(note.char_id, known) or note.char_id
        if plain is not None and plain.characters and owner not in plain.characters:
            return plain  # the call was wrong about the character, which was not yet known then
        found = AssetMap.read(self, path, (owner,))
        if found is None:
            return None
        return msgspec.structs.replace(found, characters=(owner,))

    def ids_in(self, path: str) -> set[str]:
        """Returns the ids as the base map, plus the noted character."""
        note = self.notes.get(path)
        if note is None:
            return AssetMap.ids_in(self, path)
        readings = (found for rule in self.rules for found, _, _ in rule.path.readings(path))
        values = {*readings, *filter(None, (note.char_id,))}
        return {each for value in values for each in spellings(value)}

    def ids_placed(self, char_id: str) -> set[str]:
        """Returns the ids that ``wishes`` may look up for a character."""
        return set().union(*(self.ids_in(note.path) for note in self._placed.get(nfc(char_id), ())))

    def _read_by_type(self, path: str, known: Container[str], asset_type: str | None) -> Reading | None:
        """Reads a path that names several characters by the noted type, if only one rule of it matches."""
        found = AssetMap.read(self, path, known)
        rule = None if asset_type is None else self.rule(asset_type)
        if found is None or rule is None or not found.is_ambiguous:
            return found
        captures = next(rule.owners(path, known), None)
        return found if captures is None else Reading(rule, captures, (captures[CHAR_ID],))

    def character_in_name(self, path: str) -> str | None:
        """Returns the noted character, or the one that the file's whole name says."""
        note = self.notes.get(path)
        return note.char_id if note is not None and note.char_id else AssetMap.character_in_name(self, path)

    def whole_name_prefixes(self, id_prefix: str = "") -> tuple[str, ...]:
        """Returns the prefixes as the base map, plus the paths of the noted characters' files."""
        noted = (note.path for note in self.notes.values() if note.owner and note.owner.startswith(nfc(id_prefix)))
        return minimal_prefixes((*AssetMap.whole_name_prefixes(self, id_prefix), *noted))

    def path_prefixes(self, char_ids: Sequence[str], asset_types: Sequence[str] = ()) -> tuple[str, ...]:
        """Returns the prefixes as the base map, plus the paths noted as these characters'."""
        noted = (note.path for note in self._of(char_ids))
        return minimal_prefixes((*AssetMap.path_prefixes(self, char_ids, asset_types), *noted))

    def key_prefixes(self, char_ids: Sequence[str], asset_types: Sequence[str] = ()) -> tuple[str, ...]:
        noted = (self.key_for(note.path, ()) for note in self._of(char_ids))
        return minimal_prefixes((*AssetMap.key_prefixes(self, char_ids, asset_types), *noted))

    def wishes(self, char_id: str, known: Container[str]) -> dict[Place, str]:
        """Returns the keys that workflows assigned to fields of this character's record."""
        found: dict[Place, str] = {}
        for note in self._placed.get(nfc(char_id), ()):
            reading = self.read(note.path, known)
            if reading is not None and reading.char_id == char_id:
                found.update(dict.fromkeys(note.places, self.key_for(note.path, known)))
        return found

    @cached_property
    def _placed(self) -> dict[str, list[Note]]:
        found: dict[str, list[Note]] = defaultdict(list)
        for note in self.notes.values():
            if note.places and note.owner is not None:
                found[note.owner].append(note)
        return found

    def _of(self, char_ids: Sequence[str]) -> list[Note]:
        return [note for note in self.notes.values() if spelling(note.char_id or "", char_ids)]


def wishes(asset_map: AssetMap, char_id: str, known: Container[str]) -> dict[Place, str]:
    return asset_map.wishes(char_id, known) if isinstance(asset_map, NotedMap) else {}


def note_of(asset_map: AssetMap, path: str | None) -> Note | None:
    return asset_map.notes.get(path) if isinstance(asset_map, NotedMap) and path is not None else None
