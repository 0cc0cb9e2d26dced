"""Logs each request of a run to stderr, and at the end how long requests took."""

from __future__ import annotations

import threading
from typing import NamedTuple, TextIO
from urllib.parse import urlsplit

from reconcile.adapters.meter import Asked
from reconcile.core.cost import request_class
from reconcile.core.duration import format_duration
from reconcile.views.progress import log
from reconcile.views.streams import Colour, flush, write
from reconcile.views.terminal import Terminal, visible


class Timing(NamedTuple):
    """The figures of requests of one kind: how many, how many failed, the seconds of all, and those of the longest."""

    made: int = 0
    failed: int = 0
    seconds: float = 0.0
    longest: float = 0.0

    def and_(self, asked: Asked) -> Timing:
        """Returns the figures with one more request."""
        return Timing(
            self.made + 1, self.failed + asked.failed, self.seconds + asked.seconds, max(self.longest, asked.seconds)
        )


class RequestLog:
    """Writes a line for each request, as text or as JSON, and a summary when a project is closed. Safe for several
    threads; what it remembers does not grow with the number of requests."""

    def __init__(self, stream: TextIO, *, as_json: bool, colour: Colour = "auto") -> None:
        self._stream = stream
        self._as_json = as_json
        self._colour: Colour = colour
        self._lock = threading.Lock()
        self._timings: dict[str, Timing] = {}

    def heard(self, asked: Asked) -> None:
        """Logs a request that has ended."""
        with self._lock:
            kind = operation(asked)
            self._timings[kind] = self._timings.get(kind, Timing()).and_(asked)
            if self._as_json:
                log(
                    self._stream,
                    "request",
                    method=asked.method,
                    url=asked.where,
                    outcome=asked.outcome,
                    ms=_ms(asked.seconds),
                    attempt=asked.attempt,
                    waited_ms=_ms(asked.waited),
                )
            else:
                write(self._stream, visible(_line(asked)) + "\n")
                flush(self._stream)

    def ended(self) -> None:
        """Logs how long the requests took since the last call. Called when a project is closed."""
        with self._lock:
            timings, self._timings = self._timings, {}
            if not timings:
                return
            if self._as_json:
                log(self._stream, "requests", operations={kind: _document(timings[kind]) for kind in sorted(timings)})
                return
            terminal = Terminal(self._stream, self._colour)
            terminal.table(
                ("requests", "count", "failed", "mean", "longest", "in all"),
                [_row(kind, timings[kind]) for kind in sorted(timings)],
                numbers=(1, 2, 3, 4, 5),
            )
            flush(self._stream)


def operation(asked: Asked) -> str:
    """Returns what a request is for, in a few words."""
    if not asked.where.startswith(("http://", "https://")):
        return asked.method.lower()
    path = urlsplit(asked.where).path
    last = path.rpartition("/")[2]
    if "/rewriteTo/" in path:
        return "copy"
    if path.startswith("/upload/"):
        return "upload chunk" if asked.method == "PUT" else "upload"
    if path.startswith("/download/"):
        return "download"
    if path.startswith("/storage/v1/b/"):
        if asked.method != "GET":
            return "set content type" if asked.method == "PATCH" else asked.method
        return "list" if request_class(asked.method, path) == "class_a" else "look at an object"
    name, colon, verb = last.partition(":")
    return verb if colon else f"{asked.method} {name or '/'}"


def _line(asked: Asked) -> str:
    """Returns a line such as ``GET 200 12 ms http://…``, with the number of the attempt if it is not the first."""
    again = ""
    if asked.attempt > 1:
        again = f"  (attempt {asked.attempt}, after {_ms(asked.waited):,} ms)"
    return f"{asked.method} {asked.outcome} {_ms(asked.seconds):,} ms  {asked.where}{again}"


def _row(kind: str, timing: Timing) -> list[str]:
    mean = timing.seconds / timing.made
    return [
        kind,
        f"{timing.made:,}",
        f"{timing.failed:,}",
        f"{_ms(mean):,} ms",
        f"{_ms(timing.longest):,} ms",
        f"{timing.seconds:.1f} s" if timing.seconds < 60 else format_duration(timing.seconds),
    ]


def _document(timing: Timing) -> dict[str, int]:
    return {
        "count": timing.made,
        "failed": timing.failed,
        "mean_ms": _ms(timing.seconds / timing.made),
        "longest_ms": _ms(timing.longest),
        "total_ms": _ms(timing.seconds),
    }


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
