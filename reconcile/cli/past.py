"""The commands history and undo: show what runs did, and put back what one of them changed."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from reconcile.cli.complete import run_ids
from reconcile.cli.options import DryRun, Full, NoJournal, NoPager, Scoped, WaitLock, Yes, option, seconds
from reconcile.cli.session import Session, labels_of, scope_of
from reconcile.commands.undo import Undoing, describe, execute, find_run, find_undoable, survey
from reconcile.core.errors import ExitCode, JournalError
from reconcile.core.history import FORMAT, History, past_run, touches
from reconcile.core.size import many
from reconcile.project import OpenProject
from reconcile.run_options import RunOptions
from reconcile.views.history import show_history
from reconcile.views.plan import totals
from reconcile.views.terminal import Terminal

RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="The run's id, the beginning of one, or `last`.", autocompletion=run_ids)
]


def history(
    session: Session,
    scope: Scoped,
    run: Annotated[
        str | None, option(metavar="ID", help="Show one run, with each change.", autocompletion=run_ids)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Show the newest N runs.")] = 20,
) -> ExitCode:
    missed: list[JournalError] = []
    with session.opened() as project:
        wanted = scope_of(project, scope)
        if run is not None:
            document = History(FORMAT, (past_run(find_run(project.journal, run), wanted),), 1)
        else:
            listed = [past for past in project.journal.runs(missed) if touches(past, wanted)]
            if missed and not listed:
                raise missed[0]
            document = History(FORMAT, tuple(map(past_run, listed[:limit])), len(listed))
    session.result(document, lambda terminal: show_history(terminal, document))
    for told in document.runs:
        if told.unread:
            session.warn(_unread(told.run_id, told.unread))
    for error in missed:
        session.warn(error.sentence)
    return ExitCode.FAILED if missed else ExitCode.OK


def undo(
    session: Session,
    scope: Scoped,
    run: RunName,
    yes: Yes = False,
    dry_run: DryRun = False,
    full: Full = False,
    no_pager: NoPager = False,
    wait_lock: WaitLock = None,
    no_journal: NoJournal = False,
) -> ExitCode:
    patience = seconds(wait_lock, "--wait-lock")

    def look(project: OpenProject) -> tuple[str, Undoing]:
        """Returns which run it is, and what can be put back. Warns if its journal is damaged."""
        wanted = scope_of(project, scope)
        past = find_undoable(project.journal, run, wanted)
        if past.unread:
            session.warn(_unread(past.run.run_id, past.unread))
        return describe(past), survey(project, past, wanted)

    def show(terminal: Terminal) -> None:
        terminal.prose(f"Undo of run {name}", style="bold")
        session.plan_view(labels_of(project), undoing.plan, full=full)(terminal)

    with session.opened(RunOptions(keeps_journal=not no_journal)) as project:
        if dry_run:
            name, undoing = look(project)
            if session.json:
                session.note(f"undo of run {name}")
            session.result(undoing.plan, show, paged=full and not no_pager)
            return ExitCode.OK
        with session.lock(project, patience):
            # Only now, because the run that held the lock may be the one to undo.
            name, undoing = look(project)
            question = f"Put back the record fields that run {name} changed?"
            session.agree(question, totals(undoing.plan), show, yes=yes or not undoing.plan.actions)
            report = session.execute(partial(execute, project, undoing, command="undo"))
    again = session.again("undo", run, scope=scope, keeps_journal=not no_journal)
    session.report(report, again, undoing.plan.actions, planned=bool(undoing.plan.actions))
    return report.exit_code


def _unread(run_id: str, count: int) -> str:
    return f"{many(count, 'line')} of the journal of run {run_id} cannot be read; what they said is missing here"
