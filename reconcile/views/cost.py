"""The cost of a plan and its time, and what a run has used, in the units that Google counts."""

from __future__ import annotations

from collections.abc import Iterator

from reconcile.core.cost import Estimate, Usage, Used
from reconcile.core.duration import format_duration
from reconcile.views import words
from reconcile.views.terminal import Terminal

_ROWS = {
    "class_a": "class A requests",
    "class_b": "class B requests",
    "free": "free requests",
    "document_reads": "document reads",
    "document_writes": "document writes",
    "bytes": "sent",
}


def show_estimate(terminal: Terminal, estimate: Estimate | None, *, verbose: bool = False) -> None:
    """Writes what applying a plan takes, as a sentence; if ``verbose``, also as a table with what making it took."""
    if estimate is not None:
        seconds = "" if estimate.seconds is None else f"; about {_time(estimate.seconds)} at the speed of the last runs"
        sentence = f"To apply it: {usage_text(estimate.applying)}{seconds}."
        _show(terminal, sentence, ("", "this plan", "to apply it"), estimate.looking, estimate.applying, verbose)


def show_used(terminal: Terminal, used: Used | None, *, verbose: bool = False) -> None:
    """Writes what a run has used to make its changes, as a sentence; if ``verbose``, also as a table with what it used
    to look first."""
    if used is not None:
        sentence = f"Used: {usage_text(used.applying)}."
        _show(terminal, sentence, ("", "to look", "to apply"), used.looking, used.applying, verbose)


def usage_text(usage: Usage) -> str:
    """Returns a text such as ``48.2 kB sent, 3 class A and 2 class B requests, 1 document read and 1 written``."""
    return ", ".join(_parts(usage)) or "no requests"


def _parts(usage: Usage) -> Iterator[str]:
    if usage.bytes:
        yield f"{words.size(usage.bytes)} sent"
    classes = {"class A": usage.class_a, "class B": usage.class_b, "free": usage.free}
    counted = [f"{count:,} {name}" for name, count in classes.items() if count]
    if counted:
        total = sum(classes.values())
        yield f"{_listed(counted)} {'request' if total == 1 else 'requests'}"
    if usage.document_reads:
        written = f" and {usage.document_writes:,} written" if usage.document_writes else ""
        yield f"{words.many(usage.document_reads, 'document')} read{written}"
    elif usage.document_writes:
        yield f"{words.many(usage.document_writes, 'document')} written"


def _listed(parts: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else format_duration(round(seconds))


def _show(
    terminal: Terminal, sentence: str, head: tuple[str, str, str], looking: Usage, applying: Usage, verbose: bool
) -> None:
    if applying:
        terminal.prose(sentence)
    if verbose and (looking or applying):
        rows = [(label, _count(name, looking), _count(name, applying)) for name, label in _ROWS.items()]
        terminal.line()
        terminal.table(head, rows, numbers=(1, 2))


def _count(name: str, usage: Usage) -> str:
    count: int = getattr(usage, name)
    return words.size(count) if name == "bytes" else f"{count:,}"
