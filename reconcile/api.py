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
from reconcile.project import ClosedProject, OpenProject
from reconcile.run_options import RunOptions

_LIFETIME = "15m"
_ROOTLESS = RunOptions(makes_root=True)
"""For what needs no local root."""


class Shortcuts:
    """What a project answers in one call. On a ``Project`` each call opens the stores for itself; ``project.opened()``
    keeps them, and the credentials, for the next one."""

    __slots__ = ()

    def __repr__(self: Project | OpenedProject) -> str:  # type: ignore[misc]
        settings, kind = self.settings, "OpenProject" if isinstance(self, OpenProject) else "Project"
        return f"<{kind} {settings.project}: {settings.bucket}, {settings.records}>"

    def signed_url(self: Project | OpenedProject, uri: str, *, expires: str | float | timedelta = _LIFETIME) -> str:  # type: ignore[misc]
        """A URL by which anybody may read the object of a gs:// URI, a key or a path until it expires: a text such as
        ``"15m"``, seconds, or a timedelta, of 7 days at the most.

        Raises NotThere if the object is not in the bucket, UsageError if the subject is not an asset of the project or
        the time is not possible, AccessDenied if the credentials cannot sign, and StoreError and SourceError.
        """
        with _opened(self, _ROOTLESS) as opened:
            (url,) = links(opened, [uri], expires, assets_only=True).urls.values()
            return url

    def signed_urls(  # type: ignore[misc]
        self: Project | OpenedProject,
        char_id: str,
        *,
        asset_types: Sequence[str] = (),
        expires: str | float | timedelta = _LIFETIME,
    ) -> dict[str, str]:
        """URLs of everything that a character has in the bucket, or of its assets of these types, by their gs:// URIs.
        An empty dict if there is nothing. Raises as ``signed_url``, and UsageError for an unknown character."""
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
        """Every asset, or those of these characters, types or paths, one by one as they are found: the rows of
        `reconcile list`. Changes nothing; the stores are open while the rows are iterated. Raises UsageError, and
        ReconcileError if a store cannot be read; the ``listener`` is told of single folders that cannot."""
        scope = _scope(self, char_ids, asset_types, paths)

        def rows() -> Iterator[Asset]:
            with _opened(self) as opened:
                yield from Catalogue(opened, scope, listener)

        return rows()


class Project(Shortcuts, ClosedProject, frozen=True):
    """One project folder: its rules and settings. Nothing of it is open; ``opened`` opens what a run needs."""

    def opened(self, options: RunOptions | None = None) -> OpenedProject:
        """The project for one run or a few, with what its outbox holds now; a context manager."""
        return OpenedProject(self.settings, options or RunOptions())


class OpenedProject(Shortcuts, OpenProject):
    """A project that is open, with the calls."""


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
    """The project, open; closed afterwards if this opened it."""
    return nullcontext(project) if isinstance(project, OpenProject) else project.opened(options)
