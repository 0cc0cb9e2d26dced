"""A plan, as a person wants to read it: which stores, what would be done for whom and why, what was found, how much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, TypeAlias, assert_never

import msgspec

from reconcile.core.changes import (
    Change,
    CreateRecord,
    Finding,
    Replace,
    RewriteLocalDb,
    SetField,
    Severity,
    Upload,
)
from reconcile.core.findings import FINDINGS
from reconcile.core.plan import Plan
from reconcile.views import words
from reconcile.views.terminal import Piece, Terminal

SHOWN = 5
SEVERITIES = {
    Severity.ERROR: ("error", "bold red"),
    Severity.WARNING: ("warning", "yellow"),
    Severity.INFO: ("note", "cyan"),
}
_STYLES: dict[type, str] = {
    Upload: "green",
    Replace: "bold red",
    CreateRecord: "green",
    SetField: "yellow",
    RewriteLocalDb: "yellow",
}


Labels: TypeAlias = Mapping[str, str]
"""How asset types are called."""


def at(uri: str, endpoint: str) -> str:
    """A store, and the server that it is on if that is not Google's."""
    return f"{uri} at {endpoint}" if endpoint else uri


def label(labels: Labels, asset_type: str | None) -> str:
    """The label of an asset type; one that the rules no longer know goes by its type."""
    return "No rule" if asset_type is None else labels.get(asset_type, asset_type)


def show_plan(terminal: Terminal, plan: Plan, labels: Labels, *, verbose: bool = False) -> None:
    """The whole plan; findings beyond the first five of a kind only if ``verbose``."""
    show_stores(terminal, plan)
    show_changes(terminal, plan.actions, labels)
    show_findings(terminal, plan.findings, verbose=verbose)
    terminal.line()
    terminal.prose(totals(plan), style="bold")
    if not plan.complete:
        terminal.prose(INCOMPLETE, style="bold red")


INCOMPLETE = (
    "This plan is incomplete: a part of a world could not be read (see the findings). "
    "What depends on it is neither planned nor called in step."
)


def show_stores(terminal: Terminal, plan: Plan) -> None:
    """The three worlds with their endpoints, so that a wrong target is seen before anything else."""
    terminal.line(("Local    ", "dim"), plan.stores.local)
    terminal.line(("Bucket   ", "dim"), at(plan.stores.bucket, plan.stores.bucket_endpoint))
    terminal.line(("Records  ", "dim"), at(plan.stores.records, plan.stores.records_endpoint))
    parts = [f"character {char_id}" for char_id in plan.scope.char_ids]
    parts += [f"type {asset_type}" for asset_type in plan.scope.asset_types]
    if parts:
        terminal.line(("Scope    ", "dim"), ", ".join(parts))


def show_changes(terminal: Terminal, actions: Iterable[Change], labels: Labels) -> None:
    """Changes by character, nobody's last; within one in the order of execution."""
    ordered = sorted(actions, key=lambda change: (change.char_id is None, change.char_id or ""))
    for char_id, group in groupby(ordered, key=lambda change: change.char_id):
        listed = list(group)
        terminal.line()
        terminal.line((char_id or "No character", "bold"), (f"  {words.many(len(listed), 'change')}", "dim"))
        for change in listed:
            show_change(terminal, change, labels)


def show_change(terminal: Terminal, change: Change, labels: Labels) -> None:
    """One change with its reason; old and new values on lines of their own, whole."""
    head: tuple[Piece, ...] = ("  ", (words.sign(change), _STYLES[type(change)]), " ")
    reason: Piece = (f"  {words.REASONS[change.reason]}", "dim")
    match change:
        case Upload():
            sizes: Piece = (f"  {words.size(change.size)}", "cyan")
            terminal.line(*head, label(labels, change.asset_type), "  ", (change.key, "bold"), sizes, reason)
        case Replace():
            sizes = (f"  {words.size(change.old_size)} becomes {words.size(change.size)}", "cyan")
            terminal.line(*head, label(labels, change.asset_type), "  ", (change.key, "bold"), sizes, reason)
        case CreateRecord():
            terminal.line(*head, "Record  ", (change.document, "bold"), reason)
            _show_fields(terminal, change.fields)
        case SetField():
            where = f"{change.document} {words.place(change.entry, change.field, change.position, change.way)}"
            terminal.line(*head, label(labels, change.asset_type), "  ", (where, "bold"), reason)
            _show_values(terminal, change)
        case RewriteLocalDb():
            where = f"{change.document} {words.place(change.entry, change.field, change.position, change.way)}"
            terminal.line(*head, label(labels, change.asset_type), "  local database ", (where, "bold"), reason)
            _show_values(terminal, change)
        case _:
            assert_never(change)


def _show_values(terminal: Terminal, change: SetField | RewriteLocalDb) -> None:
    for name, value, style in (("was", change.old, "red"), ("now", change.new, "green")):
        for text in texts(value):
            terminal.line("      ", (f"{name}  ", "dim"), (text, style))


def _show_fields(terminal: Terminal, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        text = value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()
        terminal.line("      ", (f"{name}  ", "dim"), text)


def texts(value: Any) -> list[str]:
    """One line for each text; an empty field is said to be one."""
    if value is None:
        return ["(nothing)"]
    if isinstance(value, list):
        return [item if isinstance(item, str) else repr(item) for item in value] or ["(an empty list)"]
    return [value if isinstance(value, str) else repr(value)]


def show_findings(terminal: Terminal, findings: Iterable[Finding], *, verbose: bool) -> None:
    """Findings by code: what it means and what to do once, then the subjects."""
    for code, group in groupby(findings, key=lambda finding: finding.code):
        listed = list(group)
        name, style = SEVERITIES[listed[0].severity]
        terminal.line()
        terminal.line((name, style), f"  {code.value} ({len(listed):,}): {FINDINGS[code].title}")
        alike = len(listed) > 1 and len({finding.message for finding in listed}) == 1
        if alike:
            terminal.prose(listed[0].message, indent=2)
        for hint in dict.fromkeys(finding.hint for finding in listed if finding.hint):
            terminal.prose(f"To do: {hint}", indent=2)
        for finding in listed if verbose else listed[:SHOWN]:
            terminal.line("    ", (finding.subject, "bold"), "" if alike else f": {finding.message}")
        if not verbose and len(listed) > SHOWN:
            terminal.line("    ", (f"and {len(listed) - SHOWN:,} more (--verbose shows all)", "dim"))


def totals(plan: Plan) -> str:
    """One sentence with every count that is not zero."""
    in_step = f"{words.many(plan.summary.in_step, 'asset')} in step"
    if not plan.actions:
        return f"Nothing to do{but(plan.findings)}: {in_step}.{found(plan.findings)}"
    return f"Plan: {', '.join([*_planned(plan), in_step])}.{found(plan.findings)}"


def _planned(plan: Plan) -> Iterable[str]:
    summary = plan.summary
    if summary.upload:
        moved = sum(change.size for change in plan.actions if isinstance(change, Upload))
        yield f"{summary.upload:,} to upload ({words.size(moved)})"
    if summary.replace:
        moved = sum(change.size for change in plan.actions if isinstance(change, Replace))
        yield f"{summary.replace:,} to replace ({words.size(moved)})"
    if summary.create_record:
        yield f"{words.many(summary.create_record, 'record')} to create"
    if summary.set_field:
        documents = len({change.document for change in plan.actions if isinstance(change, SetField)})
        yield f"{words.many(summary.set_field, 'field')} to set in {words.many(documents, 'record')}"
    if summary.rewrite_local_db:
        yield f"{words.many(summary.rewrite_local_db, 'value')} to rewrite in the local database"


def but(findings: Iterable[Finding]) -> str:
    """``, but 1 error needs you``, if there is one."""
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    return f", but {words.needed(errors)}" if errors else ""


def found(findings: Iterable[Finding]) -> str:
    """`` Found: 1 error, 2 warnings.``, or nothing."""
    counts = Counter(finding.severity for finding in findings)
    parts = [words.many(counts[severity], name) for severity, (name, _) in SEVERITIES.items() if counts[severity]]
    return f" Found: {', '.join(parts)}." if parts else ""
