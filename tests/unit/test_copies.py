"""Copies: uploads whose content is in the bucket under another name of ours."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import crc32c
import pytest

from reconcile import Project
from reconcile.core.changes import Copy, Upload
from reconcile.core.digest import encode_crc32c
from reconcile.core.errors import AccessDenied, StoreUnavailable
from reconcile.core.events import Event, Warned
from reconcile.core.plan import Plan
from reconcile.core.report import OutcomeKind, Status
from reconcile.pipeline.planner import survey
from tests.kit.small_project import KPOP, make_project
from tests.kit.world import World, kinds, titled, windows
from tests.kit.worlds import TWINS

OLD, KEY, SIBLING = "dances/dance_rem_old.mp4", "dances/dance_rem_new.mp4", "dances/dance_rem_copy.mp4"


def copies(plan: Plan) -> list[tuple[str, str]]:
    """(source, key) of each copy."""
    return [(each.source, each.key) for each in plan.actions if isinstance(each, Copy)]


def renamed(world: World, data: bytes = b"dance") -> None:
    """A file that has another name here than in the bucket."""
    world.object(OLD, data)
    world.file(KEY, data)
    world.record("rem", titled(dance_video=windows(KEY)))


@pytest.mark.parametrize("there", [False, True], ids=["renamed", "a variant"])
def test_what_is_in_the_bucket_under_another_name_is_copied_and_not_sent(there: bool) -> None:
    with World() as world:
        renamed(world)
        if there:
            world.file(OLD, b"dance")
        plan = world.plan()
        assert copies(plan) == [(world.uri(OLD), KEY)]
        [copied] = [each for each in plan.actions if isinstance(each, Copy)]
        assert (copied.source_generation, copied.if_generation_match) == (world.objects.all()[OLD].generation, 0)
        assert (plan.summary.copy, plan.summary.upload, plan.summary.bytes) == (1, 0, 0)
        report = world.apply(plan)
        assert (report.status, report.bytes) == (Status.SUCCESS, 0)
        assert world.objects.copies == [(OLD, KEY)]
        assert world.objects.all()[KEY].content_type == "video/mp4"
        assert world.entries("rem") == [titled(dance_video=world.uri(KEY))]
        assert world.plan().actions == ()


def test_the_first_source_by_name_is_taken_and_asked_once_for_all() -> None:
    with World() as world:
        for name in ("c", "a", "b"):
            world.object(f"dances/dance_rem_{name}.mp4", b"dance")
        world.file(KEY, b"dance")
        world.file(SIBLING, b"dance")
        source = world.uri("dances/dance_rem_a.mp4")
        assert copies(world.plan()) == [(source, SIBLING), (source, KEY)]
        assert world.objects.proved == ["dances/dance_rem_a.mp4"]


@pytest.mark.parametrize("why", ["composed", "encoded", "other content", "replaced", "nowhere"])
def test_what_proves_nothing_is_not_copied(why: str) -> None:
    with World() as world:
        world.object(OLD, b"other" if why == "other content" else b"dance", None)
        world.file(KEY, b"dance")
        if why == "composed":
            world.objects.md5s[OLD] = None
        elif why == "encoded":
            world.objects.say(OLD, contentEncoding="gzip")
        elif why == "replaced":
            world.file(OLD, b"dance")
            world.plan()
            world.file(OLD, b"danse")
        elif why == "nowhere":
            world.objects.remove(OLD)
        assert ("upload" in kinds(world.plan()), copies(world.plan())) == (True, [])


def test_a_second_source_is_taken_if_the_first_proves_nothing() -> None:
    with World() as world:
        renamed(world)
        world.object("dances/dance_rem_first.mp4", b"dance")
        world.objects.md5s["dances/dance_rem_first.mp4"] = None
        assert copies(world.plan()) == [(world.uri(OLD), KEY)]


def test_what_was_remembered_and_is_gone_or_changed_is_not_copied() -> None:
    with World() as world:
        world.both(OLD, b"dance")
        world.plan()
        world.files.files.pop(OLD)
        world.objects.set(OLD, b"other")
        world.file(KEY, b"dance")
        assert copies(world.plan()) == []


def test_a_state_file_that_only_the_search_for_sources_finds_damaged_is_told(tmp_path: Path) -> None:
    folder, told = make_project(tmp_path), list[Event]()
    with Project.open(folder).opened() as project:
        survey(project)
    wanted = encode_crc32c(crc32c.crc32c((folder / "output" / KPOP).read_bytes()))
    with closing(sqlite3.connect(folder / ".reconcile" / "state.db")) as database, database:
        many = ((f"s/{number:05}", 1, "AAAAAA==", 1) for number in range(20_000))
        database.executemany("INSERT INTO agreed VALUES (?, ?, ?, ?)", [*many, ("~", "no size", wanted, 1)])
    with Project.open(folder).opened() as project:
        survey(project, listener=told.append)
    assert ["state.db.damaged" in each.message for each in told if isinstance(each, Warned)] == [True]


def test_nothing_is_asked_about_objects_that_are_gone_and_planned_again() -> None:
    with World() as world:
        for name in "ab":
            world.file(f"dances/dance_rem_{name}.mp4", name.encode())
        world.apply(world.plan())
        for key in world.objects.all():
            world.objects.remove(key)
        plan = world.plan()
        assert plan.summary.upload == 2
        assert world.objects.proved == []


def test_a_copy_has_the_id_of_its_upload() -> None:
    with World() as world:
        world.file(KEY, b"dance")
        [uploaded] = world.plan().actions
        world.object(OLD, b"dance", "video/mp4")
        [copied] = world.plan().actions
        assert (type(uploaded), type(copied), copied.id) == (Upload, Copy, uploaded.id)


def test_nothing_is_asked_if_nothing_is_to_be_sent() -> None:
    with World() as world:
        world.both(OLD, b"dance")
        world.object(KEY, b"dance")
        world.plan()
        assert world.objects.proved == []


@pytest.mark.parametrize("then", ["after_md5", "before_copy"])
def test_a_source_that_gets_content_of_one_checksum_after_it_was_proved_is_not_copied(then: str) -> None:
    with World() as world:
        renamed(world, TWINS[0])
        plan = world.plan()
        assert copies(plan) == [(world.uri(OLD), KEY)]
        setattr(world.objects, then, lambda: world.objects.set(OLD, TWINS[1]))
        report = world.apply(plan)
        assert (report.status, report.bytes) == (Status.SUCCESS, len(TWINS[0]))
        assert b"".join(world.objects.read(KEY)) == TWINS[0]


@pytest.mark.parametrize("what", ["changed", "gone", "composed", "collides", "denied", "down for a copy"])
def test_a_source_that_cannot_be_copied_any_more_makes_it_an_upload(what: str) -> None:
    with World() as world:
        renamed(world)
        plan = world.plan()
        if what == "changed":
            world.objects.set(OLD, b"other")
        elif what == "gone":
            world.objects.remove(OLD)
        elif what == "composed":
            world.objects.md5s[OLD] = None
        elif what == "collides":
            world.objects.md5s[OLD] = "of other bytes"
        else:
            refusals = iter([AccessDenied("no copies") if what == "denied" else None])
            world.objects.refuse = lambda _key: next(refusals, None)
            world.objects.before_copy = (lambda: None) if what == "denied" else (lambda: world.objects.remove(OLD))
        report = world.apply(plan)
        assert (report.status, report.bytes) == (Status.SUCCESS, len(b"dance"))
        assert b"".join(world.objects.read(KEY)) == b"dance"
        assert world.objects.copies == []


def test_a_file_that_has_changed_since_is_stale_and_nothing_is_made() -> None:
    with World() as world:
        renamed(world)
        plan = world.plan()
        world.file(KEY, b"other")
        assert OutcomeKind.STALE in [each.outcome for each in world.apply(plan).outcomes]
        assert KEY not in world.objects.all()


@pytest.mark.parametrize("may_read", [True, False], ids=["", "the source may not be read"])
@pytest.mark.parametrize(("theirs", "outcome"), [(b"dance", OutcomeKind.ALREADY), (b"theirs", OutcomeKind.STALE)])
def test_what_somebody_else_has_put_there_meanwhile_is_left(
    theirs: bytes, outcome: OutcomeKind, may_read: bool
) -> None:
    with World() as world:
        renamed(world)
        plan = world.plan()
        world.object(KEY, theirs)
        if not may_read:
            world.objects.md5s[OLD] = AccessDenied("no")
        [made] = [each for each in world.apply(plan).outcomes if each.kind == "copy"]
        assert (made.outcome, world.objects.writes.count(KEY)) == (outcome, 0)
        assert b"".join(world.objects.read(KEY)) == theirs


def test_a_lost_answer_is_settled_by_reading_and_nothing_is_sent() -> None:
    with World() as world:
        renamed(world)
        plan = world.plan()
        world.objects.lose_answers = True
        [made] = [each for each in world.apply(plan).outcomes if each.kind == "copy"]
        assert made.outcome is OutcomeKind.ALREADY
        assert world.objects.writes.count(KEY) == 1


def test_a_store_that_does_not_say_leaves_the_upload() -> None:
    with World() as world:
        renamed(world)
        world.objects.md5s[OLD] = StoreUnavailable("down")
        assert copies(world.plan()) == []
