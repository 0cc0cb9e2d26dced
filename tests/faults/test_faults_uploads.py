"""Uploads that go wrong: runs that die, answers that are lost, other writers, bytes that change on the way."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from typing import Any

import pytest

from reconcile import Project
from reconcile.__main__ import main
from reconcile.adapters.gcs.upload import CHUNK
from reconcile.config.settings import load
from reconcile.core.events import Advanced, Event, Phase, PhaseStarted
from reconcile.core.plan import Scope
from reconcile.core.report import OutcomeKind, Status
from reconcile.pipeline.executor import execute
from reconcile.pipeline.planner import survey
from tests.kit.rig import (
    COSPLAY,
    KEY,
    LARGE,
    PREFIX,
    SIZES,
    SMALL,
    VIDEO,
    Rig,
    as_furnished,
    by_kind,
    failed,
    furnish,
)
from tests.kit.world import titled, windows
from tests.servers.faults import FOREVER, Call

APPLIED, ALREADY, STALE = OutcomeKind.APPLIED, OutcomeKind.ALREADY, OutcomeKind.STALE
FAILED, BLOCKED = OutcomeKind.FAILED, OutcomeKind.BLOCKED
UPLOAD = "/upload/"
TRANSIENT = (408, 429, 500, 502, 503, 504)


def moved(size: int) -> Callable[[Event], bool]:
    """True once so many bytes of the uploads are on their way."""
    sent = 0

    def counts(event: Event) -> bool:
        nonlocal sent
        sent += event.size if isinstance(event, Advanced) and event.phase is Phase.UPLOADS else 0
        return sent >= size

    return counts


# -- a run that dies ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("forgetful", [False, True], ids=["remembers", "forgets"])
def test_a_run_that_died_after_the_upload_leaves_only_the_record_to_write(rig: Rig, forgetful: bool) -> None:
    furnish(rig, KEY, b"rem")
    rig.die(lambda event: isinstance(event, PhaseStarted) and event.phase is Phase.WRITING)
    assert rig.held() == {KEY: b"rem"}
    assert rig.entries("rem") == [titled(anime_image=windows(KEY))]
    if forgetful:
        shutil.rmtree(rig.folder / ".reconcile")
    report = rig.converges()
    assert [each.kind for each in report.outcomes] == ["set_field"]
    assert rig.generations(KEY) == 1


def test_a_run_that_died_in_a_small_upload_left_nothing(rig: Rig) -> None:
    furnish(rig, KEY, b"rem")
    rig.die(moved(1))
    assert rig.held() == {}
    assert by_kind(rig.converges()) == [APPLIED, APPLIED]


def test_a_run_that_died_in_a_large_upload_is_continued_by_the_next(rig: Rig) -> None:
    furnish(rig, VIDEO, LARGE)
    rig.die(moved(CHUNK + 1))
    assert rig.held() == {}
    rig.converges()
    assert rig.held() == {VIDEO: LARGE}
    assert rig.gcs.script.calls("POST", UPLOAD) == []
    # A set, because the last request of the run that died may reach the server late, and be told after the death.
    sent = {call.headers["content-range"] for call in rig.gcs.script.calls("PUT")}
    assert sent == {f"bytes */{len(LARGE)}", f"bytes {CHUNK}-{len(LARGE) - 1}/{len(LARGE)}"}


@pytest.mark.parametrize("loss", ["memory", "session"])
def test_a_large_upload_whose_session_is_lost_starts_over(rig: Rig, loss: str) -> None:
    furnish(rig, VIDEO, LARGE)
    rig.die(moved(CHUNK + 1))
    if loss == "memory":
        shutil.rmtree(rig.folder / ".reconcile")
    for session_id in rig.gcs.world.session_ids() if loss == "session" else ():
        rig.gcs.world.drop_session(session_id)
    rig.converges()
    assert rig.held() == {VIDEO: LARGE}
    [begun] = rig.gcs.script.calls("POST", UPLOAD)
    assert begun.query["ifGenerationMatch"] == "0"


# -- answers that are lost, and other writers ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "data", "fault"),
    [
        *(pytest.param(KEY, SMALL, {"answer": status}, id=f"small-{status}") for status in TRANSIENT),
        pytest.param(KEY, SMALL, {"lost": True}, id="small-reset"),
        pytest.param(VIDEO, LARGE, {"answer": 503}, id="large-503"),
        pytest.param(VIDEO, LARGE, {"lost": True}, id="large-reset"),
    ],
)
def test_an_answer_that_is_lost_after_the_object_was_made(
    rig: Rig, key: str, data: bytes, fault: dict[str, Any]
) -> None:
    furnish(rig, key, data)
    rig.wire(path=UPLOAD, when=last_of(data), **fault)
    report = rig.apply()
    assert by_kind(report)[0] in (APPLIED, ALREADY)
    assert by_kind(report)[1:] == [APPLIED]
    assert (rig.held(), rig.generations(key)) == ({key: data}, 1)
    assert rig.converges().outcomes == ()


@SIZES
def test_all_answers_lost_to_the_end_and_reading_too_is_failed_and_never_a_guess(
    rig: Rig, key: str, data: bytes
) -> None:
    furnish(rig, key, data)
    plan = rig.plan()
    lost = rig.wire(path=UPLOAD, when=last_of(data), lost=True)
    rig.wire(when=lambda _call: lost.hits > 0, reset=True, times=FOREVER)
    report = rig.apply(plan)
    assert by_kind(report) == [FAILED, BLOCKED]
    assert rig.entries("rem") == as_furnished(key)
    assert [each.kind for each in rig.converges().outcomes] == ["set_field"]
    assert rig.generations(key) == 1


def test_an_upload_that_lands_after_its_deadline_is_made_once(rig: Rig) -> None:
    furnish(rig, KEY, b"rem")
    rig.deadline = 0.3
    plan, late = rig.plan(), threading.Event()
    held = rig.wire(path=UPLOAD, run=lambda: late.wait(10))
    report = rig.apply(plan)
    late.set()
    assert held.hits == 1
    assert by_kind(report) == [APPLIED, APPLIED]
    rig.deadline = 20.0
    assert rig.converges().outcomes == ()
    assert (rig.held(), rig.generations(KEY)) == ({KEY: b"rem"}, 1)


@SIZES
def test_a_repeated_upload_does_not_overwrite_somebody_elses_newer_object(rig: Rig, key: str, data: bytes) -> None:
    furnish(rig, key, data)
    plan = rig.plan()
    rig.wire(path=UPLOAD, when=last_of(data), status=503)
    rig.wire(path=UPLOAD, run=lambda: rig.object(key, b"theirs"))
    report = rig.apply(plan)
    assert (by_kind(report), report.status) == ([STALE, BLOCKED], Status.STALE)
    assert rig.held() == {key: b"theirs"}
    assert rig.entries("rem") == as_furnished(key)
    rig.quiet()
    assert [finding.code.value for finding in rig.plan().findings] == ["content_conflict"]
    rig.converges()
    assert rig.held() == {key: b"theirs"}


def test_of_two_runs_at_once_the_second_finds_all_done(rig: Rig) -> None:
    furnish(rig, KEY, b"rem")
    rig.file(COSPLAY)
    plan = rig.plan()
    inner: list[Any] = []
    rig.wire(path=UPLOAD, key=f"anime_dance/{KEY}", run=lambda: inner.append(rig.apply(plan)))
    report = rig.apply(plan, concurrency=1)
    assert set(by_kind(inner[0])) == {APPLIED}
    assert set(by_kind(report)) == {ALREADY}
    assert (rig.generations(KEY), rig.generations(COSPLAY), report.status) == (1, 1, Status.SUCCESS)
    assert rig.converges().outcomes == ()


def test_two_runs_side_by_side_make_each_object_and_each_edit_once(rig: Rig) -> None:
    keys = [f"dances/dance_rem_{number}.mp4" for number in range(12)]
    for key in keys:
        rig.file(key)
    rig.record("rem", titled(dance_video=windows(keys[0])), likes=1)
    reports = rig.apply_twice(rig.plan())
    assert [report.status for report in reports] == [Status.SUCCESS] * 2
    assert {kind for report in reports for kind in by_kind(report)} <= {APPLIED, ALREADY}
    assert [rig.generations(key) for key in keys] == [1] * 12
    assert rig.fields("rem") == {"name": "Rem", "likes": 1, "assets": [titled(dance_video=rig.uri(keys[0]))]}
    assert rig.converges().outcomes == ()


# -- bytes on the way ---------------------------------------------------------------------------------------------


@SIZES
def test_bytes_that_are_spoilt_on_the_way_are_refused_by_the_server(rig: Rig, key: str, data: bytes) -> None:
    furnish(rig, key, data)
    rig.wire(path=UPLOAD, when=last_of(data), corrupt=True)
    report = rig.apply()
    assert by_kind(report) == [FAILED, BLOCKED]
    assert "crc32c" in str(failed(report)[0].error)
    assert rig.held() == {}
    rig.converges()
    assert rig.held() == {key: data}


@SIZES
def test_an_answer_that_tells_another_checksum_deletes_nothing_and_is_settled_by_reading(
    rig: Rig, key: str, data: bytes
) -> None:
    furnish(rig, key, data)
    rig.wire(path=UPLOAD, when=last_of(data), rewrite=lambda body: told(body, crc32c="AAAAAA=="))
    report = rig.apply()
    assert by_kind(report) == [ALREADY, APPLIED]
    assert rig.gcs.script.calls("DELETE") == []
    assert (rig.held(), rig.generations(key)) == ({key: data}, 1)
    assert rig.converges().outcomes == ()


@SIZES
def test_a_server_that_stored_other_bytes_is_failed_and_the_object_stays_for_a_person(
    rig: Rig, key: str, data: bytes
) -> None:
    furnish(rig, key, data)
    liar = {"crc32c": "AAAAAA=="}
    rig.wire(path=UPLOAD, when=last_of(data), rewrite=lambda body: told(body, **liar))
    rig.wire(method="GET", path="/o/", rewrite=lambda body: told(body, **liar), times=FOREVER)
    report = rig.apply()
    assert by_kind(report) == [FAILED, BLOCKED]
    assert "different content" in str(failed(report)[0].error)
    assert rig.gcs.script.calls("DELETE") == []
    assert rig.entries("rem") == as_furnished(key)
    rig.converges()


@pytest.mark.parametrize("kept", [0, 256 * 1024, 3 * 256 * 1024])
def test_a_chunk_of_which_only_a_part_was_kept_goes_on_at_the_first_missing_byte(rig: Rig, kept: int) -> None:
    furnish(rig, VIDEO, LARGE)
    rig.wire(method="PUT", persist=kept)
    assert by_kind(rig.apply()) == [APPLIED, APPLIED]
    assert (rig.held(), rig.generations(VIDEO)) == ({VIDEO: LARGE}, 1)
    sent = [call.headers["content-range"] for call in rig.gcs.script.calls("PUT")]
    assert any(span.startswith(f"bytes {kept}-") for span in sent[1:])
    assert rig.converges().outcomes == ()


@pytest.mark.parametrize(
    ("key", "data", "status"),
    [
        *(pytest.param(KEY, SMALL, status, id=f"small-{status}") for status in TRANSIENT),
        pytest.param(VIDEO, LARGE, 429, id="large-429"),
        pytest.param(VIDEO, LARGE, 503, id="large-503"),
    ],
)
def test_a_refusal_that_passes_is_repeated_under_the_same_precondition(
    rig: Rig, key: str, data: bytes, status: int
) -> None:
    furnish(rig, key, data)
    rig.wire(path=UPLOAD, status=status, times=3)
    assert by_kind(rig.apply()) == [APPLIED, APPLIED]
    assert {call.query["ifGenerationMatch"] for call in rig.gcs.script.calls("POST", UPLOAD)} == {"0"}
    assert (rig.held(), rig.generations(key)) == ({key: data}, 1)
    assert rig.converges().outcomes == ()


MANY = [f"dances/dance_rem_{number:02}.mp4" for number in range(60)]


def test_a_storm_that_passes_is_waited_out(rig: Rig) -> None:
    for key in MANY:
        rig.file(key)
    rig.wire(path=UPLOAD, status=429, times=2, headers={"Retry-After": "2"})
    for place, key in enumerate(MANY):
        rig.wire(path=UPLOAD, key=f"{PREFIX}/{key}", status=TRANSIENT[place % len(TRANSIENT)], times=place % 3)
    # One at a time, because the pauses of all workers add up on the clock that skips them.
    report = rig.apply(concurrency=1)
    assert (report.status, report.counts.applied) == (Status.SUCCESS, len(MANY))
    assert [rig.generations(key) for key in MANY] == [1] * len(MANY)
    assert rig.converges().outcomes == ()


def test_a_limit_on_bandwidth_holds_for_all_uploads_of_a_run_together(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in MANY[:8]:
        rig.file(key, b"x" * 64 * 1024)
    apply = ["-C", str(rig.folder), "apply", "--yes", "--json", "--bwlimit", "Mon-00:00,512k Wed-00:00,512k"]
    assert main(apply) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["bytes"] == 8 * 64 * 1024
    assert report["seconds"] > 7 / 8 - 0.1 - 0.01  # what comes last need not wait for its own, and a burst is free


@pytest.mark.parametrize("status", [429, 503])
def test_a_bucket_that_refuses_for_now_gets_fewer_uploads_at_once(rig: Rig, status: int) -> None:
    for key in MANY[:20]:
        rig.file(key)
    rig.wire(path=UPLOAD, status=status, times=8)
    with Project(load(rig.folder, environ={})).opened() as project:
        plan = survey(project, Scope()).plan
        assert execute(project, plan).counts.applied == 20
        assert project.lanes.at_once < 8
    assert [rig.generations(key) for key in MANY[:20]] == [1] * 20


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"status": 503}, id="503"),
        pytest.param({"status": 403, "reason": "forbidden"}, id="403"),
        pytest.param({"reset": True}, id="reset"),
    ],
)
def test_a_bucket_that_refuses_everything_is_given_up_early(rig: Rig, fault: dict[str, Any]) -> None:
    for key in MANY:
        rig.file(key)
    rig.wire(path=UPLOAD, times=FOREVER, **fault)
    report = rig.apply()
    assert report.status is Status.FAILED
    assert report.counts.not_started > 30
    assert rig.uploads() < 300
    assert rig.held() == {}
    assert rig.converges().counts.applied == len(MANY)


def test_the_bucket_is_only_read_and_added_to(rig: Rig) -> None:
    rig.replace = "local"
    for key, data in ((KEY, b"newer"), (COSPLAY, b"new"), (VIDEO, LARGE)):
        rig.file(key, data)
    rig.object(KEY, b"older")
    rig.record("rem", titled(anime_image=windows(KEY)))
    rig.wire(path=UPLOAD, lost=True)
    rig.wire(path=UPLOAD, corrupt=True)
    rig.wire(path=UPLOAD, answer=503)
    rig.apply()
    calls = rig.gcs.script.calls()
    rig.converges()
    calls += rig.gcs.script.calls()
    assert {call.method for call in calls} == {"GET", "POST", "PUT"}
    assert all("ifGenerationMatch" in call.query for call in calls if call.method == "POST")
    assert rig.held() == {KEY: b"newer", COSPLAY: b"new", VIDEO: LARGE}


def last_of(data: bytes) -> Callable[[Call], bool]:
    """Matches the requests with which an upload of these bytes is finished."""

    def is_last(call: Call) -> bool:
        span = call.headers.get("content-range", "")
        return call.method == "POST" if len(data) <= CHUNK else f"-{len(data) - 1}/" in span

    return is_last


def told(body: bytes, **fields: Any) -> bytes:
    """An object resource that says something else."""
    return json.dumps(json.loads(body) | fields).encode() if b'"name"' in body else body
