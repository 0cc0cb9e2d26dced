"""An error: one sentence and what to do on stderr, or one JSON document on stdout."""

from __future__ import annotations

import sys
import traceback

from reconcile.core.errors import ReconcileError
from reconcile.views import json
from reconcile.views.json import ErrorDocument
from reconcile.views.progress import log
from reconcile.views.terminal import Terminal


def show_error(error: ReconcileError, *, document: bool, log: bool, verbose: bool) -> None:
    """``document`` writes the JSON document to stdout; ``log`` makes the sentence a JSON line; ``verbose`` adds the
    traceback to it."""
    trace = "".join(traceback.format_exception(error)) if verbose else ""
    if log:
        _log(error, trace)
    else:
        _tell(error, trace)
    if document:
        json.show(sys.stdout, json.ErrorDocument.of(error))


def _log(error: ReconcileError, trace: str) -> None:
    told = ErrorDocument.of(error)
    more = {"traceback": trace} if trace else {}
    log(sys.stderr, "error", code=told.code, message=told.message, hint=told.hint, **more)


def _tell(error: ReconcileError, trace: str) -> None:
    terminal = Terminal(sys.stderr)
    terminal.line(("error: ", "bold red"), error.message)
    if error.hint:
        terminal.line(("hint: ", "cyan"), error.hint)
    for line in trace.splitlines():
        terminal.line(line)
