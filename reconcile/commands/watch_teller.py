"""What a watcher says: each thing once, to its listener, and how it is, to the health file; and reading that file."""

from __future__ import annotations

import datetime
import math
import os
import socket
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from reconcile.adapters.state.health import HealthFile, is_place_free, read_health
from reconcile.core.changes import Finding
from reconcile.core.plan import Plan
from reconcile.core.report import Report
from reconcile.core.watch_report import FORMAT, HEALTH_FORMAT, EventKind, WatchEvent, WatchHealth, WatchState
from reconcile.core.watching import Agenda, Batch
from reconcile.pipeline.account import now as time_now

BEAT = 30.0
"""Seconds between two signs of life in the health file."""
SILENT_AFTER = 300.0
"""Seconds after which a watcher that gave no sign of life counts as dead."""
_SHOWN = 10

WatchListener: TypeAlias = Callable[[WatchEvent], None]


class Pulse:
    """The watcher's signs of life. Several threads may give them; without a file they go nowhere."""

    def __init__(self, file: HealthFile | None, agenda: Agenda, clock: Callable[[], float]) -> None:
        self._file = file
        self._agenda = agenda
        self._clock = clock
        self._lock = threading.Lock()
        self._beaten = -BEAT
        self._state = WatchHealth(
            HEALTH_FORMAT,
            os.getpid(),
            socket.gethostname(),
            time_now(),
            time_now(),
            WatchState.STARTING,
            None,
            None,
            0,
            0,
        )

    def open(self) -> None:
        """Takes the place of the one watcher of the project. Raises LockHeld if another one has it."""
        if self._file is not None:
            self._file.open()

    def close(self) -> None:
        """Says that it has stopped, and leaves the place to another one."""
        self.beat(WatchState.STOPPED, now=True)
        if self._file is not None:
            self._file.close()

    def beat(self, state: WatchState | None = None, *, now: bool = False, **changed: Any) -> None:
        """Gives a sign of life if the last one is old, or ``now``. ``changed`` are fields of the health file."""
        if state is not None:
            changed["state"] = state
        with self._lock:
            self._state = msgspec.structs.replace(self._state, **changed)
            if not now and self._clock() - self._beaten < BEAT:
                return
            self._beaten = self._clock()
            self._state = msgspec.structs.replace(
                self._state, heard=time_now(), pending=self._agenda.pending, incomplete=self._agenda.held
            )
            if self._file is not None:
                self._file.write(self._state)


class Teller:
    """Turns what happens into events, and says nothing twice: a trouble that lasts, a warning of every pass, or that
    there is nothing to do."""

    def __init__(self, listener: WatchListener, pulse: Pulse) -> None:
        self.pulse = pulse
        self._listener = listener
        self._warned: frozenset[str] = frozenset()
        self._trouble: object = None
        self._idle = False

    def started(self, root: Path) -> None:
        """It begins."""
        self._tell(EventKind.STARTED, f"watching {root}")

    def stopped(self) -> None:
        """It has ended."""
        self._tell(EventKind.STOPPED, "stopped")

    def watching(self, root: Path, how: str) -> None:
        """The folder is listened to from now on."""
        self._tell(EventKind.WATCHING, f"watching {root} {how}")

    def folder_gone(self, root: Path) -> None:
        """The folder is not there any more."""
        self._idle = False
        self._tell(EventKind.WAITING, f"the local root {root} is not there; waiting for it", code="root_gone")

    def changed(self, paths: Collection[str], new: int) -> None:
        """Files changed; ``new`` of them were not known to."""
        if new:
            shown = tuple(sorted(paths)[:_SHOWN])
            self._tell(EventKind.CHANGED, f"{many(new, 'file')} changed", count=new, paths=shown)

    def incomplete(self, path: str, reason: str) -> None:
        """A file is held back."""
        self._tell(EventKind.WAITING, f"{path} is not complete: it {reason}", code="incomplete", paths=(path,))

    def passing(self) -> None:
        """A pass is about to begin."""
        self._idle = False
        self.pulse.beat(WatchState.PASS, now=True)

    def pass_started(self, batch: Batch, char_ids: tuple[str, ...]) -> None:
        """A pass has the lock; no ``char_ids`` if it is over everything."""
        message = f"looking at {', '.join(char_ids) or 'everything'}"
        self._tell(EventKind.PASS_STARTED, message, cause=batch.cause, char_ids=char_ids, count=len(batch.paths))

    def warnings(self, messages: Collection[str]) -> None:
        """The warnings of a pass; those that the pass before it had too were told then."""
        for message in dict.fromkeys(messages):
            if message not in self._warned:
                self._tell(EventKind.WARNING, message)
        self._warned = frozenset(messages)

    def findings(self, sentence: str, count: int) -> None:
        """Other findings remain than before."""
        self._tell(EventKind.WARNING, sentence, code="findings", count=count)

    def planned(self, plan: Plan) -> None:
        """What would be done."""
        self._tell_plan(EventKind.PLANNED, plan, "{} to make")

    def applying(self, plan: Plan) -> None:
        """What is about to be done, if anything."""
        if plan.actions:
            self._tell_plan(EventKind.APPLYING, plan, "making {}")

    def _tell_plan(self, event: EventKind, plan: Plan, message: str) -> None:
        count = len(plan.actions)
        self._tell(event, message.format(many(count, "change")), count=count, bytes=plan.summary.bytes)

    def applied(self, report: Report, message: str) -> None:
        """What was done."""
        self._tell(
            EventKind.APPLIED,
            message,
            run_id=report.run_id,
            counts=report.counts,
            bytes=report.bytes,
            seconds=report.seconds,
        )

    def good(self, left: Collection[Finding]) -> None:
        """A pass went well, and nothing has to be tried again; ``left`` are findings for which it is not a good one."""
        if self._trouble is not None:
            self._trouble = None
            self._tell(EventKind.RECOVERED, "it works again")
        if left:
            first = next(iter(left))
            self.pulse.beat(now=True, last_error=f"{first.subject}: {first.message}")
        else:
            self.pulse.beat(now=True, last_error=None, last_good_pass=time_now())

    def failed(self, sentence: str, code: str, delay: float, about: object, *, waiting: bool) -> None:
        """A pass is tried again in ``delay`` seconds; said again only if the trouble, or what it is ``about``, is
        another than last time."""
        self._idle = False
        trouble = (code, about)
        if trouble != self._trouble:
            kind = EventKind.WAITING if waiting else EventKind.FAILED
            self._tell(kind, sentence, code=code, retry_in=round(delay, 1))
        self._trouble = trouble
        self.pulse.beat(WatchState.WAITING if waiting else WatchState.FAILING, now=True, last_error=sentence)

    def idle(self, held: int, *, left: bool) -> None:
        """There is nothing to do; ``left`` is whether something remains that a watcher does not take."""
        if self._idle:
            return
        message = "nothing left to take; waiting for files" if left else "in step; waiting for files"
        self._tell(EventKind.IDLE, message, count=held)
        self._idle = True
        self.pulse.beat(WatchState.IDLE, now=True)

    def _tell(self, event: EventKind, message: str, **fields: Any) -> None:
        self._listener(WatchEvent(FORMAT, event, time_now(), message, **fields))


def check(project: Path, max_age: float, now: datetime.datetime | None = None) -> tuple[WatchHealth | None, str | None]:
    """What the watcher of a project folder last wrote, and what is wrong with it, or None if all is well.

    ``max_age`` is how long ago the last good pass may be, in seconds.
    """
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


def many(count: int, noun: str) -> str:
    """The count with its noun."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _age(text: str, now: datetime.datetime) -> float:
    try:
        return (now - datetime.datetime.fromisoformat(text)).total_seconds()
    except (ValueError, TypeError):  # no time, or none that says of which zone: nothing that a watcher writes
        return math.inf
