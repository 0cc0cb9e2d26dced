"""The status table as text."""

from __future__ import annotations

from collections.abc import Iterable

from reconcile.core.plan import Plan
from reconcile.core.status import StatusRow, StatusTable, Sync
from reconcile.views.plan import INCOMPLETE, show_stores, totals
from reconcile.views.terminal import Piece, Terminal

_SYNC = {Sync.COMPLETE: "green", Sync.PARTIAL: "yellow", Sync.MISSING: "bold red", Sync.EMPTY: "dim"}
_NUMBERS = ("local", "bucket", "records", "in step", "to do")


def show_status(terminal: Terminal, table: StatusTable, plan: Plan) -> None:
    """The stores, the table, and what a plan would do."""
    show_stores(terminal, plan.stores, plan.scope)
    terminal.line()
    by_character = any(row.char_id is not None for row in table.rows)
    show_rows(terminal, "character" if by_character else "asset type", table.rows)
    terminal.line()
    terminal.prose(totals(plan), style="bold")
    terminal.line(("Last good run of everything here: ", "dim"), table.last_good_run or "none yet")
    if not plan.complete:
        terminal.prose(INCOMPLETE, style="bold red")


def show_rows(terminal: Terminal, name: str, rows: Iterable[StatusRow]) -> None:
    """The table; ``name`` says what a row is."""
    head = (name, *_NUMBERS, "sync")
    terminal.table(head, [_cells(row) for row in rows], numbers=range(1, 1 + len(_NUMBERS)))


def _cells(row: StatusRow) -> list[Piece]:
    counts = (row.local, row.bucket, row.records, row.in_step)
    to_do: Piece = (f"{row.to_do:,}", "bold yellow" if row.to_do else "")
    return [row.label, *(f"{count:,}" for count in counts), to_do, (row.sync.value, _SYNC[row.sync])]
