"""Progress in every manner: lines, a bar, JSON, and quiet."""

from __future__ import annotations

import io
import json
import re
import threading

import pytest

from reconcile.core.events import Advanced, ChangeDone, Event, Moving, Phase, PhaseDone, PhaseStarted, Warned
from reconcile.core.report import Outcome, OutcomeKind, Problem
from reconcile.views.progress import PhaseProgress, listening


def outcome(id_: str, kind: str, key: str | None, result: OutcomeKind, problem: Problem | None = None) -> Outcome:
    error = None if problem is None else problem.sentence
    document = None if kind == "upload" else "characters/rem"
    return Outcome(id=id_, kind=kind, key=key, document=document, outcome=result, error=error, problem=problem)


class Clock:
    """Seconds that pass when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def heard(events: list[Event | float], *, screen: bool = False, quiet: bool = False, as_json: bool = False) -> str:
    """What a listener writes of these events; a number lets that many seconds pass."""
    stream, clock = (Screen() if screen else io.StringIO()), Clock()
    with listening(stream, quiet=quiet, as_json=as_json, clock=clock) as listener:
        for event in events:
            if isinstance(event, float):
                clock.now += event
            else:
                listener(event)
    return stream.getvalue()


RUN: list[Event | float] = [
    PhaseStarted(Phase.UPLOADS, 4, 4_000_000),
    Advanced(Phase.UPLOADS, 1, 1_000_000),
    9.0,
    Advanced(Phase.UPLOADS, 0, 500_000),
    1.0,
    Advanced(Phase.UPLOADS, 0, -500_000),
    1.0,
    Advanced(Phase.UPLOADS, 3, 3_000_000),
    Warned("the clock is off"),
    PhaseDone(Phase.UPLOADS),
]


def test_lines_come_at_the_ends_and_every_ten_seconds() -> None:
    assert heard(RUN).splitlines() == [
        "Uploading ...",
        "Uploading: 1 of 4 files, 1.0 MB of 4.0 MB, 100.0 kB/s, 30 s left",
        "warning: the clock is off",
        "Uploading: 4 of 4 files, 4.0 MB of 4.0 MB, 363.6 kB/s, done in 11.0 s",
    ]


def test_a_line_names_the_transfers_that_take_the_longest() -> None:
    events: list[Event | float] = [PhaseStarted(Phase.UPLOADS, 9, 500_000_000)]
    for number in range(5):
        events += [Moving(f"[kpop]_{number}.mp4", 100_000_000), 1.0]
    events += [Advanced(Phase.UPLOADS, 0, 3_400_000, "[kpop]_1.mp4"), 6.0]
    events += [ChangeDone(outcome("i", "upload", "[kpop]_0.mp4", OutcomeKind.APPLIED)), Advanced(Phase.UPLOADS, 1)]
    told = heard(events).splitlines()[-1]
    assert told.partition("; slowest: ")[2] == (
        "[kpop]_1.mp4 (3.4 MB of 100.0 MB, 10.0 s); [kpop]_2.mp4 (0 bytes of 100.0 MB, 9.0 s); "
        "[kpop]_3.mp4 (0 bytes of 100.0 MB, 8.0 s)"
    )


def test_json_lines() -> None:
    lines = [json.loads(line) for line in heard(RUN, screen=True, quiet=True, as_json=True).splitlines()]
    assert [line["event"] for line in lines] == ["phase_started", "phase_progress", "warning", "phase_done"]
    assert lines[-1] | {"time": ""} == {
        "time": "",
        "event": "phase_done",
        "phase": "uploads",
        "count": 4,
        "bytes": 4_000_000,
        "seconds": 11.0,
    }
    change = json.loads(heard([ChangeDone(outcome("i", "upload", "k\n", OutcomeKind.APPLIED))], as_json=True))
    assert (change["event"], change["key"], change["outcome"]) == ("change_done", "k\n", "applied")


def test_quiet_says_warnings_only() -> None:
    assert heard(RUN, screen=True, quiet=True) == "warning: the clock is off\n"


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_bar_has_room_and_below_it_are_counts_bytes_rate_and_slow_transfers(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    stream, clock = Screen(), Clock()
    with listening(stream, colour="never", clock=clock) as listener:
        listener(PhaseStarted(Phase.UPLOADS, 300, 120_000_000))
        listener(Moving("dances/[b]slow[/b]_アイ.mp4", 60_000_000))
        clock.now = 250.0
        listener(Advanced(Phase.UPLOADS, 150, 60_000_000, "dances/[b]slow[/b]_アイ.mp4"))
        listener(Warned("[b]odd[/b]"))
    told = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", stream.getvalue()).splitlines()
    assert "warning: [b]odd[/b]" in told
    (bar,) = {line for line in told if line.startswith("Uploading") and "left" in line}
    assert bar.endswith(" 50 %  4m10s left")
    assert len(bar) == width
    assert bar.count("━") > 20  # of which half are done
    assert "  150 of 300 files, 60.0 MB of 120.0 MB, 240.0 kB/s" in told
    assert "  dances/[b]slow[/b]_アイ.mp4  60.0 MB of 60.0 MB, 4m10s" in told


def test_a_phase_without_totals_counts_up() -> None:
    tally = PhaseProgress(PhaseStarted(Phase.RECORDS), 0.0)
    tally.advance(1, 0, 1.0)
    assert tally.sentence(1.0) == "1 record"
    assert tally.fraction(1.0) is None


@pytest.mark.parametrize("manner", [{}, {"screen": True}, {"as_json": True}])
def test_events_of_a_phase_that_never_began_are_no_error(manner: dict[str, bool]) -> None:
    assert "3" not in heard([Advanced(Phase.WRITING, 3), PhaseDone(Phase.WRITING)], **manner)


def test_events_may_come_from_several_threads() -> None:
    stream = io.StringIO()
    with listening(stream) as listener:
        listener(PhaseStarted(Phase.UPLOADS, 4000))

        def work() -> None:
            for _ in range(1000):
                listener(Advanced(Phase.UPLOADS, 1))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        listener(PhaseDone(Phase.UPLOADS))
    assert "4,000 of 4,000 files" in stream.getvalue()
