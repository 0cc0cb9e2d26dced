"""A restore plan as text."""

from __future__ import annotations

from reconcile.core.restoration import RestorePlan
from reconcile.views import words
from reconcile.views.changes import Labels, by_character, label
from reconcile.views.findings import found, show_findings
from reconcile.views.plan import at, show_scope
from reconcile.views.terminal import Terminal


def show_restore_plan(terminal: Terminal, plan: RestorePlan, labels: Labels, *, verbose: bool = False) -> None:
    """Which files would be made, by character, and what prevents others."""
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
