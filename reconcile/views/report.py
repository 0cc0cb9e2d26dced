"""The report of a run: how it ended, what did not go through and why, what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from reconcile.core.report import Outcome, OutcomeKind, Report, Status
from reconcile.views import words
from reconcile.views.cost import show_used
from reconcile.views.findings import but, found
from reconcile.views.terminal import Terminal


class Command(NamedTuple):
    """The command that a report is of: how to run it again, how to see what it would do, and what it does to files and
    bytes."""

    again: str = "reconcile apply"
    plan: str = "reconcile plan"
    applied: str = words.OUTCOMES[OutcomeKind.APPLIED]
    moved: str = "sent"


_NEXT = {
    Status.SUCCESS: "",
    Status.PARTIAL: "What failed was left as it was; run `{0.again}` again once the cause is fixed.",
    Status.FAILED: "Nothing that failed was half done; run `{0.again}` again once the cause is fixed.",
    Status.STALE: "The world moved since the plan was made; `{0.plan}` shows how it stands now.",
    Status.INTERRUPTED: "Run `{0.again}` again: it goes on from here.",
}
_STYLES = {Status.SUCCESS: "bold green", Status.FAILED: "bold red"}
_TOLD = {
    OutcomeKind.FAILED: "red",
    OutcomeKind.STALE: "yellow",
    OutcomeKind.BLOCKED: "yellow",
    OutcomeKind.NOT_STARTED: "dim",
}
_WAITING_SHOWN = 20
APPLY = Command()
RESTORE = Command("reconcile restore", "reconcile restore --dry-run", "restored", "fetched")


def show_report(terminal: Terminal, report: Report, command: Command = APPLY, *, verbose: bool = False) -> None:
    """Each change that did not go through by name with its sentence, then the totals. The findings are the plan's, and
    are only counted here. Of what a stop left for the next run the first are named, and all with ``verbose``."""
    waiting = 0
    hints: Counter[str] = Counter()
    for outcome in report.outcomes:
        style = _TOLD.get(outcome.outcome)
        waiting += outcome.outcome is OutcomeKind.NOT_STARTED
        if not verbose and (style is None or (outcome.outcome is OutcomeKind.NOT_STARTED and waiting > _WAITING_SHOWN)):
            continue
        terminal.line(
            (f"{words.OUTCOMES[outcome.outcome]}  ", style or "dim"),
            f"{outcome.kind}  ",
            (outcome.key or outcome.id, "bold"),
            *_why(outcome),
        )
        if outcome.problem is not None and outcome.problem.hint and outcome.outcome is not OutcomeKind.NOT_STARTED:
            hints[outcome.problem.hint] += 1
    for hint, count in hints.items():
        terminal.line(("hint  ", "dim"), f"{hint}{f' ({count:,} changes)' if count > 1 else ''}")
    if waiting > _WAITING_SHOWN and not verbose:
        terminal.line(
            (f"... and {waiting - _WAITING_SHOWN:,} more not started; `{command.plan}` lists what is left", "dim")
        )
    calm = report.status is not Status.SUCCESS or not but(report.findings)
    terminal.prose(_totals(report, command), style=_STYLES.get(report.status, "bold yellow") if calm else "bold yellow")
    show_used(terminal, report.used, verbose=verbose)
    if _NEXT[report.status]:
        terminal.prose(_NEXT[report.status].format(command))


def _why(outcome: Outcome) -> Iterator[str]:
    """The record, and what went wrong with it. The hint is below, once for all that share it."""
    if outcome.document:
        yield f" in {outcome.document}"
    said = outcome.error if outcome.problem is None else outcome.problem.message
    if said and outcome.outcome is not OutcomeKind.NOT_STARTED:
        yield f": {said}"


def _totals(report: Report, command: Command) -> str:
    needs = but(report.findings) if report.status is Status.SUCCESS else ""
    names = words.OUTCOMES | {OutcomeKind.APPLIED: command.applied}
    counts = {kind: getattr(report.counts, kind.value) for kind in OutcomeKind}
    parts = ", ".join(f"{count:,} {names[kind]}" for kind, count in counts.items() if count)
    sent = f"; {words.size(report.bytes)} {command.moved}" if report.bytes else ""
    ended = f"{parts or 'nothing to do'}{sent} in {report.seconds:.1f} s."
    return f"{words.STATUSES[report.status]}{needs}: {ended}{found(report.findings)}"
