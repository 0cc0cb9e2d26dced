"""An error finding that stands: what is said of it, and how it fails a run that was told to fail on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reconcile import Project
from tests.kit.small_project import write

CONFLICT = "characters/rem.png"


def stand(project: Path) -> None:
    """An error finding that no run can settle: both sides have content, and they differ."""
    write(project, CONFLICT, b"something else")
    (project / ".reconcile" / "state.db").unlink(missing_ok=True)  # which remembers that they agreed once


WARNING = "characters/nobody.png"


@pytest.mark.parametrize(
    "command", [["plan"], ["apply"], ["apply", "-n"], ["status"], ["run", "--", "true"]], ids=" ".join
)
def test_an_error_that_stands_fails_what_was_told_so(command: list[str], run: Any, project: Path) -> None:
    stand(project)
    given = command.index("--") if "--" in command else len(command)
    for severity in ("error", "warning"):
        answer = run(*command[:given], "--fail-on", severity, *command[given:])
        assert answer.code == 6, answer.err
        assert "1 error needs you" in answer.err.splitlines()[-1]
        assert CONFLICT in answer.err.splitlines()[-1]
    assert run(*command).code == 0


def test_a_run_that_fails_on_a_finding_has_still_done_what_could_be_done(run: Any, project: Path) -> None:
    stand(project)
    answer = run("apply", "--fail-on", "error", "--json")
    assert answer.code == 6
    assert answer.document("result")["counts"]["applied"] == 4
    assert run("apply", "--json").document("result")["counts"]["applied"] == 0


def test_a_warning_fails_only_a_run_that_was_told_to_fail_on_warnings(run: Any, project: Path) -> None:
    write(project, WARNING, b"x" * 100)
    run("apply")
    found = run("plan", "--json").document("plan")["summary"]["findings"]
    assert (found["error"], found["warning"]) == (0, 1)
    assert run("plan", "--fail-on", "error").code == 0
    assert run("plan", "--fail-on", "warning").code == 6


def test_notes_fail_nothing(run: Any) -> None:
    assert run("plan", "--json").document("plan")["summary"]["findings"]["info"]
    assert run("apply", "--fail-on", "warning").code == 0


def test_a_failure_is_a_failure_first(run: Any, project: Path) -> None:
    stand(project)
    write(project, "characters/\x01.png", b"x")
    bucket = project / "stores" / "my-bucket"
    bucket.rename(bucket.with_name("away"))
    bucket.write_text("no bucket")
    assert run("apply", "--fail-on", "error").code == 1


def test_the_workflow_s_own_code_comes_first(run: Any, project: Path) -> None:
    stand(project)
    assert run("run", "--fail-on", "error", "--", "sh", "-c", "exit 3").code == 3


def test_a_finding_that_fails_comes_before_differences(run: Any, project: Path) -> None:
    stand(project)
    assert run("plan", "--detailed-exitcode").code == 2
    assert run("plan", "--detailed-exitcode", "--fail-on", "error").code == 6
    assert run("status", "--detailed-exitcode", "--fail-on", "error").code == 6


def test_a_run_that_failed_on_a_finding_is_no_good_run(run: Any, project: Path) -> None:
    stand(project)
    assert run("apply", "--fail-on", "error").code == 6
    answer = run("status", "--max-age", "26h")
    assert answer.code == 1
    assert "no run of everything has ended well" in answer.err
    write(project, CONFLICT, b"r" * 100)
    assert run("apply", "--fail-on", "error").code == 0
    assert run("status", "--max-age", "26h").code == 0
    stand(project)
    with Project.open(project).opened() as opened:
        opened.state.remember_fact("last good run", "2020-01-01T00:00:00Z")
    assert run("apply", "--fail-on", "error").code == 6
    assert run("status", "--max-age", "26h").code == 1


def test_whoever_is_notified_gets_that_exit_code(run: Any, project: Path, tmp_path: Path) -> None:
    stand(project)
    told = tmp_path / "told"
    assert run("apply", "--fail-on", "error", "--notify", f'echo "$RECONCILE_EXIT_CODE" > {told}').code == 6
    assert told.read_text(encoding="utf-8") == "6\n"


def test_done_says_that_an_error_needs_somebody(run: Any, project: Path) -> None:
    stand(project)
    assert "Done, but 1 error needs you: 2 uploads (49.2 kB), 2 fields in " in run("apply").out
    assert "Nothing to do, but 1 error needs you: " in run("apply").out
    write(project, "characters/ai_hoshino.png", b"other")
    assert "Nothing to do" not in run("apply", "--replace", "never").out.replace(
        "Nothing to do, but 2 errors need you", ""
    )


def test_done_says_so_of_no_error_otherwise(run: Any) -> None:
    assert "Done: 2 uploads (49.2 kB), 2 fields in " in run("apply").out


def test_status_has_differences_unless_every_row_is_in_step(run: Any, project: Path) -> None:
    assert run("status", "--detailed-exitcode").code == 2
    run("apply")
    assert run("status", "--detailed-exitcode").code == 0
    stand(project)
    assert run("plan", "--detailed-exitcode").code == 0
    assert run("status", "--detailed-exitcode").code == 2
    assert run("status", "--detailed-exitcode", "--by", "character").code == 2
    assert run("status", "--detailed-exitcode", "--char-id", "ai_hoshino").code == 0
    assert run("status").code == 0


def test_status_has_differences_where_a_record_names_what_is_nowhere(run: Any, project: Path) -> None:
    run("apply")
    (project / "output" / CONFLICT).unlink()
    (project / "stores" / "my-bucket").rename(project / "stores" / "away")
    (project / "stores" / "my-bucket").mkdir()
    assert run("status", "--detailed-exitcode").code == 2


def test_logs_as_json_say_it_too(run: Any, project: Path) -> None:
    stand(project)
    answer = run("plan", "--fail-on", "error", "--log-format", "json", "--json")
    assert answer.code == 6
    last = json.loads(answer.err.splitlines()[-1])
    assert "1 error needs you" in last["message"]


def test_another_severity_exits_64(run: Any) -> None:
    assert run("plan", "--fail-on", "info").code == 64


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
@pytest.mark.parametrize(("options", "code"), [([], 0), (["--fail-on", "error"], 6)])
def test_a_watcher_that_is_told_to_end_while_an_error_stands(options: list[str], code: int, project: Path) -> None:
    stand(project)
    command = [sys.executable, "-m", "reconcile", "-C", str(project), "watch", "--json", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as watcher:
        assert watcher.stdout is not None
        for line in watcher.stdout:
            if json.loads(line)["event"] == "idle":
                watcher.send_signal(signal.SIGTERM)
        assert watcher.wait(60) == code
