"""A plan, as a person wants to read it: which stores, what would be done for whom and why, what was found, how much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, TypeAlias, TypeVar, assert_never

import msgspec

from reconcile.commands.status import NO_CHARACTER
from reconcile.core.changes import (
    Change,
    Copy,
    CreateRecord,
    Finding,
    Replace,
    RewriteLocalDb,
    SetField,
    SetMetadata,
    Severity,
    Upload,
)
from reconcile.core.findings import FINDINGS
from reconcile.core.plan import Plan, Scope, Stores
from reconcile.core.restoration import Restore
from reconcile.views import words
from reconcile.views.cost import show_estimate
from reconcile.views.terminal import Terminal

SHOWN = 5
SEVERITIES = {
    Severity.ERROR: ("error", "bold red"),
    Severity.WARNING: ("warning", "yellow"),
    Severity.INFO: ("note", "cyan"),
}
_OF_SEVERITY = dict(SEVERITIES.values())
_STYLES: dict[type, str] = {
    Upload: "green",
    Replace: "bold red",
    Copy: "green",
    SetMetadata: "yellow",
    CreateRecord: "green",
    SetField: "yellow",
    RewriteLocalDb: "yellow",
}
_VALUES = {"was": "red", "now": "green"}

Labels: TypeAlias = Mapping[str, str]
"""How asset types are called."""
Pairs: TypeAlias = tuple[tuple[str, str], ...]
Action = TypeVar("Action", bound=Change | Restore)


class FindingGroup(msgspec.Struct, frozen=True):
    """The findings of one code, by subject and message; ``common`` is what is said of all of them alike."""

    severity: str
    code: str
    count: int
    meaning: str
    common: str
    hints: tuple[str, ...]
    findings: Pairs


def at(uri: str, endpoint: str) -> str:
    """A store, and the server that it is on if that is not Google's."""
    return f"{uri} at {endpoint}" if endpoint else uri


def label(labels: Labels, asset_type: str | None) -> str:
    """The label of an asset type; one that the rules no longer know goes by its type."""
    return "No rule" if asset_type is None else labels.get(asset_type, asset_type)


def show_plan(terminal: Terminal, plan: Plan, labels: Labels, *, verbose: bool = False) -> None:
    """The whole plan; findings beyond the first five of a kind only if ``verbose``."""
    show_stores(terminal, plan.stores, plan.scope)
    show_changes(terminal, plan.actions, labels)
    show_findings(terminal, plan.findings, verbose=verbose)
    terminal.line()
    terminal.prose(totals(plan), style="bold")
    show_estimate(terminal, plan.estimate, verbose=verbose)
    if not plan.complete:
        terminal.prose(INCOMPLETE, style="bold red")


INCOMPLETE = (
    "This plan is incomplete: a part of a world could not be read (see the findings). "
    "What depends on it is neither planned nor called in step."
)


def show_stores(terminal: Terminal, stores: Stores, scope: Scope) -> None:
    """The three worlds with their endpoints, so that a wrong target is seen before anything else, and the scope."""
    terminal.line(("Local    ", "dim"), stores.local)
    terminal.line(("Bucket   ", "dim"), at(stores.bucket, stores.bucket_endpoint))
    terminal.line(("Records  ", "dim"), at(stores.records, stores.records_endpoint))
    show_scope(terminal, scope)


def show_scope(terminal: Terminal, scope: Scope) -> None:
    """The scope, if it is not everything."""
    parts = [f"character {char_id}" for char_id in scope.char_ids]
    parts += [f"type {asset_type}" for asset_type in scope.asset_types]
    parts += scope.paths
    if parts:
        terminal.line(("Scope    ", "dim"), ", ".join(parts))


def show_changes(terminal: Terminal, actions: Iterable[Change], labels: Labels) -> None:
    """Changes by character."""
    for name, listed in by_character(actions):
        terminal.line()
        terminal.line((name, "bold"), (f"  {words.many(len(listed), 'change')}", "dim"))
        for change in listed:
            show_change(terminal, change, labels)


def by_character(actions: Iterable[Action]) -> Iterator[tuple[str, list[Action]]]:
    """Actions by character, nobody's last; within one in the order of execution."""
    ordered = sorted(actions, key=lambda action: (action.char_id is None, action.char_id or ""))
    for char_id, group in groupby(ordered, key=lambda action: action.char_id):
        yield char_id or NO_CHARACTER, list(group)


def show_change(terminal: Terminal, change: Change, labels: Labels) -> None:
    """One change with its reason; old and new values on lines of their own, whole."""
    where, size, values = details(change)
    kind = "Record" if isinstance(change, CreateRecord) else label(labels, change.asset_type)
    world = "local database " if isinstance(change, RewriteLocalDb) else ""
    terminal.line(
        "  ",
        (words.SIGNS[type(change)], _STYLES[type(change)]),
        f" {kind}  {world}",
        (where, "bold"),
        (f"  {size}" if size else "", "cyan"),
        (f"  {words.REASONS[change.reason]}", "dim"),
    )
    for name, value in values:
        style = "" if isinstance(change, CreateRecord | Copy) else _VALUES[name]
        terminal.line("      ", (f"{name}  ", "dim"), (value, style))


def details(change: Change) -> tuple[str, str, Pairs]:
    """What a change is made to, how large that is, and its values: those of a new record by field, else ``was`` and
    ``now``."""
    match change:
        case Upload():
            return change.key, words.size(change.size), ()
        case Replace():
            return change.key, f"{words.size(change.old_size)} becomes {words.size(change.size)}", ()
        case Copy():
            return change.key, words.size(change.size), (("from", change.source),)
        case SetMetadata():
            return change.key, "", (("was", change.old or texts(None)[0]), ("now", change.content_type))
        case CreateRecord():
            return change.document, "", tuple((name, _text(value)) for name, value in change.fields.items())
        case SetField() | RewriteLocalDb():
            where = f"{change.document} {words.place(change.entry, change.field, change.position, change.way)}"
            pairs = (("was", change.old), ("now", change.new))
            return where, "", tuple((name, text) for name, value in pairs for text in texts(value))
        case _:
            assert_never(change)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()


def texts(value: Any) -> list[str]:
    """One line for each text; an empty field is said to be one."""
    if value is None:
        return ["(nothing)"]
    if isinstance(value, list):
        return [item if isinstance(item, str) else repr(item) for item in value] or ["(an empty list)"]
    return [value if isinstance(value, str) else repr(value)]


def show_findings(terminal: Terminal, findings: Iterable[Finding], *, verbose: bool) -> None:
    """Findings by code: what it means and what to do once, then the subjects; last those that are waived, with why."""
    listed = list(findings)
    for group in by_code(listed, None if verbose else SHOWN):
        terminal.line()
        style = _OF_SEVERITY[group.severity]
        terminal.line((group.severity, style), f"  {group.code} ({group.count:,}): {group.meaning}")
        if group.common:
            terminal.prose(group.common, indent=2)
        for hint in group.hints:
            terminal.prose(f"To do: {hint}", indent=2)
        for subject, message in group.findings:
            terminal.line("    ", (subject, "bold"), f": {message}" if message else "")
        if group.count > len(group.findings):
            more = group.count - len(group.findings)
            terminal.line("    ", (f"and {more:,} more (--verbose shows all)", "dim"))
    _show_waived(terminal, [each for each in listed if each.is_waived], None if verbose else SHOWN)


def _show_waived(terminal: Terminal, waived: Sequence[Finding], shown: int | None) -> None:
    if not waived:
        return
    terminal.line()
    terminal.line(("waived", "dim"), f"  {words.many(len(waived), 'finding')} that the rules file accepts")
    for finding in waived[:shown]:
        terminal.line("    ", (finding.subject, "bold"), f": {finding.code.value}", (f"  {finding.waived}", "dim"))
    if shown is not None and len(waived) > shown:
        terminal.line("    ", (f"and {len(waived) - shown:,} more (--verbose shows all)", "dim"))


def by_code(findings: Iterable[Finding], shown: int | None) -> Iterator[FindingGroup]:
    """Findings that no waiver takes, by code; of each the first ``shown``."""
    left = (finding for finding in findings if not finding.is_waived)
    for code, group in groupby(left, key=lambda finding: finding.code):
        found = list(group)
        alike = len(found) > 1 and len({finding.message for finding in found}) == 1
        yield FindingGroup(
            severity=SEVERITIES[found[0].severity][0],
            code=code.value,
            count=len(found),
            meaning=FINDINGS[code].title,
            common=found[0].message if alike else "",
            hints=tuple(dict.fromkeys(finding.hint for finding in found if finding.hint)),
            findings=tuple((each.subject, "" if alike else each.message) for each in found[:shown]),
        )


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
    if summary.copy:
        yield f"{summary.copy:,} to copy in the bucket"
    if summary.set_metadata:
        yield f"{words.many(summary.set_metadata, 'content type')} to set"
    if summary.create_record:
        yield f"{words.many(summary.create_record, 'record')} to create"
    if summary.set_field:
        documents = len({change.document for change in plan.actions if isinstance(change, SetField)})
        yield f"{words.many(summary.set_field, 'field')} to set in {words.many(documents, 'record')}"
    if summary.rewrite_local_db:
        yield f"{words.many(summary.rewrite_local_db, 'value')} to rewrite in the local database"


def but(findings: Iterable[Finding]) -> str:
    """``, but 1 error needs you``, if there is one."""
    errors = [finding for finding in findings if finding.severity is Severity.ERROR and not finding.is_waived]
    return f", but {words.needed(errors)}" if errors else ""


def found(findings: Iterable[Finding]) -> str:
    """`` Found: 1 error, 2 warnings, 3 waived.``, or nothing."""
    listed = list(findings)
    counts = Counter(finding.severity for finding in listed if not finding.is_waived)
    parts = [words.many(counts[severity], name) for severity, (name, _) in SEVERITIES.items() if counts[severity]]
    parts += [f"{count:,} waived" for count in [sum(each.is_waived for each in listed)] if count]
    return f" Found: {', '.join(parts)}." if parts else ""
