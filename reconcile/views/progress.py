"""Progress on stderr: a bar on a terminal, sparse lines elsewhere, JSON lines for machines, or nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, TextIO, assert_never

import msgspec

from reconcile.core.duration import format_duration
from reconcile.core.events import (
    Advanced,
    ChangeDone,
    Event,
    Listener,
    Moving,
    Phase,
    PhaseDone,
    PhaseStarted,
    Unanswered,
    Waiting,
    Warned,
)
from reconcile.core.report import Outcome, OutcomeKind
from reconcile.core.time_left import RestEstimate
from reconcile.views import json, words
from reconcile.views.streams import Colour, flush, write, write_bytes
from reconcile.views.terminal import console, takes_escapes, visible

if TYPE_CHECKING:
    from rich.console import RenderableType

EVERY = 10.0
"""Seconds between two lines of one phase."""
_STRETCH = 0.5
"""Seconds between two samples of the pace, from which the remaining time is estimated."""
_EXACT = 59.5
SLOWEST = 3
"""The most transfers that are named."""
SLOW = 2.0
"""Seconds after which a transfer is named."""
STARTED, PROGRESS, DONE = "phase_started", "phase_progress", "phase_done"
"""The names of the events of a phase."""


class Transfer(msgspec.Struct):
    """One file that is being transferred: how many bytes of its ``size`` have ``moved`` since it ``began``."""

    key: str
    size: int
    began: float
    moved: int = 0

    def sentence(self, now: float) -> str:
        """Returns a text such as ``3.4 MB of 120.0 MB, 1m05s``."""
        return f"{words.size(max(self.moved, 0))} of {words.size(self.size)}, {words.took(now - self.began)}"


class PhaseProgress:
    """The progress of one phase."""

    def __init__(self, started: PhaseStarted, now: float) -> None:
        self.phase = started.phase
        self.total = started.total
        self.total_bytes = started.total_bytes
        self.count = 0
        self.size = 0
        self.began = now
        self.told = now
        self._pace = RestEstimate()
        self._paced = (0, 0, now)

    def advance(self, count: int, size: int, now: float) -> None:
        """Adds finished items and bytes."""
        self.count += count
        self.size += size
        done, moved, then = self._paced
        if now - then >= _STRETCH:
            self._pace.add(self.count - done, self.size - moved, now - then)
            self._paced = (self.count, self.size, now)

    def left(self) -> float | None:
        """Returns the estimated seconds for the remaining items and bytes; None if unknown."""
        if self.total is None or self.count >= self.total:
            return None
        return self._pace.left(self.total - self.count, (self.total_bytes or 0) - self.size)

    def fraction(self, now: float) -> float | None:
        """Returns the share of the time that has passed, from 0 to 1. While the remaining time is unknown it is the
        share of the items, and None if the total is unknown, too."""
        left = self.left()
        if left is not None:
            return (now - self.began) / max(now - self.began + left, 1e-9)
        return min(self.count / self.total, 1.0) if self.total else None

    def sentence(self, now: float) -> str:
        """Returns a text such as ``12 of 300 files, 3.4 MB of 120.0 MB, 1.2 MB/s, 4m10s left``."""
        return ", ".join(filter(None, (*self.parts(now), self.left_in_words())))

    def left_in_words(self) -> str:
        """Returns a text such as ``4m10s left``; empty if that is unknown."""
        left = self.left()
        if left is None:
            return ""
        return f"{left:.0f} s left" if left < _EXACT else f"{words.took(left)} left"

    def parts(self, now: float) -> Iterator[str]:
        """Yields what is done, and how fast."""
        noun, seconds = self.phase.noun, max(now - self.began, 1e-9)
        yield (
            words.many(self.count, noun) if self.total is None else f"{self.count:,} of {words.many(self.total, noun)}"
        )
        if self.size or self.total_bytes:
            moved = words.size(max(self.size, 0))
            yield moved if self.total_bytes is None else f"{moved} of {words.size(self.total_bytes)}"
            yield f"{words.size(int(max(self.size, 0) / seconds))}/s"


def shows_bars(stream: TextIO) -> bool:
    """Whether a bar can be shown: on a terminal that accepts escape sequences. Without them, rich would move the cursor
    of stdout."""
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
    """Yields a listener for the events of a run, which may come from several threads.

    ``as_json`` takes precedence over ``quiet``, and that over bars. Bars need a stream that can show them, and are off
    if other lines are written to it (``bars`` is false). Warnings are always written.
    """
    lines = _Lines(stream)
    if as_json:
        yield _Counting(clock, _Json(stream)).hear
    elif quiet:
        yield lambda event: lines.say("warning", f"warning: {event.message}") if isinstance(event, Warned) else None
    elif bars and shows_bars(stream):
        shown = _Bars(stream, colour)
        with shown.live:
            yield _Counting(clock, shown, every=0.0).hear
    else:
        yield _Counting(clock, lines).hear


class _Counting:
    """Counts what phases do. Has a writer report their beginning, their end, and at intervals their progress."""

    def __init__(self, clock: Callable[[], float], teller: _Lines | _Json, every: float = EVERY) -> None:
        self._clock = clock
        self._teller = teller
        self._every = every
        self._tallies: dict[Phase, PhaseProgress] = {}
        self._transfers: dict[str, Transfer] = {}
        self._lock = threading.Lock()

    def hear(self, event: Event) -> None:
        with self._lock:
            now = self._clock()
            match event:
                case Advanced():  # the most frequent event: one for each asset
                    self._advance(event, now)
                case PhaseStarted():
                    tally = self._tallies[event.phase] = PhaseProgress(event, now)
                    self._teller.phase(STARTED, tally, (), now)
                case Moving():
                    self._transfers[event.key] = Transfer(event.key, event.size, now)
                case PhaseDone():
                    if event.phase in self._tallies:
                        self._teller.phase(DONE, self._tallies.pop(event.phase), (), now)
                case Waiting(count, seconds):
                    again = f"{seconds:.1f} s" if seconds < 60 else format_duration(seconds)
                    new = f"{words.many(count, 'file')} {'is' if count == 1 else 'are'} new"
                    sentence = f"{new}: looking again in {again}, to see whether they are still being written"
                    self._teller.say("waiting", sentence, count=count, seconds=round(seconds, 3))
                case Unanswered(store, seconds):
                    sentence = f"waiting for {store} ({words.took(seconds)})"
                    self._teller.say("unanswered", sentence, store=store, seconds=round(seconds, 3))
                case ChangeDone():
                    self._transfers.pop(event.outcome.key or "", None)
                    self._teller.change(event.outcome)
                case Warned(message):
                    self._teller.say("warning", f"warning: {message}", message=message)
                case _:
                    assert_never(event)

    def _advance(self, event: Advanced, now: float) -> None:
        tally = self._tallies.get(event.phase)
        if tally is None:
            return
        tally.advance(event.count, event.size, now)
        if event.key in self._transfers:
            self._transfers[event.key].moved += event.size
        if now - tally.told >= self._every:
            tally.told = now
            self._teller.phase(PROGRESS, tally, self._slowest(now), now)

    def _slowest(self, now: float) -> list[Transfer]:
        """Returns the transfers that have taken the longest so far."""
        slow = [each for each in self._transfers.values() if now - each.began >= SLOW]
        return sorted(slow, key=lambda each: each.began)[:SLOWEST]


class _Lines:
    """Writes a line for each event."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def phase(self, event: str, tally: PhaseProgress, slowest: Sequence[Transfer], now: float) -> None:
        """Tells of the beginning of a phase, its progress or its end, by the name of the event."""
        told = f"{tally.phase.title}: {tally.sentence(now)}"
        if event == STARTED:
            told = f"{tally.phase.title} ..."
        elif event == DONE:
            told += f", done in {words.took(now - tally.began)}"
        elif slowest:
            told += f"; slowest: {'; '.join(f'{each.key} ({each.sentence(now)})' for each in slowest)}"
        self.say(event, told)

    def change(self, outcome: Outcome) -> None:
        if outcome.outcome is OutcomeKind.FAILED:
            why = outcome.error or "no reason was given"
            self.say("change_done", f"failed: {outcome.kind} {outcome.key or outcome.id}: {why}")

    def say(self, _event: str, sentence: str, **_fields: Any) -> None:
        """Tells of an event: a writer of text with the sentence, one of JSON with the name and the fields."""
        write(self._stream, visible(sentence) + "\n")
        flush(self._stream)


class _Json:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def phase(self, event: str, tally: PhaseProgress, _slowest: Sequence[Transfer], now: float) -> None:
        fields: dict[str, Any] = {"count": tally.count, "bytes": tally.size, "seconds": round(now - tally.began, 3)}
        if event == STARTED:
            fields = {"total": tally.total, "total_bytes": tally.total_bytes}
        log(self._stream, event, phase=tally.phase.name.lower(), **fields)

    def change(self, outcome: Outcome) -> None:
        log(self._stream, "change_done", **msgspec.to_builtins(outcome))

    def say(self, event: str, _sentence: str, **fields: Any) -> None:
        log(self._stream, event, **fields)


def log(stream: TextIO, event: str, **fields: Any) -> None:
    """Writes one JSON object on a line of its own, with the time (UTC)."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    write_bytes(stream, json.line({"time": now, "event": event, **fields}))
    flush(stream)


class _Bars(_Lines):
    """Shows a bar for each phase, its figures below it, and the slowest transfers. Everything disappears at the end,
    because the result is on stdout."""

    def __init__(self, stream: TextIO, colour: Colour) -> None:
        from rich.live import Live

        self._shown: dict[Phase, Callable[[], Iterator[RenderableType]]] = {}
        self._console = console(stream, colour)
        self.live = Live(console=self._console, get_renderable=self._drawn, transient=True, refresh_per_second=8)

    def phase(self, event: str, tally: PhaseProgress, slowest: Sequence[Transfer], now: float) -> None:
        if event == DONE:
            del self._shown[tally.phase]
        else:
            known = None if event == STARTED else tally
            self._shown[tally.phase] = partial(_bar, tally.phase, known, slowest, now)

    def say(self, _event: str, sentence: str, **_fields: Any) -> None:
        self._console.print(visible(sentence), soft_wrap=True)

    def _drawn(self) -> RenderableType:
        from rich.console import Group

        return Group(*chain.from_iterable(bar() for bar in list(self._shown.values())))


def _bar(
    phase: Phase, tally: PhaseProgress | None, slowest: Sequence[Transfer], now: float
) -> Iterator[RenderableType]:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    fraction = None if tally is None else tally.fraction(now)
    head = Table.grid(padding=(0, 1), expand=True)
    head.add_column(no_wrap=True)
    head.add_column(ratio=1)
    head.add_column(no_wrap=True)
    bar = ProgressBar(1.0, fraction or 0.0, pulse=fraction is None)
    left = "" if tally is None else tally.left_in_words()
    share = "" if fraction is None else f"{100 * fraction:3.0f} %"
    head.add_row(Text(phase.title), bar, Text(f"{share}  {left}" if left else share))
    yield head
    if tally is not None:
        yield Text(f"  {', '.join(tally.parts(now))}", no_wrap=True, overflow="ellipsis")
    for each in slowest:
        yield Text(f"  {visible(each.key)}  {each.sentence(now)}", style="dim", no_wrap=True, overflow="ellipsis")
