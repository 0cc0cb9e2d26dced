"""The way back: which files are missing, and what a run that brings them back does."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from reconcile import Project
from reconcile.adapters.workers import REFUSALS
from reconcile.commands.restore import survey
from reconcile.commands.restoring import execute
from reconcile.core.changes import Code
from reconcile.core.errors import ExitCode, SourceError, StoreUnavailable, UsageError
from reconcile.core.events import Advanced, Event, Phase, Warned
from reconcile.core.plan import Scope
from reconcile.core.report import OutcomeKind, Report, Status
from reconcile.core.restoration import RestorePlan
from reconcile.pipeline.executor import execute as apply
from reconcile.pipeline.planner import survey as plan_survey
from reconcile.project import OpenProject
from reconcile.run_options import RunOptions
from tests.kit.small_project import KPOP, make_project, open_objects, open_records, put, write
from tests.kit.windows import on_each_system  # noqa: F401
from tests.unit.test_restored_files import below

posix_only = pytest.mark.posix("Windows gives links to administrators only")
REM = "characters/rem.png"
AI = "characters/ai_hoshino.png"


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
