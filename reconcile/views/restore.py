"""What would be restored, and what was: as a person wants to read it."""

from __future__ import annotations

from reconcile.core.report import OutcomeKind, Report, Status
from reconcile.core.restoration import RestorePlan
from reconcile.views import words
from reconcile.views.plan import Labels, at, by_character, found, label, show_findings, show_scope
from reconcile.views.report import STYLES, ending
from reconcile.views.terminal import Terminal

_NEXT = {
    Status.SUCCESS: "",
    Status.PARTIAL: "What failed was left as it was; run `reconcile restore` again once the cause is mended.",
    Status.FAILED: "Nothing was half made; run `reconcile restore` again once the cause is mended.",
    Status.STALE: "The world moved since it was looked at; `reconcile restore` looks again.",
    Status.INTERRUPTED: "Run `reconcile restore` again: it goes on from here.",
}
_TOLD = {OutcomeKind.FAILED: "red", OutcomeKind.STALE: "yellow"}


def show_restore_plan(terminal: Terminal, plan: RestorePlan, labels: Labels, *, verbose: bool = False) -> None:
    """Which files would be made, by character, and what stands in the way of others."""
    terminal.line(("Bucket   ", "dim"), at(plan.stores.bucket, plan.stores.bucket_endpoint))
    terminal.line(("To       ", "dim"), plan.stores.local)
    show_scope(terminal, plan.scope)
    for name, listed in by_character(plan.actions):
        terminal.line()
        terminal.line((name, "bold"), (f"  {words.many(len(listed), 'file')}", "dim"))
        for action in listed:
            sizes = f"  {words.size(action.size)}"
            begun = f"  {words.size(action.begun)} of it here already" if action.begun else ""
            kind = label(labels, action.asset_type)
            terminal.line("  ", ("+", "green"), f" {kind}  ", (action.path, "bold"), (sizes, "cyan"), (begun, "dim"))
    show_findings(terminal, plan.findings, verbose=verbose)
    terminal.line()
    terminal.prose(totals(plan), style="bold")
    if not plan.complete:
        terminal.prose(
            "A part of the local root could not be read (see the findings); nothing is restored there.",
            style="bold red",
        )


def totals(plan: RestorePlan) -> str:
    """One sentence with every count that is not zero."""
    in_step = f"{words.many(plan.in_step, 'file')} there already."
    if not plan.actions:
        nothing = "Nothing to restore" if plan.complete else "Nothing that can be restored"
        return f"{nothing}: {in_step}{found(plan.findings)}"
    count = words.many(len(plan.actions), "file")
    return f"To restore: {count} ({words.size(plan.bytes)} to fetch), {in_step}{found(plan.findings)}"


def show_restored(terminal: Terminal, report: Report, *, verbose: bool = False) -> None:
    """Each file that was not made by name with its sentence, then the totals."""
    for outcome in report.outcomes:
        style = _TOLD.get(outcome.outcome)
        if style is None and not verbose:
            continue
        terminal.line(
            (f"{words.OUTCOMES[outcome.outcome]}  ", style or "dim"),
            (outcome.key or outcome.id, "bold"),
            f": {outcome.error}" if outcome.error else "",
        )
    ended = ending(report, applied="restored", moved="fetched")
    terminal.prose(f"{words.STATUSES[report.status]}: {ended}", style=STYLES.get(report.status, "bold yellow"))
    if _NEXT[report.status]:
        terminal.prose(_NEXT[report.status])
