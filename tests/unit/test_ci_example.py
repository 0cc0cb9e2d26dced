"""The example of a pipeline: it is what it says, and its steps run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconcile.commands.demo import build

WORKFLOW = Path(__file__).parents[2] / "examples" / "ci" / "plan.yml"
READ: dict[Any, Any] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
(JOB,) = READ["jobs"].values()

SHIMS = {
    "reconcile": f'exec "{sys.executable}" -m reconcile "$@"',
    "gh": 'echo "$@" > gh.said; cp comment.md commented.md',
}


def test_it_may_do_no_more_than_read_and_comment() -> None:
    assert READ["permissions"] == {"contents": "read", "id-token": "write", "pull-requests": "write"}
    assert READ[True] == {"pull_request": {"paths": ["rules/**"]}}  # YAML reads "on" as true
    assert "head.repo.full_name == github.repository" in JOB["if"]


def test_what_others_write_is_in_no_script() -> None:
    """A pull request's title or branch in a script would be run."""
    assert not [step for step in JOB["steps"] if "${{" in step.get("run", "")]


@pytest.mark.skipif(os.name == "nt" or shutil.which("bash") is None, reason="the runner's shell is bash")
def test_its_steps_run_and_end_in_one_comment_with_the_plan(tmp_path: Path) -> None:
    studio, programs = tmp_path / "studio", tmp_path / "bin"
    build(studio)
    programs.mkdir()
    for name, line in SHIMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        (programs / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(WORKFLOW.parents[2]),
        "RECONCILE_LOCAL_ROOT": str(studio / "no-files"),
        "NUMBER": "7",
    }
    scripts = [step["run"] for step in JOB["steps"] if step.get("name") in ("Check the rules", "Plan", "Comment")]
    assert len(scripts) == 3
    for script in scripts:
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],  # as the runner starts it
            cwd=studio,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert (studio / "gh.said").read_text().split() == [
        *("pr", "comment", "7", "--body-file", "comment.md", "--edit-last", "--create-if-none")
    ]
    comment = (studio / "commented.md").read_text(encoding="utf-8")
    assert comment.startswith("## reconcile")
    assert comment.count("```") % 2 == 0
    assert "<summary>The plan</summary>" in comment
    assert "Plan: " in comment
