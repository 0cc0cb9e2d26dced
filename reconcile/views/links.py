"""A signed URL as text: the URL alone, for a script to take."""

from __future__ import annotations

from reconcile.commands.links import Link
from reconcile.views.terminal import Terminal


def show_link(terminal: Terminal, link: Link) -> None:
    """One line."""
    terminal.line(link.url)
