"""A plan for several machines: saved into a folder, applied shard by shard, and the reports of its runs merged."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from reconcile.core import plandir
from reconcile.core.errors import UsageError
from reconcile.core.headed import dump_head
from reconcile.core.plan import Plan
from reconcile.core.plandir import HEAD, Machine, PlanDir, ShardPhase
from reconcile.core.report import Report
from reconcile.ports import SharedFolder

REPORT = "report-"


def check_free(folder: SharedFolder) -> None:
    """Raises UsageError if the folder is not empty: other machines may be at work with what is there."""
    if folder.sizes():
        raise UsageError(
            f"{folder} is not empty, and other machines may be at work with what is there", hint="name a new folder"
        )


def save(
    folder: SharedFolder,
    plan: Plan,
    count: int,
    machines: Sequence[Machine] = (),
    machine_of: Mapping[str, str] | None = None,
) -> None:
    """Writes a plan into a folder, as ``plandir.split`` divides it. The head comes last, so that an incomplete folder
    is not taken for a plan."""
    head, files = plandir.split(plan, count, machines, machine_of)
    for name, data in files.items():
        folder.create(name, data)
    folder.create(HEAD, dump_head(head))


def open_plan(folder: SharedFolder) -> PlanDir:
    """The head of the plan in a folder. Raises UsageError unless each file that it names is there, of its length."""
    sizes = folder.sizes()
    plandir.FOLDER.check_head(sizes, str(folder))
    head = plandir.load_head(folder.read(HEAD), str(folder))
    plandir.FOLDER.check_files(head.files(), sizes, str(folder))
    return head


def part(
    folder: SharedFolder,
    head: PlanDir,
    number: int | None,
    phases: Collection[ShardPhase],
    machine: Machine | None = None,
) -> Plan:
    """What one shard (None: all of them) holds of these phases; of uploads only those of this machine. Raises
    UsageError if its files are not those that the head names."""
    shards = [shard for phase in ShardPhase if phase in phases for shard in head.of(phase, number, machine)]
    actions = [plandir.read_actions(head, shard, folder.read(shard.name), str(folder)) for shard in shards]
    return head.part((change for each in actions for change in each), machine)


def whole(folder: SharedFolder, head: PlanDir) -> Plan:
    """The plan that all shards make together. Raises UsageError in the same way."""
    where = str(folder)
    actions = [plandir.read_actions(head, shard, folder.read(shard.name), where) for shard in head.shards]
    findings = [plandir.read_findings(shard, folder.read(shard.name), where) for shard in head.findings]
    return plandir.merge(
        head, (each for some in actions for each in some), (each for some in findings for each in some), where
    )


def save_report(folder: SharedFolder, report: Report, number: int | None) -> None:
    """Writes beside a plan what a run of one of its shards, or of all of them (None), did."""
    name = f"{REPORT}{'all' if number is None else f'{number:04}'}-{report.run_id}.json"
    folder.create(name, msgspec.json.encode(report) + b"\n")


def merged_report(folder: SharedFolder, plan: Plan) -> Report:
    """What all runs of this plan did together. Raises UsageError if a report cannot be read."""
    names = sorted(name for name in folder.sizes() if name.startswith(REPORT))
    reports = [plandir.load_report(folder.read(name), name, str(folder)) for name in names]
    return plandir.merge_reports(plan, reports)
