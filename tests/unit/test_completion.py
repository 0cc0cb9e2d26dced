"""Completion: each shell is given a script that asks the program, and the program answers with what is there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BASH = shutil.which("bash")


def ask(folder: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "reconcile"],
        env={**os.environ, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_every_shell_has_a_script_that_asks_the_program(shell: str, run: Any) -> None:
    answer = run("completion", shell)
    assert answer.code == 0
    assert "_RECONCILE_COMPLETE" in answer.out
    assert f"complete_{shell}" in answer.out


@pytest.mark.parametrize(
    ("shell", "asked"),
    [
        ("bash", {"COMP_WORDS": "reconcile sch", "COMP_CWORD": "1"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "reconcile sch"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "reconcile sch", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
        ("powershell", {"_TYPER_COMPLETE_ARGS": "reconcile sch", "_TYPER_COMPLETE_WORD_TO_COMPLETE": "sch"}),
    ],
)
def test_the_program_completes_a_command_for_every_shell(shell: str, asked: dict[str, str], project: Path) -> None:
    assert "schedule" in ask(project, _RECONCILE_COMPLETE=f"complete_{shell}", **asked)


def test_asset_types_and_runs_are_completed_from_the_project(run: Any, project: Path) -> None:
    run_id = run("apply", "--json").document("result")["run_id"]
    types = ask(
        project, _RECONCILE_COMPLETE="complete_bash", COMP_WORDS="reconcile plan --asset-type k", COMP_CWORD="3"
    )
    assert types.split() == ["kpop_version"]
    runs = ask(project, _RECONCILE_COMPLETE="complete_bash", COMP_WORDS="reconcile undo 2", COMP_CWORD="2")
    assert runs.split() == [run_id]


HARM = [
    "\x1b[31mred\x1b]0;title\x07",
    "one\ntwo\tthree",
    "$(touch planted)`touch planted`",
    "a:::b))' \";",
    "\u202eevil",
]


@pytest.mark.parametrize("label", HARM, ids=ascii)
@pytest.mark.parametrize(
    ("shell", "asked"),
    [
        ("zsh", {"_TYPER_COMPLETE_ARGS": "reconcile plan --asset-type k"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "reconcile plan --asset-type k", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
        (
            "powershell",
            {"_TYPER_COMPLETE_ARGS": "reconcile plan --asset-type k", "_TYPER_COMPLETE_WORD_TO_COMPLETE": "k"},
        ),
    ],
)
def test_a_label_does_no_harm_in_a_completion(shell: str, asked: dict[str, str], label: str, project: Path) -> None:
    rules = project / "rules" / "asset_map.toml"
    text = rules.read_text(encoding="utf-8")
    assert '"K-Pop Version"' in text
    hostile = json.dumps(f"K-Pop アニメ {label}", ensure_ascii=True)
    rules.write_text(text.replace('"K-Pop Version"', hostile), encoding="utf-8")
    answer = ask(project, _RECONCILE_COMPLETE=f"complete_{shell}", **asked)
    plain = {
        "zsh": '"kpop_version":"K-Pop アニメ ',
        "fish": "kpop_version\tK-Pop アニメ ",
        "powershell": "kpop_version:::K-Pop アニメ ",
    }
    assert plain[shell] in answer
    said = answer.split("K-Pop アニメ ", 1)[1].strip().removesuffix("\"))'")  # which ends zsh's own list
    for sign in ("\x1b", "\x07", "$", "`", "\u202e", ";", "))", '"'):
        assert sign not in said
    assert len(answer.strip().splitlines()) == 1


def test_where_there_is_no_project_nothing_is_completed_and_nothing_is_said(tmp_path: Path) -> None:
    asked = {"COMP_WORDS": "reconcile plan --asset-type k", "COMP_CWORD": "3"}
    assert ask(tmp_path, _RECONCILE_COMPLETE="complete_bash", **asked).strip() == ""


@pytest.mark.skipif(BASH is None or os.name == "nt", reason="bash is not on this machine")
def test_bash_itself_completes_with_the_script(run: Any, project: Path, tmp_path: Path) -> None:
    """The script is sourced by a real bash, which calls the function that the script registers."""
    (tmp_path / "reconcile").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m reconcile "$@"\n', encoding="utf-8")
    (tmp_path / "reconcile").chmod(0o755)
    (tmp_path / "script").write_text(run("completion", "bash").out, encoding="utf-8")
    lines = f"""
        source '{tmp_path}/script'
        COMP_WORDS=(reconcile sch); COMP_CWORD=1
        function=$(complete -p reconcile | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
        $function reconcile sch reconcile; echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        [str(BASH), "--norc", "-c", lines],
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["schedule"], done.stderr


def test_another_shell_exits_64(run: Any) -> None:
    assert run("completion", "csh").code == 64
