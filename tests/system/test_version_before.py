"""A project folder as the version before left it, plan, journal, memory, notes and stores, in the hands of this one.

`tests/data/version_before` was written by that version on Linux in `/srv/studio`: it had applied ai_hoshino, saved a
plan for miku, proved rem, and a workflow had noted a file for rem while the bucket was away. SQLite files are kept as
the SQL that makes them.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path

import msgspec
import pytest

from reconcile.core import planfile
from reconcile.core.changes import SetField, Upload
from reconcile.core.plan import fingerprint
from reconcile.core.proof import Certificate
from tests.kit.small_project import OLD, URI, open_objects, open_records, write
from tests.kit.workshop import Run, reconcile

DATA = Path(__file__).parents[1] / "data" / "version_before"
MADE_IN = "/srv/studio"
RUN = next((DATA / ".reconcile" / "journal").iterdir()).stem
MUSIC = "remixes/shared/result/generated_kpop_music.mp3"
MIKU = "gs://my-bucket/anime_dance/characters/miku.png"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "studio"
    shutil.copytree(DATA, folder)
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path.suffix == ".sql":
            connection = sqlite3.connect(path.with_suffix(""))
            connection.executescript(path.read_text(encoding="utf-8"))
            connection.close()
            path.unlink()
        elif path.suffix == ".jsonl":
            path.write_text(path.read_text(encoding="utf-8").replace(MADE_IN, str(folder)), encoding="utf-8")
        os.utime(path, (OLD, OLD)) if path.exists() else None
    return folder


def run(folder: Path, *arguments: str, code: int = 0) -> Run:
    done = reconcile(folder, *arguments)
    assert done.code == code, done.err
    return done


def entry(folder: Path, char_id: str) -> dict[str, object]:
    records = open_records(folder)
    try:
        return dict(next(iter(records.read([char_id]))).fields["assets"][0])
    finally:
        records.close()


def moved_plan(folder: Path) -> str:
    """The saved plan, for the stores of this folder."""
    text = (DATA / "plan.json").read_text(encoding="utf-8")
    made = planfile.loads(text.encode(), "plan.json")
    text = text.replace(MADE_IN, str(folder))
    document = json.loads(text)
    stores = type(made.stores)(**document["stores"])
    sign = fingerprint(msgspec.structs.replace(made, stores=stores))
    (folder / "moved.json").write_text(text.replace(made.fingerprint, sign), encoding="utf-8")
    return "moved.json"


def test_a_saved_plan_is_read_with_its_fingerprint() -> None:
    plan = planfile.loads((DATA / "plan.json").read_bytes(), "plan.json")
    assert [(type(change), change.key) for change in plan.actions] == [
        (Upload, "characters/miku.png"),
        (SetField, "characters/miku.png"),
    ]


def test_a_saved_plan_of_a_text_elsewhere_in_a_record_is_read_with_its_fingerprint() -> None:
    plan = planfile.loads((DATA / "plan_with_way.json").read_bytes(), "plan.json")
    ways = [change.at for change in plan.actions if isinstance(change, SetField) and change.at]
    assert ways == [
        ("extra", "shots", 1, "path"),
    ]


def test_a_saved_plan_is_applied_and_the_next_one_is_empty(folder: Path) -> None:
    run(folder, "apply", moved_plan(folder), "--yes")
    assert entry(folder, "miku")["anime_image"] == MIKU
    assert run(folder, "plan", "--char-id", "miku", "--json").document["actions"] == []


def test_a_journal_is_told_and_undone(folder: Path) -> None:
    runs = run(folder, "history", "--json").document["runs"]
    assert [one["run_id"] for one in runs] == [RUN]
    assert "characters/ai_hoshino.png" in run(folder, "history", "--run", RUN).out
    run(folder, "undo", RUN, "--yes")
    assert entry(folder, "ai_hoshino") == {
        "title": "primary",
        "anime_image": "C:\\oo\\bar\\output\\characters\\ai_hoshino.png",
    }


def test_the_agreed_state_tells_a_new_rendering_from_a_conflict(folder: Path) -> None:
    write(folder, "characters/ai_hoshino.png", b"A" * 500)
    plan = run(folder, "plan", "--char-id", "ai_hoshino", "--json").document
    assert [(change["kind"], change["key"]) for change in plan["actions"]] == [("replace", "characters/ai_hoshino.png")]


def test_a_note_of_a_workflow_is_taken_and_then_forgotten(folder: Path) -> None:
    run(folder, "apply", "--char-id", "rem", "--yes")
    assert entry(folder, "rem")["ai_music"] == f"gs://my-bucket/anime_dance/{MUSIC}"
    run(folder, "apply", "--char-id", "rem", "--yes")
    assert not list((folder / ".reconcile" / "outbox").glob("*.json"))


def test_what_was_in_step_stays_so(folder: Path) -> None:
    before = open_objects(folder)
    generations = {found.key: found.generation for found in before.list()}
    before.close()
    run(folder, "apply", "--yes")
    after = open_objects(folder)
    assert generations.items() <= {found.key: found.generation for found in after.list()}.items()
    after.close()
    assert entry(folder, "ai_hoshino")["anime_image"] == URI
    assert run(folder, "plan", "--json").document["actions"] == []


def test_a_certificate_is_intact() -> None:
    (path,) = (DATA / "certificates").iterdir()
    certificate = msgspec.json.decode(path.read_bytes(), type=Certificate)
    assert certificate.sealed() == certificate
