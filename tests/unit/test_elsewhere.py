"""A local path of ours is found wherever it stands in a record, put right in its place, or told of."""

from __future__ import annotations

import copy
import json
from typing import Any
from urllib.parse import quote

import pytest

from reconcile.commands.undo import execute, survey
from reconcile.commands.verify import verify
from reconcile.core.changes import RewriteLocalDb, SetField
from reconcile.core.plan import Scope
from reconcile.core.planfile import dumps, loads
from reconcile.core.proof import Mode
from reconcile.core.rows import Document
from reconcile.core.way import Titled, shown
from tests.kit.world import World, codes, kinds, titled, windows

KEY, OTHER = "characters/rem.png", "dances/dance_rem.mp4"
GONE = "characters/gone.png"


@pytest.fixture
def world() -> World:
    found = World(local_db=True)
    found.both(KEY)
    found.both(OTHER)
    return found


def in_step(world: World, **fields: Any) -> dict[str, Any]:
    """A record of which only these fields may need something."""
    entries = [titled(anime_image=world.uri(KEY), dance_video=world.uri(OTHER), **fields.pop("entry", {}))]
    return {"name": "Rem", "assets": entries, **fields}


def put_right(world: World, value: Any) -> Any:
    """What a value becomes: each path of ours its URI."""
    if isinstance(value, dict):
        return {name: put_right(world, each) for name, each in value.items()}
    if isinstance(value, list):
        return [put_right(world, each) for each in value]
    return {windows(KEY): world.uri(KEY), windows(OTHER): world.uri(OTHER)}.get(value, value) if value else value


def ways(world: World) -> list[str]:
    return [shown(each.way) for each in world.plan().actions if isinstance(each, SetField | RewriteLocalDb)]


NESTS = [
    ("cover", windows(KEY), ["cover"]),
    ("thumbs", {"small": windows(KEY), "large": windows(OTHER)}, ["thumbs.large", "thumbs.small"]),
    ("shots", [windows(KEY), 5, windows(OTHER)], ["shots[0]", "shots[2]"]),
    ("history", [{"file": windows(KEY)}, {"file": windows(KEY)}], ["history[0].file", "history[1].file"]),
    ("a.b", {"c d": {"`": [{"é": windows(KEY)}]}}, ['["a.b"]["c d"]["`"][0].é']),
    ("deep", {"1": {"2": {"3": {"4": {"5": {"6": windows(KEY)}}}}}}, ['deep["1"]["2"]["3"]["4"]["5"]["6"]']),
]


@pytest.mark.parametrize(("name", "value", "expected"), NESTS)
def test_a_path_is_put_right_in_its_place(world: World, name: str, value: Any, expected: list[str]) -> None:
    world.records.put("rem", in_step(world, **{name: value}))
    assert sorted(ways(world)) == expected
    world.apply()
    assert world.records.fields("rem") == in_step(world, **{name: put_right(world, value)})
    assert (world.plan().actions, codes(world.plan())) == ((), [])


@pytest.mark.parametrize("value", [value for _, value, _ in NESTS])
def test_so_it_is_below_the_fields_of_a_map_of_the_entries(world: World, value: Any) -> None:
    nested = {"in": value}
    world.records.put("rem", in_step(world, entry={"extra": nested}))
    assert all(each.startswith("assets[primary].extra.in") for each in ways(world))
    world.apply()
    assert world.records.fields("rem") == in_step(world, entry={"extra": put_right(world, nested)})
    assert world.plan().actions == ()


def test_the_plan_carries_the_way_and_reads_it_back(world: World) -> None:
    world.records.put("rem", in_step(world, entry={"frames": [{"path": windows(KEY)}]}))
    plan = world.plan()
    [change] = [each for each in plan.actions if isinstance(each, SetField)]
    assert change.way == ("assets", Titled("primary"), "frames", 0, "path")
    assert (change.entry, change.field, change.old) == ("primary", "frames", windows(KEY))
    assert b'"at": [\n        "assets",\n        {\n          "title": "primary"\n        },' in dumps(plan)
    assert loads(dumps(plan), "plan.json") == plan
    world.apply(loads(dumps(plan), "plan.json"))
    assert world.plan().actions == ()


def test_a_plain_field_has_no_way(world: World) -> None:
    world.records.put("rem", {"assets": [titled(anime_image=windows(KEY))]})
    assert b'"at"' not in dumps(world.plan())


@pytest.mark.parametrize(
    "text",
    [
        "see C:\\oo\\bar\\output2\\characters\\rem.png for details",
        "https://example.com/C:/oo/bar/output/characters/rem.png",
        "gs://other/C:/oo/bar/output/characters/rem.png",
        "see output/characters/rem.png",
        "either characters/rem.png or nothing",
        "a/b/c",
        "and/or",
        "output/characters",
        "https://example.com/characters/rem.png",
        "gs://other/characters/rem.png",
        "/usr/bin/python3",
        "C:\\Program Files\\ffmpeg\\bin\\ffmpeg.exe",
        "2026/02/07",
    ],
)
def test_what_is_not_surely_a_path_of_ours_is_left_in_silence(world: World, text: str) -> None:
    fields = in_step(world, note=text, notes={"a": [text]}, entry={"more": {"b": text}})
    world.records.put("rem", fields)
    assert (world.plan().actions, codes(world.plan())) == ((), [])
    assert verify(world, mode=Mode(cloud_only=True)).verification.exit_code == 0


@pytest.mark.parametrize(
    "text",
    [
        windows(KEY),
        "C:/oo/bar/output/characters/rem.png",
        f'"{windows(KEY)}"',
        "output/characters/rem.png",
        "characters/rem.png",
        "D:\\elsewhere\\characters\\rem.png",
        "file:///C:/oo/bar/output/characters/rem.png",
        "C:\\oo\bar\\output\\characters\\rem.png",
        "/mnt/c/oo/bar/output/characters/rem.png",
    ],
)
def test_a_path_means_what_it_means_in_a_plain_field(world: World, text: str) -> None:
    world.records.put("rem", in_step(world, cover={"x": [text]}))
    world.apply()
    assert world.records.fields("rem") == in_step(world, cover={"x": [world.uri(KEY)]})


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (windows(GONE), "missing_asset"),
        ("output/characters/gone.png", "missing_asset"),
        ("gs://my-bucket/anime_dance/characters/gone.png", "missing_asset"),
        ("D:\\elsewhere\\characters\\gone.png", "missing_asset"),
        ("D:\\elsewhere\\clip.mp4", "outside_root"),
    ],
)
def test_a_path_whose_object_will_not_be_there_is_told_of_and_stays(world: World, text: str, code: str) -> None:
    fields = in_step(world, cover=[{"x": text}])
    world.records.put("rem", fields)
    plan = world.plan()
    assert (plan.actions, codes(plan)) == ((), [code])
    assert "cover › 0 › x" in plan.findings[0].message
    assert world.records.fields("rem") == fields
    assert verify(world, mode=Mode(cloud_only=True)).verification.exit_code == 2


@pytest.mark.parametrize("fields", [{"hashes": {windows(KEY): "x"}}, {windows(KEY): 1}, {"a": [{windows(GONE): {}}]}])
def test_a_path_that_is_a_name_is_an_error_and_no_proof_holds(world: World, fields: dict[str, Any]) -> None:
    world.records.put("rem", in_step(world, **fields))
    assert (world.plan().actions, codes(world.plan())) == ((), ["local_path_elsewhere"])
    found = verify(world, mode=Mode(cloud_only=True)).verification
    assert (found.exit_code, [each.code.value for each in found.problems]) == (2, ["local_path_elsewhere"])


def test_a_path_that_is_a_maps_key_is_an_error(world: World) -> None:
    fields = in_step(world)
    fields["assets"].append(titled(windows(KEY), note="x"))
    world.records.put("rem", fields)
    assert codes(world.plan()) == ["local_path_elsewhere"]


@pytest.mark.parametrize(
    "assets",
    [
        {"primary": {"anime_image": windows(KEY)}},
        windows(KEY),
        [windows(KEY)],
        [titled(more={"x": windows(KEY)}), titled(more={"x": windows(KEY)})],
        [titled(None, more={"x": windows(KEY)})],
    ],
)
def test_what_is_not_shaped_like_entries_is_put_right_in_place_too(world: World, assets: Any) -> None:
    world.records.put("rem", {"assets": assets})
    world.apply()
    now = (world.records.fields("rem") or {})["assets"]
    assert now[: len(assets)] == put_right(world, assets) if isinstance(assets, list) else put_right(world, assets)
    assert not any("\\" in str(each) for each in (now if isinstance(now, list) else [now]))


WITHIN = [
    f"see {windows(KEY)} please",
    f"{windows(KEY)} is the best one",
    json.dumps({"path": windows(KEY)}),
    json.dumps(json.dumps([windows(KEY)])),
    "file:///C:/oo/bar/output/characters/rem.png and more",
    quote(windows(GONE)),
    quote(quote(windows(GONE), safe=""), safe=""),
    f"{windows(KEY)}\n{windows(OTHER)}",
    f"{windows(KEY)};{windows(OTHER)}",
    f"{windows(GONE)},{windows(OTHER)}",
    f"{windows(GONE)};b.png",
    f"D:\\elsewhere\\x.png\n{windows(KEY)}",
    f"gs://my-bucket/anime_dance/{KEY};{windows(OTHER)}",
    "--input=c:/OO/BAR/output/characters/rem.png",
    "see C:\\oo\bar\\output\\characters\\rem.png",
    "see /mnt/c/oo/bar/output/characters/rem.png",
    "C:\\oo\\bar\\output",
    '"C:/oo/bar/output/"',
]


@pytest.mark.parametrize("text", WITHIN)
def test_a_path_of_ours_in_a_longer_text_is_never_rewritten_and_no_proof_holds(world: World, text: str) -> None:
    fields = in_step(world, cover={"x": [text]}, entry={"note": text, "takes": [text]})
    world.records.put("rem", fields)
    plan = world.plan()
    assert (plan.actions, set(codes(plan))) == ((), {"local_path_elsewhere"})
    places = ("cover › x › 0", "primary › note", "primary › takes › 0")
    assert [any(f"{place} holds" in each.message for each in plan.findings) for place in places] == [True] * 3
    found = verify(world, mode=Mode(cloud_only=True)).verification
    assert found.exit_code == 2
    assert {each.code.value for each in found.problems} == {"local_path_elsewhere"}


@pytest.mark.parametrize("text", WITHIN)
def test_a_field_that_a_rule_writes_keeps_such_a_text_too(world: World, text: str) -> None:
    fields = {"assets": [titled(anime_image=text, dance_video=world.uri(OTHER))]}
    world.records.put("rem", fields)
    plan = world.plan()
    assert (kinds(plan), "local_path_elsewhere" in codes(plan)) == ([], True)


@pytest.mark.parametrize("text", WITHIN)
def test_no_new_record_holds_such_a_text(world: World, text: str) -> None:
    entry = {"note": text, "more": {"x": [text]}}
    world.local("rem", titled(anime_image=world.uri(KEY), dance_video=world.uri(OTHER), **entry), cover=text)
    plan = world.plan()
    world.apply(plan)
    assert world.records.fields("rem") == in_step(world, entry={"more": {"x": []}})
    assert set(codes(plan)) == {"local_path_elsewhere"}


@pytest.mark.parametrize("text", ["({})", '\\"{}\\"', '{}"', "{}'", '"{}', "\u201c{}", '("{}"),', '{}\\"'])
def test_what_people_paste_around_a_path_is_no_part_of_it(world: World, text: str) -> None:
    world.records.put("rem", in_step(world, cover=text.format(windows(KEY))))
    world.apply()
    assert world.records.fields("rem") == in_step(world, cover=world.uri(KEY))


# -- the proof --


def test_the_proof_counts_references_at_any_depth(world: World) -> None:
    world.records.put(
        "rem", in_step(world, thumbs={"small": world.uri(KEY)}, entry={"frames": [{"p": world.uri(KEY)}]})
    )
    found = verify(world, mode=Mode(cloud_only=True))
    assert (found.verification.exit_code, found.verification.checked, found.verification.ok) == (0, 4, 4)
    [certificate] = found.certificates
    places = {shown(each.at) for each in certificate.references if each.at}
    assert places == {"thumbs.small", "assets[primary].frames[0].p"}


@pytest.mark.parametrize("fields", [{"cover": windows(KEY)}, {"entry": {"frames": [{"p": windows(KEY)}]}}])
def test_no_proof_holds_while_a_path_is_left_anywhere(world: World, fields: dict[str, Any]) -> None:
    world.records.put("rem", in_step(world, **fields))
    for mode in (Mode(), Mode(cloud_only=True)):
        found = verify(world, mode=mode).verification
        assert (found.exit_code, [each.code.value for each in found.problems]) == (2, ["local_path"])


def test_an_object_that_only_a_nested_place_names_is_no_orphan() -> None:
    world = World()
    world.object("dances/stray.mp4")
    world.records.put("rem", {"meta": {"clip": world.uri("dances/stray.mp4")}, "assets": []})
    assert "orphan_object" not in codes(world.plan())


# -- other writers, and the way back --


def test_a_reordered_list_is_edited_in_the_right_place(world: World) -> None:
    history = [{"n": at, "file": text} for at, text in enumerate((windows(KEY), "x", windows(OTHER), "y"))]
    world.records.put("rem", in_step(world, history=history))
    plan = world.plan()
    mixed = [history[3], history[2], {"n": 9, "file": "new"}, history[0], history[1]]
    world.records.put("rem", in_step(world, history=mixed, added=1))
    assert world.apply(plan).counts.applied == 2
    assert world.records.fields("rem") == in_step(world, history=put_right(world, mixed), added=1)


def test_a_text_that_stands_in_several_new_places_is_left_alone(world: World) -> None:
    world.records.put("rem", in_step(world, shots=["a", windows(KEY)]))
    plan = world.plan()
    moved = in_step(world, shots=[windows(KEY), "a", windows(KEY)])
    world.records.put("rem", moved)
    assert world.apply(plan).counts.stale == 1
    assert world.records.fields("rem") == moved


def test_a_map_of_the_entries_is_found_by_its_key(world: World) -> None:
    fields = in_step(world, entry={"more": {"x": windows(KEY)}})
    world.records.put("rem", fields)
    plan = world.plan()
    fields["assets"].insert(0, titled("neon", more={"x": windows(KEY)}))
    world.records.put("rem", fields)
    world.apply(plan)
    after = (world.records.fields("rem") or {})["assets"]
    assert [each["more"]["x"] for each in after] == [windows(KEY), world.uri(KEY)]


def test_what_is_done_already_is_said_to_be(world: World) -> None:
    world.records.put("rem", in_step(world, cover=windows(KEY)))
    plan = world.plan()
    world.records.put("rem", in_step(world, cover=world.uri(KEY)))
    assert world.apply(plan).counts.already == 1


def test_undo_puts_nested_texts_back_where_nobody_changed_them(world: World) -> None:
    before = in_step(
        world, thumbs={"a": windows(KEY), "b": windows(OTHER)}, shots=[windows(KEY), "C:/oo/bar/output/" + KEY]
    )
    world.records.put("rem", before)
    world.apply()
    now = world.records.fields("rem") or {}
    world.records.put("rem", {**now, "thumbs": {**now["thumbs"], "b": "mine"}})
    past = next(iter(world.journal.runs()))
    undoing = survey(world, past, Scope())
    assert [finding.code.value for finding in undoing.plan.findings] == ["changed_since"]
    execute(world, undoing)
    assert world.records.fields("rem") == {**before, "thumbs": {"a": windows(KEY), "b": "mine"}}


def test_undo_does_not_guess_which_of_two_alike_was_which(world: World) -> None:
    world.records.put("rem", in_step(world, shots=[windows(KEY), "C:/oo/bar/output/" + KEY]))
    world.apply()
    moved = in_step(world, shots=["new", world.uri(KEY), world.uri(KEY)])
    world.records.put("rem", moved)
    execute(world, survey(world, next(iter(world.journal.runs())), Scope()))
    assert world.records.fields("rem") == moved


# -- a new record --


URI = World().uri(KEY)


@pytest.mark.parametrize(
    ("entry", "made", "told"),
    [
        ({"frames": [{"path": windows(KEY)}]}, {"frames": [{"path": URI}]}, False),
        ({"frames": [{"path": f'"{windows(KEY)}"'}]}, {"frames": [{"path": URI}]}, False),
        ({"frames": [{"path": windows(GONE), "n": 1}]}, {"frames": [{"n": 1}]}, True),
        ({"frames": [windows(GONE), {"a": [windows(KEY)]}]}, {"frames": [{"a": [URI]}]}, True),
        ({"frames": [{"path": "output/characters/gone.png"}]}, {"frames": [{}]}, True),
        ({"by": {windows(KEY): "x", "y": 1}}, {"by": {"y": 1}}, True),
        ({"note": "output/characters/gone.png"}, {}, True),
    ],
)
def test_a_new_record_holds_no_path_at_any_depth(
    world: World, entry: dict[str, Any], made: dict[str, Any], told: bool
) -> None:
    world.local("rem", titled(anime_image=world.uri(KEY), dance_video=world.uri(OTHER), **entry), cover=entry)
    plan = world.plan()
    world.apply(loads(dumps(plan), "plan.json"))
    assert world.records.fields("rem") == in_step(world, entry=made, cover=made)
    assert ("missing_asset" in codes(plan)) is told
    assert world.plan().actions == ()


def test_no_record_is_made_of_a_map_whose_key_is_a_path(world: World) -> None:
    world.local("rem", titled(windows(KEY), note="x"))
    assert "create_record" not in kinds(world.plan())
    assert "local_path_elsewhere" in codes(world.plan())


def test_the_local_database_is_rewritten_at_any_depth() -> None:
    world = World(rewrite=True)
    world.both(KEY)
    assert world.local_db is not None
    fields = {"id": "rem", "assets": [titled(frames=[{"p": windows(KEY)}])], "lists": {"a": [{"b": windows(KEY)}]}}
    world.local_db.put("rem", fields)
    world.records.put("rem", {"assets": [titled(anime_image=world.uri(KEY))]})
    world.apply()
    after = copy.deepcopy(fields)
    after["assets"][0]["frames"][0]["p"] = after["lists"]["a"][0]["b"] = world.uri(KEY)  # type: ignore[index]
    assert {**(world.local_db.fields("rem") or {}), "assets": None} == {**after, "assets": None}
    assert world.plan().actions == ()


def test_a_record_that_is_deeper_than_any_store_takes_is_read_without_a_crash(world: World) -> None:
    value: Any = windows(KEY)
    for _ in range(47):
        value = {"x": [value]}
    world.record("rem")
    world.records.order = lambda found: [Document(each.id, {"deep": value, "assets": []}, "1") for each in found]
    assert "deep" + ".x[0]" * 47 in ways(world)
