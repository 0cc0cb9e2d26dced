"""An object is more than its bytes: encoded and empty ones, planned, proved and restored."""

from __future__ import annotations

import gzip
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reconcile import Project
from reconcile.adapters.workers import REFUSALS
from reconcile.commands.restore import survey
from reconcile.commands.restoring import execute
from reconcile.commands.set_field import set_field
from reconcile.commands.verify import verify
from reconcile.config.settings import Policy, Settings
from reconcile.core.changes import Code, Replace, Severity
from reconcile.core.context import Replacing
from reconcile.core.errors import ExitCode, Rejected
from reconcile.core.plan import Scope
from reconcile.core.proof import Mode, Verification
from reconcile.core.report import OutcomeKind, Report
from reconcile.core.restoration import RestorePlan
from reconcile.pipeline.executor import execute as apply
from reconcile.pipeline.planner import survey as plan_survey
from reconcile.project import OpenProject
from reconcile.run_options import RunOptions
from tests.kit.small_project import make_project, open_objects, put, write
from tests.kit.world import World, codes, keys, kinds, sets, titled, windows

KEY = "characters/rem.png"
TEXT = b"00:00:01,000 --> 00:00:02,000\nhello\n\n" * 3000
PACKED = gzip.compress(TEXT)
DEEP = Mode(deep=True)
CLOUD = Mode(cloud_only=True)
CLOUD_DEEP = Mode(cloud_only=True, deep=True)
SAFE, LOCAL = Policy(replace=Replacing.SAFE), Policy(replace=Replacing.LOCAL)


@pytest.fixture
def world() -> Iterator[World]:
    with World(policy=SAFE) as made:
        yield made


def encoded(world: World, key: str = KEY, data: bytes = PACKED, encoding: str = "gzip") -> str:
    """An object as `gsutil cp -Z` makes it; gives its URI."""
    uri = world.object(key, data)
    world.objects.say(key, contentEncoding=encoding)
    return uri


def proof(world: World, mode: Mode | None = None) -> Verification:
    return verify(world, Scope(), mode=mode).verification


def problems(world: World, mode: Mode | None = None) -> list[str]:
    return [each.code.value for each in proof(world, mode).problems]


class TestPlanningAnEncodedObject:
    def test_alone_it_is_an_asset_and_a_finding_says_how_it_is_stored(self, world: World) -> None:
        world.record("rem", titled(anime_image=encoded(world)))
        plan = world.plan()
        [found] = plan.findings

        assert (plan.actions, plan.summary.in_step) == ((), 1)
        assert (found.code, found.severity, found.subject) == (Code.ENCODED_OBJECT, Severity.WARNING, world.uri(KEY))
        assert '"gzip"' in found.message

    def test_a_record_may_be_pointed_at_it(self, world: World) -> None:
        uri = encoded(world)
        world.record("rem", titled(anime_image=windows(KEY)))
        assert sets(world.plan()) == {("rem", "primary", "anime_image"): uri}

    @pytest.mark.parametrize("data", [TEXT, PACKED], ids=["its plain twin", "its stored bytes"])
    def test_beside_a_file_it_is_no_conflict_and_not_in_step(self, world: World, data: bytes) -> None:
        world.record("rem", titled(anime_image=encoded(world)))
        world.file(KEY, data)
        plan = world.plan()

        assert (plan.actions, plan.summary.in_step, codes(plan)) == ((), 0, ["encoded_object"])
        assert plan.findings[0].subject == world.uri(KEY)
        world.apply(plan)
        assert world.objects.all()[KEY].encoding == "gzip"

    def test_no_record_is_pointed_at_what_may_be_another_content(self, world: World) -> None:
        encoded(world)
        world.file(KEY, TEXT)
        world.record("rem", titled(anime_image=windows(KEY)))
        assert world.plan().actions == ()

    def test_told_so_the_file_is_stored_as_it_is_and_all_is_in_step(self, world: World) -> None:
        world.settings = settings_with(world, LOCAL)
        world.record("rem", titled(anime_image=encoded(world)))
        world.objects.say(KEY, cacheControl="no-store", metadata={"by": "Ken"})
        world.file(KEY, TEXT)
        assert keys(world.plan(), Replace) == [KEY]
        world.apply()

        found = world.objects.all()[KEY]
        assert (found.encoding, found.size) == ("", len(TEXT))
        assert world.objects.said(KEY) == {"cacheControl": "no-store", "metadata": {"by": "Ken"}}
        plan = world.plan()
        assert (plan.actions, plan.findings, plan.summary.in_step) == ((), (), 1)

    @pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip"])
    def test_what_cannot_be_unpacked_is_not_in_step(self, world: World, encoding: str) -> None:
        world.record("rem", titled(anime_image=encoded(world, encoding=encoding)))
        plan = world.plan()
        assert (codes(plan), plan.actions, plan.summary.in_step) == (["encoded_object"], (), 0)
        assert f'"{encoding}"' in plan.findings[0].message

    def test_what_nobody_wants_is_an_orphan_and_no_more(self, world: World) -> None:
        encoded(world, "logs/night.log")
        assert codes(world.plan()) == ["orphan_object"]

    def test_the_same_stored_bytes_with_an_encoding_are_not_what_an_upload_put_there(self, world: World) -> None:
        world.file(KEY, PACKED)
        plan = world.plan()
        encoded(world)
        report = world.apply(plan)
        assert [each.outcome for each in report.outcomes] == [OutcomeKind.STALE]


def settings_with(world: World, policy: Policy) -> Settings:
    return msgspec.structs.replace(world.settings, policy=policy)


class TestProvingAnEncodedObject:
    def test_alone_it_holds_by_its_own_checksum(self, world: World) -> None:
        world.record("rem", titled(anime_image=encoded(world)))
        for mode in (None, CLOUD, DEEP, CLOUD_DEEP):
            assert problems(world, mode) == []

    def test_beside_a_file_only_deep_tells_and_then_it_is_known(self, world: World) -> None:
        world.record("rem", titled(anime_image=encoded(world)))
        world.file(KEY, TEXT)
        assert problems(world) == ["encoded_object"]
        assert problems(world, DEEP) == []
        assert problems(world) == []
        plan = world.plan()
        assert (plan.actions, plan.summary.in_step, codes(plan)) == ((), 1, ["encoded_object"])

        world.file(KEY, b"rendered anew")
        assert problems(world) == ["content_conflict"]
        assert kinds(world.plan()) == ["replace"]

    @pytest.mark.parametrize("data", [b"another text", PACKED], ids=["another", "the stored bytes"])
    def test_deep_finds_another_content(self, world: World, data: bytes) -> None:
        world.record("rem", titled(anime_image=encoded(world)))
        world.file(KEY, data)
        assert problems(world, DEEP) == ["content_conflict"]
        assert codes(world.plan()) == ["encoded_object"]

    @pytest.mark.parametrize("data", [b"no gzip at all", PACKED[:-9], PACKED + b"x"])
    def test_what_is_not_sound_is_not_proved(self, world: World, data: bytes) -> None:
        world.record("rem", titled(anime_image=encoded(world, data=data)))
        found = proof(world, CLOUD_DEEP)
        assert ([each.code.value for each in found.problems], found.ok) == (["encoded_object"], 0)

    @pytest.mark.parametrize("mode", [None, CLOUD, DEEP, CLOUD_DEEP])
    def test_an_encoding_that_cannot_be_unpacked_is_not_proved(self, world: World, mode: Mode | None) -> None:
        world.record("rem", titled(anime_image=encoded(world, encoding="br")))
        assert problems(world, mode) == ["encoded_object"]

    def test_what_is_empty_once_it_is_unpacked_is_not_proved(self, world: World) -> None:
        world.record("rem", titled(anime_image=encoded(world, data=gzip.compress(b""))))
        assert problems(world, CLOUD_DEEP) == ["empty_object"]

    def test_an_encoded_object_that_was_replaced_since_is_not_what_was_remembered(self, world: World) -> None:
        world.record("rem", titled(anime_image=encoded(world)))
        world.file(KEY, TEXT)
        assert problems(world, DEEP) == []
        encoded(world, data=gzip.compress(b"another"))
        assert problems(world) == ["encoded_object"]
        assert problems(world, CLOUD_DEEP) == ["content_conflict"]


class TestAnEmptyObject:
    def test_that_a_record_names_is_not_in_step_and_not_proved(self, world: World) -> None:
        world.record("rem", titled(anime_image=world.object(KEY, b"")))
        plan = world.plan()
        [found] = plan.findings

        assert (found.code, found.severity, found.subject) == (Code.EMPTY_OBJECT, Severity.ERROR, world.uri(KEY))
        assert (plan.actions, plan.summary.in_step) == ((), 0)
        for mode in (None, CLOUD, DEEP, CLOUD_DEEP):
            assert (problems(world, mode), proof(world, mode).ok) == (["empty_object"], 0)

    def test_fills_no_field_and_takes_no_path_from_a_record(self, world: World) -> None:
        world.object(KEY, b"")
        world.record("rem", titled(anime_image=windows(KEY)))
        assert (world.plan().actions, codes(world.plan())) == ((), ["empty_object"])
        world.record("rem", titled())
        assert (world.plan().actions, codes(world.plan())) == ((), ["empty_object"])

    def test_gives_way_to_another_file_for_its_field(self, world: World) -> None:
        world.object("dances/dance_rem_1.mp4", b"")
        other = world.both("dances/dance_rem_2.mp4")
        world.record("rem", titled())
        assert list(sets(world.plan()).values()) == [other]

    def test_beside_a_good_file_is_a_conflict_until_told_to_replace_it(self, world: World) -> None:
        world.record("rem", titled(anime_image=world.object(KEY, b"")))
        world.file(KEY, b"drawn")
        [found] = world.plan().findings
        assert found.code is Code.CONTENT_CONFLICT
        assert "the object is empty" in found.message
        world.settings = settings_with(world, LOCAL)
        world.apply()
        assert (world.plan().findings, problems(world)) == ((), [])

    def test_beside_an_empty_file_is_no_asset_either(self, world: World) -> None:
        world.record("rem", titled(anime_image=world.object(KEY, b"")))
        world.file(KEY, b"")
        assert codes(world.plan()) == ["empty_object"]

    def test_is_named_by_no_hook(self, world: World) -> None:
        world.record("rem", titled())
        with pytest.raises(Rejected, match="holds nothing"):
            set_field(world, "rem", "primary", "anime_image", world.object(KEY, b""))

    @pytest.mark.parametrize("key", ["characters/", "dances/old/"])
    def test_that_stands_for_a_folder_is_no_finding(self, world: World, key: str) -> None:
        world.object(key, b"")
        assert world.plan().findings == ()

    def test_that_nobody_wants_is_an_orphan(self, world: World) -> None:
        world.object("exports/_SUCCESS", b"")
        assert codes(world.plan()) == ["orphan_object"]


# -- restoring --


@pytest.fixture
def studio(tmp_path: Path) -> Path:
    """A project in step, of which nothing is left here but the bucket and the records."""
    folder = make_project(tmp_path / "studio")
    rules = folder / "rules" / "asset_map.toml"
    rules.write_text(rules.read_text("utf-8").replace("settle = 2.0", "settle = 0"), "utf-8")
    with Project.open(folder).opened() as project:
        assert apply(project, plan_survey(project).plan).exit_code is ExitCode.OK
    shutil.rmtree(folder / "output")
    return folder


def store(folder: Path, key: str, data: bytes, **said: Any) -> None:
    objects = open_objects(folder)
    put(objects, key, data)
    if said:
        objects.say(key, **said)
    objects.close()


def look(folder: Path, *, everything: bool = False) -> RestorePlan:
    with Project.open(folder).opened(RunOptions(makes_root=True)) as project:
        return survey(project, everything=everything)


def bring_back(folder: Path, **options: Any) -> Report:
    with Project.open(folder).opened(RunOptions(makes_root=True, **options)) as project:
        return execute(project, survey(project))


def outcome(report: Report, key: str) -> tuple[OutcomeKind, str]:
    [found] = [each for each in report.outcomes if each.key == key]
    return found.outcome, found.error or ""


SONG = "characters/emilia.png"


def test_a_file_is_what_a_reader_of_the_url_gets_and_then_all_is_in_step(studio: Path) -> None:
    store(studio, SONG, PACKED, contentEncoding="gzip")
    [action] = [each for each in look(studio).actions if each.key == SONG]
    assert (action.size, action.encoding, action.begun) == (len(PACKED), "gzip", 0)
    assert outcome(bring_back(studio), SONG) == (OutcomeKind.APPLIED, "")

    assert (studio / "output" / SONG).read_bytes() == TEXT
    assert [path.name for path in (studio / "output/characters").iterdir() if path.name.startswith(".")] == []
    again = look(studio)
    assert (again.actions, again.findings, again.in_step) == ((), (), 4)
    with Project.open(studio).opened() as project:
        plan = plan_survey(project).plan
    assert plan.actions == ()
    assert Code.ENCODED_OBJECT in [each.code for each in plan.findings]
    assert Code.CONTENT_CONFLICT not in [each.code for each in plan.findings]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"no gzip at all", "is not sound gzip data"),
        (PACKED[:-9], "is gzip data without its end"),
        (gzip.compress(bytes(65 << 20), 1), "unpacks to more than 67,108,864 bytes"),
        (gzip.compress(b""), "holds nothing once it is unpacked"),
    ],
    ids=["not packed", "torn", "a bomb", "empty"],
)
def test_what_cannot_be_unpacked_fails_and_leaves_nothing(studio: Path, data: bytes, said: str) -> None:
    store(studio, SONG, data, contentEncoding="gzip")
    report = bring_back(studio)
    kind, error = outcome(report, SONG)

    assert kind is OutcomeKind.FAILED
    assert said in error
    assert report.counts.applied == 3
    assert not [path for path in (studio / "output/characters").iterdir() if "emilia" in path.name]


def test_objects_that_are_not_sound_do_not_end_the_run(studio: Path) -> None:
    for number in range(2 * REFUSALS):
        store(studio, f"characters/a{number:02}.png", b"no gzip", contentEncoding="gzip")
    counts = bring_back(studio, concurrency=1).counts
    assert (counts.failed, counts.applied, counts.not_started) == (2 * REFUSALS, 3, 0)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip"])
def test_an_encoding_that_cannot_be_unpacked_is_told_and_not_written_as_if_it_were_plain(
    studio: Path, encoding: str
) -> None:
    store(studio, SONG, PACKED, contentEncoding=encoding)
    plan = look(studio)
    assert SONG not in [each.key for each in plan.actions]
    [found] = plan.findings
    assert (found.code, found.subject.endswith(SONG)) == (Code.ENCODED_OBJECT, True)


def test_a_local_file_beside_an_encoded_object_is_left_alone_and_told(studio: Path) -> None:
    store(studio, SONG, PACKED, contentEncoding="gzip")
    write(studio, SONG, b"mine")
    plan = look(studio)
    assert SONG not in [each.key for each in plan.actions]
    assert [each.code for each in plan.findings] == [Code.ENCODED_OBJECT]
    bring_back(studio)
    assert (studio / "output" / SONG).read_bytes() == b"mine"


@pytest.mark.parametrize("everything", [False, True])
def test_an_empty_object_is_not_restored(studio: Path, everything: bool) -> None:
    store(studio, SONG, b"")
    store(studio, "characters/", b"")
    plan = look(studio, everything=everything)
    assert SONG not in [each.key for each in plan.actions]
    assert [each.code for each in plan.findings] == [Code.EMPTY_OBJECT]
    bring_back(studio)
    assert not (studio / "output" / SONG).exists()


class Bucket:
    """A project's bucket whose reads can be changed on the way."""

    def __init__(self, project: OpenProject, change: Callable[[int, bytes], bytes]) -> None:
        self._objects = project.objects
        self._change = change
        self.reads = 0
        project.objects = self  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    def read(self, key: str, **options: Any) -> Iterator[bytes]:
        self.reads += key == SONG
        for chunk in self._objects.read(key, **options):
            yield self._change(self.reads, chunk) if key == SONG else chunk


def test_stored_bytes_that_are_not_those_of_the_checksum_are_refused_before_anything_is_written(studio: Path) -> None:
    store(studio, SONG, PACKED, contentEncoding="gzip")
    with Project.open(studio).opened() as project:
        Bucket(project, lambda _read, _chunk: gzip.compress(b"sound gzip, but another"))
        report = execute(project, survey(project))
    kind, error = outcome(report, SONG)
    assert (kind, "not those of its checksum" in error) == (OutcomeKind.FAILED, True)
    assert not (studio / "output" / SONG).exists()


def test_an_interrupted_restore_of_an_encoded_object_goes_on_with_its_content(studio: Path) -> None:
    film = random.Random(7).randbytes(1 << 20)
    store(studio, SONG, gzip.compress(film), contentEncoding="gzip")
    stop = threading.Event()
    chunks: list[int] = []

    def interrupt(reads: int, chunk: bytes) -> bytes:
        chunks.append(reads)
        if chunks.count(2) == 3:
            stop.set()  # the content is being written
        return chunk

    with Project.open(studio).opened(RunOptions(concurrency=1)) as project:
        Bucket(project, interrupt)
        report = execute(project, survey(project), stop=stop)
    assert outcome(report, SONG)[0] is OutcomeKind.NOT_STARTED
    [part] = [path for path in (studio / "output/characters").iterdir() if path.name.startswith(".r")]
    assert film.startswith(part.read_bytes())
    assert 0 < part.stat().st_size < len(film)

    assert outcome(bring_back(studio), SONG) == (OutcomeKind.APPLIED, "")
    assert not part.exists()
    assert (studio / "output" / SONG).read_bytes() == film
