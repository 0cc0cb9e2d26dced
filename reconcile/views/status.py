"""The status table as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from reconcile.core.plan import Plan
from reconcile.core.status import StatusRow, StatusTable, Sync
from reconcile.views import words
from reconcile.views.plan import INCOMPLETE, show_stores, totals
from reconcile.views.terminal import Piece, Terminal

_SYNC = {Sync.COMPLETE: "green", Sync.PARTIAL: "yellow", Sync.MISSING: "bold red", Sync.EMPTY: "dim"}
_NUMBERS = ("local", "bucket", "records", "in step", "to do", "attention")
_COUNTS = ("local", "bucket", "records", "in_step", "to_do")
_LEGEND = (
    "in step: right wherever it should be. to do: what apply would put right. attention: errors and warnings that need"
    " a person."
)


def show_status(
    terminal: Terminal, table: StatusTable, plan: Plan, *, now: datetime | None = None, following: str = ""
) -> None:
    """Writes the stores, the table with its totals, how to read it, what a plan would do, and the command
    (``following``) that shows the plan."""
    show_stores(terminal, plan.stores, plan.scope)
    terminal.line()
    by_character = any(row.char_id is not None for row in table.rows)
    show_rows(terminal, "character" if by_character else "asset type", table.rows, attention=table.attention)
    terminal.prose(_LEGEND, style="dim")
    elsewhere = table.attention - sum(row.attention for row in table.rows)
    if elsewhere:
        one = elsewhere == 1
        about = "no character of the table" if by_character else "a record, and no single asset"
        terminal.prose(f"{elsewhere:,} of them {'is' if one else 'are'} about {about}.", style="dim")
    terminal.line()
    terminal.prose(totals(plan), style="bold")
    good = table.last_good_run
    ago = f" ({words.ago(good, now or datetime.now(UTC))})" if good else ""
    terminal.line(("Last good run of everything here: ", "dim"), f"{good or 'none yet'}{ago}")
    if not plan.complete:
        terminal.prose(INCOMPLETE, style="bold red")
    if following and (plan.actions or table.attention):
        terminal.prose(f"Next: `{following}` shows each of them")


def show_rows(terminal: Terminal, name: str, rows: Iterable[StatusRow], *, attention: int | None = None) -> None:
    """Writes the table. ``name`` says what a row is. With ``attention``, the number of all findings that need a person,
    there is a row of totals."""
    listed = list(rows)
    head = (name, *_NUMBERS, "sync")
    lines = [_cells(row) for row in listed]
    if attention is not None and len(listed) > 1:
        counts, sync = sums(listed)
        in_all = [f"{count:,}" for count in counts.values()]
        lines.append([("total", "bold"), *in_all, _open(attention), (sync.value, _SYNC[sync])])
    terminal.table(head, lines, numbers=range(1, 1 + len(_NUMBERS)))


def _cells(row: StatusRow) -> list[Piece]:
    counts = (row.local, row.bucket, row.records, row.in_step)
    return [row.label, *(f"{count:,}" for count in counts), _open(row.to_do), _open(row.attention), _sync(row)]


def is_outside(row: StatusRow) -> bool:
    """Whether a row is of what no rule matches, which belongs neither into the bucket nor into a record: nothing of it
    is missing."""
    return row.asset_type is None and row.char_id is None and not row.bucket


def sums(rows: Sequence[StatusRow]) -> tuple[dict[str, int], Sync]:
    """Returns the sum of each count of the rows, and whether anything of them is missing."""
    counts = {name: sum(getattr(row, name) for row in rows) for name in _COUNTS}
    is_right = all(row.sync in (Sync.COMPLETE, Sync.EMPTY) or is_outside(row) for row in rows)
    return counts, Sync.COMPLETE if is_right else Sync.PARTIAL


def _sync(row: StatusRow) -> Piece:
    return ("-", "dim") if is_outside(row) else (row.sync.value, _SYNC[row.sync])


def _open(count: int) -> Piece:
    return (f"{count:,}", "bold yellow" if count else "")
