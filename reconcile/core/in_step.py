"""Recognizes what is certainly in step without the stages: the shortcut of a planning.

Nothing is decided here. Each question has two answers: the stages would find nothing to do or to report; or there is a
doubt, and the stages decide.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from reconcile.core.context import Context
from reconcile.core.leftovers import is_plain, leftover, no_leftover_with
from reconcile.core.media import wrong_type
from reconcile.core.mentions import roots_near
from reconcile.core.names import is_unicode
from reconcile.core.pattern import BOUNDARIES
from reconcile.core.rows import Agreed, Candidate, Document, LocalFile, RemoteObject, Slot, World
from reconcile.core.rules import AssetMap, AssetRule
from reconcile.core.way import title_of

_SEPARATOR = re.compile(r"[/\\%]|file:")
_URL = re.compile(r"https?://[A-Za-z0-9/._~:?#@!$&*+=-]+")
_PARTS_WORDS = re.compile(r"""[\s"'<>|,;]""")
_PLAIN = re.compile(r"""[ !#$&(-+\--:=?-JL-\[\]-_a-z{}~]*[0-9A-JL-Za-z]""")
"""A key whose URI can mean no other key, whatever is stripped off its ends.

It contains nothing that may be respelt, quoted or escaped, and no other scripts.
"""
_AFTER_ID = (*BOUNDARIES, "/")
_MOST_READINGS = 10_000
_Read: TypeAlias = tuple[str | None, str | None]
"""The type of a key; and the same type again if a reference is where the rules want it, else None."""


Named: TypeAlias = tuple[str, str, int, str | None, str, int | None, str | None]
"""A reference of a record that is the plain URI of a key, as a flat tuple because there is one for each asset: key,
record id, the ``Slot``'s position, entry, field and item, and the key's type if the rules want it in that field of that
record."""


def as_candidate(named: Sequence[Any]) -> Candidate:
    """Returns the reference in the form that the stages use."""
    key, document, position, title, field, item, _ = named
    slot = Slot(position, title, field, item)
    return Candidate(key, World.RECORDS, document, slot, 0, exact=True, windows=False, sure=True)


class PlainRecord(NamedTuple):
    """The references of a record, and the types of all keys that it names, with None for a key without one."""

    references: list[Named]
    types: set[str | None]


class PlainRecords:
    """Recognizes the records that need no changes or findings if each key that they name exists.

    Every text that could name an asset is the plain URI of a key, in a field of a map of its own. The index is not
    checked.
    """

    def __init__(self, context: Context, keys: QuietKeys) -> None:
        self._keys = keys
        self._entries = context.entries.path
        self._index = context.index
        self._title = context.entries.key
        self._ruled = context.asset_map.fields
        self._roots = context.roots
        self._start = f"{context.bucket}/"
        self._is_parted = _PARTS_WORDS.search(self._start) is not None
        self._idle = frozenset(each for each in (*self._ruled, self._title) if _is_idle(each))
        """The names of most fields, if they are idle."""
        self._shapes: dict[tuple[str, str, str], _Read] = {}
        """The readings of plain keys, by what precedes and follows the id, and the field."""

    def read(self, document: Document) -> PlainRecord | None:
        """Returns the references of such a record, or None if there is a doubt."""
        if len(self._entries) != 1:
            return None
        entries: Any = None
        for name, value in document.fields.items():
            if name == self._entries[0]:
                entries = value
            elif name == self._index != "":
                continue
            elif not _is_idle(name) or not (_is_idle(value) if isinstance(value, str) else _is_single(value)):
                return None
        found = PlainRecord([], set())
        if not isinstance(entries, list):
            return found if entries is None and _is_idle(self._entries[0]) else None
        titles: set[str | None] = set()
        by_shape = self._keys.reads_by_shape(document.id)
        for position, entry in enumerate(entries):
            if not isinstance(entry, dict):
                return None
            title = title_of(entry, self._title)
            if title in titles or not self._take(document.id, position, title, entry, found, by_shape=by_shape):
                return None
            titles.add(title)
        return found

    def _take(
        self,
        char_id: str,
        position: int,
        title: str | None,
        entry: Mapping[str, Any],
        found: PlainRecord,
        *,
        by_shape: bool,
    ) -> bool:
        """Adds the references of one map of the entries; returns False if there is a doubt."""
        start, idle, title_field, shapes = self._start, self._idle, self._title, self._shapes
        references, types = found
        for field, value in entry.items():
            if field not in idle and not _is_idle(field):
                return False
            if not isinstance(value, str):
                if not _is_single(value):
                    return False
            elif value.startswith(start) and field != title_field:
                key = value[len(start) :]
                before, behind, read = "", "", None
                if by_shape:
                    before, _, behind = key.partition(char_id)
                    read = shapes.get((before, behind, field))
                if read is None:
                    if _PLAIN.fullmatch(key) is None:
                        return False
                    has_parts = self._is_parted or " " in key
                    if has_parts and roots_near(value, self._roots):
                        return False
                    read = self._keys.read_in(key, char_id, field)
                    if by_shape and not has_parts and self._keys.is_told_by(before, behind):
                        if len(shapes) >= _MOST_READINGS:
                            shapes.clear()
                        shapes[before, behind, field] = read
                type_of_key, type_there = read
                types.add(type_of_key)
                references.append((key, char_id, position, title, field, None, type_there))
            elif not _is_idle(value) or (field != title_field and field in self._ruled and value.strip()):
                return False
        return True


def _is_single(value: object) -> bool:
    """Whether a value that is not a text contains no text either."""
    return not isinstance(value, Mapping | list)


def _is_idle(text: str) -> bool:
    """Whether a text can be neither a path nor a URI of ours, wherever it is."""
    if _SEPARATOR.search(text) is not None:
        return _URL.fullmatch(text) is not None
    return text.isascii() or is_unicode(text)


def types_listed(document: Document, context: Context) -> frozenset[str] | None:
    """Returns the types in the index of a record, or None if it contains something else."""
    held = document.fields.get(context.index) if context.index else None
    if held is None:
        return frozenset()
    is_index = isinstance(held, list) and all(isinstance(each, str) for each in held)
    return frozenset(held) if is_index else None


class QuietKeys:
    """Recognizes the keys that need no changes or findings.

    The file, the object and the remembered state are the same; the object has the type that its name says; and the
    single reference is where the rules want it, in the record of the only character that the path can name.
    """

    def __init__(self, asset_map: AssetMap, known_ids: Iterable[str]) -> None:
        """Requires rules whose ids come first and whose keys are all the local path.

        Each id directly follows its rule's first literal text, which no other rule's first text is a prefix of.
        """
        rules = [rule for rule in asset_map.rules if rule.names_character and not rule.path.ties_places]
        self._starts = tuple(dict.fromkeys(rule.path.literal_prefix for rule in rules))
        self._rules = {start: [rule for rule in rules if rule.path.literal_prefix == start] for start in self._starts}
        self._others = tuple(rule.path.literal_prefix for rule in asset_map.rules if rule not in rules)
        self._alike = frozenset(
            start for start in self._starts if not any(each.startswith(start) for each in self._others)
        )
        self._related = related(known_ids)
        self._read: dict[tuple[str, str], AssetRule | None] = {}

    def named(self, candidate: Candidate) -> Named | None:
        """Returns a reference that is the plain URI of a key, at just the place where the rules want it; None for any
        other."""
        slot = candidate.slot
        _, type_there = self.read_in(candidate.key, candidate.document, slot.field)
        if type_there is None or slot.position is None or not candidate.is_strict:
            return None
        named = (candidate.key, candidate.document, slot.position, slot.entry, slot.field, slot.item, type_there)
        return named if as_candidate(named) == candidate else None

    def is_same(self, file: LocalFile, found: RemoteObject, state: Agreed) -> bool:
        """Whether the file, the object and the remembered state of one key are the same, and need nothing."""
        crc32c = file.crc32c
        return (
            file.size == found.size == state.size
            and crc32c == found.crc32c == state.crc32c
            and found.generation == state.generation
            and file.problem is None
            and file.twin is None
            and not found.encoding
            and not wrong_type(found.key, found.content_type)
        )

    def read(self, path: str, char_id: str) -> AssetRule | None:
        """Returns the rule by which ``AssetMap.read`` assigns this ASCII path (if not ignored) to this character.

        None if it does not, or if there is a doubt.
        """
        if not char_id or char_id in self._related or path.startswith(self._others):
            return None
        start, _, rest = path.partition(char_id)
        if start in self._rules:
            return self._rule(start, rest)
        # The id may also occur in the rule's own text.
        starts = (each for each in self._starts if path.startswith(char_id, len(each)) and path.startswith(each))
        return next((self._rule(each, path[len(each) + len(char_id) :]) for each in starts), None)

    def read_in(self, path: str, char_id: str, field: str) -> _Read:
        """Returns the type of a path, and the type again if the rules want a reference in this field.

        The second is None if a part of the path is the name of a leftover.
        """
        rule = self.read(path, char_id)
        if rule is None:
            return None, None
        is_there = rule.field == field and not any(map(leftover, path.split("/")))
        return rule.type, rule.type if is_there else None

    def reads_by_shape(self, char_id: str) -> bool:
        """Whether paths of this id are read like those of others, by what precedes and follows it. With a blank in the
        id, the words of a URI are read one by one, and one of them may be a local path."""
        is_word = " " not in char_id and _PLAIN.fullmatch(char_id) is not None
        return is_word and char_id not in self._related and is_plain(char_id)

    def is_told_by(self, before: str, behind: str) -> bool:
        """Whether the text before and after such an id determines how a path is read."""
        return before in self._alike and no_leftover_with(before.rpartition("/")[2], behind.partition("/")[0])

    def _rule(self, start: str, rest: str) -> AssetRule | None:
        """Returns the first rule with this beginning that accepts the text after the id."""
        known = (start, rest)
        if known not in self._read:
            if len(self._read) >= _MOST_READINGS:
                self._read.clear()
            rules = self._rules[start] if rest.startswith(_AFTER_ID) else ()
            self._read[known] = next((rule for rule in rules if rule.path.takes_behind_id(rest)), None)
        return self._read[known]


def related(ids: Iterable[str]) -> frozenset[str]:
    """Returns the ids of which one is another's beginning, up to a boundary: a name could belong to either."""
    known = frozenset(ids)
    pairs = ((long, short) for long in known for short in shorter(long) if short in known)
    return frozenset(each for pair in pairs for each in pair)


def shorter(char_id: str) -> Iterable[str]:
    """Returns the ids that this one begins with, up to a boundary: a name could be theirs."""
    return (char_id[:at] for at in range(1, len(char_id)) if char_id[at] in BOUNDARIES)
