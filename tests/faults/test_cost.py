"""What a plan estimates and a run counts, held against what the servers were asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

import pytest

from reconcile.commands import undo
from reconcile.core.cost import Usage
from reconcile.core.plan import Plan, Scope
from reconcile.core.report import Report, Status
from reconcile.pipeline.executor import execute
from reconcile.pipeline.planner import survey
from tests.kit.rig import COSPLAY, KEY, LARGE, OTHER, SMALL, VIDEO, Rig, furnish
from tests.kit.world import titled, windows
from tests.servers.faults import FOREVER

FREE = re.compile(r"(PUT|DELETE) ")
READS = re.compile(r"GET (/download)?/storage/v1/b/[^/]+/o/[^/]+")


def asked(rig: Rig) -> tuple[int, int, int, int, int]:
    """What the servers were asked since their logs were emptied: requests of class A, of class B and free ones, the
    documents that were asked for by name, and those that were written."""
    calls = [f"{call.method} {call.path}" for call in rig.gcs.script.calls()]
    free = sum(FREE.match(call) is not None for call in calls)
    reads = sum(READS.fullmatch(call) is not None for call in calls)
    documents = sum(len(request.documents) for request in rig.firestore.calls("BatchGetDocuments"))
    return len(calls) - free - reads, reads, free, documents, len(rig.firestore.calls("Commit"))


def counts(usage: Usage) -> tuple[int, int, int, int, int]:
    """The same of what was counted."""
    return usage.class_a, usage.class_b, usage.free, usage.document_reads, usage.document_writes


def planned_and_applied(rig: Rig) -> tuple[Plan, Report]:
    """A plan, and the run that applies it in a process of its own; the servers' logs hold that run alone."""
    plan = rig.plan()
    rig.quiet()
    rig.firestore.log.clear()
    return plan, rig.apply(plan, force=True)


def new(rig: Rig, name: str, data: bytes) -> None:
    key = f"characters/{name}.png"
    rig.file(key, data)
    rig.record(name, titled(anime_image=windows(key)))


def changed(rig: Rig, name: str, data: bytes) -> None:
    rig.object(f"characters/{name}.png", b"older", cacheControl="no-store")
    new(rig, name, data)


def uploaded(rig: Rig, name: str, data: bytes) -> None:
    rig.object(f"characters/{name}.png", data)
    new(rig, name, data)


def renamed(rig: Rig, name: str, data: bytes) -> None:
    rig.object(f"characters/{name}_old.png", data)
    new(rig, name, data)


def typeless(rig: Rig, name: str, data: bytes) -> None:
    rig.object(f"characters/{name}.png", data, contentType="text/plain")
    new(rig, name, data)


def twofold(rig: Rig, name: str, data: bytes) -> None:
    uploaded(rig, name, data)
    rig.file(f"characters/{name}_cosplay.png", data + b"!")


def large(rig: Rig, name: str, data: bytes) -> None:
    rig.file(f"dances/dance_{name}_neon.mp4", LARGE + data)
    rig.record(name)


def undocumented(rig: Rig, name: str, data: bytes) -> None:
    rig.file(f"characters/{name}.png", data)


SITUATIONS: tuple[Callable[[Rig, str, bytes], None], ...] = (
    *(new, changed, uploaded, renamed, typeless, twofold),
    *(large, undocumented),
)
INDEXED = 'index = "asset_types"'
KINDS = {"upload", "replace", "copy", "set_metadata", "set_field"}


@pytest.mark.parametrize("seed", range(6))
def test_what_a_plan_estimates_is_what_is_counted_and_what_the_servers_were_asked(rig: Rig, seed: int) -> None:
    random = Random(seed)
    rig.replace = "local"
    kinds = [*SITUATIONS, *random.choices(SITUATIONS[:6], k=6)]
    for at, situation in enumerate(random.sample(kinds, len(kinds))):
        situation(rig, f"girl{at}", bytes([at + 1]) * random.randrange(1, 100))
    plan, report = planned_and_applied(rig)
    assert report.status is Status.SUCCESS, report.outcomes
    assert {each.kind for each in report.outcomes} >= KINDS
    assert plan.estimate is not None
    assert plan.estimate.applying == report.used.applying
    assert counts(report.used.applying) == asked(rig)
    assert report.used.applying.bytes == report.bytes == plan.summary.bytes
    assert report.used.looking == Usage()


def test_a_record_that_is_created_costs_one_write(furnished: Callable[..., Rig]) -> None:
    rig = furnished(rem={"assets": [titled(anime_image=KEY)]}, mei={"assets": [titled(anime_image=OTHER)]})
    rig.file(KEY)
    rig.object(OTHER)
    rig.file(OTHER)
    plan, report = planned_and_applied(rig)
    assert [each.kind for each in report.outcomes].count("create_record") == 2
    assert plan.estimate is not None
    assert plan.estimate.applying == report.used.applying
    assert counts(report.used.applying) == asked(rig)
    assert report.used.applying.document_writes == 2


def test_what_is_asked_to_make_a_plan_is_counted_apart(rig: Rig) -> None:
    for name in ("rem", "mei", "kay"):
        new(rig, name, b"picture")
    with rig.open() as project:
        plan = survey(project).plan
        listings = len(rig.gcs.script.calls())
        assert plan.estimate is not None
        assert plan.estimate.looking == Usage(class_a=listings, document_reads=3)
        assert listings > 0
        report = execute(project, plan)
    assert report.used.looking == plan.estimate.looking
    assert report.used.applying == plan.estimate.applying


def test_a_request_that_is_sent_again_counts_again(rig: Rig) -> None:
    furnish(rig, KEY, SMALL)
    plan = rig.plan()
    rig.quiet()
    rig.firestore.log.clear()
    rig.wire(method="POST", status=503, times=2)
    report = rig.apply(plan)
    assert report.status is Status.SUCCESS
    assert plan.estimate is not None
    assert counts(report.used.applying) == asked(rig)
    assert report.used.applying.class_a == plan.estimate.applying.class_a + 2
    assert report.bytes == len(SMALL)
    assert report.used.applying.bytes == 3 * len(SMALL)


def test_a_large_upload_that_breaks_is_one_operation_and_its_chunks_are_free(rig: Rig) -> None:
    furnish(rig, VIDEO, LARGE)
    plan = rig.plan()
    rig.quiet()
    rig.firestore.log.clear()
    rig.wire(method="PUT", lost=True)
    report = rig.apply(plan)
    assert counts(report.used.applying) == asked(rig)
    assert report.used.applying.class_a == 1
    assert report.used.applying.free > 2


def test_a_bucket_that_does_not_answer_is_counted_as_it_was_asked(rig: Rig) -> None:
    furnish(rig, KEY, SMALL)
    plan = rig.plan()
    rig.quiet()
    rig.firestore.log.clear()
    rig.deadline = 1.0
    rig.wire(reset=True, times=FOREVER)
    report = rig.apply(plan)
    assert report.status is Status.FAILED
    assert counts(report.used.applying) == asked(rig)


def test_a_bucket_that_cannot_be_reached_was_asked_nothing(rig: Rig) -> None:
    furnish(rig, KEY, SMALL)
    plan = rig.plan()
    rig.endpoint = "http://127.0.0.1:9"
    rig.deadline = 0.5
    assert rig.apply(plan).used.applying == Usage()


def test_history_tells_what_a_run_used(rig: Rig) -> None:
    furnish(rig, COSPLAY, SMALL)
    report = rig.apply()
    with rig.open() as project:
        (past,) = project.journal.runs()
    assert past.end is not None
    assert past.end.used == report.used
    assert report.used.applying


def test_the_time_is_estimated_from_the_runs_before(rig: Rig) -> None:
    furnish(rig, KEY, SMALL)
    plan, report = planned_and_applied(rig)
    assert plan.estimate is not None
    assert plan.estimate.seconds is None
    new(rig, "mei", SMALL[::-1])
    after = rig.plan().estimate
    assert after is not None
    assert after.applying == plan.estimate.applying
    assert after.seconds == pytest.approx(report.seconds, abs=0.001)


def test_the_local_database_and_undo_are_estimated_as_they_are_counted(furnished: Callable[..., Rig]) -> None:
    rig = furnished(
        rem={"assets": [titled(anime_image=windows(KEY))]}, mei={"assets": [titled(anime_image=windows(OTHER))]}
    )
    rules = rig.folder / "rules" / "asset_map.toml"
    rules.write_text(rules.read_text().replace("# rewrite = false", "rewrite = true").replace('index = ""', INDEXED))
    rig.file(KEY)
    rig.object(OTHER)
    rig.file(OTHER)
    rig.record("rem", titled(anime_image=windows(KEY)))
    plan, report = planned_and_applied(rig)
    assert {each.kind for each in report.outcomes} == {"upload", "create_record", "set_field", "rewrite_local_db"}
    assert plan.estimate is not None
    assert plan.estimate.applying == report.used.applying
    assert counts(report.used.applying) == asked(rig)
    rig.quiet()
    rig.firestore.log.clear()
    with rig.open() as project:
        undoing = undo.survey(project, undo.find_run(project.journal, report.run_id), Scope())
        looked = project.meter.total()
        undone = undo.execute(project, undoing)
    assert undoing.plan.estimate is not None
    assert undoing.plan.estimate.applying == undone.used.applying
    assert undone.used.looking == looked
    assert counts(undone.used.looking + undone.used.applying) == asked(rig)
