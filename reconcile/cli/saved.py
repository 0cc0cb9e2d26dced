"""The command show, and saved plans, in a file or in a folder: writes and reads them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import typer

from reconcile.adapters.files import PRIVATE, read_bytes
from reconcile.adapters.scanned import ScannedFiles
from reconcile.adapters.shared_folder import bucket_place
from reconcile.cli.complete import plan_files
from reconcile.cli.files import PLAN, check_place, check_target, write_whole
from reconcile.cli.options import Full, NoPager, Sharded
from reconcile.cli.session import Session, labels_of
from reconcile.commands import sharing
from reconcile.commands.scanning import this_machine
from reconcile.core.changes import ObjectChange
from reconcile.core.errors import ConfigError, ExitCode, ReconcileError, UsageError
from reconcile.core.plan import LimitCounts, Plan
from reconcile.core.plandir import Machine, PlanDir, ShardPhase, split
from reconcile.core.planfile import dumps, loads
from reconcile.core.report import Report
from reconcile.pipeline.executor import check
from reconcile.ports import SharedFolder
from reconcile.project import OpenProject
from reconcile.views.changes import Labels

_SHARD = re.compile(r"(\d{1,9})/(\d{1,9})", re.ASCII)


def show(
    session: Session,
    planfile: Annotated[
        Path,
        typer.Argument(metavar="PLANFILE", help="A plan that `plan --out` saved.", autocompletion=plan_files),
    ],
    full: Full = False,
    no_pager: NoPager = False,
) -> ExitCode:
    made = saved_plan(session, planfile)
    following = session.command("apply", str(planfile))
    shown = session.plan_view(labels_here(session), made, following, full=full)
    session.result(made, shown, paged=full and not no_pager)
    return ExitCode.OK


def saver(project: OpenProject, out: Path, shards: int | None) -> Callable[[Plan], str]:
    """Checks the place to which ``plan --out`` writes, before anything is read: a file; or a folder, with --shards or
    in a bucket. Returns what saves a plan there and returns where it is. Raises UsageError."""
    if shards is None and bucket_place(out) is None:
        check_target(out, PLAN, project.settings)

        def save(plan: Plan) -> str:
            # It holds content of records, so only its owner may read it.
            write_whole(out, dumps(plan), PLAN, PRIVATE)
            return str(out)

        return save
    if bucket_place(out) is None:
        check_place(out, project.settings)
    folder = project.shared_folder(out)
    sharing.check_free(folder)

    def share(plan: Plan) -> str:
        sharing.save(folder, *split(plan, shards or 1, *_homes(project, plan)))
        return str(folder)

    return share


class Saved(NamedTuple):
    """A saved plan, or a shard of one, with the counts of the whole plan for the limits."""

    plan: Plan
    part_of: LimitCounts | None = None
    folder: SharedFolder | None = None
    number: int | None = None

    def save_report(self, report: Report) -> str | None:
        """Writes the report next to a plan in a folder. Returns a warning if that fails, since the run has been
        made."""
        if self.folder is None:
            return None
        try:
            sharing.save_report(self.folder, report, self.number)
        except ReconcileError as error:
            return f"the report of this run is missing in {self.folder}: {error.sentence}"
        return None


def load(project: OpenProject, where: Path, sharded: Sharded) -> Saved:
    """Reads the plan in this file or folder, or the part of it that the options name. Raises UsageError if it is not
    whole, or was made for another project."""
    if bucket_place(where) is None and not where.is_dir():
        if sharded:
            raise UsageError(
                f"{str(where)!r} is not a plan folder, and only one of those has shards",
                hint="save one with `reconcile plan --out DIR/ --shards N`",
            )
        saved = Saved(read_plan(where))
    else:
        saved = _in_folder(project, where, sharded)
    check(project, saved.plan)
    return saved


def merged(project: OpenProject, where: Path) -> Report:
    """Returns one report of all runs of the plan in this folder. Raises UsageError."""
    return sharing.merged_report(project.shared_folder(where), _whole(project, where))


def _whole(project: OpenProject, where: Path) -> Plan:
    folder = project.shared_folder(where)
    return sharing.whole(folder, sharing.open_plan(folder))


def _in_folder(project: OpenProject, where: Path, sharded: Sharded) -> Saved:
    folder = project.shared_folder(where)
    head = sharing.open_plan(folder)
    phases = tuple(ShardPhase) if sharded.phase is None else (ShardPhase(sharded.phase),)
    number = None if sharded.shard is None else _number(sharded.shard, head.count, folder)
    if sharded.machine is not None and not head.machines:
        raise UsageError(
            f"the plan in {folder} is of this machine's own files, so --machine does not go with it",
            hint="leave it out: any machine that sees those files can apply the plan",
        )
    machine = _machine(head, sharded.machine, folder) if head.machines and ShardPhase.UPLOADS in phases else None
    project.meter.share(
        head.rates, 1 if number is None and machine is None else head.count * max(1, len(head.machines))
    )
    if number is None and sharded.phase is None and machine is None:
        return Saved(sharing.whole(folder, head), None, folder)
    plan = sharing.part(folder, head, number, phases, machine)
    replaced = max(head.limits.replaced, LimitCounts.of(plan).replaced)
    return Saved(plan, msgspec.structs.replace(head.limits, replaced=replaced), folder, number)


def _machine(head: PlanDir, name: str | None, folder: SharedFolder) -> Machine:
    """Returns the machine of this name, by default this one. Raises UsageError if the plan has no files of it."""
    called = this_machine() if name is None else name
    for machine in head.machines:
        if machine.name == called:
            return machine
    raise UsageError(
        f"the plan in {folder} uploads files of {', '.join(each.name for each in head.machines)}, not of {called}",
        hint="apply it on one of those machines, or say with --machine which this is; --phase records needs none",
    )


def _homes(project: OpenProject, plan: Plan) -> tuple[list[Machine], dict[str, str]]:
    """Returns the machines from whose files a plan was made, and the machine that has the file of each change, by its
    id."""
    if not isinstance(project.files, ScannedFiles):
        return [], {}
    asset_map, changes = project.asset_map, [each for each in plan.actions if isinstance(each, ObjectChange)]
    paths = {change.id: asset_map.path_of(change.key, change.asset_type) for change in changes}
    machines = project.files.machines({path for path in paths.values() if path is not None})
    homes = {name: machines[path] for name, path in paths.items() if path in machines}
    return [Machine(scan.name, scan.root) for scan in project.files.heads], homes


def _number(text: str, count: int, folder: SharedFolder) -> int:
    """Returns the number, from 0, of the shard I/N. I may count from 0 or from 1: N/N is shard 0."""
    found = _SHARD.fullmatch(text)
    if found is None or int(found[1]) > int(found[2]):
        raise UsageError(f"--shard {text!r} is not I/N", hint="write it as 3/8, for the third of eight shards")
    if int(found[2]) != count:
        raise UsageError(
            f"--shard {text}: the plan in {folder} has {count} shards", hint=f"write it as {found[1]}/{count}"
        )
    return int(found[1]) % count


def read_plan(planfile: Path) -> Plan:
    """Reads the plan in this file, for whichever project it was made. Raises UsageError."""
    try:
        data = read_bytes(planfile)
    except OSError as error:
        raise UsageError(
            f"the plan file {str(planfile)!r} cannot be read: {error.strerror}",
            hint="save one with `reconcile plan --out FILE`",
        ) from error
    return loads(data, str(planfile))


def saved_plan(session: Session, where: Path) -> Plan:
    """Reads the whole plan in this file or folder, for whichever project it was made. Raises UsageError."""
    if bucket_place(where) is None and not where.is_dir():
        return read_plan(where)
    with session.opened() as project:
        return _whole(project, where)


def labels_here(session: Session) -> Labels:
    """Returns the labels of the asset types by the rules here, if there are any: a plan can be shown without them."""
    try:
        return labels_of(session.project())
    except ConfigError:
        return {}
