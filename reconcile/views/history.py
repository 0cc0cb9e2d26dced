"""The runs of a project as a table, or one run with what it changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from reconcile.core.history import UNFINISHED, History, PastChange, PastOutcome, PastRun
from reconcile.views import words
from reconcile.views.changes import text_of
from reconcile.views.cost import usage_text
from reconcile.views.report import short
from reconcile.views.terminal import Piece, Terminal

_STYLE = {"success": "green", "partial": "yellow", "stale": "yellow", "failed": "bold red"}
_SIGNS = {kind.__struct_config__.tag: look.sign for kind, look in words.LOOKS.items()}

_DONE = (PastOutcome.APPLIED, PastOutcome.ALREADY)


def show_history(terminal: Terminal, history: History, *, now: datetime | None = None) -> None:
    """Writes one line for each run, the newest first; or each change, if a single run was requested."""
    if not history.runs:
        terminal.line("No run of this project has changed anything yet.")
        return
    if any(run.changes is not None for run in history.runs):
        for run in history.runs:
            _show_run(terminal, run)
        return
    time = now or datetime.now(UTC)
    names = _names([run.run_id for run in history.runs])
    rows = [_row(run, name, time) for run, name in zip(history.runs, names, strict=True)]
    head = ["run", "started", "", "took", "status", "applied", "not", "sent", "scope"]
    numbers: tuple[int, ...] = (2, 3, 5, 6, 7)
    if not any(map(_left, history.runs)):
        head, rows, numbers = head[:6] + head[7:], [row[:6] + row[7:] for row in rows], (2, 3, 5, 6)
    terminal.table(head, rows, numbers)
    terminal.line()
    if history.total > len(history.runs):
        terminal.prose(f"{len(history.runs)} of {words.many(history.total, 'run')}; --limit shows more.")
    terminal.prose(
        "Times are UTC. `reconcile history --run ID` shows each change, `reconcile undo ID` puts its fields back."
    )


def _names(run_ids: Sequence[str]) -> list[str]:
    """Returns the shortest name that finds each run: the end of its id, or the whole id if another run has the same
    end."""
    ends = Counter(map(short, run_ids))
    return [short(run_id) if ends[short(run_id)] == 1 else run_id for run_id in run_ids]


def _row(run: PastRun, name: str, now: datetime) -> list[Piece]:
    counts = run.counts
    took = "" if run.seconds is None else words.took(run.seconds)
    return [
        name,
        run.started[5:16].replace("T", " ") if run.started[:4] == f"{now.year}" else run.started[:10],
        words.ago(run.started, now),
        took,
        (run.status, _STYLE.get(run.status, "bold yellow")),
        f"{counts.applied:,}",
        f"{_left(run):,}",
        words.size(run.bytes) if run.bytes else "",
        _scope(run),
    ]


def _left(run: PastRun) -> int:
    """Returns the number of changes that were planned but not made."""
    counts = run.counts
    return counts.stale + counts.failed + counts.blocked + counts.not_started


def _scope(run: PastRun) -> str:
    if run.undoes:
        return f"undo of {run.undoes}"
    return ", ".join((*run.scope.char_ids, *run.scope.asset_types, *run.scope.paths)) or "everything"


def _show_run(terminal: Terminal, run: PastRun) -> None:
    terminal.line(("Run      ", "dim"), (run.run_id, "bold"), f"  {_scope(run)}")
    ended = f" to {run.ended}" if run.ended else ""
    terminal.line(("When     ", "dim"), f"{run.started}{ended}")
    terminal.line(("Status   ", "dim"), (run.status, _STYLE.get(run.status, "bold yellow")))
    terminal.line(("Bucket   ", "dim"), run.bucket)
    terminal.line(("Records  ", "dim"), run.records)
    if run.used is not None and run.used.applying:
        terminal.line(("Used     ", "dim"), usage_text(run.used.applying))
    if run.status == UNFINISHED:
        terminal.prose("It did not come to its end: it was killed, or it is still at work.", style="yellow")
    terminal.line()
    for change in run.changes or ():
        _show_change(terminal, change)


def _show_change(terminal: Terminal, change: PastChange) -> None:
    style = "" if change.outcome in _DONE else "yellow"
    head: Sequence[Piece] = (f"  {_SIGNS.get(change.kind, '?')} ", (f"{change.outcome.value}  ", style))
    if change.field is not None:
        where = f"{change.document} {words.place(change.entry, change.field, change.position, change.at or ())}"
        world = "" if change.world is None or change.world.value == "records" else "local database "
        terminal.line(*head, world, (where, "bold"))
        terminal.line(("      before  ", "dim"), _value(change.before, there=bool(change.had)))
        terminal.line(("      after   ", "dim"), _value(change.after, there=bool(change.has)))
    elif change.uri is not None:
        terminal.line(*head, (change.uri, "bold"), f"  {words.size(change.size or 0)}  {change.crc32c}")
        if change.generation is not None:
            before = change.generation_before or "nothing"
            terminal.line(("      generation  ", "dim"), f"{before} became {change.generation}")
        if change.source is not None:
            terminal.line(("      copied from ", "dim"), change.source)
        if change.content_type is not None:
            became = "became" if change.outcome in _DONE else "was to become"
            before = change.content_type_before or "nothing"
            terminal.line(("      type        ", "dim"), f"{before} {became} {change.content_type}")
    else:
        terminal.line(*head, f"{change.kind}  ", (change.document or change.key or change.id, "bold"))
    if change.error:
        terminal.line("      ", change.error)


def _value(value: Any, *, there: bool) -> Piece:
    if not there:
        return ("(not there)", "dim")
    return text_of(value) or '""'
