"""What happened: the outcome of each change, and the report of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import Enum

import msgspec

from reconcile.core.changes import Change, Finding, Severity, kind_of
from reconcile.core.errors import ExitCode

FORMAT = "reconcile.result/1"


class OutcomeKind(Enum):
    """What happened to one change."""

    APPLIED = "applied"
    ALREADY = "already"
    STALE = "stale"
    FAILED = "failed"
    BLOCKED = "blocked"
    NOT_STARTED = "not_started"


class Outcome(msgspec.Struct, frozen=True):
    """What happened to one change, and the sentence that says why where it was not applied."""

    id: str
    kind: str
    key: str | None
    outcome: OutcomeKind
    error: str | None = None

    @classmethod
    def of(cls, change: Change, outcome: OutcomeKind, error: str | None = None) -> Outcome:
        """The outcome of this change."""
        return cls(change.id, kind_of(change), change.key, outcome, error)


class Status(Enum):
    """How a run ended."""

    SUCCESS = "success"
    PARTIAL = "partial"
    FAILED = "failed"
    STALE = "stale"
    INTERRUPTED = "interrupted"


class Counts(msgspec.Struct, frozen=True):
    """Outcomes by kind."""

    applied: int = 0
    already: int = 0
    stale: int = 0
    failed: int = 0
    blocked: int = 0
    not_started: int = 0


class Report(msgspec.Struct, frozen=True):
    """What a run did: one outcome for each change of its plan, in the plan's order. ``bytes`` were uploaded."""

    format: str
    run_id: str
    status: Status
    counts: Counts
    bytes: int
    seconds: float
    outcomes: tuple[Outcome, ...]
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> ExitCode:
        """What the process answers."""
        return _EXIT[self.status]


def remaining(findings: Iterable[Finding], at_least: Severity | None) -> tuple[Finding, ...]:
    """The findings of this severity, or a worse one: what a run that was told to fail on them fails on. None of them
    where it was not told so."""
    if at_least is None:
        return ()
    order = list(Severity)
    return tuple(each for each in findings if order.index(each.severity) <= order.index(at_least))


_EXIT = {
    Status.SUCCESS: ExitCode.OK,
    Status.PARTIAL: ExitCode.FAILED,
    Status.FAILED: ExitCode.FAILED,
    Status.STALE: ExitCode.STALE,
    Status.INTERRUPTED: ExitCode.INTERRUPTED,
}


def build(
    run_id: str,
    outcomes: Iterable[Outcome],
    findings: Iterable[Finding],
    *,
    moved: int,
    seconds: float,
    interrupted: bool = False,
    complete: bool = True,
) -> Report:
    """Counts the outcomes and says how the run ended; ``complete`` is the plan's."""
    listed = tuple(outcomes)
    counts = Counts(**Counter(outcome.outcome.value for outcome in listed))
    return Report(
        FORMAT,
        run_id,
        _status(counts, interrupted=interrupted, complete=complete),
        counts,
        moved,
        seconds,
        listed,
        tuple(findings),
    )


def _status(counts: Counts, *, interrupted: bool, complete: bool) -> Status:
    if interrupted:
        return Status.INTERRUPTED
    if counts.failed:
        return Status.PARTIAL if counts.applied + counts.already else Status.FAILED
    if counts.stale:
        return Status.STALE
    return Status.SUCCESS if complete and not counts.blocked and not counts.not_started else Status.PARTIAL
