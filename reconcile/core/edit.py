"""Field changes on a record's entries as they are now: each is made only where its field still holds what was seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import msgspec

from reconcile.core.changes import CreateRecord, FieldChange
from reconcile.core.journal import Place, Touched


class Verdict(Enum):
    """What a field change meets: a field it may set, one that holds the new value, or another's value."""

    SET = "set"
    ALREADY = "already"
    STALE = "stale"


class Edit(msgspec.Struct, frozen=True):
    """The entries after the changes, the verdict on each change, in their order, and what was touched."""

    entries: list[Any]
    verdicts: tuple[Verdict, ...]
    touched: tuple[Touched, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether there is anything to write."""
        return Verdict.SET in self.verdicts


def edit(entries: Any, changes: Sequence[FieldChange], entry_key: str) -> Edit:
    """Makes the changes on a copy of the entries. Maps are found by key and old value, never by position alone, so
    that a list that somebody reordered or added to is still edited in the right place; all else stays as it is."""
    if entries is not None and not isinstance(entries, list):
        return Edit([], tuple(Verdict.STALE for _ in changes))
    current = list(entries or [])
    places: dict[str | None, list[int]] = defaultdict(list)
    for at, entry in enumerate(current):
        if isinstance(entry, dict):
            places[title_of(entry, entry_key)].append(at)
    touched: list[Touched] = []
    verdicts = tuple(_edit_one(current, places, change, entry_key, touched, len(entries or [])) for change in changes)
    return Edit(current, verdicts, tuple(touched))


def _edit_one(
    entries: list[Any],
    places: dict[str | None, list[int]],
    change: FieldChange,
    entry_key: str,
    touched: list[Touched],
    before: int,
) -> Verdict:
    """``before`` is how many entries there were: a map beyond them was added just now."""
    alike = places[change.entry]
    if not alike and change.old is None and change.entry is not None and change.position is None:
        # Only a map that the plan did not see is added: one that somebody removed since stays removed.
        entries.append({entry_key: change.entry, change.field: change.new})
        places[change.entry].append(len(entries) - 1)
        touched.append(_touch(change, len(entries) - 1, {}, Place.ADDED))
        return Verdict.SET
    holding = [at for at in alike if same(entries[at].get(change.field), change.old)]
    at = one_of(holding, change.position)
    if at is not None:
        touched.append(_touch(change, at, entries[at], Place.KEPT if at < before else Place.ADDED))
        entries[at] = {**entries[at], change.field: change.new}
        return Verdict.SET
    already = any(same(entries[each].get(change.field), change.new) for each in alike)
    return Verdict.ALREADY if already and not holding else Verdict.STALE


def _touch(change: FieldChange, position: int, before: dict[str, Any], place: Place) -> Touched:
    return Touched(
        id=change.id,
        entry=change.entry,
        position=position,
        field=change.field,
        before=before.get(change.field),
        had=change.field in before,
        after=change.new,
        has=True,
        place=place,
    )


def title_of(entry: dict[str, Any], entry_key: str) -> str | None:
    """The key of a map; None where it has none that is a text."""
    title = entry.get(entry_key)
    return title if isinstance(title, str) else None


def one_of(holding: list[int], position: int | None) -> int | None:
    """The only map that holds the old value, or, of several alike, the one at the place where the plan saw it."""
    if len(holding) == 1:
        return holding[0]
    return position if position in holding else None


def same(value: Any, other: Any) -> bool:
    """Whether two values are the same, types included at every depth: 1 is neither True nor 1.0."""
    if type(value) is not type(other):
        return False
    if isinstance(value, list):
        return len(value) == len(other) and all(map(same, value, other))
    if isinstance(value, dict):
        return value.keys() == other.keys() and all(same(each, other[key]) for key, each in value.items())
    return bool(value == other)


_GONE = object()


def without(change: CreateRecord, uris: frozenset[str]) -> dict[str, Any]:
    """The fields of a new record, at every depth, but for what holds one of these URIs: their objects are not there."""
    kept: dict[str, Any] = _without(change.fields, uris)
    return kept


def _without(value: Any, uris: frozenset[str]) -> Any:
    if isinstance(value, str):
        return _GONE if value in uris else value
    if isinstance(value, Mapping):
        items = ((key, _without(item, uris)) for key, item in value.items())
        return {key: item for key, item in items if item is not _GONE}
    if isinstance(value, list):
        return [item for item in (_without(each, uris) for each in value) if item is not _GONE]
    return value
