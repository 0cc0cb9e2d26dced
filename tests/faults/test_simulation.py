"""A short run of the simulation, that it replays, and that it would notice what it is there to notice."""

from __future__ import annotations

from typing import Any

import pytest

from reconcile.core.plan import Plan
from tests.faults.ledger import Applied, Broken, Ledger
from tests.faults.simulation import failed, run_seeds, simulate
from tests.kit.fakes import digest
from tests.kit.world import PRIMARY, World, codes, rule, titled, windows
from tests.kit.worlds import INDEX, TWINS

KEY = "characters/rem.png"
SEEDS = 80
ALL_COME_UP = 160
"""Seeds after which every fault has come up, and every hand."""


@pytest.mark.parametrize("start", range(ALL_COME_UP, 4 * SEEDS, SEEDS))
def test_nothing_is_lost_whoever_writes_whatever_fails_and_whoever_dies(start: int) -> None:
    tally = run_seeds(start, SEEDS)

    assert tally.failures == [], "\n".join(failed(each) for each in tally.failures)
    assert tally.seeds == SEEDS


def test_a_seed_is_the_same_run_again() -> None:
    for seed in range(10):
        assert simulate(seed) == simulate(seed)


def test_every_fault_and_every_hand_comes_up_and_nothing_is_lost() -> None:
    tally = run_seeds(0, ALL_COME_UP)

    assert tally.failures == [], "\n".join(failed(each) for each in tally.failures)
    assert tally.done.keys() >= {
        "upload",
        "replace",
        "copy",
        "set_metadata",
        "create_record",
        "set_field",
        "index",
        "rewrite_local_db",
    }
    assert {
        "crash",
        "AccessDenied",
        "JournalError",
        "LocalDatabaseError",
        "PreconditionFailed after the fact",
        "Rejected",
        "SourceError",
        "StoreUnavailable",
        "Uncertain",
        "Uncertain after the fact",
        "delete",
        "double",
        "drop_entry",
        "edit_field",
        "edit_index",
        "edit_record",
        "overwrite",
        "recreate",
        "remove_file",
        "remove_object",
        "reorder",
        "retype",
        "truncate",
        "write_file",
        "write_in_place",
    } <= (tally.counts + tally.foreign).keys()


@pytest.fixture
def world() -> Any:
    with World([rule("image", "characters/{char_id}.png", "anime_image")]) as made:
        yield made


def _to_migrate(world: World) -> tuple[Ledger, Plan]:
    """One image to upload, and the record's field to set."""
    world.file(KEY)
    world.record("rem", titled(PRIMARY, anime_image=windows(KEY), fps=24), rating=4.5)
    return Ledger(world), world.plan()


def _told(plan: Plan, ledger: Ledger) -> Applied:
    """An applying whose journal has told of everything."""
    run = Applied(plan, ledger)
    run.noted.update(action.id for action in plan.actions)
    return run


def _migrated() -> dict[str, Any]:
    uri = f"gs://my-bucket/anime_dance/{KEY}"
    return {"name": "Rem", "rating": 4.5, "assets": [titled(PRIMARY, anime_image=uri, fps=24)]}


def test_the_ledger_takes_what_was_planned(world: World) -> None:
    ledger, plan = _to_migrate(world)
    run = Applied(plan, ledger)
    run.noted.add(plan.actions[1].id)
    world.object(KEY)
    ledger.arrived(run, KEY)
    world.records.put("rem", _migrated())
    ledger.updated(run, "rem")
    ledger.settle()

    assert run.made == {plan.actions[1].id}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"rating": 5}, "beside the entries"),
        ({"assets": []}, "an entry was lost"),
        ({"assets": [titled(PRIMARY, anime_image=f"gs://my-bucket/anime_dance/{KEY}")]}, "beside the plan"),
        ({"assets": [titled(PRIMARY, anime_image=f"gs://my-bucket/anime_dance/{KEY}", fps=30)]}, "update was lost"),
        ({"assets": [titled(PRIMARY, anime_image="gs://my-bucket/anime_dance/a.png", fps=24)]}, "update was lost"),
        ({"assets": [*_migrated()["assets"], titled("neon", fps=1)]}, "not planned"),
    ],
)
def test_the_ledger_notices_a_lost_update(world: World, change: dict[str, Any], what: str) -> None:
    ledger, plan = _to_migrate(world)
    world.object(KEY)
    ledger.note_object(KEY)
    world.records.put("rem", {**_migrated(), **change})

    with pytest.raises(Broken, match=what):
        ledger.updated(_told(plan, ledger), "rem")


def test_the_ledger_notices_a_reference_to_nothing(world: World) -> None:
    ledger, plan = _to_migrate(world)
    world.records.put("rem", _migrated())

    with pytest.raises(Broken, match="not there"):
        ledger.updated(_told(plan, ledger), "rem")


def test_the_ledger_notices_a_reference_to_other_bytes(world: World) -> None:
    ledger, plan = _to_migrate(world)
    world.object(KEY, b"somebody else's")
    ledger.note_object(KEY)
    world.records.put("rem", _migrated())

    with pytest.raises(Broken, match="other bytes"):
        ledger.updated(_told(plan, ledger), "rem")


def test_the_ledger_notices_a_write_that_no_journal_told_of(world: World) -> None:
    ledger, plan = _to_migrate(world)
    world.object(KEY)
    ledger.note_object(KEY)
    world.records.put("rem", _migrated())

    with pytest.raises(Broken, match="before the journal"):
        ledger.updated(Applied(plan, ledger), "rem")


def test_the_ledger_notices_bytes_that_were_replaced_unplanned(world: World) -> None:
    ledger, plan = _to_migrate(world)
    world.object(KEY, b"somebody else's")
    ledger.note_object(KEY)
    world.object(KEY)

    with pytest.raises(Broken, match="bytes were lost"):
        ledger.arrived(Applied(plan, ledger), KEY)


def test_the_ledger_notices_bytes_that_are_not_the_planned_ones(world: World) -> None:
    ledger, plan = _to_migrate(world)
    world.object(KEY, b"half of one, half of another")

    with pytest.raises(Broken, match="other bytes arrived"):
        ledger.arrived(Applied(plan, ledger), KEY)


def _to_copy(world: World) -> tuple[Ledger, Plan]:
    """One object to copy."""
    world.file(KEY, TWINS[0])
    world.object("characters/old.png", TWINS[0])
    return Ledger(world), world.plan()


def test_the_ledger_takes_a_copy_of_the_planned_source(world: World) -> None:
    ledger, plan = _to_copy(world)
    world.object(KEY, TWINS[0])
    ledger.arrived(Applied(plan, ledger), KEY, "characters/old.png")


@pytest.mark.parametrize(
    ("data", "source", "what"),
    [
        (TWINS[0], "characters/other.png", "which is not planned"),
        (TWINS[0], "characters/old.png", "another generation"),
        (TWINS[1], "characters/old.png", "bytes arrived that no file ever held"),
    ],
)
def test_the_ledger_notices_a_copy_of_something_else(world: World, data: bytes, source: str, what: str) -> None:
    ledger, plan = _to_copy(world)
    world.object("characters/old.png", TWINS[0])
    ledger.note_object("characters/old.png")
    world.object(KEY, data)

    with pytest.raises(Broken, match=what):
        ledger.arrived(Applied(plan, ledger), KEY, source)


def test_the_ledger_notices_a_type_that_somebody_else_had_set(world: World) -> None:
    world.object(KEY, b"a", "text/plain")
    ledger, plan = Ledger(world), world.plan()
    world.objects.retype(KEY, "application/octet-stream")
    ledger.note_object(KEY)
    world.objects.retype(KEY, "image/png")

    with pytest.raises(Broken, match="what somebody said of an object was lost"):
        ledger.retyped(Applied(plan, ledger), world.objects.all()[KEY])


@pytest.mark.parametrize("held", [["image"], [], None], ids=str)
@pytest.mark.parametrize("there", [True, False])
def test_the_ledger_knows_which_types_an_index_is_to_have(held: list[str] | None, there: bool) -> None:
    with World([rule("image", "characters/{char_id}.png", "anime_image")], index=INDEX) as world:
        if there:
            world.object(KEY)
        world.record("rem", titled(anime_image=world.uri(KEY)), **({} if held is None else {INDEX: held}))
        if there is bool(held):
            Ledger(world).check_indexes(frozenset({"rem"}))
        else:
            with pytest.raises(Broken, match="the index of rem is wrong about"):
                Ledger(world).check_indexes(frozenset({"rem"}))


def test_the_ledger_notices_a_type_that_an_index_gets_without_an_object() -> None:
    with World([rule("image", "characters/{char_id}.png", "anime_image")], index=INDEX) as world:
        world.file(KEY)
        world.record("rem", titled(anime_image=windows(KEY)))
        ledger, plan = Ledger(world), world.plan()
        fields = world.records.fields("rem") or {}
        world.records.put("rem", {**fields, INDEX: ["image"]})

        with pytest.raises(Broken, match="an index names a type whose object is not there"):
            ledger.updated(_told(plan, ledger), "rem")


def test_the_ledger_notices_what_nobody_told(world: World) -> None:
    ledger, _ = _to_migrate(world)
    world.file(KEY, b"touched")

    with pytest.raises(Broken, match="local files were touched"):
        ledger.settle()


def test_the_ledger_notices_a_report_that_is_not_true(world: World) -> None:
    ledger, plan = _to_migrate(world)
    report = world.apply(plan)

    with pytest.raises(Broken, match="applied, but not there"):
        ledger.told(Applied(plan, ledger), report)


def test_the_twins_are_told_apart_by_their_md5_alone() -> None:
    assert TWINS[0] != TWINS[1]
    assert len(TWINS[0]) == len(TWINS[1])
    assert digest(TWINS[0]) == digest(TWINS[1])


def test_a_title_that_is_a_uri_stops_no_run() -> None:
    with World([rule("image", "characters/{char_id}.png", "anime_image")], local_db=True) as world:
        world.local("rem", {"title": world.uri(KEY), "fps": 24})
        world.record("mei", titled(PRIMARY, anime_image=windows("characters/mei.png")))
        world.both("characters/mei.png")
        plan = world.plan()

        assert codes(plan) == ["malformed_record"]
        assert world.apply(plan).counts.applied == 1
