"""A schedule as text: the definition itself if there is one file, so that it can be sent on as it is."""

from __future__ import annotations

from reconcile.commands.schedule import Schedule
from reconcile.views.terminal import Terminal


def show_schedule(terminal: Terminal, made: Schedule, *, written: bool = False) -> None:
    """Each file with its name in a comment, then how to install it, in comments too; with ``written`` that alone."""
    opening, closing = ("<!-- ", " -->") if made.kind == "windows" else ("# ", "")
    for file in () if written else made.files:
        if len(made.files) > 1:
            terminal.line(f"{opening}---- {file.name} (to {file.place}) ----{closing}")
        terminal.verbatim(file.text)
    terminal.line(f"{opening}Install:{closing}")
    for command in made.install:
        terminal.line(f"{opening}  {command.replace('--', '- -') if closing else command}{closing}")
