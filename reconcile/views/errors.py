"""Errors as people and programs see them: a sentence and a hint on stderr, and with ``--json`` a document on stdout."""

from __future__ import annotations

import sys
import traceback

from reconcile.adapters.room import no_room
from reconcile.core.errors import Interrupted, ReconcileError
from reconcile.views import json
from reconcile.views.progress import log
from reconcile.views.streams import refused
from reconcile.views.terminal import Terminal


def error_of(cause: BaseException) -> ReconcileError:
    """Returns the error that a user sees for any exception. An unexpected one is reported as a bug."""
    if isinstance(cause, ReconcileError):
        return cause
    error = (refused(cause) if isinstance(cause, OSError) else None) or no_room(cause)
    if isinstance(cause, KeyboardInterrupt):
        error = Interrupted("interrupted", hint="run it again: it goes on from there")
    if error is None:
        hint = "run it again with --verbose and report what it says"
        error = ReconcileError(f"this is a bug in reconcile: {type(cause).__name__}: {cause}", hint=hint)
        error.code = "bug"
    error.__cause__ = cause
    return error


def show_error(error: ReconcileError, *, document: bool, as_log: bool, verbose: bool) -> None:
    """Writes an error to stderr, with its traceback if ``verbose``, as a JSON line if ``as_log``; with ``document``
    also as JSON to stdout."""
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
