"""What the stages decide: what a path in a record means, what is missing, the local database, what was not read."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from reconcile.config.settings import Policy
from reconcile.core.catalogue import AssetState, Mark
from reconcile.core.changes import CreateRecord, Need, Reason, RewriteLocalDb, SetField
from reconcile.core.events import silent
from reconcile.core.plan import Scope
from reconcile.core.rows import Claim, Coverage, FileProblem, Outlook
from reconcile.core.rules import Many
from reconcile.core.stages import by_document
from reconcile.core.way import Titled
from reconcile.pipeline.roster import context_of, read_roster
from tests.kit.staging import FIELD, IMAGE, KEY, converged, one
from tests.kit.world import World, codes, keys, kinds, rule, sets, titled, windows


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


@pytest.fixture
def both() -> Iterator[World]:
    """With a local database."""
    with World(local_db=True) as made:
        yield made


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
        converged(world)

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
        converged(world)
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
        assert converged(world).findings == plan.findings

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
        converged(both)
        assert both.records.fields("rem") == change.fields

    def test_a_new_record_names_the_files_that_claim_its_fields_too(self, both: World) -> None:
        both.file("dances/dance_rem.mp4")
        both.local("rem", titled(anime_image="/etc/passwd"))
        both.file(KEY)
        converged(both)

        assert both.entries("rem") == [titled(anime_image=both.uri(KEY), dance_video=both.uri("dances/dance_rem.mp4"))]

    @pytest.mark.parametrize("assets", [None, [], "absent"])
    def test_a_new_record_gets_its_first_entry(self, both: World, assets: Any) -> None:
        both.file(KEY)
        both.local_db.put("rem", {"name": "Rem"} if assets == "absent" else {"name": "Rem", "assets": assets})
        converged(both)

        assert both.entries("rem") == [titled(anime_image=both.uri(KEY))]

    def test_a_file_that_must_wait_is_left_out_of_a_new_record_and_comes_later(self, both: World) -> None:
        both.file(KEY, problem=FileProblem.UNSETTLED)
        both.file("characters/rem_cosplay.png")
        both.local("rem", titled(anime_image=windows(KEY)))
        both.apply()
        assert both.entries("rem") == [titled(cosplay_image=both.uri("characters/rem_cosplay.png"))]
        both.file(KEY)
        converged(both)

        assert both.entries("rem")[0]["anime_image"] == both.uri(KEY)

    @pytest.mark.parametrize("char_id", ["a/b", "..", "__rem__"])
    def test_what_cannot_be_a_records_id_is_a_finding_and_stops_nothing_else(self, both: World, char_id: str) -> None:
        both.file(KEY)
        both.record("rem")
        both.local("someone")
        both.local_db.order = lambda found: [msgspec.structs.replace(each, id=char_id) for each in found]
        plan = both.plan()

        assert "this cannot be a record's id: " in one(plan, "missing_record").message
        assert "another id" in one(plan, "missing_record").hint
        assert kinds(plan) == ["upload", "set_field"]

    def test_a_local_database_document_that_is_malformed_makes_no_record(self, both: World) -> None:
        both.file(KEY)
        both.local("rem", titled(), titled())
        plan = both.plan()

        assert kinds(plan) == ["upload"]
        assert codes(plan) == ["malformed_record"]
        converged(both)

    def test_without_either_it_is_a_missing_record(self, world: World) -> None:
        world.file(KEY)
        plan = world.plan()

        assert kinds(plan) == ["upload"]
        assert one(plan, "missing_record").subject == "characters/rem"
        assert converged(world).summary.in_step == 0

    def test_with_create_records_off_it_is_a_missing_record_too(self) -> None:
        with World(local_db=True, policy=Policy(create_records=False)) as world:
            world.local("rem", titled(anime_image=windows(KEY)))
            world.file(KEY)

            assert kinds(world.plan()) == ["upload"]
            assert codes(world.plan()) == ["missing_record"]

    def test_a_missing_entry_is_appended_with_its_key(self, world: World) -> None:
        world.file("remixes/rem/variants/neon.mp4")
        world.record("rem", titled("gold", mood="calm"))
        converged(world)

        assert world.entries("rem") == [
            titled("gold", mood="calm"),
            titled("neon", dance_video=world.uri("remixes/rem/variants/neon.mp4")),
        ]

    @pytest.mark.parametrize("assets", ["absent", None])
    def test_a_record_without_entries_gets_its_first(self, world: World, assets: Any) -> None:
        world.file(KEY)
        world.records.put("rem", {"name": "Rem"} if assets == "absent" else {"name": "Rem", "assets": assets})
        converged(world)

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
        converged(world)
        expected = [each if at != sound else {**each, "cover": world.uri(KEY)} for at, each in enumerate(assets)]
        assert world.entries("rem") == expected

    @pytest.mark.parametrize("assets", ["text", {"primary": titled(anime_image="later")}, 7])
    def test_assets_that_are_no_list_are_malformed_and_left_alone(self, world: World, assets: Any) -> None:
        world.file(KEY)
        world.records.put("rem", {"assets": assets})

        assert codes(world.plan()) == ["malformed_record"]
        assert kinds(world.plan()) == ["upload"]
        converged(world)
        assert world.entries("rem") == assets

    def test_two_maps_alike_with_one_path_each_are_both_put_right(self, world: World) -> None:
        world.file(KEY)
        world.records.put("rem", {"assets": [titled(cover=windows(KEY)), titled(cover=windows(KEY))]})
        plan = world.plan()

        assert len({action.id for action in plan.actions}) == 3
        converged(world)
        assert world.entries("rem") == [titled(cover=world.uri(KEY))] * 2


class TestTheLocalDatabase:
    def test_it_is_not_written_unless_the_rules_say_so(self, both: World) -> None:
        both.file(KEY)
        both.record("rem")
        both.local("rem", titled(anime_image=windows(KEY)))
        before = both.local_db.all()
        converged(both)

        assert both.local_db.all() == before

    def test_rewrite_puts_uris_into_it_and_into_its_lists(self) -> None:
        with World(rewrite=True) as world:
            uri = world.file(KEY)
            world.record("rem", titled(anime_image=windows(KEY)))
            world.local("rem", titled(anime_image=windows(KEY), extra=["x", windows(KEY)], gone=windows("gone.png")))
            plan = world.plan()

            assert kinds(plan) == ["upload", "set_field", "rewrite_local_db", "rewrite_local_db"]
            assert keys(plan, RewriteLocalDb) == [KEY, KEY]
            converged(world)
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
        converged(world)

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
        context_of(world, read_roster(world, Scope(), silent)), records=Coverage(prefixes=())
    )
    claim = Claim("rem", "primary", "anime_image", KEY, "anime_image", Many.REPORT, Outlook.THERE, None, True, 1)

    assert list(by_document("rem", None, None, (), (claim,), context)) == [Mark(KEY, AssetState.HELD)]


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
