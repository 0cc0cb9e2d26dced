"""Field changes taken back on a record's entries as they are now: each only where nobody has changed it since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from reconcile.core.edit import Edit, Verdict, one_of, same, title_of
from reconcile.core.journal import Place, Touched


def revert(entries: Any, wanted: Sequence[Touched], entry_key: str) -> Edit:
    """Brings each field from what ``before`` says to what ``after`` says, on a copy of the entries.

    A field that was absent is taken out again, and so is a map that was added and holds nothing but its key then.
    Fields are found by the map's key and what they hold, as ``edit`` finds them.
    """
    if entries is not None and not isinstance(entries, list):
        return Edit([], tuple(Verdict.STALE for _ in wanted))
    current = list(entries or [])
    touched: list[Touched] = []
    alike = Counter((each.entry, each.field) for each in wanted)
    verdicts = tuple(
        _revert_one(current, each, entry_key, touched, of_several=alike[each.entry, each.field]) for each in wanted
    )
    for each in touched:
        _drop_bare(current, each, entry_key)
    return Edit(current, verdicts, tuple(touched))


def _revert_one(
    entries: list[Any], wanted: Touched, entry_key: str, touched: list[Touched], *, of_several: int
) -> Verdict:
    alike = [
        at for at, entry in enumerate(entries) if isinstance(entry, dict) and title_of(entry, entry_key) == wanted.entry
    ]
    if not alike and wanted.place is Place.ADDED and wanted.entry is not None:
        entries.append({entry_key: wanted.entry, wanted.field: wanted.after})
        touched.append(wanted)
        return Verdict.SET
    holding = [each for each in alike if _holds(entries[each], wanted.field, wanted.before, wanted.had)]
    if of_several > 1:
        # Of maps with one key, place alone tells which is which, and only as long as none is gone.
        at = wanted.position if wanted.position in holding and len(alike) >= of_several else None
    else:
        at = one_of(holding, wanted.position)
    if at is not None:
        entries[at] = _with(entries[at], wanted)
        touched.append(wanted)
        return Verdict.SET
    if any(_holds(entries[each], wanted.field, wanted.after, wanted.has) for each in alike):
        return Verdict.ALREADY
    return Verdict.ALREADY if not alike and wanted.place is Place.REMOVED else Verdict.STALE


def _holds(entry: dict[str, Any], field: str, value: Any, there: bool) -> bool:
    return (field in entry) is there and (not there or same(entry[field], value))


def _with(entry: dict[str, Any], wanted: Touched) -> dict[str, Any]:
    if wanted.has:
        return {**entry, wanted.field: wanted.after}
    return {name: value for name, value in entry.items() if name != wanted.field}


def _drop_bare(entries: list[Any], wanted: Touched, entry_key: str) -> None:
    """Takes out a map that the run had added, once nothing is left in it."""
    if wanted.place is Place.REMOVED and {entry_key: wanted.entry} in entries:
        entries.remove({entry_key: wanted.entry})
