"""The executor: plan + ports → report.

Objects are written before records, and a field only if the objects that it needs are there. Every write carries a
precondition, and uncertain outcomes are settled by reading (``object_writes``, ``record_writes``).
"""

from __future__ import annotations

import datetime
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeAlias, TypeVar

import msgspec

from reconcile.adapters.lanes import Lanes
from reconcile.adapters.room import no_room
from reconcile.adapters.workers import Breaker, results
from reconcile.core import report as reports
from reconcile.core.changes import (
    Change,
    Code,
    CreateRecord,
    FieldChange,
    Need,
    ObjectChange,
    Replace,
    RewriteLocalDb,
    SetField,
    SetMetadata,
    Severity,
    Upload,
    document_id,
)
from reconcile.core.context import Replacing
from reconcile.core.cost import Pace, Used
from reconcile.core.edit import edit, without
from reconcile.core.errors import NotThere, PreconditionFailed, ReconcileError, SourceChanged, UsageError
from reconcile.core.events import Advanced, ChangeDone, Listener, Moving, Phase, PhaseDone, PhaseStarted, Warned, silent
from reconcile.core.plan import LimitCounts, Plan, Scope, check_limits
from reconcile.core.planfile import AGAIN, check_belongs
from reconcile.core.report import Outcome, OutcomeKind, Problem, Report, Status
from reconcile.core.rows import World
from reconcile.pipeline.account import Account, now
from reconcile.pipeline.object_writes import WrittenObjects, retype, write
from reconcile.pipeline.record_writes import Creations, Editor, merge, merge_many
from reconcile.pipeline.reducers import kept_versions
from reconcile.project import OpenProject

_STOPPED = Problem("interrupted", "the run stopped before it", transient=True)

RecordT = TypeVar("RecordT", bound=CreateRecord | SetField | RewriteLocalDb)
_Job: TypeAlias = tuple[Sequence[Change], Callable[[], list[Outcome]]]
"""Changes that one worker makes, and the call that makes them."""


def execute(
    project: OpenProject,
    plan: Plan,
    *,
    concurrency: int | None = None,
    force: bool = False,
    max_actions: int | None = None,
    listener: Listener = silent,
    stop: threading.Event | None = None,
    command: str = "",
    fail_on: Severity | None = None,
    part_of: LimitCounts | None = None,
) -> Report:
    """Applies those changes of a plan for which the world is still as the plan saw it.

    Before anything is changed, raises UsageError for a plan of other stores or rules, Refused if a safety limit is
    exceeded, and JournalError if the journal cannot be written. A failure of one change is an outcome of the report,
    never an exception. ``concurrency`` objects are written at once; if it is None, as many as the project was opened
    for. Once ``stop`` is set, what is in flight is finished and nothing more is started. ``command`` is noted in the
    journal. ``part_of`` has the counts of the whole plan if this is a part of one; the limits are checked against them.
    A run is not remembered as a good run of everything if it applies a part, or leaves findings of the severity
    ``fail_on``.
    """
    check(project, plan)
    if not force:
        check_limits(part_of or LimitCounts.of(plan), project.settings.policy.max_replace, max_actions)
    editor = partial(edit, entries=project.settings.entries)
    report = run(project, plan, editor, concurrency=concurrency, listener=listener, stop=stop, command=command)
    project.forget_done_notes()
    if project.options.allows_empty and project.lost_files():
        project.note_files(0)
    is_good = report.status is Status.SUCCESS and not reports.remaining(plan.findings, fail_on)
    if is_good and part_of is None and plan.scope == Scope() and not _holds_back(project, plan):
        project.note_good_run(plan.seen, now())  # an old plan says nothing about today
    return report


def run(
    project: OpenProject,
    plan: Plan,
    editor: Editor,
    *,
    concurrency: int | None = None,
    listener: Listener = silent,
    stop: threading.Event | None = None,
    command: str = "",
    undoes: str | None = None,
) -> Report:
    """Applies a plan that this process has made, without checking limits. ``editor`` makes its field changes. Raises
    JournalError, before anything is changed, if the journal cannot be written."""
    # To the microsecond, because hooks make several runs a second, and the history is in the order of the ids.
    run_id = f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(3)}"
    journal = project.journal if project.options.keeps_journal else None
    account = Account.begin(journal, run_id, plan, command=command, undoes=undoes)
    started = _Run(project, plan, editor, account, concurrency, listener, stop or threading.Event())
    report: Report | None = None
    try:
        report = started.report(run_id)
    finally:
        account.close(report)
    if report.status is Status.SUCCESS and report.used.applying.requests:
        project.note_pace(Pace(report.used.applying.requests, report.used.applying.bytes, report.seconds))
    if account.broken is not None:
        listener(Warned(account.broken.sentence))
    return report


def _holds_back(project: OpenProject, plan: Plan) -> bool:
    """Whether a file of the project was skipped because it is still being written or is incomplete, or all files are
    gone and that was not allowed."""
    left = (Code.UNSETTLED_FILE, Code.INCOMPLETE_FILE)
    return any(
        each.code is Code.ROOT_EMPTIED or (each.code in left and project.asset_map.read(each.subject, ()) is not None)
        for each in plan.findings
    )


def check(project: OpenProject, plan: Plan) -> None:
    """Checks that this project, with its rules, could have made the plan. Raises UsageError."""
    settings = project.settings
    check_belongs(
        plan, project.stores, settings.rules_digest, settings.bucket, settings.records.collection, settings.index
    )
    for change in plan.actions:
        if isinstance(change, SetField | RewriteLocalDb) and change.field == settings.entries.key:
            what = f"writes {change.field!r}, which tells maps apart"
            raise UsageError(f"action {change.id} of the plan {what}", hint=AGAIN)
        if isinstance(change, Replace) and settings.policy.replace is Replacing.NEVER:
            raise UsageError(f"action {change.id} of the plan replaces, and the rules say never", hint=AGAIN)


class _Run:
    """One run, in two phases, with the outcomes so far."""

    def __init__(
        self,
        project: OpenProject,
        plan: Plan,
        editor: Editor,
        account: Account,
        concurrency: int | None,
        listener: Listener,
        stop: threading.Event,
    ) -> None:
        self._project = project
        self._plan = plan
        self._editor = editor
        self._account = account
        self._at_once = concurrency or project.at_once
        self._lanes = project.lanes if concurrency is None else Lanes(concurrency)
        self._listener = listener
        self._stop = stop
        self._outcomes: dict[str, Outcome] = {}
        self._objects = WrittenObjects(project.agreed, plan.actions)
        self._creations = Creations(project, plan)
        self._breaker = Breaker()

    def report(self, run_id: str) -> Report:
        started, actions, looking = time.monotonic(), self._plan.actions, self._project.meter.take()
        written = [change for change in actions if isinstance(change, ObjectChange)]
        jobs: list[_Job] = [([change], partial(self._write_object, change)) for change in written]
        size = sum(change.size for change in written if isinstance(change, Upload | Replace))
        self._phase(Phase.UPLOADS, jobs, self._lanes, size)
        self._objects.remember()
        documents = _by_document(each for each in actions if isinstance(each, CreateRecord | SetField))
        jobs = [(changes, partial(self._write_record, changes)) for changes in documents.values()]
        rewrites = [change for change in actions if isinstance(change, RewriteLocalDb)]
        if rewrites:
            jobs.append((rewrites, partial(self._rewrite, rewrites)))
        self._phase(Phase.WRITING, jobs, self._at_once)
        kept = kept_versions(self._project) if rewrites else ()
        return reports.build(
            run_id,
            [self._outcomes.get(change.id) or self._not_started(change) for change in actions],
            dict.fromkeys((*self._plan.findings, *kept)),
            moved=self._objects.moved,
            seconds=round(time.monotonic() - started, 3),
            interrupted=self._stop.is_set() and any(change.id not in self._outcomes for change in actions),
            complete=self._plan.complete,
            used=Used(looking, self._project.meter.take()),
        )

    def _not_started(self, change: Change) -> Outcome:
        broken, why = self._account.broken, _STOPPED
        if broken is not None:
            why = msgspec.structs.replace(Problem.of(broken), message=f"{_STOPPED.message}: {broken.message}")
        return Outcome.of(change, OutcomeKind.NOT_STARTED, why)

    # -- running jobs --

    def _phase(self, phase: Phase, jobs: Sequence[_Job], at_once: int | Lanes, size: int | None = None) -> None:
        if not jobs:
            return
        self._listener(PhaseStarted(phase, len(jobs), size))
        self._breaker = Breaker()
        changes = {change.id: change for of_job, _ in jobs for change in of_job}
        # After a second interrupt nothing is waited for; the preconditions of the next run settle what is in flight.
        running = results((partial(_done, *job) for job in jobs), at_once, breaker=self._breaker, halted=self._halted)
        for outcomes in running:
            for outcome in outcomes:
                self._note(changes[outcome.id], outcome)  # an edited plan may hold a change twice
            self._listener(Advanced(phase, 1))
        self._listener(PhaseDone(phase))
        if self._breaker.tripped is not None:
            self._listener(Warned(self._breaker.tripped.sentence))
            for change in (each for each in changes.values() if each.id not in self._outcomes):
                self._note(change, Outcome.of(change, OutcomeKind.NOT_STARTED, self._breaker.tripped))

    def _halted(self) -> bool:
        """Whether to start nothing more, because the run is to stop or its journal can no longer be written."""
        return self._stop.is_set() or self._account.broken is not None

    def _note(self, change: Change, outcome: Outcome) -> None:
        self._outcomes[outcome.id] = outcome
        key = change.key if isinstance(change, ObjectChange) else None
        self._account.ended(change, outcome, None if key is None else self._objects.of(key))
        if outcome.is_done:
            self._breaker.succeeded(key)
        self._listener(ChangeDone(outcome))

    def _failure(self, change: Change, error: ReconcileError) -> Outcome:
        self._breaker.failed(error, change.key if isinstance(change, ObjectChange) else None)
        stale = isinstance(error, PreconditionFailed | SourceChanged)
        return Outcome.of(change, OutcomeKind.STALE if stale else OutcomeKind.FAILED, Problem.of(error))

    # -- objects --

    def _write_object(self, change: ObjectChange) -> list[Outcome]:
        barred = self._breaker.bars(change.key)
        if barred is not None:
            return [Outcome.of(change, OutcomeKind.NOT_STARTED, barred)]
        try:
            if isinstance(change, SetMetadata):
                return [Outcome.of(change, retype(self._project, change))]
            self._listener(Moving(change.key, change.size))
            written = write(self._project, change, partial(self._progress, change.key))
        except ReconcileError as error:
            return [self._failure(change, error)]
        self._lanes.finished()
        self._objects.add(change, written)
        return [Outcome.of(change, written.kind)]

    def _progress(self, key: str, moved: int) -> None:
        self._lanes.moved(moved)
        self._listener(Advanced(Phase.UPLOADS, 0, moved, key))

    # -- what a field needs --

    def _unmet(self, need: Need) -> tuple[OutcomeKind, Problem] | None:
        """Returns the outcome of a change whose needed object is missing or different; None if it is there as
        intended."""
        arrived = self._objects.of(need.key)
        if arrived is not None and need.crc32c in (None, arrived.crc32c):
            return None
        if arrived is None and need.key in self._objects.expected:
            return OutcomeKind.BLOCKED, Problem(NotThere.code, f"{need.key} was not uploaded")
        found = self._project.objects.get(need.key)
        if found is None:
            return OutcomeKind.BLOCKED, Problem(NotThere.code, f"{need.key} is not in the bucket")
        if found.crc32c != need.crc32c:
            why = f"{need.key} has different content in the bucket than the plan saw"
            return OutcomeKind.STALE, Problem(PreconditionFailed.code, why, "plan again")
        return None

    def _ready(self, changes: Sequence[FieldChange]) -> tuple[list[FieldChange], list[Outcome]]:
        """Returns the changes whose objects are there, and the outcomes of the others."""
        found = [(change, self._blocked(change)) for change in changes]
        return [each for each, outcome in found if outcome is None], [outcome for _, outcome in found if outcome]

    def _blocked(self, change: FieldChange) -> Outcome | None:
        try:
            problem = next(filter(None, map(self._unmet, change.needs)), None)
        except ReconcileError as error:
            return self._failure(change, error)
        return None if problem is None else Outcome.of(change, *problem)

    # -- records, and the pipeline's own database --

    def _write_record(self, changes: Sequence[CreateRecord | SetField]) -> list[Outcome]:
        creations = [self._create(change) for change in changes if isinstance(change, CreateRecord)]
        fields = [change for change in changes if isinstance(change, SetField)]
        if all(each.is_done for each in creations):
            return creations + self._set_fields(fields)
        missing = Problem(NotThere.code, "the record was not made")
        return creations + [Outcome.of(each, OutcomeKind.BLOCKED, missing) for each in fields]

    def _create(self, change: CreateRecord) -> Outcome:
        settings = self._project.settings
        try:
            missing = [need.key for need in change.needs if self._unmet(need) is not None]
            wanted = without(change, frozenset(map(settings.bucket.uri, missing)))
            made = self._creations.make(change, wanted, self._account.creates)
        except ReconcileError as error:
            return self._failure(change, error)
        if not made:
            return Outcome.of(change, OutcomeKind.ALREADY)
        remark = f"left out until they are in the bucket: {', '.join(missing)}" if missing else None
        return Outcome.of(change, OutcomeKind.APPLIED, remark=remark)

    def _set_fields(self, changes: Sequence[SetField]) -> list[Outcome]:
        ready, outcomes = self._ready(changes)
        if not ready:
            return outcomes
        char_id = document_id(ready[0].document)
        try:
            noting, wait = partial(self._account.touches, World.RECORDS), self._project.options.wait
            return outcomes + merge(self._project.records, char_id, ready, self._editor, noting, wait)
        except ReconcileError as error:
            return outcomes + [self._failure(change, error) for change in ready]

    def _rewrite(self, changes: Sequence[RewriteLocalDb]) -> list[Outcome]:
        store = self._project.local_db
        if store is None:
            none = Problem(NotThere.code, "the rules name no local database")
            return [Outcome.of(change, OutcomeKind.STALE, none) for change in changes]
        ready, outcomes = self._ready(changes)
        documents = _by_document(ready)
        try:
            noting = partial(self._account.touches, World.LOCAL_DB)
            return outcomes + merge_many(store, documents, self._editor, noting, self._project.options.wait)
        except ReconcileError as error:
            return outcomes + [self._failure(change, error) for change in ready]


def _done(changes: Sequence[Change], work: Callable[[], list[Outcome]]) -> list[Outcome]:
    """Makes the changes of one job and returns the outcomes. An unexpected error fails only these changes, so that the
    report has the others."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001
        lacking = no_room(error)
        why = f"an unexpected error: {type(error).__name__}: {error}"
        problem = Problem.of(lacking) if lacking else Problem("bug", why, "this is a bug; please report it")
        return [Outcome.of(change, OutcomeKind.FAILED, problem) for change in changes]


def _by_document(changes: Iterable[RecordT]) -> dict[str, list[RecordT]]:
    documents: dict[str, list[RecordT]] = defaultdict(list)
    for change in changes:
        documents[change.document].append(change)
    return documents
