"""The command help: shows what ``--help`` of a command shows."""

from __future__ import annotations

from typing import Annotated

import typer
from typer.core import TyperGroup

from reconcile.core.errors import ExitCode, UsageError


def help(
    context: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND", help="A command, such as plan or rules check.")
    ] = None,
) -> ExitCode:
    found = context.find_root()
    for word in words or ():
        if not isinstance(found.command, TyperGroup):
            raise UsageError(f"{found.command_path} has no command {word!r}", hint=f"`{found.command_path} --help`")
        _, command, _ = found.command.resolve_command(found, [word])
        assert command is not None  # resolve_command raises for an unknown command
        found = typer.Context(command, parent=found, info_name=word)
    typer.echo(found.get_help())
    return ExitCode.OK
