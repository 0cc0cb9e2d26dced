"""What the stages decide of one record: the table of fields, the evidence for a field, and whose file it is."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest

from reconcile.core.changes import Reason, SetField, Upload
from reconcile.core.plan import Scope
from reconcile.core.report import Status
from reconcile.core.rows import FileProblem
from reconcile.pipeline.planner import survey
from tests.kit.staging import FIELD, IMAGE, KEY, converged, one
from tests.kit.world import World, codes, keys, kinds, rule, sets, titled, windows

DANCE = "dances/dance_{char_id}*.mp4"


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


@pytest.fixture
def both() -> Iterator[World]:
    """With a local database."""
    with World(local_db=True) as made:
        yield made


class TestWhatAFieldHoldsAgainstTheObjectAfterThisPlan:
    """The second table of the design, row by row."""

    def test_the_right_uri_and_the_object_there_is_in_step(self, world: World) -> None:
        world.record("rem", titled(anime_image=world.both(KEY)))
        plan = world.plan()

        assert plan.actions == plan.findings == ()
        assert plan.summary.in_step == 1

    @pytest.mark.parametrize("there", ["uploaded by this plan", "in the bucket", "in the bucket alone"])
    def test_a_local_path_of_this_asset_and_the_object_there_sets_the_field(self, world: World, there: str) -> None:
        if there != "in the bucket alone":
            world.file(KEY)
        if there != "uploaded by this plan":
            world.object(KEY)
        world.record("rem", titled(anime_image=windows(KEY)))
        plan = world.plan()
        change = plan.actions[-1]

        assert kinds(plan) == (["upload", "set_field"] if there == "uploaded by this plan" else ["set_field"])
        assert isinstance(change, SetField)
        assert (change.old, change.new, change.reason) == (windows(KEY), world.uri(KEY), Reason.LOCAL_PATH)
        assert [need.key for need in change.needs] == [KEY]
        assert change.needs[0].crc32c is not None
        assert converged(world).findings == ()
        assert world.entries("rem") == [titled(anime_image=world.uri(KEY))]

    @pytest.mark.parametrize("text", [windows(KEY), "gs://my-bucket/anime_dance/characters/rem.png"])
    def test_a_local_path_or_our_uri_of_an_object_that_will_not_be_there_is_a_missing_asset(
        self, world: World, text: str
    ) -> None:
        world.record("rem", titled(anime_image=text))
        plan = world.plan()

        assert plan.actions == ()
        assert codes(plan) == ["missing_asset"]
        assert (plan.findings[0].subject, plan.findings[0].char_id) == ("characters/rem", "rem")
        assert f'"{text}"' in plan.findings[0].message

    @pytest.mark.parametrize("holds", [{}, {"anime_image": None}, {"anime_image": ""}, {"anime_image": " \t"}])
    def test_nothing_and_one_file_claims_the_field_sets_it(self, world: World, holds: dict[str, Any]) -> None:
        world.file(KEY)
        world.record("rem", titled(**holds))
        plan = world.plan()

        assert sets(plan) == {FIELD: world.uri(KEY)}
        assert plan.actions[-1].reason is Reason.UNTRACKED
        converged(world)

    def test_nothing_and_an_object_that_only_the_bucket_has_claims_the_field_sets_it(self, world: World) -> None:
        world.object(KEY)
        world.record("rem", titled())

        assert sets(world.plan()) == {FIELD: world.uri(KEY)}
        assert converged(world).findings == ()

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("gs://other-bucket/anime_dance/characters/rem.png", "foreign_uri"),
            ("gs://my-bucket/other/characters/rem.png", "foreign_uri"),
            ("https://example.com/rem.png", "foreign_uri"),
            ("/etc/passwd", "outside_root"),
            ("D:\\private\\keys.txt", "outside_root"),
            ("C:\\oo\\bar\\output\\..\\secret.png", "outside_root"),
            ("output/../../secret.png", "outside_root"),
            ("C:\\oo\\bar\\output\\NUL", "outside_root"),
        ],
    )
    def test_another_bucket_a_url_or_a_path_outside_every_root_is_a_finding_and_left_alone(
        self, world: World, text: str, code: str
    ) -> None:
        world.file(KEY)
        world.record("rem", titled(anime_image=text))
        plan = world.plan()

        assert kinds(plan) == ["upload"]
        assert codes(plan) == [code]
        converged(world)
        assert world.entries("rem") == [titled(anime_image=text)]
        assert plan.summary.in_step == world.plan().summary.in_step == 0, "no field names the file"

    def test_a_dangling_reference_gets_the_file_that_claims_the_field(self, world: World) -> None:
        world.file(KEY)
        world.record("rem", titled(anime_image="gs://my-bucket/anime_dance/characters/old.png"))
        plan = world.plan()

        assert sets(plan) == {FIELD: world.uri(KEY)}
        assert plan.actions[-1].reason is Reason.DANGLING
        assert plan.findings == ()
        converged(world)

    def test_a_uri_with_blanks_around_it_is_put_right(self, world: World) -> None:
        for blank in (f"{world.uri(KEY)} ", f"\n{world.uri(KEY)}"):
            world.both(KEY)
            world.record("rem", titled(anime_image=blank))

            assert sets(world.plan()) == {FIELD: world.uri(KEY)}
            assert world.plan().summary.in_step == 0
            converged(world)

    def test_a_uri_in_another_unicode_form_is_put_right_and_is_not_in_step_before(self, world: World) -> None:
        key = "characters/José.png"
        world.both(key)
        world.record("José", titled(anime_image=world.uri(unicodedata.normalize("NFD", key))))
        plan = world.plan()

        assert sets(plan) == {("José", "primary", "anime_image"): world.uri(key)}
        assert plan.summary.in_step == 0
        assert converged(world).summary.in_step == 1

    def test_nothing_is_ever_set_to_an_object_that_is_in_conflict(self, world: World) -> None:
        world.file(KEY, b"here")
        world.object(KEY, b"there")
        world.record("rem", titled(anime_image=windows(KEY)))
        plan = world.plan()

        assert plan.actions == ()
        assert codes(plan) == ["content_conflict"]
        assert plan.summary.in_step == 0


class TestSeveralFilesForOneField:
    """The evidence, strongest first."""

    @staticmethod
    def _two(world: World) -> None:
        world.file("dances/dance_rem_old.mp4", at=1)
        world.file("dances/dance_rem_new.mp4", at=2)

    def _world(self, many: str, *, local_db: bool = False) -> World:
        world = World([IMAGE, rule("dance", DANCE, "dance_video", many=many)], local_db=local_db)
        self._two(world)
        return world

    @pytest.mark.parametrize("many", ["report", "newest"])
    def test_the_one_that_the_record_already_names(self, many: str) -> None:
        with self._world(many) as world:
            world.record("rem", titled(dance_video=windows("dances/dance_rem_old.mp4")))

            assert sets(world.plan()) == {("rem", "primary", "dance_video"): world.uri("dances/dance_rem_old.mp4")}
            assert converged(world).findings == ()

    @pytest.mark.parametrize("many", ["report", "newest"])
    def test_else_the_one_that_the_local_database_names_for_this_character_entry_and_field(self, many: str) -> None:
        with self._world(many, local_db=True) as world:
            world.record("rem", titled())
            world.local("rem", titled(dance_video=windows("dances/dance_rem_old.mp4")))

            assert sets(world.plan()) == {("rem", "primary", "dance_video"): world.uri("dances/dance_rem_old.mp4")}
            assert converged(world).findings == ()

    def test_what_the_local_database_names_for_another_field_is_no_evidence(self) -> None:
        with self._world("report", local_db=True) as world:
            world.record("rem", titled())
            world.local("rem", titled(notes=windows("dances/dance_rem_old.mp4")))

            assert codes(world.plan()) == ["ambiguous_field"]

    def test_else_the_newest_by_modification_time(self) -> None:
        with self._world("newest") as world:
            world.record("rem", titled())

            assert sets(world.plan()) == {("rem", "primary", "dance_video"): world.uri("dances/dance_rem_new.mp4")}
            assert converged(world).findings == ()

    def test_the_newest_of_one_time_is_the_last_by_name(self) -> None:
        with World([IMAGE, rule("dance", DANCE, "dance_video", many="newest")]) as world:
            for name in "bca":
                world.file(f"dances/dance_rem_{name}.mp4", at=5)
            world.record("rem", titled())

            assert sets(world.plan()) == {("rem", "primary", "dance_video"): world.uri("dances/dance_rem_c.mp4")}

    def test_else_a_sorted_array_of_all(self) -> None:
        with self._world("list") as world:
            world.record("rem", titled())
            both = [world.uri("dances/dance_rem_new.mp4"), world.uri("dances/dance_rem_old.mp4")]

            assert sets(world.plan()) == {("rem", "primary", "dance_video"): both}
            assert converged(world).findings == ()

    def test_an_array_takes_all_of_them_though_the_local_database_names_one(self) -> None:
        with self._world("list", local_db=True) as world:
            world.record("rem", titled())
            world.local("rem", titled(dance_video=windows("dances/dance_rem_old.mp4")))

            assert len(sets(world.plan())["rem", "primary", "dance_video"]) == 2
            converged(world)

    def test_an_array_grows_by_a_file_made_later(self) -> None:
        with self._world("list") as world:
            world.record("rem", titled())
            world.apply()
            world.file("dances/dance_rem_1.mp4")
            plan = world.plan()

            assert len(sets(plan)["rem", "primary", "dance_video"]) == 3
            assert keys(plan, Upload) == ["dances/dance_rem_1.mp4"]
            converged(world)

    @pytest.mark.parametrize("narrowed", ["path", "type"])
    @pytest.mark.parametrize(
        ("held", "left"),
        [
            (None, ["a"]),
            ([], ["a"]),
            (["path b", "path a"], ["path b", "a"]),
            (["b"], ["a", "b"]),
            (["path b"], ["path b", "a"]),
        ],
    )
    def test_a_run_of_one_path_or_type_puts_no_more_into_an_array_and_takes_nothing_out(
        self, narrowed: str, held: list[str] | None, left: list[str]
    ) -> None:
        rules = [
            rule("dance", "dances/*_{char_id}.mp4", "videos", many="list"),
            rule("remix", "remixes/*_{char_id}.mp4", "videos", many="list"),
        ]
        key, other = "dances/a_rem.mp4", "remixes/b_rem.mp4" if narrowed == "type" else "dances/b_rem.mp4"
        with World(rules) as world:
            texts = {"a": world.uri(key), "b": world.uri(other), "path a": windows(key), "path b": windows(other)}
            world.file(key)
            world.file(other)
            if held == ["b"]:
                world.object(other)
            world.record("rem", titled(**({} if held is None else {"videos": [texts[each] for each in held]})))
            scope = Scope((), ("dance",)) if narrowed == "type" else Scope((), (), (key,))
            report = world.apply(survey(world, scope).plan)

            assert report.status is Status.SUCCESS
            assert set(world.entries("rem")[0]["videos"]) == {texts[each] for each in left}
            assert keys(world.plan(), Upload) == ([] if held == ["b"] else [other])
            world.apply()
            assert set(world.entries("rem")[0]["videos"]) == {world.uri(key), world.uri(other)}
            assert world.plan().actions == ()

    def test_else_a_finding_and_all_of_them_are_uploaded_whatever_is_chosen(self) -> None:
        with self._world("report") as world:
            world.record("rem", titled())
            plan = world.plan()

            assert kinds(plan) == ["upload", "upload"]
            assert codes(plan) == ["ambiguous_field"]
            assert "dance_rem_new.mp4, dances/dance_rem_old.mp4" in one(plan, "ambiguous_field").message
            assert converged(world).summary.in_step == 0

    def test_a_field_that_holds_a_good_uri_is_never_changed_to_a_newer_file(self) -> None:
        with self._world("newest") as world:
            world.record("rem", titled())
            world.apply()
            world.file("dances/dance_rem_newer.mp4", at=9)

            assert kinds(world.plan()) == ["upload"]
            converged(world)

    def test_a_file_that_cannot_be_judged_yet_is_waited_for(self) -> None:
        with self._world("newest") as world:
            world.file("dances/dance_rem_next.mp4", at=9, problem=FileProblem.UNSETTLED)
            world.record("rem", titled())

            assert sets(world.plan()) == {}
            world.file("dances/dance_rem_next.mp4", at=9)
            assert sets(world.plan()) == {("rem", "primary", "dance_video"): world.uri("dances/dance_rem_next.mp4")}

    def test_an_empty_file_is_no_rival(self) -> None:
        with self._world("newest") as world:
            world.file("dances/dance_rem_next.mp4", b"", at=9)
            world.record("rem", titled())

            assert sets(world.plan()) == {("rem", "primary", "dance_video"): world.uri("dances/dance_rem_new.mp4")}

    def test_the_entry_is_the_one_that_the_local_database_says(self, both: World) -> None:
        key = "remixes/rem/variants/neon.mp4"
        both.file(key)
        both.record("rem", titled())
        both.local("rem", titled("stage", dance_video=windows(key)))

        assert sets(both.plan()) == {("rem", "stage", "dance_video"): both.uri(key)}
        converged(both)

    def test_a_folder_that_could_not_be_read_may_hold_another_so_no_choice_is_made(self) -> None:
        rules = [IMAGE, rule("music", "remixes/{char_id}*/**/*.mp3", "ai_music", many="newest")]
        with World(rules) as world:
            world.file("remixes/rem/a.mp3")
            world.file("remixes/rem_2/b.mp3", at=2)
            world.record("rem", titled())
            world.files.stops["remixes/rem_2/"] = FileProblem.UNREADABLE

            assert kinds(world.plan()) == ["upload"]
            assert not world.plan().complete
            assert converged(world).summary.in_step == 0
            world.files.stops.clear()
            assert sets(world.plan()) == {("rem", "primary", "ai_music"): world.uri("remixes/rem_2/b.mp3")}

    def test_an_object_that_only_the_bucket_has_and_no_field_took_is_an_orphan(self) -> None:
        with self._world("newest") as world:
            world.object("dances/dance_rem_cloud.mp4")
            world.record("rem", titled())

            assert codes(world.plan()) == ["orphan_object"]
            assert one(converged(world), "orphan_object").subject == world.uri("dances/dance_rem_cloud.mp4")

    def test_files_of_another_entry_do_not_compete(self, world: World) -> None:
        world.file("remixes/rem/variants/neon.mp4")
        world.file("remixes/rem/variants/gold.mp4")
        world.file("dances/dance_rem.mp4")
        world.record("rem", titled())
        plan = world.plan()

        assert {place[1] for place in sets(plan)} == {"primary", "neon", "gold"}
        converged(world)
        assert [entry["title"] for entry in world.entries("rem")] == ["primary", "gold", "neon"]


class TestWhoseFileIsIt:
    def test_the_longest_known_id_wins(self, world: World) -> None:
        world.record("rem")
        world.record("rem_2")
        world.file("dances/dance_rem_2_01.mp4")

        assert list(sets(world.plan())) == [("rem_2", "primary", "dance_video")]

    def test_an_id_ends_at_a_boundary(self, world: World) -> None:
        world.record("rem")
        world.file("dances/dance_remi.mp4")
        plan = world.plan()

        assert kinds(plan) == ["upload"]
        assert one(plan, "unknown_character").subject == "dances/dance_remi.mp4"
        assert one(plan, "unknown_character").char_id is None

    def test_a_rule_that_yields_a_known_id_beats_an_earlier_one_that_yields_an_unknown_id(self, world: World) -> None:
        world.record("mei_cosplay")
        world.file("characters/mei_cosplay.png")

        assert list(sets(world.plan())) == [("mei_cosplay", "primary", "anime_image")]

    def test_two_known_readings_are_ambiguous_and_no_record_is_touched(self, world: World) -> None:
        world.record("mei")
        world.record("mei_cosplay")
        world.file("characters/mei_cosplay.png")
        plan = world.plan()

        assert kinds(plan) == ["upload"]
        assert codes(plan) == ["ambiguous_character"]
        converged(world)

    def test_a_record_that_already_names_a_file_without_an_id_says_whose_it_is(self) -> None:
        rules = [IMAGE, rule("music", "remixes/**/generated_kpop_music.mp3", "ai_music")]
        with World(rules) as world:
            key = "remixes/one/generated_kpop_music.mp3"
            world.file(key)
            world.record("mei")
            world.record("rem", titled(source=windows(key)))
            plan = world.plan()

            assert sets(plan) == {
                ("rem", "primary", "source"): world.uri(key),
                ("rem", "primary", "ai_music"): world.uri(key),
            }
            assert codes(plan) == []
            converged(world)

    def test_the_local_database_naming_a_file_without_an_id_says_whose_it_is(self) -> None:
        with World([IMAGE, rule("music", "remixes/**/*.mp3", "ai_music")], local_db=True) as world:
            key = "remixes/one/generated_kpop_music.mp3"
            world.file(key)
            world.record("rem", titled())
            world.local("rem", titled(ai_music=windows(key)))

            assert sets(world.plan()) == {("rem", "primary", "ai_music"): world.uri(key)}
            converged(world)

    def test_a_file_name_alone_never_says_whose_it_is(self) -> None:
        with World([IMAGE, rule("music", "remixes/**/generated_kpop_music.mp3", "ai_music")]) as world:
            world.file("remixes/one/generated_kpop_music.mp3")
            world.file("remixes/two/generated_kpop_music.mp3")
            world.record("rem", titled(ai_music="generated_kpop_music.mp3"))
            plan = world.plan()

            assert kinds(plan) == ["upload", "upload"]
            assert codes(plan) == ["missing_asset", "unknown_character", "unknown_character"]
            assert converged(world).findings == plan.findings

    def test_a_file_without_an_id_that_two_records_name_is_in_the_field_of_each(self) -> None:
        with World([IMAGE, rule("music", "remixes/**/*.mp3", "ai_music")]) as world:
            key = "remixes/one/theme.mp3"
            world.file(key)
            for char_id in ("mei", "rem"):
                world.record(char_id, titled(ai_music=windows(key)))

            assert len(sets(world.plan())) == 2
            assert codes(world.plan()) == []
            assert converged(world).summary.in_step == 1

    def test_the_users_music_is_its_folders_characters(self, world: World) -> None:
        for char_id in ("rem", "rem_2"):
            world.record(char_id)
            world.file(f"remixes/{char_id}_neon/result/generated_kpop_music.mp3")

        assert {place[0]: new for place, new in sets(world.plan()).items()} == {
            "rem": world.uri("remixes/rem_neon/result/generated_kpop_music.mp3"),
            "rem_2": world.uri("remixes/rem_2_neon/result/generated_kpop_music.mp3"),
        }

    def test_a_file_of_a_character_that_another_record_names_as_well_is_not_taken_from_them(self, world: World) -> None:
        world.file("dances/dance_mei.mp4")
        world.record("mei")
        world.record("rem", titled(dance_video=windows("dances/dance_mei.mp4")))

        assert set(sets(world.plan())) == {("mei", "primary", "dance_video"), ("rem", "primary", "dance_video")}
