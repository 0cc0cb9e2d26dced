"""The way back: which files are missing, and how they are made: whole, verified, over nothing, through no link."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from reconcile import Project
from reconcile.adapters.local.writing import LocalPlaces
from reconcile.adapters.workers import REFUSALS
from reconcile.commands.restore import survey
from reconcile.commands.restoring import execute
from reconcile.core.changes import Code
from reconcile.core.errors import ExitCode, NotThere, Rejected, SourceChanged, SourceError, StoreUnavailable, UsageError
from reconcile.core.events import Advanced, Event, Phase, Warned
from reconcile.core.plan import Scope
from reconcile.core.report import OutcomeKind, Report, Status
from reconcile.core.restoration import RestorePlan
from reconcile.pipeline.executor import execute as apply
from reconcile.pipeline.planner import survey as plan_survey
from reconcile.project import OpenProject
from reconcile.run_options import RunOptions
from tests.kit.fakes import digest
from tests.kit.small_project import KPOP, make_project, open_objects, open_records, put, write
from tests.kit.windows import on_each_system  # noqa: F401

posix_only = pytest.mark.posix("Windows gives links to administrators only")
REM = "characters/rem.png"
AI = "characters/ai_hoshino.png"
GENERATION = 7


# -- the places of files --


def test_what_is_open_for_reading_only_cannot_be_flushed_in_these_tests(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    with (tmp_path / "a").open("rb") as file, pytest.raises(OSError, match="Bad file descriptor"):
        os.fsync(file.fileno())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "a" / "output"


def body(data: bytes, asked: list[int] | None = None, *, chunk: int = 3) -> Callable[[int], Iterator[bytes]]:
    """What a store gives of these bytes from an offset on."""

    def read(offset: int) -> Iterator[bytes]:
        if asked is not None:
            asked.append(offset)
        rest = data[offset:]
        return iter([rest[at : at + chunk] for at in range(0, len(rest), chunk)])

    return read


def place(
    root: Path, path: str, data: bytes, source: Callable[[int], Iterator[bytes]] | None = None, **more: Any
) -> bool:
    options = {"size": len(data), "crc32c": digest(data), "generation": GENERATION} | more
    return LocalPlaces(root).place(path, source or body(data), **options)


def broken(data: bytes, error: Exception) -> Callable[[int], Iterator[bytes]]:
    def read(offset: int) -> Iterator[bytes]:
        yield data[offset:]
        raise error

    return read


def below(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_file_is_made_with_its_folders_and_the_root(root: Path) -> None:
    moved: list[int] = []
    assert place(
        root, "remixes/x y/[kpop]_é.mp4", b"0123456789", modified_ns=1_700_000_000_123_456_000, progress=moved.append
    )

    assert below(root) == {"remixes/x y/[kpop]_é.mp4": b"0123456789"}
    found = (root / "remixes/x y/[kpop]_é.mp4").stat()
    assert found.st_nlink == 1
    assert found.st_mtime_ns // 1_000_000 == 1_700_000_000_123
    assert sum(moved) == 10


def test_an_empty_object_is_an_empty_file(root: Path) -> None:
    assert place(root, "empty.png", b"")
    assert below(root) == {"empty.png": b""}


def test_it_goes_on_where_it_broke(root: Path) -> None:
    data = bytes(range(200))
    with pytest.raises(StoreUnavailable):
        place(root, "x.mp4", data, broken(data[:70], StoreUnavailable("gone")))
    assert not (root / "x.mp4").exists()
    assert LocalPlaces(root).begun("x.mp4", GENERATION) == 70
    asked: list[int] = []
    moved: list[int] = []
    assert place(root, "x.mp4", data, body(data, asked), progress=moved.append)

    assert asked == [70]
    assert sum(moved) == 200
    assert below(root) == {"x.mp4": data}


def test_what_came_of_another_generation_is_not_used_and_goes(root: Path) -> None:
    old, new = b"old" * 50, b"new" * 50
    with pytest.raises(StoreUnavailable):
        place(root, "x.mp4", old, broken(old[:70], StoreUnavailable("gone")))
    with pytest.raises(StoreUnavailable):
        place(root, "y.mp4", old, broken(old[:70], StoreUnavailable("gone")))
    asked: list[int] = []
    assert LocalPlaces(root).begun("x.mp4", 8) == 0
    assert place(root, "x.mp4", new, body(new, asked), generation=8)

    assert asked == [0]
    assert (root / "x.mp4").read_bytes() == new
    assert LocalPlaces(root).begun("x.mp4", GENERATION) == 0
    assert LocalPlaces(root).begun("y.mp4", GENERATION) == 70


@pytest.mark.parametrize("kept", [b"wrong bytes", b"0123456789 and more", b"9876543210"])
def test_a_part_that_somebody_spoilt_starts_over(root: Path, kept: bytes) -> None:
    data = b"0123456789"
    with pytest.raises(StoreUnavailable):
        place(root, "x.mp4", data, broken(b"0", StoreUnavailable("gone")))
    (part,) = root.iterdir()
    part.write_bytes(kept)
    moved: list[int] = []
    assert place(root, "x.mp4", data, progress=moved.append)

    assert below(root) == {"x.mp4": data}
    assert sum(moved) == 10


@pytest.mark.parametrize("come", [b"0123456780", b"012345678", b"0123456789+", b""])
def test_bytes_that_are_not_the_ones_meant_never_take_the_place(root: Path, come: bytes) -> None:
    with pytest.raises(Rejected, match="checksum"):
        place(root, "x.mp4", b"0123456789", body(come))
    assert below(root) == {}


def test_nothing_is_overwritten(root: Path) -> None:
    root.mkdir(parents=True)
    (root / "x.mp4").write_bytes(b"mine")
    with pytest.raises(SourceChanged, match=r"x\.mp4"):
        place(root, "x.mp4", b"theirs")
    assert below(root) == {"x.mp4": b"mine"}
    assert place(root, "x.mp4", b"mine") is False
    assert below(root) == {"x.mp4": b"mine"}


def test_a_folder_in_its_place_stays(root: Path) -> None:
    (root / "x.mp4").mkdir(parents=True)
    with pytest.raises(SourceChanged):
        place(root, "x.mp4", b"theirs")
    assert [path.name for path in root.iterdir()] == ["x.mp4"]


def test_a_file_where_a_folder_is_needed_stays(root: Path) -> None:
    root.mkdir(parents=True)
    (root / "characters").write_bytes(b"mine")
    with pytest.raises(SourceError, match=r"characters/rem\.png"):
        place(root, "characters/rem.png", b"theirs")
    assert below(root) == {"characters": b"mine"}


@posix_only
def test_no_link_is_followed(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root.mkdir(parents=True)
    (root / "characters").symlink_to(outside)
    with pytest.raises(SourceError):
        place(root, "characters/rem.png", b"x")
    (root / "x.mp4").symlink_to(outside / "stolen")
    with pytest.raises(SourceChanged):
        place(root, "x.mp4", b"x")
    assert list(outside.iterdir()) == []
    assert (root / "x.mp4").is_symlink()


@posix_only
def test_a_link_in_the_place_of_the_part_is_not_followed(root: Path, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_bytes(b"precious")
    with pytest.raises(StoreUnavailable):
        place(root, "x.mp4", b"0123", broken(b"0", StoreUnavailable("gone")))
    (part,) = root.iterdir()
    part.unlink()
    part.symlink_to(target)
    with pytest.raises(SourceError):
        place(root, "x.mp4", b"0123")
    assert target.read_bytes() == b"precious"
    assert LocalPlaces(root).begun("x.mp4", GENERATION) == 0


@posix_only
def test_the_root_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "drive").mkdir()
    root.parent.mkdir()
    root.symlink_to(tmp_path / "drive")
    assert place(root, "a/x.mp4", b"0123")
    assert below(tmp_path / "drive") == {"a/x.mp4": b"0123"}


@pytest.mark.skipif(not hasattr(os, "link"), reason="no hard links here")
def test_a_part_that_is_also_somebodys_file_is_not_written_to(root: Path) -> None:
    """Killed between the two steps of a move, a run leaves one file with two names."""
    data = b"0123456789"
    with pytest.raises(StoreUnavailable):
        place(root, "x.mp4", data, broken(data[:4], StoreUnavailable("gone")))
    (part,) = root.iterdir()
    os.link(part, root / "kept.mp4")
    assert place(root, "x.mp4", data)
    assert below(root) == {"kept.mp4": data[:4], "x.mp4": data}


def test_a_generation_that_is_gone_leaves_nothing(root: Path) -> None:
    with pytest.raises(NotThere):
        place(root, "x.mp4", b"0123456789", broken(b"01234", NotThere("replaced")))
    assert below(root) == {}


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a//b", "a/./b", "a/../b", "", "a/", "a\0b", "a/" + "x" * 256])
def test_a_name_that_leads_elsewhere_is_refused(root: Path, path: str) -> None:
    places = LocalPlaces(root)
    assert places.refusal(path) is not None
    with pytest.raises(SourceError):
        place(root, path, b"x")
    assert not root.exists()


def test_a_long_name_has_a_part_too(root: Path) -> None:
    name = "é" * 125 + ".mp4"
    with pytest.raises(StoreUnavailable):
        place(root, name, b"0123", broken(b"01", StoreUnavailable("gone")))
    assert LocalPlaces(root).begun(name, 2**62) == 0
    assert place(root, name, b"0123")
    assert below(root) == {name: b"0123"}


@pytest.mark.parametrize(("path", "ignored"), [("a.tmp", True), ("a.tmp/b", True), ("a/tmp", False)])
def test_what_the_walk_ignores_is_known(root: Path, path: str, ignored: bool) -> None:
    assert LocalPlaces(root, ignore=("*.tmp",)).ignores(path) is ignored


def test_many_files_of_one_folder_at_once(root: Path) -> None:
    places = LocalPlaces(root)
    failed: list[BaseException] = []

    def make(number: int) -> None:
        data = str(number).encode() * 1000
        try:
            for name in (f"a/b/{number}", "a/shared"):
                same = data if name != "a/shared" else b"shared"
                places.place(name, body(same), size=len(same), crc32c=digest(same), generation=1)
        except BaseException as error:  # noqa: BLE001 - told in the main thread
            failed.append(error)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert below(root) == {f"a/b/{n}": str(n).encode() * 1000 for n in range(16)} | {"a/shared": b"shared"}


# -- which files --


@pytest.fixture
def studio(tmp_path: Path) -> Path:
    """A project in step: everything is in the bucket, and in the folder."""
    folder = make_project(tmp_path / "studio")
    shutil.rmtree(folder / "output" / "notes")
    rules = folder / "rules" / "asset_map.toml"
    rules.write_text(rules.read_text("utf-8").replace("settle = 2.0", "settle = 0"), "utf-8")  # all is written just now
    with Project.open(folder).opened() as project:
        assert apply(project, plan_survey(project).plan).exit_code is ExitCode.OK
        plan_survey(project)
    return folder


def look(folder: Path, *char_ids: str, types: tuple[str, ...] = (), everything: bool = False) -> RestorePlan:
    with Project.open(folder).opened(RunOptions(makes_root=True)) as project:
        return survey(project, Scope(char_ids, types), everything=everything)


def bring_back(folder: Path, **options: Any) -> Report:
    with Project.open(folder).opened(RunOptions(makes_root=True)) as project:
        return execute(project, survey(project), **options)


def paths(plan: RestorePlan) -> list[str]:
    return [action.path for action in plan.actions]


def codes(plan: RestorePlan) -> list[Code]:
    return [finding.code for finding in plan.findings]


def hidden(*keys: str) -> list[tuple[str, str | None]]:
    """The subjects of what is said of these objects, and whose they are."""
    return [(f"gs://my-bucket/anime_dance/{key}", Path(key).stem) for key in keys]


def test_a_lost_folder_comes_back_and_then_there_is_nothing_to_do(studio: Path) -> None:
    before = below(studio / "output")
    shutil.rmtree(studio / "output")
    plan = look(studio)
    assert paths(plan) == sorted(before)
    assert plan.bytes == sum(map(len, before.values()))
    assert not (studio / "output").exists()
    report = bring_back(studio)

    assert (report.status, report.counts.applied, report.bytes) == (Status.SUCCESS, 3, plan.bytes)
    assert below(studio / "output") == before
    again = look(studio)
    assert (again.actions, again.findings, again.in_step) == ((), (), 3)
    with Project.open(studio).opened() as project:
        made = plan_survey(project).plan
    assert (made.actions, made.findings, made.summary.in_step) == ((), (), 3)


def test_what_was_restored_is_agreed_upon(studio: Path) -> None:
    shutil.rmtree(studio / "output")
    (studio / ".reconcile" / "state.db").unlink()
    bring_back(studio)
    with Project.open(studio).opened() as project:
        assert {state.key for state in project.agreed.all()} == {REM, AI, KPOP}


def test_a_file_has_the_time_of_its_object(studio: Path) -> None:
    """So it is neither taken for one that is being written, nor for the newest of several."""
    shutil.rmtree(studio / "output")
    then = open_objects(studio).get(REM)
    bring_back(studio)

    assert then is not None
    restored = (studio / "output" / REM).stat().st_mtime
    assert restored == pytest.approx(datetime.fromisoformat(then.updated).timestamp(), abs=0.002)


def test_a_file_with_other_bytes_is_left_alone_and_named(studio: Path) -> None:
    shutil.rmtree(studio / "output")
    write(studio, REM, b"drawn anew")
    plan = look(studio)
    assert [(each.code, each.subject, each.char_id) for each in plan.findings] == [(Code.CONTENT_CONFLICT, REM, "rem")]
    bring_back(studio)

    assert (studio / "output" / REM).read_bytes() == b"drawn anew"
    assert (studio / "output" / AI).exists()


def test_an_empty_file_is_left_alone_too(studio: Path) -> None:
    write(studio, REM, b"")

    assert (paths(look(studio)), codes(look(studio))) == ([], [Code.CONTENT_CONFLICT])


@posix_only
def test_nothing_is_restored_behind_a_link(studio: Path, tmp_path: Path) -> None:
    shutil.move(studio / "output" / "characters", tmp_path / "elsewhere")
    (studio / "output" / "characters").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "rem.png").unlink()
    plan = look(studio)

    assert (paths(plan), plan.complete) == ([], False)
    assert codes(plan) == [Code.UNREADABLE_FILE, Code.UNREADABLE_FILE, Code.SYMLINK_SKIPPED]
    assert [(each.subject, each.char_id) for each in plan.findings[:2]] == hidden(AI, REM)
    assert all("characters/" in each.message and "link" in each.hint for each in plan.findings[:2])
    assert bring_back(studio).exit_code is ExitCode.FAILED
    assert not (tmp_path / "elsewhere" / "rem.png").exists()


@posix_only
def test_a_link_that_hides_nothing_of_ours_does_no_harm(studio: Path, tmp_path: Path) -> None:
    (studio / "output" / "inbox").symlink_to(tmp_path)
    (studio / "output" / REM).unlink()
    plan = look(studio)

    assert (paths(plan), codes(plan), plan.complete) == ([REM], [Code.SYMLINK_SKIPPED], True)
    assert bring_back(studio).exit_code is ExitCode.OK


@posix_only
def test_what_a_record_names_behind_a_link_is_named_in_a_scope_too(studio: Path, tmp_path: Path) -> None:
    objects = open_objects(studio)
    put(objects, "extra/rem.bin", b"extra")
    objects.close()
    records = open_records(studio)
    uri = "gs://my-bucket/anime_dance/extra/rem.bin"
    records.put("ram", {"assets": [{"title": "primary", "extra": uri}]})
    records.close()
    (studio / "output" / "extra").symlink_to(tmp_path)
    for ids in ((), ("ram",)):
        plan = look(studio, *ids)
        assert [(each.code, each.subject) for each in plan.findings] == [
            (Code.UNREADABLE_FILE, uri),
            (Code.SYMLINK_SKIPPED, "extra/"),
        ]
        assert not plan.complete
    assert look(studio, "rem").complete


@pytest.mark.posix("root may read everything")
@pytest.mark.skipif(os.name == "nt" or getattr(os, "geteuid", int)() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_told(studio: Path) -> None:
    locked = studio / "output" / "characters"
    locked.chmod(0)
    try:
        plan = look(studio)
    finally:
        locked.chmod(0o755)

    assert (paths(plan), plan.complete) == ([], False)
    assert codes(plan) == [Code.UNREADABLE_FILE] * 3
    assert {("characters/", None), *hidden(AI, REM)} == {(each.subject, each.char_id) for each in plan.findings}


def test_rules_and_records_say_what_is_ours(studio: Path) -> None:
    objects = open_objects(studio)
    for key in ("notes/plan.txt", "extra/rem.bin", "characters/new.png", "characters/render.tmp", "odd//name.png"):
        put(objects, key, key.encode())
    objects.close()
    records = open_records(studio)
    uri = "gs://my-bucket/anime_dance/extra/rem.bin"
    records.put("ram", {"assets": [{"title": "primary", "extra": uri}]})
    records.close()

    assert paths(look(studio)) == ["characters/new.png", "extra/rem.bin"]
    assert [action.char_id for action in look(studio).actions] == [None, "ram"]
    everything = look(studio, everything=True)
    assert paths(everything) == ["characters/new.png", "extra/rem.bin", "notes/plan.txt"]
    assert codes(everything) == [Code.UNDECODABLE_NAME]


def test_a_scope_restores_what_is_its_own(studio: Path) -> None:
    shutil.rmtree(studio / "output")

    assert paths(look(studio, "rem")) == [REM]
    assert paths(look(studio, "ai_hoshino")) == [AI, KPOP]
    assert paths(look(studio, types=("kpop_version",))) == [KPOP]
    assert paths(look(studio, "ai_hoshino", types=("anime_image",))) == [AI]
    with pytest.raises(UsageError, match="nobody"):
        look(studio, "nobody")


# -- making them --


def test_a_failed_file_does_not_stop_the_others(studio: Path) -> None:
    shutil.rmtree(studio / "output")
    with Project.open(studio).opened() as project:
        plan = survey(project)
        (studio / "output").mkdir()
        (studio / "output" / "remixes").write_bytes(b"a file")
        report = execute(project, plan)

    assert report.exit_code is ExitCode.FAILED
    assert {each.key: each.outcome for each in report.outcomes} == {
        AI: OutcomeKind.APPLIED,
        REM: OutcomeKind.APPLIED,
        KPOP: OutcomeKind.FAILED,
    }


def test_what_moved_since_the_look_is_stale(studio: Path) -> None:
    shutil.rmtree(studio / "output")
    with Project.open(studio).opened() as project:
        plan = survey(project)
        write(studio, REM, b"drawn meanwhile")
        write(studio, AI, b"a" * 48_211)
        report = execute(project, plan)

    assert {each.key: each.outcome for each in report.outcomes} == {
        AI: OutcomeKind.ALREADY,
        REM: OutcomeKind.STALE,
        KPOP: OutcomeKind.APPLIED,
    }
    assert report.exit_code is ExitCode.STALE
    assert (studio / "output" / REM).read_bytes() == b"drawn meanwhile"


class Bucket:
    """A project's bucket of which each read is told, and can be made to fail."""

    def __init__(self, project: OpenProject, read: Callable[[str, int], None]) -> None:
        self._objects = project.objects
        self._read = read
        project.objects = self  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    def read(
        self, key: str, *, generation: int | None = None, offset: int = 0, encoded: bool = False
    ) -> Iterator[bytes]:
        for chunk in self._objects.read(key, generation=generation, offset=offset, encoded=encoded):
            half = len(chunk) // 2
            yield chunk[:half]
            self._read(key, offset)
            yield chunk[half:]


def test_a_stop_ends_at_once_and_the_next_run_goes_on(studio: Path) -> None:
    before = below(studio / "output")
    shutil.rmtree(studio / "output")
    stop = threading.Event()
    with Project.open(studio).opened(RunOptions(concurrency=1)) as project:
        Bucket(project, lambda _key, _offset: stop.set())
        report = execute(project, survey(project), stop=stop)
    assert (report.status, report.exit_code) == (Status.INTERRUPTED, ExitCode.INTERRUPTED)
    assert report.counts.not_started == 3
    plan = look(studio)
    assert [action.begun for action in plan.actions] == [48_211 // 2, 0, 0]
    offsets: list[int] = []
    heard: list[Event] = []
    with Project.open(studio).opened(RunOptions(concurrency=1)) as project:
        Bucket(project, lambda _key, offset: offsets.append(offset))
        report = execute(project, survey(project), listener=heard.append)

    assert offsets == [48_211 // 2, 0, 0]
    assert report.bytes == sum(map(len, before.values())) - 48_211 // 2
    moved = sum(event.size for event in heard if isinstance(event, Advanced) and event.phase is Phase.RESTORING)
    assert moved == sum(map(len, before.values()))
    assert below(studio / "output") == before


def test_a_store_that_gives_nothing_is_not_asked_for_everything(studio: Path) -> None:
    objects = open_objects(studio)
    for number in range(40):
        put(objects, f"characters/c{number}.png", b"x" * 10)
    objects.close()
    asked: list[str] = []

    def refuse(key: str, _offset: int) -> None:
        asked.append(key)
        raise StoreUnavailable("down")

    with Project.open(studio).opened(RunOptions(concurrency=2)) as project:
        Bucket(project, refuse)
        report = execute(project, survey(project))

    assert REFUSALS <= len(asked) < 40
    assert report.counts.not_started == 40 - len(asked)
    left = [each.problem for each in report.outcomes if each.outcome is OutcomeKind.NOT_STARTED]
    assert all(problem is not None and "8 times in a row" in problem.message for problem in left)
    assert report.exit_code is ExitCode.FAILED


# -- a root that is gone --


def plan_of(folder: Path) -> tuple[Any, list[str]]:
    heard: list[Event] = []
    with Project.open(folder).opened() as project:
        made = plan_survey(project, listener=heard.append).plan
    return made, [event.message for event in heard if isinstance(event, Warned)]


def test_a_root_that_held_files_and_is_gone_is_an_empty_one_and_said_so(studio: Path) -> None:
    shutil.rmtree(studio / "output")
    for _ in range(2):
        made, warnings = plan_of(studio)
        assert (made.actions, made.complete, made.summary.in_step) == ((), True, 3)
        assert len(warnings) == 1
        assert "has disappeared" in warnings[0]
        assert "reconcile restore" in warnings[0]


def test_a_root_that_never_held_files_is_a_slip(studio: Path) -> None:
    rules = studio / "rules" / "asset_map.toml"
    rules.write_text(rules.read_text("utf-8").replace('root = "output"', 'root = "outptu"'), "utf-8")
    with pytest.raises(SourceError, match="is not there"):
        plan_of(studio)


def test_a_root_of_a_project_that_never_ran_is_a_slip(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "studio")
    shutil.rmtree(folder / "output")
    with pytest.raises(SourceError, match="is not there") as caught:
        plan_of(folder)
    assert "reconcile restore" in caught.value.hint


def test_another_root_for_one_run_is_not_forgotten_for_the_usual_one(studio: Path) -> None:
    from reconcile.config.environment import Overrides

    (studio / "other").mkdir()
    (studio / "other" / "x.txt").write_bytes(b"x")
    with Project.open(studio, overrides=Overrides(local_root="other")).opened() as project:
        plan_survey(project)
    shutil.rmtree(studio / "output")

    assert plan_of(studio)[0].actions == ()


def test_a_root_that_goes_away_while_it_is_read_is_an_error(studio: Path) -> None:
    with Project.open(studio).opened() as project:
        assert list(project.files.names())
        shutil.rmtree(studio / "output")
        with pytest.raises(SourceError):
            list(project.files.walk())


def test_a_full_disk_is_told_by_its_reason(root: Path) -> None:
    def full(_offset: int) -> Iterator[bytes]:
        yield b"01"
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(SourceError, match="No space left"):
        place(root, "x.mp4", b"0123", full)


def half(_start: int) -> Iterator[bytes]:
    """The body of an object whose download breaks."""
    yield b"half"
    raise StoreUnavailable("gone")


@pytest.mark.parametrize("name", ["m.png", "mika.png", "mika_dance_01.png", 120 * "m" + ".png", 60 * "\u00e9" + ".png"])
def test_the_name_of_a_part_is_never_longer_than_the_files(root: Path, name: str) -> None:
    places = LocalPlaces(root)
    with pytest.raises(StoreUnavailable):
        places.place(f"d/{name}", half, size=8, crc32c=digest(b"halfhalf"), generation=7)
    (part,) = (root / "d").iterdir()
    assert len(os.fsencode(part.name)) <= len(os.fsencode(name))
    assert places.begun(f"d/{name}", 7) == 4
    assert places.place(f"d/{name}", lambda _: iter([b"half"]), size=8, crc32c=digest(b"halfhalf"), generation=7)
    assert [each.name for each in (root / "d").iterdir()] == [name]


def test_parts_of_older_generations_and_of_older_versions_are_removed(root: Path) -> None:
    (root / "d").mkdir(parents=True)
    named = hashlib.sha256(b"d/mika_dance.mp4").hexdigest()[:12]
    former = root / "d" / f".mika_dance.mp4.{named}.5.restore.part"
    others = root / "d" / ".other.mp4.0123456789ab.5.restore.part"
    for left in (former, others):
        left.write_bytes(b"left")
    with pytest.raises(StoreUnavailable):
        LocalPlaces(root).place("d/mika_dance.mp4", half, size=8, crc32c=digest(b"halfhalf"), generation=6)
    assert len(list((root / "d").iterdir())) == 3
    LocalPlaces(root).place("d/mika_dance.mp4", lambda _: iter([b"w"]), size=1, crc32c=digest(b"w"), generation=7)
    assert sorted(each.name for each in (root / "d").iterdir()) == [others.name, "mika_dance.mp4"]
