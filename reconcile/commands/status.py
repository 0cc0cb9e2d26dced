"""The status table, which adds up the tallies of a survey by asset type or by character, and the overview, which has
both sums and each tally."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from reconcile.core.changes import SetField, Severity
from reconcile.core.duration import format_duration
from reconcile.core.plan import Plan, Scope, Stores, Summary
from reconcile.core.report import remaining
from reconcile.core.rules import AssetMap
from reconcile.core.status import FORMAT, NO_CHARACTER, StatusRow, StatusTable, Sync, Tally
from reconcile.pipeline.reducers import Tallies
from reconcile.pipeline.survey import Survey

REPORT_FORMAT = "reconcile.report/1"
By = Literal["type", "character"]

_AHEAD = 300.0
"""Seconds by which a time may be ahead of the clock of this machine."""

NO_RULE = "No rule"


class Cell(msgspec.Struct, frozen=True):
    """The assets of one character and one type, counted as in the status table. A pair without assets has no cell.

    ``wanted`` is the number of keys that ought to be in step. ``asset_type`` is None for files that no rule matches,
    ``char_id`` for those without a character.
    """

    char_id: str | None
    asset_type: str | None
    local: int
    bucket: int
    records: int
    wanted: int
    in_step: int
    to_do: int
    sync: Sync


class Overview(msgspec.Struct, frozen=True):
    """The document of ``report --json``: what the page in ``out`` shows, without the changes and findings of the plan.

    ``rows`` are by asset type, ``characters`` by character. ``complete`` is false if a part of a world could not be
    read, so that counts may be too low.
    """

    format: str
    out: str
    created: str
    complete: bool
    scope: Scope
    stores: Stores
    summary: Summary
    rows: tuple[StatusRow, ...]
    characters: tuple[StatusRow, ...]
    cells: tuple[Cell, ...]


def overview_of(plan: Plan, out: str) -> Overview:
    """Returns the overview that a plan alone allows. It has no rows, because a plan does not hold what it leaves
    unchanged."""
    return Overview(REPORT_FORMAT, out, plan.created, plan.complete, plan.scope, plan.stores, plan.summary, (), (), ())


def table(survey: Survey, asset_map: AssetMap, by: By, *, last_good_run: str | None = None) -> StatusTable:
    """Makes the status table of what is in scope. By type, it has a row for each rule in the order of the map, even if
    empty, then one for what no rule matches; by character, a row for each, and then one for what has no character."""
    rows = _by_type(survey, asset_map) if by == "type" else _by_character(survey)
    plan = survey.plan
    return StatusTable(
        FORMAT,
        tuple(rows),
        plan.complete,
        last_good_run,
        plan.summary.findings.waived,
        len(remaining(plan.findings, Severity.WARNING)),
    )


def overview(survey: Survey, asset_map: AssetMap, out: str) -> Overview:
    """Makes the overview of a survey. ``out`` is the place where the page will be written."""
    return msgspec.structs.replace(
        overview_of(survey.plan, out),
        rows=tuple(_by_type(survey, asset_map)),
        characters=tuple(_by_character(survey)),
        cells=tuple(_cells(survey)),
    )


def is_in_step(survey: Survey) -> bool:
    """Whether everything in the rows of the asset types is in step, and every index is right. Files that no rule
    matches do not count, because they belong neither in the bucket nor in records."""
    if any(isinstance(change, SetField) and change.is_index for change in survey.plan.actions):
        return False
    typed = (tally for (asset_type, _), tally in survey.tallies.items() if asset_type is not None)
    return all(tally.sync() in (Sync.COMPLETE, Sync.EMPTY) for tally in typed)


def overdue(last_good_run: str | None, allowed: float, at: datetime | None = None) -> str:
    """Returns a sentence if the last good run was more than ``allowed`` seconds ago; otherwise an empty text."""
    if last_good_run is None:
        return "no run of everything has ended well here yet"
    try:
        age = ((at or datetime.now(UTC)) - datetime.fromisoformat(last_good_run)).total_seconds()
    except (TypeError, ValueError):
        return f"the time of the last good run, {last_good_run!r}, cannot be read; run apply again"
    if age < -_AHEAD:
        return f"the last good run is dated {last_good_run}, in the future: is a clock wrong?"
    if age <= allowed:
        return ""
    told = f"the last good run ended {last_good_run}, {format_duration(age)} ago"
    return f"{told}; that is more than {format_duration(allowed)}: did the nightly job not run, or not end well?"


def _by_type(survey: Survey, asset_map: AssetMap) -> Iterator[StatusRow]:
    sums, scope = _sums(survey.tallies, 0), survey.plan.scope
    root = f"{survey.plan.stores.bucket}/"
    urgent: Counter[str] = Counter()
    for finding in remaining(survey.plan.findings, Severity.WARNING):
        rule = asset_map.first_match(finding.subject.removeprefix(root))
        if rule is not None:  # otherwise it is about a record, or a setting
            urgent[rule.type] += 1
    for rule in asset_map.rules:
        if scope.takes_type(rule.type):
            counts = _counts(sums[rule.type])
            yield StatusRow(asset_type=rule.type, label=rule.label, attention=urgent[rule.type], **counts)
    if scope.takes_type(None):
        yield StatusRow(asset_type=None, label=NO_RULE, **_counts(sums[None]))


def _by_character(survey: Survey) -> Iterator[StatusRow]:
    sums, scope = _sums(survey.tallies, 1), survey.plan.scope
    urgent = Counter(finding.char_id for finding in remaining(survey.plan.findings, Severity.WARNING))
    seen = {char_id for char_id in sums if char_id is not None}
    for char_id in (*sorted(seen | survey.known_ids), None):
        if scope.takes_character(char_id):
            label, counts = NO_CHARACTER if char_id is None else char_id, _counts(sums[char_id])
            yield StatusRow(asset_type=None, label=label, char_id=char_id, attention=urgent[char_id], **counts)


def _sums(tallies: Tallies, part: int) -> dict[str | None, Tally]:
    """Adds up the tallies of each asset type (``part`` 0) or of each character (1)."""
    sums: dict[str | None, Tally] = defaultdict(Tally)
    for key, tally in tallies.items():
        total = sums[key[part]]
        for name in Tally.__struct_fields__:
            setattr(total, name, getattr(total, name) + getattr(tally, name))
    return sums


def _cells(survey: Survey) -> Iterator[Cell]:
    scope = survey.plan.scope
    nobody_last = sorted(survey.tallies, key=lambda pair: (pair[1] is None, pair[1] or "", pair[0] or ""))
    for asset_type, char_id in nobody_last:
        if scope.takes_type(asset_type) and scope.takes_character(char_id):
            tally = survey.tallies[asset_type, char_id]
            yield Cell(char_id=char_id, asset_type=asset_type, wanted=tally.keys, **_counts(tally))


def _counts(tally: Tally) -> dict[str, Any]:
    counts = {name: getattr(tally, name) for name in ("local", "bucket", "records", "in_step", "to_do")}
    return {**counts, "sync": tally.sync()}
