"""--help: what a person reads there, at the width of a small terminal."""

from __future__ import annotations

import re
from typing import Any

import pytest

from reconcile.cli import COMMANDS, GROUPS
from reconcile.cli.examples import EXAMPLES


@pytest.mark.parametrize("command", COMMANDS)
def test_a_help_page_fits_80_columns_has_examples_and_no_types(command: str, run: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    shown = run(*command.split(), "--help").out
    lines = [line.rstrip() for line in shown.splitlines()]
    assert max(map(len, lines)) <= 80
    assert not re.search(r"<\w|\[\[|(?<!\$)\{|x<=|x>=|list\[|\bbool\b|\bstr\b", shown)
    examples = [line.strip() for line in lines if line.startswith(" $ ")]
    assert len(examples) == len(EXAMPLES[command])
    assert all(line in lines for line in (f" {each}" for each in examples))  # none goes over two lines


def test_options_that_name_the_stores_are_shown_where_they_change_something(run: Any) -> None:
    with_stores = {command for command in COMMANDS if "--bucket-uri" in run(*command.split(), "--help").out}
    assert set(COMMANDS) - with_stores == {"history", "demo", "completion", "help"}
    assert "--bucket-uri" not in run("--help").out
    assert run("--bucket-uri", "gs://my-bucket/anime_dance", "history").code == 0  # they may stand there all the same


def test_only_a_command_that_may_pass_over_what_is_in_step_can_be_told_to_judge_everything(run: Any) -> None:
    can = {command for command in COMMANDS if "--no-cache" in run(*command.split(), "--help").out}
    assert can == {"plan", "apply", "run", "watch", "status", "report"}


def test_every_command_has_examples_and_is_in_a_group() -> None:
    assert set(EXAMPLES) == set(COMMANDS)
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(
        {command.partition(" ")[0] for command in COMMANDS}
    )
