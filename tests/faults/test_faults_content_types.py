"""Content types that are put right while answers are lost, other writers are at work, and permissions are missing."""

from __future__ import annotations

from typing import Any

import pytest

from reconcile.core.report import OutcomeKind, Status
from tests.kit.rig import KEY, OTHER, PREFIX, Rig, by_kind, failed, results
from tests.kit.world import titled
from tests.servers.faults import FOREVER
from tests.servers.gcs_world import Preconditions

APPLIED, ALREADY, STALE = OutcomeKind.APPLIED, OutcomeKind.ALREADY, OutcomeKind.STALE


def typeless(rig: Rig, key: str = KEY) -> None:
    """An object of the old migration, in step but for its type."""
    rig.file(key, b"rem")
    rig.object(key, b"rem", contentType="text/plain")
    rig.record("rem", titled(anime_image=rig.uri(KEY)))


def type_of(rig: Rig, key: str = KEY) -> str:
    found: str = rig.shop.objects()[key].fields["contentType"]
    return found


def says(rig: Rig, **said: str) -> None:
    """Somebody else's metadata."""
    rig.gcs.world.patch(rig.shop.bucket, f"{PREFIX}/{KEY}", said, Preconditions())


@pytest.mark.parametrize(
    "fault",
    [{"lost": True}, {"answer": 503}, {"status": 503}, {"reset": True}, {"rewrite": lambda _: b"{}"}],
    ids=["lost", "503 after it", "503", "reset", "nonsense"],
)
def test_a_type_whose_answer_is_lost_is_set_once(rig: Rig, fault: dict[str, Any]) -> None:
    typeless(rig)
    rig.wire(method="PATCH", **fault)
    report = rig.apply()
    assert by_kind(report)[0] in (APPLIED, ALREADY)
    assert (type_of(rig), rig.shop.objects()[KEY].metageneration, rig.generations(KEY)) == ("image/png", 2, 1)
    asked = rig.gcs.script.calls("PATCH")[0].query
    assert (asked["ifGenerationMatch"], asked["ifMetagenerationMatch"]) == (str(rig.world()[0][KEY]), "1")
    rig.converges()


def test_a_type_whose_answers_are_all_lost_is_settled_by_reading(rig: Rig) -> None:
    typeless(rig)
    rig.deadline = 1.0
    rig.wire(method="PATCH", lost=True, times=FOREVER)
    assert by_kind(rig.apply()) == [ALREADY]
    assert rig.shop.objects()[KEY].metageneration == 2
    rig.converges()


@pytest.mark.parametrize("what", ["metadata", "content", "gone"])
def test_what_somebody_else_does_to_the_object_first_makes_its_type_stale(rig: Rig, what: str) -> None:
    typeless(rig)
    plan = rig.plan()
    if what == "metadata":
        says(rig, contentType="image/webp")
    elif what == "content":
        rig.object(KEY, b"theirs", contentType="text/plain")
    else:
        rig.gcs.world.delete(rig.shop.bucket, f"{PREFIX}/{KEY}", None, Preconditions())
    assert by_kind(rig.apply(plan)) == [STALE]
    assert KEY not in rig.held() or type_of(rig) != "image/png"


def test_a_type_that_somebody_else_sets_between_two_attempts_stays(rig: Rig) -> None:
    typeless(rig)
    rig.wire(method="PATCH", status=503, run=lambda: says(rig, contentType="image/webp"))
    assert by_kind(rig.apply()) == [STALE]
    assert type_of(rig) == "image/webp"


def test_who_may_not_set_a_type_is_told_so_and_the_rest_goes_on(rig: Rig) -> None:
    typeless(rig)
    rig.file(OTHER, b"mei")
    rig.record("mei")
    rig.wire(method="PATCH", status=403, reason="forbidden", times=FOREVER)
    report = rig.apply()
    assert (report.status, [each.kind for each in failed(report)]) == (Status.PARTIAL, ["set_metadata"])
    assert ("upload", OTHER, APPLIED) in results(report)
    assert type_of(rig) == "text/plain"
    rig.converges()
