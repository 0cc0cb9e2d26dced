"""init and demo: where to begin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reconcile.adapters.disk_names import as_text
from reconcile.adapters.files import SHARED, beside, move_to_free
from reconcile.cli.options import Common
from reconcile.cli.session import Session
from reconcile.cli.tour import tour
from reconcile.commands.demo import next_free
from reconcile.config import RULES, template
from reconcile.core.errors import ExitCode, UsageError
from reconcile.views import json


def init(common: Common) -> ExitCode:
    session = Session(common)
    path = common.rules or session.project_folder() / RULES
    try:
        _make_folder(path.parent)
        with beside(path, template().encode(), SHARED) as new:
            move_to_free(new, path)
    except FileExistsError as error:
        raise UsageError(
            f"there is a rules file already: {path}; it was left as it is",
            hint="edit it, or start another project with `reconcile init -C DIR`",
        ) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", hint="name a folder with -C") from error
    shown = as_text(str(path))
    session.result(json.InitDocument(json.INIT_FORMAT, shown), lambda terminal: terminal.line(f"wrote {shown}"))
    session.note("next: put your bucket, your database and your output folder into it, then run `reconcile plan`")
    return ExitCode.OK


def _make_folder(folder: Path) -> None:
    """Raises UsageError if something else has the folder's name."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UsageError(f"{folder} is not a folder", hint="move it away, or name another project with -C") from error


def demo(
    common: Common,
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="Where to build it; must be new or empty. [default: demo, demo-2, …]"),
    ] = None,
) -> ExitCode:
    return tour(common, next_free(Path("demo")) if directory is None else directory)
