"""report: one page to look at, or to paste, of how everything stands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconcile.cli.files import check_target, write_whole
from reconcile.cli.options import Common, Scoped
from reconcile.cli.session import Session, labels_of, scope_of
from reconcile.core.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from reconcile.views.terminal import Terminal

HTML = (".html", ".htm")
MARKDOWN = (".md", ".markdown")


def report(
    common: Common,
    scope: Scoped,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The page: FILE.html, or FILE.md as Markdown.")],
) -> ExitCode:
    """Write one self-contained page: status, characters by asset type, plan, findings. Changes nothing else."""
    from reconcile.overview import overview
    from reconcile.views import page
    from reconcile.views.plan import totals

    session = Session(common)
    if out.suffix.lower() not in (*HTML, *MARKDOWN):
        raise UsageError(f"--out {str(out)!r} is neither a page nor Markdown", hint="name it FILE.html or FILE.md")
    check_target(out)
    with session.project() as project:
        survey = session.survey(project, scope_of(scope))
        seen = overview(survey, project.settings.asset_map, str(out).encode("utf-8", "backslashreplace").decode())
        labels = labels_of(project)
    write = page.html if out.suffix.lower() in HTML else page.markdown
    write_whole(out, write(seen, survey.plan, labels).encode())

    def show(terminal: Terminal) -> None:
        terminal.line(f"wrote {out}")
        terminal.prose(totals(survey.plan))

    session.result(seen, show)
    return ExitCode.OK if survey.plan.complete else ExitCode.FAILED
