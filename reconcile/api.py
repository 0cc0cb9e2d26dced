"""The Python entry points: ``apply(plan(project, char_ids=[…]))``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import msgspec

from reconcile.core.changes import Change, Finding
from reconcile.core.errors import UsageError
from reconcile.core.events import Listener, silent
from reconcile.core.notes import Note
from reconcile.core.plan import Plan, Summary
from reconcile.core.report import Report
from reconcile.pipeline.executor import execute
from reconcile.pipeline.planner import survey
from reconcile.project import OpenProject, Project, RunOptions


class PlannedRun(msgspec.Struct, frozen=True):
    """A plan together with the project it was made for.

    ``done_notes`` is what the plan found that the outbox need not hold any more; ``apply`` removes it.
    """

    project: Project | OpenProject
    plan: Plan
    done_notes: tuple[Note, ...] = ()

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
    project: Project | OpenProject,
    *,
    char_ids: Sequence[str] = (),
    asset_types: Sequence[str] = (),
    listener: Listener = silent,
) -> PlannedRun:
    """What is out of step and what ``apply`` would do; changes nothing. Raises ReconcileError.

    The stores of a ``Project`` are opened for this and closed again; those of ``project.opened()`` stay open, for more
    plans over the same connections.
    """
    if isinstance(char_ids, str) or isinstance(asset_types, str):
        raise UsageError("char_ids and asset_types are lists of texts", hint='write char_ids=["ai_hoshino"]')
    scope = project.settings.scope(char_ids, asset_types)
    with _opened(project) as opened:
        return PlannedRun(project, survey(opened, scope, listener=listener, tallied=False).plan, opened.done_notes)


def apply(
    planned: PlannedRun, *, force: bool = False, concurrency: int | None = None, listener: Listener = silent
) -> Report:
    """Does it, one run at a time per project. ``concurrency`` objects are written at once; if it is None, as many as
    the network repays. Raises LockHeld, Refused and UsageError before anything is changed."""
    with _opened(planned.project, concurrency) as opened, opened.lock().acquire():
        opened.found_done(planned.done_notes)
        return execute(opened, planned.plan, force=force, concurrency=concurrency, listener=listener)


def _opened(project: Project | OpenProject, concurrency: int | None = None) -> AbstractContextManager[OpenProject]:
    """The project, open; closed afterwards if this opened it."""
    if isinstance(project, OpenProject):
        return nullcontext(project)
    return project.opened(RunOptions(concurrency=concurrency))
