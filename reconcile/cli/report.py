"""The command report: writes one page that shows the state of everything, to look at or to paste."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from reconcile.adapters.disk_names import as_text
from reconcile.adapters.thumbnails import Thumbnails
from reconcile.cli.files import MARKDOWN, PAGE, STDOUT, OutputKind, check_target, write_whole
from reconcile.cli.options import PlanFile, Planned, Scoped
from reconcile.cli.saved import labels_here, saved_plan
from reconcile.cli.session import Session, labels_of, scope_of
from reconcile.cli.signals import finish
from reconcile.commands.report import Details, details
from reconcile.commands.status import overview, overview_of
from reconcile.core.errors import ExitCode, UsageError
from reconcile.core.names import escaped
from reconcile.views import page
from reconcile.views.plan import totals
from reconcile.views.streams import write_bytes
from reconcile.views.terminal import Terminal

_KINDS = {".html": PAGE, ".htm": PAGE, ".md": MARKDOWN, ".markdown": MARKDOWN}


def report(
    session: Session,
    scope: Scoped,
    sized: Planned,
    planfile: PlanFile = None,
    *,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="The page: FILE.html, or FILE.md as Markdown; - is stdout, as HTML.")
    ],
    form: Annotated[
        Literal["html", "md"] | None,
        typer.Option("--format", metavar="html|md", help="The format, whatever the file is called."),
    ] = None,
    no_pictures: Annotated[
        bool, typer.Option("--no-pictures", help="Leave out the small pictures of files that are new or in conflict.")
    ] = False,
) -> ExitCode:
    if out == STDOUT and session.json:
        raise UsageError("stdout can hold the page (--out -) or the document (--json)", hint="leave one of them out")
    kind, shown = _kind(out, form), escaped(as_text(str(out)))
    more: Details | None = None
    if planfile is not None:
        if scope:
            raise UsageError(
                "a saved plan has its own scope, so --char-id, --asset-type and --path do not go with it",
                hint="leave them out, or leave out the plan",
            )
        plan, labels, code = saved_plan(session, planfile), labels_here(session), ExitCode.OK
        if out != STDOUT:
            check_target(out, kind, session.project().settings)
        seen = overview_of(plan, shown)  # a plan does not hold the state of what it does not change
    else:
        with session.opened(sized=sized) as project:
            if out != STDOUT:
                check_target(out, kind, project.settings)
            survey = session.survey(project, scope_of(project, scope), tallied=True)
            plan, labels = survey.plan, labels_of(project)
            seen = overview(survey, project.settings.asset_map, shown)
            thumbnails = None if no_pictures else Thumbnails.of_this_machine()
            more = details(project, survey, seen, thumbnails) if kind is PAGE else None
        code = ExitCode.OK if plan.complete else ExitCode.FAILED
    text = page.html(seen, plan, labels, more) if kind is PAGE else page.markdown(seen, plan, labels)

    def show(terminal: Terminal) -> None:
        terminal.line(f"wrote {as_text(str(out))}")
        terminal.prose(totals(plan))

    if out == STDOUT:
        finish()
        write_bytes(sys.stdout, text.encode())
    else:
        write_whole(out, text.encode(), kind)
        session.result(seen, show)
    return code


def _kind(out: Path, form: str | None) -> OutputKind:
    """Returns what to write: as --format says, else as the name of the file does. Raises UsageError."""
    suffix = f".{form}" if form else ".html" if out == STDOUT else out.suffix.lower()
    if suffix not in _KINDS:
        raise UsageError(
            f"--out {str(out)!r} is neither a page nor Markdown", hint="name it FILE.html or FILE.md, or say --format"
        )
    return _KINDS[suffix]
