"""The survey of a planning: what the stages yield, collected, and what is judged of it as a whole at the end.

That is: the parts that were not read, a local root without files, the notes that are done, the paths that were asked
for, and the waivers.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Iterator

import msgspec

from reconcile.adapters.sorting import Spill
from reconcile.core import plan as plans
from reconcile.core.changes import Code
from reconcile.core.context import Context
from reconcile.core.errors import UsageError
from reconcile.core.events import Listener, Warned
from reconcile.core.findings import ROOT_GONE, make
from reconcile.core.names import nfc
from reconcile.core.plan import Plan, Scope
from reconcile.core.rows import KeyFacts, Row, Stream
from reconcile.core.waivers import used, waive
from reconcile.pipeline.copying import CopySources
from reconcile.pipeline.gaps import Denied, Gap, finding_of, warning_of
from reconcile.pipeline.reducers import AgreedMemory, KeyCounts, PlanSink, Tallies, Traced, kept_versions
from reconcile.pipeline.roster import Roster, warn_if_root_is_gone
from reconcile.project import OpenProject


class Survey(msgspec.Struct, frozen=True):
    """A plan and its counts. ``tallies`` are by (asset type, character) if that was requested; otherwise there is one
    for all. ``facts`` are the requested ones, ``conflicts`` the facts of content conflicts."""

    plan: Plan
    tallies: Tallies
    facts: tuple[KeyFacts, ...]
    known_ids: frozenset[str]
    conflicts: tuple[KeyFacts, ...] = ()


class Observed(msgspec.Struct, frozen=True):
    """What a planning knows of the worlds: at its end the ``gaps``, the number of ``files`` that a rule matches, and
    the context of the document stage, which says what was read completely."""

    roster: Roster
    context: Context
    gaps: tuple[Gap, ...] = ()
    files: int = 0


class Planning:
    """The reducers of a planning, from which the survey is made at the end."""

    def __init__(self, project: OpenProject, trace: Collection[str], spill: Spill, counts: KeyCounts) -> None:
        self._project = project
        self._sink = PlanSink()
        self._counts = counts
        self._agreed = AgreedMemory(project.agreed)
        self._trace = frozenset(trace)
        self._traced = Traced()
        self._sources = CopySources(spill)
        reducers = (self._sink, self._counts, self._agreed, self._traced, self._sources)
        self._takers = {stream: tuple(each.take for each in reducers if stream in each.streams) for stream in Stream}

    def take_all(self, rows: Iterable[Row]) -> None:
        """Passes each row to the reducers of its stream."""
        for row in rows:
            for take in self._takers[row.stream]:
                take(row)

    def all_but_answers(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yields the answers and claims, which are for the document stage, and passes all other rows to the
        reducers."""
        for row in rows:
            takers = self._takers[row.stream]
            if not takers:
                yield row
            for take in takers:
                take(row)

    def survey(self, seen: Observed, listener: Listener) -> Survey:
        """Returns the survey. To be called after the last row. Raises UsageError if nothing is known of an asset in
        scope."""
        project, sink, scope = self._project, self._sink, seen.context.scope
        self._agreed.flush()
        changes = self._sources.copied(project, sink.changes)  # before the warnings: it reads what is remembered
        for gap in seen.gaps:
            sink.complete = sink.complete and not gap.hides_ours
            sink.findings.append(finding_of(gap, project))
            if isinstance(gap, Denied) and not gap.name:
                listener(Warned(warning_of(gap)))
        has_root = self._judge_root(seen, listener)
        sees_notes = has_root and sink.complete and not scope.asset_types and not scope.paths
        notes = project.noted if sees_notes else ()
        project.found_done(self._traced.done(notes, seen.roster.documents, seen.context, self._counts.pending))
        self._check_paths(scope)
        if not scope.char_ids and seen.roster.ids_known:
            project.state.remember_characters(seen.roster.known_ids)
        for warning in project.state.warnings:
            listener(Warned(warning))
        sink.findings.extend(kept_versions(project))
        if project.settings.waivers:
            self._waive(whole=scope == Scope())
        tallies = self._counts.totals()
        in_step = sum(tally.in_step for tally in tallies.values())
        report = project.inventory_report
        plan = plans.build(
            changes,
            sink.findings,
            project.origin,
            created=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            complete=sink.complete,
            scope=scope,
            in_step=in_step,
            objects_in_scope=self._counts.objects,
            objects_as_of=None if report is None else report.taken,
            records_as_of=seen.roster.as_of,
        )
        differing = {each.subject for each in plan.findings if each.code is Code.CONTENT_CONFLICT}
        facts, conflicts = self._traced.of(self._trace), self._traced.of(differing)
        return Survey(plan, tallies, facts, seen.roster.known_ids, conflicts)

    def _waive(self, *, whole: bool) -> None:
        """Marks the findings that the rules file waives. A ``whole`` survey also notes which waivers were used."""
        project, sink = self._project, self._sink
        waivers = project.settings.waivers
        if whole and sink.complete:
            project.note_waivers(used(sink.findings, waivers))
        sink.findings = waive(sink.findings, waivers, datetime.datetime.now(datetime.UTC).date())

    def _check_paths(self, scope: Scope) -> None:
        """Checks the paths in scope. Raises UsageError if nothing is known of one."""
        found = {nfc(name) for each in self._traced.known() for name in (each.key, each.path) if name is not None}
        for path in scope.paths:
            if path not in found and self._sink.complete:
                raise UsageError(
                    f"{path!r} is neither a local file nor in the bucket, and no record names it",
                    hint="`reconcile explain PATH` says what is known of a path, a gs:// URI or a character",
                )

    def _judge_root(self, seen: Observed, listener: Listener) -> bool:
        """Whether the local root still has files, if it had any. A root that is gone or was emptied is reported, and
        its files do not count as lost; otherwise their number is noted for the next run."""
        scope, project, root, kept = seen.context.scope, self._project, self._project.settings.root, True
        if seen.files:
            whole = not (scope.char_ids or scope.asset_types)
            project.note_files(seen.files if whole else max(project.files_held, 1))
        elif self._sink.complete and (held := project.lost_files()) and not project.options.allows_empty:
            kept = False
            what = ROOT_GONE if project.root_is_gone else Code.ROOT_EMPTIED
            self._sink.findings.append(make(what, str(root), None, held=held))
            if not project.root_is_gone:
                listener(
                    Warned(f"{root} holds no file that a rule matches; the last run saw {held}: is a drive missing?")
                )
        warn_if_root_is_gone(project, listener)
        return kept
