"""The commands explain, rules check and rules test: why things are as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from reconcile.adapters.disk_names import as_text
from reconcile.cli.complete import paths as known_paths
from reconcile.cli.complete import subjects
from reconcile.cli.options import Scoped, Sized
from reconcile.cli.session import Session, labels_of, scope_of
from reconcile.commands.explain import explain as ask
from reconcile.commands.trials import against_records, describe_rules, try_paths
from reconcile.core.errors import ExitCode
from reconcile.views.explain import show_explanation, show_rules, show_trials
from reconcile.views.terminal import Terminal
from reconcile.views.unread import show_against


def explain(
    session: Session,
    scope: Scoped,
    sized: Sized,
    subject: Annotated[
        str, typer.Argument(metavar="SUBJECT", help="A path, a gs:// URI or a character id.", autocompletion=subjects)
    ],
) -> ExitCode:
    with session.opened(sized=sized) as project, session.progress() as listener:
        answer = ask(project, subject, scope=scope_of(project, scope), listener=listener)
        labels = labels_of(project)
    session.result(answer, lambda terminal: show_explanation(terminal, answer, labels))
    return ExitCode.OK


def rules_check(
    session: Session,
    records: Annotated[
        bool,
        typer.Option("--against-records", help="Also say which paths and URIs in the records the rules leave unread."),
    ] = False,
) -> ExitCode:
    with session.opened() as project:
        used = project.waivers_used if project.settings.waivers else {}
        described = describe_rules(project.settings, used)
        if records:
            with session.progress() as listener:
                found = against_records(project, listener)
            described = msgspec.structs.replace(described, records=found)
        labels = labels_of(project)

    def show(terminal: Terminal) -> None:
        show_rules(terminal, described)
        if described.records is not None:
            terminal.line()
            show_against(terminal, described.records, labels, verbose=session.verbose)

    session.result(described, show)
    return ExitCode.OK


def rules_test(
    session: Session,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH", help="Paths below the local root, or relative to it.", autocompletion=known_paths
        ),
    ],
) -> ExitCode:
    with session.opened() as project:
        trials = try_paths(project, [as_text(str(path)) for path in paths])
    session.result(trials, lambda terminal: show_trials(terminal, trials))
    return ExitCode.OK
