"""The report of a run: how it ended, what did not go through and why, what to do next."""

from __future__ import annotations

from collections.abc import Iterable

from reconcile.core.report import OutcomeKind, Report, Status
from reconcile.views import words
from reconcile.views.plan import but, found
from reconcile.views.terminal import Terminal

_NEXT = {
    Status.SUCCESS: "",
    Status.PARTIAL: "What failed was left as it was; run `reconcile apply` again once the cause is mended.",
    Status.FAILED: "Nothing that failed was half done; run `reconcile apply` again once the cause is mended.",
    Status.STALE: "The world moved since the plan was made; `reconcile plan` shows how it stands now.",
    Status.INTERRUPTED: "Run `reconcile apply` again: it goes on from here.",
}
_STYLE = {Status.SUCCESS: "bold green", Status.FAILED: "bold red"}
_TOLD = {
    OutcomeKind.FAILED: "red",
    OutcomeKind.STALE: "yellow",
    OutcomeKind.BLOCKED: "yellow",
    OutcomeKind.NOT_STARTED: "dim",
}
_WAITING_SHOWN = 20


def show_report(terminal: Terminal, report: Report, *, verbose: bool = False) -> None:
    """Each change that did not go through by name with its sentence, then the totals. The findings are the plan's, and
    are only counted here. Of what a stop left for the next run the first are named, and all with ``verbose``."""
    waiting = 0
    for outcome in report.outcomes:
        style = _TOLD.get(outcome.outcome)
        waiting += outcome.outcome is OutcomeKind.NOT_STARTED
        if not verbose and (style is None or (outcome.outcome is OutcomeKind.NOT_STARTED and waiting > _WAITING_SHOWN)):
            continue
        terminal.line(
            (f"{words.OUTCOMES[outcome.outcome]}  ", style or "dim"),
            f"{outcome.kind}  ",
            (outcome.key or outcome.id, "bold"),
            f": {outcome.error}" if outcome.error and outcome.outcome is not OutcomeKind.NOT_STARTED else "",
        )
    if waiting > _WAITING_SHOWN and not verbose:
        terminal.line(
            (f"... and {waiting - _WAITING_SHOWN:,} more not started; `reconcile plan` lists what is left", "dim")
        )
    calm = report.status is not Status.SUCCESS or not but(report.findings)
    terminal.prose(totals(report), style=_STYLE.get(report.status, "bold yellow") if calm else "bold yellow")
    if _NEXT[report.status]:
        terminal.prose(_NEXT[report.status])


def totals(report: Report) -> str:
    """One sentence with every count that is not zero."""
    parts = list(_parts(report))
    needs = but(report.findings) if report.status is Status.SUCCESS else ""
    done = f"{words.STATUSES[report.status]}{needs}: {', '.join(parts) or 'nothing to do'}"
    sent = f"; {words.size(report.bytes)} sent" if report.bytes else ""
    return f"{done}{sent} in {report.seconds:.1f} s.{found(report.findings)}"


def _parts(report: Report) -> Iterable[str]:
    for kind in OutcomeKind:
        count: int = getattr(report.counts, kind.value)
        if count:
            yield f"{count:,} {words.OUTCOMES[kind]}"
