"""The index of records while answers are lost, others write it, uploads fail, and runs die or go side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest

from reconcile.config.environment import RULES
from reconcile.core.events import ChangeDone
from reconcile.core.report import OutcomeKind, Status
from tests.kit.rig import COSPLAY, KEY, PREFIX, Rig, by_kind
from tests.kit.world import titled, windows
from tests.servers.faults import FOREVER
from tests.servers.gcs_world import Preconditions

APPLIED, ALREADY, STALE, BLOCKED = OutcomeKind.APPLIED, OutcomeKind.ALREADY, OutcomeKind.STALE, OutcomeKind.BLOCKED
INDEX = "asset_types"
BOTH = ["anime_image", "cosplay_image"]


def indexed(rig: Rig) -> Rig:
    """The records of the project have an index."""
    rules = rig.folder / RULES
    rules.write_text(rules.read_text("utf-8").replace('index = ""', f'index = "{INDEX}"'), "utf-8")
    return rig


@pytest.fixture
def ready(rig: Rig) -> Rig:
    """Two images to upload, and a record that names one of them."""
    rig.file(KEY)
    rig.file(COSPLAY)
    rig.record("rem", titled(anime_image=windows(KEY)), likes=1)
    return indexed(rig)


def index_of(rig: Rig) -> Any:
    return (rig.fields("rem") or {}).get(INDEX, "absent")


def test_a_record_gets_its_fields_and_its_index_in_one_write(ready: Rig) -> None:
    mark = ready.commits()
    assert ready.apply().status is Status.SUCCESS
    assert (index_of(ready), ready.commits()) == (BOTH, mark + 1)
    assert ready.converges().outcomes == ()


@pytest.mark.parametrize("code", ["UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN"])
def test_an_index_whose_reply_is_lost_is_written_once(ready: Rig, code: str) -> None:
    mark = ready.commits()
    ready.firestore.fault("Commit", after=grpc.StatusCode[code])
    assert ready.apply().status is Status.SUCCESS
    assert (index_of(ready), ready.commits()) == (BOTH, mark + 1)
    assert ready.converges().outcomes == ()


@pytest.mark.parametrize(
    ("theirs", "left"),
    [
        (["icon"], [*BOTH, "icon"]),
        (["cosplay_image", "anime_image"], ["cosplay_image", "anime_image"]),
        ([], BOTH),
        ("mine", "mine"),
        ([1], [1]),
        (["shonen"], [*BOTH, "shonen"]),
    ],
)
def test_what_somebody_else_writes_into_the_index_between_reading_and_writing_stays(
    ready: Rig, theirs: Any, left: Any
) -> None:
    plan = ready.plan()

    def meddle(_: Any) -> None:
        ready.record("rem", titled(anime_image=windows(KEY)), likes=2, **{INDEX: theirs})

    ready.firestore.fault(
        "Commit", when=lambda each: each.writes[0].current_document.HasField("update_time"), edit=meddle
    )
    report = ready.apply(plan)
    assert (index_of(ready), (ready.fields("rem") or {})["likes"]) == (left, 2)
    assert by_kind(report)[-2:] == ([STALE, STALE] if left in ("mine", [1]) else by_kind(report)[-2:])
    assert ready.entries("rem") == [titled(anime_image=ready.uri(KEY), cosplay_image=ready.uri(COSPLAY))]
    ready.converges()


def test_an_upload_that_fails_keeps_back_its_own_type_alone(ready: Rig) -> None:
    ready.wire(method="POST", key=f"{PREFIX}/{COSPLAY}", status=403, times=FOREVER)
    assert BLOCKED in by_kind(ready.apply())
    assert index_of(ready) == ["anime_image"]
    ready.converges()
    assert index_of(ready) == BOTH


def test_an_object_that_goes_before_the_record_is_written_is_in_no_index(ready: Rig) -> None:
    ready.object(KEY)
    plan = ready.plan()
    ready.gcs.world.delete(ready.shop.bucket, f"{PREFIX}/{KEY}", None, Preconditions())
    ready.apply(plan)
    assert index_of(ready) == ["cosplay_image"]
    ready.converges()
    assert index_of(ready) == BOTH


def test_a_type_is_taken_out_when_its_object_is_gone_and_comes_back_with_it(ready: Rig) -> None:
    ready.apply()
    ready.gcs.world.delete(ready.shop.bucket, f"{PREFIX}/{COSPLAY}", None, Preconditions())
    file = ready.root / COSPLAY
    data = file.read_bytes()
    file.unlink()
    ready.apply()
    assert index_of(ready) == ["anime_image"]
    ready.file(COSPLAY, data)
    ready.apply()
    ready.converges()
    assert index_of(ready) == BOTH


def test_of_two_runs_at_once_each_type_comes_in_once(ready: Rig) -> None:
    reports = ready.apply_twice(ready.plan())
    assert [report.status for report in reports] == [Status.SUCCESS] * 2
    assert index_of(ready) == BOTH
    assert ready.converges().outcomes == ()


def test_a_run_that_died_between_a_new_record_and_its_index_leaves_only_that_to_the_next(
    furnished: Callable[..., Rig],
) -> None:
    rig = indexed(furnished(rem={"name": "Rem", "assets": [titled(anime_image=windows(KEY))]}))
    rig.file(KEY)
    gone = rig.firestore.fault(
        "BatchGetDocuments", when=lambda _: rig.commits() > 0, times=FOREVER, before=grpc.StatusCode.PERMISSION_DENIED
    )
    report = rig.apply()
    assert gone.seen > 0
    assert by_kind(report) == [APPLIED, APPLIED, OutcomeKind.FAILED]
    rig.quiet()
    assert rig.fields("rem") == {"name": "Rem", "assets": [titled(anime_image=rig.uri(KEY))]}
    assert [each.kind for each in rig.converges().outcomes] == ["set_field"]
    assert index_of(rig) == ["anime_image"]


def test_a_run_that_dies_after_the_uploads_leaves_the_index_to_the_next(ready: Rig) -> None:
    ready.die(lambda event: isinstance(event, ChangeDone) and event.outcome.key == COSPLAY)
    assert index_of(ready) == "absent"
    ready.converges()
    assert index_of(ready) == BOTH
