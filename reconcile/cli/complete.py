"""Completion: the script for a shell, and what can stand in the place of some options. A failure completes nothing."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from reconcile.core.errors import ExitCode, ReconcileError

VARIABLE = "_RECONCILE_COMPLETE"
Shell = Literal["bash", "zsh", "fish", "powershell"]


def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh, fish, powershell")],
) -> ExitCode:
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    typer.echo(get_completion_script(prog_name="reconcile", complete_var=VARIABLE, shell=shell))
    return ExitCode.OK


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
    try:
        from reconcile.adapters.state.journal import Journal
        from reconcile.config import find_project

        found = reversed(Journal(find_project()).run_ids())
    except (ReconcileError, OSError):
        found = iter(())
    return [name for name in ("last", *found) if name.startswith(incomplete)]
