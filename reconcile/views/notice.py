"""The end of a run in a line, and in a few: for a message to a person who was not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from reconcile.core.changes import Finding, Severity
from reconcile.core.report import Outcome, OutcomeKind, Report, Status
from reconcile.views import words
from reconcile.views.json import ErrorDocument
from reconcile.views.terminal import visible

MOST = 5
"""Failures, and findings, that are named; the others are counted."""
_LONGEST = 300
"""Characters of one line: some chats cut a message, and none shows a page."""
_DONE = {
    "upload": ("uploaded", "uploaded"),
    "replace": ("replaced", "replaced"),
    "copy": ("copied in the bucket", "copied in the bucket"),
    "set_metadata": ("content type set", "content types set"),
    "create_record": ("record created", "records created"),
    "set_field": ("field set", "fields set"),
    "rewrite_local_db": ("path in the local database", "paths in the local database"),
}
_SEVERITIES = (Severity.ERROR, Severity.WARNING)


class Notice(NamedTuple):
    """``summary`` is one line; ``text`` is that line and what a person needs to know next. Neither has a character that
    a terminal would obey, and ``summary`` has no line end."""

    summary: str
    text: str


def notice(document: Any, code: int, project: str) -> Notice:
    """What to tell of a run of this ``project`` that ended so: with a report, an error, or another document."""
    if isinstance(document, Report):
        said, more = _of_report(document, code)
    elif isinstance(document, ErrorDocument):
        said, more = f"failed: {document.message}", [f"hint: {document.hint}"] if document.hint else []
    else:
        said, more = "done" if code == 0 else f"ended with exit code {code}", []
    line = _short(f"{project}: {said}")
    return Notice(line, "\n".join([line, *map(_short, more)]))


def _of_report(report: Report, code: int) -> tuple[str, list[str]]:
    done = Counter(each.kind for each in report.outcomes if each.outcome is OutcomeKind.APPLIED)
    parts = [words.many(count, *_DONE[kind]) for kind, count in done.items()]
    parts += [
        f"{count:,} {words.OUTCOMES[kind]}"
        for kind in OutcomeKind
        if kind not in (OutcomeKind.APPLIED, OutcomeKind.ALREADY) and (count := getattr(report.counts, kind.value))
    ]
    open_findings = [each for each in report.findings if not each.is_waived and each.severity in _SEVERITIES]
    needs = f"; {words.needed(open_findings)}" if open_findings else ""
    status = words.STATUSES[report.status].lower()
    ended = f" (exit code {code})" if code and report.status is Status.SUCCESS else ""
    said = f"{status}: {', '.join(parts) or 'nothing to do'}{needs}{ended}"
    changed = any(done.values())
    more = [*_listed(list(map(_failure, _failures(report)))), *_listed(list(map(_finding, open_findings)))]
    undo = f"; undo: reconcile undo {report.run_id}" if changed else ""
    return said, [*more, f"run {report.run_id}, {report.seconds:.1f} s{undo}"]


def _failures(report: Report) -> list[Outcome]:
    wrong = (OutcomeKind.FAILED, OutcomeKind.STALE)
    return [each for each in report.outcomes if each.outcome in wrong]


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
