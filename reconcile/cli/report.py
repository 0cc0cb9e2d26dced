"""report: one page to look at, or to paste, of how everything stands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from reconcile.adapters.disk_names import as_text
from reconcile.adapters.thumbnails import Thumbnails
from reconcile.cli.files import MARKDOWN, PAGE, STDOUT, OutputKind, check_target, write_whole
from reconcile.cli.options import Common, Planned, Scoped
from reconcile.cli.session import Session, labels_of, scope_of
from reconcile.cli.signals import finish
from reconcile.commands.illustrating import pictures
from reconcile.commands.report import details, standings
from reconcile.commands.status import overview
from reconcile.core.errors import ExitCode, UsageError
from reconcile.views import page
from reconcile.views.plan import totals
from reconcile.views.streams import write_bytes
from reconcile.views.terminal import Terminal

HTML = (".html", ".htm")
MD = (".md", ".markdown")


def report(
    common: Common,
    scope: Scoped,
    sized: Planned,
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="FILE", help="The page: FILE.html, or FILE.md as Markdown; - is stdout, as HTML."
        ),
    ],
    form: Annotated[
        Literal["html", "md"] | None,
        typer.Option("--format", metavar="html|md", help="What to write, whatever the file is called."),
    ] = None,
    no_pictures: Annotated[
        bool, typer.Option("--no-pictures", help="Leave out the small pictures of files that are new or in conflict.")
    ] = False,
) -> ExitCode:
    session = Session(common)
    if out == STDOUT and session.json:
        raise UsageError("stdout can hold the page (--out -) or the document (--json)", hint="leave one of them out")
    shown = as_text(str(out))
    kind = _kind(out, form)
    with session.opened(sized=sized) as project:
        if out != STDOUT:
            check_target(out, kind, project.settings)
        survey = session.survey(project, scope_of(project, scope), tallied=True)
        seen = overview(survey, project.settings.asset_map, shown.encode("utf-8", "backslashreplace").decode())
        labels = labels_of(project)
        if kind is PAGE:
            more = details(survey, project.settings)
            thumbnails = None if no_pictures else Thumbnails.of_this_machine()
            if thumbnails is not None:
                made = pictures(project, survey, standings(seen, survey.plan), thumbnails)
                more = msgspec.structs.replace(more, pictures=made)
            text = page.html(seen, survey.plan, labels, more)
        else:
            text = page.markdown(seen, survey.plan, labels)
    data = text.encode()

    def show(terminal: Terminal) -> None:
        terminal.line(f"wrote {shown}")
        terminal.prose(totals(survey.plan))

    if out == STDOUT:
        finish()
        write_bytes(sys.stdout, data)
    else:
        write_whole(out, data, kind)
        session.result(seen, show)
    return ExitCode.OK if survey.plan.complete else ExitCode.FAILED


def _kind(out: Path, form: str | None) -> OutputKind:
    """What to write: what --format says, else what the file's name does. Raises UsageError."""
    suffix = f".{form}" if form else ".html" if out == STDOUT else out.suffix.lower()
    if suffix not in (*HTML, *MD):
        raise UsageError(
            f"--out {str(out)!r} is neither a page nor Markdown", hint="name it FILE.html or FILE.md, or say --format"
        )
    return PAGE if suffix in HTML else MARKDOWN
