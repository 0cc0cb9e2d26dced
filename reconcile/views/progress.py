"""Progress on stderr: a bar on a terminal, sparse lines elsewhere, JSON lines for machines, or nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO, assert_never

import msgspec

from reconcile.core.duration import format_duration
from reconcile.core.events import (
    Advanced,
    ChangeDone,
    Event,
    Listener,
    Phase,
    PhaseDone,
    PhaseStarted,
    Unanswered,
    Waiting,
    Warned,
)
from reconcile.core.report import Outcome, OutcomeKind
from reconcile.views import json, words
from reconcile.views.streams import Colour, flush, write, write_bytes
from reconcile.views.terminal import console, takes_escapes, visible

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

EVERY = 10.0
"""Seconds between two lines of one phase."""


class PhaseProgress:
    """How far one phase is."""

    def __init__(self, started: PhaseStarted, now: float) -> None:
        self.phase = started.phase
        self.total = started.total
        self.total_bytes = started.total_bytes
        self.count = 0
        self.size = 0
        self.began = now
        self.told = now

    def fraction(self) -> float | None:
        """How much is done, by bytes if they are known; None if no total is."""
        if self.total_bytes:
            return self.size / self.total_bytes
        return self.count / self.total if self.total else None

    def sentence(self, now: float) -> str:
        """``12 of 300 files, 3.4 MB of 120.0 MB, 1.2 MB/s, 95 s left``."""
        return ", ".join(self._parts(max(now - self.began, 1e-9)))

    def _parts(self, seconds: float) -> Iterator[str]:
        noun = words.PHASES[self.phase][1]
        yield (
            words.many(self.count, noun) if self.total is None else f"{self.count:,} of {words.many(self.total, noun)}"
        )
        if self.size or self.total_bytes:
            moved = words.size(max(self.size, 0))
            yield moved if self.total_bytes is None else f"{moved} of {words.size(self.total_bytes)}"
            yield f"{words.size(int(max(self.size, 0) / seconds))}/s"
        done = self.fraction()
        if done is not None and 0 < done < 1:
            yield f"{seconds / done - seconds:.0f} s left"


def shows_bars(stream: TextIO) -> bool:
    """Whether a bar can be shown: on a terminal that takes escape sequences. Without them it would be moved by calls
    that move stdout's cursor."""
    return stream.isatty() and takes_escapes(stream)


@contextmanager
def listening(
    stream: TextIO,
    *,
    quiet: bool = False,
    as_json: bool = False,
    colour: Colour = "auto",
    bars: bool = True,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Listener]:
    """A listener for the events of a run, which may come from several threads.

    JSON lines go before silence, and silence before bars, which not every stream shows, and which other lines would
    spoil. Warnings are always written.
    """
    lines = _Lines(stream)
    if as_json:
        yield _Counting(clock, _Json(stream)).hear
    elif quiet:
        yield lambda event: lines.warned(event.message) if isinstance(event, Warned) else None
    elif bars and shows_bars(stream):
        with _bars(stream, colour) as progress:
            yield _Counting(clock, _Bars(progress), every=0.0).hear
    else:
        yield _Counting(clock, lines).hear


class _Counting:
    """Counts what phases do, and has a writer say when they begin and end and, now and then, how far they are."""

    def __init__(self, clock: Callable[[], float], teller: _Lines | _Json, every: float = EVERY) -> None:
        self._clock = clock
        self._teller = teller
        self._every = every
        self._tallies: dict[Phase, PhaseProgress] = {}
        self._lock = threading.Lock()

    def hear(self, event: Event) -> None:
        with self._lock:
            if isinstance(event, Advanced):  # of which there is one for each asset
                self._advance(event, self._clock())
            else:
                self._take(event, self._clock())

    def _take(self, event: PhaseStarted | PhaseDone | Waiting | Unanswered | ChangeDone | Warned, now: float) -> None:
        match event:
            case PhaseStarted():
                self._tallies[event.phase] = PhaseProgress(event, now)
                self._teller.started(event)
            case PhaseDone():
                done = self._tallies.pop(event.phase, None)
                if done is not None:
                    self._teller.done(done, now)
            case Waiting():
                self._teller.waiting(event)
            case Unanswered():
                self._teller.unanswered(event)
            case ChangeDone():
                self._teller.change(event.outcome)
            case Warned():
                self._teller.warned(event.message)
            case _:
                assert_never(event)

    def _advance(self, event: Advanced, now: float) -> None:
        tally = self._tallies.get(event.phase)
        if tally is None:
            return
        tally.count += event.count
        tally.size += event.size
        if now - tally.told >= self._every:
            tally.told = now
            self._teller.progress(tally, now)


class _Lines:
    """Writes a line for each event."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def started(self, event: PhaseStarted) -> None:
        self._say(f"{words.PHASES[event.phase][0]} ...")

    def progress(self, tally: PhaseProgress, now: float) -> None:
        self._say(f"{words.PHASES[tally.phase][0]}: {tally.sentence(now)}")

    def done(self, tally: PhaseProgress, now: float) -> None:
        self._say(f"{words.PHASES[tally.phase][0]}: {tally.sentence(now)}, done in {now - tally.began:.1f} s")

    def waiting(self, event: Waiting) -> None:
        seconds = f"{event.seconds:.1f} s" if event.seconds < 60 else format_duration(event.seconds)
        new = f"{words.many(event.count, 'file')} {'is' if event.count == 1 else 'are'} new"
        self._say(f"{new}: looking again in {seconds}, to see whether they are still being written")

    def unanswered(self, event: Unanswered) -> None:
        self._say(f"waiting for {event.store} ({words.took(event.seconds)})")

    def change(self, outcome: Outcome) -> None:
        if outcome.outcome is OutcomeKind.FAILED:
            why = outcome.error or "no reason was given"
            self._say(f"failed: {outcome.kind} {outcome.key or outcome.id}: {why}")

    def warned(self, message: str) -> None:
        self._say(f"warning: {message}")

    def _say(self, text: str) -> None:
        write(self._stream, visible(text) + "\n")
        flush(self._stream)


class _Json:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def started(self, event: PhaseStarted) -> None:
        phase = event.phase.name.lower()
        log(self._stream, "phase_started", phase=phase, total=event.total, total_bytes=event.total_bytes)

    def progress(self, tally: PhaseProgress, now: float) -> None:
        self._tell("phase_progress", tally, now)

    def done(self, tally: PhaseProgress, now: float) -> None:
        self._tell("phase_done", tally, now)

    def waiting(self, event: Waiting) -> None:
        log(self._stream, "waiting", count=event.count, seconds=round(event.seconds, 3))

    def unanswered(self, event: Unanswered) -> None:
        log(self._stream, "unanswered", store=event.store, seconds=round(event.seconds, 3))

    def change(self, outcome: Outcome) -> None:
        log(self._stream, "change_done", **msgspec.to_builtins(outcome))

    def warned(self, message: str) -> None:
        log(self._stream, "warning", message=message)

    def _tell(self, event: str, tally: PhaseProgress, now: float) -> None:
        seconds = round(now - tally.began, 3)
        log(self._stream, event, phase=tally.phase.name.lower(), count=tally.count, bytes=tally.size, seconds=seconds)


def log(stream: TextIO, event: str, **fields: Any) -> None:
    """One JSON object on a line of its own, with the time (UTC)."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    write_bytes(stream, json.line({"time": now, "event": event, **fields}))
    flush(stream)


@contextmanager
def _bars(stream: TextIO, colour: Colour) -> Iterator[Progress]:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
    from rich.table import Column

    columns = (
        SpinnerColumn("line"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=12),
        TextColumn("{task.fields[told]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
    )
    with Progress(*columns, console=console(stream, colour), transient=True) as progress:
        yield progress


class _Bars(_Lines):
    """One bar for each phase; it disappears when all is done; the result is on stdout."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[Phase, TaskID] = {}

    def started(self, event: PhaseStarted) -> None:
        self._tasks[event.phase] = self._progress.add_task(words.PHASES[event.phase][0], total=None, told="")

    def progress(self, tally: PhaseProgress, now: float) -> None:
        done, task = tally.fraction(), self._tasks[tally.phase]
        total = None if done is None else 1.0
        self._progress.update(task, total=total, completed=done or 0.0, told=tally.sentence(now))

    def done(self, tally: PhaseProgress, now: float) -> None:  # noqa: ARG002 the bar only goes
        self._progress.remove_task(self._tasks.pop(tally.phase))

    def _say(self, text: str) -> None:
        self._progress.console.print(visible(text), soft_wrap=True)
