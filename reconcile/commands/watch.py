"""Stays up and brings the three worlds in step as files settle.

Each pass is an ordinary run (lock, plan, apply) over the characters that were touched, or over everything: at the
start, now and then, and whenever it is not sure whose files they are. A pass opens the project anew and closes it
again, so that what changed meanwhile (rules, credentials, a network) is taken as it is, and nothing is held for days.
"""

from __future__ import annotations

import datetime
import math
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import msgspec

from reconcile.adapters.files import Stamp, stamp_of
from reconcile.config import Incomplete
from reconcile.core.changes import Code, Finding, Severity, canonical
from reconcile.core.errors import LockHeld, ReconcileError, StoreUnavailable, UsageError
from reconcile.core.events import Advanced, Event, Warned
from reconcile.core.plan import Plan, Scope
from reconcile.core.portable import Portable
from reconcile.core.report import OutcomeKind, Report, Status, remaining
from reconcile.core.watch_report import FORMAT, HEALTH_FORMAT, EventKind, Standing, WatchEvent, WatchHealth, WatchState
from reconcile.core.watching import (
    EVERY,
    LAST_LOCK_RETRY,
    LAST_RETRY,
    Agenda,
    Batch,
    Cause,
    Look,
    Poll,
    Seen,
    owner_of,
    scope_of,
)
from reconcile.pipeline.executor import CONCURRENCY, execute
from reconcile.pipeline.planner import Survey, survey
from reconcile.project import Project

if TYPE_CHECKING:
    from reconcile.adapters.local.settle import Looks

TICK = 1.0
"""Seconds after which the rules, the local database and the folder itself are looked at again."""
BEAT = 30.0
"""Seconds between two signs of life in the health file."""
SILENT_AFTER = 300.0
"""Seconds after which a watcher that gave no sign of life counts as dead."""
_SHOWN = 10

Opener: TypeAlias = Callable[[], AbstractContextManager[Project]]
WatchListener: TypeAlias = Callable[[WatchEvent], None]


class Folder(Protocol):
    """The watched folder."""

    def wait(self, seconds: float, stop: threading.Event) -> Seen:
        """Waits up to so long for something to happen."""
        ...

    def look(self, path: str) -> Look | None:
        """The file as it stands, or None."""
        ...

    def below(self, path: str) -> Iterable[str]:
        """The files below a folder."""
        ...

    def missing_end(self, path: str) -> str | None:
        """What the file surely lacks, or None."""
        ...

    def close(self) -> None:
        """Stops listening."""
        ...


def watch(
    project: Project,
    *,
    apply: bool = True,
    scope: Scope | None = None,
    every: float = EVERY,
    poll: Poll = Poll.AUTO,
    concurrency: int = CONCURRENCY,
    listener: WatchListener = lambda _event: None,
    stop: threading.Event | None = None,
    reopen: Opener | None = None,
    fail_on: Severity | None = None,
) -> tuple[Finding, ...]:
    """Watches the project's local root until ``stop`` is set, in any thread; blocks.

    ``apply`` False only plans, and such a watcher is not the one of the project: it keeps no other one out, and writes
    no health file. ``every`` is how many seconds lie between two passes over everything. ``reopen`` opens
    the project for a pass, and is where changed rules come from; without it they stay as they are in ``project``.
    While findings of the severity ``fail_on`` remain no pass is a good one; given back are those that do at the end.
    What goes wrong is told to the listener and tried again, never raised, but for LockHeld: another watcher is there.
    """
    return Watcher(
        project,
        scope=scope or Scope(),
        reopen=reopen or (lambda: Project.of(project.settings)),
        listener=listener,
        stop=stop or threading.Event(),
        apply=apply,
        every=every,
        poll=poll,
        concurrency=concurrency,
        fail_on=fail_on,
    ).run()


class _Stopped(Portable, Exception):
    """Asked to stop while only reading."""


class Watcher:
    """One watcher; the clock and the folder can be other ones in a test."""

    def __init__(
        self,
        project: Project,
        *,
        scope: Scope,
        reopen: Opener,
        listener: WatchListener,
        stop: threading.Event,
        apply: bool = True,
        every: float = EVERY,
        poll: Poll = Poll.AUTO,
        concurrency: int = CONCURRENCY,
        fail_on: Severity | None = None,
        clock: Callable[[], float] = time.monotonic,
        folder: Callable[[Project, Poll], Folder] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        from reconcile.adapters.state.health import HealthFile

        self._limit = scope
        self._reopen = reopen
        self._listener = listener
        self._stop = stop
        self._apply = apply
        self._every = every
        self._poll = poll
        self._concurrency = concurrency
        self._fail_on = fail_on
        self._clock = clock
        self._make_folder = folder or _folder
        self._health_file = HealthFile(project.settings.project) if apply else None
        self._settings = project.settings
        self._folder = self._make_folder(project, poll)
        self._looks = _looks(project, clock)
        self._agenda = Agenda(settle=project.settings.settle, every=every, now=clock(), jitter=jitter)
        self._known: frozenset[str] = frozenset()
        self._database: dict[str, int] | None = None
        self._stamps: dict[Path, Stamp | None] = {}
        self._warned: frozenset[str] = frozenset()
        self._standing = Standing()
        self._unmade = False
        self._failing: object = None
        self._gone = False
        self._idle = False
        self._beaten = -BEAT
        self._health_lock = threading.Lock()
        self._health = WatchHealth(
            HEALTH_FORMAT, os.getpid(), socket.gethostname(), _now(), _now(), WatchState.STARTING, None, None, 0, 0
        )

    def run(self) -> tuple[Finding, ...]:
        """Watches until it is stopped; the findings that it was to fail on and that remain. Raises LockHeld where
        another watcher is at work."""
        if self._health_file is not None:
            self._health_file.open()
        try:
            self._tell(EventKind.STARTED, f"watching {self._settings.root}")
            self._agenda.ask(Cause.START)
            self._note_stamps()
            while not self._stop.is_set():
                self._turn()
        except _Stopped:
            pass
        finally:
            self._folder.close()
            self._beat(WatchState.STOPPED, now=True)
            if self._health_file is not None:
                self._health_file.close()
            self._tell(EventKind.STOPPED, "stopped")
        return self._remaining

    def _turn(self) -> None:
        """Waits, looks at what is due, and makes a pass if it is time for one."""
        # Without the folder nothing can be done, however much is due.
        wait = TICK if self._gone else min(self._agenda.wait(self._clock()), TICK)
        self._see(self._folder.wait(wait, self._stop))
        if self._stop.is_set():
            return
        self._look()
        self._look_elsewhere()
        batch = None if self._gone else self._agenda.batch(self._clock())
        if batch is not None:
            self._pass(batch)
        self._rest()

    # -- what happens in the folder --

    def _see(self, seen: Seen) -> None:
        if seen.gone != self._gone:
            self._gone = seen.gone
            if seen.gone:
                self._idle = False
                message = f"the local root {self._settings.root} is not there; waiting for it"
                self._tell(EventKind.WAITING, message, code="root_gone")
        if seen.armed is not None:
            self._tell(EventKind.WATCHING, f"watching {self._settings.root} {seen.armed}")
            self._agenda.ask(Cause.FOLDER)
        self._changed(seen.paths)

    def _changed(self, paths: Collection[str]) -> None:
        new = self._agenda.touch(paths, self._clock())
        if new:
            shown = tuple(sorted(paths)[:_SHOWN])
            self._tell(EventKind.CHANGED, f"{_many(new, 'file')} changed", count=new, paths=shown)

    def _look(self) -> None:
        for path in self._agenda.to_look_at(self._clock()):
            look = self._folder.look(path)
            if look is not None and look.folder:
                self._agenda.look_again(self._folder.below(path), self._clock())
            reason = self._agenda.looked(path, look, self._clock(), partial(self._folder.missing_end, path))
            if reason is not None:
                self._hold(path, reason)
            if self._stop.is_set():
                return

    def _hold(self, path: str, reason: str) -> None:
        self._tell(EventKind.WAITING, f"{path} is not complete: it {reason}", code="incomplete", paths=(path,))

    # -- what happens elsewhere --

    def _look_elsewhere(self) -> None:
        rules, database = self._note_stamps()
        if rules:
            self._agenda.ask(Cause.RULES)
            self._agenda.retry_now()
        if database:
            self._agenda.ask_for(self._changed_characters(), self._clock())

    def _note_stamps(self) -> tuple[bool, bool]:
        """Whether the rules file, and whether the local database, is another than at the last look."""
        paths = [self._settings.rules_path]
        if self._settings.local_db is not None:
            paths.append(self._settings.local_db.path)
        now = {path: stamp_of(path) for path in paths}
        changed = [path in self._stamps and now[path] != self._stamps[path] for path in paths]
        self._stamps = now
        return changed[0], changed[-1] and len(paths) > 1

    def _changed_characters(self) -> set[str]:
        """The characters whose entries in the local database are others than at the last pass over everything."""
        before = self._database
        try:
            with self._reopen() as project:
                self._database = found = _digests(project)
        except ReconcileError:  # being written, or wrong: the next pass says so
            self._agenda.ask(Cause.LOCAL_DATABASE)
            return set()
        if before is None:  # the first pass over everything is still to come
            return set()
        return {char_id for char_id, digest in found.items() if before.get(char_id) != digest}

    # -- one pass --

    def _pass(self, batch: Batch) -> None:
        scope: Scope | None = self._limit
        try:
            with self._reopen() as project:
                self._take_settings(project)
                scope = scope_of(batch, project.asset_map, self._known, self._limit)
                if scope is None:
                    self._agenda.done(batch, self._clock())
                    return
                self._idle = False
                self._beat(WatchState.PASS, now=True)
                self._locked(project, batch, scope)
        except _Stopped:
            raise
        except LockHeld as error:
            self._fail(batch, error.sentence, error.code, waiting=True, longest=LAST_LOCK_RETRY)
        except ReconcileError as error:
            if isinstance(error, UsageError) and scope != self._limit:
                # A character that was known a moment ago: everything is looked at instead.
                self._agenda.done(batch, self._clock())
                self._agenda.ask(batch.cause)
            else:
                self._fail(batch, error.sentence, error.code, waiting=isinstance(error, StoreUnavailable))
        except Exception as error:  # noqa: BLE001 a watcher outlives what nobody foresaw, and says so
            sentence = f"this is a bug in reconcile: {type(error).__name__}: {error}"
            self._fail(batch, sentence, "bug")

    def _take_settings(self, project: Project) -> None:
        """Goes over to changed rules."""
        project.concurrency = max(project.concurrency, self._concurrency)
        before, self._settings = self._settings, project.settings
        if before.settle != self._settings.settle:
            self._looks = _looks(project, self._clock)
        if any(getattr(before, name) != getattr(self._settings, name) for name in ("root", "ignore", "incomplete")) or (
            before.asset_map.templates != self._settings.asset_map.templates
        ):
            self._folder.close()
            self._folder = self._make_folder(project, self._poll)

    def _locked(self, project: Project, batch: Batch, scope: Scope) -> None:
        with project.lock().acquire() as lock:
            whole = scope == self._limit
            self._tell(
                EventKind.PASS_STARTED,
                "looking at everything" if whole else f"looking at {', '.join(scope.char_ids)}",
                cause=batch.cause,
                char_ids=scope.char_ids,
                count=len(batch.paths),
            )
            warnings = [lock.warning] if lock.warning else []
            if whole:
                self._database = _digests(project)
            seen = self._survey(project, batch, scope, warnings)
            self._warn(warnings)
            self._known = seen.known_ids if whole else self._known | seen.known_ids
            if self._apply:
                report = self._execute(project, seen.plan)
            else:
                report = None
                self._told_plan(seen.plan)
                self._unmade = bool(seen.plan.actions) or (self._unmade and not whole)
        self._conclude(project, batch, scope, seen.plan, report)

    def _survey(self, project: Project, batch: Batch, scope: Scope, warnings: list[str]) -> Survey:
        """A plan that waits for no file: what is new to it is looked at by the agenda, or by a later pass."""
        started = self._clock()
        for path, signature in batch.paths.items():
            self._looks.knows(path, signature)
        project.looks = self._looks
        seen = survey(project, scope, listener=partial(self._hear, warnings))
        self._looks.prune(started)
        return seen

    def _hear(self, warnings: list[str], event: Event) -> None:
        """Listens to a plan being made, which may take long, and changes nothing: so it may be left at any point."""
        self._beat()
        if isinstance(event, Warned):
            warnings.append(event.message)
        # Bytes that were hashed are told by other threads, with a count of 0.
        if self._stop.is_set() and isinstance(event, Advanced) and event.count:
            raise _Stopped

    def _warn(self, warnings: Collection[str]) -> None:
        for message in dict.fromkeys(warnings):
            if message not in self._warned:
                self._tell(EventKind.WARNING, message)
        self._warned = frozenset(warnings)

    def _execute(self, project: Project, plan: Plan) -> Report:
        if plan.actions:
            summary = plan.summary
            count = len(plan.actions)
            self._tell(EventKind.APPLYING, f"making {_many(count, 'change')}", count=count, bytes=summary.bytes)
        return execute(
            project,
            plan,
            concurrency=self._concurrency,
            listener=lambda _event: self._beat(),
            stop=self._stop,
            command="reconcile watch",
            fail_on=self._fail_on,
        )

    def _told_plan(self, plan: Plan) -> None:
        count = len(plan.actions)
        self._tell(EventKind.PLANNED, f"{_many(count, 'change')} to make", count=count, bytes=plan.summary.bytes)

    def _conclude(
        self,
        project: Project,
        batch: Batch,
        scope: Scope,
        plan: Plan,
        report: Report | None,
    ) -> None:
        """Says how the pass ended, and what of the batch is still to be taken."""
        found = self._standing.take(plan.findings, () if scope == self._limit else scope.char_ids)
        if report is None or _is_good(report, plan):
            self._agenda.done(batch, self._clock())
            self._good(report)
        elif report.status is Status.INTERRUPTED:
            self._told_report(report, f"stopped after {_many(report.counts.applied, 'change')}")
        else:
            self._conclude_badly(batch, plan, report)
        if found is not None:
            self._tell(EventKind.WARNING, found, code="findings", count=len(self._standing))
        again = [*_to_look_at(plan.findings), *self._others(project, batch, scope)]
        self._agenda.look_again(again, self._clock())

    def _others(self, project: Project, batch: Batch, scope: Scope) -> list[str]:
        """The files of the batch that, now that more characters are known, belong to others than were looked at."""
        if scope == self._limit:
            return []
        owners = {path: owner_of(path, project.asset_map, self._known) for path in batch.paths}
        return [path for path, owner in owners.items() if owner is None or not owner <= set(scope.char_ids)]

    def _conclude_badly(self, batch: Batch, plan: Plan, report: Report) -> None:
        bad = [outcome for outcome in report.outcomes if outcome.outcome in _BAD]
        good = report.counts.applied + report.counts.already
        if good:
            self._told_report(report, f"{_many(good, 'change')} made, {len(bad)} not")
        first = next((outcome for outcome in bad if outcome.error), None)
        if first is not None:
            message = f"{_many(len(bad), 'change')} failed; the first: {first.key or first.id}: {first.error}"
        elif not plan.complete:
            message = "a part of the local files could not be read; `reconcile plan` says which"
        else:
            message = f"{_many(len(bad), 'change')} could not be made"
        # The plan could be made, so the stores are there, and others may fare better.
        about = frozenset(outcome.id for outcome in bad)
        self._fail(batch, message, "changes_failed", alone=True, about=about)

    def _told_report(self, report: Report, message: str) -> None:
        self._tell(
            EventKind.APPLIED,
            message,
            run_id=report.run_id,
            counts=report.counts,
            bytes=report.bytes,
            seconds=report.seconds,
        )

    def _good(self, report: Report | None) -> None:
        if report is not None:
            made = report.counts.applied + report.counts.already
            self._told_report(report, f"{_many(made, 'change')} made" if made else "nothing to do")
        if self._agenda.is_failing:  # what failed earlier has still to be tried again
            return
        if self._failing is not None:
            self._failing = None
            self._tell(EventKind.RECOVERED, "it works again")
        emptied = tuple(each for each in self._standing.findings if each.code is Code.ROOT_EMPTIED)
        left = emptied or self._remaining
        last = self._health.last_good_pass if left else _now()
        error = f"{left[0].subject}: {left[0].message}" if left else None
        with self._health_lock:
            self._health = msgspec.structs.replace(self._health, last_good_pass=last, last_error=error)
        self._beat(now=True)

    @property
    def _remaining(self) -> tuple[Finding, ...]:
        return remaining(self._standing.findings, self._fail_on)

    def _fail(
        self,
        batch: Batch,
        sentence: str,
        code: str,
        *,
        alone: bool = False,
        waiting: bool = False,
        longest: float = LAST_RETRY,
        about: object = None,
    ) -> None:
        """Tries the batch again later; says so once, and again where the trouble is another."""
        delay = self._agenda.failed(batch, self._clock(), alone=alone, longest=longest)
        self._idle = False
        trouble = (code, about)
        if trouble != self._failing:
            kind = EventKind.WAITING if waiting else EventKind.FAILED
            self._tell(kind, sentence, code=code, retry_in=round(delay, 1))
        self._failing = trouble
        with self._health_lock:
            self._health = msgspec.structs.replace(self._health, last_error=sentence)
        self._beat(WatchState.WAITING if waiting else WatchState.FAILING, now=True)

    # -- saying how it is --

    def _rest(self) -> None:
        if self._agenda.is_idle and not self._gone and not self._idle:
            left = self._standing or self._agenda.held or self._unmade
            message = "nothing left to take; waiting for files" if left else "in step; waiting for files"
            self._tell(EventKind.IDLE, message, count=self._agenda.held)
            self._idle = True
            self._beat(WatchState.IDLE, now=True)
        self._beat(WatchState.WAITING if self._gone else None)

    def _tell(self, event: EventKind, message: str, **fields: Any) -> None:
        self._listener(WatchEvent(FORMAT, event, _now(), message, **fields))

    def _beat(self, state: WatchState | None = None, *, now: bool = False) -> None:
        """Gives a sign of life, if the last one is old; called from several threads."""
        with self._health_lock:
            if state is not None:
                self._health = msgspec.structs.replace(self._health, state=state)
            if not now and self._clock() - self._beaten < BEAT:
                return
            self._beaten = self._clock()
            self._health = msgspec.structs.replace(
                self._health, heard=_now(), pending=self._agenda.pending, incomplete=self._agenda.held
            )
            if self._health_file is not None:
                self._health_file.write(self._health)


_BAD = (OutcomeKind.FAILED, OutcomeKind.STALE, OutcomeKind.BLOCKED, OutcomeKind.NOT_STARTED)


def check(project: Path, max_age: float, now: datetime.datetime | None = None) -> tuple[WatchHealth | None, str | None]:
    """How the watcher of a project folder is: what it last wrote, and what is wrong, or None where all is well.

    ``max_age`` is how many seconds may lie behind the last good pass.
    """
    from reconcile.adapters.state.health import is_place_free, read_health

    found = read_health(project)
    if found is None:
        return None, "no watcher has run in this project"
    today = now or datetime.datetime.now(datetime.UTC)
    if found.state is WatchState.STOPPED:
        return found, f"the watcher was stopped at {found.heard}"
    if found.host == socket.gethostname() and is_place_free(project):
        return found, f"the watcher (process {found.pid}) has died"
    if _age(found.heard, today) > SILENT_AFTER:
        return found, f"the watcher (process {found.pid} on {found.host}) was last heard of at {found.heard}"
    error = f": {found.last_error}" if found.last_error else ""
    last = found.last_good_pass
    if _age(last or found.since, today) > max_age:
        return found, f"no pass went well since {last or found.since}{error}"
    return found, None


def _is_good(report: Report, plan: Plan) -> bool:
    """Whether everything was done, but for what was held back."""
    if report.status is Status.PARTIAL:
        return plan.complete and not any(outcome.outcome in _BAD for outcome in report.outcomes)
    return report.status is Status.SUCCESS


def _age(text: str, now: datetime.datetime) -> float:
    try:
        return (now - datetime.datetime.fromisoformat(text)).total_seconds()
    except (ValueError, TypeError):  # no time, or none that says of which zone: nothing that a watcher writes
        return math.inf


def _folder(project: Project, poll: Poll) -> Folder:
    from reconcile.adapters.local.watching import FolderWatch

    settings = project.settings
    holds = settings.incomplete is Incomplete.HOLD
    return FolderWatch(
        settings.root, ignore=settings.ignore, rules=settings.asset_map.templates, holds_incomplete=holds, poll=poll
    )


def _looks(project: Project, clock: Callable[[], float]) -> Looks:
    """What passes remember of new files; no pass waits, because the agenda does."""
    from reconcile.adapters.local.settle import Looks

    return Looks(project.settings.settle, clock=clock, sleep=None)


def _to_look_at(findings: Iterable[Finding]) -> list[str]:
    """The files that the agenda takes up: it waits until they have settled, and until they are whole."""
    wanted = (Code.UNSETTLED_FILE, Code.INCOMPLETE_FILE)
    return [finding.subject for finding in findings if finding.code in wanted]


def _digests(project: Project) -> dict[str, int]:
    """A short digest of each character's entry in the local database."""
    database = project.local_db
    if database is None:
        return {}
    return {document.id: hash(canonical(document.fields)) for document in database.read()}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
