"""What a nightly job relies on: it is noticed when it did not run, and somebody is told how it ended."""

from __future__ import annotations

import json
import os
import select
import shlex
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconcile import Project
from reconcile.cli.notify import notifying
from reconcile.cli.options import Common
from reconcile.cli.session import Session
from reconcile.commands.status import overdue
from reconcile.views.json import ErrorDocument

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the commands are written for a POSIX shell")

NOTED = (
    "import os, sys;"
    "open(sys.argv[1], 'wb').write(os.environ['RECONCILE_EXIT_CODE'].encode() + b' ' + sys.stdin.buffer.read())"
)


def telling(file: Path) -> str:
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(NOTED)} {shlex.quote(str(file))}; echo told"


def told(file: Path) -> tuple[int, Any]:
    code, _, document = file.read_text(encoding="utf-8").partition(" ")
    return int(code), json.loads(document)


# -- --max-age --


def test_a_job_that_never_ran_is_noticed(run: Any) -> None:
    answer = run("status", "--max-age", "26h")
    assert answer.code == 1
    assert "no run of everything has ended well here yet" in answer.err
    assert "asset type" in answer.out


def test_a_job_that_ran_is_not(run: Any) -> None:
    assert run("apply").code == 0
    assert run("status", "--max-age", "26h").code == 0
    assert run("status", "--json").document("status")["last_good_run"] is not None


def test_a_job_that_ran_too_long_ago_is_noticed(run: Any, project: Path) -> None:
    run("apply")
    with Project.open(project).opened() as opened:
        opened.state.remember_fact("last good run", f"{datetime.now(UTC) - timedelta(hours=27):%Y-%m-%dT%H:%M:%SZ}")
    answer = run("status", "--max-age", "26h", "--json")
    assert answer.code == 1
    assert "that is more than 26h: did the nightly job not run, or not end well?" in answer.err
    assert answer.document("status")["rows"]


def test_a_run_for_one_character_is_no_run_of_everything(run: Any) -> None:
    assert run("apply", "--char-id", "ai_hoshino").code == 0
    assert run("status", "--max-age", "26h").code == 1


def test_a_run_that_left_something_undone_is_no_good_run(run: Any, project: Path) -> None:
    bucket = project / "stores" / "my-bucket"
    bucket.rename(bucket.with_name("away"))
    bucket.write_text("no bucket")
    assert run("apply").code == 1
    bucket.unlink()
    bucket.with_name("away").rename(bucket)
    assert run("status", "--max-age", "26h").code == 1


def test_how_old_is_too_old() -> None:
    at = datetime(2026, 2, 7, 3, 0, tzinfo=UTC)
    assert overdue("2026-02-06T03:00:00Z", 24 * 3600, at) == ""
    assert "1m 1s" not in overdue("2026-02-06T02:59:59Z", 24 * 3600, at)
    assert overdue("2026-02-06T02:59:59Z", 24 * 3600, at).startswith(
        "the last good run ended 2026-02-06T02:59:59Z, 24h"
    )


def test_an_old_saved_plan_is_no_good_run_of_today(run: Any, project: Path, tmp_path: Path) -> None:
    run("apply")
    run("plan", "--out", str(tmp_path / "old.json"))
    saved = (tmp_path / "old.json").read_text(encoding="utf-8")
    created = json.loads(saved)["created"]
    (tmp_path / "old.json").write_text(saved.replace(created, "2020-01-01T00:00:00Z"), encoding="utf-8")
    with Project.open(project).opened() as opened:
        opened.state.remember_fact("last good run", "2019-01-01T00:00:00Z")
    assert run("apply", str(tmp_path / "old.json")).code == 0
    assert run("status", "--max-age", "26h").code == 1


@pytest.mark.parametrize("stamp", ["2099-01-01T00:00:00Z", "yesterday", "2026-02-07T03:00:00", ""])
def test_a_time_that_cannot_be_is_no_good_run_and_the_next_run_mends_it(stamp: str, run: Any, project: Path) -> None:
    with Project.open(project).opened() as opened:
        opened.state.remember_fact("last good run", stamp)
    answer = run("status", "--max-age", "26h")
    assert answer.code == 1
    assert "bug" not in answer.err
    assert run("apply", "--if-older", "26h").code == 0
    assert run("status", "--max-age", "26h").code == 0


# -- --notify --


def test_a_success_is_told_with_the_result(run: Any, tmp_path: Path) -> None:
    answer = run("apply", "--json", "--notify", telling(tmp_path / "told"))
    assert answer.code == 0
    code, document = told(tmp_path / "told")
    assert {document.pop("summary"), document.pop("text").splitlines()[0]} == {
        "studio: done: 2 uploads (49.2 kB), 2 fields"
    }
    assert (code, document) == (0, answer.document("result"))
    assert "told\n" in answer.err


def test_a_night_with_nothing_to_do_is_told_too(run: Any, tmp_path: Path) -> None:
    run("apply")
    run("apply", "--notify", telling(tmp_path / "told"))
    assert told(tmp_path / "told")[1]["status"] == "success"


def test_a_failure_is_told_with_the_error(run: Any, project: Path, tmp_path: Path) -> None:
    with Project.open(project).opened() as opened, opened.lock().acquire():
        answer = run("apply", "--json", "--notify", telling(tmp_path / "told"))
    assert answer.code == 75
    code, document = told(tmp_path / "told")
    assert document.pop("summary").startswith("studio: failed: another run")
    assert "\nhint: " in document.pop("text")
    assert (code, document) == (75, answer.document("error"))


def test_wrong_rules_are_told(run: Any, project: Path, tmp_path: Path) -> None:
    (project / "rules" / "asset_map.toml").write_text("nonsense = 1\n", encoding="utf-8")
    assert run("apply", "--notify", telling(tmp_path / "told")).code == 78
    code, document = told(tmp_path / "told")
    assert (code, document["code"]) == (78, "config")


def test_a_command_that_fails_is_said_and_changes_no_exit_code(run: Any) -> None:
    answer = run("apply", "--notify", "exit 3")
    assert answer.code == 0
    assert "the --notify command exited with 3" in answer.err


def test_a_dry_run_tells_nobody(run: Any, tmp_path: Path) -> None:
    run("apply", "-n", "--notify", telling(tmp_path / "told"))
    assert not (tmp_path / "told").exists()


def test_a_command_that_hangs_is_stopped_with_all_that_it_started(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    session, pipe = Session(Common(quiet=True)), tmp_path / "pipe"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    started = time.monotonic()
    with notifying(f"exec 3> '{pipe}'; echo open >&3; (sleep 60; true) | cat", session, timeout=0.5) as ended:
        ended((ErrorDocument("any", "", "", ""), 0, ()))
    assert "took longer than 0.5 s and was stopped" in capfd.readouterr().err
    assert time.monotonic() - started < 30
    assert os.read(held, 100) == b"open\n"
    assert select.select([held], [], [], 10)[0], "a process that it started is still there"
    assert os.read(held, 100) == b""
    os.close(held)


def test_a_command_that_reads_nothing_of_a_long_document_is_stopped_in_time(capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever a pipe holds: on Windows that is very little."""
    started = time.monotonic()
    with notifying("exec sleep 60", Session(Common(quiet=True)), timeout=0.5) as ended:
        ended((ErrorDocument("x" * 1_000_000, "", "", ""), 0, ()))
    assert "was stopped" in capfd.readouterr().err
    assert time.monotonic() - started < 30


def test_a_command_need_not_read_what_it_is_given(capfd: pytest.CaptureFixture[str]) -> None:
    with notifying("true", Session(Common(quiet=True))) as ended:
        ended((ErrorDocument("x" * 1_000_000, "", "", ""), 0, ()))
    assert capfd.readouterr().err == ""


# -- --if-older --


def test_a_run_that_gives_way_to_another_is_no_failure(run: Any, project: Path) -> None:
    with Project.open(project).opened() as opened, opened.lock().acquire():
        answer = run("apply", "--if-older", "26h", "--wait-lock", "0.1s", "--json")
    assert answer.code == 0
    assert answer.document("result")["counts"]["applied"] == 0
    assert "still at work" in answer.err


@pytest.mark.parametrize("more", [["-n"], ["plan.json"]])
def test_if_older_goes_with_a_run_of_its_own_only(more: list[str], run: Any) -> None:
    assert run("apply", "--if-older", "26h", *more, "--json").code == 64


def test_a_run_that_is_not_due_does_nothing_and_says_so(run: Any, project: Path) -> None:
    assert run("apply", "--if-older", "26h").code == 0
    (project / "output" / "characters" / "rem_cosplay.png").write_bytes(b"new")
    os.utime(project / "output" / "characters" / "rem_cosplay.png", (1, 1))
    answer = run("apply", "--if-older", "26h")
    assert (answer.code, answer.out) == (0, "")
    assert "nothing done: the last good run was" in answer.err
    assert run("apply", "--if-older", "26h", "--json").document("result")["counts"]["applied"] == 0
    assert run("plan", "--detailed-exitcode").code == 2
    with Project.open(project).opened() as opened:
        opened.state.remember_fact("last good run", "2020-01-01T00:00:00Z")
    run("apply", "--if-older", "26h")
    assert run("plan", "--detailed-exitcode").code == 0
