"""The example pipeline, run as its README says, on embedded stores."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reconcile.config.settings import template
from tests.kit.small_project import open_objects, open_records
from tests.kit.workshop import environment

HERE = Path(__file__).parents[2]
WORKFLOWS = (
    "character_gen",
    "main_pipeline",
    "redo_pipeline",
    "audio_pipeline",
    "watermark_job",
    "batch_soundtrack_remix",
)
BASE = "gs://my-bucket/anime_dance"
REMIX = f"{BASE}/remixes/ai_hoshino_idol"
PRIMARY = {
    "title": "primary",
    "anime_image": f"{BASE}/characters/ai_hoshino.png",
    "cosplay_image": f"{BASE}/characters/ai_hoshino_cosplay.png",
    "dance_video": f"{BASE}/dances/dance_ai_hoshino_02.mp4",
    "deliverable": f"{REMIX}/REMIX_idol.mp4",
    "ai_music": f"{REMIX}/result/generated_kpop_music.mp3",
    "watermarked": f"{REMIX}/result/idol_watermarked.mp4",
    "icon": f"{REMIX}/result/icon_idol.png",
    "kpop_video": f"{REMIX}/result/[kpop]_idol.mp4",
    "orig_video": f"{REMIX}/result/[orig]_idol.mp4",
}


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """The folder with rules of its own, as ``reconcile init`` writes them, for embedded stores and its database."""
    folder = tmp_path / "pipeline"
    shutil.copytree(HERE / "examples" / "pipeline", folder, ignore=shutil.ignore_patterns("__pycache__"))
    rules = re.sub(r'(?m)^endpoint = ""', 'endpoint = "file:stores"', template())
    rules = rules.replace("settle = 2.0", "settle = 0").replace("# [local_db]", "[local_db]")
    rules = rules.replace("# path =", "path =")
    (folder / "rules").mkdir()
    (folder / "rules" / "asset_map.toml").write_text(rules, encoding="utf-8")
    return folder


def run(folder: Path, module: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env={**environment(), "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def entries(folder: Path) -> dict[str, dict[str, str]]:
    """The record's maps by title."""
    store = open_records(folder)
    try:
        return {entry["title"]: entry for entry in (store.fields("ai_hoshino") or {}).get("assets", [])}
    finally:
        store.close()


def objects(folder: Path) -> set[str]:
    store = open_objects(folder)
    try:
        return {f"{BASE}/{found.key}" for found in store.list()}
    finally:
        store.close()


def nothing_is_left(folder: Path) -> bool:
    actions: list[object] = json.loads(run(folder, "reconcile", "plan", "--json"))["actions"]
    return actions == []


def test_each_workflow_after_the_change_brings_its_files_to_the_bucket_and_into_the_record(pipeline: Path) -> None:
    said = "".join(run(pipeline, f"after.{name}", "ai_hoshino") for name in WORKFLOWS)
    assert entries(pipeline)["primary"] == PRIMARY
    assert entries(pipeline)["neon"]["dance_video"] == f"{REMIX}/variants/neon.mp4"
    assert set(PRIMARY.values()) - {"primary"} <= objects(pipeline)
    for named in ("ai_music", "kpop_video", "orig_video", "anime_image"):
        assert PRIMARY[named] in said
    assert nothing_is_left(pipeline)


def test_the_workflows_as_they_were_leave_all_to_the_script_that_migrates_one_character(pipeline: Path) -> None:
    for name in WORKFLOWS:
        run(pipeline, f"before.{name}", "ai_hoshino")
    assert objects(pipeline) == set()
    run(pipeline, "scripts.migrate_new_assets", "--char-id=ai_hoshino")
    assert entries(pipeline)["primary"] == PRIMARY
    assert nothing_is_left(pipeline)
