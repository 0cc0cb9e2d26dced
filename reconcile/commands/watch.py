"""The watcher: keeps running, and brings the three worlds in step as files settle.

Each pass is an ordinary run (lock, plan, apply) over the characters whose files changed, or over everything: at the
start, at intervals, and whenever it is not certain whose files they are. A pass opens the project and closes it again,
so that changed rules, credentials or networks take effect at once and nothing is held open for days.

    core.watching    what is due, and when
    watch_sources    what changed in the folder, the rules file and the local database
    watch_teller     events and the health file
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import TypeAlias

import msgspec

from reconcile.adapters.local.watching import FolderWatch
from reconcile.adapters.meter import RequestListener
from reconcile.adapters.room import no_room
from reconcile.commands.watch_sources import Sources, folder_of
from reconcile.commands.watch_teller import Heartbeat, Teller, WatchListener
from reconcile.config.settings import Settings
from reconcile.core.bandwidth import UNLIMITED, Timetable
from reconcile.core.changes import Code, Finding, Severity
from reconcile.core.errors import LockHeld, ReconcileError, StoreUnavailable, UsageError
from reconcile.core.events import Advanced, Event, Warned
from reconcile.core.plan import Plan, Scope
from reconcile.core.portable import Portable
from reconcile.core.report import Report, Status, remaining
from reconcile.core.size import many
from reconcile.core.watch_report import EventKind, WatchState, news, still_open
from reconcile.core.watching import (
    LAST_LOCK_RETRY,
    LAST_RETRY,
    Agenda,
    Batch,
    Cause,
    Poll,
    Seen,
    owner_of,
    scope_of,
)
from reconcile.pipeline.executor import execute
from reconcile.pipeline.planner import survey
from reconcile.pipeline.survey import Survey
from reconcile.project import ClosedProject, OpenProject
from reconcile.run_options import MEMORY, RunOptions

TICK = 1.0
"""Seconds between two checks of the rules file, the local database and the folder itself."""

_SHOWN = 10
"""The most paths that an event names."""

Opener: TypeAlias = Callable[[], ClosedProject]


class WatchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a watcher.

    If ``apply`` is False the watcher only plans, takes no lock against other watchers, and writes no health file.
    ``every`` is the time between two passes over everything, in seconds. A pass is not good while findings of the
    severity ``fail_on`` remain. ``allows_empty``, ``concurrency``, ``memory``, ``spill``, ``cache``, ``bandwidth`` and
    ``witness`` are as for ``RunOptions``.
    """

    scope: Scope = Scope()
    apply: bool = True
    every: float = 3600.0
    poll: Poll = Poll.AUTO
    concurrency: int | None = None
    fail_on: Severity | None = None
    allows_empty: bool = False
    memory: int = MEMORY
    spill: Path | None = None
    cache: bool = True
    bandwidth: Timetable = UNLIMITED
    witness: RequestListener | None = None


_SHARED = frozenset(WatchOptions.__struct_fields__).intersection(RunOptions.__struct_fields__)
"""The options of a watcher that it passes on to each run."""


def watch(
    project: ClosedProject,
    options: WatchOptions | None = None,
    *,
    listener: WatchListener = lambda _event: None,
    stop: threading.Event | None = None,
    reopen: Opener | None = None,
) -> tuple[Finding, ...]:
    """Watches the local root of a ``Project`` until ``stop`` is set. Blocks; may run in any thread. Returns the
    remaining findings of the severity ``fail_on``.

    ``reopen`` returns the project for each pass, whose rules may have changed; without it the rules of ``project`` are
    used throughout. A pass that fails is reported to the listener and tried again. Raises only LockHeld, if another
    watcher of the project is running.
    """
    return Watcher(
        project,
        options or WatchOptions(),
        reopen=reopen or (lambda: project),
        listener=listener,
        stop=stop or threading.Event(),
    ).run()


class _Stopped(Portable, Exception):
    """The watcher was asked to stop before it changed anything in this pass."""


class Watcher:
    """The loop: waits for changes, looks at files that are due, and makes a pass when one is due. Tests pass their own
    clock and folder."""

    def __init__(
        self,
        project: ClosedProject,
        options: WatchOptions,
        *,
        reopen: Opener,
        listener: WatchListener,
        stop: threading.Event,
        clock: Callable[[], float] = time.monotonic,
        folder: Callable[[Settings, Poll], FolderWatch] = folder_of,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        settings = project.settings
        self._options = options
        self._reopen = reopen
        self._stop = stop
        self._clock = clock
        self._sources = Sources(settings, lambda settings: folder(settings, options.poll), clock)
        self._agenda = Agenda(settle=settings.settle, every=options.every, now=clock(), jitter=jitter)
        pulse = Heartbeat(settings.project if options.apply else None, self._agenda, clock)
        self._teller = Teller(listener, pulse)
        self._open: tuple[Finding, ...] = ()
        self._known: frozenset[str] = frozenset()
        self._unmade = False
        """Whether changes are planned that are not made, because this watcher only plans."""

    def run(self) -> tuple[Finding, ...]:
        """Watches until stopped. Returns the remaining findings of the severity ``fail_on``. Raises LockHeld if another
        watcher is running."""
        self._teller.pulse.open()
        try:
            self._teller.tell(EventKind.STARTED, f"started on {self._sources.root}")
            self._agenda.ask(Cause.START)
            self._sources.changed()
            while not self._stop.is_set():
                self._turn()
        except _Stopped:
            pass
        finally:
            self._sources.folder.close()
            self._teller.pulse.close()
            self._teller.tell(EventKind.STOPPED, "stopped")
        return remaining(self._open, self._options.fail_on)

    def _turn(self) -> None:
        # While the folder is gone nothing can be done, even if something is due.
        wait = TICK if self._sources.gone else min(self._agenda.wait(self._clock()), TICK)
        self._see(self._sources.folder.wait(wait, self._stop))
        if self._stop.is_set():
            return
        self._look()
        self._look_elsewhere()
        gone = self._sources.gone
        batch = None if gone else self._agenda.batch(self._clock())
        if batch is not None:
            self._pass(batch)
        if self._agenda.is_idle and not gone:
            self._teller.idle(self._agenda.held, left=bool(self._open or self._agenda.held or self._unmade))
        self._teller.pulse.beat(WatchState.WAITING if gone else None)

    # -- what happened --

    def _see(self, seen: Seen) -> None:
        root = self._sources.root
        if seen.gone and not self._sources.gone:
            self._teller.is_idle = False
            message = f"the local root {root} is not there; waiting for it"
            self._teller.tell(EventKind.WAITING, message, code="root_gone")
        self._sources.gone = seen.gone
        if seen.armed is not None:
            self._teller.tell(EventKind.WATCHING, f"watching {root} {seen.armed}")
            self._agenda.ask(Cause.FOLDER)
        new = self._agenda.touch(seen.paths, self._clock())
        if new:
            paths = tuple(sorted(seen.paths)[:_SHOWN])
            self._teller.tell(EventKind.CHANGED, f"{many(new, 'file')} changed", count=new, paths=paths)

    def _look(self) -> None:
        folder = self._sources.folder
        for path in self._agenda.to_look_at(self._clock()):
            look = folder.look(path)
            if look is not None and look.folder:
                self._agenda.look_again(folder.below(path), self._clock())
            reason = self._agenda.looked(path, look, self._clock(), partial(folder.missing_end, path))
            if reason is not None:
                message = f"{path} is not complete: it {reason}"
                self._teller.tell(EventKind.WAITING, message, code="incomplete", paths=(path,))
            if self._stop.is_set():
                return

    def _look_elsewhere(self) -> None:
        rules, database = self._sources.changed()
        if rules:
            self._agenda.ask(Cause.RULES)
            self._agenda.retry_now()
        if database:
            try:
                with self._reopen().opened() as project:
                    self._agenda.ask_for(self._sources.read_database(project), self._clock())
            except ReconcileError:  # it is being written or is invalid; the next pass reports it
                self._agenda.ask(Cause.LOCAL_DATABASE)

    # -- one pass --

    def _pass(self, batch: Batch) -> None:
        limit = self._options.scope
        scope: Scope | None = limit
        try:
            project = self._reopen()
            self._sources.take(project.settings)
            shared = {name: getattr(self._options, name) for name in _SHARED}
            with project.opened(RunOptions(**shared, looks=self._sources.looks)) as opened:
                scope = scope_of(batch, opened.asset_map, self._known, limit)
                if scope is None:
                    self._agenda.done(batch, self._clock())
                    return
                self._locked(opened, batch, scope)
        except _Stopped:
            raise
        except LockHeld as error:
            self._fail(batch, error.sentence, error.code, waiting=True, longest=LAST_LOCK_RETRY)
        except ReconcileError as error:
            if isinstance(error, UsageError) and scope != limit:
                # A character that was known a moment ago no longer is: look at everything instead.
                self._agenda.done(batch, self._clock())
                self._agenda.ask(batch.cause)
            else:
                self._fail(batch, error.sentence, error.code, waiting=isinstance(error, StoreUnavailable))
        except Exception as error:  # noqa: BLE001 a watcher goes on after an unexpected error
            if lacking := no_room(error):
                self._fail(batch, lacking.sentence, lacking.code)
            else:
                self._fail(batch, f"this is a bug in reconcile: {type(error).__name__}: {error}", "bug")

    def _locked(self, project: OpenProject, batch: Batch, scope: Scope) -> None:
        self._teller.is_idle = False
        self._teller.pulse.beat(WatchState.PASS, now=True)
        report: Report | None = None
        char_ids = () if scope == self._options.scope else scope.char_ids  # empty for everything
        with project.lock().acquire() as lock:
            message = f"looking at {', '.join(char_ids) or 'everything'}"
            about = {"cause": batch.cause, "char_ids": char_ids, "count": len(batch.paths)}
            self._teller.tell(EventKind.PASS_STARTED, message, **about)
            warnings = [lock.warning] if lock.warning else []
            if not char_ids:
                self._sources.read_database(project)
            seen = self._survey(project, batch, scope, warnings)
            self._teller.warnings(warnings)
            self._known = self._known | seen.known_ids if char_ids else seen.known_ids
            if self._options.apply:
                report = self._execute(project, seen.plan)
            else:
                self._teller.plan(EventKind.PLANNED, seen.plan, "{} to make")
                self._unmade = bool(seen.plan.actions or (self._unmade and char_ids))
        self._conclude(project, batch, char_ids, seen.plan, report)

    def _survey(self, project: OpenProject, batch: Batch, scope: Scope, warnings: list[str]) -> Survey:
        """Plans without waiting for files to settle: the agenda or a later pass takes up those that have not."""
        started, looks = self._clock(), self._sources.looks
        for path, signature in batch.paths.items():
            looks.knows(path, signature)
        seen = survey(project, scope, listener=partial(self._hear, warnings), tallied=False)
        looks.prune(started)
        return seen

    def _hear(self, warnings: list[str], event: Event) -> None:
        """Hears the events of a planning, and ends it if the watcher is to stop, which is safe because planning changes
        nothing."""
        self._teller.pulse.beat()
        if isinstance(event, Warned):
            warnings.append(event.message)
        # Hashed bytes are reported by other threads, with a count of 0.
        if self._stop.is_set() and isinstance(event, Advanced) and event.count:
            raise _Stopped

    def _execute(self, project: OpenProject, plan: Plan) -> Report:
        if plan.actions:
            self._teller.plan(EventKind.APPLYING, plan, "making {}")
        return execute(
            project,
            plan,
            listener=lambda _event: self._teller.pulse.beat(),
            stop=self._stop,
            command="reconcile watch",
            fail_on=self._options.fail_on,
        )

    def _conclude(
        self, project: OpenProject, batch: Batch, char_ids: Collection[str], plan: Plan, report: Report | None
    ) -> None:
        """Reports how the pass over these characters, or over everything, ended, and puts what it left back on the
        agenda."""
        before, self._open = self._open, still_open(self._open, plan.findings, char_ids)
        if report is None or report.status is Status.SUCCESS:
            self._agenda.done(batch, self._clock())
            if report is not None:
                made = report.counts.applied + report.counts.already
                self._teller.applied(report, f"{many(made, 'change')} made" if made else "nothing to do")
            if not self._agenda.is_failing:  # else something that failed earlier is yet to be tried again
                self._teller.good(self._left)
        elif report.status is Status.INTERRUPTED:
            self._teller.applied(report, f"stopped after {many(report.counts.applied, 'change')}")
        else:
            self._conclude_badly(batch, report)
        if sentence := news(before, self._open):
            self._teller.tell(EventKind.WARNING, sentence, code="findings", count=len(self._open))
        again = [each.subject for each in plan.findings if each.code in (Code.UNSETTLED_FILE, Code.INCOMPLETE_FILE)]
        if char_ids:  # files that turned out to belong to other characters
            owners = {path: owner_of(path, project.asset_map, self._known) for path in batch.paths}
            again += [path for path, owner in owners.items() if owner is None or not owner <= set(char_ids)]
        self._agenda.look_again(again, self._clock())

    @property
    def _left(self) -> tuple[Finding, ...]:
        """The findings that keep a pass from being good although it made every change."""
        emptied = tuple(each for each in self._open if each.code is Code.ROOT_EMPTIED)
        return emptied or remaining(self._open, self._options.fail_on)

    def _conclude_badly(self, batch: Batch, report: Report) -> None:
        bad = [outcome for outcome in report.outcomes if not outcome.is_done]
        good = report.counts.applied + report.counts.already
        if good:
            self._teller.applied(report, f"{many(good, 'change')} made, {len(bad)} not")
        if bad:
            message = f"{many(len(bad), 'change')} failed; the first: {bad[0].key or bad[0].id}: {bad[0].error}"
        else:  # the plan is not complete
            message = "a part of the local files could not be read; `reconcile plan` says which"
        # Since the plan could be made, the stores can be reached, and other changes may succeed meanwhile.
        about = frozenset(outcome.id for outcome in bad)
        self._fail(batch, message, "changes_failed", about=about)

    def _fail(
        self,
        batch: Batch,
        sentence: str,
        code: str,
        *,
        waiting: bool = False,
        longest: float = LAST_RETRY,
        about: object = None,
    ) -> None:
        """Has the batch tried again; other passes wait for that, unless it is ``about`` a part of the batch alone."""
        delay = self._agenda.failed(batch, self._clock(), alone=about is not None, longest=longest)
        self._teller.failed(sentence, code, delay, about, waiting=waiting)
