"""Copies in the bucket while answers are lost, sources move, and other writers are at work."""

from __future__ import annotations

from typing import Any

import pytest

from reconcile.core.report import OutcomeKind
from tests.kit.rig import LARGE, PREFIX, VIDEO, Rig, by_kind
from tests.kit.world import titled, windows
from tests.servers.faults import FOREVER
from tests.servers.gcs_world import Preconditions

APPLIED, ALREADY, STALE, BLOCKED = OutcomeKind.APPLIED, OutcomeKind.ALREADY, OutcomeKind.STALE, OutcomeKind.BLOCKED
OLD = "dances/dance_rem_old.mp4"
REWRITE = "/rewriteTo/"


def renamed(rig: Rig, data: bytes = b"dance") -> None:
    """A file that has another name here than in the bucket."""
    rig.object(OLD, data, cacheControl="no-store")
    rig.file(VIDEO, data)
    rig.record("rem", titled(dance_video=windows(VIDEO)))


def sent(rig: Rig) -> int:
    """Requests that upload."""
    return len(rig.gcs.script.calls("POST", "/upload/"))


@pytest.mark.parametrize(
    "fault",
    [{}, {"lost": True}, {"answer": 503}, {"status": 503}, {"reset": True}, {"rewrite": lambda _: b"{}"}],
    ids=["quiet", "lost", "503 after it", "503", "reset", "nonsense"],
)
def test_a_copy_whose_answer_is_lost_is_made_once_and_nothing_is_sent(rig: Rig, fault: dict[str, Any]) -> None:
    renamed(rig)
    source = rig.world()[0][OLD]
    if fault:
        rig.wire(path=REWRITE, **fault)
    report = rig.apply()
    assert (report.outcomes[0].kind, report.bytes) == ("copy", 0)
    assert by_kind(report)[0] in (APPLIED, ALREADY)
    assert by_kind(report)[1:] == [APPLIED]
    assert (rig.held(), rig.generations(VIDEO), sent(rig)) == ({OLD: b"dance", VIDEO: b"dance"}, 1, 0)
    asked = rig.gcs.script.calls("POST", REWRITE)[0].query
    assert (asked["ifGenerationMatch"], asked["ifSourceGenerationMatch"]) == ("0", str(source))
    assert dict(rig.shop.objects()[VIDEO].fields) == {"contentType": "video/mp4"}
    rig.converges()


def test_copies_whose_answers_are_all_lost_are_settled_by_reading(rig: Rig) -> None:
    renamed(rig)
    rig.deadline = 1.0
    rig.wire(path=REWRITE, lost=True, times=FOREVER)
    assert by_kind(rig.apply()) == [ALREADY, APPLIED]
    assert (rig.generations(VIDEO), sent(rig)) == (1, 0)
    rig.converges()


def test_a_large_copy_goes_on_by_its_token_until_it_is_done(rig: Rig) -> None:
    renamed(rig, LARGE)
    rig.gcs.world.rewrite_limit = 3 * 1024 * 1024
    rig.wire(path=REWRITE, skip=1, lost=True)
    assert by_kind(rig.apply()) == [APPLIED, APPLIED]
    tokens = [call.query.get("rewriteToken") for call in rig.gcs.script.calls("POST", REWRITE)]
    assert (tokens[0], tokens[1], len(tokens)) == (None, tokens[2], 4)
    assert (rig.held()[VIDEO] == LARGE, rig.generations(VIDEO), sent(rig)) == (True, 1, 0)
    rig.converges()


@pytest.mark.parametrize("what", ["changed", "gone", "composed", "in the middle", "denied"])
def test_a_source_that_moves_makes_the_copy_an_upload(rig: Rig, what: str) -> None:
    renamed(rig)
    plan = rig.plan()
    assert [each.id for each in plan.actions if type(each).__name__ == "Copy"]
    name = f"{PREFIX}/{OLD}"
    if what == "changed":
        rig.object(OLD, b"other")
    elif what == "gone":
        rig.gcs.world.delete(rig.shop.bucket, name, None, Preconditions())
    elif what == "composed":
        rig.gcs.world.compose(rig.shop.bucket, name)
    elif what == "in the middle":
        rig.wire(path=REWRITE, run=lambda: rig.object(OLD, b"other"))
    else:
        rig.wire(path=REWRITE, status=403, reason="forbidden", times=FOREVER)
    report = rig.apply(plan)
    assert (by_kind(report), report.bytes, sent(rig)) == ([APPLIED, APPLIED], len(b"dance"), 1)
    assert rig.held()[VIDEO] == b"dance"
    rig.converges()


@pytest.mark.parametrize(
    ("theirs", "outcomes"), [(b"dance", [ALREADY, APPLIED]), (b"theirs", [STALE, BLOCKED])], ids=["same", "other"]
)
def test_what_somebody_else_makes_before_the_copy_stays(rig: Rig, theirs: bytes, outcomes: list[OutcomeKind]) -> None:
    renamed(rig)
    rig.wire(path=REWRITE, run=lambda: rig.object(VIDEO, theirs))
    assert by_kind(rig.apply()) == outcomes
    assert (rig.held()[VIDEO], rig.generations(VIDEO), sent(rig)) == (theirs, 1, 0)
