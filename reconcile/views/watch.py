"""The output of a watcher: one line for each event, as text or as JSON, written at once. It ends when its reader
leaves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TextIO

import msgspec

from reconcile.core.watch_report import EventKind, WatchEvent, WatchHealth
from reconcile.views import words
from reconcile.views.json import harmless
from reconcile.views.streams import put, silence
from reconcile.views.terminal import Terminal

_STYLES = {
    EventKind.APPLIED: "green",
    EventKind.FAILED: "bold red",
    EventKind.RECOVERED: "bold green",
    EventKind.WAITING: "yellow",
    EventKind.WARNING: "yellow",
}
_SAID = frozenset({EventKind.STARTED, EventKind.WATCHING, EventKind.STOPPED})
"""Events whose message is clear without their name."""
_DETAILS = frozenset({EventKind.PASS_STARTED, EventKind.CHANGED})
_TROUBLE = frozenset({EventKind.FAILED, EventKind.WARNING, EventKind.WAITING, EventKind.RECOVERED})


def write_event(
    stream: TextIO, terminal: Terminal | None, event: WatchEvent, *, quiet: bool = False, verbose: bool = False
) -> bool:
    """Writes an event to a stream and flushes it: as text through the ``terminal`` that writes there, without one as
    JSON. Returns whether anybody still reads the stream. On a full disk the line is lost, without an error."""
    try:
        if terminal is None:
            put(stream, harmless(msgspec.json.encode(event)) + b"\n")
        elif event.event in _TROUBLE if quiet else verbose or event.event not in _DETAILS:
            _write_text(terminal, event)
        stream.flush()
    except OSError as error:
        return not silence(stream, error)
    return True


def _write_text(terminal: Terminal, event: WatchEvent) -> None:
    sent = f"; {words.size(event.bytes)}" if event.bytes else ""
    took = f" in {event.seconds:.1f} s" if event.seconds else ""
    again = f" (next try in {event.retry_in:.0f} s)" if event.retry_in else ""
    name = "" if event.event in _SAID else event.event.value.replace("_", " ") + ": "
    terminal.line(
        (event.time, "dim"), "  ", (name, _STYLES.get(event.event, "")), f"{event.message}{sent}{took}{again}"
    )


def show_health(terminal: Terminal, health: WatchHealth) -> None:
    terminal.line(
        (health.state.value, "bold"), f", process {health.pid} on {health.host}, last heard of at {_when(health.heard)}"
    )
    terminal.line(f"last good pass: {_when(health.last_good_pass) if health.last_good_pass else 'none yet'}")
    if health.last_error:
        terminal.line(("last error: ", "red"), health.last_error)
    if health.pending:
        incomplete = f", {health.incomplete:,} of them not complete" if health.incomplete else ""
        terminal.line(f"{words.many(health.pending, 'file')} waiting{incomplete}")


def _when(time: str) -> str:
    return f"{time} ({words.ago(time, datetime.now(UTC))})"
