"""The Python entry points on a real project folder, and what importing them costs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from reconcile import Project, apply, plan
from reconcile.config.settings import template
from reconcile.core.errors import LockHeld, UsageError
from reconcile.core.notes import Note
from reconcile.core.report import Status
from reconcile.project import OpenProject
from tests.unit.test_docs import python_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    text = template().replace('index = "asset_types"', 'index = ""')
    for line, store in (("gs://my-bucket", "bucket"), ("firestore://my-project", "records")):
        assert line in text
        head, tail = text.split(line, 1)
        text = head + line + tail.replace('endpoint = "" ', f'endpoint = "file:store/{store}" ', 1)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "asset_map.toml").write_text(text.replace("settle = 2.0", "settle = 0.0"), encoding="utf-8")
    for char_id in ("ai_hoshino", "rem"):
        image = tmp_path / "output" / "characters" / f"{char_id}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(char_id.encode())
    return tmp_path


@pytest.fixture
def project(folder: Path) -> Iterator[OpenProject]:
    with Project.open(folder).opened() as opened:
        for char_id in ("ai_hoshino", "rem"):
            opened.records.create(char_id, {"assets": []})
        yield opened


def _files(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file but for what the tool remembers, with its time."""
    found = (path for path in folder.rglob("*") if path.is_file() and ".reconcile" not in path.parts)
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def test_apply_of_a_plan_of_one_character(project: OpenProject) -> None:
    result = apply(plan(project, char_ids=["ai_hoshino"]))

    assert result.status is Status.SUCCESS
    assert [each.key for each in project.objects.list()] == ["characters/ai_hoshino.png"]
    assert {each.id: each.fields["assets"] for each in project.records.read()} == {
        "ai_hoshino": [
            {"title": "primary", "anime_image": "gs://my-bucket/anime_dance/characters/ai_hoshino.png"},
        ],
        "rem": [],
    }


def test_what_is_planned_shows_its_actions_findings_and_summary(project: OpenProject) -> None:
    planned = plan(project, asset_types=["anime_image"])

    assert planned.actions == planned.plan.actions
    assert planned.findings == planned.plan.findings == ()
    assert (planned.summary.upload, planned.summary.set_field) == (2, 2)


def test_a_person_can_read_what_python_shows_of_a_project_a_plan_and_a_run(project: OpenProject, folder: Path) -> None:
    closed, planned = Project.open(folder), plan(project)
    stores = "gs://my-bucket/anime_dance, firestore://my-project/(default)/characters"
    assert repr(closed) == f"<Project {folder}: {stores}>"
    assert repr(project) == f"<OpenProject {folder}: {stores}>"
    assert repr(planned) == "<PlannedRun of 4 changes: 2 upload, 2 set_field, 13 bytes; findings: none>"
    report = apply(planned)
    assert repr(report).startswith(f"<Report of run {report.run_id}: success; 4 applied; 13 bytes, ")
    assert repr(plan(project)) == "<PlannedRun of 0 changes: 2 in_step; findings: none>"
    asset = next(project.assets(char_ids=["rem"]))
    assert repr(asset) == "<Asset gs://my-bucket/anime_dance/characters/rem.png: rem anime_image, in_step>"
    assert "secret" not in repr(replace(asset, url="https://storage.example/rem.png?X-Goog-Signature=secret"))


def test_the_examples_of_the_page_of_the_interface_run(
    project: OpenProject, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    examples = [code for code in python_of("docs/api.md") if code.startswith("from ")]
    assert len(examples) == 2
    for code in examples:
        exec(code, {})
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("<PlannedRun of 2 changes")
    assert told[1:] == ["gs://my-bucket/anime_dance/characters/ai_hoshino.png in_step"]


def test_a_plan_changes_no_file_but_in_the_tools_own_folder(project: OpenProject, folder: Path) -> None:
    before = _files(folder)
    plan(project)

    assert _files(folder) == before
    assert (folder / ".reconcile").is_dir()


def test_a_second_run_writes_nothing(project: OpenProject, folder: Path) -> None:
    apply(plan(project))
    before = _files(folder)
    second = apply(plan(project))

    assert (second.outcomes, second.bytes) == ((), 0)
    assert _files(folder) == before


def test_the_state_in_which_both_agreed_outlives_the_process_so_that_an_edit_replaces(folder: Path) -> None:
    with Project.open(folder).opened() as first:
        first.records.create("rem", {"assets": []})
        apply(plan(first))
    (folder / "output" / "characters" / "rem.png").write_bytes(b"drawn again")
    with Project.open(folder).opened() as second:
        assert plan(second).summary.replace == 1
        apply(plan(second))
        assert plan(second).actions == ()


def test_without_what_is_remembered_an_edit_is_a_conflict_and_nothing_else_is_lost(folder: Path) -> None:
    import shutil

    with Project.open(folder).opened() as first:
        first.records.create("rem", {"assets": []})
        apply(plan(first))
    shutil.rmtree(folder / ".reconcile")
    (folder / "output" / "characters" / "rem.png").write_bytes(b"drawn again")
    with Project.open(folder).opened() as second:
        planned = plan(second)
        assert planned.actions == ()
        assert "content_conflict" in [finding.code.value for finding in planned.findings]


def test_a_project_is_a_value_that_holds_nothing_open(project: OpenProject, folder: Path) -> None:
    value = Project.open(folder)
    with pytest.raises(AttributeError):
        value.settings = project.settings  # type: ignore[misc]
    with value as same:
        assert apply(plan(same)).status is Status.SUCCESS
    value.close()
    assert plan(value).actions == ()
    assert value == Project.open(folder)


def test_what_a_plan_finds_done_in_the_outbox_is_forgotten_when_it_is_applied(
    project: OpenProject, folder: Path
) -> None:
    apply(plan(project))
    project.outbox.add([Note("characters/rem.png", "rem")])

    planned = plan(Project.open(folder))
    assert project.outbox.notes() != ()
    apply(planned)
    assert project.outbox.notes() == ()


def test_two_runs_at_once_are_refused(project: OpenProject, folder: Path) -> None:
    planned = plan(project)
    with project.lock().acquire(), pytest.raises(LockHeld):
        apply(plan(Project.open(folder)))

    assert apply(planned).status is Status.SUCCESS


def test_an_unknown_character_is_a_usage_error(project: OpenProject) -> None:
    with pytest.raises(UsageError, match="nobody"):
        plan(project, char_ids=["nobody"])
