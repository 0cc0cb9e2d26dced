"""history and undo: what runs did, and putting back what one of them changed."""

from __future__ import annotations

from typing import Annotated

import typer

from reconcile.cli.complete import run_ids
from reconcile.cli.options import Common, NoJournal, Scoped, WaitLock, Yes, seconds
from reconcile.cli.session import Session, scope_of
from reconcile.cli.sync import agree, show, tell_report
from reconcile.commands.undo import describe, execute, find_run, find_undoable, survey
from reconcile.core.errors import ExitCode, JournalError
from reconcile.core.history import FORMAT, History, tell, touches
from reconcile.core.journal import Past
from reconcile.core.plan import Scope
from reconcile.project import OpenProject
from reconcile.views.history import show_history

RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="The run's id, its beginning, or `last`.", autocompletion=run_ids)
]


def history(
    common: Common,
    scope: Scoped,
    run: Annotated[
        str | None,
        typer.Option(
            "--run", metavar="ID", help="One run, with each change.", show_default=False, autocompletion=run_ids
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="So many runs, newest first.")] = 20,
) -> ExitCode:
    """Tell what runs really did, with the values before and after. Reads no store."""
    session = Session(common)
    wanted = scope_of(scope)
    missed: list[JournalError] = []
    with session.opened() as project:
        if run is not None:
            document = History(FORMAT, (tell(find_run(project.journal, run), whole=True, scope=wanted),), 1)
        else:
            listed = [past for past in project.journal.runs(missed) if touches(past, wanted)]
            if missed and not listed:
                raise missed[0]
            document = History(FORMAT, tuple(map(tell, listed[:limit])), len(listed))
    session.result(document, lambda terminal: show_history(terminal, document))
    for told in document.runs:
        if told.unread:
            session.warn(_unread(told.run_id, told.unread))
    for error in missed:
        session.warn(error.sentence)
    return ExitCode.FAILED if missed else ExitCode.OK


def undo(
    common: Common,
    scope: Scoped,
    run: RunName,
    yes: Yes = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only show what would be put back.")] = False,
    wait_lock: WaitLock = None,
    no_journal: NoJournal = False,
) -> ExitCode:
    """Put back the record fields that a run changed, if nobody has changed them since. Objects stay."""
    session = Session(common)
    patience = seconds(wait_lock, "--wait-lock")
    wanted = scope_of(scope)
    with session.opened(keeps_journal=not no_journal) as project:
        if dry_run:
            past = _found(session, project, run, wanted)
            undoing = survey(project, past, wanted)
            show(session, project, undoing.plan, of=f"undo of run {describe(past)}")
            return ExitCode.OK
        with session.lock(project, patience):
            # Not before: the run that is waited for may be the one that is to be undone.
            past = _found(session, project, run, wanted)
            undoing = survey(project, past, wanted)
            agree(
                session,
                project,
                undoing.plan,
                yes=yes,
                force=False,
                max_actions=None,
                of=f"undo of run {describe(past)}",
                question=f"Put back what run {describe(past)} changed?",
            )
            report = session.working(
                lambda listener, stop: execute(project, undoing, listener=listener, stop=stop, command="undo")
            )
    tell_report(session, undoing.plan, report)
    return report.exit_code


def _found(session: Session, project: OpenProject, run: str, scope: Scope) -> Past:
    """The run that is to be undone; says if its journal is damaged."""
    past = find_undoable(project.journal, run, scope)
    if past.unread:
        session.warn(_unread(past.run.run_id, past.unread))
    return past


def _unread(run_id: str, count: int) -> str:
    lines = "1 line" if count == 1 else f"{count:,} lines"
    return f"{lines} of the journal of run {run_id} cannot be read; what they told is missing here"
