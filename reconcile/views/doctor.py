"""A check-up as text: a line for each thing that was tried, and below it how to fix what failed."""

from __future__ import annotations

from reconcile.commands.doctor import Checkup, Health
from reconcile.views.terminal import Terminal

_SIGNS = {
    Health.OK: ("ok     ", "green"),
    Health.WARNING: ("warning", "yellow"),
    Health.FAILED: ("failed ", "bold red"),
    Health.SKIPPED: ("skipped", "dim"),
}


def show_checkup(terminal: Terminal, checkup: Checkup) -> None:
    """Writes every check, then the verdict."""
    width = max(len(check.name) for check in checkup.checks)
    for check in checkup.checks:
        sign = _SIGNS[check.health]
        start = len(sign[0]) + width + 4
        told = f"{check.tried}: {check.found}" if check.tried else check.found
        terminal.line(sign, "  ", (check.name.ljust(width), "bold"), "  ", told, hang=start)
        if check.mend:
            terminal.line(" " * start, ("fix: ", "cyan"), check.mend, hang=start + 5)
    terminal.line()
    failed = sum(check.health is Health.FAILED for check in checkup.checks)
    if failed:
        terminal.prose(
            f"{failed} of {len(checkup.checks)} failed; runs will not work until they are fixed.", style="bold red"
        )
    else:
        terminal.prose("Everything that a run needs is there.", style="bold green")
