"""The option --notify: a command of the user that gets the JSON of a run on its standard input, however the run ended,
with a summary for people."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeAlias

import msgspec

from reconcile.adapters.children import NO_WINDOW, ended
from reconcile.adapters.system import current
from reconcile.cli.session import Session
from reconcile.core.changes import Change
from reconcile.core.errors import Declined, ReconcileError
from reconcile.core.report import Report
from reconcile.views import json
from reconcile.views.errors import error_of
from reconcile.views.json import ErrorDocument
from reconcile.views.notice import Notice, notice

TIMEOUT = 60.0
"""Seconds that the command may take. A mail server that hangs must not keep the lock of the project."""

_ENDING = 10.0
"""Seconds that a killed command may take to end."""


Ended: TypeAlias = tuple[Report | ErrorDocument, int, Sequence[Change]]
"""How a run ended: its document, its exit code, and the changes that it was to make."""


@contextmanager
def notifying(command: str | None, session: Session, timeout: float = TIMEOUT) -> Iterator[Callable[[Ended], None]]:
    """Wraps a run, and passes its result to a shell command: the error that it raised, or how it ended, with which it
    calls what is yielded. Without a command nothing is done.

    What the command prints goes to stderr. If it fails, there is a warning, and the exit code of the run stays the
    same. In its environment, ``RECONCILE_EXIT_CODE`` is that code, and ``RECONCILE_SUMMARY`` says in one line how the
    run ended, ``RECONCILE_TEXT`` in a few lines; the document has these two texts, too.
    """
    ended: list[Ended] = []
    try:
        yield ended.append
    except BaseException as error:
        told = error_of(error)
        ended = [] if isinstance(error, Declined) else [(ErrorDocument.of(told), int(told.exit_code), ())]
        raise
    finally:
        for document, code, changes in ended if command else ():
            told_so = notice(document, code, _project(session), changes)
            whole = {**msgspec.to_builtins(document), **told_so._asdict()}
            problem = _run(command or "", json.dumps(whole), _variables(told_so, code), timeout)
            if problem:
                session.warn(f"the --notify command {problem}", of="warning")


def _project(session: Session) -> str:
    try:
        return session.project_folder().name or "reconcile"
    except ReconcileError:  # then the run ended with this error
        return "reconcile"


_OBEYED = dict.fromkeys(map(ord, '&|<>^"%!'), "_")
"""Characters that cmd would interpret in the value of a variable."""


def _variables(told: Notice, code: int) -> dict[str, str]:
    said = {f"RECONCILE_{name.upper()}": text for name, text in told._asdict().items()}
    if current().is_windows:
        said = {name: text.translate(_OBEYED) for name, text in said.items()}
    return {**said, "RECONCILE_EXIT_CODE": str(code)}


def _run(command: str, document: bytes, variables: dict[str, str], timeout: float) -> str:
    """Runs the command line of the user, as cron would. Returns what went wrong; empty if nothing did."""
    try:
        process = subprocess.Popen(
            command,
            shell=True,
            stdin=subprocess.PIPE,
            stdout=sys.stderr.fileno(),
            stderr=subprocess.STDOUT,
            creationflags=0 if sys.stderr.isatty() else NO_WINDOW,
            env={**os.environ, **variables},
            start_new_session=True,  # so that everything it starts can be stopped with it
        )
    except OSError as error:
        return f"could not be run: {error}"
    # A thread writes, because `communicate` on Windows writes before it looks at the clock: once the pipe is full, a
    # command that reads nothing would block the run for ever.
    threading.Thread(target=_feed, args=(process, document), name="notify", daemon=True).start()
    try:
        code = ended(process, timeout)
    except (subprocess.TimeoutExpired, KeyboardInterrupt) as error:
        _stop(process)
        timed_out = isinstance(error, subprocess.TimeoutExpired)
        return f"took longer than {timeout:g} s and was stopped" if timed_out else "was interrupted"
    return f"exited with {code}" if code else ""


def _feed(process: subprocess.Popen[bytes], document: bytes) -> None:
    assert process.stdin is not None
    with suppress(OSError), process.stdin:  # it need not read its input
        process.stdin.write(document)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        with suppress(OSError, subprocess.TimeoutExpired):
            tree = ["taskkill", "/T", "/F", "/PID", str(process.pid)]
            subprocess.run(tree, capture_output=True, check=False, timeout=_ENDING)
    else:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_ENDING)
