"""Plan + ports → Report: the executor.

Uploads before records; every write carries a precondition; what is uncertain is settled by reading.
"""

from __future__ import annotations

import datetime
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import cached_property
from typing import TypeAlias, TypeVar

from reconcile.core import report as reports
from reconcile.core.changes import (
    Change,
    CreateRecord,
    Need,
    ObjectChange,
    Replace,
    RewriteLocalDb,
    SetField,
    Upload,
    document_id,
    texts_in,
)
from reconcile.core.digest import Comparison, compare
from reconcile.core.edit import without
from reconcile.core.errors import (
    AccessDenied,
    PreconditionFailed,
    ReconcileError,
    SourceChanged,
    StoreMissing,
    StoreUnavailable,
    Uncertain,
)
from reconcile.core.events import Advanced, ChangeDone, Listener, Phase, PhaseDone, PhaseStarted, silent
from reconcile.core.media import content_type
from reconcile.core.plan import Plan, check_limits
from reconcile.core.planfile import check_belongs
from reconcile.core.report import Outcome, OutcomeKind, Report
from reconcile.core.rows import Agreed, Document
from reconcile.merge import merge, merge_many
from reconcile.project import Project

CONCURRENCY = 8
REFUSALS = 8

T = TypeVar("T", SetField, RewriteLocalDb)
Job: TypeAlias = Callable[[], list[Outcome]]


def execute(
    project: Project,
    plan: Plan,
    *,
    concurrency: int = CONCURRENCY,
    force: bool = False,
    max_actions: int | None = None,
    listener: Listener = silent,
    stop: threading.Event | None = None,
) -> Report:
    """Does what the plan says, as far as the world still is as the plan saw it.

    Raises UsageError for a plan of other stores or rules, and Refused past a safety limit, before anything is changed.
    A failure of one change is an outcome of the report, never an exception. Setting ``stop`` finishes what is in
    flight and starts nothing more.
    """
    check(project, plan)
    if not force:
        check_limits(plan, project.settings.policy.max_replace, max_actions)
    return _Run(project, plan, concurrency, listener, stop or threading.Event()).execute()


def check(project: Project, plan: Plan) -> None:
    """Raises UsageError for a plan that this project, with its rules, could not have made."""
    settings = project.settings
    check_belongs(plan, project.stores, settings.rules_digest, settings.bucket, settings.records.collection)


class _Run:
    """One run: the outcomes so far, and what is known to be in the bucket because this run put it there."""

    def __init__(
        self, project: Project, plan: Plan, concurrency: int, listener: Listener, stop: threading.Event
    ) -> None:
        self._project = project
        self._plan = plan
        self._concurrency = concurrency
        self._listener = listener
        self._stop = stop
        self._lock = threading.Lock()
        self._outcomes: dict[str, Outcome] = {}
        self._uploads = {change.key: change for change in plan.actions if isinstance(change, Upload | Replace)}
        self._arrived: dict[str, Agreed] = {}
        self._moved = 0
        self._refusals = 0
        self.run_id = f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"

    def execute(self) -> Report:
        started = time.monotonic()
        moved = sum(change.size for change in self._uploads.values())
        self._phase(Phase.UPLOADS, [self._upload_job(change) for change in self._uploads.values()], moved)
        if self._arrived:
            self._project.agreed.remember(list(self._arrived.values()))
        documents = _by_document(self._plan.actions)
        jobs = [self._record_job(changes) for changes in documents.values()]
        rewrites = [change for change in self._plan.actions if isinstance(change, RewriteLocalDb)]
        self._phase(Phase.WRITING, [*jobs, *([lambda: self._rewrite(rewrites)] if rewrites else [])])
        return reports.build(
            self.run_id,
            [self._outcome(change) for change in self._plan.actions],
            self._plan.findings,
            moved=self._moved,
            seconds=round(time.monotonic() - started, 3),
            interrupted=self._stop.is_set() and any(change.id not in self._outcomes for change in self._plan.actions),
            complete=self._plan.complete,
        )

    def _outcome(self, change: Change) -> Outcome:
        found = self._outcomes.get(change.id)
        return found or Outcome.of(change, OutcomeKind.NOT_STARTED, "the run stopped before it")

    # -- running jobs --

    def _phase(self, phase: Phase, jobs: Sequence[Job], size: int | None = None) -> None:
        if not jobs:
            return
        self._listener(PhaseStarted(phase, len(jobs), size))
        self._refusals = 0
        pool = ThreadPoolExecutor(self._concurrency)
        try:
            for outcomes in _completed(pool, jobs, self._concurrency, self._halted):
                for outcome in outcomes:
                    self._note(outcome)
                self._listener(Advanced(phase, 1))
        except BaseException:
            # A second interrupt waits for nobody; what is in flight is settled by the next run's preconditions.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()
        self._listener(PhaseDone(phase))

    def _halted(self) -> bool:
        """Whether nothing more is to be started: somebody said stop, or a store has come to refuse everything."""
        return self._stop.is_set() or self._refusals >= REFUSALS

    def _note(self, outcome: Outcome) -> None:
        self._outcomes[outcome.id] = outcome
        if outcome.outcome in (OutcomeKind.APPLIED, OutcomeKind.ALREADY):
            with self._lock:
                self._refusals = 0
        self._listener(ChangeDone(outcome))

    def _failure(self, change: Change, error: ReconcileError) -> Outcome:
        with self._lock:
            self._refusals += isinstance(error, AccessDenied | StoreUnavailable | StoreMissing | Uncertain)
        stale = isinstance(error, PreconditionFailed | SourceChanged)
        return Outcome.of(change, OutcomeKind.STALE if stale else OutcomeKind.FAILED, error.sentence)

    # -- objects --

    def _upload_job(self, change: ObjectChange) -> Job:
        return lambda: [self._upload(change)]

    def _upload(self, change: ObjectChange) -> Outcome:
        try:
            return self._send(change)
        except (PreconditionFailed, Uncertain) as error:
            return self._settle(change, error)
        except ReconcileError as error:
            return self._failure(change, error)

    def _send(self, change: ObjectChange) -> Outcome:
        path = self._project.asset_map.path_of(change.key, change.asset_type)
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

    def _settle(self, change: ObjectChange, error: ReconcileError) -> Outcome:
        """The world moved, or no answer told: if it holds the planned bytes, whoever put them there, all is well."""
        try:
            found = self._project.objects.get(change.key)
        except ReconcileError as second:
            return self._failure(change, second)
        if found is not None:
            same = compare(change.size, change.crc32c, found.size, found.crc32c)
            if same is Comparison.SAME:
                return self._arrive(change, OutcomeKind.ALREADY, found.generation)
        kind = OutcomeKind.STALE if isinstance(error, PreconditionFailed) else OutcomeKind.FAILED
        return Outcome.of(change, kind, error.sentence)

    def _arrive(self, change: ObjectChange, kind: OutcomeKind, generation: int) -> Outcome:
        with self._lock:
            self._arrived[change.key] = Agreed(change.key, change.size, change.crc32c, generation)
        return Outcome.of(change, kind)

    # -- what a field needs --

    def _unmet(self, needs: Iterable[Need]) -> tuple[OutcomeKind, str, str] | None:
        """The first need that is not met, as (outcome, key, sentence); None where all objects are there with the bytes
        that are meant."""
        for need in needs:
            problem = self._unmet_one(need)
            if problem is not None:
                return problem[0], need.key, problem[1]
        return None

    def _unmet_one(self, need: Need) -> tuple[OutcomeKind, str] | None:
        arrived = self._arrived.get(need.key)
        if arrived is not None and need.crc32c in (None, arrived.crc32c):
            return None
        if arrived is None and need.key in self._uploads:
            return OutcomeKind.BLOCKED, f"{need.key} was not uploaded"
        found = self._project.objects.get(need.key)
        if found is None:
            return OutcomeKind.BLOCKED, f"{need.key} is not in the bucket"
        if need.crc32c is not None and found.crc32c != need.crc32c:
            return OutcomeKind.STALE, f"{need.key} has other bytes in the bucket than the plan saw"
        return None

    # -- records --

    def _record_job(self, changes: Sequence[CreateRecord | SetField]) -> Job:
        return lambda: self._write_record(changes)

    def _write_record(self, changes: Sequence[CreateRecord | SetField]) -> list[Outcome]:
        creations = [change for change in changes if isinstance(change, CreateRecord)]
        fields = [change for change in changes if isinstance(change, SetField)]
        return [self._create(change) for change in creations] + self._set_fields(fields)

    def _create(self, change: CreateRecord) -> Outcome:
        records, char_id = self._project.records, document_id(change.document)
        entries = self._project.settings.entries
        try:
            missing = [need.key for need in change.needs if self._unmet_one(need) is not None]
            wanted = without(change, frozenset(self._project.settings.bucket.uri(key) for key in missing))
            try:
                if not self._is_of_local_database(change, char_id):
                    raise PreconditionFailed("the local database no longer holds what the plan saw", hint="plan again")
                records.create(char_id, wanted)
            except (PreconditionFailed, Uncertain) as error:
                found = next(iter(records.read([char_id])), None)
                if found is not None and found.fields.get(entries) == wanted.get(entries):
                    return Outcome.of(change, OutcomeKind.ALREADY)
                return self._failure(change, error)
        except ReconcileError as error:
            return self._failure(change, error)
        note = f"left out until they are in the bucket: {', '.join(missing)}" if missing else None
        return Outcome.of(change, OutcomeKind.APPLIED, note)

    @cached_property
    def _local_documents(self) -> dict[str, Document]:
        """What the local database holds now of the records to be made; read once, because it is one file."""
        store = self._project.local_db
        wanted = [document_id(change.document) for change in self._plan.actions if isinstance(change, CreateRecord)]
        return {} if store is None else {document.id: document for document in store.read(sorted(wanted))}

    def _is_of_local_database(self, change: CreateRecord, char_id: str) -> bool:
        """Whether every text of the new record is one that the local database holds, or a URI that the plan needs."""
        settings = self._project.settings
        with self._lock:
            source = self._local_documents.get(char_id)
        if source is None:
            return False
        named = {settings.bucket.uri(need.key) for need in change.needs}
        maps = (entry for entry in change.fields.get(settings.entries) or [] if isinstance(entry, dict))
        titles = {title for title in (entry.get(settings.entry_key) for entry in maps) if isinstance(title, str)}
        return set(texts_in(change.fields)) <= {*texts_in(source.fields), *named, *titles}

    def _set_fields(self, changes: Sequence[SetField]) -> list[Outcome]:
        ready, outcomes = self._ready(changes)
        if not ready:
            return outcomes
        settings = self._project.settings
        char_id = document_id(ready[0].document)
        try:
            made = merge(self._project.records, char_id, ready, settings.entries, settings.entry_key)
        except ReconcileError as error:
            made = [self._failure(change, error) for change in ready]
        return outcomes + made

    def _ready(self, changes: Sequence[T]) -> tuple[list[T], list[Outcome]]:
        """The changes whose objects are there, and the outcomes of the others."""
        ready: list[T] = []
        outcomes: list[Outcome] = []
        for change in changes:
            try:
                problem = self._unmet(change.needs)
            except ReconcileError as error:
                outcomes.append(self._failure(change, error))
                continue
            if problem is None:
                ready.append(change)
            else:
                outcomes.append(Outcome.of(change, problem[0], problem[2]))
        return ready, outcomes

    # -- the pipeline's own database --

    def _rewrite(self, changes: Sequence[RewriteLocalDb]) -> list[Outcome]:
        store, settings = self._project.local_db, self._project.settings
        if store is None:
            return [Outcome.of(change, OutcomeKind.STALE, "the rules name no local database") for change in changes]
        ready, outcomes = self._ready(changes)
        documents: dict[str, list[RewriteLocalDb]] = defaultdict(list)
        for change in ready:
            documents[change.document].append(change)
        try:
            made = merge_many(store, documents, settings.entries, settings.entry_key)
        except ReconcileError as error:
            made = [self._failure(change, error) for change in ready]
        return outcomes + made


def _by_document(actions: Iterable[Change]) -> dict[str, list[CreateRecord | SetField]]:
    documents: dict[str, list[CreateRecord | SetField]] = defaultdict(list)
    for change in actions:
        if isinstance(change, CreateRecord | SetField):
            documents[change.document].append(change)
    return documents


def _completed(
    pool: ThreadPoolExecutor, jobs: Iterable[Job], at_once: int, halted: Callable[[], bool]
) -> Iterator[list[Outcome]]:
    """The results as they come; no job is handed over before a worker is free, so that a stop starts nothing more."""
    running: set[Future[list[Outcome]]] = set()
    for job in jobs:
        if halted():
            break
        running.add(pool.submit(job))
        if len(running) >= at_once:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (each.result() for each in done)
    while running:
        done, running = wait(running, return_when=FIRST_COMPLETED)
        yield from (each.result() for each in done)
