"""Readings that are not whole: pages that fail, answers that are cut, objects that come and go, servers that are down.

Nothing may be called absent that was only not seen.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from reconcile.core.changes import Code as FindingCode
from reconcile.core.errors import StoreMissing, StoreUnavailable
from reconcile.core.report import OutcomeKind, Status
from tests.kit.rig import KEY, PREFIX, Rig, by_kind, results
from tests.kit.world import titled, windows
from tests.servers.faults import FOREVER, Call

APPLIED, ALREADY, STALE, BLOCKED = (
    OutcomeKind.APPLIED,
    OutcomeKind.ALREADY,
    OutcomeKind.STALE,
    OutcomeKind.BLOCKED,
)
Code = grpc.StatusCode
DENIED: dict[str, Any] = {"status": 403, "reason": "forbidden"}
KEYS = [f"dances/dance_rem_{number}.mp4" for number in range(7)]


NEW = "dances/dance_rem_00.mp4"
"""Stands on the first page."""


def is_listing(call: Call) -> bool:
    return call.method == "GET" and call.path.endswith("/o")


def is_later_page(call: Call) -> bool:
    return is_listing(call) and "pageToken" in call.query


@pytest.fixture
def paged(rig: Rig) -> Rig:
    """Seven files that are in the bucket, in pages of two, and one that is not."""
    rig.page_size = 2
    for key in KEYS:
        rig.file(key)
        rig.object(key)
    rig.file(KEY)
    rig.record("rem", titled(dance_video=windows(KEYS[0]), anime_image=windows(KEY)))
    return rig


# -- objects ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 503}, StoreUnavailable),
        ({"status": 429}, StoreUnavailable),
        ({"reset": True}, StoreUnavailable),
        ({"cut": 40}, StoreUnavailable),
        ({"rewrite": lambda _body: b"<html>"}, StoreUnavailable),
        ({"status": 404, "reason": "notFound"}, StoreMissing),
    ],
    ids=["503", "429", "reset", "cut", "no listing", "404"],
)
def test_a_listing_that_fails_on_its_third_page_plans_nothing(
    paged: Rig, fault: dict[str, Any], error: type[Exception]
) -> None:
    before = paged.world()
    paged.wire(when=is_later_page, skip=1, times=FOREVER, **fault)
    with pytest.raises(error, match="gs://"):
        paged.apply()
    assert (paged.world(), paged.uploads()) == (before, 0)
    assert by_kind(paged.converges()) == [APPLIED] * 3
    assert [paged.generations(key) for key in KEYS] == [1] * 7


def test_a_prefix_that_may_not_be_listed_is_unknown_and_the_others_go_on(rig: Rig) -> None:
    for key in (KEY, KEYS[0], KEYS[1]):
        rig.file(key)
    rig.object(KEYS[0])
    rig.record("rem", titled(dance_video=windows(KEYS[0]), anime_image=windows(KEY)))
    mine = f"{PREFIX}/characters/"
    rig.wire(when=lambda call: is_listing(call) and not call.query["prefix"].startswith(mine), times=FOREVER, **DENIED)
    report = rig.apply()
    assert results(report) == [("upload", KEY, APPLIED), ("set_field", KEY, APPLIED)]
    assert rig.uri("dances/dance_") in [
        each.subject for each in report.findings if each.code is FindingCode.UNREADABLE_SCOPE
    ]
    assert (report.status, report.exit_code) == (Status.PARTIAL, 1)
    assert sorted(rig.held()) == [KEY, KEYS[0]]
    assert results(rig.converges()) == [("upload", KEYS[1], APPLIED), ("set_field", KEYS[0], APPLIED)]


def test_a_permission_that_ends_on_the_third_page_makes_nothing_absent(paged: Rig) -> None:
    paged.wire(when=is_later_page, skip=1, times=FOREVER, **DENIED)
    report = paged.apply()
    assert results(report)[0] == ("upload", KEY, APPLIED)
    assert [each.kind for each in report.outcomes].count("upload") == 1
    assert (report.status, report.exit_code) == (Status.PARTIAL, 1)
    assert [paged.generations(key) for key in KEYS] == [1] * 7
    paged.converges()
    assert paged.entries("rem") == [titled(dance_video=paged.uri(KEYS[0]), anime_image=paged.uri(KEY))]


@pytest.mark.parametrize("fault", [{"status": 503}, {"reset": True}, {"cut": 40}], ids=str)
def test_a_page_that_fails_for_a_while_is_asked_again(paged: Rig, fault: dict[str, Any]) -> None:
    paged.wire(when=is_later_page, skip=1, times=2, **fault)
    assert [(kind, key) for kind, key, _ in results(paged.apply())] == [
        ("upload", KEY),
        ("set_field", KEY),
        ("set_field", KEYS[0]),
    ]
    assert paged.converges().outcomes == ()


def without_token(body: bytes) -> bytes:
    page = json.loads(body)
    page.pop("nextPageToken", None)
    return json.dumps(page).encode()


def test_a_listing_that_a_proxy_ends_early_overwrites_nothing(paged: Rig) -> None:
    paged.object(KEYS[5], b"theirs")
    paged.wire(when=is_listing, rewrite=without_token, times=FOREVER)
    report = paged.apply()
    assert {key: outcome for kind, key, outcome in results(report) if kind == "upload"} == {
        **dict.fromkeys(KEYS[2:], ALREADY),
        KEYS[5]: STALE,
        KEY: APPLIED,
    }
    assert paged.held()[KEYS[5]] == b"theirs"
    assert [paged.generations(key) for key in KEYS] == [1, 1, 1, 1, 1, 2, 1]
    paged.converges()


@pytest.mark.parametrize("theirs", [NEW.encode(), b"theirs"], ids=["the same bytes", "other bytes"])
def test_an_object_that_comes_while_the_bucket_is_listed_is_found_by_its_precondition(
    paged: Rig, theirs: bytes
) -> None:
    paged.file(NEW)
    paged.record("rem", titled(dance_video=windows(NEW)))
    paged.wire(when=is_later_page, skip=1, run=lambda: paged.object(NEW, theirs))
    report = paged.apply()
    same = theirs == NEW.encode()
    assert [outcome for _, key, outcome in results(report) if key == NEW] == (
        [ALREADY, APPLIED] if same else [STALE, BLOCKED]
    )
    assert (paged.held()[NEW], paged.generations(NEW)) == (theirs, 1)
    paged.converges()
    assert paged.held()[NEW] == theirs
    assert paged.entries("rem")[0]["dance_video"] == (paged.uri(NEW) if same else windows(NEW))


def test_an_object_that_goes_after_it_was_listed_is_named_by_no_record(paged: Rig) -> None:
    plan = paged.plan()
    remove(paged, KEYS[0])
    report = paged.apply(plan)
    assert [outcome for _, key, outcome in results(report) if key == KEYS[0]] == [BLOCKED]
    assert paged.entries("rem") == [titled(dance_video=windows(KEYS[0]), anime_image=paged.uri(KEY))]
    assert results(paged.converges()) == [("upload", KEYS[0], APPLIED), ("set_field", KEYS[0], APPLIED)]


def remove(rig: Rig, key: str) -> None:
    """Somebody else's deletion."""
    from tests.servers.gcs_world import Preconditions

    rig.gcs.world.delete(rig.shop.bucket, f"{PREFIX}/{key}", None, Preconditions())


# -- records ------------------------------------------------------------------------------------------------------


@pytest.fixture
def with_local_db(furnished: Callable[..., Rig]) -> Rig:
    """Three characters with a document, which the pipeline's own database holds too."""
    documents = {char_id: {"name": char_id, "assets": []} for char_id in ("ai", "mei", "rem")}
    rig = furnished(**documents)
    for char_id, fields in documents.items():
        rig.hand.put(char_id, {**fields, "likes": 1})
    rig.file(KEY)
    return rig


@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED, Code.NOT_FOUND])
def test_a_reading_of_records_that_breaks_off_makes_no_record_missing(
    with_local_db: Rig, code: grpc.StatusCode
) -> None:
    rig = with_local_db
    before = rig.world()
    rig.firestore.fault("RunQuery", cut=1)
    rig.firestore.fault("RunQuery", nth=2, times=FOREVER, before=code)
    with pytest.raises(Exception, match="firestore://") as failure:
        rig.apply()
    assert failure.value.hint
    assert (rig.world(), rig.uploads()) == (before, 0)
    assert results(rig.converges()) == [("upload", KEY, APPLIED), ("set_field", KEY, APPLIED)]
    assert [(rig.fields(char_id) or {})["likes"] for char_id in rig.documents()] == [1, 1, 1]


def test_records_that_may_not_be_read_are_unknown_and_not_missing(with_local_db: Rig) -> None:
    rig = with_local_db
    records = rig.world()[1]
    rig.firestore.fault("RunQuery", cut=1)
    rig.firestore.fault("RunQuery", nth=2, times=FOREVER, before=Code.PERMISSION_DENIED)
    report = rig.apply()
    assert results(report) == [("upload", KEY, APPLIED)]
    assert [finding.code for finding in report.findings] == [FindingCode.UNREADABLE_SCOPE]
    assert report.findings[0].subject.startswith("firestore://")
    assert (report.status, report.exit_code) == (Status.PARTIAL, 1)
    assert rig.world()[1] == records
    assert results(rig.converges()) == [("set_field", KEY, APPLIED)]


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_a_stream_of_records_that_is_cut_goes_on_where_it_broke(with_local_db: Rig, after: int) -> None:
    rig = with_local_db
    rig.firestore.fault("RunQuery", times=2, cut=after)
    assert results(rig.apply()) == [("upload", KEY, APPLIED), ("set_field", KEY, APPLIED)]
    assert rig.converges().outcomes == ()


# -- servers that are down ----------------------------------------------------------------------------------------


def test_a_bucket_that_is_down_at_the_start_leaves_the_records_alone(rig: Rig) -> None:
    rig.file(KEY)
    rig.record("rem", titled(anime_image=windows(KEY)))
    mark = rig.commits()
    rig.gcs.close()
    with pytest.raises(
        StoreUnavailable, match=r"gs://.* at http://127\.0\.0\.1:\d+ does not answer: Connection refused"
    ):
        rig.apply()
    assert rig.commits() == mark
    assert rig.entries("rem") == [titled(anime_image=windows(KEY))]


def test_a_database_that_is_down_at_the_start_keeps_the_bucket_as_it_is(rig: Rig) -> None:
    rig.file(KEY)
    rig.firestore.stop()
    with pytest.raises(StoreUnavailable, match=r"firestore://.* at 127\.0\.0\.1:\d+"):
        rig.apply()
    assert (rig.held(), rig.uploads()) == ({}, 0)
