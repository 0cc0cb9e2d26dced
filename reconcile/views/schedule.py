"""A schedule as text: the definition itself if there is one file, so that it can be sent on as it is."""

from __future__ import annotations

from reconcile.commands.schedule import Schedule
from reconcile.views.terminal import Terminal


def show_schedule(terminal: Terminal, made: Schedule) -> None:
    """Each file with its name in a comment, then how to install it, in comments too, if the file's language has such
    comments."""
    for file in made.files:
        if len(made.files) > 1:
            terminal.line(f"# ---- {file.name} (to {file.place}) ----")
        terminal.verbatim(file.text)
    if not has_own_comments(made):
        show_install(terminal, made)


def has_own_comments(made: Schedule) -> bool:
    """Whether commands cannot be put into the file's comments: XML allows no two hyphens there."""
    return made.kind == "windows"


def show_install(terminal: Terminal, made: Schedule) -> None:
    """How to install it, in lines that can be pasted into a shell."""
    terminal.line("# Install:")
    for command in made.install:
        terminal.line(command if has_own_comments(made) else f"#   {command}")
