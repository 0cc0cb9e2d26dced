"""What changes cost and how long they take: the counting and the fit, by themselves, and how they are said."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.adapters.meter import Meter
from reconcile.core.cost import (
    CHUNK,
    RUNS,
    Estimate,
    Pace,
    Usage,
    Used,
    of_changes,
    remembered,
    request_class,
    seconds_for,
)
from reconcile.views.cost import show_estimate, show_used, usage_text
from reconcile.views.terminal import Terminal
from tests.kit import plans

OBJECTS = "/storage/v1/b/my-bucket/o"


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", OBJECTS, "class_a"),
        ("GET", f"{OBJECTS}/o", "class_b"),
        ("GET", f"{OBJECTS}/characters%2Frem.png", "class_b"),
        ("GET", f"/download{OBJECTS}/rem.png", "class_b"),
        ("GET", "/storage/v1/b/o", "class_b"),
        ("GET", "/storage/v1/b/o/o", "class_a"),
        ("GET", "/my-bucket/b/my-bucket/o", "class_b"),
        ("HEAD", f"{OBJECTS}/rem.png", "class_b"),
        ("POST", f"/upload{OBJECTS}", "class_a"),
        ("POST", f"{OBJECTS}/a/rewriteTo/b/my-bucket/o/b", "class_a"),
        ("PATCH", f"{OBJECTS}/rem.png", "class_a"),
        ("PUT", f"/upload{OBJECTS}", "free"),
        ("DELETE", f"{OBJECTS}/rem.png", "free"),
    ],
)
def test_a_request_is_of_the_class_that_the_price_list_says(method: str, path: str, expected: str) -> None:
    assert request_class(method, path) == expected


@pytest.mark.parametrize(
    ("size", "chunks"), [(0, 0), (1, 0), (CHUNK, 0), (CHUNK + 1, 2), (2 * CHUNK, 2), (10 * CHUNK + 1, 11)]
)
def test_an_upload_is_one_operation_and_its_chunks_are_free(size: int, chunks: int) -> None:
    assert of_changes([plans.upload(size=size)]) == Usage(class_a=1, free=chunks, bytes=size)


def test_a_store_in_a_folder_is_asked_nothing() -> None:
    changes = [plans.upload(), plans.set_field()]
    assert of_changes(changes, bucket=False, records=False) == Usage()
    assert of_changes(changes, bucket=False) == Usage(document_reads=1, document_writes=1)
    assert of_changes(changes, records=False).document_reads == 0


USAGES = st.builds(Usage, *(st.integers(0, 10**9) for _ in range(6)))


@given(USAGES, USAGES)
def test_what_is_added_and_taken_away_is_what_it_was(one: Usage, other: Usage) -> None:
    assert one + other - other == one
    assert bool(one) is (one != Usage())


PACES = st.lists(
    st.builds(Pace, st.integers(1, 10**6), st.integers(0, 10**12), st.floats(0.001, 1e6)), min_size=1, max_size=8
)


@given(PACES, st.integers(1, 10**6), st.integers(0, 10**12))
def test_a_time_is_never_below_zero_and_grows_with_what_is_asked(paces: list[Pace], requests: int, moved: int) -> None:
    seconds = seconds_for(Usage(class_a=requests, bytes=moved), paces)
    if seconds is None:
        assert moved
        assert not any(each.bytes for each in paces)
        return
    assert seconds >= 0
    if len(str(2 * requests)) == len(str(requests)):  # else other runs may be nearer in size
        more = seconds_for(Usage(class_a=2 * requests, bytes=2 * moved), paces)
        assert more == pytest.approx(2 * seconds)


@given(st.floats(1e-4, 1.0), st.floats(1e-9, 1e-6))
def test_runs_of_different_kinds_tell_requests_from_bytes(a_request: float, a_byte: float) -> None:
    runs = [(900, 10**5), (120, 10**9), (500, 10**7), (200, 3 * 10**9)]
    paces = [Pace(count, size, count * a_request + size * a_byte) for count, size in runs]
    for count, size in [(1, 10**6), (10**5, 10**8), (7, 0)]:
        expected = count * a_request + size * a_byte
        assert seconds_for(Usage(class_b=count, bytes=size), paces) == pytest.approx(expected, rel=1e-3)


def test_runs_of_about_the_same_size_tell_and_else_the_nearest() -> None:
    paces = [Pace(5, 0, 1.0), Pace(5000, 0, 50.0)]
    assert seconds_for(Usage(class_a=9), paces) == pytest.approx(1.8)
    assert seconds_for(Usage(class_a=90_000), paces) == pytest.approx(900)
    assert seconds_for(Usage(class_a=700), paces) == pytest.approx(7)


def test_many_small_runs_do_not_push_out_what_is_known_of_a_large_one() -> None:
    paces: list[Pace] = []
    for number in range(100):
        paces = remembered(paces, Pace(50, number, 1.0))
        if number == 3:
            paces = remembered(paces, Pace(5000, 0, 50.0))
    assert Pace(5000, 0, 50.0) in paces
    assert [each.bytes for each in paces if each.requests == 50] == list(range(100 - RUNS, 100))
    assert remembered([Pace(50, 1, 1.0)] * RUNS, Pace(50, 1, 1.0)) == [Pace(50, 1, 1.0)] * RUNS


def test_the_pace_of_the_smallest_runs_is_written_down_a_few_times_and_no_more() -> None:
    paces: list[Pace] = []
    for number in range(100):
        paces = remembered(paces, Pace(5, number, 1.0))
    assert [each.bytes for each in paces] == list(range(RUNS))


def test_the_same_again_takes_as_long_as_the_one_run_that_is_known() -> None:
    assert seconds_for(Usage(class_a=10, bytes=1000), [Pace(10, 1000, 4.0)]) == pytest.approx(4.0)
    assert seconds_for(Usage(class_a=10), [Pace(20, 0, 4.0)]) == pytest.approx(2.0)
    assert seconds_for(Usage(class_a=10), [Pace(10, 0, 4.0)] * RUNS) == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("asked", "paces"),
    [
        (Usage(class_a=1), []),
        (Usage(), [Pace(1, 1, 1.0)]),
        (Usage(class_a=1, bytes=5), [Pace(3, 0, 1.0)]),
        (Usage(class_a=1), [Pace(0, 0, 1.0), Pace(1, 1, 0.0)]),
    ],
    ids=["no run", "nothing to do", "no run has sent a byte", "runs that tell nothing"],
)
def test_no_time_is_said_if_no_run_tells_of_one(asked: Usage, paces: list[Pace]) -> None:
    assert seconds_for(asked, paces) is None


def test_what_was_taken_is_counted_once() -> None:
    meter = Meter()
    meter.read(2)
    meter.bucket("GET", f"http://127.0.0.1:4443{OBJECTS}?prefix=a")("200")
    assert meter.take() == Usage(class_a=1, document_reads=2)
    meter.write("characters/rem")("OK")
    meter.bucket("POST", f"http://127.0.0.1:4443/upload{OBJECTS}")("silent", reached=False)
    assert meter.take() == Usage(document_writes=1)
    assert meter.take() == Usage()
    assert meter.total() == Usage(class_a=1, document_reads=2, document_writes=1)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage(), "no requests"),
        (Usage(class_a=1), "1 class A request"),
        (
            Usage(2, 1, 3, 1, 1, 48_200),
            "48.2 kB sent, 2 class A, 1 class B and 3 free requests, 1 document read and 1 written",
        ),
        (Usage(document_writes=2), "2 documents written"),
        (Usage(document_reads=1200), "1,200 documents read"),
    ],
)
def test_what_is_used_is_said_in_a_sentence_without_what_is_nothing(usage: Usage, expected: str) -> None:
    assert usage_text(usage) == expected


def shown(estimate: Estimate | None = None, used: Used | None = None, *, verbose: bool = False) -> str:
    stream = io.StringIO()
    terminal = Terminal(stream, "never", width=100)
    show_estimate(terminal, estimate, verbose=verbose)
    show_used(terminal, used, verbose=verbose)
    return stream.getvalue()


def test_a_plan_says_what_applying_it_takes_and_the_time_if_it_is_known() -> None:
    estimate = Estimate(Usage(4, 0, 0, 3), Usage(3, 0, 0, 1, 1, 500))
    assert shown(estimate) == "To apply it: 500 bytes sent, 3 class A requests, 1 document read and 1 written.\n"
    timed = Estimate(applying=Usage(class_a=3), seconds=3700.2)
    assert shown(timed) == "To apply it: 3 class A requests; about 1h 1m at the speed of the last runs.\n"


def test_the_whole_count_is_a_table_with_verbose() -> None:
    lines = shown(Estimate(Usage(4, 0, 0, 3), Usage(3, 0, 0, 1, 1, 500)), verbose=True).splitlines()
    assert lines[2].split() == ["this", "plan", "to", "apply", "it"]
    assert [line.split() for line in lines[3:]] == [
        ["class", "A", "requests", "4", "3"],
        ["class", "B", "requests", "0", "0"],
        ["free", "requests", "0", "0"],
        ["document", "reads", "3", "1"],
        ["document", "writes", "0", "1"],
        ["sent", "0", "bytes", "500", "bytes"],
    ]


def test_nothing_is_said_of_stores_that_cost_nothing(run: Any) -> None:
    assert shown(Estimate(), Used(), verbose=True) == ""
    assert "To apply it" not in run("plan").out
    document = run("plan", "--json").document("plan")
    assert document["estimate"]["applying"]["class_a"] == 0
    applied = run("apply", "--yes", "--json").document("result")
    assert applied["used"]["applying"] == document["estimate"]["applying"]
