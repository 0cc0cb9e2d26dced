"""Signed URLs as text: one on each line, followed by its URI unless just one asset was asked for."""

from __future__ import annotations

from reconcile.commands.links import Links
from reconcile.views.terminal import Terminal


def show_links(terminal: Terminal, made: Links) -> None:
    """The URL alone of one asset, which a script can take as it is; else ``URL URI`` for each; there is no blank
    in a URL."""
    if isinstance(made.url, str):
        terminal.line(made.url)
        return
    for uri, url in made.urls.items():
        terminal.line(url, " ", uri)
