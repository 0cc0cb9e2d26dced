"""Objects that cannot all be files of one folder: what is wanted most has its place first, every time."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import unicodedata
from pathlib import Path

import pytest

from reconcile import Project
from reconcile.commands.restore import survey
from reconcile.commands.restoring import execute
from reconcile.core.changes import Code
from reconcile.core.clashes import Places
from reconcile.core.errors import ExitCode
from reconcile.core.names import fold, nfc
from reconcile.core.restoration import RestorePlan
from reconcile.pipeline.executor import execute as apply
from reconcile.pipeline.planner import survey as plan_survey
from reconcile.run_options import RunOptions
from tests.kit.small_project import make_project, open_objects, open_records, put
from tests.kit.windows import on_each_system  # noqa: F401

case_sensitive = pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="case does not count here")
REM = "characters/rem.png"  # a record names it, and a rule matches it


@pytest.fixture
def studio(tmp_path: Path) -> Path:
    """A project in step, of which nothing is left here but the bucket and the records."""
    folder = make_project(tmp_path / "studio")
    with Project.open(folder).opened() as project:
        assert apply(project, plan_survey(project).plan).exit_code is ExitCode.OK
    shutil.rmtree(folder / "output")
    return folder


def store(folder: Path, *keys: str) -> None:
    objects = open_objects(folder)
    for key in keys:
        put(objects, key, key.encode())
    objects.close()


def look(folder: Path) -> RestorePlan:
    with Project.open(folder).opened(RunOptions(makes_root=True)) as project:
        return survey(project, everything=True)


def restored(folder: Path) -> set[str]:
    with Project.open(folder).opened(RunOptions(makes_root=True)) as project:
        execute(project, survey(project, everything=True))
    root = folder / "output"
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def clashes(plan: RestorePlan) -> list[str]:
    return [each.subject.removeprefix("gs://my-bucket/anime_dance/") for each in plan.findings]


@pytest.mark.parametrize("unwanted", [f"{REM}/meta.txt", f"{REM}/a/b/c.bin", "characters"])
def test_what_a_record_names_comes_back_and_the_rest_is_told(studio: Path, unwanted: str) -> None:
    store(studio, unwanted)
    plan = look(studio)

    assert clashes(plan) == [unwanted]
    assert plan.findings[0].code is Code.NAME_COLLISION
    assert REM in plan.findings[0].message or unwanted == "characters"
    files = restored(studio)
    assert REM in files
    assert unwanted not in files


@pytest.mark.parametrize("unwanted", [f"{REM}/meta.txt", f"{REM}/a/b/c.bin", "characters"])
def test_beside_what_is_here_already_nothing_is_tried_and_the_rest_is_told(studio: Path, unwanted: str) -> None:
    store(studio, unwanted)
    assert REM in restored(studio)
    plan = look(studio)

    assert plan.actions == ()
    assert [(each.code, each.subject) for each in plan.findings] == [
        (Code.NAME_COLLISION, f"gs://my-bucket/anime_dance/{unwanted}")
    ]


def test_what_a_rule_takes_goes_before_what_nobody_wants(studio: Path) -> None:
    store(studio, "characters/zoe.png", "characters/zoe.png/meta.txt", "x", "x/y", "x/y/z")
    assert clashes(look(studio)) == ["characters/zoe.png/meta.txt", "x/y", "x/y/z"]
    assert {"characters/zoe.png", "x"} <= restored(studio)


def test_what_a_record_names_goes_before_what_a_rule_takes(studio: Path) -> None:
    store(studio, "characters/zoe.png", "characters/zoe.png/meta.txt")
    records = open_records(studio)
    uri = "gs://my-bucket/anime_dance/characters/zoe.png/meta.txt"
    records.put("zoe", {"name": "Zoe", "assets": [{"title": "primary", "notes": uri}]})
    records.close()
    assert clashes(look(studio)) == ["characters/zoe.png"]
    assert "characters/zoe.png/meta.txt" in restored(studio)


def test_two_unicode_forms_of_one_name_are_one_file(studio: Path) -> None:
    composed = "extras/café.mp4"
    decomposed = unicodedata.normalize("NFD", composed)
    store(studio, composed, decomposed, f"{composed}/x.txt")
    assert sorted(clashes(look(studio))) == sorted([composed, f"{composed}/x.txt"])
    assert [path for path in restored(studio) if path.startswith("extras/")] == [decomposed]


@case_sensitive
def test_names_that_differ_in_case_both_come_back_where_the_folder_has_room_for_both(studio: Path) -> None:
    store(studio, "characters/REM.png", "characters/Rem.png/meta.txt")
    plan = look(studio)
    assert plan.findings == ()
    assert [each.key for each in plan.actions][-2:] == ["characters/REM.png", "characters/Rem.png/meta.txt"]
    assert {REM, "characters/REM.png", "characters/Rem.png/meta.txt"} <= restored(studio)


PATHS = ["x.png", "x.png/a", "x.png/a/b", "X.PNG", "y"]


@pytest.mark.parametrize("paths", list(itertools.permutations(PATHS)))
def test_who_comes_first_has_the_place(paths: tuple[str, ...]) -> None:
    places = Places(fold)
    kept = [path for path in paths if places.take(path) is None]
    assert kept[0] == paths[0]
    for one, other in itertools.combinations(map(fold, kept), 2):
        assert one != other
        assert not one.startswith(f"{other}/")
        assert not other.startswith(f"{one}/")
    assert "y" in kept


def test_who_stands_in_the_way_is_named() -> None:
    places = Places(nfc)
    assert [places.take(path) for path in ("a/b/c", "a/b", "a/bc", "a", "a/b/c/d", "A/b")] == [
        None,
        "a/b/c",
        None,
        "a/b/c",
        "a/b/c",
        None,
    ]
