"""A plan for several machines: saves it into a folder, reads its shards, and merges the reports of its runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import chain

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
    """Checks that the folder is empty: otherwise other machines may be working with it. Raises UsageError."""
    if folder.sizes():
        raise UsageError(
            f"{folder} is not empty, and other machines may be at work with what is there", hint="name a new folder"
        )


def save(folder: SharedFolder, head: PlanDir, files: Mapping[str, bytes]) -> None:
    """Writes a plan into a folder, as ``plandir.split`` divided it. The head is written last, so that an incomplete
    folder is not taken for a plan."""
    for name, data in files.items():
        folder.create(name, data)
    folder.create(HEAD, dump_head(head))


def open_plan(folder: SharedFolder) -> PlanDir:
    """Returns the head of the plan in a folder. Raises UsageError if a file that it names is missing or has another
    length."""
    sizes = folder.sizes()
    plandir.FOLDER.check_head(sizes, str(folder))
    head = plandir.load_head(folder.read(HEAD), str(folder))
    listed = {each.name: each.bytes for each in head.shards} | {each.name: each.bytes for each in head.findings}
    plandir.FOLDER.check_files(listed, sizes, str(folder))
    return head


def part(
    folder: SharedFolder,
    head: PlanDir,
    number: int | None,
    phases: Collection[ShardPhase],
    machine: Machine | None = None,
) -> Plan:
    """Returns the changes of these phases in one shard (None: in all), with only this machine's uploads. Raises
    UsageError if the files are not those that the head names."""
    shards = [shard for phase in ShardPhase if phase in phases for shard in head.of(phase, number, machine)]
    actions = [plandir.read_actions(head, shard, folder.read(shard.name), str(folder)) for shard in shards]
    return head.part(chain.from_iterable(actions), machine)


def whole(folder: SharedFolder, head: PlanDir) -> Plan:
    """Returns the whole plan, from all shards. Raises UsageError like ``part``."""
    where = str(folder)
    actions = [plandir.read_actions(head, shard, folder.read(shard.name), where) for shard in head.shards]
    findings = [plandir.read_findings(shard, folder.read(shard.name), where) for shard in head.findings]
    return plandir.merge(head, chain.from_iterable(actions), chain.from_iterable(findings), where)


def save_report(folder: SharedFolder, report: Report, number: int | None) -> None:
    """Writes the report of a run of one shard, or of all (None), next to its plan."""
    name = f"{REPORT}{'all' if number is None else f'{number:04}'}-{report.run_id}.json"
    folder.create(name, msgspec.json.encode(report) + b"\n")


def merged_report(folder: SharedFolder, plan: Plan) -> Report:
    """Returns one report of all runs of this plan. Raises UsageError if a report cannot be read."""
    names = sorted(name for name in folder.sizes() if name.startswith(REPORT))
    reports = [plandir.load_report(folder.read(name), name, str(folder)) for name in names]
    return plandir.merge_reports(plan, reports)
