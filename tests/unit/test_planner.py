"""Observations → Plan: counts, completeness, scope, what is remembered, and how little is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pytest

from reconcile.adapters.sorting import Spill
from reconcile.config.naming import scope_named
from reconcile.config.settings import Policy
from reconcile.core.catalogue import AssetState, Mark
from reconcile.core.changes import Replace, Upload
from reconcile.core.context import Replacing
from reconcile.core.errors import UsageError
from reconcile.core.plan import FORMAT, Scope
from reconcile.core.rows import Agreed, FileProblem, Group, KeyTally, LocalFile, RemoteObject, Row, Stream
from reconcile.core.status import Sync
from reconcile.pipeline.engine import IsWhole, StreamEngine
from reconcile.pipeline.planner import survey
from reconcile.pipeline.reducers import KeyCounts
from reconcile.run_options import MEMORY
from tests.kit.fakes import digest
from tests.kit.world import World, codes, keys, kinds, rule, sets, titled, windows

KEY = "characters/rem.png"


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


def test_the_summary_counts_actions_keys_in_step_bytes_and_findings(world: World) -> None:
    world.record("rem", titled(anime_image=world.both(KEY), cosplay_image=windows("characters/rem_cosplay.png")))
    world.file("characters/rem_cosplay.png", b"12345")
    world.file("notes.txt")
    summary = world.plan().summary

    assert (summary.upload, summary.set_field, summary.replace, summary.create_record) == (1, 1, 0, 0)
    assert (summary.in_step, summary.bytes) == (1, 5)
    assert (summary.findings.error, summary.findings.warning, summary.findings.info) == (0, 0, 1)


def test_the_order_of_actions_is_the_order_of_execution(world: World) -> None:
    for char_id in ("mei", "rem"):
        world.file(f"characters/{char_id}.png")
        world.file(f"dances/dance_{char_id}.mp4")
        world.record(char_id)
    plan = world.plan()

    assert kinds(plan) == ["upload"] * 4 + ["set_field"] * 4
    assert keys(plan, Upload) == sorted(keys(plan, Upload))


def test_a_plan_says_what_it_was_made_of(world: World) -> None:
    world.record("rem")
    plan = world.plan("rem", types=("anime_image",))

    assert plan.format == FORMAT
    assert plan.scope == Scope(("rem",), ("anime_image",))
    assert plan.stores == world.stores
    assert plan.rules_digest == world.settings.rules_digest
    assert plan.complete


def test_a_character_that_nobody_knows_is_a_usage_error(world: World) -> None:
    world.record("rem")

    with pytest.raises(UsageError, match="nobody") as caught:
        world.plan("nobody")
    assert caught.value.hint


def test_a_scope_is_made_of_types_that_there_are(world: World) -> None:
    scope = scope_named(world.settings, ["rem", "rem"], ["Anime Image", "anime_image"])
    assert scope == Scope(("rem",), ("anime_image",))
    with pytest.raises(UsageError, match="photo") as caught:
        scope_named(world.settings, asset_types=["photo"])
    assert caught.value.hint


def test_a_character_known_by_a_file_alone_can_be_a_scope(world: World) -> None:
    world.file(KEY)

    assert kinds(world.plan("rem")) == ["upload"]


def test_a_scope_of_a_type_gives_a_field_the_file_that_the_whole_plan_would() -> None:
    rules = [
        rule("image", "characters/{char_id}.png", "anime_image"),
        rule("dance", "dances/dance_{char_id}*.mp4", "video", many="newest"),
        rule("clip", "clips/{char_id}*.mp4", "video", many="newest"),
    ]
    with World(rules) as world:
        world.record("rem")
        world.file("dances/dance_rem.mp4", at=1)
        world.file("clips/rem.mp4", at=2)

        assert sets(world.plan(types=("dance",))) == {}
        assert keys(world.plan(types=("dance",)), Upload) == ["dances/dance_rem.mp4"]
        assert sets(world.plan(types=("clip",))) == sets(world.plan())


def test_a_scope_counts_the_objects_of_the_character_alone(world: World) -> None:
    for char_id in ("rem", "rem_2", "rem_3"):
        world.record(char_id, titled(dance_video=world.both(f"dances/dance_{char_id}.mp4")))

    assert world.plan("rem").objects_in_scope == 1
    assert world.plan().objects_in_scope == 3


def test_an_unreadable_folder_makes_a_plan_incomplete_and_a_link_does_not(world: World) -> None:
    world.files.stops["dances/"] = FileProblem.SYMLINK
    assert world.plan().complete
    world.files.stops["remixes/x/"] = FileProblem.UNREADABLE

    assert not world.plan().complete
    assert codes(world.plan()) == ["symlink_skipped", "unreadable_file"]


def test_the_state_in_which_both_sides_agree_is_remembered(world: World) -> None:
    world.both(KEY)
    world.plan()
    [state] = world.memory.states.values()

    assert state == Agreed(KEY, len(KEY), digest(KEY.encode()), world.objects.all()[KEY].generation)


@pytest.mark.parametrize("what", ["other bytes", "no checksum"])
def test_what_does_not_agree_is_not_remembered(world: World, what: str) -> None:
    world.both(KEY)
    world.objects.unhashed.update([KEY] if what == "no checksum" else [])
    world.file(KEY, b"other") if what == "other bytes" else None
    world.plan()

    assert world.memory.states == {}


class TestReplacing:
    def _edited(self, replacing: Replacing) -> World:
        world = World(policy=Policy(replacing))
        world.both(KEY)
        world.record("rem", titled(anime_image=world.uri(KEY)))
        world.plan()
        return world

    def test_safe_replaces_where_only_the_local_file_changed_under_the_generation_seen(self) -> None:
        with self._edited(Replacing.SAFE) as world:
            world.file(KEY, b"new")
            [change] = world.plan().actions

            assert isinstance(change, Replace)
            assert change.if_generation_match == world.objects.all()[KEY].generation
            world.apply()
            assert world.objects.all()[KEY].crc32c == digest(b"new")
            assert world.plan().actions == world.plan().findings == ()

    @pytest.mark.parametrize("local", [None, b"both"], ids=["only the bucket", "both sides"])
    def test_safe_refuses_where_the_bucket_changed(self, local: bytes | None) -> None:
        with self._edited(Replacing.SAFE) as world:
            world.file(KEY, local)
            world.object(KEY, b"theirs")

            assert world.plan().actions == ()
            assert codes(world.plan()) == ["content_conflict"]

    def test_safe_refuses_where_nothing_is_remembered(self) -> None:
        with self._edited(Replacing.SAFE) as world:
            world.file(KEY, b"new")
            world.memory.states.clear()

            assert codes(world.plan()) == ["content_conflict"]

    def test_safe_goes_on_from_what_an_upload_left(self) -> None:
        with World() as world:
            world.file(KEY)
            world.record("rem")
            world.apply()
            world.file(KEY, b"edited before the next plan")

            assert kinds(world.plan()) == ["replace"]

    def test_local_wins_and_never_never_does(self) -> None:
        for replacing, expected in ((Replacing.LOCAL, ["replace"]), (Replacing.NEVER, [])):
            with self._edited(replacing) as world:
                world.file(KEY, b"new")
                world.object(KEY, b"theirs")

                assert kinds(world.plan()) == expected


class TestTheStatusOfKeys:
    def test_in_step_only_where_object_and_record_are_right(self, world: World) -> None:
        world.record("rem", titled(anime_image=world.both(KEY)))
        world.record("mei", titled(anime_image=windows("characters/mei.png")))
        world.both("characters/mei.png")
        tallies = survey(world).tallies

        assert tallies["anime_image", "rem"].sync() is Sync.COMPLETE
        assert tallies["anime_image", "mei"].sync() is Sync.PARTIAL
        assert (tallies["anime_image", "mei"].to_do, tallies["anime_image", "mei"].records) == (1, 0)

    def test_equal_counts_are_not_in_step(self, world: World) -> None:
        world.record("rem", titled(dance_video=world.file("dances/dance_rem_1.mp4")))
        world.object("dances/dance_rem_2.mp4")
        tally = survey(world).tallies["dance_video", "rem"]

        assert (tally.local, tally.bucket) == (1, 1)
        assert tally.sync() is Sync.PARTIAL

    def test_a_file_that_no_record_can_name_is_not_in_step(self, world: World) -> None:
        world.both("dances/dance_nobody.mp4")

        assert world.plan().summary.in_step == 0


class _Bulk:
    """A source of very many files and objects, made as they are asked for."""

    COUNT = 30_000

    def __init__(self, world: World) -> None:
        self._files = world.files
        self._objects = world.objects

    def walk(self, prefixes: tuple[str, ...] = ("",)) -> Iterator[LocalFile]:
        return (LocalFile(self._key(n), 1, 1, "AAAAAA==") for n in range(self.COUNT))

    def names(self, prefixes: tuple[str, ...] = ("",)) -> Iterator[str]:
        return iter(())

    def list(self, prefix: str = "", splits: tuple[str, ...] = ()) -> Iterator[RemoteObject]:
        return (RemoteObject(self._key(n), 1, 1, "AAAAAA==", "image/png") for n in range(self.COUNT))

    @staticmethod
    def _key(number: int) -> str:
        return f"stickers/{number:06d}.png"


class _Measured(StreamEngine):
    """The engine, and the most rows that it ever held back for a key."""

    def __init__(self) -> None:
        super().__init__(Spill(MEMORY, Path))
        self.most = 0

    def group(
        self, rows: Iterable[Row], is_whole: IsWhole | None = None, last: Iterable[Row] = ()
    ) -> Iterator[tuple[str, Group]]:
        inside = 0

        def counted() -> Iterator[Row]:
            nonlocal inside
            for row in rows:
                inside += 1
                self.most = max(self.most, inside)
                yield row

        for key, group in super().group(counted(), is_whole, last):
            inside -= sum(map(len, group.values()))
            yield key, group


class _MeasuredKeys(_Measured):
    """The same of the rows of keys, and not of those of documents."""

    def group(
        self, rows: Iterable[Row], is_whole: IsWhole | None = None, last: Iterable[Row] = ()
    ) -> Iterator[tuple[str, Group]]:
        return StreamEngine.group(self, rows, is_whole, last) if is_whole is None else super().group(rows, is_whole)


def test_keys_in_step_stream_through_and_are_only_counted() -> None:
    with World([rule("sticker", "stickers/{name}.png")]) as world:
        bulk = _Bulk(world)
        world.files = world.objects = bulk  # type: ignore[assignment]
        world.memory.states = _AllAgreed(bulk)  # type: ignore[assignment]
        engine = _Measured()
        found = survey(world, engine=engine)

    assert found.plan.actions == found.plan.findings == ()
    assert found.plan.summary.in_step == found.plan.objects_in_scope == bulk.COUNT
    assert engine.most == 1


def test_a_uri_waits_for_no_other_key_than_its_own() -> None:
    with World([rule("sticker", "stickers/{name}.png")]) as world:
        bulk = _Bulk(world)
        world.files = world.objects = bulk  # type: ignore[assignment]
        world.memory.states = _AllAgreed(bulk)  # type: ignore[assignment]
        world.record("rem", titled(stickers=[world.uri(file.path) for file in list(bulk.walk())[::10]]))
        engine = _MeasuredKeys()
        found = survey(world, engine=engine)

    assert found.plan.actions == found.plan.findings == ()
    assert found.plan.summary.in_step == bulk.COUNT
    assert engine.most == 2


def test_a_key_that_nothing_can_change_any_more_is_counted_and_not_held() -> None:
    tally = KeyTally(KEY, "anime_image", "rem", True, True, True, right=True, wanted=True, pending=False)
    counts = KeyCounts()
    counts.take(Row(Stream.TALLY, KEY, tally))
    assert counts.held == 0
    counts.take(Row(Stream.TALLY, "other", msgspec.structs.replace(tally, key="other", pending=True)))
    assert counts.held == 1
    counts.take(Row(Stream.MARK, "other", Mark("other", AssetState.HELD)))

    assert [tally.in_step for tally in counts.totals().values()] == [1]


class _AllAgreed(dict[str, Agreed]):
    """Remembers every key of the bulk as agreed, without holding it."""

    def __init__(self, bulk: _Bulk) -> None:
        self._bulk = bulk

    def __iter__(self) -> Iterator[str]:
        return (file.path for file in self._bulk.walk())

    def __getitem__(self, key: str) -> Agreed:
        return Agreed(key, 1, "AAAAAA==", 1)


def test_a_plan_is_a_value_that_goes_through_json(world: World) -> None:
    world.file(KEY)
    world.record("rem", titled(anime_image=windows(KEY)))
    plan = world.plan()

    assert msgspec.json.decode(msgspec.json.encode(plan), type=type(plan)) == plan
