"""The Python entry points: ``apply(plan(project, char_ids=[…]))``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

import msgspec

from reconcile.commands.links import links
from reconcile.config.naming import scope_named
from reconcile.core.catalogue import Asset
from reconcile.core.changes import Change, Finding
from reconcile.core.errors import NotThere, UsageError
from reconcile.core.events import Listener, silent
from reconcile.core.notes import Note
from reconcile.core.plan import Plan, Scope, Summary
from reconcile.core.report import Report, nonzero
from reconcile.pipeline.catalogue import Catalogue
from reconcile.pipeline.executor import execute
from reconcile.pipeline.planner import survey
from reconcile.project import OpenProject, Project
from reconcile.run_options import RunOptions


class PlannedRun(msgspec.Struct, frozen=True):
    """A plan together with the project it was made for.

    ``done_notes`` are the notes of the outbox whose files have arrived; ``apply`` removes them.
    """

    project: Project | OpenProject
    plan: Plan
    done_notes: tuple[Note, ...] = ()

    def __repr__(self) -> str:
        found = nonzero(self.summary.findings) or "none"
        partial = "" if self.plan.complete else "; incomplete"
        count = len(self.actions)
        changes = "1 change" if count == 1 else f"{count:,} changes"
        return f"<PlannedRun of {changes}: {nonzero(self.summary) or 'nothing'}; findings: {found}{partial}>"

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
    paths: Sequence[str] = (),
    listener: Listener = silent,
) -> PlannedRun:
    """What is out of step and what ``apply`` would do; changes nothing. Raises ReconcileError.

    The stores of a ``Project`` are opened for this and closed again; those of ``project.opened()`` stay open, for more
    plans over the same connections.
    """
    scope = _scope(project, char_ids, asset_types, paths)
    with _opened(project) as opened:
        return PlannedRun(project, survey(opened, scope, listener=listener, tallied=False).plan, opened.done_notes)


def apply(
    planned: PlannedRun, *, force: bool = False, concurrency: int | None = None, listener: Listener = silent
) -> Report:
    """Does what was planned, one run at a time per project. ``concurrency`` objects are sent at once; if it is None, as
    many as go fastest. ``force`` goes past the safety limits. Raises LockHeld, Refused and UsageError before anything
    is changed; what fails later is in the report."""
    with _opened(planned.project, concurrency) as opened, opened.lock().acquire():
        opened.found_done(planned.done_notes)
        return execute(opened, planned.plan, force=force, concurrency=concurrency, listener=listener)


def signed_url(project: Project | OpenProject, subject: str, *, expires: str | float | timedelta) -> str:
    """See ``Shortcuts.signed_url``."""
    with _reading(project) as opened:
        (url,) = links(opened, [subject], expires, assets_only=True).urls.values()
        return url


def signed_urls(
    project: Project | OpenProject, char_id: str, *, asset_types: Sequence[str] = (), expires: str | float | timedelta
) -> dict[str, str]:
    """See ``Shortcuts.signed_urls``."""
    scope = _scope(project, [char_id], asset_types)
    with _reading(project) as opened:
        try:
            return links(opened, (), expires, scope=scope).urls
        except NotThere:
            return {}


def _reading(project: Project | OpenProject) -> AbstractContextManager[OpenProject]:
    """The project, open for what needs no local root; closed afterwards if this opened it."""
    return nullcontext(project) if isinstance(project, OpenProject) else project.opened(RunOptions(makes_root=True))


def assets(
    project: Project | OpenProject,
    *,
    char_ids: Sequence[str] = (),
    asset_types: Sequence[str] = (),
    paths: Sequence[str] = (),
    listener: Listener = silent,
) -> Iterator[Asset]:
    """See ``Shortcuts.assets``."""
    scope = _scope(project, char_ids, asset_types, paths)

    def rows() -> Iterator[Asset]:
        with _opened(project) as opened:
            yield from Catalogue(opened, scope, listener)

    return rows()


def _scope(
    project: Project | OpenProject,
    char_ids: Sequence[str] = (),
    asset_types: Sequence[str] = (),
    paths: Sequence[str] = (),
) -> Scope:
    if any(isinstance(each, str) for each in (char_ids, asset_types, paths)):
        raise UsageError("char_ids, asset_types and paths are lists of texts", hint='write char_ids=["ai_hoshino"]')
    return scope_named(project.settings, char_ids, asset_types, paths)


def _opened(project: Project | OpenProject, concurrency: int | None = None) -> AbstractContextManager[OpenProject]:
    """The project, open; closed afterwards if this opened it."""
    if isinstance(project, OpenProject):
        return nullcontext(project)
    return project.opened(RunOptions(concurrency=concurrency))
