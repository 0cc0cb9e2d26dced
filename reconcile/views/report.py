"""The report of a run as text: how it ended, what failed and why, and what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from reconcile.core.changes import Change
from reconcile.core.report import Outcome, OutcomeKind, Report, Status
from reconcile.views import words
from reconcile.views.cost import show_used
from reconcile.views.findings import but, found
from reconcile.views.terminal import Terminal
from reconcile.views.work import Work, work_of


class Command(NamedTuple):
    """The command that a report is about: how to run it ``again``, how to see its ``plan``, the words for what it does
    to changes and bytes, and the ``undo`` command, if there is one, to which the id of the run is added."""

    again: str = "reconcile apply"
    plan: str = "reconcile plan"
    applied: str = words.OUTCOMES[OutcomeKind.APPLIED]
    moved: str = "sent"
    undo: str = ""


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


def show_report(
    terminal: Terminal,
    report: Report,
    command: Command = APPLY,
    changes: Iterable[Change] = (),
    *,
    verbose: bool = False,
) -> None:
    """Writes each change that failed, with its sentence, and then the summary: how much of the plan's ``changes`` was
    made, the id of the run, and how to undo it. The findings, which the plan has shown, are only counted. Of the
    changes that were not started the first ones are named, or all with ``verbose``."""
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
    style = _STYLES.get(report.status, "bold yellow") if calm else "bold yellow"
    work = made(report, changes)
    told = f" {terminal.glyphs.dot} ".join([_totals(report, command, work), *_run(report, command, work)])
    terminal.line((told, style), hang=2)
    if report.findings:
        terminal.prose(found(report.findings).strip())
    show_used(terminal, report.used, verbose=verbose)
    if _NEXT[report.status]:
        terminal.prose(_NEXT[report.status].format(command))


def _why(outcome: Outcome) -> Iterator[str]:
    """Yields the record, and what went wrong. The hint is written later, once for all outcomes that share it."""
    if outcome.document:
        yield f" in {outcome.document}"
    said = outcome.error if outcome.problem is None else outcome.problem.message
    if said and outcome.outcome is not OutcomeKind.NOT_STARTED:
        yield f": {said}"


def _totals(report: Report, command: Command, work: Work) -> str:
    needs = but(report.findings) if report.status is Status.SUCCESS else ""
    sent = f"; {words.size(report.bytes)} {command.moved}" if report.bytes and not work.any else ""
    took = words.took(report.seconds)
    return f"{words.STATUSES[report.status]}{needs}: {counted(report, work, command.applied)}{sent} in {took}"


def made(report: Report, changes: Iterable[Change]) -> Work:
    """Returns how much of a plan's changes a run made, and the bytes that it sent for that."""
    done = {outcome.id for outcome in report.outcomes if outcome.outcome is OutcomeKind.APPLIED}
    work = work_of(change for change in changes if change.id in done)
    work.bytes = report.bytes if work.uploads or work.replacements else 0
    return work


def counted(report: Report, work: Work, applied: str = words.OUTCOMES[OutcomeKind.APPLIED]) -> str:
    """Returns a text such as ``14 uploads (75.3 kB), 2 failed``: the ``work`` that was done, or, if that is unknown,
    the number of changes that were ``applied``; then the numbers of those that ended otherwise."""
    names = words.OUTCOMES | {OutcomeKind.APPLIED: applied}
    counts = {kind: getattr(report.counts, kind.value) for kind in OutcomeKind}
    if work.any:
        counts[OutcomeKind.APPLIED] = 0
    return ", ".join([*work.parts(), *(f"{n:,} {names[kind]}" for kind, n in counts.items() if n)]) or "nothing to do"


def _run(report: Report, command: Command, work: Work) -> Iterator[str]:
    if command.undo and report.counts.applied:
        yield f"run {short(report.run_id)}"
        if work.in_records:
            yield f"undo: `{command.undo} {short(report.run_id)}`"


def short(run_id: str) -> str:
    """Returns the end of the id of a run, which is enough to find it."""
    return run_id.rpartition("-")[2]
