"""What the stages decide of one record: the table of fields, the evidence for a field, and whose file it is."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from reconcile.config import Policy
from reconcile.core.changes import CreateRecord, Finding, Need, Reason, RewriteLocalDb, SetField, Upload
from reconcile.core.events import silent
from reconcile.core.plan import Plan, Scope
from reconcile.core.rows import Claim, Coverage, FileProblem, Outlook, Unsettled
from reconcile.core.stages import by_document
from reconcile.core.way import Titled
from reconcile.pipeline.roster import context_of, read_roster
from tests.kit.world import World, codes, keys, kinds, rule, sets, titled, windows

KEY = "characters/rem.png"
FIELD = ("rem", "primary", "anime_image")
IMAGE = rule("image", "characters/{char_id}.png", "anime_image")
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


def _converged(world: World) -> Plan:
    """Applies, and gives the plan that follows: there is nothing to do in it, and nothing is written."""
    report = world.apply()
    assert report.counts.failed == report.counts.stale == report.counts.blocked == 0
    before, writes = world.snapshot(), world.writes()
    plan = world.plan()
    assert plan.actions == ()
    world.apply(plan)
    assert (world.snapshot(), world.writes()) == (before, writes)
    return plan


def _one(plan: Plan, code: str) -> Finding:
    [found] = [finding for finding in plan.findings if finding.code.value == code]
    return found


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
        assert _converged(world).findings == ()
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
        _converged(world)

    def test_nothing_and_an_object_that_only_the_bucket_has_claims_the_field_sets_it(self, world: World) -> None:
        world.object(KEY)
        world.record("rem", titled())

        assert sets(world.plan()) == {FIELD: world.uri(KEY)}
        assert _converged(world).findings == ()

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
        _converged(world)
        assert world.entries("rem") == [titled(anime_image=text)]
        assert plan.summary.in_step == world.plan().summary.in_step == 0, "no field names the file"

    def test_a_dangling_reference_gets_the_file_that_claims_the_field(self, world: World) -> None:
        world.file(KEY)
        world.record("rem", titled(anime_image="gs://my-bucket/anime_dance/characters/old.png"))
        plan = world.plan()

        assert sets(plan) == {FIELD: world.uri(KEY)}
        assert plan.actions[-1].reason is Reason.DANGLING
        assert plan.findings == ()
        _converged(world)

    def test_a_uri_with_blanks_around_it_is_put_right(self, world: World) -> None:
        for blank in (f"{world.uri(KEY)} ", f"\n{world.uri(KEY)}"):
            world.both(KEY)
            world.record("rem", titled(anime_image=blank))

            assert sets(world.plan()) == {FIELD: world.uri(KEY)}
            assert world.plan().summary.in_step == 0
            _converged(world)

    def test_a_uri_in_another_unicode_form_is_put_right_and_is_not_in_step_before(self, world: World) -> None:
        key = "characters/José.png"
        world.both(key)
        world.record("José", titled(anime_image=world.uri(unicodedata.normalize("NFD", key))))
        plan = world.plan()

        assert sets(plan) == {("José", "primary", "anime_image"): world.uri(key)}
        assert plan.summary.in_step == 0
        assert _converged(world).summary.in_step == 1

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
            assert _converged(world).findings == ()

    @pytest.mark.parametrize("many", ["report", "newest"])
    def test_else_the_one_that_the_local_database_names_for_this_character_entry_and_field(self, many: str) -> None:
        with self._world(many, local_db=True) as world:
            world.record("rem", titled())
            world.local("rem", titled(dance_video=windows("dances/dance_rem_old.mp4")))

            assert sets(world.plan()) == {("rem", "primary", "dance_video"): world.uri("dances/dance_rem_old.mp4")}
            assert _converged(world).findings == ()

    def test_what_the_local_database_names_for_another_field_is_no_evidence(self) -> None:
        with self._world("report", local_db=True) as world:
            world.record("rem", titled())
            world.local("rem", titled(notes=windows("dances/dance_rem_old.mp4")))

            assert codes(world.plan()) == ["ambiguous_field"]

    def test_else_the_newest_by_modification_time(self) -> None:
        with self._world("newest") as world:
            world.record("rem", titled())

            assert sets(world.plan()) == {("rem", "primary", "dance_video"): world.uri("dances/dance_rem_new.mp4")}
            assert _converged(world).findings == ()

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
            assert _converged(world).findings == ()

    def test_an_array_takes_all_of_them_though_the_local_database_names_one(self) -> None:
        with self._world("list", local_db=True) as world:
            world.record("rem", titled())
            world.local("rem", titled(dance_video=windows("dances/dance_rem_old.mp4")))

            assert len(sets(world.plan())["rem", "primary", "dance_video"]) == 2
            _converged(world)

    def test_an_array_grows_by_a_file_made_later(self) -> None:
        with self._world("list") as world:
            world.record("rem", titled())
            world.apply()
            world.file("dances/dance_rem_1.mp4")
            plan = world.plan()

            assert len(sets(plan)["rem", "primary", "dance_video"]) == 3
            assert keys(plan, Upload) == ["dances/dance_rem_1.mp4"]
            _converged(world)

    def test_else_a_finding_and_all_of_them_are_uploaded_whatever_is_chosen(self) -> None:
        with self._world("report") as world:
            world.record("rem", titled())
            plan = world.plan()

            assert kinds(plan) == ["upload", "upload"]
            assert codes(plan) == ["ambiguous_field"]
            assert "dance_rem_new.mp4, dances/dance_rem_old.mp4" in _one(plan, "ambiguous_field").message
            assert _converged(world).summary.in_step == 0

    def test_a_field_that_holds_a_good_uri_is_never_changed_to_a_newer_file(self) -> None:
        with self._world("newest") as world:
            world.record("rem", titled())
            world.apply()
            world.file("dances/dance_rem_newer.mp4", at=9)

            assert kinds(world.plan()) == ["upload"]
            _converged(world)

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
        _converged(both)

    def test_a_folder_that_could_not_be_read_may_hold_another_so_no_choice_is_made(self) -> None:
        rules = [IMAGE, rule("music", "remixes/{char_id}*/**/*.mp3", "ai_music", many="newest")]
        with World(rules) as world:
            world.file("remixes/rem/a.mp3")
            world.file("remixes/rem_2/b.mp3", at=2)
            world.record("rem", titled())
            world.files.stops["remixes/rem_2/"] = FileProblem.UNREADABLE

            assert kinds(world.plan()) == ["upload"]
            assert not world.plan().complete
            assert _converged(world).summary.in_step == 0
            world.files.stops.clear()
            assert sets(world.plan()) == {("rem", "primary", "ai_music"): world.uri("remixes/rem_2/b.mp3")}

    def test_an_object_that_only_the_bucket_has_and_no_field_took_is_an_orphan(self) -> None:
        with self._world("newest") as world:
            world.object("dances/dance_rem_cloud.mp4")
            world.record("rem", titled())

            assert codes(world.plan()) == ["orphan_object"]
            assert _one(_converged(world), "orphan_object").subject == world.uri("dances/dance_rem_cloud.mp4")

    def test_files_of_another_entry_do_not_compete(self, world: World) -> None:
        world.file("remixes/rem/variants/neon.mp4")
        world.file("remixes/rem/variants/gold.mp4")
        world.file("dances/dance_rem.mp4")
        world.record("rem", titled())
        plan = world.plan()

        assert {place[1] for place in sets(plan)} == {"primary", "neon", "gold"}
        _converged(world)
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
        assert _one(plan, "unknown_character").subject == "dances/dance_remi.mp4"
        assert _one(plan, "unknown_character").char_id is None

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
        _converged(world)

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
            _converged(world)

    def test_the_local_database_naming_a_file_without_an_id_says_whose_it_is(self) -> None:
        with World([IMAGE, rule("music", "remixes/**/*.mp3", "ai_music")], local_db=True) as world:
            key = "remixes/one/generated_kpop_music.mp3"
            world.file(key)
            world.record("rem", titled())
            world.local("rem", titled(ai_music=windows(key)))

            assert sets(world.plan()) == {("rem", "primary", "ai_music"): world.uri(key)}
            _converged(world)

    def test_a_file_name_alone_never_says_whose_it_is(self) -> None:
        with World([IMAGE, rule("music", "remixes/**/generated_kpop_music.mp3", "ai_music")]) as world:
            world.file("remixes/one/generated_kpop_music.mp3")
            world.file("remixes/two/generated_kpop_music.mp3")
            world.record("rem", titled(ai_music="generated_kpop_music.mp3"))
            plan = world.plan()

            assert kinds(plan) == ["upload", "upload"]
            assert codes(plan) == ["missing_asset", "unknown_character", "unknown_character"]
            assert _converged(world).findings == plan.findings

    def test_a_file_without_an_id_that_two_records_name_is_in_the_field_of_each(self) -> None:
        with World([IMAGE, rule("music", "remixes/**/*.mp3", "ai_music")]) as world:
            key = "remixes/one/theme.mp3"
            world.file(key)
            for char_id in ("mei", "rem"):
                world.record(char_id, titled(ai_music=windows(key)))

            assert len(sets(world.plan())) == 2
            assert codes(world.plan()) == []
            assert _converged(world).summary.in_step == 1

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


class TestWhatAPathInARecordMeans:
    def test_the_longest_tail_that_exists_and_that_a_rule_takes(self) -> None:
        with World([IMAGE, rule("any", "**/{char_id}.png", "cosplay_image")]) as world:
            world.file("old/characters/rem.png")
            world.file(KEY)
            world.record("rem", titled(anime_image="E:\\backup\\old\\characters\\rem.png"))

            assert sets(world.plan())[FIELD] == world.uri("old/characters/rem.png")

    def test_a_shorter_tail_where_the_longer_one_is_not_there(self, world: World) -> None:
        world.file(KEY)
        world.record("rem", titled(anime_image="E:\\backup\\old\\characters\\rem.png"))

        assert sets(world.plan()) == {FIELD: world.uri(KEY)}

    def test_a_tail_that_no_rule_takes_is_not_believed(self, world: World) -> None:
        world.file("stuff/rem.png")
        world.record("rem", titled(anime_image="E:\\backup\\stuff\\rem.png"))

        assert sets(world.plan()) == {}
        assert codes(world.plan()) == ["outside_root", "unclaimed_file"]

    def test_another_case_only_for_windows_paths_and_only_if_there_is_just_one(self, world: World) -> None:
        world.both("characters/Rem.png")
        world.record("Rem")
        for text, found in ((windows("characters/REM.png"), True), ("output/characters/REM.png", False)):
            world.record("x", titled(cosplay_image=text))

            assert (("x", "primary", "cosplay_image") in sets(world.plan())) is found
        world.object("characters/rEm.png", b"other")
        world.record("x", titled(cosplay_image=windows("characters/REM.png")))
        assert ("x", "primary", "cosplay_image") not in sets(world.plan())

    def test_the_exact_name_goes_before_another_case(self, world: World) -> None:
        for name in ("REM", "Rem", "rem"):
            world.object(f"characters/{name}.png", name.encode())
        world.record("x", titled(cosplay_image=windows("characters/Rem.png")))

        assert sets(world.plan())["x", "primary", "cosplay_image"] == world.uri("characters/Rem.png")

    @pytest.mark.parametrize("spell", [windows, lambda key: f"output/{key}"], ids=["windows", "posix"])
    def test_another_unicode_form_only_if_there_is_just_one(self, world: World, spell: Any) -> None:
        composed = "characters/José.png"
        decomposed = unicodedata.normalize("NFD", composed)
        world.both(decomposed)
        world.record("x", titled(cosplay_image=spell(composed)))

        assert sets(world.plan())["x", "primary", "cosplay_image"] == world.uri(decomposed)

    def test_two_other_unicode_forms_are_one_too_many(self, world: World) -> None:
        composed, decomposed = "characters/éñ.png", unicodedata.normalize("NFD", "characters/éñ.png")
        mixed = "characters/é" + unicodedata.normalize("NFD", "ñ.png")
        world.object(composed)
        world.record("x", titled(cosplay_image=f"output/{mixed}"))
        assert sets(world.plan())["x", "primary", "cosplay_image"] == world.uri(composed)
        world.object(decomposed)

        assert ("x", "primary", "cosplay_image") not in sets(world.plan())

    def test_a_damaged_path_is_read_back_only_where_the_key_exists(self, world: World) -> None:
        damaged = "C:\\oo\bar\\output\\characters\rem.png"
        world.record("rem", titled(anime_image=damaged))
        assert kinds(world.plan()) == []
        world.file(KEY)
        plan = world.plan()

        assert sets(plan) == {FIELD: world.uri(KEY)}
        assert plan.actions[-1].reason is Reason.DAMAGED_PATH
        _converged(world)

    def test_every_text_is_put_right_whether_or_not_a_rule_names_the_field(self, world: World) -> None:
        world.file(KEY)
        world.record(
            "rem", titled("other", thumbnail=windows(KEY)), titled(None, cover=windows(KEY)), name=windows(KEY)
        )
        plan = world.plan()

        assert (
            sets(plan).items()
            >= {
                ("rem", "other", "thumbnail"): world.uri(KEY),
                ("rem", None, "cover"): world.uri(KEY),
            }.items()
        )
        _converged(world)
        assert world.records.fields("rem")["name"] == world.uri(KEY)

    def test_what_is_no_path_is_left_alone_in_silence(self, world: World) -> None:
        world.record(
            "rem", titled(mood="happy", note="a / b", size=5, done=True, tags=["x", 1], more={"a": "and/or", "b": [{}]})
        )

        assert world.plan().actions == world.plan().findings == ()

    def test_paths_in_lists_are_put_right_in_their_places(self, world: World) -> None:
        uri = world.file(KEY)
        other = world.uri("dances/dance_rem.mp4")
        world.object("dances/dance_rem.mp4")
        extra = [windows(KEY), 5, other, "https://example.com/x.png", None, windows("gone.png")]
        world.record("rem", titled(extra=extra))
        plan = world.plan()

        assert sets(plan)["rem", "primary", "extra"] == [uri, *extra[1:]]
        assert _converged(world).findings == plan.findings

    def test_the_tool_never_opens_a_file_because_a_record_names_it(self, world: World) -> None:
        world.file("stuff/secret.txt")
        world.record("rem", titled(anime_image=windows("stuff/secret.txt")))
        plan = world.plan()
        world.apply(plan)

        assert plan.actions == ()
        assert world.files.opened == []
        assert codes(plan) == ["missing_asset", "unclaimed_file"]


class TestMissingDocumentsAndEntries:
    def test_a_character_in_the_local_database_without_a_document_gets_one(self, both: World) -> None:
        both.file(KEY)
        both.local(
            "rem",
            titled(
                anime_image=windows(KEY),
                cosplay_image=windows("characters/gone.png"),
                dance_video="/etc/passwd",
                link="https://example.com/rem",
                count=3,
            ),
            anime="Re:Zero",
        )
        plan = both.plan()
        [change] = [action for action in plan.actions if isinstance(action, CreateRecord)]

        assert change.document == "characters/rem"
        assert change.fields == {
            "name": "Rem",
            "anime": "Re:Zero",
            "assets": [titled(anime_image=both.uri(KEY), link="https://example.com/rem", count=3)],
        }
        assert [need.key for need in change.needs] == [KEY]
        assert codes(plan) == ["missing_asset", "outside_root"]
        _converged(both)
        assert both.records.fields("rem") == change.fields

    def test_a_new_record_names_the_files_that_claim_its_fields_too(self, both: World) -> None:
        both.file("dances/dance_rem.mp4")
        both.local("rem", titled(anime_image="/etc/passwd"))
        both.file(KEY)
        _converged(both)

        assert both.entries("rem") == [titled(anime_image=both.uri(KEY), dance_video=both.uri("dances/dance_rem.mp4"))]

    @pytest.mark.parametrize("assets", [None, [], "absent"])
    def test_a_new_record_gets_its_first_entry(self, both: World, assets: Any) -> None:
        both.file(KEY)
        both.local_db.put("rem", {"name": "Rem"} if assets == "absent" else {"name": "Rem", "assets": assets})
        _converged(both)

        assert both.entries("rem") == [titled(anime_image=both.uri(KEY))]

    def test_a_file_that_must_wait_is_left_out_of_a_new_record_and_comes_later(self, both: World) -> None:
        both.file(KEY, problem=FileProblem.UNSETTLED)
        both.file("characters/rem_cosplay.png")
        both.local("rem", titled(anime_image=windows(KEY)))
        both.apply()
        assert both.entries("rem") == [titled(cosplay_image=both.uri("characters/rem_cosplay.png"))]
        both.file(KEY)
        _converged(both)

        assert both.entries("rem")[0]["anime_image"] == both.uri(KEY)

    @pytest.mark.parametrize("char_id", ["a/b", "..", "__rem__"])
    def test_what_cannot_be_a_records_id_is_a_finding_and_stops_nothing_else(self, both: World, char_id: str) -> None:
        both.file(KEY)
        both.record("rem")
        both.local("someone")
        both.local_db.order = lambda found: [msgspec.structs.replace(each, id=char_id) for each in found]
        plan = both.plan()

        assert "this cannot be a record's id: " in _one(plan, "missing_record").message
        assert "another id" in _one(plan, "missing_record").hint
        assert kinds(plan) == ["upload", "set_field"]

    def test_a_local_database_document_that_is_malformed_makes_no_record(self, both: World) -> None:
        both.file(KEY)
        both.local("rem", titled(), titled())
        plan = both.plan()

        assert kinds(plan) == ["upload"]
        assert codes(plan) == ["malformed_record"]
        _converged(both)

    def test_without_either_it_is_a_missing_record(self, world: World) -> None:
        world.file(KEY)
        plan = world.plan()

        assert kinds(plan) == ["upload"]
        assert _one(plan, "missing_record").subject == "characters/rem"
        assert _converged(world).summary.in_step == 0

    def test_with_create_records_off_it_is_a_missing_record_too(self) -> None:
        with World(local_db=True, policy=Policy(create_records=False)) as world:
            world.local("rem", titled(anime_image=windows(KEY)))
            world.file(KEY)

            assert kinds(world.plan()) == ["upload"]
            assert codes(world.plan()) == ["missing_record"]

    def test_a_missing_entry_is_appended_with_its_key(self, world: World) -> None:
        world.file("remixes/rem/variants/neon.mp4")
        world.record("rem", titled("gold", mood="calm"))
        _converged(world)

        assert world.entries("rem") == [
            titled("gold", mood="calm"),
            titled("neon", dance_video=world.uri("remixes/rem/variants/neon.mp4")),
        ]

    @pytest.mark.parametrize("assets", ["absent", None])
    def test_a_record_without_entries_gets_its_first(self, world: World, assets: Any) -> None:
        world.file(KEY)
        world.records.put("rem", {"name": "Rem"} if assets == "absent" else {"name": "Rem", "assets": assets})
        _converged(world)

        assert world.entries("rem") == [titled(anime_image=world.uri(KEY))]

    @pytest.mark.parametrize(
        ("assets", "sound"),
        [
            ([titled(cover=windows(KEY)), titled(mood="x")], 0),
            ([titled("a", mood="x"), titled("a", cover=windows(KEY)), titled("b")], 1),
            (["odd", titled(cover=windows(KEY))], 1),
            ([titled(cover=windows(KEY)), None], 0),
        ],
        ids=["two of one title", "two of another title", "an entry that is no map", "an entry that is null"],
    )
    def test_paths_in_what_is_sound_are_put_right_in_place_and_nothing_is_added(
        self, world: World, assets: list[Any], sound: int
    ) -> None:
        world.file(KEY)
        world.records.put("rem", {"assets": assets})
        plan = world.plan()

        assert codes(plan) == ["malformed_record"]
        assert kinds(plan) == ["upload", "set_field"]
        _converged(world)
        expected = [each if at != sound else {**each, "cover": world.uri(KEY)} for at, each in enumerate(assets)]
        assert world.entries("rem") == expected

    @pytest.mark.parametrize("assets", ["text", {"primary": titled(anime_image="later")}, 7])
    def test_assets_that_are_no_list_are_malformed_and_left_alone(self, world: World, assets: Any) -> None:
        world.file(KEY)
        world.records.put("rem", {"assets": assets})

        assert codes(world.plan()) == ["malformed_record"]
        assert kinds(world.plan()) == ["upload"]
        _converged(world)
        assert world.entries("rem") == assets

    def test_two_maps_alike_with_one_path_each_are_both_put_right(self, world: World) -> None:
        world.file(KEY)
        world.records.put("rem", {"assets": [titled(cover=windows(KEY)), titled(cover=windows(KEY))]})
        plan = world.plan()

        assert len({action.id for action in plan.actions}) == 3
        _converged(world)
        assert world.entries("rem") == [titled(cover=world.uri(KEY))] * 2


class TestTheLocalDatabase:
    def test_it_is_not_written_unless_the_rules_say_so(self, both: World) -> None:
        both.file(KEY)
        both.record("rem")
        both.local("rem", titled(anime_image=windows(KEY)))
        before = both.local_db.all()
        _converged(both)

        assert both.local_db.all() == before

    def test_rewrite_puts_uris_into_it_and_into_its_lists(self) -> None:
        with World(rewrite=True) as world:
            uri = world.file(KEY)
            world.record("rem", titled(anime_image=windows(KEY)))
            world.local("rem", titled(anime_image=windows(KEY), extra=["x", windows(KEY)], gone=windows("gone.png")))
            plan = world.plan()

            assert kinds(plan) == ["upload", "set_field", "rewrite_local_db", "rewrite_local_db"]
            assert keys(plan, RewriteLocalDb) == [KEY, KEY]
            _converged(world)
            assert world.local_db.fields("rem")["assets"] == [
                titled(anime_image=uri, extra=["x", uri], gone=windows("gone.png"))
            ]


class TestWhatCouldNotBeRead:
    @pytest.mark.parametrize("problem", [FileProblem.UNREADABLE, FileProblem.SYMLINK])
    def test_what_depends_on_an_unread_folder_is_neither_planned_nor_in_step(
        self, world: World, problem: FileProblem
    ) -> None:
        key = "remixes/rem/REMIX_one.mp4"
        world.object(key)
        world.record("rem", titled(deliverable=windows(key)))
        world.record("mei", titled(deliverable=world.uri(key)))
        world.files.stops["remixes/rem/"] = problem
        plan = world.plan()

        assert plan.actions == ()
        assert codes(plan) == [problem.value]
        assert plan.findings[0].subject == "remixes/rem/"
        assert plan.summary.in_step == 0
        assert plan.complete is (problem is FileProblem.SYMLINK)

    def test_a_reference_below_an_unread_folder_is_never_called_missing(self, world: World) -> None:
        world.files.stops["remixes/rem/"] = FileProblem.UNREADABLE
        world.record("rem", titled(deliverable=windows("remixes/rem/REMIX_one.mp4")))

        assert codes(world.plan()) == ["unreadable_file"]

    @pytest.mark.parametrize("problem", [FileProblem.UNREADABLE, FileProblem.UNSETTLED])
    def test_a_file_that_cannot_be_taken_now_is_a_finding_and_its_field_waits(
        self, world: World, problem: FileProblem
    ) -> None:
        world.file(KEY, problem=problem)
        world.object(KEY)
        world.record("rem", titled(anime_image=windows(KEY)))

        assert world.plan().actions == ()
        assert codes(world.plan()) == [problem.value]

    def test_an_empty_file_is_never_uploaded_and_claims_nothing(self, world: World) -> None:
        world.file(KEY, b"")
        world.record("rem")

        assert world.plan().actions == ()
        assert codes(world.plan()) == ["empty_file"]

    def test_a_link_is_as_if_it_were_not_there(self, world: World) -> None:
        world.file(KEY, problem=FileProblem.SYMLINK)
        world.object(KEY)
        world.record("rem", titled(anime_image=windows(KEY)))

        assert sets(world.plan()) == {FIELD: world.uri(KEY)}
        assert codes(world.plan()) == ["symlink_skipped"]

    def test_names_that_windows_would_take_for_one_are_a_collision_and_neither_is_uploaded(self, world: World) -> None:
        world.file("characters/rem.png")
        world.file("characters/REM.png")
        world.record("rem")

        assert world.plan().actions == ()
        assert codes(world.plan())[:2] == ["name_collision", "name_collision"]

    def test_an_object_without_a_checksum_is_neither_equal_nor_different(self, world: World) -> None:
        world.both(KEY)
        world.objects.unhashed.add(KEY)
        world.record("rem", titled(anime_image=windows(KEY)))

        assert world.plan().actions == ()
        assert codes(world.plan()) == ["unverifiable"]
        assert world.plan().summary.in_step == 0

    def test_an_object_without_a_checksum_that_only_the_bucket_has_need_only_be_there(self, world: World) -> None:
        world.object(KEY)
        world.objects.unhashed.add(KEY)
        world.record("rem", titled(anime_image=windows(KEY)))
        [change] = world.plan().actions

        assert isinstance(change, SetField)
        assert change.needs == (Need(KEY, None),)
        _converged(world)

    def test_a_path_beside_a_value_that_a_plan_cannot_hold_is_put_right_by_itself(self, world: World) -> None:
        world.file(KEY)
        world.record("rem")
        odd = [object(), windows(KEY)]
        world.records.order = lambda found: [
            type(each)(each.id, {"assets": [titled(extra=odd)]}, "1") for each in found
        ]

        assert sets(world.plan()) == {FIELD: world.uri(KEY), ("rem", "primary", "extra"): world.uri(KEY)}
        assert [each.way for each in world.plan().actions if isinstance(each, SetField) and each.way] == [
            ("assets", Titled("primary"), "extra", 1)
        ]


def test_a_record_that_was_not_read_is_never_called_missing(world: World) -> None:
    world.record("mei")
    context = msgspec.structs.replace(
        context_of(world, Scope(), read_roster(world, Scope(), silent)), records=Coverage(prefixes=())
    )
    claim = Claim("rem", "primary", "anime_image", KEY, 1, Outlook.THERE, None, True, 1)

    assert list(by_document("rem", None, None, (), (claim,), context)) == [Unsettled(KEY)]


def test_an_orphan_is_what_nobody_wants_and_a_folders_placeholder_is_none(world: World) -> None:
    world.object("stray/old.bin")
    world.object("characters/", b"")
    plan = world.plan()

    assert plan.actions == ()
    assert [(finding.code.value, finding.subject) for finding in plan.findings] == [
        ("orphan_object", world.uri("stray/old.bin"))
    ]


def test_the_id_of_a_change_is_the_same_whether_or_not_its_entry_is_there_yet(world: World) -> None:
    world.file("remixes/rem/variants/neon.mp4")
    world.record("rem")
    first = world.plan().actions[-1]
    world.record("rem", titled("gold"), titled("neon"))

    assert world.plan().actions[-1].id == first.id
