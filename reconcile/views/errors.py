"""An error: one sentence and what to do on stderr, or one JSON document on stdout."""

from __future__ import annotations

import sys
import traceback

from reconcile.core.errors import ReconcileError
from reconcile.views import json
from reconcile.views.progress import log
from reconcile.views.terminal import Terminal


def show_error(error: ReconcileError, *, document: bool, as_log: bool, verbose: bool) -> None:
    """``document`` writes the JSON document to stdout; ``as_log`` makes the sentence a JSON line; ``verbose`` adds the
    traceback to it."""
    trace = "".join(traceback.format_exception(error)) if verbose else ""
    told = json.ErrorDocument.of(error)
    if as_log:
        more = {"traceback": trace} if trace else {}
        log(sys.stderr, "error", code=told.code, message=told.message, hint=told.hint, **more)
    else:
        terminal = Terminal(sys.stderr)
        terminal.line(("error: ", "bold red"), error.message)
        if error.hint:
            terminal.line(("hint: ", "cyan"), error.hint)
        for line in trace.splitlines():
            terminal.line(line)
    if document:
        json.show(sys.stdout, told)
