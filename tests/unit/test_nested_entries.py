"""Records whose array of maps is not at their top: read, written, created, undone, and never guessed at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reconcile.commands.undo import execute, survey
from reconcile.config.environment import RULES
from reconcile.config.settings import load
from reconcile.core.errors import ConfigError
from reconcile.core.way import Entries
from reconcile.hooks import sync_upsert, update_firestore_gcs_path
from tests.kit.small_project import make_project, open_records
from tests.kit.workflows import BASE
from tests.kit.world import World, codes, kinds, titled, windows

KEY = "characters/rem.png"
NEST = ("media", "assets")


@pytest.fixture
def world() -> World:
    found = World(entries=NEST)
    found.both(KEY)
    return found


def media(*entries: Any, **beside: Any) -> dict[str, Any]:
    return {"name": "Rem", "media": {"assets": list(entries), **beside}}


# -- the three roads of a write --


def test_a_path_in_a_nested_array_is_put_right_and_what_stands_beside_it_stays(world: World) -> None:
    world.records.put("rem", media(titled(anime_image=windows(KEY)), rating=5, tags=["a"]))
    assert world.apply().counts.applied == 1
    assert world.records.fields("rem") == media(titled(anime_image=world.uri(KEY)), rating=5, tags=["a"])
    assert world.plan().actions == ()


@pytest.mark.parametrize("fields", [{}, {"media": None}, {"media": {}}, {"media": {"assets": None, "rating": 5}}])
def test_a_file_gets_its_field_in_a_nested_array_that_is_not_there_yet(world: World, fields: dict[str, Any]) -> None:
    world.records.put("rem", fields)
    world.apply()
    made = world.records.fields("rem") or {}
    assert made["media"]["assets"] == [titled(anime_image=world.uri(KEY))]
    assert made["media"].get("rating") == (fields.get("media") or {}).get("rating")
    assert world.plan().actions == ()


@pytest.mark.parametrize("media", ["text", 5, ["assets"], [{"assets": []}]])
def test_nothing_is_added_where_another_value_is_in_the_way_of_the_array(world: World, media: Any) -> None:
    world.records.put("rem", {"media": media})
    assert "malformed_record" in codes(world.plan())
    world.apply()
    assert world.records.fields("rem") == {"media": media}


def test_somebody_who_writes_beside_the_array_meanwhile_loses_nothing(world: World) -> None:
    world.records.put("rem", media(titled(anime_image=windows(KEY)), rating=5))

    def rate(_document: str) -> None:
        world.records.before_write = lambda _document: None
        world.records.put("rem", media(titled("neon"), titled(anime_image=windows(KEY)), rating=6))

    world.records.before_write = rate
    world.apply()
    assert world.records.fields("rem") == media(titled("neon"), titled(anime_image=world.uri(KEY)), rating=6)


def test_undo_puts_a_nested_array_back(world: World) -> None:
    before = media(titled(anime_image=windows(KEY)), rating=5)
    world.records.put("rem", before)
    world.apply()
    [past] = world.journal.runs()
    execute(world, survey(world, past, world.plan().scope))
    assert world.records.fields("rem") == before


def test_a_record_is_created_with_its_nested_array() -> None:
    world = World(entries=NEST, local_db=True)
    world.both(KEY)
    assert world.local_db is not None
    world.local_db.put("rem", media(titled(anime_image=windows(KEY)), cover=windows(KEY), rating=5))
    assert kinds(world.plan()) == ["create_record"]
    world.apply()
    assert world.records.fields("rem") == media(titled(anime_image=world.uri(KEY)), cover=world.uri(KEY), rating=5)


def test_the_local_database_is_rewritten_in_its_nested_array() -> None:
    world = World(entries=NEST, rewrite=True)
    world.both(KEY)
    assert world.local_db is not None
    world.local_db.put("rem", media(titled(anime_image=windows(KEY)), rating=5))
    world.records.put("rem", media(titled(anime_image=world.uri(KEY))))
    world.apply()
    assert world.local_db.fields("rem") == media(titled(anime_image=world.uri(KEY)), rating=5)


def test_the_first_name_may_be_one_that_must_be_quoted() -> None:
    world = World(entries=("my media", "a.b", "`assets`"))
    world.both(KEY)
    world.records.put("rem", {"my media": {"a.b": {"`assets`": [titled(anime_image=windows(KEY))]}, "x": 1}})
    world.apply()
    entries = [titled(anime_image=world.uri(KEY))]
    assert world.records.fields("rem") == {"my media": {"a.b": {"`assets`": entries}, "x": 1}}


# -- the hooks --


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = make_project(tmp_path / "project")
    rules = found / RULES
    text = rules.read_text(encoding="utf-8").replace('entries = "assets"', 'entries = ["media", "assets"]')
    rules.write_text(text, encoding="utf-8")
    return found


def test_the_hooks_write_to_a_nested_array(folder: Path) -> None:
    store = open_records(folder)
    store.put("rem", media(titled(), rating=5))
    uri = f"{BASE}/characters/rem.png"
    assert update_firestore_gcs_path("rem", "primary", "anime_image", uri, project=folder)
    assert store.fields("rem") == media(titled(anime_image=uri), rating=5)
    store.close()


def test_an_upsert_is_followed_in_a_nested_array(folder: Path) -> None:
    store = open_records(folder)
    store.put("ai_hoshino", media(titled(), rating=5))

    @sync_upsert(project=folder)
    def upsert(char_id: str, asset: dict[str, Any]) -> None:
        pass

    path = folder / "output" / "characters" / "ai_hoshino.png"
    upsert("ai_hoshino", {"title": "primary", "anime_image": str(path)})
    uri = f"{BASE}/characters/ai_hoshino.png"
    assert (store.fields("ai_hoshino") or {})["media"]["assets"][0]["anime_image"] == uri
    store.close()


# -- a name with dots --


def test_a_name_with_dots_is_one_name_if_records_have_it() -> None:
    world = World(entries=("media.assets",))
    world.both(KEY)
    world.records.put("rem", {"media.assets": [titled(anime_image=windows(KEY))], "media": {"assets": []}})
    world.apply()
    assert (world.records.fields("rem") or {})["media.assets"] == [titled(anime_image=world.uri(KEY))]


@pytest.mark.parametrize(
    "name", ["media.assets", "media/assets", "$.media.assets", "media.assets[]", "media.assets[0]", "Media.Assets"]
)
def test_a_path_written_as_one_name_is_refused_with_what_is_meant(name: str) -> None:
    world = World(entries=(name,))
    world.both(KEY)
    world.records.put("mei", {"name": "Mei"})
    world.records.put("rem", media(titled(anime_image=windows(KEY))))
    with pytest.raises(ConfigError) as caught:
        world.plan()
    assert 'did you mean entries = ["media", "assets"]' in (caught.value.hint or "")
    assert world.records.fields("rem") == media(titled(anime_image=windows(KEY)))


def test_a_name_with_an_index_is_refused_if_the_array_is_there_without_it() -> None:
    world = World(entries=("assets[0]",))
    world.records.put("rem", {"assets": [titled(anime_image=windows(KEY))]})
    with pytest.raises(ConfigError) as caught:
        world.plan()
    assert 'did you mean entries = "assets"' in (caught.value.hint or "")


def test_a_hook_refuses_it_too(folder: Path) -> None:
    rules = folder / RULES
    text = rules.read_text(encoding="utf-8").replace('entries = ["media", "assets"]', 'entries = "media.assets"')
    rules.write_text(text, encoding="utf-8")
    store = open_records(folder)
    store.put("rem", media(titled(), rating=5))
    with pytest.raises(ConfigError, match="names one field"):
        update_firestore_gcs_path("rem", "primary", "anime_image", f"{BASE}/characters/rem.png", project=folder)
    assert store.fields("rem") == media(titled(), rating=5)
    store.close()


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ('"assets"', ("assets",)),
        ('"media.assets"', ("media.assets",)),
        ('["media", "assets"]', ("media", "assets")),
        ('["assets"]', ("assets",)),
    ],
)
def test_the_rules_name_the_array_by_a_text_or_by_a_list(folder: Path, written: str, path: tuple[str, ...]) -> None:
    rules = folder / RULES
    text = rules.read_text(encoding="utf-8").replace('["media", "assets"]', written, 1)
    rules.write_text(text, encoding="utf-8")
    assert load(folder, environ={}).entries == Entries(path, "title")


@pytest.mark.parametrize("written", ['""', "[]", '["media", ""]', '["media", 5]', "5", "true", '{a = "b"}'])
def test_what_names_no_array_is_refused_with_its_line(folder: Path, written: str) -> None:
    rules = folder / RULES
    text = rules.read_text(encoding="utf-8").replace('entries = ["media", "assets"]', f"entries = {written}")
    rules.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"asset_map.toml:\d+: entries"):
        load(folder, environ={})
