"""When a plan has its files walked by a second process, and what happens meanwhile: it is the plan of one process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from reconcile import Project
from reconcile.adapters.local.apart import is_possible
from reconcile.adapters.local.settle import FirstLooks
from reconcile.adapters.local.store import LocalFiles
from reconcile.core.changes import Code
from reconcile.core.errors import ConfigError, StoreUnavailable
from reconcile.core.events import Event, Phase, PhaseStarted
from reconcile.core.plan import Plan, Scope
from reconcile.pipeline.planner import survey
from reconcile.run_options import APART_FROM, RunOptions
from tests.kit.alive import is_running
from tests.kit.guarded import GuardedRecords
from tests.kit.small_project import KPOP, make_project, open_objects, open_records, put, write
from tests.kit.tree import an_hour_on

ALL = Scope()
EVERYTHING = RunOptions(apart=True)


@pytest.mark.skipif(os.name == "nt" or not is_possible(), reason="a shell script stands for Python, on a second core")
@pytest.mark.parametrize(
    ("options", "held", "scope", "starts"),
    [
        (EVERYTHING, APART_FROM, ALL, True),
        (EVERYTHING, APART_FROM - 1, ALL, False),
        (EVERYTHING, APART_FROM, Scope(char_ids=("rem",)), False),
        (EVERYTHING, APART_FROM, Scope(asset_types=("anime_image",)), False),
        (EVERYTHING, APART_FROM, Scope(paths=("characters/rem.png",)), False),
        (RunOptions(apart=True, cache=False), APART_FROM, ALL, False),
        (RunOptions(), APART_FROM, ALL, False),
    ],
)
def test_it_is_for_a_look_at_everything_that_has_many_files(
    options: RunOptions, held: int, scope: Scope, starts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, told = tmp_path / "log", tmp_path / "python-told"
    told.write_text(f'#!/bin/sh\necho started >> "{log}"\nexec "{sys.executable}" "$@"\n')
    told.chmod(0o755)
    folder = make_project(tmp_path / "project")
    with Project.open(folder).opened() as project:
        expected = survey(project, scope).plan
        project.note_files(held)
    monkeypatch.setattr(sys, "executable", str(told))
    with Project.open(folder).opened(options) as project:
        assert survey(project, scope).plan.fingerprint == expected.fingerprint
    assert log.exists() == starts


SHELL = '#!/bin/sh\n"{python}" "$@"\necho over >> "{log}"\n'


def planned_while(folder: Path, monkeypatch: pytest.MonkeyPatch, workflow: Callable[[Path], None]) -> tuple[Plan, Plan]:
    """A plan during which a workflow acts once the second process has seen everything and before the records are read;
    and the plan of a run after it, by one process that skips nothing."""
    log, other = folder.with_name("log"), folder.with_name("python-told")
    other.write_text(SHELL.format(python=sys.executable, log=log))
    other.chmod(0o755)
    with Project.open(folder).opened() as project:
        settings = project.settings
        rules, cache = settings.asset_map.templates, project.state
        files = LocalFiles(
            settings.root, ignore=settings.ignore, rules=rules, looks=FirstLooks(0), cache=cache, clock=an_hour_on
        )
        assert len(list(files.walk())) > 1
        survey(project)
        project.note_files(APART_FROM)
    monkeypatch.setattr(sys, "executable", str(other))

    def listener(event: Event) -> None:
        if event != PhaseStarted(Phase.RECORDS):
            return
        patience = time.monotonic() + 30
        while not log.exists() and time.monotonic() < patience:
            time.sleep(0.01)
        workflow(folder)

    with Project.open(folder).opened(RunOptions(apart=True)) as project:
        seen = survey(project, listener=listener).plan
    assert log.exists()
    monkeypatch.undo()
    with Project.open(folder).opened(RunOptions(cache=False)) as project:
        expected = survey(project).plan
    return seen, msgspec.structs.replace(expected, created=seen.created, estimate=seen.estimate)


def record(folder: Path, char_id: str, **fields: object) -> None:
    """Writes a record with one entry."""
    records = open_records(folder)
    records.put(char_id, {"assets": [{"title": "primary", **fields}]})
    records.close()


@pytest.mark.skipif(os.name == "nt" or not is_possible(), reason="a shell script stands for Python, on a second core")
@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("characters/miyuki.png", "anime_image"),
        ("characters/みゆき.png", "anime_image"),
        ("new/folder/[kpop]_x.mp4", "other"),
        ("characters/rem/below/a/file.png", "anime_image"),
    ],
)
@pytest.mark.parametrize("named_by", ["uri", "local path"])
def test_a_file_that_is_written_while_records_are_read_is_seen_if_a_record_names_it(
    path: str, field: str, named_by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"gs://my-bucket/anime_dance/{path}" if named_by == "uri" else f"C:\\oo\\bar\\output\\{path}"

    def a_workflow(folder: Path) -> None:
        write(folder, path, b"n" * 77)
        record(folder, "miyuki", **{field: place})

    seen, expected = planned_while(make_project(tmp_path / "project"), monkeypatch, a_workflow)
    assert seen == expected
    assert any(path in str(change) for change in (*seen.actions, *seen.findings))


IMAGES = "gs://my-bucket/anime_dance/characters"
OTHER_KPOP = KPOP.replace("_x.mp4", "_y.mp4")


def replaces_what_a_field_holds(folder: Path) -> None:
    (folder / "output" / KPOP).unlink()
    write(folder, OTHER_KPOP, b"n" * 77)
    record(folder, "ai_hoshino", anime_image=f"{IMAGES}/ai_hoshino.png")


def takes_a_file_away(folder: Path) -> None:
    (folder / "output" / KPOP).unlink()
    record(folder, "ai_hoshino", anime_image=f"{IMAGES}/ai_hoshino.png")


def renames_a_folder(folder: Path) -> None:
    (folder / "output" / "remixes" / "ai_hoshino_x").rename(folder / "output" / "remixes" / "ai_hoshino_z")
    path = KPOP.replace("ai_hoshino_x", "ai_hoshino_z")
    record(folder, "ai_hoshino", other=f"C:\\oo\\bar\\output\\{path}")


def uploads_a_file_itself(folder: Path) -> None:
    write(folder, "characters/miyuki.png", b"n" * 77)
    objects = open_objects(folder)
    put(objects, "characters/miyuki.png", b"n" * 77)
    objects.close()


def makes_a_link(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "output" / "remixes" / "miyuki_x").symlink_to(folder / "elsewhere")
    record(folder, "miyuki", other="gs://my-bucket/anime_dance/remixes/miyuki_x/result/[kpop]_x.mp4")


@pytest.mark.skipif(os.name == "nt" or not is_possible(), reason="a shell script stands for Python, on a second core")
@pytest.mark.parametrize("workflow", [takes_a_file_away, renames_a_folder, uploads_a_file_itself, makes_a_link])
def test_what_a_workflow_does_while_records_are_read_is_planned_as_if_it_were_done(
    workflow: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, expected = planned_while(make_project(tmp_path / "project"), monkeypatch, workflow)
    assert seen == expected


@pytest.mark.skipif(os.name == "nt" or not is_possible(), reason="a shell script stands for Python, on a second core")
def test_a_file_that_was_replaced_by_another_one_claims_no_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, expected = planned_while(make_project(tmp_path / "project"), monkeypatch, replaces_what_a_field_holds)
    assert OTHER_KPOP in str(expected)
    assert KPOP not in str((seen.actions, seen.findings))


HANGS = '#!/bin/sh\necho $$ >> "{log}"\nexec sleep 600\n'


@pytest.mark.skipif(not Path("/proc/self/stat").exists() or not is_possible(), reason="/proc, and a second core")
@pytest.mark.parametrize("error", [None, KeyboardInterrupt(), ConfigError("no"), StoreUnavailable("no")])
def test_it_is_over_if_records_cannot_be_read(
    error: BaseException | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an error, the records may not be read, so that nothing can be skipped and the walk is in this process."""
    log, other = tmp_path / "log", tmp_path / "python-told"
    other.write_text(HANGS.format(log=log))
    other.chmod(0o755)
    folder = make_project(tmp_path / "project")
    with Project.open(folder).opened() as project:
        project.note_files(APART_FROM)
    monkeypatch.setattr(sys, "executable", str(other))
    running: list[bool] = []

    def listener(event: Event) -> None:
        patience = time.monotonic() + 30
        while not (log.exists() and log.read_text().strip()) and time.monotonic() < patience:
            time.sleep(0.01)
        running.append(is_running(int(log.read_text())))
        if error is not None:
            raise error

    with Project.open(folder).opened(RunOptions(apart=True)) as project:
        if error is None:
            vars(project)["records"] = GuardedRecords(project.records, None)
            assert Code.UNREADABLE_SCOPE in [each.code for each in survey(project, listener=listener).plan.findings]
        else:
            with pytest.raises(type(error)):
                survey(project, listener=listener)
    assert running[0]
    assert error is not None or not running[-1]
    assert not is_running(int(log.read_text()))


LIMITED = """
import resource, sys
from reconcile import Project
from reconcile.run_options import APART_FROM, RunOptions
if sys.argv[2] == "limited":
    resource.setrlimit(resource.RLIMIT_AS, (2**36, 2**36))
with Project.open(sys.argv[1]).opened(RunOptions(apart=True)) as project:
    project.note_files(APART_FROM)
    project.walk_apart()
print("reconcile.adapters.local.apart" in sys.modules)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux limits the memory of a process")
@pytest.mark.parametrize(("limit", "tried"), [("none", "True"), ("limited", "False")])
def test_a_process_that_is_kept_short_of_memory_starts_none(limit: str, tried: str, tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project")
    command = [sys.executable, "-c", LIMITED, str(folder), limit]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip() == tried


def test_it_needs_a_python_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for other in ("", "/usr/bin/workflow", None):
        monkeypatch.setattr(sys, "executable", other)
        assert not is_possible()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux says on which cores a process may run")
def test_it_needs_a_second_core() -> None:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        assert not is_possible()
    finally:
        os.sched_setaffinity(0, cores)
    assert is_possible() == (len(cores) > 1)
