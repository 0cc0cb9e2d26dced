"""plan, apply and status: what is out of step, putting it right, and the table of how things stand."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconcile.cli.options import Common, ReplacePolicy, Scoped
from reconcile.cli.session import CONCURRENCY, Session, labels_of, scope_of
from reconcile.core.errors import Declined, ExitCode, UsageError

if TYPE_CHECKING:
    from reconcile.core.plan import Plan
    from reconcile.core.report import Report
    from reconcile.project import Project

Detailed = Annotated[bool, typer.Option("--detailed-exitcode", help="Exit with 2 where there are differences.")]


class By(StrEnum):
    """What a row of the status table is."""

    TYPE = "type"
    CHARACTER = "character"


def plan(
    common: Common,
    scope: Scoped,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Save the plan for apply.", show_default=False)
    ] = None,
    detailed_exitcode: Detailed = False,
) -> ExitCode:
    """Print what is out of step and what apply would do. Changes nothing anywhere."""
    session = Session(common)
    if out is not None and (not out.name or out.is_dir()):
        raise UsageError(f"--out {str(out)!r} names no file", hint="name the file to save the plan in")
    if out is not None and not out.parent.is_dir():
        raise UsageError(f"--out {str(out)!r}: there is no folder {str(out.parent)!r}", hint="make it, or name another")
    with session.project() as project:
        made = session.survey(project, scope_of(scope)).plan
        if out is not None:
            _save(made, out)
        _show(session, project, made)
    if out is not None:
        session.note(f"saved to {out}; `reconcile apply {out}` applies it")
    return _code(made, detailed=detailed_exitcode)


def apply(
    common: Common,
    scope: Scoped,
    planfile: Annotated[
        Path | None, typer.Argument(metavar="[PLANFILE]", help="A saved plan; without it one is made.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only show the plan.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Go past a safety limit.")] = False,
    concurrency: Annotated[int, typer.Option(min=1, max=256, metavar="N", help="Uploads at once.")] = CONCURRENCY,
    max_actions: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Refuse a longer plan.", show_default=False)
    ] = None,
    replace: Annotated[
        ReplacePolicy | None,
        typer.Option(help="For this run: what to do where the bucket has other bytes.", show_default=False),
    ] = None,
) -> ExitCode:
    """Apply a saved plan, or make one and apply it. On a terminal it shows the plan and asks first."""
    session = Session(common)
    if planfile is not None and (scope.char_id or scope.asset_type or replace):
        raise UsageError(
            "a saved plan has its own scope and policy, so --char-id, --asset-type and --replace do not go with it",
            hint="give them to `reconcile plan --out FILE`, or leave PLANFILE out",
        )
    with session.project(replace, concurrency) as project:
        if dry_run:
            made = _plan(session, project, scope, planfile)
            _show(session, project, made)
            return _code(made)
        with project.lock().acquire() as lock:
            if lock.warning:
                session.note(f"warning: {lock.warning}")
            made = _plan(session, project, scope, planfile)
            _agree(session, project, made, yes=yes, force=force, max_actions=max_actions)
            report = session.execute(project, made, concurrency=concurrency, force=force, max_actions=max_actions)
    _tell(session, made, report)
    return report.exit_code


def status(
    common: Common,
    scope: Scoped,
    by: Annotated[By, typer.Option("--by", help="What a row is.")] = By.TYPE,
    detailed_exitcode: Detailed = False,
) -> ExitCode:
    """Print a row for each asset type: local, bucket, records, in step, to do, sync."""
    from reconcile.status import table
    from reconcile.views.status import show_status

    session = Session(common)
    with session.project() as project:
        seen = session.survey(project, scope_of(scope))
        rows = table(seen, project.settings.asset_map, by.value, scope_of(scope))
    session.result(rows, lambda terminal: show_status(terminal, rows, seen.plan))
    return _code(seen.plan, detailed=detailed_exitcode)


def _plan(session: Session, project: Project, scope: Scoped, planfile: Path | None) -> Plan:
    if planfile is None:
        return session.survey(project, scope_of(scope)).plan
    from reconcile.core.planfile import loads
    from reconcile.executor import check

    try:
        made = loads(planfile.read_bytes(), str(planfile))
    except OSError as error:
        raise UsageError(
            f"the plan file {str(planfile)!r} cannot be read: {error.strerror}",
            hint="save one with `reconcile plan --out FILE`",
        ) from error
    check(project, made)
    return made


def _show(session: Session, project: Project, made: Plan) -> None:
    from reconcile.views.plan import show_plan

    labels = labels_of(project)
    session.result(made, lambda terminal: show_plan(terminal, made, labels, verbose=session.verbose))


def _code(made: Plan, *, detailed: bool = False) -> ExitCode:
    if not made.complete:
        return ExitCode.FAILED
    return ExitCode.DIFFERENCES if detailed and made.actions else ExitCode.OK


def _save(made: Plan, out: Path) -> None:
    """Whole or not at all: beside its place first, then into it."""
    from reconcile.core.planfile import dumps

    beside = out.with_name(f".{out.name}.new")
    try:
        beside.write_bytes(dumps(made))
        beside.replace(out)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise UsageError(
            f"the plan cannot be saved to {str(out)!r}: {error.strerror}", hint="name another file with --out"
        ) from error


def _agree(session: Session, project: Project, made: Plan, *, yes: bool, force: bool, max_actions: int | None) -> None:
    """Shows what will be done, and asks where there is someone to answer. Raises Refused, Declined."""
    from reconcile.core.plan import check_limits
    from reconcile.views.plan import show_plan

    asks = not yes and bool(made.actions) and sys.stdin.isatty() and sys.stderr.isatty()
    if asks and not force:
        check_limits(made, project.settings.policy.max_replace, max_actions)
    if asks or not (session.json or session.common.quiet):
        terminal = session.terminal(aside=session.json)
        show_plan(terminal, made, labels_of(project), verbose=session.verbose)
    if asks and not confirmed("Apply this plan?"):
        raise Declined("declined; nothing was changed")


def _tell(session: Session, made: Plan, report: Report) -> None:
    """The report; where the plan was shown and had nothing to do, that was said already."""
    from reconcile.views.report import show_report

    if session.json or session.common.quiet:
        session.result(report, lambda terminal: show_report(terminal, report, verbose=session.verbose))
    elif made.actions:
        terminal = session.terminal()
        terminal.line()
        show_report(terminal, report, verbose=session.verbose)


def confirmed(question: str) -> bool:
    """Asks on stderr; only ``y`` and ``yes`` are a yes, and the end of the input is a no."""
    sys.stdout.flush()
    sys.stderr.write(f"\n{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
