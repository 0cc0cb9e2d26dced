"""Field changes on the entries of a record as they are now."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.changes import CreateRecord, Reason, RewriteLocalDb, SetField, texts_in
from reconcile.core.edit import edit, without
from reconcile.core.report import OutcomeKind
from reconcile.core.way import Entries

ENTRIES = Entries(("assets",), "title")
OLD, NEW = r"C:\oo\bar\output\characters\rem.png", "gs://my-bucket/anime_dance/characters/rem.png"


def change(
    *,
    entry: str | None = "primary",
    field: str = "anime_image",
    old: Any = OLD,
    new: Any = NEW,
    position: int | None = 0,
) -> SetField:
    return SetField(
        id=f"{entry}.{field}",
        key="characters/rem.png",
        char_id="rem",
        asset_type="anime_image",
        reason=Reason.LOCAL_PATH,
        document="characters/rem",
        entry=entry,
        field=field,
        old=old,
        new=new,
        needs=(),
        position=position,
    )


def primary(value: Any = OLD, **more: Any) -> dict[str, Any]:
    return {"title": "primary", "anime_image": value, **more}


def edited(entries: Any, *changes: SetField) -> tuple[list[Any], list[OutcomeKind]]:
    before = copy.deepcopy(entries)
    fields = {"name": "Rem", "assets": entries}
    found = edit(fields, changes or (change(),), ENTRIES)
    assert entries == before, "what was read is not changed"
    assert found.changed is (OutcomeKind.APPLIED in found.verdicts)
    assert found.fields.keys() == ({"assets"} if found.changed else set()), "only what changes is written"
    return found.fields.get("assets", entries or []), list(found.verdicts)


def test_a_field_that_still_holds_what_was_seen_is_set() -> None:
    assert edited([primary()]) == ([primary(NEW)], [OutcomeKind.APPLIED])


def test_a_field_that_holds_the_new_value_is_already_done() -> None:
    assert edited([primary(NEW)]) == ([primary(NEW)], [OutcomeKind.ALREADY])


def test_a_field_that_holds_another_value_is_stale() -> None:
    assert edited([primary("gs://other/x.png")]) == ([primary("gs://other/x.png")], [OutcomeKind.STALE])


def test_a_field_that_was_removed_is_stale() -> None:
    assert edited([{"title": "primary"}]) == ([{"title": "primary"}], [OutcomeKind.STALE])


def test_a_map_that_was_removed_is_stale() -> None:
    assert edited([]) == ([], [OutcomeKind.STALE])
    assert edited(None) == ([], [OutcomeKind.STALE])


def test_unknown_fields_types_and_order_are_untouched() -> None:
    entry = {"note": 1.5, "title": "primary", "anime_image": OLD, "tags": ["a", {"b": None}], "n": 2**60}
    entries, _ = edited([entry, "no map", None, {"title": "x"}])
    assert entries == [{**entry, "anime_image": NEW}, "no map", None, {"title": "x"}]
    assert list(entries[0]) == list(entry)


def test_a_list_that_was_reordered_is_edited_in_the_right_place() -> None:
    other = {"title": "neon", "anime_image": OLD}
    assert edited([other, primary()])[0] == [other, primary(NEW)]


def test_a_map_that_was_inserted_before_is_left_alone() -> None:
    entries, verdicts = edited([{"title": "new"}, {"title": "newer"}, primary()])
    assert (entries[2], verdicts) == (primary(NEW), [OutcomeKind.APPLIED])


@pytest.mark.parametrize("position", [0, 1])
def test_of_two_maps_of_one_title_the_one_that_holds_the_old_value_is_set(position: int) -> None:
    entries, verdicts = edited([primary("x"), primary()], change(position=position))
    assert (entries, verdicts) == ([primary("x"), primary(NEW)], [OutcomeKind.APPLIED])


def test_of_two_maps_that_are_alike_the_one_at_the_place_seen_is_set() -> None:
    assert edited([primary(), primary()], change(position=1)) == ([primary(), primary(NEW)], [OutcomeKind.APPLIED])


@pytest.mark.parametrize("position", [None, 2])
def test_of_two_maps_that_are_alike_none_is_set_where_the_place_does_not_tell(position: int | None) -> None:
    entries = [primary(), primary(), {"title": "x"}]
    assert edited(entries, change(position=position)) == (entries, [OutcomeKind.STALE])


def test_two_maps_that_are_alike_are_both_set_by_a_change_each() -> None:
    entries, verdicts = edited([primary(), primary()], change(position=0), change(position=1))
    assert (entries, verdicts) == ([primary(NEW), primary(NEW)], [OutcomeKind.APPLIED, OutcomeKind.APPLIED])


def test_a_twin_that_holds_the_new_value_does_not_hide_one_that_must_be_chosen() -> None:
    entries = [primary(NEW), primary(), primary()]
    assert edited(entries, change(position=0)) == (entries, [OutcomeKind.STALE])


def test_a_map_without_a_key_is_found_by_its_old_value() -> None:
    entries = [primary(), {"anime_image": OLD}, {"title": 5, "anime_image": "x"}]
    found, verdicts = edited(entries, change(entry=None, position=1))
    assert (found[1], verdicts) == ({"anime_image": NEW}, [OutcomeKind.APPLIED])
    assert [found[0], found[2]] == [entries[0], entries[2]]


# -- nothing there --


def test_a_missing_entry_is_appended_with_its_key() -> None:
    entries, verdicts = edited([primary()], change(entry="neon", old=None, position=None))
    assert (entries, verdicts) == ([primary(), {"title": "neon", "anime_image": NEW}], [OutcomeKind.APPLIED])


def test_a_document_without_entries_gets_them() -> None:
    assert edited(None, change(old=None, position=None)) == ([primary(NEW)], [OutcomeKind.APPLIED])


def test_a_map_that_somebody_removed_since_stays_removed() -> None:
    assert edited([], change(old=None, position=0)) == ([], [OutcomeKind.STALE])
    assert edited(None, change(old=None, position=0)) == ([], [OutcomeKind.STALE])


def test_two_fields_of_one_missing_entry_make_one_map() -> None:
    changes = [change(old=None, field=field, position=None) for field in ("a", "b")]
    assert edited([], *changes) == (
        [{"title": "primary", "a": NEW, "b": NEW}],
        [OutcomeKind.APPLIED, OutcomeKind.APPLIED],
    )


def test_nothing_and_missing_are_the_same_old_value() -> None:
    assert edited([primary(None)], change(old=None))[0] == [primary(NEW)]
    assert edited([{"title": "primary"}], change(old=None))[0] == [primary(NEW)]


def test_an_empty_text_is_not_nothing() -> None:
    assert edited([primary("")], change(old=None))[1] == [OutcomeKind.STALE]
    assert edited([primary("")], change(old=""))[1] == [OutcomeKind.APPLIED]


def test_a_map_without_a_key_is_never_appended() -> None:
    assert edited([], change(entry=None, old=None, position=0)) == ([], [OutcomeKind.STALE])


def test_a_field_filled_meanwhile_is_stale_and_one_filled_with_the_same_is_already() -> None:
    assert edited([primary("x")], change(old=None))[1] == [OutcomeKind.STALE]
    assert edited([primary(NEW)], change(old=None))[1] == [OutcomeKind.ALREADY]


@pytest.mark.parametrize("entries", [{"0": {"title": "primary"}}, "text", 5, True])
def test_entries_that_are_no_list_are_never_written(entries: Any) -> None:
    found = edit({"assets": entries}, [change(), change(old=None)], ENTRIES)
    assert found.verdicts == (OutcomeKind.STALE, OutcomeKind.STALE)
    assert not found.changed


# -- types --


@pytest.mark.parametrize(
    ("value", "old"),
    [(1, True), (True, 1), ("1", 1), (1.0, 1), ([1], [True]), ([{"a": 0}], [{"a": False}]), ("None", None), ([], None)],
)
def test_a_value_of_another_type_is_another_value(value: Any, old: Any) -> None:
    assert edited([primary(value)], change(old=old))[1] == [OutcomeKind.STALE]


@pytest.mark.parametrize("value", [True, 1.5, [OLD, 1, {"a": [None]}], {"a": {"b": True}}])
def test_a_value_of_any_type_that_is_the_same_is_the_same(value: Any) -> None:
    assert edited([primary(value)], change(old=copy.deepcopy(value)))[1] == [OutcomeKind.APPLIED]


def test_the_pipelines_own_database_is_edited_alike() -> None:
    rewrite = RewriteLocalDb(
        id="1",
        key="k",
        char_id="rem",
        asset_type=None,
        reason=Reason.LOCAL_PATH,
        document="rem",
        entry="primary",
        field="anime_image",
        old=OLD,
        new=NEW,
        needs=(),
    )
    assert edit({"assets": [primary()]}, [rewrite], ENTRIES).fields == {"assets": [primary(NEW)]}


# -- any entries, any changes --

_VALUES = st.none() | st.booleans() | st.integers(0, 1) | st.sampled_from((OLD, NEW, "", "x")) | st.lists(st.just(OLD))
_FIELDS = st.sampled_from(("anime_image", "dance_video", "other"))
_TITLES = st.sampled_from(("primary", "neon", 5, None))
_MAPS = st.builds(lambda title, rest: {"title": title, **rest}, _TITLES, st.dictionaries(_FIELDS, _VALUES))
_ENTRIES = st.lists(_MAPS | st.dictionaries(_FIELDS, _VALUES) | st.sampled_from(("text", None, 3)), max_size=5)
_CHANGES = st.builds(
    change,
    entry=st.sampled_from(("primary", "neon", None)),
    field=_FIELDS,
    old=_VALUES,
    position=st.none() | st.integers(0, 4),
)


@given(_ENTRIES, st.lists(_CHANGES, max_size=5))
def test_nothing_but_the_named_fields_changes(entries: list[Any], changes: list[SetField]) -> None:
    found, verdicts = edited(entries, *changes) if changes else (entries, [])
    named = {
        (each.entry, each.field)
        for each, verdict in zip(changes, verdicts, strict=True)
        if verdict is OutcomeKind.APPLIED
    }
    assert len(found) >= len(entries)
    for before, after in zip(entries, found, strict=False):
        if isinstance(before, dict):
            title = before.get("title") if isinstance(before.get("title"), str) else None
            differing = {name for name in after if after[name] != before.get(name) or name not in before}
            assert {(title, name) for name in differing} <= named
            assert before.keys() <= after.keys()
        else:
            assert after == before
    for added in found[len(entries) :]:
        assert {(added["title"], name) for name in added.keys() - {"title"}} <= named


@given(_ENTRIES, st.lists(_CHANGES, max_size=5))
def test_no_value_but_the_old_one_is_ever_overwritten(entries: list[Any], changes: list[SetField]) -> None:
    found = edit({"assets": entries}, changes, ENTRIES).fields.get("assets", entries)
    olds = [repr(each.old) for each in changes] + [repr(each.new) for each in changes]
    for before, after in zip(entries, found, strict=False):
        if isinstance(before, dict):
            overwritten = [repr(value) for name, value in before.items() if repr(value) != repr(after[name])]
            assert all(value in olds for value in overwritten)


@given(_ENTRIES, st.randoms(use_true_random=False))
def test_the_order_of_maps_with_titles_of_their_own_does_not_matter(
    entries: list[Any], shuffler: random.Random
) -> None:
    others = [entry for entry in entries if not isinstance(entry, dict) or entry.get("title") != "primary"]
    mixed = [*others, primary()]
    shuffler.shuffle(mixed)
    found, verdicts = edited(mixed, change(position=len(others)))
    assert verdicts == [OutcomeKind.APPLIED]
    assert found == [primary(NEW) if each == primary() and isinstance(each, dict) else each for each in mixed]


@given(_ENTRIES)
def test_a_change_that_was_made_is_already_made(entries: list[Any]) -> None:
    once, verdicts = edited(entries, change(old=None))
    twice, again = edited(once, change(old=None))
    if (
        verdicts == [OutcomeKind.APPLIED]
        and sum(isinstance(each, dict) and each.get("title") == "primary" for each in once) == 1
    ):
        assert (twice, again) == (once, [OutcomeKind.ALREADY])


# -- a new record without what is not there --


def creation(entries: Any) -> CreateRecord:
    fields = {"name": "Rem", "assets": entries, "home": NEW}
    return CreateRecord(
        id="1", char_id="rem", reason=Reason.MISSING_RECORD, document="characters/rem", fields=fields, needs=()
    )


def test_a_new_record_has_every_value_whose_object_is_there() -> None:
    assert without(creation([primary(NEW)]), frozenset()) == creation([primary(NEW)]).fields


def test_a_new_record_is_made_without_what_is_not_there() -> None:
    entries = [primary(NEW, dance="gs://b/x.mp4", many=[NEW, "gs://b/x.mp4", 3]), "text", {"title": NEW[:3]}]
    found = without(creation(entries), frozenset({NEW}))
    assert found["assets"] == [
        {"title": "primary", "dance": "gs://b/x.mp4", "many": ["gs://b/x.mp4", 3]},
        "text",
        {"title": "gs:"},
    ]
    assert found["name"] == "Rem"


@pytest.mark.parametrize("entries", [None, "text", {"a": NEW}, [{"meta": {"thumb": NEW}}], [[NEW, "kept"]]])
def test_a_new_record_holds_no_uri_without_its_object_at_any_depth(entries: object) -> None:
    found = without(creation(entries), frozenset({NEW}))
    assert NEW not in list(texts_in(found))
    assert found["name"] == "Rem"
