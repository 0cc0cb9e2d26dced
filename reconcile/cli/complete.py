"""Completion: the script for a shell, and what can stand in the place of some options. A failure completes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

import typer

from reconcile.core.errors import ExitCode, ReconcileError

VARIABLE = "_RECONCILE_COMPLETE"


class Shell(StrEnum):
    """A shell that can complete."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"
    POWERSHELL = "powershell"


def completion(shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh, fish, powershell")]) -> None:
    """Print the completion script for a shell. It goes into the shell's own start-up file."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    typer.echo(get_completion_script(prog_name="reconcile", complete_var=VARIABLE, shell=shell.value))
    raise typer.Exit(int(ExitCode.OK))


def asset_types(incomplete: str) -> list[tuple[str, str]]:
    """The types of the project's rules that begin so, with their labels."""
    try:
        from reconcile.project import Project

        with Project.open() as project:
            return [(rule.type, rule.label) for rule in project.asset_map.rules if rule.type.startswith(incomplete)]
    except (ReconcileError, OSError):
        return []


def run_ids(incomplete: str) -> list[str]:
    """The runs of the project's journal that begin so, newest first; read from the names of its files alone."""
    return [name for name in ("last", *_journals()) if name.startswith(incomplete)]


def _journals() -> Iterable[str]:
    try:
        from reconcile.adapters.state_journal import Journal
        from reconcile.config import find_project

        return reversed(Journal(find_project()).run_ids())
    except (ReconcileError, OSError):
        return ()
