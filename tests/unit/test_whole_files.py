"""What plans, runs, proofs and hooks make of files that are new, half or changed: nothing is published half."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from reconcile import Project
from reconcile.adapters.local.settle import FirstLooks
from reconcile.adapters.system import current
from reconcile.commands.demo_media import png
from reconcile.commands.verify import verify
from reconcile.core.changes import Code
from reconcile.core.events import Event, Waiting
from reconcile.core.plan import Plan
from reconcile.core.proof import Mode
from reconcile.core.report import Report, Status
from reconcile.hooks import NotUploaded, auto_upload_to_gcs
from reconcile.pipeline.executor import execute
from reconcile.pipeline.planner import survey
from reconcile.run_options import RunOptions
from tests.kit.small_project import make_project, open_objects, open_records, write
from tests.kit.windows import on_each_system  # noqa: F401

IMAGE = png(1)
HALF = IMAGE[:-12]
NEW = "characters/rem_cosplay.png"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project that is in step."""
    made = make_project(tmp_path / "project")
    run(made)
    return made


def run(folder: Path) -> tuple[Plan, Report]:
    with Project.open(folder).opened() as project:
        plan = survey(project).plan
        return plan, execute(project, plan)


def subjects(plan: Plan, code: Code) -> list[str]:
    return [finding.subject for finding in plan.findings if finding.code is code]


def rules(folder: Path, before: str, after: str) -> None:
    path = folder / "rules" / "asset_map.toml"
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")


def keys(folder: Path) -> set[str]:
    objects = open_objects(folder)
    try:
        return {found.key for found in objects.list()}
    finally:
        objects.close()


def field(folder: Path, char_id: str, name: str) -> Any:
    records = open_records(folder)
    try:
        fields = records.fields(char_id)
        assert fields is not None
        return fields["assets"][0].get(name)
    finally:
        records.close()


# -- media that surely is incomplete --


def test_a_half_picture_is_neither_uploaded_nor_named_and_such_a_run_is_not_a_good_one(folder: Path) -> None:
    with Project.open(folder).opened() as project:
        before = project.last_good_run
        assert before is not None
        project.state.remember_fact("last good run", "2020-01-01T00:00:00Z")
    write(folder, NEW, HALF)
    plan, report = run(folder)
    assert (subjects(plan, Code.INCOMPLETE_FILE), plan.actions, report.status) == ([NEW], (), Status.SUCCESS)
    assert NEW not in keys(folder)
    assert field(folder, "rem", "cosplay_image") is None
    with Project.open(folder).opened() as project:
        assert project.last_good_run == "2020-01-01T00:00:00Z"

    write(folder, NEW, IMAGE)
    assert run(folder)[1].counts.applied == 2
    with Project.open(folder).opened() as project:
        assert project.last_good_run != "2020-01-01T00:00:00Z"


def test_a_half_picture_takes_nothing_from_the_record_that_names_it(folder: Path) -> None:
    write(folder, NEW, IMAGE)
    run(folder)
    uri = field(folder, "rem", "cosplay_image")
    write(folder, NEW, HALF)
    plan, _ = run(folder)
    assert (subjects(plan, Code.INCOMPLETE_FILE), plan.actions) == ([NEW], ())
    assert field(folder, "rem", "cosplay_image") == uri


def test_a_half_picture_is_taken_where_the_rules_say_so(folder: Path) -> None:
    rules(folder, 'incomplete = "hold"', 'incomplete = "take"')
    write(folder, NEW, HALF)
    plan, _ = run(folder)
    assert subjects(plan, Code.INCOMPLETE_FILE) == []
    assert NEW in keys(folder)


def test_a_hook_does_not_publish_a_half_picture(folder: Path) -> None:
    write(folder, NEW, HALF)
    with pytest.raises(NotUploaded, match="IEND"):
        auto_upload_to_gcs()(lambda: str(folder / "output" / NEW))()
    assert NEW not in keys(folder)


# -- waiting --


def test_a_plan_says_what_it_waits_for_and_waits_once(folder: Path) -> None:
    write(folder, NEW, IMAGE)
    write(folder, "characters/ai_hoshino_cosplay.png", IMAGE)
    now, told = 0.0, list[Event]()

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    for scope_waits in ([Waiting(2, 30.0)], []):
        told.clear()
        looks = FirstLooks(
            30.0, clock=lambda: now, sleep=sleep, on_wait=lambda count, seconds: told.append(Waiting(count, seconds))
        )
        with Project.open(folder).opened(RunOptions(looks=looks)) as project:
            survey(project, listener=told.append)
        assert [event for event in told if isinstance(event, Waiting)] == scope_waits
    assert now == 30.0


def test_a_hook_waits_for_nothing_however_long_files_take_to_settle(folder: Path) -> None:
    rules(folder, "settle = 0", "settle = 86400")
    write(folder, "characters/ai_hoshino_cosplay.png", IMAGE)
    write(folder, NEW, IMAGE)
    _, uri = auto_upload_to_gcs()(lambda: str(folder / "output" / NEW))()
    assert uri.endswith(NEW)
    assert "characters/ai_hoshino_cosplay.png" not in keys(folder)


# -- what is remembered and does not hold --


def forge(folder: Path, path: str) -> None:
    """One checksum in the cache is another, as if the file had changed and no time of it moved."""
    with Project.open(folder).opened() as project:
        found = project.state.get(path)
        assert found is not None
        project.state.put(path, found._replace(crc32c="AAAAAA==", doubted_since=0))


def test_an_upload_that_finds_other_content_has_the_next_run_read_the_file(folder: Path) -> None:
    write(folder, NEW, IMAGE)
    with Project.open(folder).opened() as project:
        survey(project)
    forge(folder, NEW)
    plan, report = run(folder)
    assert [change.key for change in plan.actions if change.reason.value == "missing_in_bucket"] == [NEW]
    assert (report.status, report.counts.stale) == (Status.STALE, 1)
    assert run(folder)[1].counts.applied == 2
    assert run(folder)[0].actions == ()


def test_a_deep_proof_reads_local_files_whatever_is_remembered(folder: Path) -> None:
    """The file changed, and nothing shows it: a proof that only compares holds, one that reads does not."""
    path = folder / "output" / "characters" / "rem.png"
    path.write_bytes(b"R" * 100)
    os.utime(path, (1, 1))
    with Project.open(folder).opened() as project:
        remembered, found = project.state.get("characters/rem.png"), current().lstat(str(path))
        assert remembered is not None
        as_it_looks = remembered._replace(mtime_ns=found.st_mtime_ns, ctime_ns=found.st_ctime_ns, inode=found.st_ino)
        project.state.put("characters/rem.png", as_it_looks._replace(doubted_since=0))

    def codes(mode: Mode) -> list[Code]:
        with Project.open(folder).opened() as project:
            return [problem.code for problem in verify(project, mode=mode).verification.problems]

    assert codes(Mode()) == []
    assert codes(Mode(deep=True)) == [Code.CONTENT_CONFLICT]
    assert codes(Mode()) == [Code.CONTENT_CONFLICT], "what was read is remembered"
