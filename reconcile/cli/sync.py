"""The commands plan, apply and status: show what is out of sync, bring it in sync, and print the status table. What
only one of them needs is imported in that command."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from reconcile.cli.files import STDOUT
from reconcile.cli.options import (
    AllowEmpty,
    BwLimit,
    Concurrency,
    DryRun,
    FailOnFindings,
    Force,
    Full,
    NoJournal,
    NoPager,
    PlanFile,
    Planned,
    Scoped,
    Sharded,
    WaitLock,
    Yes,
    option,
    seconds,
    typed,
    variables,
)
from reconcile.cli.session import Replace, Session, labels_of, scope_of, severity
from reconcile.core.duration import format_duration
from reconcile.core.errors import ExitCode, UsageError
from reconcile.core.plan import LimitCounts, Plan, check_limits
from reconcile.core.report import build
from reconcile.project import OpenProject
from reconcile.run_options import RunOptions
from reconcile.views.plan import question, totals

if TYPE_CHECKING:
    from reconcile.cli.saved import Saved

Detailed = Annotated[bool, typer.Option("--detailed-exitcode", help="Exit with 2 if there are differences.")]


def plan(
    session: Session,
    scope: Scoped,
    sized: Planned,
    out: Annotated[Path | None, option(metavar="FILE", help="Save the plan for apply; - is stdout.")] = None,
    shards: Annotated[
        int | None,
        option(min=1, max=10_000, metavar="N", help="Make --out a folder, for N machines to apply; may be gs://."),
    ] = None,
    files_from: Annotated[
        list[Path] | None,
        option(metavar="DIR", help="Plan for the files in this scan, not in the root; may be gs://; repeatable."),
    ] = None,
    objects_from: Annotated[
        str | None,
        option(
            metavar="inventory:gs://…",
            help="Take the objects from the newest inventory report there; the bucket is not listed.",
        ),
    ] = None,
    detailed_exitcode: Detailed = False,
    fail_on: FailOnFindings = None,
    allow_empty: AllowEmpty = False,
    full: Full = False,
    no_pager: NoPager = False,
    beam: Annotated[
        list[str] | None, typer.Argument(metavar="-- OPTION", help="With --engine beam: options for Apache Beam.")
    ] = None,
) -> ExitCode:
    on_beam = sized.engine == "beam"
    if beam and not on_beam:
        raise UsageError(f"plan takes no argument {beam[0]!r}", hint="options behind -- are for --engine beam")
    if shards is not None and out in (None, STDOUT):
        raise UsageError("--shards is for a plan that goes into a folder", hint="name the folder with --out DIR/")
    if out == STDOUT:
        session.json, out = True, None
    where, inventory = "", None
    if objects_from is not None:
        from reconcile.cli.elsewhere import inventory_of

        inventory = inventory_of(objects_from)
    options = RunOptions(allows_empty=allow_empty, scans=tuple(files_from or ()), inventory=inventory)
    with session.opened(options, sized=sized, on_beam=on_beam) as project:
        if (report := project.inventory_report) is not None:  # checked before anything else is read
            session.note(f"the bucket is not listed: {report.name} says what was in it at {report.taken}")
        save = None
        if out is not None:
            from reconcile.cli.saved import saver

            save = saver(project, out, shards)
        if on_beam:
            from reconcile.cli.elsewhere import plan_on_beam

            made = plan_on_beam(session, project, scope, beam or ())
        else:
            made = session.survey(project, scope_of(project, scope)).plan
        if save is not None:
            where = save(made)
        shard = ("--shard", f"I/{shards}") if shards is not None else ()
        following = session.command("apply", where, *shard) if where else session.command("apply", scope=scope)
        if files_from and not where:  # apply would plan for the files of this machine
            scans = typed(("--files-from", each) for each in files_from)
            following = session.command("plan", *scans, "--out", "DIR/", "--shards", "N")
        show = session.plan_view(labels_of(project), made, following, full=full)
        session.result(made, show, paged=full and not no_pager)
    if where:
        session.note(f"saved to {where}; `{following}` applies it")
    return session.verdict(_code(made, detailed=detailed_exitcode), made.findings, fail_on)


def apply(
    session: Session,
    scope: Scoped,
    sized: Planned,
    sharded: Sharded,
    planfile: PlanFile = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    full: Full = False,
    no_pager: NoPager = False,
    force: Force = False,
    concurrency: Concurrency = None,
    bwlimit: BwLimit = None,
    max_actions: Annotated[
        int | None, option(min=0, metavar="N", help="Stop if the plan has more than N changes.")
    ] = None,
    replace: Replace = None,
    fail_on: FailOnFindings = None,
    allow_empty: AllowEmpty = False,
    wait_lock: WaitLock = None,
    no_journal: NoJournal = False,
    if_older: Annotated[
        str | None, option(metavar="TIME", help="Do nothing if the last good run is younger than this, e.g. 26h.")
    ] = None,
    notify: Annotated[
        str | None, option(metavar="COMMAND", help="Run this command at the end, with the run's JSON on its stdin.")
    ] = None,
    env: Annotated[
        list[str] | None, option(metavar="NAME=VALUE", help="Set a variable for this run; repeatable.")
    ] = None,
) -> ExitCode:
    from reconcile.cli.notify import notifying
    from reconcile.pipeline.executor import execute

    os.environ.update(variables(env))
    if planfile is not None and (scope or replace):
        raise UsageError(
            "a saved plan has its own scope and policy, so --char-id, --asset-type, --path and --replace do not go with"
            " it",
            hint="give them to the plan (`reconcile plan --out FILE`, `reconcile apply -n --json --replace … > FILE`)",
        )
    if planfile is None and sharded:
        raise UsageError(
            "--shard, --phase, --machine and --merge-reports are for a saved plan in a folder",
            hint="name it: `reconcile apply DIR/`",
        )
    if sharded.merge_reports and sharded.part:
        raise UsageError(
            f"--merge-reports is about all runs of the plan, so {sharded.part[0]} does not go with it",
            hint=f"leave out {' and '.join(sharded.part[::2])}",
        )
    words = () if planfile is None else (str(planfile), *sharded.part)
    patience = seconds(wait_lock, "--wait-lock")
    age = seconds(if_older, "--if-older") if if_older is not None else None
    if age is not None and (dry_run or planfile is not None):
        raise UsageError("--if-older is for a run of its own", hint="leave out --dry-run and PLANFILE, or --if-older")
    if age is not None and _is_fresh(session, age):
        return ExitCode.OK
    if sharded.merge_reports and planfile is not None:
        from reconcile.cli.saved import merged

        with session.opened() as project:
            report = merged(project, planfile)
        session.report(report, session.again("apply", *words, "--shard", "I/N", keeps_journal=False), planned=True)
        return session.verdict(report.exit_code, report.findings, fail_on)
    options = RunOptions(concurrency, allow_empty, keeps_journal=not no_journal)
    run = partial(session.opened, options, replace=replace, sized=sized, bwlimit=bwlimit)
    if dry_run:
        with run() as project:
            saved = _saved(project, planfile, sharded)
            made = saved.plan if saved else session.survey(project, scope_of(project, scope)).plan
            following = session.command("apply", *words, scope=scope)
            show = session.plan_view(labels_of(project), made, following, full=full)
            session.result(made, show, paged=full and not no_pager)
            return session.verdict(_code(made), made.findings, fail_on)
    with notifying(notify, session) as ended:
        with run() as project, session.lock(project, patience, give_way=age is not None) as held:
            if not held:
                return _nothing_done(session)
            if age is not None and _is_fresh(session, age):  # the run that held the lock may have done it
                return ExitCode.OK
            saved = _saved(project, planfile, sharded)
            made = saved.plan if saved else session.survey(project, scope_of(project, scope)).plan
            whole = saved.part_of if saved else None
            limit = project.settings.policy.max_replace
            session.agree(
                question(made),
                totals(made),
                session.plan_view(labels_of(project), made, full=full),
                yes=yes or not made.actions,
                check=lambda: None if force else check_limits(whole or LimitCounts.of(made), limit, max_actions),
            )
            work = partial(execute, project, made, command="apply", fail_on=severity(fail_on), part_of=whole)
            report = session.execute(partial(work, force=force, max_actions=max_actions))
            if saved and (unsaved := saved.save_report(report)):
                session.warn(unsaved, of="warning")
        again = session.again("apply", *words, scope=scope, keeps_journal=not no_journal)
        session.report(report, again, made.actions, planned=bool(made.actions))
        code = session.verdict(report.exit_code, report.findings, fail_on)
        ended((report, code, made.actions))
    return code


def status(
    session: Session,
    scope: Scoped,
    sized: Planned,
    by: Annotated[
        Literal["type", "character"], typer.Option(metavar="type|character", help="What each row stands for.")
    ] = "type",
    detailed_exitcode: Detailed = False,
    fail_on: FailOnFindings = None,
    max_age: Annotated[
        str | None, option(metavar="TIME", help="Fail if the last good run is older than this, e.g. 26h.")
    ] = None,
) -> ExitCode:
    from reconcile.commands.status import is_in_step, overdue, table
    from reconcile.views.status import show_status

    allowed = seconds(max_age, "--max-age") if max_age is not None else None
    with session.opened(sized=sized) as project:
        seen = session.survey(project, scope_of(project, scope), tallied=True)
        last = project.last_good_run
        rows = table(seen, project.settings.asset_map, by, last_good_run=last)
    following = session.command("plan", scope=scope)
    session.result(rows, lambda terminal: show_status(terminal, rows, seen.plan, following=following))
    if allowed is not None and (too_old := overdue(last, allowed)):
        session.warn(too_old)
        return ExitCode.FAILED
    code = _code(seen.plan, detailed=detailed_exitcode)
    if detailed_exitcode and code is ExitCode.OK and not is_in_step(seen):
        code = ExitCode.DIFFERENCES
    return session.verdict(code, seen.plan.findings, fail_on)


def _is_fresh(session: Session, age: float) -> bool:
    """Whether the last good run of everything is younger than ``age`` seconds. If so, writes a note."""
    from reconcile.commands.status import overdue

    with session.opened() as project:
        last = project.last_good_run
    if overdue(last, age):
        return False
    session.note(f"nothing done: the last good run was {last}, less than {format_duration(age)} ago")
    _nothing_done(session)
    return True


def _nothing_done(session: Session) -> ExitCode:
    """Writes the result of a run that was not due."""
    if session.json:
        session.result(build("", [], [], moved=0, seconds=0.0), lambda _terminal: None)
    return ExitCode.OK


def _saved(project: OpenProject, planfile: Path | None, sharded: Sharded) -> Saved | None:
    if planfile is None:
        return None
    from reconcile.cli.saved import load  # imported here and above because few runs apply a saved plan

    return load(project, planfile, sharded)


def _code(made: Plan, *, detailed: bool = False) -> ExitCode:
    if not made.complete:
        return ExitCode.FAILED
    return ExitCode.DIFFERENCES if detailed and made.actions else ExitCode.OK
