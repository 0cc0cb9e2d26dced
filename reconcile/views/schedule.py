"""A schedule as text. If it is one file, the text is that file, ready to be piped on."""

from __future__ import annotations

from reconcile.commands.schedule import Schedule
from reconcile.views.terminal import Terminal


def show_schedule(terminal: Terminal, made: Schedule) -> None:
    """Writes each file, with its name in a comment if there are several, and then how to install it, in comments, if
    the language of the file can hold that in comments."""
    for file in made.files:
        if len(made.files) > 1:
            terminal.line(f"# ---- {file.name} (to {file.place}) ----")
        terminal.verbatim(file.text)
    if not has_own_comments(made):
        show_install(terminal, made)


def has_own_comments(made: Schedule) -> bool:
    """Whether comments of the file cannot hold commands: XML allows no two hyphens in a comment."""
    return made.kind == "windows"


def show_install(terminal: Terminal, made: Schedule) -> None:
    """Writes how to install it, in lines that can be pasted into a shell."""
    terminal.line("# Install:")
    for command in made.install:
        terminal.line(command if has_own_comments(made) else f"#   {command}")
