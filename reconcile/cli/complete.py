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
        from reconcile.config import find_project, load

        rules = load(find_project()).asset_map.rules
        return [(rule.type, _harmless(rule.label)) for rule in rules if rule.type.startswith(incomplete)]
    except (ReconcileError, OSError):
        return []


def _harmless(label: str) -> str:
    """A label as a hint on a command line that is being typed: letters, digits and a few signs, on one line. A shell
    reads the answer as a script, or as a table, and the terminal obeys an escape in it."""
    return " ".join("".join(sign if sign.isalnum() or sign in "-_.,+/" else " " for sign in label).split())


def run_ids(incomplete: str) -> list[str]:
    """The runs of the project's journal that begin so, newest first; read from the names of its files alone."""
    return [name for name in ("last", *_journals()) if name.startswith(incomplete)]


def _journals() -> Iterable[str]:
    try:
        from reconcile.adapters.state.journal import Journal
        from reconcile.config import find_project

        return reversed(Journal(find_project()).run_ids())
    except (ReconcileError, OSError):
        return ()
