"""Findings as text, by code: what it means and what to do, once, then the subjects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import msgspec

from reconcile.core.changes import Finding, Severity
from reconcile.core.findings import FINDINGS
from reconcile.core.report import remaining
from reconcile.views import words
from reconcile.views.terminal import Terminal

SHOWN = 5
SEVERITIES = {
    Severity.ERROR: ("error", "bold red"),
    Severity.WARNING: ("warning", "yellow"),
    Severity.INFO: ("note", "cyan"),
}
"""The word for each severity, and its style."""


class FindingGroup(msgspec.Struct, frozen=True):
    """The findings of one code: the word for its severity and the style of that, what the code means, and all of
    them."""

    severity: str
    style: str
    code: str
    title: str
    findings: tuple[Finding, ...]


def show_findings(
    terminal: Terminal, findings: Iterable[Finding], *, verbose: bool, root: str = "", all_by: str = "--verbose"
) -> None:
    """Writes the findings by code: once what the code means and what to do, then its subjects, without a ``root`` with
    which they begin. Waived findings come last, each with the reason. Unless ``verbose``, only the first five of each
    code are written, and that the option ``all_by`` shows all."""
    listed = list(findings)
    shown = None if verbose else SHOWN
    for group in by_code(listed):
        found = group.findings
        terminal.line()
        terminal.line((group.severity, group.style), f"  {group.code} ({len(found):,}): {group.title}")
        alike = len(found) > 1 and len({each.message for each in found}) == 1
        if alike:
            terminal.prose(found[0].message, indent=2)
        for hint in dict.fromkeys(each.hint for each in found if each.hint):
            terminal.prose(f"To do: {hint}", indent=2, hang=9)
        for each in found[:shown]:
            told = "" if alike or not each.message else f": {each.message}"
            terminal.line("    ", (each.subject.removeprefix(root), "bold"), told, hang=8)
        _show_more(terminal, len(found), shown, all_by)
    _show_waived(terminal, [each for each in listed if each.is_waived], shown, all_by)


def _show_waived(terminal: Terminal, waived: Sequence[Finding], shown: int | None, all_by: str) -> None:
    if not waived:
        return
    terminal.line()
    terminal.line(("waived", "dim"), f"  {words.many(len(waived), 'finding')} that the rules file accepts")
    for finding in waived[:shown]:
        terminal.line("    ", (finding.subject, "bold"), f": {finding.code.value}", (f"  {finding.waived}", "dim"))
    _show_more(terminal, len(waived), shown, all_by)


def _show_more(terminal: Terminal, count: int, shown: int | None, all_by: str) -> None:
    if shown is not None and count > shown:
        terminal.line("    ", (f"and {count - shown:,} more ({all_by} shows all)", "dim"))


def by_code(findings: Iterable[Finding]) -> Iterator[FindingGroup]:
    """Yields the findings of each code, without waived ones. They must be sorted, the worst first, as in a plan."""
    left = (finding for finding in findings if not finding.is_waived)
    for code, group in groupby(left, key=lambda finding: finding.code):
        found = tuple(group)
        yield FindingGroup(*SEVERITIES[found[0].severity], code.value, FINDINGS[code].title, found)


def but(findings: Iterable[Finding]) -> str:
    """Returns a text such as ``, but 1 error needs you``; empty if there are no errors."""
    errors = remaining(findings, Severity.ERROR)
    return f", but {words.needed(errors)}" if errors else ""


def found(findings: Iterable[Finding]) -> str:
    """Returns a text such as `` Needs attention: 1 error, 2 warnings. Also 3 notes.``; empty without findings."""
    listed = list(findings)
    counts = Counter(finding.severity for finding in listed if not finding.is_waived)
    parts = {
        severity: words.many(counts[severity], name) for severity, (name, _) in SEVERITIES.items() if counts[severity]
    }
    also = [parts.pop(Severity.INFO)] if Severity.INFO in parts else []
    also += [f"{count:,} waived" for count in [sum(each.is_waived for each in listed)] if count]
    told = f" Needs attention: {', '.join(parts.values())}." if parts else ""
    return f"{told} Also {', '.join(also)}." if also else told
