"""The command run: runs a workflow with its own terminal, signals and exit code, and then applies for what it made."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType
from typing import Annotated

import typer

from reconcile.adapters.children import ended
from reconcile.cli.options import (
    AllowEmpty,
    BwLimit,
    FailOn,
    FailOnFindings,
    Force,
    Planned,
    Scoped,
    WaitLock,
    seconds,
)
from reconcile.cli.session import Replace, Session, labels_of, scope_of, severity
from reconcile.cli.signals import finish, handling
from reconcile.core.errors import ExitCode, Interrupted, ReconcileError
from reconcile.core.report import Report
from reconcile.pipeline.executor import execute
from reconcile.pipeline.roster import UnknownCharacter
from reconcile.project import OpenProject
from reconcile.run_options import RunOptions
from reconcile.views import json
from reconcile.views.report import show_report

PATIENCE = 600.0
NOT_EXECUTABLE = 126
NOT_FOUND = 127
_SIGNALLED = 128
_PASSED_ON = ("SIGTERM", "SIGBREAK", "SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2")
_OF_THE_KEYBOARD = ("SIGINT", "SIGQUIT", "SIGBREAK")
_ENDING = ("SIGTERM", "SIGHUP", "SIGBREAK")
_CONTROL_C = 0xC000013A
"""The exit code of a program on Windows that was ended by Ctrl-C or Ctrl-Break."""


def run(
    session: Session,
    scope: Scoped,
    sized: Planned,
    command: Annotated[list[str], typer.Argument(metavar="COMMAND", help="The workflow and its arguments.")],
    force: Force = False,
    replace: Replace = None,
    fail_on: FailOnFindings = None,
    allow_empty: AllowEmpty = False,
    wait_lock: WaitLock = None,
    bwlimit: BwLimit = None,
) -> ExitCode:
    patience = seconds(wait_lock, "--wait-lock", PATIENCE)
    # An error in the rules is reported before hours of work, not after.
    opened = partial(session.opened, replace=replace, sized=sized, bwlimit=bwlimit)
    with opened() as project:
        scope_of(project, scope)
    started = time.monotonic()
    workflow = _Workflow(command)
    try:
        code = workflow.run()
    except OSError as error:
        return _exit(_not_run(session, command[0], error))
    took = round(time.monotonic() - started, 3)
    report: Report | None = None
    problem: ReconcileError | None = None
    try:
        if workflow.asked_by is not None:  # the workflow may have handled the signal and ended well
            raise Interrupted(f"the workflow was asked to end ({workflow.asked_by}); nothing was applied")
        if code:
            session.note(f"the workflow ended with {code}, so nothing was applied")
        else:
            options = RunOptions(allows_empty=allow_empty)
            report = _apply(session, opened(options), scope, patience, force=force, fail_on=fail_on)
    except UnknownCharacter as error:
        # The workflow may have been meant to make this character, but had no reason to.
        told = f"nothing was applied: the workflow made nothing for it, and {error.message}"
        session.warn(f"{told} ({error.hint})", of="warning")
    except KeyboardInterrupt:
        problem = Interrupted("interrupted; the workflow is done, its files are not all in step", hint=_LATER)
    except ReconcileError as error:
        problem = error
    shown = _tell(session, code, took, report, problem)
    if report is not None and shown == ExitCode.OK:
        return session.verdict(ExitCode.OK, report.findings, fail_on)
    return _exit(shown)


_LATER = "`reconcile apply` goes on from here"


def _apply(
    session: Session, opened: OpenProject, scope: Scoped, patience: float, *, force: bool, fail_on: FailOn | None
) -> Report:
    """Plans and applies. Shows both on stderr, because stdout belongs to the workflow."""
    terminal, quiet = session.terminal(aside=True), session.common.quiet
    with opened as project, session.lock(project, patience):
        made = session.survey(project, scope_of(project, scope)).plan
        if not quiet:
            session.plan_view(labels_of(project), made)(terminal)
        work = partial(execute, project, made, force=force, fail_on=severity(fail_on), command="run")
        report = session.execute(work)
    if report.exit_code or (made.actions and not quiet):
        terminal.line()
        show_report(terminal, report, session.again("apply", scope=scope), made.actions, verbose=session.verbose)
    return report


def _tell(session: Session, code: int, took: float, report: Report | None, problem: ReconcileError | None) -> int:
    """Shows the error, writes the document, and returns the exit code: that of the workflow if it is not 0."""
    if problem is not None:
        session.error(problem)
    if session.json:
        finish()
        told = None if problem is None else json.ErrorDocument.of(problem)
        json.show_line(sys.stdout, json.RunDocument(json.RUN_FORMAT, code, took, report, told))
    ended = problem or report
    return code or int(ExitCode.OK if ended is None else ended.exit_code)


def _not_run(session: Session, program: str, error: OSError) -> int:
    """Reports that a command cannot be run. Returns the exit code that a shell would."""
    found = not isinstance(error, FileNotFoundError)
    if found:
        sentence, hint = f"{program} cannot be run: {error.strerror}", "is it a program, or a script with a #! line?"
    else:
        sentence, hint = f"there is no command {program}", "give its path, or run it with `python`"
    problem = ReconcileError(sentence, hint=hint)
    problem.code = "not_run"
    session.error(problem, document=session.json)
    return NOT_EXECUTABLE if found else NOT_FOUND


def _exit(code: int) -> ExitCode:
    """Ends the command with any exit code, even one that is not an ExitCode."""
    if code in ExitCode.__members__.values():
        return ExitCode(code)
    raise typer.Exit(code)


# -- the workflow --


class _Workflow:
    """A command, run as by a shell in the foreground: with our streams, our terminal, and every signal that we get."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._child: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._over = False
        self._late = False
        self.asked_by: str | None = None

    def run(self) -> int:
        """Runs it, and returns its exit code, 128 + n if signal n ended it. Raises OSError if it cannot be run."""
        sys.stdout.flush()
        sys.stderr.flush()
        numbers = [getattr(signal, name) for name in _PASSED_ON if hasattr(signal, name)]
        # An ignored signal stays ignored, also for the workflow: we were started in the background, or with nohup.
        heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
        with handling(dict.fromkeys(heard, self._on_signal)):
            # With close_fds off the workflow gets what was passed to us. Files that we open are not inherited.
            command = [program(self._command[0]), *self._command[1:]]
            self._child = subprocess.Popen(command, close_fds=False, env=_environment())
            for number in self._early:
                self._send(number)
            code = ended(self._child)
            self._over = True
        if self._late:
            raise KeyboardInterrupt
        return shell_code(code)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self._over:
            self._late = self._late or name in (*_ENDING, *_OF_THE_KEYBOARD)
            return
        if name in _ENDING:
            self.asked_by = name
        if name in _OF_THE_KEYBOARD and _is_foreground():
            return  # the terminal has sent it to the workflow, too, which decides what to do
        if self._child is None:
            self._early.append(number)
        else:
            self._send(number)

    def _send(self, number: int) -> None:
        if self._child is not None and self._child.returncode is None:
            self._child.send_signal(number)


def shell_code(code: int) -> int:
    """Returns the exit code of a program as a shell does: 128 + n if signal n ended it, even on Windows, where Ctrl-C
    has a code of its own."""
    if code == _CONTROL_C:
        return _SIGNALLED + signal.SIGINT
    return code if code >= 0 else _SIGNALLED - code


def program(name: str, system: str = sys.platform, which: Callable[[str], str | None] = shutil.which) -> str:
    """Returns the program that a shell of this system would run. Windows itself would look in the folder of the running
    program first, even if a virtual environment has another Python, and would try no ending but ``.exe``."""
    return (which(name) or name) if system == "win32" else name


def _is_foreground() -> bool:
    """Whether the keys of the terminal reach both this process and the workflow."""
    reached = True
    if sys.platform != "win32":
        reached = False
        with contextlib.suppress(OSError):
            terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
            try:
                reached = os.tcgetpgrp(terminal) == os.getpgrp()
            finally:
                os.close(terminal)
    return reached


def _environment() -> dict[str, str]:
    """Returns the environment without the variable that this program sets to silence gRPC."""
    return {name: value for name, value in os.environ.items() if (name, value) != ("GRPC_VERBOSITY", "NONE")}
