"""A local root that held files and holds none: said as an error, no good run, and nothing is restored into it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from reconcile import Project
from reconcile.core.changes import Code, Severity
from reconcile.core.errors import ExitCode
from reconcile.core.plan import Plan, Scope
from reconcile.pipeline.planner import survey
from reconcile.run_options import RunOptions
from tests.kit.small_project import make_project, write
from tests.security.attack import run as reconcile

LONG_AGO = "2020-01-01T00:00:00Z"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project in step, whose last good run was long ago."""
    made = make_project(tmp_path / "project")
    assert reconcile(made, "apply", "--yes").code == 0
    with Project.open(made).opened() as project:
        assert project.last_good_run is not None
        project.state.remember_fact("last good run", LONG_AGO)
    return made


def unmount(folder: Path) -> None:
    """What is left where a drive was mounted: a folder, and perhaps what no rule looks at."""
    shutil.rmtree(folder / "output")
    (folder / "output" / "characters").mkdir(parents=True)
    (folder / "output" / ".DS_Store").touch()


def plan_of(folder: Path, scope: Scope | None = None, **options: bool) -> Plan:
    with Project.open(folder).opened(RunOptions(**options)) as project:
        return survey(project, scope).plan


def is_told(plan: Plan) -> bool:
    told = [finding for finding in plan.findings if finding.code is Code.ROOT_EMPTIED]
    assert all(finding.severity is Severity.ERROR for finding in told)
    return bool(told)


def last_good_run(folder: Path) -> str | None:
    with Project.open(folder).opened() as project:
        return project.last_good_run


@pytest.mark.parametrize("scope", [Scope(), Scope(("rem",)), Scope((), ("anime_image",))], ids=["all", "one", "type"])
@pytest.mark.parametrize("lose", [unmount, lambda folder: shutil.rmtree(folder / "output")], ids=["emptied", "gone"])
def test_a_root_that_lost_its_files_is_an_error_in_every_plan(folder: Path, lose: Any, scope: Scope) -> None:
    lose(folder)
    for _ in range(2):
        plan = plan_of(folder, scope)
        assert is_told(plan)
        assert plan.actions == ()


def test_no_run_over_it_is_a_good_one_until_somebody_says_that_it_is_meant(folder: Path) -> None:
    unmount(folder)
    for _ in range(2):
        run = reconcile(folder, "apply", "--yes", "--json")
        assert [each["code"] for each in run.document["findings"]] == ["root_emptied"]
        assert "is a drive missing?" in run.err
        assert last_good_run(folder) == LONG_AGO
    assert reconcile(folder, "apply", "--yes", "--fail-on", "error").code == ExitCode.FINDINGS
    assert reconcile(folder, "status", "--max-age", "26h").code == ExitCode.FAILED

    run = reconcile(folder, "apply", "--yes", "--allow-empty", "--json")
    assert (run.code, run.document["findings"]) == (0, [])
    assert last_good_run(folder) != LONG_AGO
    assert not is_told(plan_of(folder)), "it was said once, and is remembered"
    assert reconcile(folder, "status", "--max-age", "26h").code == 0


def test_a_plan_alone_remembers_nothing_of_what_is_allowed(folder: Path) -> None:
    unmount(folder)
    assert not is_told(plan_of(folder, allows_empty=True))
    assert is_told(plan_of(folder))


def test_when_its_files_are_back_a_run_is_good_again(folder: Path) -> None:
    drive = folder / "drive"
    shutil.copytree(folder / "output", drive)
    unmount(folder)
    assert is_told(plan_of(folder))
    shutil.rmtree(folder / "output")
    drive.rename(folder / "output")
    assert not is_told(plan_of(folder))
    assert reconcile(folder, "apply", "--yes").code == 0
    assert last_good_run(folder) != LONG_AGO


def test_one_file_that_is_left_says_that_this_is_the_place(folder: Path) -> None:
    unmount(folder)
    write(folder, "characters/rem.png", b"r" * 100)
    assert not is_told(plan_of(folder))


def test_a_note_of_the_mount_point_is_no_file_that_was_held(folder: Path) -> None:
    unmount(folder)
    write(folder, "NOT_MOUNTED.txt", b"the drive is not here")
    assert is_told(plan_of(folder))
    assert reconcile(folder, "apply", "--yes").code == 0
    assert last_good_run(folder) == LONG_AGO


def test_a_root_that_never_held_a_file_is_no_error(tmp_path: Path) -> None:
    made = make_project(tmp_path / "project")
    unmount(made)
    assert not is_told(plan_of(made))


def test_a_scope_without_files_in_a_root_that_has_some_is_no_error(folder: Path) -> None:
    assert not is_told(plan_of(folder, Scope((), ("dance_video",))))


def test_nothing_is_restored_into_it_unless_somebody_says_so(folder: Path) -> None:
    unmount(folder)
    shown = reconcile(folder, "restore", "-n", "--json")
    assert [each["code"] for each in shown.document["findings"]] == ["root_emptied"]
    refused = reconcile(folder, "restore", "--yes")
    assert (refused.code, "--allow-empty" in refused.err) == (ExitCode.REFUSED, True)
    assert not (folder / "output" / "characters" / "rem.png").exists()

    assert reconcile(folder, "restore", "--yes", "--allow-empty").code == 0
    assert (folder / "output" / "characters" / "rem.png").exists()
    assert not is_told(plan_of(folder))


def test_a_root_that_is_gone_is_made_anew(folder: Path) -> None:
    shutil.rmtree(folder / "output")
    assert reconcile(folder, "restore", "--yes").code == 0
    assert (folder / "output" / "characters" / "rem.png").exists()
