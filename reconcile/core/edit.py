"""Applies field changes to a record as it is now: each only if its place still holds what was seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from reconcile.core.changes import CreateRecord, FieldChange
from reconcile.core.journal import Place, Touched
from reconcile.core.names import spellings
from reconcile.core.report import OutcomeKind
from reconcile.core.way import GONE, Entries, Finder, Trail, Way, as_found, copied, remade, value_at


class Edit(msgspec.Struct, frozen=True):
    """The result of an edit: the changed top-level fields with their whole values, what was touched, and the verdicts
    on the changes in order: APPLIED once the edit is written, ALREADY if the new value is there, STALE if somebody
    else's is."""

    fields: dict[str, Any]
    verdicts: tuple[OutcomeKind, ...]
    touched: tuple[Touched, ...] = ()

    @property
    def changed(self) -> bool:
        return OutcomeKind.APPLIED in self.verdicts


def edit(fields: Mapping[str, Any], changes: Sequence[FieldChange], entries: Entries) -> Edit:
    """Applies the changes to a copy of a record's fields.

    Places are found by name, by the keys of maps and by the old value, never by position alone, so that a list that
    somebody reordered or extended is still edited in the right place. Everything else stays as it is.
    """
    draft = _Edited(fields, entries)
    return draft.done(map(draft.make, changes))


class Draft:
    """A copy of a record's fields while it is edited. ``listed`` are its entries; None if they are not a list."""

    def __init__(self, fields: Mapping[str, Any], entries: Entries) -> None:
        self.fields: dict[str, Any] = copied(fields)
        self.touched: list[Touched] = []
        self.entries = entries
        self._changed: set[str] = set()
        found = entries.of(self.fields)
        self.listed: list[Any] | None = [] if found is None else found if isinstance(found, list) else None

    def put(self, trail: Trail, touched: Touched) -> OutcomeKind:
        """Replaces the text at a trail."""
        value_at(self.fields, trail[:-1])[trail[-1]] = touched.after
        return self._applied(str(trail[0]), touched)

    def note(self, touched: Touched, listed: list[Any]) -> OutcomeKind:
        """Notes that a map of the entries was changed."""
        self.entries.put(self.fields, listed)
        return self._applied(self.entries.top, touched)

    def set_types(self, wanted: Touched) -> OutcomeKind:
        """Adds to the record's index the types that are new, and removes those that are gone."""
        name = wanted.field
        held, before, after = self.fields.get(name), wanted.before or [], wanted.after or []
        indexes = [before, after] if held is None else [before, after, held]
        if not all(isinstance(index, list) and all(isinstance(each, str) for each in index) for index in indexes):
            return OutcomeKind.STALE
        more, less = set(after).difference(before), set(before).difference(after)
        new = sorted(more.union(held or ()).difference(less))
        if set(held or ()) == set(new):
            return OutcomeKind.ALREADY
        touched = msgspec.structs.replace(wanted, before=held, had=name in self.fields, after=new, has=True)
        self.fields[name] = new
        return self._applied(name, touched)

    def _applied(self, top: str, touched: Touched) -> OutcomeKind:
        self._changed.add(top)
        self.touched.append(touched)
        return OutcomeKind.APPLIED

    def done(self, verdicts: Iterable[OutcomeKind]) -> Edit:
        judged = tuple(verdicts)
        return Edit({name: self.fields[name] for name in sorted(self._changed)}, judged, tuple(self.touched))


class _Edited(Draft):
    def __init__(self, fields: Mapping[str, Any], entries: Entries) -> None:
        super().__init__(fields, entries)
        self._finder = Finder(self.fields, entries.key)
        self._before = len(self.listed or ())
        self._places: dict[str | None, list[int]] = defaultdict(list)
        for at, title, _ in entries.maps(self.listed):
            self._places[title].append(at)

    def make(self, change: FieldChange) -> OutcomeKind:
        if change.is_index:
            return self.set_types(_touch(change, None, {change.field: change.old}, at=change.way))
        if change.way:
            return self._put(change, change.way)
        return OutcomeKind.STALE if self.listed is None else self._set(change, self.listed)

    def _put(self, change: FieldChange, way: Way) -> OutcomeKind:
        if not isinstance(change.old, str) or not isinstance(change.new, str):
            return OutcomeKind.STALE
        trail = self._finder.find(way, change.old)
        if trail is None:
            return OutcomeKind.ALREADY if self._finder.has_become(way, change.old, change.new) else OutcomeKind.STALE
        self._finder.moved(way, trail, change.new)
        held = {change.field: change.old}
        return self.put(trail, _touch(change, change.position, held, at=as_found(way, trail)))

    def _set(self, change: FieldChange, listed: list[Any]) -> OutcomeKind:
        alike = self._alike(change.entry)
        if not alike and change.old is None and change.entry is not None and change.position is None:
            # Only a map that the plan did not see is added: one that somebody removed since stays removed.
            listed.append({self.entries.key: change.entry, change.field: change.new})
            alike.append(len(listed) - 1)
            return self.note(_touch(change, len(listed) - 1, {}, Place.ADDED), listed)
        holding = [at for at in alike if same(listed[at].get(change.field), change.old)]
        at = one_of(holding, change.position)
        if at is not None:
            touched = _touch(change, at, listed[at], Place.KEPT if at < self._before else Place.ADDED)
            listed[at][change.field] = change.new
            return self.note(touched, listed)
        already = any(same(listed[each].get(change.field), change.new) for each in alike)
        return OutcomeKind.ALREADY if already and not holding else OutcomeKind.STALE

    def _alike(self, title: str | None) -> list[int]:
        """Returns the positions of the maps with this key, or else with the same key in another Unicode form."""
        exact = self._places[title]
        if exact or title is None or title.isascii():
            return exact
        respelt = next((each for each in spellings(title) if self._places.get(each)), title)
        return self._places[respelt]


def _touch(
    change: FieldChange,
    position: int | None,
    before: dict[str, Any],
    place: Place = Place.KEPT,
    at: Way | msgspec.UnsetType = msgspec.UNSET,
) -> Touched:
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
        at=at,
    )


def one_of(holding: list[int], position: int | None) -> int | None:
    """Returns the only map that holds the old value, or, of several, the one at the position that the plan saw."""
    if len(holding) == 1:
        return holding[0]
    return position if position in holding else None


def same(value: Any, other: Any) -> bool:
    """Whether two values are equal, including types at every depth: 1 is neither True nor 1.0."""
    if type(value) is not type(other):
        return False
    if isinstance(value, list):
        return len(value) == len(other) and all(map(same, value, other))
    if isinstance(value, dict):
        return value.keys() == other.keys() and all(same(each, other[key]) for key, each in value.items())
    return bool(value == other)


def without(change: CreateRecord, uris: frozenset[str]) -> dict[str, Any]:
    """Returns the fields of a new record, at every depth, without values that contain one of these URIs of missing
    objects."""

    def leave_out(_: Trail, value: Any) -> Any:
        return GONE if isinstance(value, str) and value in uris else value

    kept: dict[str, Any] = remade(change.fields, leave_out)
    return kept
