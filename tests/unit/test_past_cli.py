"""history, undo, --wait-lock and --no-journal on the command line."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from reconcile import Project
from tests.kit.small_project import LOCAL_PATH, URI, open_objects, open_records, put, write


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
    assert run("history", "--run", run_id.rpartition("-")[2], "--json").document("history")["runs"] == [told]
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


def test_last_is_the_newest_run_for_history_and_for_undo(run: Any, project: Path) -> None:
    first = run("apply", "--json").document("result")["run_id"]
    write(project, "characters/ai_hoshino_extra.webp", b"x")
    write(project, "characters/rem.png", b"other")
    newest = run("apply", "--replace", "local", "--json").document("result")["run_id"]
    (told,) = run("history", "--run", "last", "--json").document("history")["runs"]
    assert told["run_id"] == newest
    for more in ([], ["-n"], ["--yes"]):
        answer = run("undo", "last", *more)
        assert answer.code == 64
        assert newest in answer.err
        assert "changed no record field" in answer.err
        assert f"reconcile undo {first}" in answer.err
    assert image_of(project) == URI
    assert run("undo", first, "--yes").code == 0
    assert image_of(project) == LOCAL_PATH


def test_a_last_run_that_changed_nothing_of_the_character_names_the_one_that_did(run: Any, project: Path) -> None:
    run("apply")
    records = open_records(project)
    records.put("rem", {"name": "Rem", "assets": [{"title": "primary"}]})
    records.close()
    assert run("apply", "--char-id", "rem").code == 0
    runs = run("history", "--json").document("history")["runs"]
    newest, first = (each["run_id"] for each in runs)
    for more in ([], ["-n"], ["--yes"]):
        answer = run("undo", "last", "--char-id", "ai_hoshino", *more)
        assert answer.code == 64
        assert f"{newest} " in answer.err
        assert "changed no record field of ai_hoshino" in answer.err
        assert f"reconcile undo {first}" in answer.err
    assert "no run of this project folder has changed a field of miku" in run("undo", "last", "--char-id", "miku").err
    assert image_of(project) == URI
    assert run("undo", "last", "--char-id", "rem", "--yes").code == 0


def test_undo_says_which_run_it_undoes(run: Any, project: Path) -> None:
    run_id = run("apply", "--json").document("result")["run_id"]
    (told,) = run("history", "--json").document("history")["runs"]
    which = f"run {run_id} (`apply`, {told['started']})"
    assert f"Undo of {which}" in run("undo", "last", "-n").out
    assert f"undo of {which}" in run("undo", "last", "-n", "--json").err
    assert f"Undo of {which}" in run("undo", run_id[:20]).out
    assert image_of(project) == LOCAL_PATH


def test_history_shows_sources_and_types_and_undo_says_that_objects_stay(run: Any, project: Path) -> None:
    objects = open_objects(project)
    put(objects, "dances/dance_rem_old.mp4", b"dance")
    (seen,) = objects.list("characters/rem.png")
    match = {"if_generation_match": seen.generation, "if_metageneration_match": seen.metageneration}
    objects.set_type(seen.key, "text/plain", **match)
    objects.close()
    write(project, "dances/dance_rem_new.mp4", b"dance")
    run_id = run("apply", "--json").document("result")["run_id"]
    text = run("history", "--run", run_id).out
    assert "copied from gs://my-bucket/anime_dance/dances/dance_rem_old.mp4" in text
    assert "text/plain became image/png" in text
    (told,) = run("history", "--run", run_id, "--json").document("history")["runs"]
    found = {each["kind"]: each for each in told["changes"]}
    assert found["copy"]["source"].endswith("dance_rem_old.mp4")
    typed = found["set_metadata"]
    assert (typed["content_type_before"], typed["content_type"]) == ("text/plain", "image/png")
    shown = run("undo", run_id, "-n").out
    assert "wrote 1 content type and 3 objects" in shown
    assert "the bucket stays as it is" in shown


def test_undo_takes_the_run_that_began_last_whatever_the_clock_said(run: Any, project: Path) -> None:
    ahead = run("apply", "--json").document("result")["run_id"]
    folder = project / ".reconcile" / "journal"
    (file,) = folder.iterdir()
    later = ahead.replace(ahead[:4], "2099", 1)
    file.with_name(file.name.replace(ahead, later)).write_bytes(
        file.read_bytes().replace(ahead.encode(), later.encode())
    )
    file.with_name(file.name.replace(ahead, later)).chmod(0o600)
    file.unlink()
    write(project, "characters/rem_cosplay.png", b"new")
    newest = run("apply", "--json").document("result")["run_id"]
    assert [each["run_id"] for each in run("history", "--json").document("history")["runs"]] == [newest, later]
    assert f"Undo of run {newest}" in run("undo", "last", "-n").out


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX")
@pytest.mark.parametrize("command", [["history"], ["history", "--run", "last"], ["undo", "last", "--yes"]])
def test_a_journal_that_cannot_be_read_is_not_an_empty_one(command: list[str], run: Any, project: Path) -> None:
    run_id = run("apply", "--json").document("result")["run_id"]
    (file,) = (project / ".reconcile" / "journal").iterdir()
    file.chmod(0o622)
    for each in (command, [*command[:-1], run_id] if command[-1] == "last" else command):
        answer = run(*each, "--json")
        assert answer.code == 1
        assert answer.document("error")["code"] == "journal"
        assert str(file) in answer.err
    assert image_of(project) == URI


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX")
def test_of_the_runs_that_can_be_read_history_tells_and_exits_1(run: Any, project: Path) -> None:
    first = run("apply", "--json").document("result")["run_id"]
    write(project, "characters/rem_cosplay.png", b"new")
    run("apply")
    (unread,) = (path for path in (project / ".reconcile" / "journal").iterdir() if first not in path.name)
    unread.chmod(0o622)
    answer = run("history", "--json")
    assert answer.code == 1
    assert [each["run_id"] for each in answer.document("history")["runs"]] == [first]
    assert str(unread) in answer.err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("command", [["history"], ["undo", "last", "--yes"]])
def test_a_state_folder_of_another_user_is_not_an_empty_one(command: list[str], run: Any, project: Path) -> None:
    run("apply")
    for path in (project / ".reconcile", *(project / ".reconcile").rglob("*")):
        os.chown(path, 65534, 65534)
    answer = run(*command)
    assert answer.code == 1
    assert "cannot be read" in answer.err
    assert "belongs to another user" in answer.err
    assert "No run" not in answer.out
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
    with Project.open(project).opened() as opened:
        lock = opened.lock().acquire()
        timer = threading.Timer(0.5, lock.close)
        timer.start()
        answer = run("apply", "--wait-lock", "30s")
        timer.join()
    assert answer.code == 0
    assert f"process {os.getpid()}" in answer.err
    assert image_of(project) == URI


def test_a_wait_that_is_over_exits_75(run: Any, project: Path) -> None:
    with Project.open(project).opened() as opened, opened.lock().acquire():
        assert run("apply", "--wait-lock", "0.2s").code == 75


def test_damaged_lines_of_a_journal_are_passed_over_and_said(run: Any, project: Path) -> None:
    run("apply")
    (journal,) = (project / ".reconcile" / "journal").iterdir()
    first, *rest = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([first, b"\xff\xfe{\n", b"[" * 5_000 + b"\n", *rest, b'{"line": "en']))
    told = run("history", "--json")
    assert [each["unread"] for each in told.document("history")["runs"]] == [2]
    assert "2 lines of the journal of run" in told.err
    undone = run("undo", "last", "--yes")
    assert "2 lines of the journal of run" in undone.err
    assert image_of(project) == LOCAL_PATH


def test_a_torn_last_line_is_what_a_kill_leaves_and_is_not_said(run: Any, project: Path) -> None:
    run("apply")
    (journal,) = (project / ".reconcile" / "journal").iterdir()
    journal.write_bytes(journal.read_bytes()[:-10])
    told = run("history", "--json")
    assert [each["unread"] for each in told.document("history")["runs"]] == [0]
    assert "cannot be read" not in told.err
