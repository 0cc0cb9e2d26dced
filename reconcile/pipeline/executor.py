"""Plan + ports → Report: the executor.

Uploads before records; every write carries a precondition; what is uncertain is settled by reading.
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
    Severity,
    document_id,
    is_object,
)
from reconcile.core.context import Replacing
from reconcile.core.derived import is_derived
from reconcile.core.digest import Comparison, compare_object
from reconcile.core.edit import edit, same, without
from reconcile.core.errors import NotThere, PreconditionFailed, ReconcileError, SourceChanged, Uncertain, UsageError
from reconcile.core.events import Advanced, ChangeDone, Listener, Phase, PhaseDone, PhaseStarted, Warned, silent
from reconcile.core.media import content_type
from reconcile.core.plan import Plan, Scope, check_limits
from reconcile.core.planfile import AGAIN, check_belongs
from reconcile.core.report import Outcome, OutcomeKind, Problem, Report, Status
from reconcile.core.rows import Agreed, Document, World
from reconcile.pipeline.account import Account, now
from reconcile.pipeline.record_writes import Editor, merge, merge_many
from reconcile.project import CONCURRENCY, OpenProject

_STOPPED = Problem("interrupted", "the run stopped before it", transient=True)
_REMEMBERED_TOGETHER = 32
_REMEMBERED_AFTER = 1.0
"""Uploads, and seconds: what a killed run put there since is not remembered as agreed, so a file that is rendered anew
before the next run is told as a conflict then, and not replaced."""

T = TypeVar("T", SetField, RewriteLocalDb)
RecordT = TypeVar("RecordT", bound=CreateRecord | SetField | RewriteLocalDb)
EditorOf: TypeAlias = Callable[[Sequence[FieldChange]], Editor]
"""How the field changes of one record are made."""


def execute(
    project: OpenProject,
    plan: Plan,
    *,
    concurrency: int = CONCURRENCY,
    force: bool = False,
    max_actions: int | None = None,
    listener: Listener = silent,
    stop: threading.Event | None = None,
    command: str = "",
    fail_on: Severity | None = None,
) -> Report:
    """Does what the plan says, as far as the world still is as the plan saw it.

    Raises UsageError for a plan of other stores or rules, Refused past a safety limit, and JournalError if the run
    cannot be written down, before anything is changed. A failure of one change is an outcome of the report, never an
    exception. Setting ``stop`` finishes what is in flight and starts nothing more. ``command`` is who asked, for the
    journal. Where findings of the severity ``fail_on`` remain, it is not remembered as a good run of everything.
    """
    check(project, plan)
    if not force:
        check_limits(plan, project.settings.policy.max_replace, max_actions)
    entries, entry_key = project.settings.entries, project.settings.entry_key
    editor_of: EditorOf = lambda changes: partial(edit, changes=changes, entries=entries, entry_key=entry_key)  # noqa: E731
    report = run(project, plan, editor_of, concurrency=concurrency, listener=listener, stop=stop, command=command)
    project.forget_done_notes()
    if project.options.allows_empty and project.lost_files():
        project.note_files(0)
    is_good = report.status is Status.SUCCESS and not reports.remaining(plan.findings, fail_on)
    if is_good and plan.scope == Scope() and not _holds_back(project, plan):
        project.note_good_run(plan.created, now())  # when the worlds were seen: an old plan is no news of today
    return report


def run(
    project: OpenProject,
    plan: Plan,
    editor_of: EditorOf,
    *,
    concurrency: int = CONCURRENCY,
    listener: Listener = silent,
    stop: threading.Event | None = None,
    command: str = "",
    undoes: str | None = None,
) -> Report:
    """Does what a plan of this process says, however its field changes are made; no limit is looked at. Raises
    JournalError before anything is changed."""
    # To the microsecond: hooks make several runs a second, and history is in the order of the ids.
    run_id = f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(3)}"
    journal = project.journal if project.options.keeps_journal else None
    account = Account.begin(journal, run_id, plan, command=command, undoes=undoes)
    started = _Run(project, plan, editor_of, account, concurrency, listener, stop or threading.Event())
    report: Report | None = None
    try:
        report = started.report(run_id)
    finally:
        account.close(report)
    if account.broken is not None:
        listener(Warned(account.broken.sentence))
    return report


def _holds_back(project: OpenProject, plan: Plan) -> bool:
    """Whether a file that a rule takes was left because it is still being written, or is not whole; or all files are
    gone, and nobody says that it is meant."""
    left = (Code.UNSETTLED_FILE, Code.INCOMPLETE_FILE)
    return any(
        each.code is Code.ROOT_EMPTIED or (each.code in left and project.asset_map.read(each.subject, ()) is not None)
        for each in plan.findings
    )


def check(project: OpenProject, plan: Plan) -> None:
    """Raises UsageError for a plan that this project, with its rules, could not have made."""
    settings = project.settings
    check_belongs(plan, project.stores, settings.rules_digest, settings.bucket, settings.records.collection)
    for change in plan.actions:
        if isinstance(change, SetField | RewriteLocalDb) and change.field == settings.entry_key:
            what = f"writes {change.field!r}, which tells maps apart"
            raise UsageError(f"action {change.id} of the plan {what}", hint=AGAIN)
        if isinstance(change, Replace) and settings.policy.replace is Replacing.NEVER:
            raise UsageError(f"action {change.id} of the plan replaces, and the rules say never", hint=AGAIN)


class _Run:
    """One run: the outcomes so far, and what is known to be in the bucket because this run put it there."""

    def __init__(
        self,
        project: OpenProject,
        plan: Plan,
        editor_of: EditorOf,
        account: Account,
        concurrency: int,
        listener: Listener,
        stop: threading.Event,
    ) -> None:
        self._project = project
        self._plan = plan
        self._editor_of = editor_of
        self._account = account
        self._changes = {change.id: change for change in plan.actions}
        self._concurrency = concurrency
        self._listener = listener
        self._stop = stop
        self._lock = threading.Lock()
        self._outcomes: dict[str, Outcome] = {}
        self._uploads = {change.key: change for change in plan.actions if is_object(change)}
        self._arrived: dict[str, Agreed] = {}
        self._unremembered: list[Agreed] = []
        self._remembered_at = time.monotonic()
        self._local_documents: dict[str, Document] | None = None
        self._moved = 0
        self._breaker = Breaker()

    def report(self, run_id: str) -> Report:
        """Does it, and tells what came of it."""
        started = time.monotonic()
        moved = sum(change.size for change in self._uploads.values())
        uploads = [_Job((change,), partial(self._upload, change)) for change in self._uploads.values()]
        self._phase(Phase.UPLOADS, uploads, moved)
        self._remember(self._unremembered)
        documents = _by_document(each for each in self._plan.actions if isinstance(each, CreateRecord | SetField))
        jobs = [_Job(tuple(changes), partial(self._write_record, changes)) for changes in documents.values()]
        rewrites = [change for change in self._plan.actions if isinstance(change, RewriteLocalDb)]
        if rewrites:
            jobs.append(_Job(tuple(rewrites), partial(self._rewrite, rewrites)))
        self._phase(Phase.WRITING, jobs)
        kept = self._project.kept_versions() if rewrites else ()
        return reports.build(
            run_id,
            [self._outcome(change) for change in self._plan.actions],
            dict.fromkeys((*self._plan.findings, *kept)),
            moved=self._moved,
            seconds=round(time.monotonic() - started, 3),
            interrupted=self._stop.is_set() and any(change.id not in self._outcomes for change in self._plan.actions),
            complete=self._plan.complete,
        )

    def _outcome(self, change: Change) -> Outcome:
        found = self._outcomes.get(change.id)
        broken = self._account.broken
        why = _STOPPED
        if broken is not None:
            why = msgspec.structs.replace(Problem.of(broken), message=f"{_STOPPED.message}: {broken.message}")
        return found or Outcome.of(change, OutcomeKind.NOT_STARTED, why)

    # -- running jobs --

    def _phase(self, phase: Phase, jobs: Sequence[_Job], size: int | None = None) -> None:
        if not jobs:
            return
        self._listener(PhaseStarted(phase, len(jobs), size))
        self._breaker = Breaker()
        # A second interrupt waits for nobody; what is in flight is settled by the next run's preconditions.
        running = results((job.run for job in jobs), self._concurrency, breaker=self._breaker, halted=self._halted)
        for outcomes in running:
            for outcome in outcomes:
                self._note(outcome)
            self._listener(Advanced(phase, 1))
        self._listener(PhaseDone(phase))
        self._tell_of_the_breaker([change for job in jobs for change in job.changes])

    def _tell_of_the_breaker(self, changes: Iterable[Change]) -> None:
        """Says once, and of each change that was therefore not tried, that a store refuses everything."""
        tripped = self._breaker.tripped
        if tripped is None:
            return
        self._listener(Warned(tripped.sentence))
        for change in changes:
            if change.id not in self._outcomes:
                self._note(Outcome.of(change, OutcomeKind.NOT_STARTED, tripped))

    def _halted(self) -> bool:
        """Whether to start nothing more: somebody said stop, or what is done cannot be written down any more."""
        return self._stop.is_set() or self._account.broken is not None

    def _note(self, outcome: Outcome) -> None:
        self._outcomes[outcome.id] = outcome
        change = self._changes[outcome.id]
        arrived = self._arrived.get(change.key) if is_object(change) else None
        self._account.ended(change, outcome, None if arrived is None else arrived.generation)
        if outcome.outcome in (OutcomeKind.APPLIED, OutcomeKind.ALREADY):
            self._breaker.succeeded(change.key if is_object(change) else None)
        self._listener(ChangeDone(outcome))

    def _failure(self, change: Change, error: ReconcileError) -> Outcome:
        self._breaker.failed(error, change.key if is_object(change) else None)
        stale = isinstance(error, PreconditionFailed | SourceChanged)
        return Outcome.of(change, OutcomeKind.STALE if stale else OutcomeKind.FAILED, Problem.of(error))

    # -- objects --

    def _upload(self, change: ObjectChange) -> list[Outcome]:
        barred = self._breaker.bars(change.key)
        if barred is not None:
            return [Outcome.of(change, OutcomeKind.NOT_STARTED, barred)]
        try:
            return [self._send(change)]
        except (PreconditionFailed, SourceChanged, Uncertain) as error:
            path = self._path(change)
            if isinstance(error, SourceChanged) and path is not None:
                # What is remembered is not what it holds, so the next plan reads it, whatever its look says.
                self._project.files.forget(path)
            return [self._settle(change, error)]
        except ReconcileError as error:
            return [self._failure(change, error)]

    def _send(self, change: ObjectChange) -> Outcome:
        path = self._path(change)
        if path is None:
            raise SourceChanged(f"no rule leads from {change.key!r} back to a local file")
        with self._project.files.open(path) as body:
            arrived = self._project.objects.put(
                change.key,
                body,
                size=change.size,
                crc32c=change.crc32c,
                content_type=content_type(change.key),
                if_generation_match=change.if_generation_match,
                progress=lambda moved: self._listener(Advanced(Phase.UPLOADS, 0, moved)),
            )
        with self._lock:
            self._moved += change.size
        return self._arrive(change, OutcomeKind.APPLIED, arrived.generation)

    def _path(self, change: ObjectChange) -> str | None:
        return self._project.asset_map.path_of(change.key, change.asset_type)

    def _settle(self, change: ObjectChange, error: ReconcileError) -> Outcome:
        """The world moved, or no answer told: if it holds the planned bytes, whoever put them there, all is well."""
        try:
            found = self._project.objects.get(change.key)
        except ReconcileError as second:
            return self._failure(change, second)
        if found is not None and compare_object(change.size, change.crc32c, found) is Comparison.SAME:
            return self._arrive(change, OutcomeKind.ALREADY, found.generation)
        return self._failure(change, error)

    def _arrive(self, change: ObjectChange, kind: OutcomeKind, generation: int) -> Outcome:
        agreed = Agreed(change.key, change.size, change.crc32c, generation)
        due: list[Agreed] = []
        with self._lock:
            self._arrived[change.key] = agreed
            self._unremembered.append(agreed)
            now = time.monotonic()
            if len(self._unremembered) >= _REMEMBERED_TOGETHER or now - self._remembered_at > _REMEMBERED_AFTER:
                due, self._unremembered, self._remembered_at = self._unremembered, [], now
        self._remember(due)
        return Outcome.of(change, kind)

    def _remember(self, agreed: Sequence[Agreed]) -> None:
        if agreed:
            self._project.agreed.remember(agreed)

    # -- what a field needs --

    def _unmet(self, need: Need) -> tuple[OutcomeKind, Problem] | None:
        """What becomes of a change that needs this; None if the object is there with the bytes that are meant."""
        arrived = self._arrived.get(need.key)
        if arrived is not None and need.crc32c in (None, arrived.crc32c):
            return None
        if arrived is None and need.key in self._uploads:
            return OutcomeKind.BLOCKED, Problem(NotThere.code, f"{need.key} was not uploaded")
        found = self._project.objects.get(need.key)
        if found is None:
            return OutcomeKind.BLOCKED, Problem(NotThere.code, f"{need.key} is not in the bucket")
        if found.crc32c != need.crc32c:
            why = f"{need.key} has different content in the bucket than the plan saw"
            return OutcomeKind.STALE, Problem(PreconditionFailed.code, why, "plan again")
        return None

    # -- records --

    def _write_record(self, changes: Sequence[CreateRecord | SetField]) -> list[Outcome]:
        creations = [change for change in changes if isinstance(change, CreateRecord)]
        fields = [change for change in changes if isinstance(change, SetField)]
        return [self._create(change) for change in creations] + self._set_fields(fields)

    def _create(self, change: CreateRecord) -> Outcome:
        records, char_id = self._project.records, document_id(change.document)
        entries = self._project.settings.entries
        try:
            missing = [need.key for need in change.needs if self._unmet(need) is not None]
            wanted = without(change, frozenset(self._project.settings.bucket.uri(key) for key in missing))
            try:
                if not self._is_of_local_database(change, char_id):
                    raise PreconditionFailed("the local database no longer holds what the plan saw", hint="plan again")
                self._account.creates(change, wanted)
                records.create(char_id, wanted)
            except (PreconditionFailed, Uncertain) as error:
                found = next(iter(records.read([char_id])), None)
                if found is not None and same(entries.of(found.fields), entries.of(wanted)):
                    return Outcome.of(change, OutcomeKind.ALREADY)
                return self._failure(change, error)
        except ReconcileError as error:
            return self._failure(change, error)
        remark = f"left out until they are in the bucket: {', '.join(missing)}" if missing else None
        return Outcome.of(change, OutcomeKind.APPLIED, remark=remark)

    def _is_of_local_database(self, change: CreateRecord, char_id: str) -> bool:
        """Whether the new record is what the local database holds, with its paths put right and nothing else."""
        settings, store = self._project.settings, self._project.local_db
        with self._lock:
            # Read once, because it is one file; before Python 3.12 a cached_property has one lock for all runs.
            if self._local_documents is None:
                made = [document_id(each.document) for each in self._plan.actions if isinstance(each, CreateRecord)]
                found = store.read(sorted(made)) if store is not None else ()
                self._local_documents = {document.id: document for document in found}
            source = self._local_documents.get(char_id)
        if source is None:
            return False
        return is_derived(
            change.fields,
            source.fields,
            change.needs,
            char_id=char_id,
            entries=settings.entries,
            entry_key=settings.entry_key,
            bucket=settings.bucket,
            asset_map=settings.asset_map,
        )

    def _set_fields(self, changes: Sequence[SetField]) -> list[Outcome]:
        ready, outcomes = self._ready(changes)
        if not ready:
            return outcomes
        char_id = document_id(ready[0].document)
        try:
            editor, noting = self._editor_of(ready), partial(self._account.touches, World.RECORDS)
            made = merge(self._project.records, char_id, ready, editor, noting, self._project.options.wait)
        except ReconcileError as error:
            made = [self._failure(change, error) for change in ready]
        return outcomes + made

    def _ready(self, changes: Sequence[T]) -> tuple[list[T], list[Outcome]]:
        """The changes whose objects are there, and the outcomes of the others."""
        ready: list[T] = []
        outcomes: list[Outcome] = []
        for change in changes:
            try:
                problem = next(filter(None, map(self._unmet, change.needs)), None)
            except ReconcileError as error:
                outcomes.append(self._failure(change, error))
                continue
            if problem is None:
                ready.append(change)
            else:
                outcomes.append(Outcome.of(change, *problem))
        return ready, outcomes

    # -- the pipeline's own database --

    def _rewrite(self, changes: Sequence[RewriteLocalDb]) -> list[Outcome]:
        store = self._project.local_db
        if store is None:
            none = Problem(NotThere.code, "the rules name no local database")
            return [Outcome.of(change, OutcomeKind.STALE, none) for change in changes]
        ready, outcomes = self._ready(changes)
        documents = _by_document(ready)
        try:
            editors = {document: self._editor_of(each) for document, each in documents.items()}
            noting = partial(self._account.touches, World.LOCAL_DB)
            made = merge_many(store, documents, editors, noting, self._project.options.wait)
        except ReconcileError as error:
            made = [self._failure(change, error) for change in ready]
        return outcomes + made


class _Job(msgspec.Struct, frozen=True):
    """Some changes that one worker makes."""

    changes: tuple[Change, ...]
    work: Callable[[], list[Outcome]]

    def run(self) -> list[Outcome]:
        """The outcomes. What nobody foresaw is a failure of these changes, and no reason to lose the others' report."""
        try:
            return self.work()
        except Exception as error:  # noqa: BLE001
            lacking = no_room(error)
            why = f"an error that nobody foresaw: {type(error).__name__}: {error}"
            problem = Problem.of(lacking) if lacking else Problem("bug", why, "this is a bug; please report it")
            return [Outcome.of(change, OutcomeKind.FAILED, problem) for change in self.changes]


def _by_document(changes: Iterable[RecordT]) -> dict[str, list[RecordT]]:
    documents: dict[str, list[RecordT]] = defaultdict(list)
    for change in changes:
        documents[change.document].append(change)
    return documents
