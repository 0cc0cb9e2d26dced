"""The asset map: which rule claims a file, and which character owns it."""

from __future__ import annotations

import difflib
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cached_property

import msgspec

from reconcile.core.errors import UsageError
from reconcile.core.names import fold, is_below, nfc, shared_prefix, spelling, spellings
from reconcile.core.pattern import CHAR_ID, Template
from reconcile.core.reach import Reach


class Many(Enum):
    """What to do if several files claim one field and no evidence decides."""

    NEWEST = "newest"
    LIST = "list"
    REPORT = "report"


class AssetRule(msgspec.Struct, frozen=True, dict=True):
    """One ``[[asset]]`` of the rules file. ``object`` is None if the bucket path is the local path."""

    type: str
    label: str
    path: Template
    object: Template | None = None
    field: str | None = None
    entry: Template | None = None
    many: Many = Many.REPORT
    aliases: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the type: its own, its aliases, then its label."""
        return (self.type, *self.aliases, self.label)

    @property
    def names_character(self) -> bool:
        return CHAR_ID in self.path.names

    @property
    def begins_with_id(self) -> bool:
        """Whether ``{char_id}`` directly follows the literal text that the path begins with."""
        return self.path.prefix({CHAR_ID: "x"}).startswith(f"{self.path.literal_prefix}x")

    def guess(self, path: str) -> dict[str, str] | None:
        """Returns the longest captures of a path, with an id at boundaries that may be unknown; None if the rule does
        not match."""
        if not self.names_character or self.path.has_id_alone:
            return self.path.match(path)
        readings = (self.path.match_span(path, start, end) for _, start, end in self.path.readings(path))
        return next((found for found in readings if found is not None), None)

    def owners(self, path: str, known: Container[str]) -> Iterator[dict[str, str]]:
        """Yields the captures of each known character id in the path, longest first, with the id in its known spelling.

        An id inside a longer one does not count.
        """
        spans: list[tuple[int, int]] = []
        for value, start, end in self.path.readings(path):
            char_id = spelling(value, known)
            if char_id is None or any(first <= start and end <= last for first, last in spans):
                continue
            found = self.path.match_span(path, start, end)
            if found is not None:
                spans.append((start, end))
                yield {**found, CHAR_ID: char_id}


class Reading(msgspec.Struct, frozen=True):
    """A path as the map reads it. ``characters`` are the known ids that it could belong to, the chosen one first; none
    if the id in it is unknown, or the rule has none."""

    rule: AssetRule
    captures: Mapping[str, str]
    characters: tuple[str, ...] = ()

    @property
    def char_id(self) -> str | None:
        """The character, if it is certain."""
        return self.characters[0] if len(self.characters) == 1 else None

    @property
    def is_ambiguous(self) -> bool:
        return len(self.characters) > 1

    def entry_for(self, char_id: str) -> str | None:
        """Returns the key of the map to write to for this character."""
        if self.rule.entry is None:
            return None
        return self.rule.entry.format({**self.captures, CHAR_ID: char_id})


class AssetMap(msgspec.Struct, frozen=True, dict=True):
    """The rules in order: the first match wins, but a known character beats an earlier rule's unknown one."""

    rules: tuple[AssetRule, ...]

    @cached_property
    def fields(self) -> frozenset[str]:
        """The record fields that some rule writes."""
        return frozenset(rule.field for rule in self.rules if rule.field is not None)

    @cached_property
    def keys_are_paths(self) -> bool:
        """Whether every key is the local path, so that both listings have the same order."""
        return all(rule.object is None for rule in self.rules)

    @cached_property
    def templates(self) -> tuple[Template, ...]:
        return tuple(rule.path for rule in self.rules)

    def left_out(self, path: str) -> str | None:
        """Returns who leaves such a file, if that is why no rule claims it; see ``Reach.left_out``."""
        return self._reach.left_out(path)

    @cached_property
    def _reach(self) -> Reach:
        return Reach(self.templates)

    def rule(self, asset_type: str) -> AssetRule | None:
        return next((rule for rule in self.rules if rule.type == asset_type), None)

    def type_called(self, name: str) -> str:
        """Returns the type with this name, alias or label, in any case. Raises UsageError."""
        called = {fold(each): rule.type for rule in reversed(self.rules) for each in reversed(rule.names)}
        found = name if self.rule(name) is not None else called.get(fold(name))
        if found is None:
            near = difflib.get_close_matches(fold(name), called, 1)
            near = near or [each for each in called if fold(name) and each.startswith(fold(name))]
            meant = f"did you mean {called[near[0]]!r}? " if near else ""
            known = ", ".join(rule.type for rule in self.rules)
            raise UsageError(f"no rule has the asset type {name!r}", hint=f"{meant}the types are {known}")
        return found

    def read(self, path: str, known: Container[str]) -> Reading | None:
        """Returns the rule that claims a local path and the character it belongs to, or None if no rule claims it."""
        first: Reading | None = None
        owners: list[tuple[AssetRule, dict[str, str]]] = []
        if self.left_out(path) is not None:
            return None
        for rule in self._taking(path):
            owners += ((rule, captures) for captures in rule.owners(path, known))
            guess = rule.guess(path) if first is None and not owners else None
            if guess is not None:
                first = Reading(rule, guess)
        if not owners or (first is not None and not first.rule.names_character):
            return first
        rule, captures = owners[0]
        return Reading(rule, captures, tuple(dict.fromkeys(each[CHAR_ID] for _, each in owners)))

    def read_key(self, key: str, known: Container[str]) -> Reading | None:
        """Returns the reading of a key's path; None also if the key has no path."""
        path = self.path_for(key, known)
        return None if path is None else self.read(path, known)

    @cached_property
    def _folded(self) -> tuple[Template, ...]:
        return tuple(Template(fold(rule.path.source)) for rule in self.rules)

    def could_take(self, path: str) -> bool:
        """Whether some rule matches the path, or one that differs only in case or Unicode form."""
        folded = fold(path)
        # This runs for every tail of every text of a record, so the cheaper check comes first.
        return any(template.takes(folded) for template in self._folded) and self.left_out(path) is None

    def likely(self, path: str) -> AssetRule | None:
        """Returns the first rule that matches a path, or else one that differs only in case or Unicode form."""
        found = self.first_match(path)
        if found is None and self.could_take(path):
            folded = fold(path)
            found = next(each for each, alike in zip(self.rules, self._folded, strict=True) if alike.takes(folded))
        return found

    def first_match(self, path: str) -> AssetRule | None:
        """Returns the first rule that matches a path, whoever owns it."""
        if self.left_out(path) is not None:
            return None
        taking = self._taking(path)
        return next((rule for rule in taking if rule.path.has_id_alone or rule.guess(path) is not None), None)

    def _taking(self, path: str) -> Iterator[AssetRule]:
        """Yields the rules that match a path, in their order."""
        top, slash, _ = nfc(path).partition("/")
        return (rule for rule in self._by_top.get(top + slash, self._anywhere) if rule.path.takes(path))

    @cached_property
    def _by_top(self) -> dict[str, tuple[AssetRule, ...]]:
        """The rules that may match a path below a top folder, for each top folder that a rule names."""
        starts = {rule.path.literal_prefix.partition("/") for rule in self.rules}
        tops = {top + slash for top, slash, _ in starts if slash}
        return {top: tuple(each for each in self.rules if _may_be_below(each, top)) for top in tops}

    @cached_property
    def _anywhere(self) -> tuple[AssetRule, ...]:
        return tuple(rule for rule in self.rules if "/" not in rule.path.literal_prefix)

    def key_for(self, path: str, known: Container[str]) -> str:
        """Returns the key (bucket path below the prefix) of a local path."""
        if self.keys_are_paths:
            return path
        reading = self.read(path, known)
        if reading is None or reading.rule.object is None:
            return path
        return reading.rule.object.format(reading.captures)

    def path_for(self, key: str, known: Container[str]) -> str | None:
        """Returns the local path of this key, or None if no path maps to the key."""
        if self.keys_are_paths:
            return key if is_below(key) else None
        for rule in self.rules:
            path = None if rule.object is None else _path_of(rule, key)
            if path is not None and nfc(self.key_for(path, known)) == nfc(key):
                return path
        return key if is_below(key) and nfc(self.key_for(key, known)) == nfc(key) else None

    def ids_in(self, path: str) -> set[str]:
        """Returns every id that ``read`` and ``key_for`` may look up for this path."""
        readings = (found for rule in self.rules if rule.path.takes(path) for found, _, _ in rule.path.readings(path))
        return {each for value in readings for each in spellings(value)}

    def ids_of(self, key: str) -> set[str]:
        """Returns every id that ``path_for``, and reading its path, may look up for this key."""
        if self.keys_are_paths:
            return self.ids_in(key)
        paths = (None if rule.object is None else _path_of(rule, key) for rule in self.rules)
        return self.ids_in(key).union(*(self.ids_in(path) for path in paths if path is not None))

    def path_of(self, key: str, asset_type: str | None) -> str | None:
        """Returns the local path for a key by the rule of this type, or None."""
        rule = None if asset_type is None else self.rule(asset_type)
        return None if rule is None else _path_of(rule, key)

    def character_in_name(self, path: str) -> str | None:
        """Returns the id that is a file's whole name (``characters/{char_id}.png``), if the first matching rule has
        one."""
        rule = self.first_match(path)
        if rule is None or rule not in self._saying_ids:
            return None
        found = rule.path.match(path)
        return None if found is None else found[CHAR_ID]

    @cached_property
    def _saying_ids(self) -> tuple[AssetRule, ...]:
        return tuple(rule for rule in self.rules if rule.path.is_whole_name(CHAR_ID))

    def whole_name_prefixes(self, id_prefix: str = "") -> tuple[str, ...]:
        """Returns prefixes of the files whose whole name is an id, for ids that start with ``id_prefix``."""
        starts = (each.path.literal_prefix + (id_prefix if each.begins_with_id else "") for each in self._saying_ids)
        return minimal_prefixes(map(shared_prefix, starts))

    def whole_names(self, char_id: str) -> tuple[str, ...]:
        """Returns prefixes of the files whose whole name is exactly this id."""
        return minimal_prefixes(shared_prefix(each.path.prefix({CHAR_ID: char_id})) for each in self._saying_ids)

    def path_prefixes(self, char_ids: Sequence[str], asset_types: Sequence[str] = ()) -> tuple[str, ...]:
        """Returns prefixes of the local paths of these characters (all, if none) and asset types (all, if none)."""
        rules = self._in(asset_types)
        return minimal_prefixes(shared_prefix(rule.path.prefix(fixed)) for rule in rules for fixed in _fixed(char_ids))

    def key_prefixes(self, char_ids: Sequence[str], asset_types: Sequence[str] = ()) -> tuple[str, ...]:
        """Returns prefixes of the keys of these characters and asset types, as ``path_prefixes``."""
        templates = [rule.object or rule.path for rule in self._in(asset_types)]
        return minimal_prefixes(shared_prefix(each.prefix(fixed)) for each in templates for fixed in _fixed(char_ids))

    def _in(self, asset_types: Sequence[str]) -> list[AssetRule]:
        return [rule for rule in self.rules if not asset_types or rule.type in asset_types]


def _may_be_below(rule: AssetRule, top: str) -> bool:
    """Whether the rule may match a path below this top folder, given with its slash."""
    start = rule.path.literal_prefix
    return start.startswith(top) if "/" in start else top.startswith(start)


def _path_of(rule: AssetRule, key: str) -> str | None:
    """Returns the path that the rule's templates map a key to; never one that climbs, whoever named the object."""
    captures = (rule.object or rule.path).match(key)
    path = None if captures is None else key if rule.object is None else rule.path.format(captures)
    return path if path is not None and is_below(path) else None


def _fixed(char_ids: Sequence[str]) -> Iterator[dict[str, str]]:
    return ({CHAR_ID: char_id} for char_id in char_ids) if char_ids else iter([{}])


def minimal_prefixes(prefixes: Iterable[str]) -> tuple[str, ...]:
    """Returns the fewest prefixes that cover the same names, sorted; none covers another."""
    out: list[str] = []
    for prefix in sorted(set(prefixes)):
        if not out or not prefix.startswith(out[-1]):
            out.append(prefix)
    return tuple(out)
