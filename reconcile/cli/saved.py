"""Saved plans, in a file or in a folder: writing them, and reading what of them is to be applied."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from reconcile.adapters.files import PRIVATE, read_bytes
from reconcile.cli.files import PLAN, check_place, check_target, write_whole
from reconcile.cli.options import Sharded
from reconcile.commands import sharing
from reconcile.core.errors import ReconcileError, UsageError
from reconcile.core.plan import LimitCounts, Plan
from reconcile.core.plandir import ShardPhase
from reconcile.core.planfile import dumps, loads
from reconcile.core.report import Report
from reconcile.pipeline.executor import check
from reconcile.ports import SharedFolder
from reconcile.project import OpenProject

_SHARD = re.compile(r"(\d+)/(\d+)", re.ASCII)


class PlanTarget:
    """Where ``plan --out`` writes: a file, or with --shards, or in a bucket, a folder. Checked before anything is read.
    Raises UsageError."""

    def __init__(self, project: OpenProject, out: Path, shards: int | None) -> None:
        self._out = out
        self._shards = shards or 1
        self._folder: SharedFolder | None = None
        is_folder = shards is not None or sharing.bucket_place(out) is not None
        if not is_folder:
            check_target(out, PLAN, project.settings)
            return
        if sharing.bucket_place(out) is None:
            check_place(out, project.settings)
        self._folder = sharing.open_folder(project, out)
        sharing.check_free(self._folder)

    def write(self, plan: Plan) -> str:
        """Saves the plan, and says where it is."""
        if self._folder is None:
            # It holds what records hold: for the eyes of its maker.
            write_whole(self._out, dumps(plan), PLAN, PRIVATE)
            return str(self._out)
        sharing.save(self._folder, plan, self._shards)
        return str(self._folder)


class Saved(NamedTuple):
    """A saved plan, or a shard of one: then with the counts of the whole, for the limits."""

    plan: Plan
    part_of: LimitCounts | None = None
    folder: SharedFolder | None = None
    number: int | None = None

    def save_report(self, report: Report) -> str | None:
        """Leaves the report beside a plan in a folder. Gives what is to be said if that fails; the run was made."""
        if self.folder is None:
            return None
        try:
            sharing.save_report(self.folder, report, self.number)
        except ReconcileError as error:
            return f"the report of this run is missing in {self.folder}: {error.sentence}"
        return None


def load(project: OpenProject, where: Path, sharded: Sharded) -> Saved:
    """The plan in this file or folder, or what of it the options name. Raises UsageError if it is not whole, or not
    this project's."""
    if sharing.bucket_place(where) is None and not where.is_dir():
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
    """What all runs of the plan in this folder did together. Raises UsageError."""
    folder = sharing.open_folder(project, where)
    return sharing.merged_report(folder, sharing.whole(folder, sharing.open_plan(folder)))


def _in_folder(project: OpenProject, where: Path, sharded: Sharded) -> Saved:
    folder = sharing.open_folder(project, where)
    head = sharing.open_plan(folder)
    phases = tuple(ShardPhase) if sharded.phase is None else (ShardPhase(sharded.phase),)
    if sharded.shard is None:
        plan = sharing.whole(folder, head)
        if sharded.phase is None:
            return Saved(plan, None, folder)
        return Saved(head.part(each for each in plan.actions if ShardPhase.of(each) in phases), head.limits, folder)
    number = _number(sharded.shard, head.count, folder)
    plan = sharing.part(folder, head, number, phases)
    own = LimitCounts.of(plan)
    return Saved(
        plan,
        LimitCounts(head.limits.actions, max(head.limits.replaced, own.replaced), head.limits.objects),
        folder,
        number,
    )


def _number(text: str, count: int, folder: SharedFolder) -> int:
    """The number, from 0, of the shard I of N. Counting from 0 or from 1 makes no difference: N is 0."""
    found = _SHARD.fullmatch(text)
    if found is None or int(found[1]) > int(found[2]):
        raise UsageError(f"--shard {text!r} is not I/N", hint="write it as 3/8, for the third of eight shards")
    if int(found[2]) != count:
        raise UsageError(
            f"--shard {text}: the plan in {folder} has {count} shards", hint=f"write it as {found[1]}/{count}"
        )
    return int(found[1]) % count


def read_plan(planfile: Path) -> Plan:
    """The plan in this file, whosever it is. Raises UsageError."""
    try:
        data = read_bytes(planfile)
    except OSError as error:
        raise UsageError(
            f"the plan file {str(planfile)!r} cannot be read: {error.strerror}",
            hint="save one with `reconcile plan --out FILE`",
        ) from error
    return loads(data, str(planfile))
