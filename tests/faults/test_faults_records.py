"""Record writes that go wrong: lost replies, other writers, refusals, and records at the edge of what may be."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import pytest
from google.cloud.firestore import GeoPoint

from reconcile.core.report import OutcomeKind, Status
from tests.kit.rig import COSPLAY, KEY, OTHER, Rig, by_kind, failed, raw, results
from tests.kit.world import titled, windows
from tests.servers.firestore_documents import size_of_fields

APPLIED, ALREADY, STALE = OutcomeKind.APPLIED, OutcomeKind.ALREADY, OutcomeKind.STALE
FAILED, BLOCKED = OutcomeKind.FAILED, OutcomeKind.BLOCKED
Code = grpc.StatusCode
FOREVER = 10_000
LOST = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN", "ABORTED", "CANCELLED")
"""What a commit that was applied may be answered with."""
PASSING = (*LOST, "RESOURCE_EXHAUSTED")


@pytest.fixture
def ready(rig: Rig) -> Rig:
    """One file in step with the bucket, and a record that names it by an old local path."""
    rig.file(KEY)
    rig.object(KEY)
    rig.record("rem", titled(anime_image=windows(KEY)), likes=1)
    return rig


def done(rig: Rig) -> list[dict[str, Any]]:
    return [titled(anime_image=rig.uri(KEY))]


def of(char_id: str) -> Callable[[Any], bool]:
    """Matches the commits to one record."""
    return lambda request: request.writes[0].update.name.endswith(f"/{char_id}")


# -- lost replies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", LOST)
def test_a_write_whose_reply_is_lost_was_made_once(ready: Rig, code: str) -> None:
    mark = ready.commits()
    ready.firestore.fault("Commit", after=Code[code])
    assert by_kind(ready.apply()) == [APPLIED]
    assert ready.commits() == mark + 1
    assert ready.fields("rem") == {"name": "Rem", "assets": done(ready), "likes": 1}
    assert ready.converges().outcomes == ()


@pytest.mark.parametrize("code", LOST)
def test_a_new_record_whose_reply_is_lost_was_made_once(furnished: Callable[..., Rig], code: str) -> None:
    rig = furnished(rem={"name": "Rem", "assets": [titled(anime_image=windows(KEY))]})
    rig.file(KEY)
    rig.firestore.fault("Commit", after=Code[code])
    assert by_kind(rig.apply()) == [APPLIED, APPLIED]
    assert rig.commits() == 1
    assert rig.fields("rem") == {"name": "Rem", "assets": done(rig)}
    assert rig.converges().outcomes == ()


def test_a_write_that_lands_after_its_deadline_is_made_once(ready: Rig) -> None:
    ready.deadline = 1.0
    plan = ready.plan()
    late = ready.firestore.fault("Commit", delay=0.8)
    assert by_kind(ready.apply(plan)) == [APPLIED]
    assert late.seen == 2
    ready.deadline = 20.0
    time_written = ready.world()
    assert ready.converges().outcomes == ()
    assert ready.world() == time_written
    assert ready.fields("rem") == {"name": "Rem", "assets": done(ready), "likes": 1}


def test_a_lost_reply_that_cannot_be_settled_is_failed_and_the_next_run_finds_it_done(ready: Rig) -> None:
    plan = ready.plan()
    lost = ready.firestore.fault("Commit", after=Code.UNAVAILABLE)
    ready.firestore.fault("BatchGetDocuments", when=lambda _: lost.seen > 0, times=FOREVER, before=Code.UNAVAILABLE)
    report = ready.apply(plan)
    assert by_kind(report) == [FAILED]
    assert "does not answer" in str(failed(report)[0].error)
    assert ready.converges().outcomes == ()
    assert ready.entries("rem") == done(ready)


@pytest.mark.parametrize("code", PASSING)
def test_a_write_that_is_refused_for_a_while_is_made_once(ready: Rig, code: str) -> None:
    mark = ready.commits()
    ready.firestore.fault("Commit", times=2, before=Code[code])
    assert by_kind(ready.apply()) == [APPLIED]
    assert ready.commits() == mark + 3
    assert ready.converges().outcomes == ()


def test_a_run_makes_single_commits_and_plain_reads_only(ready: Rig) -> None:
    ready.file(COSPLAY)
    mark = len(ready.firestore.log)
    ready.firestore.fault("Commit", after=Code.UNAVAILABLE)
    ready.firestore.fault("RunQuery", cut=0)
    ready.apply()
    methods = [method for method, _ in ready.firestore.log[mark:]]
    assert set(methods) == {"RunQuery", "BatchGetDocuments", "Commit"}
    assert not any(write.delete for request in ready.firestore.calls("Commit") for write in request.writes)
    assert ready.converges().outcomes == ()


def test_every_write_names_one_record_and_the_update_time_that_was_read(rig: Rig) -> None:
    for char_id in ("mei", "rem"):
        rig.file(f"characters/{char_id}.png")
        rig.record(char_id)
    times = {char_id: found[1] for char_id, found in rig.documents().items()}
    mark = rig.commits()
    rig.apply()
    for request in rig.firestore.calls("Commit")[mark:]:
        [write] = request.writes
        char_id = write.update.name.rpartition("/")[2]
        assert list(write.update_mask.field_paths) == ["assets"]
        assert write.current_document.update_time.ToMicroseconds() == times[char_id]
    assert rig.commits() == mark + 2
    assert rig.converges().outcomes == ()


# -- other writers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 3])
def test_another_writer_between_reading_and_writing_loses_nothing(ready: Rig, times: int) -> None:
    likes = iter(range(100, 200))

    def meddle(_request: Any) -> None:
        ready.record("rem", titled(anime_image=windows(KEY)), titled("new"), likes=next(likes))

    plan = ready.plan()
    ready.firestore.fault("Commit", when=ours, times=times, edit=meddle)
    assert by_kind(ready.apply(plan)) == [APPLIED]
    assert ready.fields("rem") == {"name": "Rem", "assets": [*done(ready), titled("new")], "likes": 99 + times}
    assert ready.converges().outcomes == ()


def ours(request: Any) -> bool:
    """Whether a commit is one of the program's, and not another hand's."""
    return bool(request.writes[0].current_document.HasField("update_time"))


def test_a_record_that_is_written_all_the_time_is_given_up_and_left_to_its_writer(ready: Rig) -> None:
    likes = iter(range(100, 200))
    plan = ready.plan()
    ready.firestore.fault(
        "Commit",
        when=ours,
        times=FOREVER,
        edit=lambda _request: ready.record("rem", titled(anime_image=windows(KEY)), likes=next(likes)),
    )
    report = ready.apply(plan)
    assert by_kind(report) == [FAILED]
    assert "somebody else each time" in str(failed(report)[0].error)
    assert ready.fields("rem") == {
        "name": "Rem",
        "assets": [titled(anime_image=windows(KEY))],
        "likes": next(likes) - 1,
    }
    assert by_kind(ready.converges()) == [APPLIED]


OLD_MAP = titled(anime_image=windows(KEY))


@pytest.mark.parametrize(
    ("now", "outcome", "changed"),
    [
        pytest.param([titled("neon", mood="calm"), OLD_MAP], APPLIED, 1, id="another map before it"),
        pytest.param([{**OLD_MAP, "likes": 7}, titled("neon")], APPLIED, 0, id="grown"),
        pytest.param([titled(mood="x"), OLD_MAP], APPLIED, 1, id="a second map of the title"),
        pytest.param([titled("neon")], STALE, None, id="the map is gone"),
        pytest.param([titled(anime_image="https://x/y.png")], STALE, None, id="another value"),
        pytest.param([titled(mood="x")], STALE, None, id="the field is gone"),
        pytest.param([{**OLD_MAP, "a": 1}, {**OLD_MAP, "b": 2}], APPLIED, 0, id="two alike, at the place seen"),
        pytest.param("none", STALE, None, id="no list"),
    ],
)
def test_a_map_is_found_by_what_it_is_and_not_by_where_it_stands(
    ready: Rig, now: Any, outcome: OutcomeKind, changed: int | None
) -> None:
    plan = ready.plan()
    ready.hand.put("rem", {"assets": now, "likes": 2})
    assert by_kind(ready.apply(plan)) == [outcome]
    expected = (
        now
        if changed is None
        else [{**each, "anime_image": ready.uri(KEY)} if place == changed else each for place, each in enumerate(now)]
    )
    assert ready.fields("rem") == {"assets": expected, "likes": 2}
    ready.converges()


def test_all_that_is_not_planned_stays_as_it_is_to_the_last_bit(rig: Rig) -> None:
    rig.file(KEY)
    odd = {
        "a.b": 1,
        "`quoted`": -0.0,
        "nan": float("nan"),
        "big": 2**62 + 1,
        "bytes": b"\x00\xff",
        "when": datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.UTC),
        "where": GeoPoint(1.5, -2.5),
        "who": rig.hand.client.document("characters/mei"),
        "nothing": None,
        "nested": {"list": [{"deep": [1, "1", True]}]},
    }
    rig.record("rem", titled("neon", **odd), titled(anime_image=windows(KEY), **odd), **odd)
    before = copy.deepcopy(rig.documents()["rem"][0])
    rig.apply()
    before.fields["assets"].array_value.values[1].map_value.fields["anime_image"].string_value = rig.uri(KEY)
    assert raw(rig.documents()["rem"][0]) == raw(before)
    rig.converges()


def test_a_record_that_is_deleted_meanwhile_is_not_made_again(ready: Rig) -> None:
    plan = ready.plan()
    ready.firestore.fault("Commit", when=ours, edit=lambda _request: ready.hand.remove("rem"))
    report = ready.apply(plan)
    assert (by_kind(report), report.status) == ([STALE], Status.STALE)
    assert ready.fields("rem") is None
    ready.converges()
    assert ready.fields("rem") is None


@pytest.mark.parametrize(
    ("now", "outcome"), [([OLD_MAP, titled("neon")], APPLIED), ([titled(mood="fresh")], STALE)], ids=["alike", "afresh"]
)
def test_a_record_that_is_deleted_and_made_again_is_judged_by_what_it_holds(
    ready: Rig, now: Sequence[Any], outcome: OutcomeKind
) -> None:
    plan = ready.plan()

    def meddle(_request: Any) -> None:
        ready.hand.remove("rem")
        ready.record("rem", *now)

    ready.firestore.fault("Commit", when=ours, edit=meddle)
    assert by_kind(ready.apply(plan)) == [outcome]
    expected = [*done(ready), *now[1:]] if outcome is APPLIED else now
    assert ready.entries("rem") == expected
    ready.converges()


# -- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [Code.PERMISSION_DENIED, Code.INVALID_ARGUMENT, Code.UNAUTHENTICATED])
def test_a_record_that_is_refused_is_named_and_holds_up_no_other(rig: Rig, code: grpc.StatusCode) -> None:
    for char_id in ("ai", "mei", "rem"):
        rig.file(f"characters/{char_id}.png")
        rig.record(char_id)
    mark = rig.commits()
    rig.firestore.fault("Commit", when=of("mei"), times=FOREVER, before=code)
    report = rig.apply()
    assert [(each.key, "mei" in str(each.error)) for each in failed(report)] == [(OTHER, True)]
    assert (report.counts.applied, report.status) == (5, Status.PARTIAL)
    assert [len(request.writes) for request in rig.firestore.calls("Commit")[mark:]] == [1, 1, 1]
    assert rig.entries("mei") == []
    assert results(rig.converges()) == [("set_field", OTHER, APPLIED)]


def test_a_record_that_would_grow_past_its_limit_is_refused_alone_and_at_once(rig: Rig) -> None:
    for key in (KEY, OTHER):
        rig.file(key)
    rig.record("mei")
    rig.record("rem", titled(anime_image=windows(KEY)), filler="")
    size = 48 + len("characters") + 1 + len("rem") + 1 + size_of_fields(rig.documents()["rem"][0].fields)
    planned = rig.plan()
    # A record at its limit is a finding of the plan; this one grows to it after the plan was made.
    rig.record("rem", titled(anime_image=windows(KEY)), filler="x" * (1_048_576 - size))
    assert ("malformed_record", "characters/rem") in {(each.code.value, each.subject) for each in rig.plan().findings}
    mark = rig.commits()
    report = rig.apply(planned)
    assert [each.key for each in failed(report)] == [KEY]
    assert "exceeds the maximum" in str(failed(report)[0].error)
    assert rig.entries("rem") == [titled(anime_image=windows(KEY))]
    assert rig.entries("mei") == [titled(anime_image=rig.uri(OTHER))]
    assert rig.commits() == mark + 2
    rig.record("rem", titled(anime_image=windows(KEY)), filler="x")
    assert results(rig.converges()) == [("set_field", KEY, APPLIED)]


@pytest.mark.parametrize(
    "value", [[[1]], {"__reserved__": 1}, "x" * 1_048_600], ids=["nested list", "reserved name", "too long"]
)
def test_a_new_record_that_no_database_takes_is_refused_alone(furnished: Callable[..., Rig], value: Any) -> None:
    rig = furnished(mei={"assets": [], "odd": value}, rem={"assets": []})
    plan = rig.plan()
    assert [(each.code.value, each.char_id) for each in plan.findings] == [("missing_record", "mei")]
    assert by_kind(rig.apply(plan)) == [APPLIED]
    assert (rig.fields("mei"), rig.fields("rem")) == (None, {"assets": []})
    rig.pipeline(mei={"assets": []}, rem={"assets": []})
    assert by_kind(rig.converges()) == [APPLIED]


def test_a_quota_is_waited_for_and_each_record_is_written_once(rig: Rig) -> None:
    for key in (KEY, COSPLAY, OTHER):
        rig.file(key)
    for char_id in ("mei", "rem"):
        rig.record(char_id)
    mark = rig.commits()
    rig.firestore.fault("Commit", times=4, before=Code.RESOURCE_EXHAUSTED)
    rig.wire(method="POST", status=429, times=4)
    assert rig.apply().status is Status.SUCCESS
    assert rig.commits() == mark + 4 + 2
    assert [rig.generations(key) for key in (KEY, COSPLAY, OTHER)] == [1, 1, 1]
    assert rig.converges().outcomes == ()
