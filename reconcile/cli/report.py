"""report: one page to look at, or to paste, of how everything stands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from reconcile.adapters.disk_names import as_text
from reconcile.cli.files import MARKDOWN, PAGE, STDOUT, check_target, write_whole
from reconcile.cli.options import Common, Scoped, Sized
from reconcile.cli.session import Session, labels_of, scope_of
from reconcile.cli.signals import finish
from reconcile.commands.report import details
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
    sized: Sized,
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="FILE", help="The page: FILE.html, or FILE.md as Markdown; - is stdout, as HTML."
        ),
    ],
) -> ExitCode:
    session = Session(common)
    if out == STDOUT and session.json:
        raise UsageError("stdout can hold the page (--out -) or the document (--json)", hint="leave one of them out")
    suffix = ".html" if out == STDOUT else out.suffix.lower()
    if suffix not in (*HTML, *MD):
        raise UsageError(f"--out {str(out)!r} is neither a page nor Markdown", hint="name it FILE.html or FILE.md")
    shown = as_text(str(out))
    kind = PAGE if suffix in HTML else MARKDOWN
    with session.opened(sized=sized) as project:
        if out != STDOUT:
            check_target(out, kind, project.settings)
        survey = session.survey(project, scope_of(project, scope), tallied=True)
        seen = overview(survey, project.settings.asset_map, shown.encode("utf-8", "backslashreplace").decode())
        labels = labels_of(project)
        if kind is PAGE:
            text = page.html(seen, survey.plan, labels, details(survey, project.settings))
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
