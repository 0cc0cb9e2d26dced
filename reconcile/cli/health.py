"""doctor and url: whether everything a run needs is there, and a signed URL of one asset."""

from __future__ import annotations

from typing import Annotated

import typer

from reconcile.cli.options import Common, seconds
from reconcile.cli.session import Session
from reconcile.commands.doctor import check_nothing, check_project
from reconcile.commands.explain import link
from reconcile.core.errors import ConfigError, ExitCode
from reconcile.views.doctor import show_checkup


def doctor(common: Common) -> ExitCode:
    session = Session(common)
    try:
        with session.opened() as project:
            checkup, code = check_project(project), ExitCode.FAILED
    except ConfigError as error:
        checkup, code = check_nothing(error), error.exit_code
    session.result(checkup, lambda terminal: show_checkup(terminal, checkup))
    return ExitCode.OK if checkup.healthy else code


def url(
    common: Common,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="A path, a gs:// URI, or a key in the bucket.")],
    expires: Annotated[str, typer.Option(metavar="TIME", help="How long it holds; 7d at the most.")] = "15m",
) -> ExitCode:
    session = Session(common)
    lifetime = seconds(expires, "--expires")
    with session.opened() as project:
        made = link(project, subject, lifetime)
    session.result(made, lambda terminal: terminal.line(made.url))
    return ExitCode.OK
