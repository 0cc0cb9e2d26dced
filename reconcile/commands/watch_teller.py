"""What a watcher reports: events for its listener and signs of life in the health file; and the check of that file."""

from __future__ import annotations

import datetime
import math
import os
import socket
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from reconcile.adapters.state.health import is_place_free, read_health, take_place, write_health
from reconcile.core.changes import Finding
from reconcile.core.plan import Plan
from reconcile.core.report import Report
from reconcile.core.size import many
from reconcile.core.watch_report import FORMAT, HEALTH_FORMAT, EventKind, WatchEvent, WatchHealth, WatchState
from reconcile.core.watching import Agenda
from reconcile.pipeline.account import now as time_now

BEAT = 30.0
"""Seconds between two signs of life in the health file."""
SILENT_AFTER = 300.0
"""Seconds without a sign of life after which a watcher counts as dead."""

WatchListener: TypeAlias = Callable[[WatchEvent], None]


class Heartbeat:
    """The signs of life of a watcher, from any of its threads. Without a project none are written."""

    def __init__(self, project: Path | None, agenda: Agenda, clock: Callable[[], float]) -> None:
        self._project = project
        self._place = ExitStack()
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
        """Takes the lock for watchers of the project. Raises LockHeld if another watcher has it."""
        if self._project is not None:
            self._place = take_place(self._project)

    def close(self) -> None:
        """Writes that the watcher has stopped, and releases the lock."""
        self.beat(WatchState.STOPPED, now=True)
        self._place.close()

    def beat(self, state: WatchState | None = None, *, now: bool = False, **changed: Any) -> None:
        """Writes a sign of life if the last one is older than ``BEAT``, or if ``now``. ``changed`` are fields of the
        health file."""
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
            if self._project is not None:
                write_health(self._project, self._state)


class Teller:
    """Turns what happens into events without repeating any: an error that lasts, a warning of every pass, and that
    there is nothing to do are reported once.

    ``is_idle`` says whether the last event was that there is nothing to do.
    """

    def __init__(self, listener: WatchListener, pulse: Heartbeat) -> None:
        self.pulse = pulse
        self.is_idle = False
        self._listener = listener
        self._warned: frozenset[str] = frozenset()
        self._trouble: object = None

    def tell(self, event: EventKind, message: str, **fields: Any) -> None:
        self._listener(WatchEvent(FORMAT, event, time_now(), message, **fields))

    def plan(self, event: EventKind, plan: Plan, message: str) -> None:
        """Reports what is planned or about to be done. ``message`` has a place for the number of changes."""
        count = len(plan.actions)
        self.tell(event, message.format(many(count, "change")), count=count, bytes=plan.summary.bytes)

    def applied(self, report: Report, message: str) -> None:
        figures = {"counts": report.counts, "bytes": report.bytes, "seconds": report.seconds}
        self.tell(EventKind.APPLIED, message, run_id=report.run_id, **figures)

    def warnings(self, messages: Collection[str]) -> None:
        """Reports the warnings of a pass, except those that the pass before it also had."""
        for message in dict.fromkeys(messages):
            if message not in self._warned:
                self.tell(EventKind.WARNING, message)
        self._warned = frozenset(messages)

    def good(self, left: Sequence[Finding]) -> None:
        """Reports that a pass went well and nothing is to be tried again. It does not count as good if findings are
        ``left``."""
        if self._trouble is not None:
            self._trouble = None
            self.tell(EventKind.RECOVERED, "it works again")
        if left:
            self.pulse.beat(now=True, last_error=f"{left[0].subject}: {left[0].message}")
        else:
            self.pulse.beat(now=True, last_error=None, last_good_pass=time_now())

    def failed(self, sentence: str, code: str, delay: float, about: object, *, waiting: bool) -> None:
        """Reports that a pass failed and is tried again in ``delay`` seconds, unless the pass before it failed in the
        same way, ``about`` the same things."""
        self.is_idle = False
        trouble = (code, about)
        if trouble != self._trouble:
            kind = EventKind.WAITING if waiting else EventKind.FAILED
            self.tell(kind, sentence, code=code, retry_in=round(delay, 1))
        self._trouble = trouble
        self.pulse.beat(WatchState.WAITING if waiting else WatchState.FAILING, now=True, last_error=sentence)

    def idle(self, held: int, *, left: bool) -> None:
        """Reports that there is nothing to do, or nothing except what is ``left`` for a person."""
        if self.is_idle:
            return
        message = "nothing left to take; waiting for files" if left else "in step; waiting for files"
        self.tell(EventKind.IDLE, message, count=held)
        self.is_idle = True
        self.pulse.beat(WatchState.IDLE, now=True)


def check(project: Path, max_age: float, now: datetime.datetime | None = None) -> tuple[WatchHealth | None, str | None]:
    """Reads the health that the watcher of a project last wrote. Returns it, and what is wrong, or None if nothing is.

    ``max_age`` is the number of seconds that may have passed since the last good pass.
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


def _age(text: str, now: datetime.datetime) -> float:
    try:
        return (now - datetime.datetime.fromisoformat(text)).total_seconds()
    except (ValueError, TypeError):  # not a time with a time zone, so no watcher wrote it
        return math.inf
