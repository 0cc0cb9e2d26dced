"""The Python entry points: ``apply(plan(project, char_ids=[…]))``."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from reconcile.core.changes import Change, Finding
from reconcile.core.errors import UsageError
from reconcile.core.events import Listener, silent
from reconcile.core.plan import Plan, Scope, Summary
from reconcile.core.report import Report
from reconcile.pipeline.executor import CONCURRENCY, execute
from reconcile.pipeline.planner import survey
from reconcile.project import Project


class PlannedRun(msgspec.Struct, frozen=True):
    """A plan together with the project it was made for."""

    project: Project
    plan: Plan

    @property
    def actions(self) -> tuple[Change, ...]:
        """The changes, in the order in which they are made."""
        return self.plan.actions

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What a person should know."""
        return self.plan.findings

    @property
    def summary(self) -> Summary:
        """The counts."""
        return self.plan.summary


def plan(
    project: Project,
    *,
    char_ids: Sequence[str] = (),
    asset_types: Sequence[str] = (),
    listener: Listener = silent,
) -> PlannedRun:
    """What is out of step and what ``apply`` would do; changes nothing. Raises ReconcileError."""
    if isinstance(char_ids, str) or isinstance(asset_types, str):
        raise UsageError("char_ids and asset_types are lists of texts", hint='write char_ids=["ai_hoshino"]')
    scope = Scope(tuple(char_ids), tuple(asset_types))
    return PlannedRun(project, survey(project, scope, listener=listener).plan)


def apply(
    planned: PlannedRun, *, force: bool = False, concurrency: int = CONCURRENCY, listener: Listener = silent
) -> Report:
    """Does it, one run at a time per project. Raises LockHeld, Refused and UsageError before anything is changed."""
    with planned.project.lock().acquire():
        return execute(planned.project, planned.plan, force=force, concurrency=concurrency, listener=listener)
