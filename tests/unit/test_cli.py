"""The command line as a process sees it: exit codes, streams, JSON documents, prompts, interrupts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from reconcile import Project, cli
from reconcile.__main__ import main
from reconcile.cli.options import Common, Planned
from reconcile.cli.session import Session
from reconcile.cli.signals import stopping, terminable
from tests.kit.at_terminal import Question, at_terminal
from tests.kit.small_project import LOCAL_PATH, URI, open_objects, open_records, write
from tools import schemas

COMMANDS = (
    *("init", "plan", "apply", "status", "explain", "verify", "restore", "watch", "run", "history", "undo", "schedule"),
    *("list", "url", "rules", "rules check", "rules test", "doctor", "report", "demo", "completion"),
)
APPLY = Question(b"? [y/N] ", b"Apply to gs://my-bucket/anime_dance")
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")


def process(arguments: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "reconcile", *arguments]
    return subprocess.run(command, text=True, capture_output=True, timeout=60, encoding="utf-8", **options)


# -- plan --


def test_plan_prints_and_changes_nothing(run: Any, project: Path) -> None:
    answer = run("plan", "--quiet")
    assert answer.code == 0
    *_, totals, following = answer.out.splitlines()
    assert totals.startswith("Plan: 2 to upload (49.2 kB), 2 fields to set in 1 record, 1 asset")
    assert following == f"Next: `reconcile -C {project} apply`"
    assert answer.err == ""
    assert LOCAL_PATH not in answer.out
    assert LOCAL_PATH in run("plan", "--full").out
    assert run("plan", "-q").out == answer.out


def test_detailed_exitcode_tells_differences_from_none(run: Any) -> None:
    assert run("plan", "--detailed-exitcode").code == 2
    assert run("status", "--detailed-exitcode").code == 2
    assert run("apply", "--yes").code == 0
    assert run("plan", "--detailed-exitcode").code == 0
    assert run("status", "--detailed-exitcode").code == 0


def test_findings_alone_are_no_differences(run: Any) -> None:
    run("apply", "--yes")
    answer = run("plan", "--detailed-exitcode")
    assert answer.code == 0
    assert "unclaimed_file" in answer.out


def test_an_incomplete_plan_exits_1(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "plan.json"
    run("plan", "--out", str(out))
    out.write_text(out.read_text(encoding="utf-8").replace('"complete": true', '"complete": false'), encoding="utf-8")
    answer = run("apply", "--dry-run", str(out))
    assert answer.code == 1
    assert "This plan is incomplete" in answer.out


def test_a_store_that_cannot_be_read_exits_1_with_a_sentence(run: Any, project: Path) -> None:
    answer = run("plan", "--local-root", "gone")
    assert answer.code == 1
    assert answer.err.count("error: ") == 1
    assert "Traceback" not in answer.err


def test_a_saved_plan_is_the_plan_of_json(run: Any, project: Path, tmp_path: Path) -> None:
    out = tmp_path / "plan.json"
    answer = run("plan", "--json", "--out", str(out))
    assert answer.document("plan") == json.loads(out.read_bytes())
    assert list(tmp_path.glob(".*")) == []
    run("apply", "--yes")
    assert run("plan", "--out", str(out)).code == 0
    assert json.loads(out.read_bytes())["actions"] == []


def test_out_into_a_folder_that_is_not_there_is_refused_before_anything_is_read(run: Any, tmp_path: Path) -> None:
    answer = run("plan", "--local-root", "gone", "--out", str(tmp_path / "no" / "plan.json"))
    assert answer.code == 64


@pytest.mark.parametrize("command", ["plan", "status"])
def test_no_cache_changes_no_result(run: Any, command: str) -> None:
    run("apply", "--yes")
    assert run(command, "--no-cache").out == run(command).out


def test_no_cache_opens_a_project_that_judges_everything(project: Path) -> None:
    session = Session(Common(project=project))
    for no_cache in (True, False):
        with session.opened(sized=Planned(no_cache=no_cache)) as opened:
            assert opened.options.cache is not no_cache


def test_scope(run: Any) -> None:
    plan = run("plan", "--json", "--char-id", "ai_hoshino", "--asset-type", "anime_image").document("plan")
    assert plan["scope"] == {"char_ids": ["ai_hoshino"], "asset_types": ["anime_image"], "paths": []}
    assert {action["key"] for action in plan["actions"]} == {"characters/ai_hoshino.png"}
    assert run("plan", "--char-id", "nobody").code == 64
    assert run("plan", "--asset-type", "nothing").code == 64


# -- apply --


def test_apply_puts_right_and_the_second_run_finds_nothing(run: Any, project: Path) -> None:
    first = run("apply")
    assert first.code == 0
    assert "Done: 2 uploads (49.2 kB), 2 fields in " in first.out
    assert open_records(project).fields("ai_hoshino")["assets"][0]["anime_image"] == URI
    second = run("apply")
    assert second.code == 0
    assert second.out.splitlines()[-1].startswith("Nothing to do: 3 assets in step.")


def test_apply_json_is_one_document_and_the_second_is_empty(run: Any) -> None:
    result = run("apply", "--json").document("result")
    assert (result["status"], result["counts"]["applied"]) == ("success", 4)
    assert run("apply", "--json").document("result")["outcomes"] == []


def test_dry_run_is_plan(run: Any) -> None:
    plan = run("plan", "--quiet").out
    assert run("apply", "-n", "--quiet").out == plan
    assert run("plan", "--quiet").out == plan


def test_a_saved_plan_applies_and_then_is_stale(run: Any, project: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "plan.json")
    run("plan", "--out", out)
    records = open_records(project)
    records.put("ai_hoshino", {"assets": [{"title": "primary", "anime_image": "other", "kpop_video": "other"}]})
    records.close()
    answer = run("apply", out, "--json")
    assert answer.code == 3
    assert answer.document("result")["counts"]["stale"] == 2


def test_a_file_that_is_no_plan_is_a_usage_error(run: Any, tmp_path: Path) -> None:
    (tmp_path / "torn.json").write_text('{"format": "reconcile.plan/1", "acti')
    assert run("apply", str(tmp_path / "torn.json")).code == 64
    assert run("apply", str(tmp_path / "missing.json")).code == 64
    assert run("apply", str(tmp_path / "missing.json"), "--char-id", "rem").code == 64


def test_a_safety_limit_refuses_and_force_goes_past(run: Any) -> None:
    answer = run("apply", "--max-actions", "3", "--json")
    assert answer.code == 4
    assert answer.document("error")["code"] == "refused"
    assert run("apply", "--max-actions", "3", "--force").code == 0


def test_replace_for_this_run(run: Any, project: Path) -> None:
    write(project, "characters/rem.png", b"R" * 100)
    assert run("plan", "--json").document("plan")["summary"]["replace"] == 0
    assert run("apply", "--replace", "local", "--json").document("result")["status"] == "success"
    assert run("plan", "--json").document("plan")["findings"][0]["code"] == "unclaimed_file"


def test_another_run_holds_the_lock(run: Any, project: Path) -> None:
    with Project.open(project).opened() as opened, opened.lock().acquire():
        answer = run("apply", "--json")
        assert run("plan").code == 0
    assert answer.code == 75
    assert answer.document("error")["code"] == "locked"


# -- status, explain, rules, init, demo --


def types_of(folder: Path) -> list[str]:
    """The asset types of a project, in the order of its rules."""
    return [rule.type for rule in Project.open(folder).settings.asset_map.rules]


def test_status_has_a_row_for_every_type_and_one_for_no_rule(run: Any, project: Path) -> None:
    rows = run("status", "--json").document("status")["rows"]
    assert [row["asset_type"] for row in rows] == [*types_of(project), None]
    images = next(row for row in rows if row["asset_type"] == "anime_image")
    assert (images["local"], images["bucket"], images["in_step"], images["sync"]) == (2, 1, 1, "partial")
    assert rows[-1]["label"] == "No rule"


def test_status_by_character(run: Any) -> None:
    rows = run("status", "--by", "character", "--json").document("status")["rows"]
    assert [row["char_id"] for row in rows] == ["ai_hoshino", "rem", None]
    assert [row["sync"] for row in rows[:2]] == ["missing", "complete"]


def test_explain_as_json(run: Any) -> None:
    asset = run("explain", LOCAL_PATH, "--json").document("explain")
    assert (asset["asset"]["key"], asset["character"]) == ("characters/ai_hoshino.png", None)
    character = run("explain", "rem", "--json").document("explain")
    assert (character["character"]["char_id"], character["asset"]) == ("rem", None)
    assert run("explain", "gs://other/x").code == 64
    assert run("explain", "ai_hoshin").err.splitlines()[-1] == "hint: did you mean ai_hoshino?"


def test_rules_check_and_test_as_json(run: Any, project: Path) -> None:
    rules = run("rules", "check", "--json").document("rules")["rules"]
    assert [rule["type"] for rule in rules] == types_of(project)
    paths = ["remixes/rem_x/result/[kpop]_x.mp4", "foo.txt"]
    kpop, foo = run("rules", "test", *paths, "--json").document("rules-test")["results"]
    assert (kpop["rule"]["type"], foo["rule"]) == ("kpop_version", None)


def test_wrong_rules_exit_78(run: Any, project: Path) -> None:
    (project / "rules" / "asset_map.toml").write_text("[local\n")
    answer = run("rules", "check", "--json")
    assert answer.code == 78
    assert answer.document("error")["message"].count(":1: ") == 1


def test_init_writes_once(run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    path = Path(run("init", "--json", folder=folder).document("init")["path"])
    assert path == folder / "rules" / "asset_map.toml"
    path.write_text("mine")
    assert run("init", folder=folder).code == 64
    assert path.read_text() == "mine"


def test_demo_ends_with_nothing_to_do(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONCILE_BUCKET_URI", "gs://a-real-bucket")
    document = run("demo", str(tmp_path / "demo"), "--json").document("demo")
    assert document["plan"]["actions"] != []
    assert document["again"]["actions"] == []
    assert document["plan"]["stores"]["bucket"] == "gs://my-bucket/anime_dance"
    assert document["plan"]["stores"]["bucket_endpoint"].startswith("file:")
    assert run("demo", str(tmp_path / "demo")).code == 64


def test_demo_as_text_names_the_next_command(run: Any, tmp_path: Path) -> None:
    answer = run("demo", str(tmp_path / "demo"))
    assert answer.code == 0
    command = answer.out.splitlines()[-1].removeprefix("Try: ")
    assert command.endswith(f"-C {tmp_path / 'demo'} status")
    tried = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stderr
    assert "complete" in tried.stdout


def test_demo_names_a_python_below_the_current_folder_without_the_blanks_above_it(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PowerShell takes a program in quotes for a text."""
    (tmp_path / "Ai Hoshino").mkdir()
    monkeypatch.chdir(tmp_path / "Ai Hoshino")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "Ai Hoshino" / ".venv" / "python"))
    answer = run("demo", "demo")
    assert answer.out.splitlines()[-1] == f"Try: {os.path.join('.venv', 'python')} -m reconcile -C demo status"


# -- options, errors, streams --


def test_common_options_go_before_and_after_the_command(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    given = ["-C", str(project), "--json", "--quiet"]
    outs = []
    for arguments in ([*given, "rules", "check"], ["rules", *given, "check"], ["rules", "check", *given]):
        assert main(arguments) == 0
        outs.append(capfd.readouterr().out)
    assert outs[0] == outs[1] == outs[2]
    assert json.loads(outs[0])["format"] == "reconcile.rules/1"


def test_store_flags_override_the_environment(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONCILE_BUCKET_URI", "gs://from-environment")
    stores = run("plan", "--json").document("plan")["stores"]
    assert stores["bucket"] == "gs://from-environment"
    stores = run("plan", "--json", "--bucket-uri", "gs://from-flag/x").document("plan")["stores"]
    assert stores["bucket"] == "gs://from-flag/x"


def test_an_empty_flag_overrides_too(run: Any) -> None:
    assert run("plan", "--json", "--local-root", "").code == 64


def test_an_explanation_takes_a_scope(run: Any) -> None:
    document = run("explain", "ai_hoshino", "--char-id", "ai_hoshino", "--json").document("explain")
    assert document["character"]["char_id"] == "ai_hoshino"


def test_a_path_below_no_root_is_not_explained_as_a_key(run: Any) -> None:
    for command in (("explain", "/etc/passwd"), ("rules", "test", "/etc/passwd")):
        answer = run(*command)
        assert answer.code == 64
        assert "/etc/passwd" in answer.err


@pytest.mark.parametrize("closed", [">&-", "2>&-", "2>/dev/full"])
def test_a_stream_that_is_closed_or_full_stops_no_run(closed: str, project: Path) -> None:
    if closed.endswith("full") and not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    done = subprocess.run(
        f"{sys.executable} -m reconcile -C {project} apply --yes {closed}", shell=True, capture_output=True, check=False
    )
    assert done.returncode == 0
    assert b"Traceback" not in done.stdout + done.stderr
    again = subprocess.run(
        [sys.executable, "-m", "reconcile", "-C", str(project), "plan", "--detailed-exitcode"],
        capture_output=True,
        check=False,
    )
    assert again.returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [["--nope"], ["nope"], ["plan", "--nope"], ["plan", "extra"], ["explain"], ["apply", "--concurrency", "0"]],
    ids=lambda arguments: " ".join(arguments),
)
def test_a_wrong_command_line_exits_64(run: Any, arguments: list[str]) -> None:
    answer = run(*arguments)
    assert answer.code == 64
    assert answer.out == ""
    assert len(answer.err.splitlines()) == 2
    answer = run("--json", *arguments)
    assert answer.code == 64
    assert answer.document("error")["code"] == "usage"


@pytest.mark.parametrize("arguments", [["apply"], ["apply", "-n"], ["watch"], ["run", "true"]], ids=" ".join)
def test_a_rate_that_cannot_be_read_is_named_before_anything_is_done(run: Any, arguments: list[str]) -> None:
    name, *rest = arguments
    answer = run("--json", name, "--bwlimit", "08:00,512k 18:00,fast", *rest)
    assert answer.code == 64
    assert "--bwlimit: 'fast' in '18:00,fast' is not a rate" in answer.document("error")["message"]


def test_verbose_adds_the_traceback_after_the_sentence(run: Any) -> None:
    plain, verbose = run("plan", "--char-id", "x").err, run("plan", "--char-id", "x", "--verbose").err
    assert "Traceback" not in plain
    assert verbose.startswith(plain)
    assert "Traceback" in verbose


def test_json_logs(run: Any) -> None:
    lines = [json.loads(line) for line in run("plan", "--char-id", "x", "--log-format", "json").err.splitlines()]
    assert lines[0]["event"] == "phase_started"
    assert lines[-1]["event"] == "error"
    assert lines[-1]["code"] == "usage"


def test_no_arguments_is_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Usage: reconcile" in capfd.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    assert f"Usage: reconcile {command}" in capfd.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_with_a_commands_name_shows_what_its_own_option_shows(
    command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*command.split(), "--help"]) == 0
    shown = capfd.readouterr().out
    assert main(["help", *command.split()]) == 0
    assert capfd.readouterr().out == shown


@pytest.mark.parametrize(("words", "said"), [("plann", "no such command 'plann'"), ("plan x", "has no command 'x'")])
def test_help_of_what_is_no_command_is_refused(words: str, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["help", *words.split()]) == 64
    assert said in capfd.readouterr().err


def test_help_lists_every_command_in_one_group_and_shows_no_type_of_a_flag(capfd: pytest.CaptureFixture[str]) -> None:
    listed = [name for names in cli.GROUPS.values() for name in names]
    assert sorted(listed) == sorted({path.partition(" ")[0] for path in cli.COMMANDS})
    assert main(["--help"]) == 0
    shown = capfd.readouterr().out
    assert all(group in shown for group in cli.GROUPS)
    assert "<bool>" not in shown


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(option: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([option]) == 0
    assert capfd.readouterr().out.startswith("reconcile 0.")


def test_listing_the_commands_imports_none_of_them() -> None:
    modules = {f"reconcile.cli.{entry.module}" for path, entry in cli.COMMANDS.items() if path != "completion"}
    code = (
        "import sys; from reconcile.__main__ import main; main(['--help']);"
        f"print(sorted(set(sys.modules) & {modules!r}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "[]"
    assert all(path.split()[-1] in done.stdout for path in cli.COMMANDS if not path.startswith("rules "))


def test_a_reader_that_leaves_early_is_quiet(project: Path) -> None:
    read, written = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "reconcile", "-C", str(project), "plan", "--quiet"]
    done = subprocess.run(command, stdout=written, stderr=subprocess.PIPE, timeout=60)
    os.close(written)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_full_disk_behind_stdout_is_an_error(project: Path, options: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "reconcile", "-C", str(project), "plan", "--quiet", *options]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=60, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the output cannot be written: ")
    assert len(done.stderr.splitlines()) == 2


def test_a_console_that_lacks_a_character_gets_it_escaped(project: Path) -> None:
    write(project, "characters/星野.png", b"x")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = process(["-C", str(project), "plan", "--quiet"], env=environment)
    assert done.returncode == 0
    assert "characters/\\u661f\\u91ce.png" in done.stdout


def test_no_colour_in_a_pipe_unless_asked_for(run: Any) -> None:
    assert "\x1b" not in run("plan").out
    assert "\x1b[" in run("plan", "--color", "always").out


# -- prompts and interrupts --


@posix_only
@pytest.mark.parametrize(
    ("typed", "code", "uploaded"), [(b"y\n", 0, True), (b"\n", 5, False), (b"no\n", 5, False), (b"\x04", 5, False)]
)
def test_on_a_terminal_apply_shows_the_plan_and_asks(project: Path, typed: bytes, code: int, uploaded: bool) -> None:
    assert at_terminal(["-C", str(project), "apply"], APPLY, typed) == code
    assert (open_objects(project).get("characters/ai_hoshino.png") is not None) is uploaded


@posix_only
def test_nothing_to_do_asks_nothing(project: Path) -> None:
    assert main(["-C", str(project), "apply", "--yes"]) == 0
    assert at_terminal(["-C", str(project), "apply"], APPLY, b"") == 0


@posix_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_at_the_prompt_exits_130_and_lets_go_of_the_lock(project: Path, number: signal.Signals) -> None:
    assert at_terminal(["-C", str(project), "apply"], APPLY, number) == 130
    assert open_objects(project).get("characters/ai_hoshino.png") is None
    assert main(["-C", str(project), "apply", "--yes"]) == 0


def test_the_first_interrupt_asks_to_stop_and_the_second_aborts() -> None:
    told: list[str] = []
    with stopping(told.append) as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert told == ["interrupted, finishing what is in flight; press Ctrl-C again to stop at once"]


def test_sigterm_asks_to_stop_however_often_it_comes() -> None:
    with stopping(print) as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set()


@pytest.mark.skipif(sys.platform == "win32", reason="the real one ends the test run's console, too")
def test_windows_ctrl_break_asks_to_stop_like_sigterm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    with stopping(print) as stop:
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR1)
        assert stop.is_set()
    with pytest.raises(KeyboardInterrupt), terminable():
        signal.raise_signal(signal.SIGUSR1)


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stopping(print):
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


# -- schemas --


@pytest.mark.parametrize("name", schemas.DOCUMENTS)
def test_the_committed_schemas_are_current(name: str) -> None:
    assert (schemas.FOLDER / f"{name}.json").read_text(encoding="utf-8") == schemas.text(name), (
        "python -m tools.schemas"
    )


def test_no_schema_is_left_over() -> None:
    assert {path.stem for path in schemas.FOLDER.glob("*.json")} == set(schemas.DOCUMENTS)
