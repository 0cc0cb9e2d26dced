"""What every record store does alike: the port's promises, and Firestore's rules where a store keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from reconcile.core.errors import NotThere, PreconditionFailed, Rejected
from reconcile.core.moment import Moment
from reconcile.core.rows import Document
from tests.conformance.record_stores import ENTRIES, KINDS, Kind, World

PRIMARY = {"title": "primary", "anime_image": r"C:\oo\bar\output\characters\rem.png"}
NFC, NFD = "caf\u00e9", "cafe\u0301"
ODD_IDS = (
    "rem", "rem_2", "remi", "REM", "mei_cosplay", "a b", " lead", "trail ", "a.b", ".hidden", "...", "#?%[]", "50%25",
    "tab\there", "line\nend", "back\\slash", "`tick`", "*", "~", "@", "-", "--", "__x", "x__", "_", "'quote\"",
    NFC, NFD, "レム", "ﾚﾑ", "～", "\ue000", "😀", "👩‍👩‍👧", "\u202ertl", "\u00a0", "\x7f", "x" * 1_500,
)  # fmt: skip
IMPOSSIBLE_IDS = ("", ".", "..", "__x__", "____", "a/b", "x" * 1_501, "\ud800")
ODD_NAMES = (
    "a.b", "a b", "a-b", "1a", "é", "`", "\\", "``\\`", "/", "~*[]", "😀", "0", "n" * 1_490, "__x", ".", "a`.`b", " ",
)  # fmt: skip


@pytest.fixture(params=[pytest.param(kind, id=kind.name, marks=kind.marks) for kind in KINDS])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    kind: Kind = request.param
    with kind.open(request, tmp_path) as (store, hand):
        yield World(store, hand, kind)


def one(world: World, document: str = "rem") -> Document:
    [found] = world.store.read([document])
    return found


def put(world: World, *ids: str) -> None:
    for document in ids:
        world.hand.put(document, {"name": document, ENTRIES: [{"title": document}]})


# -- reading ----------------------------------------------------------------------------------------------------


def test_an_empty_collection_has_no_documents(world: World) -> None:
    assert (list(world.store.ids()), list(world.store.read()), list(world.store.read(["rem"]))) == ([], [], [])


def test_ids_come_in_code_point_order(world: World) -> None:
    put(world, *reversed(ODD_IDS))
    assert list(world.store.ids()) == sorted(ODD_IDS)


def test_documents_come_in_code_point_order_and_once(world: World) -> None:
    put(world, *ODD_IDS)
    found = list(world.store.read())
    assert [each.id for each in found] == sorted(ODD_IDS)
    assert all(each.fields[ENTRIES] == [{"title": each.id}] for each in found)


PREFIXES = [
    "rem", "rem_", "re", "R", "a", "a.", ".", "..", "-", "_", "__", "__x__", NFC, NFD, "cafe", "レ", "😀", "\x7f",
    "\ud7ff", "\U0010ffff", "\ud800", "x" * 1_500, "x" * 1_501, "zz", "a/b", "/", " ", "`",
]  # fmt: skip


def test_ids_of_a_prefix_are_those_that_start_with_it(world: World) -> None:
    put(world, *ODD_IDS)
    found = {prefix: list(world.store.ids(prefix)) for prefix in PREFIXES}
    assert found == {prefix: sorted(each for each in ODD_IDS if each.startswith(prefix)) for prefix in PREFIXES}


def test_nothing_is_lost_or_doubled_over_many_pages(world: World) -> None:
    wanted = [f"c{number:05}" for number in range(world.kind.many)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda document: put(world, document), wanted))
    assert list(world.store.ids()) == wanted
    assert [each.id for each in world.store.read()] == wanted
    assert [each.id for each in world.store.read(set(wanted))] == wanted
    assert list(world.store.ids("c0000")) == wanted[:10]


def test_documents_that_are_not_there_are_left_out(world: World) -> None:
    put(world, "rem", "remi")
    found = world.store.read(["remi", "ram", "rem", "re", "rem", *IMPOSSIBLE_IDS])
    assert [each.id for each in found] == ["rem", "remi"]


def test_reading_no_ids_reads_nothing(world: World) -> None:
    put(world, "rem")
    assert list(world.store.read([])) == []


def test_both_ways_of_reading_agree(world: World) -> None:
    put(world, *ODD_IDS)
    assert list(world.store.read()) == list(world.store.read(ODD_IDS))


def test_what_one_call_reads_is_of_one_moment(world: World) -> None:
    ids = [f"c{number:05}" for number in range(world.kind.many)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda document: put(world, document), ids))
    readings = [world.store.ids(), world.store.ids("c"), world.store.read(), world.store.read(ids)]
    begun = [next(reading) for reading in readings]
    world.hand.put(ids[-1], {"name": "changed"})
    world.hand.put("c_new", {"name": "new"})
    world.hand.remove(ids[-2])
    names, within, whole, named = ([first, *rest] for first, rest in zip(begun, readings, strict=True))
    assert names == within == [each.id for each in whole] == [each.id for each in named] == ids
    assert [each.fields["name"] for each in (whole[-1], named[-1])] == [ids[-1], ids[-1]]
    assert [each.id for each in world.store.read([ids[0], ids[-2], "c_new"])] == [ids[0], "c_new"]


def test_several_calls_share_a_moment_if_the_store_keeps_the_past(world: World) -> None:
    put(world, "mei", "rem")
    at = Moment()
    assert list(world.store.ids(at=at)) == ["mei", "rem"]
    world.hand.put("rem", {"name": "changed"})
    world.hand.put("zoe", {"name": "new"})
    then = [each.fields["name"] for each in world.store.read(at=at)]
    assert then == (["mei", "rem"] if world.kind.keeps_past else ["mei", "changed", "new"])
    assert [each.fields["name"] for each in world.store.read(["rem", "zoe"], at=at)] == then[1:]
    assert list(world.store.ids("z", at=at)) == ([] if world.kind.keeps_past else ["zoe"])
    assert (at.of_all is not None) == world.kind.keeps_past
    assert [each.fields["name"] for each in world.store.read()] == ["mei", "changed", "new"]


def test_what_was_read_as_of_a_moment_is_no_leave_to_write_over_what_came_after(world: World) -> None:
    put(world, "rem")
    at = Moment()
    [seen] = world.store.read(["rem"], at=at)
    world.hand.put("rem", {"name": "changed"})
    [again] = world.store.read(["rem"], at=at)
    assert (again == seen) == world.kind.keeps_past
    with pytest.raises(PreconditionFailed):
        world.store.update("rem", {"name": "ours"}, if_update_time=seen.update_time)
    assert world.hand.fields("rem") == {"name": "changed"}


@pytest.mark.parametrize(
    "entries",
    [
        None,
        "text",
        3,
        {},
        {"0": {"title": "primary"}},
        [],
        [1, "two", None, {"title": "primary"}, {}],
        [{"title": None}],
    ],
    ids=repr,
)
def test_entries_of_any_shape_come_as_they_are(world: World, entries: Any) -> None:
    world.hand.put("rem", {"name": "Rem", ENTRIES: entries})
    assert one(world).fields[ENTRIES] == entries


def test_missing_entries_are_no_field(world: World) -> None:
    world.hand.put("rem", {"name": "Rem"})
    assert ENTRIES not in one(world).fields


def test_an_empty_document_is_a_document(world: World) -> None:
    world.hand.put("rem", {})
    assert one(world).fields.get(ENTRIES) is None
    assert list(world.store.ids()) == ["rem"]


# -- updating ---------------------------------------------------------------------------------------------------


def test_an_update_of_what_was_read_is_written(world: World) -> None:
    world.hand.put("rem", {"name": "Rem", ENTRIES: [PRIMARY]})
    before = one(world)
    fixed = [{**PRIMARY, "anime_image": "gs://b/rem.png"}]
    after = world.store.update("rem", {ENTRIES: fixed}, if_update_time=before.update_time)
    assert one(world) == Document(id="rem", fields={**before.fields, ENTRIES: fixed}, update_time=after)
    assert after != before.update_time


def test_an_update_leaves_other_fields_and_documents_alone(world: World) -> None:
    fields = {
        "name": "Rem",
        "anime": None,
        "n": 1,
        "x": 1.0,
        "ok": True,
        "tags": ["a", {"b": []}],
        "deep": {"a": {"b": {}}},
    }
    world.hand.put("rem", {**fields, ENTRIES: [PRIMARY]})
    world.hand.put("remi", {"name": "Remi"})
    world.store.update("rem", {ENTRIES: []}, if_update_time=one(world).update_time)
    found = world.hand.fields("rem")
    assert found == {**fields, ENTRIES: []}
    assert [type(found[name]) for name in ("n", "x", "ok")] == [int, float, bool]
    assert world.hand.fields("remi") == {"name": "Remi"}


@pytest.mark.parametrize("held", [None, [], ["icon"]], ids=str)
def test_a_field_beside_the_entries_is_set_in_the_same_write(world: World, held: list[str] | None) -> None:
    """As the index of records is."""
    world.hand.put("rem", {ENTRIES: [PRIMARY], **({} if held is None else {"asset_types": held})})
    before = one(world)
    wanted = {ENTRIES: [{**PRIMARY, "fps": 24}], "asset_types": ["anime_image", "icon"]}
    world.store.update("rem", wanted, if_update_time=before.update_time)
    assert one(world).fields == {**before.fields, **wanted}


def test_an_update_after_another_writer_is_refused(world: World) -> None:
    put(world, "rem")
    before = one(world)
    world.hand.put("rem", {"name": "somebody else", ENTRIES: [PRIMARY]})
    with pytest.raises(PreconditionFailed) as failure:
        world.store.update("rem", {ENTRIES: []}, if_update_time=before.update_time)
    assert not isinstance(failure.value, NotThere)
    assert world.hand.fields("rem") == {"name": "somebody else", ENTRIES: [PRIMARY]}


def test_an_update_time_serves_once(world: World) -> None:
    put(world, "rem")
    before = one(world)
    world.store.update("rem", {ENTRIES: [1]}, if_update_time=before.update_time)
    with pytest.raises(PreconditionFailed):
        world.store.update("rem", {ENTRIES: [2]}, if_update_time=before.update_time)
    assert one(world).fields[ENTRIES] == [1]


def test_updates_follow_on_each_other(world: World) -> None:
    put(world, "rem")
    time = one(world).update_time
    for number in range(5):
        time = world.store.update("rem", {ENTRIES: [number]}, if_update_time=time)
    assert one(world).fields[ENTRIES] == [4]


@pytest.mark.parametrize("token", ["", "0", "yesterday", "2001-01-01T00:00:00.000000Z"])
def test_a_token_of_another_world_changes_nothing(world: World, token: str) -> None:
    put(world, "rem")
    with pytest.raises(PreconditionFailed):
        world.store.update("rem", {ENTRIES: []}, if_update_time=token)
    assert one(world).fields[ENTRIES] == [{"title": "rem"}]


def test_an_update_of_a_document_that_went_makes_none(world: World) -> None:
    put(world, "rem", "ram")
    before = one(world)
    world.hand.remove("rem")
    with pytest.raises(NotThere):
        world.store.update("rem", {ENTRIES: []}, if_update_time=before.update_time)
    assert list(world.store.ids()) == ["ram"]


def test_a_document_that_went_and_came_again_is_another(world: World) -> None:
    put(world, "rem")
    before = one(world)
    world.hand.remove("rem")
    world.hand.put("rem", {"name": "anew", ENTRIES: [PRIMARY]})
    with pytest.raises(PreconditionFailed):
        world.store.update("rem", {ENTRIES: []}, if_update_time=before.update_time)
    assert world.hand.fields("rem") == {"name": "anew", ENTRIES: [PRIMARY]}


def test_an_update_that_changes_nothing_keeps_the_update_time(world: World) -> None:
    put(world, "rem")
    before = one(world)
    assert world.store.update("rem", before.fields, if_update_time=before.update_time) == before.update_time
    assert one(world) == before


def test_a_number_of_another_type_is_a_change(world: World) -> None:
    world.hand.put("rem", {ENTRIES: [{"n": 1}]})
    time = one(world).update_time
    world.store.update("rem", {ENTRIES: [{"n": 1.0}]}, if_update_time=time)
    [entry] = one(world).fields[ENTRIES]
    assert type(entry["n"]) is float


def test_update_times_tell_documents_apart(world: World) -> None:
    if not world.kind.time_per_document:
        pytest.skip("its update time is of all documents together")
    put(world, "rem", "ram")
    before = one(world, "ram")
    world.store.update("rem", {ENTRIES: []}, if_update_time=one(world).update_time)
    assert one(world, "ram") == before


def test_arrays_and_texts_keep_their_order_and_letters(world: World) -> None:
    entries = [
        {"title": NFC},
        {"title": NFD},
        {"title": "b", "z": [3, 1, 2]},
        {"title": "a", "x": "tab\t\n\b\\ \u2028 😀"},
    ]
    world.hand.put("rem", {ENTRIES: []})
    world.store.update("rem", {ENTRIES: entries}, if_update_time=one(world).update_time)
    assert one(world).fields[ENTRIES] == entries
    found = world.hand.fields("rem")
    assert found == {ENTRIES: entries}


def test_maps_keep_the_order_of_their_fields(world: World) -> None:
    if not world.kind.keeps_map_order:
        pytest.skip("Firestore's maps have no order")
    world.hand.put("rem", {"z": 1, ENTRIES: [{"title": "primary", "b": 1, "a": 2}], "a": 3})
    world.store.update("rem", {ENTRIES: [{"title": "x", "b": 1, "a": 2}]}, if_update_time=one(world).update_time)
    found = world.hand.fields("rem") or {}
    assert (list(found), list(found[ENTRIES][0])) == (["z", ENTRIES, "a"], ["title", "b", "a"])


def test_eight_writers_at_once_lose_nothing(world: World) -> None:
    world.hand.put("rem", {"name": "Rem", ENTRIES: []})

    def add(number: int) -> int:
        for attempt in range(200):
            seen = one(world)
            try:
                world.store.update("rem", {ENTRIES: [*seen.fields[ENTRIES], number]}, if_update_time=seen.update_time)
            except PreconditionFailed:
                continue
            return attempt
        raise AssertionError("200 conflicts")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
    found = world.hand.fields("rem") or {}
    assert sorted(found[ENTRIES]) == list(range(8))


def test_odd_field_names_are_names_and_not_paths(world: World) -> None:
    fields = {name: f"value of {name[:9]}" for name in ODD_NAMES}
    world.hand.put("rem", {**fields, ENTRIES: [fields]})
    changed = dict.fromkeys(ODD_NAMES[::2], "changed")
    world.store.update("rem", {**changed, ENTRIES: [{**fields, **changed}]}, if_update_time=one(world).update_time)
    assert world.hand.fields("rem") == {**fields, **changed, ENTRIES: [{**fields, **changed}]}


# -- creating ---------------------------------------------------------------------------------------------------


@pytest.fixture
def creating(world: World) -> World:
    if not world.kind.creates:
        pytest.skip("it makes no documents")
    return world


def test_a_created_document_can_be_read_and_updated(creating: World) -> None:
    world = creating
    time = world.store.create("rem", {"name": "Rem", ENTRIES: [PRIMARY]})
    assert world.hand.fields("rem") == {"name": "Rem", ENTRIES: [PRIMARY]}
    assert one(world).update_time == time
    world.store.update("rem", {ENTRIES: []}, if_update_time=time)


def test_the_versions_are_the_ids_and_update_times_of_what_is_read(creating: World) -> None:
    assert list(creating.store.versions()) == []
    put(creating, *ODD_IDS)
    creating.hand.put(ODD_IDS[0], {"name": "changed"})
    assert list(creating.store.versions()) == [(each.id, each.update_time) for each in creating.store.read()]


def test_creating_twice_is_refused_and_changes_nothing(creating: World) -> None:
    world = creating
    world.store.create("rem", {"name": "first", ENTRIES: [PRIMARY]})
    for fields in ({"name": "second"}, {"name": "first", ENTRIES: [PRIMARY]}):
        with pytest.raises(PreconditionFailed) as failure:
            world.store.create("rem", fields)
        assert not isinstance(failure.value, NotThere)
    assert world.hand.fields("rem") == {"name": "first", ENTRIES: [PRIMARY]}


def test_of_eight_creators_one_wins(creating: World) -> None:
    world = creating

    def create(number: int) -> int | None:
        try:
            world.store.create("rem", {"n": number})
        except PreconditionFailed:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        [winner] = [won for won in pool.map(create, range(8)) if won is not None]
    assert world.hand.fields("rem") == {"n": winner}


@pytest.mark.parametrize("document", ODD_IDS, ids=lambda document: repr(document[:9]))
def test_odd_ids_are_ids(world: World, document: str) -> None:
    if world.kind.creates:
        time = world.store.create(document, {ENTRIES: [1]})
    else:
        world.hand.put(document, {ENTRIES: [1]})
        time = one(world, document).update_time
    world.store.update(document, {ENTRIES: [2]}, if_update_time=time)
    assert list(world.store.ids()) == [document]
    assert world.hand.fields(document) == {ENTRIES: [2]}


# -- limits -----------------------------------------------------------------------------------------------------


@pytest.fixture
def limited(world: World) -> World:
    if not world.kind.firestore_limits:
        pytest.skip("it does not keep Firestore's limits")
    return world


@pytest.mark.parametrize("document", IMPOSSIBLE_IDS, ids=lambda document: repr(document[:9]))
def test_impossible_ids_are_refused(limited: World, document: str) -> None:
    with pytest.raises(Rejected):
        limited.store.create(document, {ENTRIES: []})
    assert list(limited.store.ids()) == []


@pytest.mark.parametrize(
    "value",
    [[[1]], [{"a": [1, [2]]}], {"__x__": 1}, {"": 1}, {"n" * 1_494: 1}, 2**63, "\ud800", b"bytes", {1: 2},
     {"\ud800": 1}, "x" * 1_048_576, ["x" * 1_000] * 1_100, ["x" * 1_000] * 9_000],
    ids=lambda value: repr(value)[:20],
)  # fmt: skip
def test_impossible_values_are_refused_and_change_nothing(limited: World, value: Any) -> None:
    put(limited, "rem")
    before = one(limited)
    with pytest.raises(Rejected, match="rem") as failure:
        limited.store.update("rem", {ENTRIES: value}, if_update_time=before.update_time)
    assert failure.value.hint
    with pytest.raises(Rejected, match="ram"):
        limited.store.create("ram", {ENTRIES: value})
    assert list(limited.store.read()) == [before]


def test_a_document_just_below_the_limit_is_written(limited: World) -> None:
    entries = ["x" * 999] * 1_048
    limited.store.create("rem", {ENTRIES: entries})
    assert one(limited).fields[ENTRIES] == entries
