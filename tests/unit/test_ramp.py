"""The stores are asked no faster than they say, by one machine or by many, shown by a clock that is told the time."""

from __future__ import annotations

import heapq
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.adapters.meter import Meter
from reconcile.core.ramp import BURST, FASTEST, Ramp, Rates, Turn
from tests.benchmarks.model import seconds_for
from tests.servers.clock import SkippingClock

RATES = Rates()


@pytest.mark.parametrize(
    ("ramp", "minutes", "rate"),
    [
        (RATES.records, 0, 500),
        (RATES.records, 4.9, 500),
        (RATES.records, 5, 750),
        (RATES.records, 10, 1125),
        (RATES.object_writes, 19, 1000),
        (RATES.object_writes, 20, 2000),
        (RATES.object_reads, 40, 20_000),
    ],
)
def test_the_rates_are_those_of_the_stores(ramp: Ramp, minutes: float, rate: float) -> None:
    assert ramp.rate(minutes * 60) == rate


@pytest.mark.parametrize("ramp", [RATES.records, RATES.object_writes])
def test_a_run_of_many_days_is_not_held_back(ramp: Ramp) -> None:
    """As the first one, over a slow line: it reads the records first, and writes them last."""
    turn, days = Turn(ramp), 30
    assert turn.take(0.0) == 0
    for second in range(3_600, days * 86_400, 3_600):
        assert turn.take(float(second)) == 0


def test_a_ramp_that_has_risen_for_a_year_has_a_rate_still() -> None:
    for ramp in (RATES.records, RATES.object_writes, RATES.object_reads):
        for seconds in (86_400 * 10, 86_400 * 365, 1e300):
            assert ramp.rate(3_600) < ramp.rate(seconds) <= FASTEST


def test_operations_take_as_long_as_the_ramp_lets_them() -> None:
    ramp = Ramp(100.0, 2.0, 10.0)
    assert seconds_for(ramp, 500) == 5
    assert seconds_for(ramp, 1_000 + 2_000 + 400) == pytest.approx(21)
    assert seconds_for(ramp, 1_000 + 1_500, 150) == pytest.approx(20)
    assert seconds_for(ramp, 0) == 0


@given(
    st.floats(1, 1e4),
    st.floats(1, 10),
    st.floats(1, 1e4),
    st.floats(0, 1e300),
    st.floats(min_value=0, exclude_min=True),
)
def test_operations_always_come_to_an_end(
    start: float, factor: float, every: float, operations: float, most: float
) -> None:
    took = seconds_for(Ramp(start, factor, every), operations, most)
    assert took * min(most, FASTEST) >= operations * 0.999 or took == float("inf")
    assert took >= 0


@pytest.mark.parametrize(("operations", "most"), [(float("inf"), 1), (float("nan"), 1), (-1, 1), (1, 0), (1, -5)])
def test_what_has_no_end_is_no_number_of_seconds(operations: float, most: float) -> None:
    with pytest.raises(ValueError, match="operations at"):
        seconds_for(Ramp(100.0, 2.0, 10.0), operations, most)


def simulated(ramp: Ramp, count: int, seconds: float, random: Random, *, kills: float, at_once: int = 1) -> list[float]:
    """When each operation begins, or so many ``at_once``, of ``count`` machines that start within a minute, are killed
    now and then, and ask for the next one as soon as they may; one takes 2 ms."""
    begun: list[float] = []
    turns = [Turn(ramp.shared(count)) for _ in range(count)]
    waiting = [(random.uniform(0, 60), number) for number in range(count)]
    heapq.heapify(waiting)
    while waiting:
        now, number = heapq.heappop(waiting)
        if now > seconds:
            continue
        if random.random() < kills:
            turns[number] = Turn(ramp.shared(count))  # started again, it begins at the start of the ramp
        pause = turns[number].take(now, at_once)
        if not pause:
            begun.append(now)
        heapq.heappush(waiting, (now + (pause or 0.002), number))
    return begun


@pytest.mark.parametrize("count", [1, 16, 200])
@pytest.mark.parametrize(
    "ramp",
    [Ramp(50, 1.5, 30), Ramp(100, 2, 120)],
    ids=["records", "objects"],
)
def test_machines_together_stay_below_the_ramp(ramp: Ramp, count: int) -> None:
    """The shapes of the two ramps at a tenth of the rate and of the time, so that it is quick: all is in proportion."""
    begun = simulated(ramp, count, 150, Random(count), kills=0.0001)
    first, window = begun[0], 10.0
    for start in range(0, 150, 5):
        asked = sum(first + start <= each < first + start + window for each in begun)
        allowed = sum(ramp.rate(start + step / 10) / 10 for step in range(int(window * 10)))
        assert asked <= allowed + ramp.rate(start) * BURST + count, (start, asked, allowed)
    unhurt = simulated(ramp, count, 150, Random(count), kills=0)
    assert len(unhurt) > 0.8 * sum(ramp.rate(second) for second in range(90)), "it is a limit, and no lower one"


@pytest.mark.parametrize("count", [1, 16, 200])
@pytest.mark.parametrize(
    ("ramp", "seconds"),
    [(RATES.records, 660), (RATES.object_writes, 1260), (RATES.object_reads, 1260)],
    ids=["records", "object writes", "object reads"],
)
def test_machines_together_keep_to_the_very_rates_of_the_stores(ramp: Ramp, seconds: int, count: int) -> None:
    """500 operations a second on records, and half as many more after five minutes; 1,000 writes and 5,000 reads of
    objects, and twice as many after twenty."""
    at_once = round(ramp.start / 125)
    begun = simulated(ramp, count, seconds, Random(count), kills=0.0001, at_once=at_once)
    asked = Counter(int(each - begun[0]) // 10 for each in begun)
    for ten in range(seconds // 10):
        allowed = 10 * max(ramp.rate(ten * 10), ramp.rate(ten * 10 + 9))
        assert asked[ten] * at_once <= allowed + ramp.rate(ten * 10) * BURST + count * at_once, ten
    late = sum(asked[ten] for ten in range(seconds // 10 - 5, seconds // 10)) / 5 * at_once
    assert late > 0.8 * 10 * ramp.rate(0), "it is a limit, and no lower one"


def test_requests_begin_when_their_turn_has_come_each_kind_for_itself() -> None:
    clock = SkippingClock()
    meter = Meter(
        clock=clock.monotonic, sleep=clock.sleep, rates=Rates(Ramp(10, 1, 1e9), Ramp(5, 1, 1e9), Ramp(1000, 1, 1e9))
    )
    for _ in range(50):
        meter.bucket("POST", "http://x/upload/storage/v1/b/b/o")
    assert clock.now == pytest.approx(50 / 5, abs=1.1)
    before = clock.now
    for _ in range(50):
        meter.bucket("GET", "http://x/storage/v1/b/b/o/a")
    assert clock.now - before < 0.1
    for number in range(50):
        meter.write(f"characters/{number}")
    assert clock.now - before == pytest.approx(2 * 50 / 10, abs=1.1), "each is read before it is written"


def test_a_shard_takes_its_part_of_the_rates() -> None:
    clock = SkippingClock()
    meter = Meter(clock=clock.monotonic, sleep=clock.sleep, rates=Rates())
    meter.share(Rates(records=Ramp(500, 1.5, 300)), 200)
    for number in range(100):
        meter.write(f"characters/{number}")
    assert clock.now == pytest.approx(2 * 100 / 2.5, rel=0.1)
