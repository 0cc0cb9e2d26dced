"""The asset map: which rule takes a file, and whose file it is."""

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
    """What to do if several files claim one field and no evidence chooses."""

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
        """What the type may be called: by its name first, then by an alias, then by its label."""
        return (self.type, *self.aliases, self.label)

    @property
    def names_character(self) -> bool:
        return CHAR_ID in self.path.names

    @property
    def begins_with_id(self) -> bool:
        """Whether ``{char_id}`` is right behind the literal text with which the path begins."""
        return self.path.prefix({CHAR_ID: "x"}).startswith(f"{self.path.literal_prefix}x")

    def captures(self, path: str, known: Container[str]) -> tuple[dict[str, str], bool] | None:
        """The captures of the longest known character id, or of any reading, and whether the id is a known one."""
        if not self.path.takes(path):
            return None
        owner = next(self.owners(path, known), None)
        found = self.guess(path) if owner is None else owner
        return None if found is None else (found, owner is not None)

    def guess(self, path: str) -> dict[str, str] | None:
        """The captures of a path, the longest first, with an id at boundaries that need not be known; None if the rule
        does not take it."""
        if not self.names_character or self.path.has_id_alone:
            return self.path.match(path)
        readings = (self.path.match_span(path, start, end) for _, start, end in self.path.readings(path))
        return next((found for found in readings if found is not None), None)

    def owners(self, path: str, known: Container[str]) -> Iterator[dict[str, str]]:
        """The captures of each known character id that the path names, as the id is known, the longest first; an id
        within a longer one is not named."""
        spans: list[tuple[int, int]] = []
        for value, start, end in self.path.readings(path):
            char_id = spelling(value, known)
            if char_id is None or any(first <= start and end <= last for first, last in spans):
                continue
            found = self.path.match_span(path, start, end)
            if found is not None:
                spans.append((start, end))
                yield {**found, CHAR_ID: char_id}


class Ownership(Enum):
    """How surely a file belongs to a character."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    AMBIGUOUS = "ambiguous"
    NONE = "none"


class Reading(msgspec.Struct, frozen=True):
    """How the map reads a path. ``characters`` are the known ids that it could belong to, the first the chosen one."""

    rule: AssetRule
    ownership: Ownership
    captures: Mapping[str, str]
    characters: tuple[str, ...] = ()

    @property
    def char_id(self) -> str | None:
        """The character, if it is sure."""
        return self.characters[0] if self.ownership is Ownership.KNOWN else None

    def entry_for(self, char_id: str) -> str | None:
        """The key of the map to write to for this character."""
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
        """Whether every key is the local path, so that both listings come in the same order."""
        return all(rule.object is None for rule in self.rules)

    @cached_property
    def templates(self) -> tuple[Template, ...]:
        return tuple(rule.path for rule in self.rules)

    def left_out(self, path: str) -> str | None:
        """Who leaves such a file beside others, if that is why no rule takes it, as ``Reach.left_out`` says it."""
        return self._reach.left_out(path)

    @cached_property
    def _reach(self) -> Reach:
        return Reach(self.templates)

    def rule(self, asset_type: str) -> AssetRule | None:
        return next((rule for rule in self.rules if rule.type == asset_type), None)

    def type_called(self, name: str) -> str:
        """The type of this name, alias or label, in any case. Raises UsageError."""
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
        """Which rule takes a local path and which character it belongs to, or None if no rule takes it."""
        first: Reading | None = None
        owners: list[Reading] = []
        if self.left_out(path) is not None:
            return None
        for rule in self.rules:
            if not rule.path.takes(path):
                continue
            named = [Reading(rule, Ownership.KNOWN, each, (each[CHAR_ID],)) for each in rule.owners(path, known)]
            owners += named
            found = rule.guess(path) if first is None and not owners else None
            if found is not None:
                first = Reading(rule, Ownership.UNKNOWN if rule.names_character else Ownership.NONE, found)
        if not owners or (first is not None and first.ownership is Ownership.NONE):
            return first
        chosen = owners[0]
        characters = tuple(dict.fromkeys(owner.characters[0] for owner in owners))
        if len(characters) == 1:
            return chosen
        return Reading(chosen.rule, Ownership.AMBIGUOUS, chosen.captures, characters)

    def read_key(self, key: str, known: Container[str]) -> Reading | None:
        """The same for the path of a key; None also if the key has no path."""
        path = self.path_for(key, known)
        return None if path is None else self.read(path, known)

    @cached_property
    def _folded(self) -> tuple[Template, ...]:
        return tuple(Template(fold(rule.path.source)) for rule in self.rules)

    def could_take(self, path: str) -> bool:
        """Whether some rule takes the path, or one that differs from it only in case or Unicode form."""
        folded = fold(path)
        # Asked of every tail of every text of a record, so the cheaper question goes first.
        return any(template.takes(folded) for template in self._folded) and self.left_out(path) is None

    def likely(self, path: str) -> AssetRule | None:
        """The first rule that takes a path; if none does, the first that takes one that differs from it only in case or
        Unicode form."""
        found = self.first_match(path)
        if found is None and self.could_take(path):
            folded = fold(path)
            found = next(each for each, alike in zip(self.rules, self._folded, strict=True) if alike.takes(folded))
        return found

    def first_match(self, path: str) -> AssetRule | None:
        """The first rule that takes a path, whoever owns it."""
        if self.left_out(path) is not None:
            return None
        taking = (rule for rule in self.rules if rule.path.takes(path))
        return next((rule for rule in taking if rule.path.has_id_alone or rule.guess(path) is not None), None)

    def key_for(self, path: str, known: Container[str]) -> str:
        """The key (bucket path below the prefix) of a local path."""
        if self.keys_are_paths:
            return path
        reading = self.read(path, known)
        if reading is None or reading.rule.object is None:
            return path
        return reading.rule.object.format(reading.captures)

    def path_for(self, key: str, known: Container[str]) -> str | None:
        """The local path whose key this is, or None if the map gives no path that leads back to the key."""
        if self.keys_are_paths:
            return key if is_below(key) else None
        for rule in self.rules:
            path = None if rule.object is None else _path_of(rule, key)
            if path is not None and nfc(self.key_for(path, known)) == nfc(key):
                return path
        return key if is_below(key) and nfc(self.key_for(key, known)) == nfc(key) else None

    def ids_in(self, path: str) -> set[str]:
        """Every id of which ``read`` and ``key_for`` may ask whether it is known, to read this path."""
        readings = (found for rule in self.rules if rule.path.takes(path) for found, _, _ in rule.path.readings(path))
        return {each for value in readings for each in spellings(value)}

    def ids_of(self, key: str) -> set[str]:
        """The same for ``path_for``, and for reading the path that it gives."""
        if self.keys_are_paths:
            return self.ids_in(key)
        paths = (None if rule.object is None else _path_of(rule, key) for rule in self.rules)
        return self.ids_in(key).union(*(self.ids_in(path) for path in paths if path is not None))

    def path_of(self, key: str, asset_type: str | None) -> str | None:
        """The local path of a key that a rule of this type gave, or None."""
        rule = None if asset_type is None else self.rule(asset_type)
        return None if rule is None else _path_of(rule, key)

    def character_in_name(self, path: str) -> str | None:
        """The id that a file's whole name says (``characters/{char_id}.png``), if the first rule to match says so."""
        rule = self.first_match(path)
        if rule is None or rule not in self._saying_ids:
            return None
        found = rule.path.match(path)
        return None if found is None else found[CHAR_ID]

    @cached_property
    def _saying_ids(self) -> tuple[AssetRule, ...]:
        return tuple(rule for rule in self.rules if rule.path.is_whole_name(CHAR_ID))

    def whole_name_prefixes(self, id_prefix: str = "") -> tuple[str, ...]:
        """Where files that say an id by their whole name can lie, for the ids that start with ``id_prefix``."""
        starts = (each.path.literal_prefix + (id_prefix if each.begins_with_id else "") for each in self._saying_ids)
        return minimal_prefixes(map(shared_prefix, starts))

    def whole_names(self, char_id: str) -> tuple[str, ...]:
        """What the paths of files that say just this id by their whole name begin with."""
        return minimal_prefixes(shared_prefix(each.path.prefix({CHAR_ID: char_id})) for each in self._saying_ids)

    def path_prefixes(self, char_ids: Sequence[str], asset_types: Sequence[str] = ()) -> tuple[str, ...]:
        """What the local paths of these characters (all, if none) and asset types (all, if none) begin with."""
        rules = self._in(asset_types)
        return minimal_prefixes(shared_prefix(rule.path.prefix(fixed)) for rule in rules for fixed in _fixed(char_ids))

    def key_prefixes(self, char_ids: Sequence[str], asset_types: Sequence[str] = ()) -> tuple[str, ...]:
        """The same for keys."""
        templates = [rule.object or rule.path for rule in self._in(asset_types)]
        return minimal_prefixes(shared_prefix(each.prefix(fixed)) for each in templates for fixed in _fixed(char_ids))

    def _in(self, asset_types: Sequence[str]) -> list[AssetRule]:
        return [rule for rule in self.rules if not asset_types or rule.type in asset_types]


def _path_of(rule: AssetRule, key: str) -> str | None:
    """The path that the rule's templates make of a key; never one that climbs, whoever named the object."""
    captures = (rule.object or rule.path).match(key)
    path = None if captures is None else key if rule.object is None else rule.path.format(captures)
    return path if path is not None and is_below(path) else None


def _fixed(char_ids: Sequence[str]) -> Iterator[dict[str, str]]:
    return ({CHAR_ID: char_id} for char_id in char_ids) if char_ids else iter([{}])


def minimal_prefixes(prefixes: Iterable[str]) -> tuple[str, ...]:
    """The same set of names with as few prefixes as can be, sorted; none covers another."""
    out: list[str] = []
    for prefix in sorted(set(prefixes)):
        if not out or not prefix.startswith(out[-1]):
            out.append(prefix)
    return tuple(out)
