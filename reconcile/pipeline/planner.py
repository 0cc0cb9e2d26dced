"""The planner, which every command uses: observations → plan.

    Inventory        reads   the records, every known character id, what else a scope needs; then files and objects
    explode_stage    pure    a document's texts → the keys they could mean
    group                    references and keys, by folded key
    key_stage        pure    one key's file, object and references → object changes, answers, claims
    group                    documents, answers and claims, by character
    document_stage   pure    one record with its answers and claims → the changes of that record
    Planning                 the remaining rows → counts, agreed states, notes, and the plan in its order (``survey``)

The worlds are read by ``roster``, ``observe`` and ``look_up``, all for ``Inventory``; ``copying`` asks the bucket for a
few checksums. Nothing here writes, except what this machine remembers for speed (in ``.reconcile/``). Assets that are
certainly in step skip the stages (``shortcut``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import chain

import msgspec

from reconcile.adapters.sorting import Spill
from reconcile.core.cost import Estimate, Usage, seconds_for
from reconcile.core.events import Listener, silent
from reconcile.core.names import spellings
from reconcile.core.plan import Scope
from reconcile.core.rows import Row
from reconcile.core.stages import document_stage, is_whole, key_stage
from reconcile.pipeline.engine import Engine, StreamEngine
from reconcile.pipeline.inventory import Inventory
from reconcile.pipeline.reducers import KeyCounts
from reconcile.pipeline.survey import Observed, Planning, Survey
from reconcile.project import OpenProject


def survey(
    project: OpenProject,
    scope: Scope | None = None,
    *,
    listener: Listener = silent,
    trace: Collection[str] = (),
    engine: Engine | None = None,
    tallied: bool = True,
) -> Survey:
    """Reads the worlds and makes a plan; changes nothing. ``trace`` are the keys and paths whose facts are requested.
    ``tallied`` requests tallies, which take memory for each character. Raises as ``Inventory`` does."""
    with Spill(project.options.memory, project.spill_folder) as spill:
        wanted, before = scope or Scope(), project.meter.total()
        trace = (*trace, *(each for path in wanted.paths for each in spellings(path)))
        counts = KeyCounts(tallied=tallied)
        skip = counts.skip if project.options.cache else None
        seen = Inventory(project, wanted, listener, spill, partial=True, trace=trace, skip=skip)
        outcome = Planning(project, trace, spill, counts)
        engine, shortcut = engine or StreamEngine(spill), seen.shortcut
        keys = (row for _, group in engine.group(seen.rows(), is_whole) for row in key_stage(group, seen.context))
        passed: Iterable[Row] = chain(seen.local_records(), outcome.all_but_answers(keys))
        passed = passed if shortcut is None else shortcut.passing(passed)
        for char_id, group in engine.group(passed, last=seen.records()):
            whole = group if shortcut is None else shortcut.completed(group)
            outcome.take_all(document_stage(char_id, whole, seen.covered))
        observed = Observed(seen.roster, seen.covered, seen.gaps, seen.files)
        return _estimated(project, outcome.survey(observed, listener), before)


def _estimated(project: OpenProject, found: Survey, before: Usage) -> Survey:
    """Adds to the survey what it cost, and how long its changes will take, judging by past runs."""
    applying = Usage() if found.plan.estimate is None else found.plan.estimate.applying
    seconds = seconds_for(applying, project.paces)
    estimate = Estimate(project.meter.total() - before, applying, None if seconds is None else round(seconds, 3))
    return msgspec.structs.replace(found, plan=msgspec.structs.replace(found.plan, estimate=estimate))
