"""Content types: what is put right, what is told, and what is left alone."""

from __future__ import annotations

import io

import pytest

from reconcile.config.settings import Policy
from reconcile.core.changes import Code, SetMetadata
from reconcile.core.context import Typing
from reconcile.core.media import is_generic, wrong_type
from reconcile.core.plan import Plan
from reconcile.core.report import OutcomeKind, Status
from reconcile.core.rows import RemoteObject
from reconcile.ports import DesiredObject
from tests.kit.fakes import digest
from tests.kit.world import World, codes, kinds, titled

KEY = "characters/rem.png"
GENERIC = [
    "text/plain",
    "text/plain; charset=utf-8",
    "TEXT/PLAIN",
    "application/octet-stream",
    "binary/octet-stream",
    "",
]


def typed(world: World, key: str, type_: str, data: bytes = b"bytes") -> RemoteObject:
    """Somebody's object of this content type."""
    return world.objects._store.put(DesiredObject(key, len(data), digest(data), type_, 0), io.BytesIO(data))


def told(plan: Plan) -> list[str]:
    """The subjects of the findings about types."""
    return [each.subject for each in plan.findings if each.code is Code.WRONG_CONTENT_TYPE]


@pytest.mark.parametrize(
    ("key", "found", "right"),
    [
        ("a.png", "image/png", None),
        ("a.png", "IMAGE/PNG; q=1", None),
        ("a.png", "image/jpeg", "image/png"),
        ("a.wav", "audio/x-wav", None),
        ("a.mkv", "video/matroska", None),
        ("a.txt", "text/plain", None),
        ("a.txt", None, "text/plain; charset=utf-8"),
        ("a.mp4", "", "video/mp4"),
        ("a.who-knows", "image/png", None),
        ("a.who-knows", None, None),
        ("a", "text/plain", None),
    ],
)
def test_a_type_is_held_against_the_name_and_what_no_name_says_is_never_wrong(
    key: str, found: str | None, right: str | None
) -> None:
    assert wrong_type(key, found) == right


@pytest.mark.parametrize("found", [*GENERIC, None])
def test_these_types_say_nothing(found: str | None) -> None:
    assert is_generic(found)
    assert not is_generic("image/jpeg")


@pytest.mark.parametrize("found", GENERIC)
@pytest.mark.parametrize("there", [True, False], ids=["file", "no file"])
def test_a_generic_type_is_put_right_and_then_there_is_nothing_to_do(found: str, there: bool) -> None:
    with World() as world:
        before = typed(world, KEY, found)
        world.record("rem", titled(anime_image=world.uri(KEY)))
        if there:
            world.file(KEY, b"bytes")
        plan = world.plan()
        assert kinds(plan) == ["set_metadata"]
        [change] = plan.actions
        assert isinstance(change, SetMetadata)
        assert (change.old, change.content_type, change.char_id) == (found or None, "image/png", "rem")
        assert (change.if_generation_match, change.if_metageneration_match) == (before.generation, 1)
        assert (plan.summary.set_metadata, plan.summary.bytes, plan.summary.in_step) == (1, 0, 0)
        report = world.apply(plan)
        assert (report.status, report.bytes) == (Status.SUCCESS, 0)
        after = world.objects.get(KEY)
        assert after is not None
        assert (after.content_type, after.generation, after.metageneration) == ("image/png", before.generation, 2)
        assert (world.plan().actions, world.plan().summary.in_step) == ((), 1)


def test_any_other_wrong_type_is_told_and_left() -> None:
    with World() as world:
        typed(world, KEY, "image/jpeg")
        world.record("rem", titled(anime_image=world.uri(KEY)))
        plan = world.plan()
        assert (kinds(plan), told(plan), plan.summary.in_step) == ([], [world.uri(KEY)], 1)
        assert '"image/jpeg"' in plan.findings[0].message


def test_with_report_a_generic_type_is_told_and_left() -> None:
    with World(policy=Policy(content_types=Typing.REPORT)) as world:
        typed(world, KEY, "")
        world.record("rem", titled(anime_image=world.uri(KEY)))
        plan = world.plan()
        assert (kinds(plan), told(plan)) == ([], [world.uri(KEY)])


@pytest.mark.parametrize(
    ("key", "code"),
    [("notes/rem.png", "orphan_object"), ("characters/rem.who-knows", "orphan_object")],
    ids=["no rule", "no known ending"],
)
def test_the_type_of_what_no_rule_takes_is_left_alone(key: str, code: str) -> None:
    with World() as world:
        typed(world, key, "text/plain")
        world.record("rem")
        plan = world.plan()
        assert (kinds(plan), codes(plan)) == ([], [code])


def test_an_object_that_is_replaced_gets_its_type_with_the_new_content() -> None:
    with World() as world:
        typed(world, KEY, "text/plain", b"old")
        world.file(KEY, b"old")
        world.plan()
        world.file(KEY, b"new")
        world.record("rem", titled(anime_image=world.uri(KEY)))
        assert kinds(world.plan()) == ["replace"]
        world.apply()
        found = world.objects.get(KEY)
        assert found is not None
        assert found.content_type == "image/png"


@pytest.mark.parametrize("data", [b"theirs", b""], ids=["conflict", "empty"])
def test_an_object_that_a_person_must_look_at_first_keeps_its_type(data: bytes) -> None:
    with World() as world:
        typed(world, KEY, "text/plain", data)
        world.file(KEY, b"ours")
        world.record("rem", titled(anime_image=world.uri(KEY)))
        assert kinds(world.plan()) == []


def test_a_scope_sets_the_types_of_its_own_objects_with_the_ids_of_the_whole_plan() -> None:
    with World() as world:
        for key, owner in ((KEY, "rem"), ("characters/mei.png", "mei")):
            typed(world, key, "text/plain")
            world.record(owner, titled(anime_image=world.uri(KEY)))
        whole = {each.id: each for each in world.plan().actions if isinstance(each, SetMetadata)}
        assert len(whole) == 2
        for owner in ("rem", "mei"):
            scoped = [each for each in world.plan(owner).actions if isinstance(each, SetMetadata)]
            assert [(each.char_id, whole[each.id] == each) for each in scoped] == [(owner, True)]


def test_a_field_is_written_whatever_becomes_of_the_type() -> None:
    with World() as world:
        typed(world, KEY, "text/plain")
        world.record("rem", titled(anime_image=f"output/{KEY}"))
        plan = world.plan()
        assert kinds(plan) == ["set_metadata", "set_field"]
        world.objects.say(KEY, cacheControl="no-store")  # a new metageneration
        assert [each.outcome for each in world.apply(plan).outcomes] == [OutcomeKind.STALE, OutcomeKind.APPLIED]
        assert kinds(world.plan()) == ["set_metadata"]


def test_a_type_that_somebody_else_has_set_meanwhile_is_already_done_and_another_one_is_stale() -> None:
    with World() as world:
        seen = typed(world, KEY, "text/plain")
        world.record("rem", titled(anime_image=world.uri(KEY)))
        plan = world.plan()
        where = {"if_generation_match": seen.generation, "if_metageneration_match": 1}
        world.objects._store.set_type(KEY, "image/png", **where)
        assert [each.outcome for each in world.apply(plan).outcomes] == [OutcomeKind.ALREADY]
        world.objects._store.set_type(KEY, "image/jpeg", **{**where, "if_metageneration_match": 2})
        assert [each.outcome for each in world.apply(plan).outcomes] == [OutcomeKind.STALE]
        found = world.objects.get(KEY)
        assert found is not None
        assert found.content_type == "image/jpeg"


def test_an_answer_that_is_lost_is_settled_by_reading() -> None:
    with World() as world:
        typed(world, KEY, "text/plain")
        world.record("rem", titled(anime_image=world.uri(KEY)))
        world.objects.lose_answers = True
        assert [each.outcome for each in world.apply().outcomes] == [OutcomeKind.ALREADY]
        assert world.plan().actions == ()
