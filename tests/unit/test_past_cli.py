"""history, undo, --wait-lock and --no-journal on the command line."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from reconcile.project import Project
from tests.unit.small_project import LOCAL_PATH, URI, open_records


def image_of(folder: Path) -> Any:
    records = open_records(folder)
    try:
        fields = records.fields("ai_hoshino")
        assert fields is not None
        return fields["assets"][0].get("anime_image")
    finally:
        records.close()


def test_history_tells_each_run_and_what_it_changed(run: Any, project: Path) -> None:
    assert run("history").out == "No run of this project has changed anything yet.\n"
    run_id = run("apply", "--json").document("result")["run_id"]
    listed = run("history", "--json").document("history")
    assert [each["run_id"] for each in listed["runs"]] == [run_id]
    assert listed["runs"][0]["changes"] is None
    (told,) = run("history", "--run", run_id, "--json").document("history")["runs"]
    fields = {change["field"]: (change["before"], change["after"]) for change in told["changes"]}
    assert fields["anime_image"] == (LOCAL_PATH, URI)
    answer = run("history", "--run", run_id)
    assert LOCAL_PATH in answer.out
    assert URI in answer.out
    assert "undo" in run("history").out


def test_history_of_a_character_that_no_run_touched_is_empty(run: Any) -> None:
    run("apply")
    assert run("history", "--char-id", "rem", "--json").document("history")["runs"] == []


def test_undo_puts_the_fields_back_and_apply_does_it_again(run: Any, project: Path) -> None:
    run("apply")
    assert image_of(project) == URI
    shown = run("undo", "last", "-n", "--json").document("plan")
    assert {action["reason"] for action in shown["actions"]} == {"undo"}
    assert image_of(project) == URI
    answer = run("undo", "last", "--yes", "--json")
    assert answer.code == 0
    assert answer.document("result")["status"] == "success"
    assert image_of(project) == LOCAL_PATH
    assert run("apply").code == 0
    assert image_of(project) == URI


def test_undo_of_a_run_that_is_not_there_exits_64(run: Any) -> None:
    answer = run("undo", "20200101", "--json")
    assert answer.code == 64
    assert "reconcile history" in answer.document("error")["hint"]


def test_a_saved_undo_cannot_be_applied_as_a_plan(run: Any, project: Path, tmp_path: Path) -> None:
    """Only undo itself knows what it may put back: as a plan file it would let any text into a record."""
    run("apply")
    saved = tmp_path / "undo.json"
    saved.write_text(run("undo", "last", "-n", "--json").out, encoding="utf-8")
    answer = run("apply", str(saved), "--json")
    assert answer.code == 64
    assert image_of(project) == URI


def test_a_journal_that_cannot_be_written_is_said_before_anything_is_changed(run: Any, project: Path) -> None:
    folder = project / ".reconcile"
    folder.mkdir(exist_ok=True)
    (folder / "journal").write_text("in the way")
    answer = run("apply", "--json")
    assert answer.code == 1
    assert answer.document("error")["code"] == "journal"
    assert image_of(project) == LOCAL_PATH
    assert run("apply", "--no-journal").code == 0
    assert image_of(project) == URI


@pytest.mark.parametrize("text", ["10", "soon", ""])
def test_a_wait_that_is_no_time_exits_64(run: Any, text: str) -> None:
    answer = run("apply", "--wait-lock", text, "--json")
    assert answer.code == 64
    assert "--wait-lock" in answer.document("error")["message"]


def test_a_lock_is_waited_for_and_it_says_whose(run: Any, project: Path) -> None:
    with Project.open(project) as opened:
        lock = opened.lock().acquire()
        timer = threading.Timer(0.5, lock.release)
        timer.start()
        answer = run("apply", "--wait-lock", "30s")
        timer.join()
    assert answer.code == 0
    assert f"process {os.getpid()}" in answer.err
    assert image_of(project) == URI


def test_a_wait_that_is_over_exits_75(run: Any, project: Path) -> None:
    with Project.open(project) as opened, opened.lock().acquire():
        assert run("apply", "--wait-lock", "0.2s").code == 75
