"""A name is one name in its composed and in its decomposed Unicode form, and the spelling that is there is kept."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile import Project, apply, plan
from reconcile.commands.explain import explain
from reconcile.commands.restore import survey as missing
from reconcile.commands.restoring import execute as restore
from reconcile.commands.status import table
from reconcile.config.settings import Policy
from reconcile.core.changes import CreateRecord
from reconcile.core.context import Replacing
from reconcile.core.names import may_be_respelt, nfc, shared_prefix, spelling, spellings
from reconcile.core.plan import ReplaceLimit
from tests.kit.small_project import make_project, open_objects, open_records, put, write
from tests.kit.world import World, codes, kinds, outcomes, sets, titled, windows

ZOE = unicodedata.normalize("NFC", "zoë_café")
FORMS = [(nfc, "NFC"), (lambda text: unicodedata.normalize("NFD", text), "NFD")]


def decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)


@pytest.fixture
def world() -> World:
    return World(local_db=True)


def both_ways() -> pytest.MarkDecorator:
    """The file's spelling and that of everything else: each of the two forms for either."""
    return pytest.mark.parametrize(
        ("disk", "cloud"),
        [pytest.param(one, other, id=f"{a}-{b}") for one, a in FORMS for other, b in FORMS if a != b],
    )


class TestNames:
    @given(st.text())
    def test_every_spelling_of_a_name_finds_it(self, text: str) -> None:
        for known, _ in FORMS:
            for asked in spellings(text):
                assert spelling(asked, {known(text)}) == known(text)

    def test_the_very_spelling_is_preferred(self) -> None:
        assert spelling(decomposed(ZOE), {ZOE, decomposed(ZOE)}) == decomposed(ZOE)

    @given(st.text())
    def test_a_text_that_has_another_spelling_is_known_to_have_one(self, text: str) -> None:
        if len(spellings(text)) > 1:
            assert all(map(may_be_respelt, spellings(text)))

    @pytest.mark.parametrize("sign", ["\u212a", "\u037e", "\u1fef"])
    def test_the_ascii_that_a_sign_composes_to_is_known_to_have_another_spelling(self, sign: str) -> None:
        assert nfc(sign).isascii()
        assert may_be_respelt(nfc(sign))

    @given(st.text())
    def test_all_spellings_share_the_prefix(self, text: str) -> None:
        assert all(each.startswith(shared_prefix(text)) for each in spellings(text))


class TestAFileAndItsObject:
    @both_ways()
    def test_are_in_step_under_two_spellings(self, world: World, disk, cloud) -> None:
        path, key = disk(f"characters/{ZOE}.png"), cloud(f"characters/{ZOE}.png")
        world.file(path, b"same")
        world.object(key, b"same")
        world.record(cloud(ZOE), titled(anime_image=world.uri(key)))
        survey = world.survey()
        assert (kinds(survey.plan), codes(survey.plan), survey.plan.summary.in_step) == ([], ["other_spelling"], 1)
        assert [finding.subject for finding in survey.plan.findings] == [path]

    @both_ways()
    def test_a_record_is_given_the_objects_spelling(self, world: World, disk, cloud) -> None:
        path, key = disk(f"characters/{ZOE}.png"), cloud(f"characters/{ZOE}.png")
        world.file(path, b"same")
        world.object(key, b"same")
        world.record(cloud(ZOE), titled(anime_image=windows(path), cosplay_image=world.uri(path)))
        assert set(sets(world.plan()).values()) == {world.uri(key)}
        world.apply()
        assert (kinds(world.plan()), world.entries(cloud(ZOE))[0]["anime_image"]) == ([], world.uri(key))

    @both_ways()
    def test_a_new_file_is_uploaded_once_for_whoever_names_it(self, world: World, disk, cloud) -> None:
        path = disk(f"characters/{ZOE}.png")
        world.file(path)
        world.record(cloud(ZOE), titled(anime_image=windows(cloud(path))))
        world.apply()
        assert list(world.objects.all()) == [path]
        assert world.entries(cloud(ZOE)) == [titled(anime_image=world.uri(path))]
        assert kinds(world.plan()) == []

    @both_ways()
    def test_one_that_differs_is_a_conflict_and_replaced_under_the_objects_name(
        self, world: World, disk, cloud
    ) -> None:
        path, key = disk(f"characters/{ZOE}.png"), cloud(f"characters/{ZOE}.png")
        world.file(path, b"new")
        world.object(key, b"old")
        world.record(cloud(ZOE), titled(anime_image=world.uri(key)))
        plan_ = world.plan()
        assert (kinds(plan_), codes(plan_)) == ([], ["content_conflict", "other_spelling"])
        replacing = World(policy=Policy(Replacing.LOCAL, ReplaceLimit(1, percent=False), create_records=True))
        replacing.file(path, b"new")
        replacing.object(key, b"old")
        replacing.record(cloud(ZOE), titled(anime_image=replacing.uri(key)))
        world = replacing
        report = world.apply()
        assert {kind.value for kind in outcomes(report).values()} == {"applied"}
        assert {key: found.size for key, found in world.objects.all().items()} == {key: 3}
        assert kinds(world.plan()) == []

    def test_an_object_in_each_spelling_belongs_to_the_file_of_that_very_spelling(self, world: World) -> None:
        path = f"characters/{ZOE}.png"
        world.both(decomposed(path))
        world.object(path)
        world.record(ZOE, titled(anime_image=world.uri(path)))
        assert kinds(world.plan()) == []

    def test_two_files_of_one_name_are_not_uploaded_over_each_other(self, world: World) -> None:
        path = f"characters/{ZOE}.png"
        world.file(path, b"one")
        world.file(decomposed(path), b"two")
        world.record(ZOE)
        assert kinds(world.plan()) == []
        assert codes(world.plan()) == ["name_collision", "name_collision"]

    def test_a_third_spelling_beside_two_objects_is_not_uploaded(self, world: World) -> None:
        mixed = f"dances/dance_zo{decomposed('ë')}_café.mp4"
        world.file(mixed)
        for form, _ in FORMS:
            world.object(form(mixed))
        world.record(ZOE)
        assert "upload" not in kinds(world.plan())
        assert "name_collision" in codes(world.plan())

    def test_a_name_that_composes_to_ascii_is_one_name_with_it(self, world: World) -> None:
        world.file("dances/dance_rem_K.mp4", b"same")
        world.object("dances/dance_rem_\u212a.mp4", b"same")
        world.record("rem", titled(dance_video=world.uri("dances/dance_rem_\u212a.mp4")))
        assert kinds(world.plan()) == []

    def test_a_folder_in_another_spelling_is_the_same_folder(self, world: World) -> None:
        path = f"remixes/{ZOE}_été/result/[kpop]_one.mp4"
        world.file(decomposed(path), b"same")
        world.object(path, b"same")
        world.record(ZOE, titled(kpop_video=world.uri(path)))
        assert kinds(world.plan()) == []


class TestACharacter:
    @both_ways()
    def test_owns_the_files_that_spell_its_id_otherwise(self, world: World, disk, cloud) -> None:
        world.file(disk(f"characters/{ZOE}.png"))
        world.file(disk(f"dances/dance_{ZOE}_01.mp4"))
        world.record(cloud(ZOE))
        world.apply()
        assert [entry.keys() for entry in world.entries(cloud(ZOE))] == [{"title", "anime_image", "dance_video"}]
        assert list(world.records.all()) == [cloud(ZOE)]
        assert (kinds(world.plan()), codes(world.plan())) == ([], [])

    @both_ways()
    def test_of_the_local_database_is_the_one_of_the_records(self, world: World, disk, cloud) -> None:
        world.file(disk(f"characters/{ZOE}.png"))
        world.local(disk(ZOE), titled(anime_image=windows(disk(f"characters/{ZOE}.png"))))
        world.record(cloud(ZOE))
        assert not [action for action in world.plan().actions if isinstance(action, CreateRecord)]
        world.apply()
        assert list(world.records.all()) == [cloud(ZOE)]
        assert kinds(world.plan()) == []

    @both_ways()
    def test_can_be_asked_for_in_either_spelling(self, world: World, disk, cloud) -> None:
        world.file(disk(f"characters/{ZOE}.png"))
        world.file(cloud(f"dances/dance_{ZOE}_01.mp4"))
        world.record(cloud(ZOE))
        world.record("rem")
        whole = [action.id for action in world.plan().actions]
        assert [action.id for action in world.plan(disk(ZOE)).actions] == whole
        assert [action.id for action in world.plan(cloud(ZOE)).actions] == whole
        assert len(whole) == 4
        seen = world.survey(disk(ZOE))
        assert [row.char_id for row in table(seen, world.asset_map, "character").rows] == [cloud(ZOE)]

    @both_ways()
    @pytest.mark.parametrize("content", [b"same", b"another"])
    def test_whose_record_names_anothers_asset_has_its_part_of_the_whole_plan(
        self, world: World, disk, cloud, content: bytes
    ) -> None:
        path = f"characters/{ZOE}.png"
        world.file(disk(path), b"same")
        world.object(cloud(path), content)
        for form in (disk, cloud):
            world.record("rem", titled(image=world.uri(form(path))))
            whole, part = world.plan(), world.plan("rem")
            assert [each for each in whole.actions if each.char_id == "rem"] == list(part.actions)
            assert "upload" not in kinds(part)

    def test_that_two_records_hold_in_two_spellings_stays_two(self, world: World) -> None:
        for form, _ in FORMS:
            world.record(form(ZOE))
            world.file(form(f"dances/dance_{ZOE}_01.mp4"), form(ZOE).encode())
        assert {finding.code.value for finding in world.plan().findings} == {"name_collision"}


class TestTheKeyOfAMap:
    @both_ways()
    def test_is_the_one_that_is_there(self, world: World, disk, cloud) -> None:
        path = f"remixes/rem_x/variants/{disk('café')}.mp4"
        world.file(path)
        world.record("rem", titled(), titled(cloud("café"), mood="calm"))
        world.apply()
        assert world.entries("rem") == [
            titled(),
            titled(cloud("café"), mood="calm", dance_video=world.uri(path)),
        ]
        assert (kinds(world.plan()), codes(world.plan())) == ([], [])

    @both_ways()
    def test_is_the_same_in_the_local_database(self, world: World, disk, cloud) -> None:
        path = "remixes/rem_x/REMIX_one.mp4"
        world.file(path)
        world.local("rem", titled(disk("café"), deliverable=windows(path)))
        world.record("rem", titled(cloud("café")))
        world.apply()
        assert world.entries("rem") == [titled(cloud("café"), deliverable=world.uri(path))]
        assert kinds(world.plan()) == []

    @both_ways()
    def test_that_somebody_adds_meanwhile_is_not_added_again(self, world: World, disk, cloud) -> None:
        path = f"remixes/rem_x/variants/{disk('café')}.mp4"
        world.file(path)
        world.record("rem")
        plan_ = world.plan()
        world.record("rem", titled(decomposed("café"), mood="calm"))
        world.apply(plan_)
        assert world.entries("rem") == [titled(decomposed("café"), mood="calm", dance_video=world.uri(path))]

    def test_in_two_spellings_stays_two(self, world: World) -> None:
        path = "remixes/rem_x/variants/café.mp4"
        world.file(decomposed(path))
        world.record("rem", *(titled(form("café")) for form, _ in FORMS))
        world.apply()
        assert sum("dance_video" in entry for entry in world.entries("rem")) == 1
        assert kinds(world.plan()) == []


class TestTheUsersOwnFolder:
    def test_a_conflict_is_settled_from_a_file_that_is_spelled_otherwise(self, tmp_path: Path) -> None:
        folder = make_project(tmp_path)
        path = f"characters/{ZOE}.png"
        write(folder, decomposed(path), b"new bytes")
        objects = open_objects(folder)
        put(objects, path, b"old bytes")
        objects.close()
        records = open_records(folder)
        records.put(ZOE, {"name": "Zoë", "assets": []})
        records.close()
        rules = folder / "rules" / "asset_map.toml"
        rules.write_text(rules.read_text("utf-8").replace('replace = "safe"', 'replace = "local"'), "utf-8")
        with Project.open(folder).opened() as project:
            apply(plan(project))
        with Project.open(folder).opened() as project:
            assert plan(project).actions == ()
            assert next(project.objects.list(path)).size == len(b"new bytes")

    def test_nothing_is_restored_beside_the_same_file(self, tmp_path: Path) -> None:
        folder = make_project(tmp_path)
        path = f"dances/dance_{ZOE}.mp4"
        write(folder, decomposed(path), b"same")
        objects = open_objects(folder)
        put(objects, path, b"same")
        put(objects, decomposed(path), b"same")
        put(objects, f"dances/{ZOE}/dance_rem.mp4", b"new")
        objects.close()
        write(folder, f"dances/{decomposed(ZOE)}/here.txt", b"x")
        with Project.open(folder).opened() as project:
            found = missing(project, everything=True)
            assert [action.key for action in found.actions] == [f"dances/{ZOE}/dance_rem.mp4"]
            restore(project, found)
        there = {str(each.relative_to(folder / "output")) for each in (folder / "output" / "dances").rglob("*.mp4")}
        assert there == {decomposed(path), f"dances/{decomposed(ZOE)}/dance_rem.mp4"}

    @both_ways()
    def test_explain_finds_it_in_either_spelling(self, tmp_path: Path, disk, cloud) -> None:
        folder = make_project(tmp_path)
        path = f"characters/{ZOE}.png"
        write(folder, disk(path), b"same")
        objects = open_objects(folder)
        put(objects, cloud(path), b"same")
        objects.close()
        for subject in (disk(path), cloud(path), f"gs://my-bucket/anime_dance/{cloud(path)}"):
            with Project.open(folder).opened() as project:
                view = explain(project, subject).asset
                assert view is not None
                assert (view.key, view.path) == (cloud(path), disk(path))
