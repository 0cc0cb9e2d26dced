"""Completion: each shell is given a script that asks the program, and the program answers with what is there."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from reconcile.adapters.state.recall import Recall
from reconcile.adapters.state.store import State
from reconcile.cli import app
from reconcile.cli.shells import answer
from reconcile.core.rows import Agreed

SHELLS = {
    "bash": ("--norc", "--noprofile", "-i"),
    "zsh": ("-f", "-i"),
    "fish": ("--no-config", "-i"),
}
ODD = "ai's [kpop] v2 $HOME"
"""An id with all that shells make something else of."""


def ask(folder: Path, *words: str, shell: str = "fish", **environment: str) -> list[str]:
    """The lines that the program answers a shell's script, which has these words before the cursor."""
    asked = {"_RECONCILE_COMPLETE": shell, "_RECONCILE_WORDS": "\n".join(["reconcile", *words])}
    return asked_with(folder, {**asked, **environment})


def asked_with(folder: Path, environment: dict[str, str]) -> list[str]:
    with contextlib.chdir(folder):
        return answer(get_command(app), environment).decode().splitlines()


def asked_as_a_script_does(folder: Path, environment: dict[str, str]) -> list[str]:
    """The program as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "reconcile"],
        env={**os.environ, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def in_bash(folder: Path, line: str) -> list[str]:
    breaks = " \t\n\"'><=;|&(:"
    asked = {"_RECONCILE_COMPLETE": "bash", "_RECONCILE_LINE": line, "_RECONCILE_BREAKS": breaks}
    return asked_with(folder, asked)


@pytest.fixture
def remembered(project: Path) -> Path:
    """A project of which the last run knows some characters and paths."""
    with State(project) as state:
        state.remember_characters(["rem", "rem_2", ODD, "アイ", "bad\x1b[31m", "two\nlines"])
        state.remember([Agreed("re mix/[kpop] 1.mp4", 1, "AAAAAA==", 1)])
    return project


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_every_shell_has_a_script_that_asks_the_program(shell: str, run: Any) -> None:
    answer = run("completion", shell)
    assert answer.code == 0
    assert f"_RECONCILE_COMPLETE={shell}" in answer.out.replace("$env:", "").replace(" = ", "=").replace("'", "")


@pytest.mark.parametrize("shell", ["zsh", "fish", "powershell"])
def test_the_program_completes_a_command_for_every_shell(shell: str, project: Path) -> None:
    assert [line.split("\t")[0] for line in ask(project, "sch", shell=shell)] == ["schedule"]
    assert in_bash(project, "reconcile sch") == ["schedule"]


def test_asset_types_runs_and_states_are_completed_from_the_project(run: Any, project: Path) -> None:
    run_id = run("apply", "--json").document("result")["run_id"]
    assert ask(project, "plan", "--asset-type", "k") == ["kpop_version\tK-Pop Version"]
    assert ask(project, "plan", "--asset-type=k") == ["--asset-type=kpop_version\tK-Pop Version"]
    assert ask(project, "undo", "2") == ask(project, "history", "--run", "2") == [run_id]
    assert ask(project, "undo", "l") == ["last"]
    assert ask(project, "list", "--state", "m") == ["metadata", "missing"]


def test_characters_and_paths_are_those_that_the_last_run_saw(run: Any, project: Path) -> None:
    assert ask(project, "plan", "--char-id", "") == []
    run("plan")
    known = ask(project, "plan", "--char-id", "")
    assert "ai_hoshino" in known
    assert ask(project, "plan", "--char-id", "ai_h") == ["ai_hoshino"]
    assert ask(project, "plan", "--path", "ch") == ["characters/"]
    below = ask(project, "plan", "--path", "characters/")
    assert "characters/ai_hoshino.png" in below
    assert set(known) <= set(ask(project, "explain", ""))
    bucket = "gs://my-bucket/anime_dance/"
    assert ask(project, "url", "gs:") == [bucket]
    assert ask(project, "url", f"{bucket}characters/") == [bucket + each for each in below]
    assert ask(project, "url", "gs://other/") == []


def test_the_project_that_the_line_names_is_the_one_that_is_asked(run: Any, project: Path, tmp_path: Path) -> None:
    run("plan")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert ask(elsewhere, "plan", "--char-id", "ai_h") == []
    assert ask(elsewhere, "-C", str(project), "plan", "--char-id", "ai_h") == ["ai_hoshino"]
    assert ask(elsewhere, "plan", "-C", str(project), "--char-id", "ai_h") == ["ai_hoshino"]


def test_saved_plans_are_completed_and_other_files_are_not(run: Any, project: Path) -> None:
    run("plan", "--out", str(project / "saved.json"))
    (project / "some.json").write_text("{}", encoding="utf-8")
    (project / "some").mkdir()
    assert ask(project, "apply", "s") == ["saved.json", "some/", "stores/"]
    assert ask(project, "apply", f"{project}/sa") == [f"{project}/saved.json"]
    assert ask(project, "apply", "nowhere/") == []


def test_a_name_that_a_terminal_would_obey_is_left_out(remembered: Path) -> None:
    assert ask(remembered, "plan", "--char-id", "") == [ODD, "rem", "rem_2", "アイ"]


def test_an_odd_name_is_quoted_as_the_shell_needs_it(remembered: Path) -> None:
    quoted = ODD.replace("'", "''")
    assert ask(remembered, "plan", "--char-id", "ai", shell="powershell") == [f"'{quoted}'\t{ODD}\t{ODD}"]
    assert ask(remembered, "plan", "--char-id", "ai", shell="zsh") == [ODD]
    for begun, rest in (
        ("ai", "ai\\'s\\ \\[kpop\\]\\ v2\\ \\$HOME"),
        ("ai\\'s\\ ", "ai\\'s\\ \\[kpop\\]\\ v2\\ \\$HOME"),
        ('"ai', "ai's [kpop] v2 \\$HOME"),
        ("'ai'\\''s", "s [kpop] v2 $HOME"),
    ):
        assert in_bash(remembered, f"reconcile plan --char-id {begun}") == [rest], begun
    assert in_bash(remembered, "reconcile plan --char-id=rem_") == ["rem_2"]


def test_bash_is_given_what_it_puts_behind_a_colon(run: Any, project: Path) -> None:
    run("plan")
    assert in_bash(project, "reconcile plan --path gs://my-b") == ["//my-bucket/anime_dance/"]
    assert in_bash(project, 'reconcile plan --path "gs://my-b') == ["gs://my-bucket/anime_dance/"]


def test_the_script_of_an_earlier_version_is_told_nothing(project: Path) -> None:
    asked = {"_RECONCILE_COMPLETE": "complete_bash", "COMP_WORDS": "reconcile pl", "COMP_CWORD": "1"}
    assert asked_as_a_script_does(project, asked) == []


def test_the_program_answers_on_its_output_and_says_nothing_else(remembered: Path) -> None:
    asked = {"_RECONCILE_COMPLETE": "fish", "_RECONCILE_WORDS": "reconcile\nplan\n--char-id\n"}
    assert asked_as_a_script_does(remembered, asked) == [ODD, "rem", "rem_2", "アイ"]
    asked["_RECONCILE_WORDS"] = "reconcile\n-C\n/nowhere\nplan\n--char-id\n"
    assert asked_as_a_script_does(remembered, asked) == []


HARM = ["\x1b[31mred\x1b]0;title\x07", "one\ntwo\tthree", "$(touch planted)`touch planted`", "b))' \";", "\u202eevil"]


@pytest.mark.parametrize("label", HARM, ids=ascii)
@pytest.mark.parametrize("shell", ["zsh", "fish", "powershell"])
def test_a_label_does_no_harm_in_a_completion(shell: str, label: str, project: Path) -> None:
    rules = project / "rules" / "asset_map.toml"
    text = rules.read_text(encoding="utf-8")
    assert '"K-Pop Version"' in text
    hostile = json.dumps(f"K-Pop アニメ {label}", ensure_ascii=True)
    rules.write_text(text.replace('"K-Pop Version"', hostile), encoding="utf-8")
    (answer,) = ask(project, "plan", "--asset-type", "k", shell=shell)
    said = answer.rpartition("\t")[2]
    assert said.startswith("K-Pop アニメ")
    assert not set(said) & set('\x1b\x07$`\u202e;"[]')


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "--asset-type", "k"),
        ("plan", "--char-id", ""),
        ("plan", "--path", ""),
        ("undo", ""),
        ("-C", "/nowhere", "plan", "--char-id", ""),
        ("plan", "--nonsense", ""),
    ],
)
def test_where_there_is_no_project_nothing_is_said_and_nothing_is_made(words: tuple[str, ...], tmp_path: Path) -> None:
    assert [each for each in ask(tmp_path, *words) if each != "last"] == []
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_or_busy_memory_completes_nothing(remembered: Path) -> None:
    assert Recall(remembered).characters() == sorted(["rem", "rem_2", ODD, "アイ"])
    database = remembered / ".reconcile" / "state.db"
    with sqlite3.connect(database) as busy:
        busy.execute("BEGIN EXCLUSIVE")
        begun = time.monotonic()
        assert Recall(remembered).characters() == []
        assert time.monotonic() - begun < 5
    busy.close()
    database.write_bytes(b"no database")
    assert Recall(remembered).characters() == Recall(remembered).names("") == []
    assert ask(remembered, "plan", "--char-id", "") == []


def test_many_paths_of_a_folder_are_found_by_looking_up_few(project: Path) -> None:
    with State(project):
        pass
    with sqlite3.connect(project / ".reconcile" / "state.db") as db:
        rows = [(f"{folder}/x/{number}.png", 1, "", 1) for folder in "abc" for number in range(3000)]
        db.executemany("INSERT INTO agreed VALUES (?, ?, ?, ?)", rows)
    db.close()
    assert Recall(project).names("") == ["a/", "b/", "c/"]
    assert len(Recall(project).names("a/x/")) == 1000
    assert Recall(project).names("a/x/299") == [f"a/x/{each}.png" for each in [299, *range(2990, 3000)]]


def test_so_many_characters_that_nobody_looks_through_them_are_not_remembered(project: Path) -> None:
    with State(project) as state:
        state.remember_characters(["rem"])
        state.remember_characters(f"character_{number}" for number in range(60_000))
    assert Recall(project).characters() == []


PROGRAM = """\
#!{python}
import json, os, sys
if "_RECONCILE_COMPLETE" in os.environ:
    from reconcile.__main__ import main
    sys.exit(main([]))
print("\\n<" + json.dumps(sys.argv[1:]) + ">", flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="these shells are not on Windows")
@pytest.mark.parametrize("shell", SHELLS)
def test_a_real_shell_puts_in_what_the_program_is_then_given(shell: str, run: Any, remembered: Path) -> None:
    """Each line is typed at a terminal, with the Tab key, and then run."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not on this machine")
    answered = typed(
        shell,
        remembered,
        run("completion", shell).out,
        [
            *("plan --char-id rem_\t", "plan --char-id ai\t", "plan --char-id 'ai\t", 'plan --char-id "ai\t'),
            *("plan --char-id=rem_\t", "sched\t", "plan --path re\t\t", "url gs\t"),
        ],
    )
    char_id = ["plan", "--char-id", ODD]
    assert answered == [
        ["plan", "--char-id", "rem_2"],
        *(char_id, char_id, char_id),
        ["plan", "--char-id=rem_2"],
        ["schedule"],
        ["plan", "--path", "re mix/[kpop] 1.mp4"],
        ["url", "gs://my-bucket/anime_dance/"],
    ]


def typed(shell: str, project: Path, script: str, lines: list[str]) -> list[list[str]]:
    """What the program is given when these lines are typed into the shell."""
    import pty

    folder = project / "bin"
    folder.mkdir()
    (folder / "reconcile").write_text(PROGRAM.format(python=sys.executable), encoding="utf-8")
    (folder / "reconcile").chmod(0o755)
    (folder / "script").write_text(script, encoding="utf-8")
    root = Path(__file__).resolve().parents[2]
    environment = {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(root),
        "HOME": str(folder),
        "TERM": "vt100",
        "LC_ALL": "C.UTF-8",
    }
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(project)
        os.execvpe(shell, [shell, *SHELLS[shell]], environment)
    said = b""

    def until(pattern: bytes) -> re.Match[bytes]:
        nonlocal said
        end = time.monotonic() + 15
        while (found := re.search(pattern, said)) is None:
            ready, _, _ = select.select([terminal], [], [], max(0.0, end - time.monotonic()))
            assert ready, said
            said += os.read(terminal, 65536)
        said = said[found.end() :]
        return found

    answers: list[list[str]] = []
    try:
        begin = "autoload -Uz compinit; compinit -u -D; " if shell == "zsh" else ""
        os.write(terminal, f"{begin}source {folder}/script; echo rea''dy\r".encode())
        until(rb"ready")
        for line in lines:
            os.write(terminal, f"reconcile {line}\r".encode())
            answers.append(json.loads(until(rb"\n<(.*)>")[1]))
    finally:
        os.close(terminal)
        os.kill(child, 9)
        os.waitpid(child, 0)
    return answers


def test_another_shell_exits_64(run: Any) -> None:
    assert run("completion", "csh").code == 64
