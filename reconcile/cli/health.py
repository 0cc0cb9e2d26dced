"""The commands doctor and url: checks everything that a run needs, and prints signed URLs of assets."""

from __future__ import annotations

from typing import Annotated

import typer

from reconcile.cli.complete import subjects as known
from reconcile.cli.options import Scoped
from reconcile.cli.session import Session, scope_of
from reconcile.commands.doctor import check_nothing, check_project
from reconcile.commands.links import LIFETIME, lifetime_of, links
from reconcile.core.errors import ConfigError, ExitCode
from reconcile.run_options import RunOptions
from reconcile.views.doctor import show_checkup
from reconcile.views.terminal import Terminal


def doctor(session: Session) -> ExitCode:
    try:
        with session.opened() as project, session.progress():
            checkup, code = check_project(project), ExitCode.FAILED
    except ConfigError as error:
        checkup, code = check_nothing(error), error.exit_code
    session.result(checkup, lambda terminal: show_checkup(terminal, checkup))
    return ExitCode.OK if checkup.healthy else code


def url(
    session: Session,
    scope: Scoped,
    subjects: Annotated[
        list[str] | None,
        typer.Argument(metavar="SUBJECT", help="Paths or gs:// URIs of assets, or characters.", autocompletion=known),
    ] = None,
    expires: Annotated[str, typer.Option(metavar="TIME", help="How long the URLs are valid; at most 7d.")] = LIFETIME,
) -> ExitCode:
    lifetime = lifetime_of(expires, "--expires")
    with session.opened(RunOptions(makes_root=True)) as project, session.progress() as listener:
        made = links(project, subjects or (), lifetime, scope=scope_of(project, scope), listener=listener)

    def show(terminal: Terminal) -> None:
        """Writes only the URL for a single asset, which a script can use as it is; otherwise ``URL URI`` for each,
        since no URL contains a blank."""
        lines = [made.url] if isinstance(made.url, str) else [f"{url} {uri}" for uri, url in made.urls.items()]
        for line in lines:
            terminal.line(line)

    session.result(made, show)
    if made.may_end_early:
        session.warn("these URLs are signed with a key of Google's, so they may end after 12h", of="warning")
    for subject in made.missing:
        session.warn(f"{subject!r} is not in {project.bucket}, so it has no URL")
    return ExitCode.FAILED if made.missing else ExitCode.OK
