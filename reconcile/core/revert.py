"""Undoes changes on a record as it is now: each only if nobody has changed the value since."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from reconcile.core.edit import Draft, Edit, one_of, same
from reconcile.core.journal import Place, Touched
from reconcile.core.report import OutcomeKind
from reconcile.core.way import Entries, Finder, Trail, Way, numberless


def revert(fields: Mapping[str, Any], wanted: Sequence[Touched], entries: Entries) -> Edit:
    """Returns the edit that brings each place, found as in ``edit``, from ``before`` to ``after``, on a copy of the
    fields.

    A field that was absent is removed again, and so is a map that was added, once it holds only its key.
    """
    draft = _Reversal(fields, wanted, entries)
    verdicts = list(map(draft.take_back, wanted))
    draft.drop_bare()
    return draft.done(verdicts)


class _Reversal(Draft):
    def __init__(self, fields: Mapping[str, Any], wanted: Sequence[Touched], entries: Entries) -> None:
        super().__init__(fields, entries)
        self._alike = Counter((each.entry, each.field) for each in wanted if not each.way)
        self._trails = _trails(self.fields, [each for each in wanted if each.way and not each.is_index], entries.key)

    def take_back(self, wanted: Touched) -> OutcomeKind:
        if wanted.is_index:
            return self.set_types(wanted)
        if not wanted.way:
            return OutcomeKind.STALE if self.listed is None else self._revert(wanted, self.listed)
        if not isinstance(wanted.before, str) or not isinstance(wanted.after, str):
            return OutcomeKind.STALE  # a journal is a file, and may hold what no run writes
        trail = self._trails.get(wanted.id)
        if trail is not None:
            return self.put(trail, wanted)
        finder = Finder(self.fields, self.entries.key)
        return OutcomeKind.ALREADY if finder.has_become(wanted.way, wanted.before, wanted.after) else OutcomeKind.STALE

    def _revert(self, wanted: Touched, listed: list[Any]) -> OutcomeKind:
        alike = [at for at, title, _ in self.entries.maps(listed) if title == wanted.entry]
        if not alike and wanted.place is Place.ADDED and wanted.entry is not None:
            listed.append({self.entries.key: wanted.entry, wanted.field: wanted.after})
            return self.note(wanted, listed)
        holding = [each for each in alike if _holds(listed[each], wanted.field, wanted.before, wanted.had)]
        of_several = self._alike[wanted.entry, wanted.field]
        if of_several > 1:
            # Of maps with the same key, only the position tells which is which, and only as long as none is gone.
            at = wanted.position if wanted.position in holding and len(alike) >= of_several else None
        else:
            at = one_of(holding, wanted.position)
        if at is not None:
            listed[at] = _with(listed[at], wanted)
            return self.note(wanted, listed)
        if any(_holds(listed[each], wanted.field, wanted.after, wanted.has) for each in alike):
            return OutcomeKind.ALREADY
        return OutcomeKind.ALREADY if not alike and wanted.place is Place.REMOVED else OutcomeKind.STALE

    def drop_bare(self) -> None:
        """Removes the maps that the run had added, once nothing is left in them."""
        for wanted in self.touched:
            bare = {self.entries.key: wanted.entry}
            if wanted.place is Place.REMOVED and self.listed is not None and bare in self.listed:
                self.listed.remove(bare)


def _trails(fields: Mapping[str, Any], wanted: Sequence[Touched], entry_key: str) -> dict[str, Trail]:
    """Returns where each text is to be put back, by the id of its change.

    Of several places with equal texts now and different ones before, only the position tells which is which, and only
    as long as each is in exactly its place.
    """
    finder = Finder(fields, entry_key)
    groups: dict[tuple[Way, str], list[Touched]] = defaultdict(list)
    # A journal is a file: lines that this version did not write are skipped.
    for each in (each for each in wanted if isinstance(each.before, str) and isinstance(each.after, str)):
        groups[numberless(each.way), each.before].append(each)
    found: dict[str, Trail] = {}
    for (_, text), group in groups.items():
        exact = {each.id: trail for each in group if (trail := finder.exact(each.way, text)) is not None}
        if len(exact) == len(group):
            found |= exact
        elif len({each.after for each in group}) == 1 and len(held := finder.all(group[0].way, text)) <= len(group):
            # All become the same, so it does not matter which is which, unless there are more places than were written.
            found |= zip((each.id for each in group), held, strict=False)
    return found


def _holds(entry: dict[str, Any], field: str, value: Any, there: bool) -> bool:
    return (field in entry) is there and (not there or same(entry[field], value))


def _with(entry: dict[str, Any], wanted: Touched) -> dict[str, Any]:
    if wanted.has:
        return {**entry, wanted.field: wanted.after}
    return {name: value for name, value in entry.items() if name != wanted.field}
