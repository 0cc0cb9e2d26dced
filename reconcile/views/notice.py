"""How a run ended, in one line and in a few lines, for a message to a person who was not there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from reconcile.core.changes import Change, Finding, Severity
from reconcile.core.report import Outcome, OutcomeKind, Report, Status, remaining
from reconcile.views import words
from reconcile.views.json import ErrorDocument
from reconcile.views.report import counted, made, short
from reconcile.views.terminal import visible

MOST = 5
"""The most failures, and the most findings, that are named. The others are counted."""
_LONGEST = 300
"""Characters of a line. Some chats cut long messages."""


class Notice(NamedTuple):
    """A message about a run. ``summary`` is one line; ``text`` is that line and what a person needs to know next.
    Neither has characters that control a terminal, and ``summary`` has no line end."""

    summary: str
    text: str


def notice(document: Report | ErrorDocument, code: int, project: str, changes: Iterable[Change] = ()) -> Notice:
    """Makes the message about a run of this ``project`` that ended with this document and exit ``code``. The document
    is the report on the ``changes`` of its plan, or an error."""
    if isinstance(document, Report):
        said, more = _of_report(document, code, changes)
    else:
        said, more = f"failed: {document.message}", [f"hint: {document.hint}"] if document.hint else []
    line = _short(f"{project}: {said}")
    return Notice(line, "\n".join([line, *map(_short, more)]))


def _of_report(report: Report, code: int, changes: Iterable[Change]) -> tuple[str, list[str]]:
    done = made(report, changes)
    open_findings = remaining(report.findings, Severity.WARNING)
    needs = f"; {words.needed(open_findings)}" if open_findings else ""
    ended = f" (exit code {code})" if code and report.status is Status.SUCCESS else ""
    said = f"{words.STATUSES[report.status].lower()}: {counted(report, done)}{needs}{ended}"
    wrong = [each for each in report.outcomes if each.outcome in (OutcomeKind.FAILED, OutcomeKind.STALE)]
    more = [*_listed(list(map(_failure, wrong))), *_listed(list(map(_finding, open_findings)))]
    undo = f"; undo: reconcile undo {short(report.run_id)}" if done.in_records else ""
    return said, [*more, f"run {short(report.run_id)}, {words.took(report.seconds)}{undo}"]


def _failure(outcome: Outcome) -> str:
    why = outcome.problem.message if outcome.problem is not None else outcome.error or ""
    return f"{words.OUTCOMES[outcome.outcome]}: {outcome.key or outcome.document or outcome.id}: {why}".rstrip(": ")


def _finding(finding: Finding) -> str:
    return f"{finding.severity.value}: {finding.subject}: {finding.message}"


def _listed(lines: list[str]) -> Iterator[str]:
    yield from lines[:MOST]
    if len(lines) > MOST:
        yield f"and {len(lines) - MOST:,} more like these"


def _short(line: str) -> str:
    shown = visible(line)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"
