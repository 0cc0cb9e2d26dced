"""The command show: shows a saved plan, as plan does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reconcile.adapters.shared_folder import bucket_place
from reconcile.cli.complete import plan_files
from reconcile.cli.options import Common, Full, NoPager, Sharded
from reconcile.cli.saved import load, read_plan
from reconcile.cli.session import Session, labels_of
from reconcile.core.errors import ConfigError, ExitCode
from reconcile.core.plan import Plan
from reconcile.views.changes import Labels


def show(
    common: Common,
    planfile: Annotated[
        Path,
        typer.Argument(metavar="PLANFILE", help="A plan that `plan --out` saved.", autocompletion=plan_files),
    ],
    full: Full = False,
    no_pager: NoPager = False,
) -> ExitCode:
    session = Session(common)
    made = saved_plan(session, planfile)
    following = session.command("apply", str(planfile))
    shown = session.plan_view(labels_here(session), made, following, full=full)
    session.result(made, shown, paged=full and not no_pager)
    return ExitCode.OK


def saved_plan(session: Session, where: Path) -> Plan:
    """Reads the plan in this file or folder. Raises UsageError."""
    if bucket_place(where) is None and not where.is_dir():
        return read_plan(where)
    with session.opened() as project:
        return load(project, where, Sharded()).plan


def labels_here(session: Session) -> Labels:
    """Returns the labels of the asset types by the rules here, if there are any: a plan can be shown without them."""
    try:
        return labels_of(session.project())
    except ConfigError:
        return {}
