"""Reading the three worlds: a failed listing is an error and never "empty", and a scope reads what it needs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pytest

from reconcile.adapters.local.settle import FirstLooks
from reconcile.adapters.local.store import LocalFiles
from reconcile.adapters.state.store import State
from reconcile.core.changes import Upload
from reconcile.core.errors import SourceError, StoreUnavailable
from reconcile.core.events import Advanced, Phase, silent
from reconcile.core.plan import Scope
from reconcile.core.rows import FileProblem, LocalFile
from reconcile.pipeline.planner import survey
from reconcile.pipeline.roster import read_roster
from tests.kit.world import World, codes, keys, kinds, rule, sets, titled, windows

IMAGE = rule("image", "characters/{char_id}.png", "anime_image")
DANCE = rule("dance", "dances/dance_{char_id}*.mp4", "dance_video", many="newest")


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


def _three(world: World) -> None:
    for char_id in ("mei", "rem", "rem_2"):
        world.both(f"characters/{char_id}.png")
        world.record(char_id, titled(anime_image=windows(f"characters/{char_id}.png")))


@pytest.mark.parametrize("page", [0, 1, 2, 3], ids=["at once", "after one", "after two", "behind the last"])
def test_a_bucket_listing_that_fails_on_any_page_is_an_error_and_never_empty(world: World, page: int) -> None:
    _three(world)
    world.objects.break_listing_after = page

    with pytest.raises(StoreUnavailable, match="the bucket is down"):
        world.plan()
    assert world.writes() == []


def test_records_that_cannot_be_read_are_an_error(world: World) -> None:
    _three(world)
    world.records.down = True

    with pytest.raises(StoreUnavailable, match="the database is down"):
        world.plan()


def test_a_local_root_that_is_gone_is_an_error(world: World) -> None:
    _three(world)
    world.files.gone = True

    with pytest.raises(SourceError, match="the root is not there"):
        world.plan()


def test_a_scope_reads_the_characters_document_and_the_prefixes_that_its_patterns_reach(world: World) -> None:
    _three(world)
    world.plan("rem")

    assert world.records.reads == [["rem"]]
    assert world.objects.listed == [
        "characters/rem.png",
        "characters/rem_cosplay.png",
        "dances/dance_rem",
        "remixes/rem",
    ]
    assert world.objects.gets == []


def test_a_scope_also_reads_the_shorter_ids_that_a_name_could_mean(world: World) -> None:
    _three(world)
    world.plan("rem_2")

    assert world.records.reads == [["rem", "rem_2"]]


def test_ids_are_those_of_records_local_database_and_files_named_by_a_whole_id() -> None:
    with World(local_db=True) as world:
        world.record("rem")
        world.local("mei")
        world.file("characters/ai.png")
        world.file("dances/dance_zoe_1.mp4")

        assert read_roster(world, Scope(), silent).known_ids == {"rem", "mei", "ai"}


def test_where_an_id_may_stand_behind_other_text_a_scope_asks_for_every_id() -> None:
    with World([IMAGE, rule("late", "remixes/{take}_{char_id}/*.mp4", "deliverable")]) as world:
        world.record("rem")
        world.record("big_rem")
        world.file("remixes/one_big_rem/x.mp4")

        assert sets(world.plan("rem")) == {}
        assert len(sets(world.plan("big_rem"))) == 1


def test_where_rules_begin_alike_a_scope_asks_for_every_id() -> None:
    rules = [IMAGE, DANCE, rule("other", "dances/{char_id}*.mp4", "dance_video")]
    with World(rules) as world:
        world.record("rem")
        world.record("dance")
        world.file("dances/dance_rem.mp4")

        assert codes(world.plan()) == ["ambiguous_character"]
        assert sets(world.plan()) == sets(world.plan("rem")) == {}


def test_what_a_record_names_outside_the_listed_prefixes_is_looked_up_one_by_one(world: World) -> None:
    _three(world)
    uri = world.both("remixes/shared/REMIX_one.mp4")
    world.record("rem", titled(deliverable="output/remixes/shared/REMIX_one.mp4"))

    assert sets(world.plan("rem"))["rem", "primary", "deliverable"] == uri
    assert world.objects.gets == ["remixes/shared/REMIX_one.mp4"]
    assert "" not in world.objects.listed


def test_a_windows_path_in_another_case_is_found_in_a_scope_too(world: World) -> None:
    uri = world.both("characters/Rem.png")
    world.record("Rem")
    world.record("rem", titled(cosplay_image="D:\\old\\characters\\REM.PNG"))

    assert sets(world.plan("rem"))["rem", "primary", "cosplay_image"] == uri
    assert sets(world.plan("rem")).items() <= sets(world.plan()).items()


def test_a_windows_path_that_is_there_as_it_is_written_costs_a_scope_no_wider_listing(world: World) -> None:
    _three(world)
    world.record("rem", titled(anime_image="D:\\old\\characters\\rem.png"))

    assert len(sets(world.plan("rem"))) == 1
    assert "" not in world.objects.listed


def test_a_reference_below_an_unread_folder_is_unknown_in_a_scope_too(world: World) -> None:
    key = "remixes/zoe/REMIX_one.mp4"
    world.object(key)
    world.record("rem", titled(deliverable=windows(key)))
    for problem in (FileProblem.SYMLINK, FileProblem.UNREADABLE):
        world.files.stops["remixes/zoe/"] = problem

        assert kinds(world.plan()) == kinds(world.plan("rem")) == []
        assert world.plan("rem").complete is (problem is FileProblem.SYMLINK)


def test_object_templates_give_keys_in_another_order_than_the_walk() -> None:
    rules = [
        rule("image", "characters/{char_id}.png", "anime_image", object_="z/{char_id}.png"),
        rule("dance", "dances/{char_id}.mp4", "dance_video", object_="a/{char_id}.mp4"),
    ]
    with World(rules) as world:
        world.record("rem", titled(anime_image=windows("characters/rem.png"), dance_video="dances/rem.mp4"))
        world.file("characters/rem.png")
        world.file("dances/rem.mp4")
        plan = world.plan()

        assert keys(plan, Upload) == ["a/rem.mp4", "z/rem.png"]
        assert sets(plan) == {
            ("rem", "primary", "anime_image"): world.uri("z/rem.png"),
            ("rem", "primary", "dance_video"): world.uri("a/rem.mp4"),
        }
        world.apply(plan)
        assert world.plan().actions == ()
        assert [action.id for action in world.plan("rem").actions] == []


def test_two_files_that_want_one_key_are_a_name_collision_and_none_is_uploaded() -> None:
    rules = [
        rule("raw", "raw/{char_id}.png", "anime_image", object_="images/{char_id}.png"),
        rule("image", "images/{char_id}.png", "anime_image"),
    ]
    with World(rules) as world:
        world.record("rem")
        world.file("raw/rem.png")
        world.file("images/rem.png")
        plan = world.plan()

        assert plan.actions == ()
        assert codes(plan) == ["name_collision"]


def test_names_that_are_looked_up_come_in_the_order_of_paths_whatever_their_keys() -> None:
    rules = [
        IMAGE,
        rule("one", "z/{take}.mp4", "deliverable", object_="a/{take}.mp4"),
        rule("two", "a/{take}.mp4", "deliverable", object_="z/{take}.mp4"),
    ]
    with World(rules) as world:
        world.record("rem", titled(dance_video="output/z/1.mp4", other="output/a/1.mp4"))
        world.file("z/1.mp4")
        world.file("a/1.mp4")

        assert keys(world.plan("rem"), Upload) == ["a/1.mp4", "z/1.mp4"]


def test_an_id_that_only_an_unreadable_folder_holds_makes_ownership_unknown() -> None:
    with World([IMAGE, DANCE]) as world:
        world.record("rem")
        world.file("characters/rem_2.png")
        world.file("dances/dance_rem_2.mp4")
        world.files.stops["characters/"] = FileProblem.UNREADABLE

        assert kinds(world.plan()) == ["upload"]
        assert not world.plan().complete
        world.files.stops.clear()
        assert ("rem", "primary", "dance_video") not in sets(world.plan())


def test_progress_counts_what_is_read(world: World) -> None:
    _three(world)
    seen: list[Advanced] = []
    survey(world, listener=lambda event: seen.append(event) if isinstance(event, Advanced) else None)

    assert sum(event.count for event in seen if event.phase is Phase.RECORDS) == 3
    assert sum(event.count for event in seen if event.phase is Phase.LISTING) == 3


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
@pytest.mark.parametrize("prefixes", [("",), ("a",), ("b/lin", "c/x.png"), ("b/link/x.png",), ("z",)])
def test_the_files_in_memory_answer_as_a_real_folder_does(tmp_path: Path, prefixes: tuple[str, ...]) -> None:
    root = tmp_path / "output"
    (tmp_path / "elsewhere").mkdir()
    with World() as world, State(tmp_path) as state:
        for path, data in (
            ("a/x.png", b"1"),
            ("a.png", b"2"),
            ("b/empty.png", b""),
            ("c/x.png", b"3"),
            ("a/é.png", b"4"),
        ):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
            os.utime(root / path, ns=(10**9, 10**9))
            world.file(path, data, at=10**9)
        (root / "b" / "link").symlink_to(tmp_path / "elsewhere")
        world.files.stops["b/link/"] = FileProblem.SYMLINK
        real = LocalFiles(root, ignore=(), looks=FirstLooks(0), cache=state)
        asked = ["a/x.png", "b/link/x.png", "b/none.png", "b/empty.png", "none/x.png"]

        assert _plain(world.files.walk(prefixes)) == _plain(real.walk(prefixes))
        assert list(world.files.names(prefixes)) == list(real.names(prefixes))
        assert _plain(world.files.lookup(asked)) == _plain(real.lookup(asked))


def _plain(files: Iterable[LocalFile]) -> list[LocalFile]:
    """Without the words for people, and without the times of what has no bytes."""
    return [msgspec.structs.replace(file, detail="", mtime_ns=file.mtime_ns if file.crc32c else 0) for file in files]
