"""The outcomes of changes, and the report of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import Enum

import msgspec

from reconcile.core.changes import Change, Finding, ObjectChange, Severity, kind_of
from reconcile.core.cost import Used
from reconcile.core.errors import ExitCode, ReconcileError, StoreError
from reconcile.core.errors import kind_of as error_kind

FORMAT = "reconcile.result/1"


class OutcomeKind(Enum):
    """What happened to one change."""

    APPLIED = "applied"
    ALREADY = "already"
    STALE = "stale"
    FAILED = "failed"
    BLOCKED = "blocked"
    NOT_STARTED = "not_started"


class Problem(msgspec.Struct, frozen=True):
    """Why a change was not made: an error as data. ``transient`` means that a retry may succeed."""

    code: str
    message: str
    hint: str = ""
    transient: bool = False

    @classmethod
    def of(cls, error: ReconcileError) -> Problem:
        """Returns this error as data."""
        return cls(error.code, error.message, error.hint, error.transient)

    @property
    def sentence(self) -> str:
        """The message with the hint, on one line."""
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def error(self, about: str) -> ReconcileError:
        """Returns an error of the original class; the message says what it is ``about``."""
        error = error_kind(self.code)(f"{about}: {self.message}", hint=self.hint)
        error.transient = self.transient
        return error


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to one change, and why if it was not applied.

    ``document`` is the record if the change is to one. ``error`` is a sentence for people: the problem's, or a remark
    on what was applied.
    """

    id: str
    kind: str
    key: str | None
    document: str | None = None
    outcome: OutcomeKind
    error: str | None = None
    problem: Problem | None = None

    @classmethod
    def of(
        cls, change: Change, outcome: OutcomeKind, problem: Problem | None = None, *, remark: str | None = None
    ) -> Outcome:
        """Returns the outcome of this change."""
        return cls(
            id=change.id,
            kind=kind_of(change),
            key=change.key,
            document=None if isinstance(change, ObjectChange) else change.document,
            outcome=outcome,
            error=remark if problem is None else problem.sentence,
            problem=problem,
        )

    @property
    def is_done(self) -> bool:
        """Whether the change's target is now in the state that the change requires."""
        return self.outcome in (OutcomeKind.APPLIED, OutcomeKind.ALREADY)

    def failure(self) -> ReconcileError:
        """Returns the error that prevented the change, of its own class."""
        where = f" in {self.document}" if self.document else ""
        return (self.problem or Problem(StoreError.code, self.outcome.value)).error(f"{self.kind} of {self.key}{where}")


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
    """What a run did: one outcome for each change of its plan, in the plan's order.

    ``bytes`` were uploaded; ``used`` is the run's use of the stores.
    """

    format: str
    run_id: str
    status: Status
    counts: Counts
    bytes: int
    seconds: float
    outcomes: tuple[Outcome, ...]
    findings: tuple[Finding, ...]
    used: Used = Used()

    def __repr__(self) -> str:
        done = nonzero(self.counts) or "nothing to do"
        return f"<Report of run {self.run_id}: {self.status.value}; {done}; {self.bytes:,} bytes, {self.seconds:.1f} s>"

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the process."""
        return _EXIT[self.status]


def nonzero(counts: msgspec.Struct) -> str:
    """Returns the counts that are not 0, each with its name: ``281 upload, 525 set_field``."""
    named = msgspec.structs.asdict(counts).items()
    return ", ".join(f"{count:,} {name}" for name, count in named if isinstance(count, int) and count)


def remaining(findings: Iterable[Finding], at_least: Severity | None) -> tuple[Finding, ...]:
    """Returns the findings of at least this severity that no waiver covers, on which a run may fail.

    None if ``at_least`` is None.
    """
    if at_least is None:
        return ()
    return tuple(each for each in findings if each.severity.rank <= at_least.rank and not each.is_waived)


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
    used: Used = Used(),  # noqa: B008 frozen
) -> Report:
    """Counts the outcomes and derives how the run ended; ``complete`` is the plan's."""
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
        used,
    )


def _status(counts: Counts, *, interrupted: bool, complete: bool) -> Status:
    if interrupted:
        return Status.INTERRUPTED
    if counts.failed:
        return Status.PARTIAL if counts.applied + counts.already else Status.FAILED
    if counts.stale:
        return Status.STALE
    return Status.SUCCESS if complete and not counts.blocked and not counts.not_started else Status.PARTIAL
