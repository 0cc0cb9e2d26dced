"""The index of a record: which asset types it has in the bucket, kept like any other field."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec
import pytest

from reconcile.commands import undo
from reconcile.core.changes import CreateRecord, SetField
from reconcile.core.document_rules import MAX_DEPTH
from reconcile.core.errors import StoreUnavailable, UsageError
from reconcile.core.plan import Scope, fingerprint
from reconcile.core.planfile import dumps, loads
from reconcile.core.report import OutcomeKind
from reconcile.core.rows import FileProblem
from reconcile.pipeline.planner import survey
from tests.kit.engines import DictionaryEngine
from tests.kit.world import World, codes, kinds, rule, titled, windows

INDEX = "asset_types"
KEY = "characters/rem.png"
COSPLAY = "characters/rem_cosplay.png"


@pytest.fixture
def world() -> Iterator[World]:
    with World(index=INDEX) as made:
        yield made


@pytest.fixture
def with_database() -> Iterator[World]:
    with World(index=INDEX, local_db=True) as made:
        yield made


def index_of(world: World, char_id: str = "rem") -> Any:
    return (world.records.fields(char_id) or {}).get(INDEX, "absent")


def changes(world: World, *char_ids: str, types: tuple[str, ...] = ()) -> list[SetField]:
    plan = world.plan(*char_ids, types=types)
    return [action for action in plan.actions if isinstance(action, SetField) and action.is_index]


# -- what it gets --


def test_the_apply_that_uploads_the_assets_makes_the_index_right_and_the_next_one_writes_nothing(world: World) -> None:
    world.record("rem", titled(anime_image=windows(KEY)))
    world.file(KEY)
    world.file(COSPLAY)
    world.apply()

    assert index_of(world) == ["anime_image", "cosplay_image"]
    assert world.plan().actions == ()


def test_each_type_is_a_change_that_needs_an_object_of_it(world: World) -> None:
    world.record("rem", titled(anime_image=world.object(KEY)))
    world.file(COSPLAY)
    first, second = changes(world)

    assert (first.old, first.new, first.asset_type, first.way) == (None, ["anime_image"], "anime_image", (INDEX,))
    assert [need.key for need in first.needs] == [KEY]
    assert (second.old, second.new, [need.key for need in second.needs]) == (None, ["cosplay_image"], [COSPLAY])


def test_an_upload_that_fails_keeps_back_its_own_type_alone(world: World) -> None:
    world.record("rem")
    world.file(KEY)
    world.file(COSPLAY)
    world.objects.refuse = lambda key: StoreUnavailable("down") if key == KEY else None
    report = world.apply()

    assert index_of(world) == ["cosplay_image"]
    assert report.counts.blocked == 2
    world.objects.refuse = lambda _key: None
    world.apply()
    assert index_of(world) == ["anime_image", "cosplay_image"]


def test_a_type_whose_last_asset_is_lost_is_taken_out(world: World) -> None:
    world.record("rem", titled(anime_image=world.object(KEY), cosplay_image=world.uri(COSPLAY)), asset_types=None)
    world.records.put("rem", {**(world.records.fields("rem") or {}), INDEX: ["anime_image", "cosplay_image"]})
    (change,) = changes(world)

    assert (change.new, change.needs) == (["anime_image"], ())
    world.apply()
    assert index_of(world) == ["anime_image"]


def test_a_type_of_which_nothing_is_known_stays_as_it_is(world: World) -> None:
    world.record("rem", titled(anime_image=world.object(KEY, b"theirs")), asset_types=["anime_image"])
    world.file(KEY, b"ours")
    world.record("mei", titled(anime_image=world.object("characters/mei.png", b"theirs")))
    world.file("characters/mei.png", problem=FileProblem.UNSETTLED)

    assert changes(world) == []


@pytest.mark.parametrize("held", [["icon", "icon"], ["icon", "anime_image", "icon"], ["icon", "cosplay_image", "icon"]])
def test_a_type_that_somebody_wrote_twice_is_one_type(world: World, held: list[str]) -> None:
    world.record("rem", titled(anime_image=world.object(KEY), cosplay_image=world.object(COSPLAY)), **{INDEX: held})
    world.apply()

    assert index_of(world) == ["anime_image", "cosplay_image"]
    assert world.plan().actions == ()


def test_a_type_by_its_former_name_stays_while_it_cannot_be_told_whether_it_is_there() -> None:
    image = msgspec.structs.replace(rule("image", "characters/{char_id}.png", "anime_image"), aliases=("picture",))
    with World([image], index=INDEX) as world:
        world.record("rem", titled(anime_image=world.object(KEY)), **{INDEX: ["picture"]})
        world.file(KEY, b"drawn anew")
        assert codes(world.plan()) == ["content_conflict"]
        assert changes(world) == []
        del world.files.files[KEY]
        world.apply()

        assert index_of(world) == ["image"]


def test_what_a_new_record_has_for_a_name_alone_is_not_in_its_index() -> None:
    with World([rule("image", "characters/{char_id}.png")], local_db=True, index=INDEX) as world:
        world.local("rem", titled(), notes={world.object(KEY): "drawn by hand"})
        world.apply()

        assert index_of(world) == "absent"
        assert world.plan().actions == ()


def test_a_record_without_assets_gets_no_index(world: World) -> None:
    world.record("rem")

    assert kinds(world.plan()) == []


def test_without_the_setting_there_is_none() -> None:
    with World() as world:
        world.record("rem", titled(anime_image=world.object(KEY)))

        assert kinds(world.plan()) == []


# -- whose it is --


@pytest.mark.parametrize(
    "held", ["anime_image", ["shonen"], ["anime_image", 3], {"anime_image": True}, 5, ["anime_image", ""]]
)
def test_what_somebody_else_keeps_in_the_field_is_a_finding_and_stays(world: World, held: Any) -> None:
    world.record("rem", titled(anime_image=world.object(KEY)), asset_types=held)
    plan = world.plan()

    assert kinds(plan) == []
    assert codes(plan) == ["foreign_index"]
    world.apply(plan)
    assert index_of(world) == held


def test_an_empty_array_is_an_index(world: World) -> None:
    world.record("rem", titled(anime_image=world.object(KEY)), asset_types=[])
    world.apply()

    assert index_of(world) == ["anime_image"]


def test_what_somebody_else_adds_meanwhile_stays(world: World) -> None:
    world.record("rem", titled(anime_image=world.object(KEY)))
    plan = world.plan()
    world.records.put("rem", {**(world.records.fields("rem") or {}), INDEX: ["icon"]})
    world.apply(plan)

    assert index_of(world) == ["anime_image", "icon"]


def test_what_becomes_somebody_elses_meanwhile_is_stale(world: World) -> None:
    world.record("rem", titled(anime_image=world.object(KEY)))
    plan = world.plan()
    world.records.put("rem", {**(world.records.fields("rem") or {}), INDEX: "mine"})
    report = world.apply(plan)

    assert [outcome.outcome for outcome in report.outcomes] == [OutcomeKind.STALE]
    assert index_of(world) == "mine"


# -- scopes, new records, the local database --


def test_a_run_of_one_type_adds_that_type_and_drops_none(world: World) -> None:
    world.record("rem", titled(cosplay_image=world.object(COSPLAY)), asset_types=["anime_image", "cosplay_image"])
    world.file("remixes/rem/result/[kpop]_x.mp4")
    whole = {change.id for change in changes(world)}
    part = changes(world, types=("kpop_version",))

    assert [change.asset_type for change in part] == ["kpop_version"]
    assert {change.id for change in part} < whole
    world.apply(world.plan(types=("kpop_version",)))
    assert index_of(world) == ["anime_image", "cosplay_image", "kpop_version"]


def test_a_run_of_one_path_adds_its_type_alone_and_takes_none_out(world: World) -> None:
    world.record("rem", titled(cosplay_image=world.object(COSPLAY)), asset_types=["icon"])
    world.file(KEY)
    plan = survey(world, Scope(paths=(KEY,))).plan

    assert [action.new for action in plan.actions if isinstance(action, SetField) and action.is_index] == [
        ["anime_image", "icon"]
    ]


def test_a_run_of_one_character_plans_what_the_whole_plan_has_for_it(world: World) -> None:
    for char_id in ("rem", "mei"):
        world.record(char_id, titled(anime_image=world.object(f"characters/{char_id}.png")))

    assert changes(world, "rem") == [change for change in changes(world) if change.char_id == "rem"]


def test_a_new_record_has_its_index_after_the_same_run(with_database: World) -> None:
    world = with_database
    world.local("rem", titled(anime_image=windows(KEY), cosplay_image=windows(COSPLAY)))
    world.file(KEY)
    world.file(COSPLAY)
    world.apply()

    assert index_of(world) == ["anime_image", "cosplay_image"]
    assert world.plan().actions == ()
    assert world.local_db is not None
    assert INDEX not in (world.local_db.fields("rem") or {})


def test_a_record_that_cannot_be_made_gets_no_index(with_database: World) -> None:
    world = with_database
    world.local("rem", titled(anime_image=windows(KEY)))
    world.file(KEY)
    plan = world.plan()
    assert isinstance(plan.actions[1], CreateRecord)
    world.local("rem", titled(anime_image=windows(KEY)), name="Another")
    report = world.apply(plan)

    assert [outcome.outcome for outcome in report.outcomes][1:] == [OutcomeKind.STALE, OutcomeKind.BLOCKED]


def test_a_record_that_the_store_would_refuse_gets_no_index(with_database: World) -> None:
    world = with_database
    deep: Any = "the middle"
    for _ in range(MAX_DEPTH + 1):
        deep = {"in": deep}
    world.local("rem", titled(anime_image=windows(KEY)))
    world.file(KEY)
    assert world.local_db is not None
    world.local_db.order = lambda found: [
        msgspec.structs.replace(each, fields={**each.fields, "notes": deep}) for each in found
    ]
    plan = world.plan()

    assert kinds(plan) == ["upload"]
    assert codes(plan) == ["missing_record"]


# -- saved, undone, counted --


def test_a_saved_plan_is_read_back_and_does_the_same(world: World) -> None:
    world.record("rem", titled(anime_image=world.object(KEY)))
    world.apply(loads(dumps(world.plan()), "plan.json"))

    assert index_of(world) == ["anime_image"]


@pytest.mark.parametrize(
    "edited",
    [
        {"at": ("name",), "field": "name"},
        {"new": ["anime_image", "icon"]},
        {"new": ["gs://my-bucket/x"]},
        {"new": [3]},
        {"needs": ()},
    ],
)
def test_a_plan_that_was_edited_to_write_something_else_there_is_refused(world: World, edited: dict[str, Any]) -> None:
    world.record("rem", titled(anime_image=world.object(KEY)))
    plan = world.plan()
    actions = tuple(msgspec.structs.replace(action, **edited) for action in plan.actions)
    forged = msgspec.structs.replace(plan, actions=actions)
    forged = msgspec.structs.replace(forged, fingerprint=fingerprint(forged))

    with pytest.raises(UsageError):
        world.apply(forged)


def test_what_a_value_and_its_own_name_say_alike_is_in_the_index_in_whatever_order_both_are_answered(
    world: World,
) -> None:
    uri = world.object("characters/ai.png")
    world.record("ai", titled(anime_image=uri), **{INDEX: ["anime_image"]})
    world.record("rem", gallery={f"{uri},": f"{uri},"})

    for seed in range(20):
        plan = survey(world, engine=DictionaryEngine(Random(seed))).plan
        assert [each.new for each in plan.actions if isinstance(each, SetField) and each.is_index] == [["anime_image"]]


def test_undo_takes_out_what_the_run_put_in_and_nothing_else(world: World) -> None:
    world.record("rem", titled(anime_image=world.object(KEY)))
    report = world.apply()
    world.records.put("rem", {**(world.records.fields("rem") or {}), INDEX: ["anime_image", "icon"]})
    past = world.journal.read(report.run_id)
    assert past is not None
    undo.execute(world, undo.survey(world, past, Scope()))

    assert index_of(world) == ["icon"]


def removal(world: World) -> undo.Undoing:
    """The undo of a run that took a type out of the index."""
    world.record("rem", titled(anime_image=world.uri(KEY)), **{INDEX: ["anime_image"]})
    report = world.apply()
    assert index_of(world) == []
    past = world.journal.read(report.run_id)
    assert past is not None
    return undo.survey(world, past, Scope())


def test_undo_gives_an_index_no_type_back_of_which_nothing_is_there(world: World) -> None:
    made = removal(world)

    assert made.plan.actions == ()
    assert codes(made.plan) == ["missing_asset"]


def test_undo_gives_an_index_a_type_back_with_an_object_that_the_record_names(world: World) -> None:
    removal(world)
    world.object(KEY)
    (past,) = world.journal.runs()
    made = undo.survey(world, past, Scope())
    (change,) = made.plan.actions
    assert isinstance(change, SetField)
    assert [need.key for need in change.needs] == [KEY]
    world.objects.remove(KEY)
    assert undo.execute(world, made).counts.blocked == 1
    assert index_of(world) == []
    world.object(KEY)
    undo.execute(world, undo.survey(world, past, Scope()))
    assert index_of(world) == ["anime_image"]


def test_undo_of_one_type_takes_that_type_out_of_the_index(world: World) -> None:
    world.record("rem", titled(anime_image=world.object(KEY), cosplay_image=world.object(COSPLAY)))
    report = world.apply()
    past = world.journal.read(report.run_id)
    assert past is not None
    undo.execute(world, undo.survey(world, past, Scope((), ("cosplay_image",))))

    assert index_of(world) == ["anime_image"]


def test_an_index_that_is_to_be_written_leaves_its_assets_in_step(world: World) -> None:
    world.record("rem", titled(anime_image=world.object(KEY)))
    plan = world.plan()

    assert plan.summary.in_step == 1
    assert plan.summary.set_field == 1
