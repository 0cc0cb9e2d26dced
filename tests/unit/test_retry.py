"""How long, how often and how fast a store is asked, on a clock of its own."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest

from reconcile.adapters.retry import (
    EARNED,
    LONGEST_ASKED,
    RETRIES,
    Budget,
    Gate,
    Patience,
    Spacing,
    Traffic,
    seconds_asked,
)
from tests.servers.clock import SkippingClock


@dataclass
class Failed:
    """An attempt that failed."""

    pause: float = 0.0
    throttled: bool = False
    reached: bool = True


DOWN = Failed()
UNREACHED = Failed(reached=False)
THROTTLED = Failed(throttled=True)


def highest(_low: float, high: float) -> float:
    """Chance at its longest."""
    return high


def nothing(low: float, _high: float) -> float:
    """Chance at its shortest."""
    return low


@pytest.fixture
def clock() -> SkippingClock:
    return SkippingClock()


def traffic_on(clock: SkippingClock, budget: Budget | None = None) -> Traffic:
    return Traffic(20.0, budget or Budget(1000), clock, highest)


def spent_on(patience: Patience, failure: Failed) -> int:
    """How many retries it makes."""
    count = 0
    while patience.again(failure):
        count += 1
    return count


# -- one call ---------------------------------------------------------------------------------------------------


def test_pauses_double_up_to_the_longest_and_end_with_the_deadline(clock: SkippingClock) -> None:
    patience = Patience(traffic_on(clock))
    spent_on(patience, DOWN)
    assert clock.pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 20 - 12.7])
    assert not patience.spent


def test_jitter_is_full(clock: SkippingClock) -> None:
    spans: list[tuple[float, float]] = []

    def noted(low: float, high: float) -> float:
        spans.append((low, high))
        return low

    patience = Patience(Traffic(20.0, Budget(3), clock, noted))
    spent_on(patience, DOWN)
    assert spans == [(0, 0.1), (0, 0.2), (0, 0.4), (0, 0.8)]


def test_a_pause_that_is_asked_for_is_kept_and_one_that_is_too_long_is_not_waited_for(clock: SkippingClock) -> None:
    patience = Patience(traffic_on(clock))
    assert patience.again(Failed(pause=7))
    assert clock.pauses == [7]
    assert not patience.again(Failed(pause=14))
    assert clock.pauses == [7]
    assert not patience.spent


def test_a_body_that_was_long_in_sending_is_sent_once_more(clock: SkippingClock) -> None:
    patience = Patience(traffic_on(clock), body=True)
    clock.now = 300.0
    assert patience.again(DOWN)
    assert spent_on(patience, DOWN) > 5
    assert clock.now == pytest.approx(320)


def test_a_call_without_a_body_that_hung_is_not_tried_for_twice_the_time(clock: SkippingClock) -> None:
    patience = Patience(traffic_on(clock))
    clock.now = 20.5
    assert not patience.again(DOWN)


def test_a_store_that_cannot_be_reached_is_timed_from_the_first_attempt(clock: SkippingClock) -> None:
    patience = Patience(traffic_on(clock), body=True)
    clock.now = 21.0
    assert not patience.again(UNREACHED)


def test_a_call_may_take_what_is_left_and_enough_for_an_answer_at_the_end(clock: SkippingClock) -> None:
    patience = Patience(traffic_on(clock))
    clock.now = 15.0
    assert patience.left() == 5
    clock.now = 30.0
    assert patience.left() == 2


def test_a_store_that_throttles_but_answers_others_is_waited_for_longer(clock: SkippingClock) -> None:
    traffic = traffic_on(clock)
    patience = Patience(traffic)
    assert patience.again(THROTTLED)
    while clock.now < 35:
        traffic.answered()
        assert patience.again(THROTTLED)
    spent_on(patience, THROTTLED)
    assert clock.now <= 60


def test_a_store_that_throttles_everybody_is_given_up_in_time(clock: SkippingClock) -> None:
    traffic = traffic_on(clock)
    traffic.answered()
    spent_on(Patience(traffic), THROTTLED)
    assert clock.now == pytest.approx(20)


def test_one_call_that_is_always_throttled_ends_though_others_are_answered(clock: SkippingClock) -> None:
    traffic = traffic_on(clock)
    patience = Patience(traffic)
    while patience.again(THROTTLED):
        traffic.answered()
    assert clock.now == pytest.approx(60)


def test_calls_that_begin_while_nobody_is_answered_wait_for_one_deadline_together(clock: SkippingClock) -> None:
    traffic = traffic_on(clock)
    assert Patience(traffic).again(DOWN)
    clock.now = 15
    spent_on(Patience(traffic, body=True), DOWN)
    assert clock.now == pytest.approx(20)
    assert not Patience(traffic).again(DOWN)
    traffic.answered()
    assert Patience(traffic).again(DOWN)


def test_a_call_that_began_before_has_its_own_time(clock: SkippingClock) -> None:
    traffic = traffic_on(clock)
    long = Patience(traffic, body=True)
    clock.now = 1
    spent_on(Patience(traffic), DOWN)
    clock.now += 5
    assert long.again(DOWN)


def test_an_outage_of_long_ago_is_no_reason_to_give_up_at_once(clock: SkippingClock) -> None:
    traffic = traffic_on(clock)
    spent_on(Patience(traffic), DOWN)
    clock.now += 3600
    assert Patience(traffic).again(DOWN)


# -- one run ----------------------------------------------------------------------------------------------------


def test_two_stores_share_one_budget_and_where_it_is_spent_nothing_is_waited_for(clock: SkippingClock) -> None:
    budget = Budget(5)
    bucket, database = traffic_on(clock, budget), traffic_on(clock, budget)
    assert [Patience(bucket).again(DOWN) for _ in range(3)] == [True] * 3
    assert [Patience(database).again(DOWN) for _ in range(2)] == [True] * 2
    before = clock.now
    late = Patience(bucket)
    assert not late.again(DOWN)
    assert late.spent
    assert clock.now == before


def test_answers_earn_retries_but_never_more_than_there_were() -> None:
    budget = Budget(2)
    for _ in range(100):
        budget.earn()
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    for _ in range(int(1 / EARNED)):
        assert not budget.spend()
        budget.earn()
    assert [budget.spend(), budget.spend()] == [True, False]


def test_a_call_that_gives_up_by_itself_costs_nothing(clock: SkippingClock) -> None:
    budget = Budget(1)
    traffic = traffic_on(clock, budget)
    assert not Patience(traffic).again(Failed(pause=30))
    assert budget.spend()


def test_the_budget_is_enough_for_every_worker_of_a_default_run_to_wait_a_short_outage_out(
    clock: SkippingClock,
) -> None:
    budget = Budget(RETRIES)
    for _ in range(8):
        patience, started = Patience(traffic_on(clock, budget)), clock.now
        while clock.now - started < 10:
            assert patience.again(DOWN)


def test_the_budget_counts_right_with_many_threads() -> None:
    budget, spent = Budget(500), []

    def work() -> None:
        spent.extend(budget.spend() for _ in range(100))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (spent.count(True), spent.count(False)) == (500, 300)


# -- one store --------------------------------------------------------------------------------------------------


def enter_often(gate: Gate, times: int) -> None:
    assert [gate.enter(20) for _ in range(times)] == [0.0] * times


def test_a_gate_limits_nothing_until_the_store_says_so(clock: SkippingClock) -> None:
    enter_often(Gate(clock), 5000)
    assert clock.pauses == []


def test_nobody_starts_before_the_pause_has_passed(clock: SkippingClock) -> None:
    gate = Gate(clock)
    gate.slow(7)
    assert gate.enter(20) == 0
    assert clock.now == pytest.approx(7)


def test_a_pause_longer_than_a_call_lasts_is_told_and_not_waited_for(clock: SkippingClock) -> None:
    gate = Gate(clock)
    gate.slow(3600)
    clock.now = 600
    assert gate.enter(20) == 3000
    assert clock.pauses == []
    clock.now = 3590
    assert gate.enter(20) == 0


def test_nobody_waits_for_a_store_that_has_answered_nobody_for_a_whole_deadline(clock: SkippingClock) -> None:
    gate = Gate(clock)
    gate.fail()
    gate.slow(7)
    assert gate.enter(20) == 0
    clock.now = 21
    gate.slow(7)
    assert gate.enter(20) == 7
    gate.answer()
    assert gate.enter(20) == 0


def test_the_rate_halves_and_grows_back_until_it_limits_nothing(clock: SkippingClock) -> None:
    gate = Gate(clock)
    for _ in range(400):
        clock.now += 1 / 400
        gate.enter(20)
    gate.slow(0)
    started = clock.now
    enter_often(gate, 210)
    assert clock.now - started == pytest.approx(1, rel=0.05)
    clock.now = started + (gate.FASTEST - 200) / gate.GROWTH
    clock.pauses.clear()
    enter_often(gate, 5000)
    assert clock.pauses == []


def test_refusals_of_calls_that_set_out_together_halve_the_rate_once(clock: SkippingClock) -> None:
    gate = Gate(clock)
    for _ in range(400):
        clock.now += 1 / 400
        gate.enter(20)
    for _ in range(8):
        gate.slow(0.01)
    started = clock.now
    enter_often(gate, 210)
    assert clock.now - started == pytest.approx(1, rel=0.05)


def test_the_rate_never_falls_below_the_slowest(clock: SkippingClock) -> None:
    gate = Gate(clock)
    for _ in range(20):
        gate.enter(20)
        gate.slow(0)
        clock.now += 1.5
    gate.slow(0)
    started = clock.now
    enter_often(gate, 10)
    assert clock.now - started <= 1


def test_a_call_whose_turn_comes_while_the_gate_is_shut_again_waits_for_it() -> None:
    class Meddling(SkippingClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if len(self.pauses) == 1:
                gate.slow(5)

    meddling = Meddling()
    gate = Gate(meddling)
    gate.slow(2)
    gate.enter(20)
    assert meddling.now == pytest.approx(7)


def test_a_throttled_call_makes_the_others_wait_as_long_as_it_does_itself() -> None:
    class Still(SkippingClock):
        def sleep(self, seconds: float) -> None:
            self.pauses.append(seconds)

    for failure, seconds in ((Failed(pause=3, throttled=True), 3.0), (THROTTLED, 0.1)):
        clock = Still()
        traffic = traffic_on(clock)
        assert Patience(traffic).again(failure)
        assert clock.pauses == [seconds]
        assert traffic.gate.enter(0) == seconds


def test_a_failure_that_is_nobodys_fault_makes_nobody_else_wait(clock: SkippingClock) -> None:
    traffic = traffic_on(clock)
    assert Patience(traffic).again(DOWN)
    assert traffic.gate.enter(0) == 0


def test_a_call_that_gives_up_still_tells_the_others(clock: SkippingClock) -> None:
    traffic = traffic_on(clock)
    assert not Patience(traffic).again(Failed(pause=100, throttled=True))
    assert traffic.enter() == 100


# -- one name ---------------------------------------------------------------------------------------------------


def test_two_writes_of_one_name_are_a_second_apart_and_those_of_others_are_not(clock: SkippingClock) -> None:
    writes = Spacing(clock)
    for name in ("a", "b", "c"):
        writes.wait(name)
        writes.wrote(name)
    assert clock.pauses == []
    clock.now += 0.25
    writes.wait("a")
    assert clock.pauses == [0.75]
    writes.wrote("a")
    writes.wait("a")
    assert clock.now == pytest.approx(2)


def test_only_the_names_of_the_last_second_are_kept(clock: SkippingClock) -> None:
    writes = Spacing(clock)
    for number in range(1000):
        clock.now += 0.01
        writes.wrote(str(number % 7) if number % 2 else f"once {number}")
    assert len(writes._written) <= 100


# -- what a header asks -----------------------------------------------------------------------------------------

DATE = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.mark.parametrize(
    ("header", "date", "seconds"),
    [
        ("7", "", 7),
        (" 120 ", DATE, 120),
        ("0", "", 0),
        ("", DATE, 0),
        ("9" * 400, "", LONGEST_ASKED),
        ("Wed, 21 Oct 2015 07:28:09 GMT", DATE, 9),
        ("Wed, 21 Oct 2015 07:27:00 GMT", DATE, 0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", DATE, LONGEST_ASKED),
        ("Wed, 21 Oct 2015 07:28:09 GMT", "", 0),
        ("Wed, 21 Oct 2015 07:28:09 -0000", DATE, 0),
        ("Wed, 99 Oct 2015 07:28:09 GMT", DATE, 0),
        ("soon", DATE, 0),
        ("-5", DATE, 0),
        ("1.5", DATE, 0),
        ("٣", "", 0),
    ],
)
def test_retry_after_is_read_in_both_of_its_forms(header: str, date: str, seconds: float) -> None:
    assert seconds_asked(header, date) == seconds
