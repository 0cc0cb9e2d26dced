"""The overview of a project at one moment: the status table, and a grid of characters by asset types."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from reconcile.commands.status import table
from reconcile.core.plan import Scope, Stores, Summary
from reconcile.core.rules import AssetMap
from reconcile.core.status import StatusRow, Sync
from reconcile.pipeline.planner import Survey

FORMAT = "reconcile.report/1"


class Cell(msgspec.Struct, frozen=True):
    """One character's assets of one type, counted as in the status table; a pair without any has no cell.

    ``wanted`` are the keys that ought to be in step. ``asset_type`` is None for files that no rule takes, ``char_id``
    for those that are nobody's.
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
    """``report --json``: what the page written to ``out`` shows, except for the plan's single changes and findings.

    ``rows`` are by asset type, ``characters`` by character. ``complete`` is false if a part of a world could not be
    read: counts may then be short.
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


def overview(survey: Survey, asset_map: AssetMap, out: str) -> Overview:
    """Counts what the survey saw; ``out`` says where it will be written."""
    plan = survey.plan
    return Overview(
        format=FORMAT,
        out=out,
        created=plan.created,
        complete=plan.complete,
        scope=plan.scope,
        stores=plan.stores,
        summary=plan.summary,
        rows=table(survey, asset_map, "type", plan.scope).rows,
        characters=table(survey, asset_map, "character", plan.scope).rows,
        cells=tuple(_cells(survey)),
    )


def _cells(survey: Survey) -> Iterator[Cell]:
    scope = survey.plan.scope
    nobody_last = sorted(survey.tallies, key=lambda pair: (pair[1] is None, pair[1] or "", pair[0] or ""))
    for asset_type, char_id in nobody_last:
        if scope.takes_type(asset_type) and scope.takes_character(char_id):
            tally = survey.tallies[asset_type, char_id]
            yield Cell(
                char_id=char_id,
                asset_type=asset_type,
                local=tally.local,
                bucket=tally.bucket,
                records=tally.records,
                wanted=tally.keys,
                in_step=tally.in_step,
                to_do=tally.to_do,
                sync=tally.sync(),
            )
