"""The Python API: ``apply(plan(project, char_ids=[…]))``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

import msgspec

from reconcile.commands.links import LIFETIME, links
from reconcile.config.naming import scope_named
from reconcile.core.catalogue import Asset
from reconcile.core.changes import Change, Finding
from reconcile.core.errors import NotThere, UsageError
from reconcile.core.events import Listener, silent
from reconcile.core.notes import Note
from reconcile.core.plan import Plan, Scope, Summary
from reconcile.core.report import Report, nonzero
from reconcile.core.size import many
from reconcile.pipeline.catalogue import Catalogue
from reconcile.pipeline.executor import execute
from reconcile.pipeline.planner import survey
from reconcile.project import ClosedProject, OpenProject
from reconcile.run_options import RunOptions

_ROOTLESS = RunOptions(makes_root=True)
"""The options for calls that need no local root."""


class Shortcuts:
    """Calls that a project answers directly.

    On a ``Project``, each call opens the stores for itself; ``project.opened()`` keeps them, and the credentials, for
    further calls.
    """

    __slots__ = ()

    def __repr__(self: Project | OpenedProject) -> str:  # type: ignore[misc]
        settings, kind = self.settings, "OpenProject" if isinstance(self, OpenProject) else "Project"
        return f"<{kind} {settings.project}: {settings.bucket}, {settings.records}>"

    def signed_url(self: Project | OpenedProject, uri: str, *, expires: str | float | timedelta = LIFETIME) -> str:  # type: ignore[misc]
        """Returns a URL with which anybody may read the object of a gs:// URI, a key or a path until it expires.

        ``expires`` is a text such as ``"15m"``, seconds, or a timedelta; at most 7 days. Raises NotThere if the object
        is not in the bucket, UsageError if the subject is not an asset of the project or the time is invalid,
        AccessDenied if the credentials cannot sign, and StoreError and SourceError.
        """
        with _opened(self, _ROOTLESS) as opened:
            (url,) = links(opened, [uri], expires, assets_only=True).urls.values()
            return url

    def signed_urls(  # type: ignore[misc]
        self: Project | OpenedProject,
        char_id: str,
        *,
        asset_types: Sequence[str] = (),
        expires: str | float | timedelta = LIFETIME,
    ) -> dict[str, str]:
        """Returns URLs, by gs:// URI, of all assets that a character has in the bucket, or of those of these types.

        Empty if there are none. Raises as ``signed_url``, and UsageError for an unknown character.
        """
        scope = _scope(self, [char_id], asset_types)
        with _opened(self, _ROOTLESS) as opened:
            try:
                return links(opened, (), expires, scope=scope).urls
            except NotThere:
                return {}

    def assets(  # type: ignore[misc]
        self: Project | OpenedProject,
        *,
        char_ids: Sequence[str] = (),
        asset_types: Sequence[str] = (),
        paths: Sequence[str] = (),
        listener: Listener = silent,
    ) -> Iterator[Asset]:
        """Yields every asset, or those of these characters, types or paths, as they are found: the rows of `reconcile
        list`.

        Changes nothing; the stores are open during iteration. Raises UsageError, and ReconcileError if a store cannot
        be read; single folders that cannot be read are reported to the ``listener``.
        """
        scope = _scope(self, char_ids, asset_types, paths)

        def rows() -> Iterator[Asset]:
            with _opened(self) as opened:
                yield from Catalogue(opened, scope, listener)

        return rows()


class Project(Shortcuts, ClosedProject, frozen=True):
    """A project folder with its rules and settings. Nothing is open; ``opened`` opens what a run needs."""

    def opened(self, options: RunOptions | None = None) -> OpenedProject:
        """Opens the project for one or a few runs, with the present notes of its outbox; a context manager."""
        return OpenedProject(self.settings, options or RunOptions())


class OpenedProject(Shortcuts, OpenProject):
    """An open project, with the calls of ``Shortcuts``."""


class PlannedRun(msgspec.Struct, frozen=True):
    """A plan with the project that it was made for.

    ``done_notes`` are the outbox notes whose files have arrived; ``apply`` removes them.
    """

    project: Project | OpenProject
    plan: Plan
    done_notes: tuple[Note, ...] = ()

    def __repr__(self) -> str:
        found = nonzero(self.summary.findings) or "none"
        partial = "" if self.plan.complete else "; incomplete"
        changes = many(len(self.actions), "change")
        return f"<PlannedRun of {changes}: {nonzero(self.summary) or 'nothing'}; findings: {found}{partial}>"

    @property
    def actions(self) -> tuple[Change, ...]:
        """The changes, in the order in which they are made."""
        return self.plan.actions

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings: what a person should know."""
        return self.plan.findings

    @property
    def summary(self) -> Summary:
        """The counts of changes and findings."""
        return self.plan.summary


def plan(
    project: Project | OpenProject,
    *,
    char_ids: Sequence[str] = (),
    asset_types: Sequence[str] = (),
    paths: Sequence[str] = (),
    listener: Listener = silent,
) -> PlannedRun:
    """Plans what ``apply`` would do about everything that is out of step; changes nothing. Raises ReconcileError.

    The stores of a ``Project`` are opened and closed again; those of ``project.opened()`` stay open, for further plans
    over the same connections.
    """
    scope = _scope(project, char_ids, asset_types, paths)
    with _opened(project) as opened:
        return PlannedRun(project, survey(opened, scope, listener=listener, tallied=False).plan, opened.done_notes)


def apply(
    planned: PlannedRun, *, force: bool = False, concurrency: int | None = None, listener: Listener = silent
) -> Report:
    """Applies a plan, one run at a time per project, and returns its report.

    ``concurrency`` objects are sent at once; None means as many as go fastest. ``force`` overrides the safety limits.
    Raises LockHeld, Refused and UsageError before anything is changed; later failures are in the report.
    """
    with _opened(planned.project, RunOptions(concurrency=concurrency)) as opened, opened.lock().acquire():
        opened.found_done(planned.done_notes)
        return execute(opened, planned.plan, force=force, concurrency=concurrency, listener=listener)


def _scope(
    project: Project | OpenProject,
    char_ids: Sequence[str] = (),
    asset_types: Sequence[str] = (),
    paths: Sequence[str] = (),
) -> Scope:
    if any(isinstance(each, str) for each in (char_ids, asset_types, paths)):
        raise UsageError("char_ids, asset_types and paths are lists of texts", hint='write char_ids=["ai_hoshino"]')
    return scope_named(project.settings, char_ids, asset_types, paths)


def _opened(
    project: ClosedProject | OpenProject, options: RunOptions | None = None
) -> AbstractContextManager[OpenProject]:
    """Returns a context with the open project, which is closed afterwards if this opened it."""
    return nullcontext(project) if isinstance(project, OpenProject) else project.opened(options)
