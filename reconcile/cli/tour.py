"""The command demo: shows the whole scenario on embedded stores, with a text for each step."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from reconcile.adapters.system import current
from reconcile.cli.session import Session, labels_of
from reconcile.commands.demo import build, next_free
from reconcile.config.settings import load
from reconcile.core.errors import ExitCode
from reconcile.core.plan import Plan, Scope
from reconcile.core.report import Report
from reconcile.pipeline.executor import execute
from reconcile.project import ClosedProject, OpenProject
from reconcile.views.plan import show_plan, totals
from reconcile.views.report import show_report
from reconcile.views.streams import flush
from reconcile.views.terminal import Terminal

FORMAT = "reconcile.demo/1"
STUDIO = (
    "The workflows wrote its output folder. A migration once filled its bucket, and nothing made since then is there. "
    "Its records still hold Windows paths. Bucket and database are folders here, so nothing leaves this machine."
)
PLANNED = "It read all three and compared them by checksum. It changed nothing."
APPLIED = (
    "It uploaded what was missing, and only then pointed the records at it. Every write named the state that it had "
    "seen, so a change by someone else would have stopped it. Nothing is ever deleted."
)
AGAIN = "What was put right stays right: a second run finds nothing to do."


class DemoDocument(msgspec.Struct, frozen=True):
    """The document of ``demo --json``: the first plan, the report on applying it, and the next plan, which has no
    actions."""

    format: str
    directory: str
    plan: Plan
    result: Report
    again: Plan


def demo(
    session: Session,
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Where to build it; must be new or empty. [default: demo, demo-2, …]"),
    ] = None,
) -> ExitCode:
    directory = next_free(Path("demo")) if directory is None else directory
    build(directory)
    # The demo must never touch real stores, so neither flags nor the environment choose them.
    with ClosedProject(load(directory.resolve(), environ={})).opened() as project:
        document = _steps(session, project, directory)
    if session.json:
        session.result(document, lambda _terminal: None)
    return document.result.exit_code


def _steps(session: Session, project: OpenProject, directory: Path) -> DemoDocument:
    terminal = None if session.json else session.terminal()

    def step(title: str, text: str, show: Callable[[Terminal], None] | None = None) -> None:
        if terminal is not None:
            terminal.line()
            terminal.line((title, "bold cyan"))
            terminal.prose(text)
            if show is not None:
                terminal.line()
                show(terminal)
            flush(sys.stdout)

    step(f"{directory} now holds a small studio", STUDIO)
    plan = session.survey(project, Scope()).plan
    step("1. `reconcile plan` says what is out of step", PLANNED, lambda at: show_plan(at, plan, labels_of(project)))
    with project.lock().acquire():
        report = session.execute(partial(execute, project, plan, command="apply"))
    step("2. `reconcile apply` puts it right", APPLIED, lambda at: show_report(at, report, changes=plan.actions))
    again = session.survey(project, Scope()).plan
    step("3. `reconcile plan` again", AGAIN, lambda at: at.prose(totals(again), style="bold"))
    step("Now you", f"Try: {_program()} -C {current().quoted(str(directory))} status")
    return DemoDocument(FORMAT, str(directory), plan, report, again)


def _program() -> str:
    if shutil.which("reconcile"):
        return "reconcile"
    installed = Path(sys.executable).with_name("reconcile.exe" if current().is_windows else "reconcile")
    is_there = installed.exists()
    program = installed if is_there else Path(sys.executable)
    with contextlib.suppress(OSError, ValueError):  # no current folder, or the program is not below it
        program = program.relative_to(Path.cwd())
    return current().quoted(str(program)) + ("" if is_there else " -m reconcile")
