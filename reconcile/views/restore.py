"""A restore plan as text."""

from __future__ import annotations

from collections.abc import Sequence

from reconcile.core.restoration import Restore, RestorePlan
from reconcile.views import words
from reconcile.views.changes import Labels, by_character, label
from reconcile.views.findings import found, show_findings
from reconcile.views.plan import CHARACTERS, at, show_scope
from reconcile.views.terminal import Terminal

_SHOWN = 20
"""The most files that are listed one by one. If there are more, each character has a row."""


def show_restore_plan(terminal: Terminal, plan: RestorePlan, labels: Labels, *, verbose: bool = False) -> None:
    """Writes which files would be made, by character, and what prevents others."""
    terminal.line(("Bucket   ", "dim"), at(plan.stores.bucket, plan.stores.bucket_endpoint))
    terminal.line(("To       ", "dim"), plan.stores.local)
    show_scope(terminal, plan.scope)
    groups = list(by_character(plan.actions))
    if verbose or len(plan.actions) <= _SHOWN:
        for name, listed in groups:
            _show_files(terminal, name, listed, labels)
    else:
        _show_characters(terminal, plan, groups)
    show_findings(terminal, plan.findings, verbose=verbose)
    terminal.line()
    terminal.prose(totals(plan), style="bold")
    if not plan.complete:
        terminal.prose(
            "A part of the local root could not be read (see the findings); nothing is restored there.",
            style="bold red",
        )


def _show_files(terminal: Terminal, name: str, listed: Sequence[Restore], labels: Labels) -> None:
    terminal.line()
    terminal.line((name, "bold"), (f"  {words.many(len(listed), 'file')}", "dim"))
    for action in listed:
        sizes = f"  {words.size(action.size)}"
        begun = f"  {words.size(action.begun)} of it here already" if action.begun else ""
        kind = label(labels, action.asset_type)
        terminal.line("  ", ("+", "green"), f" {kind}  ", (action.path, "bold"), (sizes, "cyan"), (begun, "dim"))


def _show_characters(terminal: Terminal, plan: RestorePlan, groups: Sequence[tuple[str, Sequence[Restore]]]) -> None:
    """Writes a row for each character, and how to see the files."""
    rows = [(name, f"{len(listed):,}", words.size(sum(each.size for each in listed))) for name, listed in groups]
    all_bytes = words.size(sum(each.size for each in plan.actions))
    terminal.line()
    terminal.table(
        ("character", "files", "size"),
        [*rows[:CHARACTERS], (("total", "bold"), f"{len(plan.actions):,}", all_bytes)],
        numbers=(1, 2),
    )
    if len(rows) > CHARACTERS:
        terminal.line((f"and {words.many(len(rows) - CHARACTERS, 'more character')}", "dim"))
    terminal.line()
    terminal.prose("--verbose shows each file.", style="dim")


def totals(plan: RestorePlan) -> str:
    """Returns one sentence with every count that is not zero."""
    in_step = f"{words.many(plan.in_step, 'file')} there already."
    if not plan.actions:
        nothing = "Nothing to restore" if plan.complete else "Nothing that can be restored"
        return f"{nothing}: {in_step}{found(plan.findings)}"
    count = words.many(len(plan.actions), "file")
    return f"To restore: {count} ({words.size(plan.bytes)} to fetch), {in_step}{found(plan.findings)}"
