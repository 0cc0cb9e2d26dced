"""Plans on Apache Beam: the same stages, with rows grouped by a runner that has many machines.

    records, local database   → explode → references ─┐
    files                     → by path → by key ─────┤
    objects, states           → by key ───────────────┴─ group by key → key stage → answers, claims ─┐
    records, local database   ───────────────────────────────────────── group by character ──────────┴─ document stage
    tallies, marks, changes   → group by key → counts         uploads, sources → group by content → sources wanted

The ids of the records are read first. Every worker holds them all, or, if there are too many, they are joined to the
rows that ask for them. The result is read back here and becomes a plan like any other: the memory that this takes grows
with what is to be done, not with what is in step.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import apache_beam as beam
import msgspec
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
from apache_beam.pvalue import AsList

from reconcile.adapters.scanned import ScannedFiles
from reconcile.adapters.sorting import Spill
from reconcile.core.context import Context
from reconcile.core.errors import AccessDenied, ReconcileError, StoreError
from reconcile.core.events import Advanced, Listener, Phase, PhaseDone, PhaseStarted, silent
from reconcile.core.plan import Scope
from reconcile.core.ramp import Rates
from reconcile.core.report import Problem
from reconcile.core.rows import Document, World
from reconcile.pipeline import beam_steps as steps
from reconcile.pipeline.beam_kept import Kept
from reconcile.pipeline.beam_known import AT_HAND, KnownIds
from reconcile.pipeline.beam_lines import Noted, as_line, gaps_of, joined, noted, rows_of
from reconcile.pipeline.beam_runner import counters_of, is_local, pipeline_of
from reconcile.pipeline.beam_sources import (
    DOCUMENTS,
    ReadDocuments,
    ReadFiles,
    ReadLanes,
    ReadObjects,
    ReadParts,
    ReadReport,
    in_lane,
    ranges,
)
from reconcile.pipeline.beam_steps import GAPS, NOTED, state_row
from reconcile.pipeline.reducers import KeyCounts
from reconcile.pipeline.roster import Roster, check_entries, open_records, read_roster
from reconcile.pipeline.survey import Observed, Planning, Survey
from reconcile.project import OpenProject


class Inputs(msgspec.Struct, frozen=True):
    """The input of a planning, as collections.

    These are: rows of documents of both worlds; local files, packed, with the folders that could not be read; rows of
    objects and of remembered states, by key; the known ids; the gaps, as lines; and what was noted while reading.
    ``listing`` names the list of objects in messages.
    """

    documents: beam.PCollection
    files: beam.PCollection
    objects: beam.PCollection
    states: beam.PCollection
    ids: beam.PCollection
    gaps: beam.PCollection
    noted: beam.PCollection
    listing: str = "the listing"


def opened(project: OpenProject, listener: Listener, refused: AccessDenied | None = None) -> Observed:
    """Begins a planning: reads the names of the records and the local database. If no record may be read, the names
    are unknown; ``refused`` says that this is known already. Raises as ``Inventory`` does."""
    read = lambda: read_roster(project, Scope(), listener, partial=True, whole=False, refused=refused)  # noqa: E731
    roster, context = open_records(project, Scope(), listener, read, whole=False)
    return Observed(roster, msgspec.structs.replace(context, trace=frozenset()))


def finished(project: OpenProject, seen: Observed, kept: Kept, listener: Listener) -> Survey:
    """Makes the plan from what was written. Raises the error of a part that could not be read, UsageError for an
    inventory report that is not whole, StoreError if what was written cannot be read, and as ``check_entries``."""
    found, report, roster = noted(kept.lines("noted")), project.inventory_report, seen.roster
    if found.failed is not None:
        raise found.failed.error("a part of a world could not be read")
    if report is not None:
        found.rows.check(report, project.bucket.bucket)
    if roster.denied is not None and not found.listed:
        raise roster.denied
    _check_entries(project, found, roster)
    if found.lapsed:
        roster = msgspec.structs.replace(roster, as_of=None)
    with Spill(project.options.memory, project.spill_folder) as spill:
        gaps = (*roster.refused, *gaps_of(kept.lines("gaps")))
        counts = KeyCounts(tallied=False, in_step=found.in_step, objects=found.objects)
        outcome = Planning(project, (), spill, counts)
        outcome.take_all(rows_of(kept.lines("rows")))
        known = msgspec.structs.replace(seen, roster=roster, gaps=gaps, files=found.files)
        return outcome.survey(known, listener)


def _check_entries(project: OpenProject, found: Noted, roster: Roster) -> None:
    """Raises as ``check_entries``, which gets what the workers saw of the records as one record."""
    entries, seen = project.settings.entries, dict[str, Any]()
    if found.has_entries:
        seen[entries.top] = None
    elif found.array:
        msgspec.structs.replace(entries, path=found.array).put(seen, [])
    check_entries(project.settings, [Document("", seen, ""), *roster.local_documents])


def judge(inputs: Inputs, context: Context, kept: Kept, at_hand: int = AT_HAND) -> None:
    """Runs the stages over these inputs, and writes what ``finished`` reads: rows, the parts that could not be read,
    and what was noted, with the counts. If more than ``at_hand`` ids are known, the workers do not hold them all."""
    bare = msgspec.structs.replace(context, known_ids=frozenset())
    known = KnownIds(inputs.ids, bare, along=len(context.known_ids) > at_hand)
    files = inputs.files | "files and folders" >> beam.Map(steps.by_path).with_outputs(GAPS, main="rows")
    all_gaps = (inputs.gaps, files[GAPS]) | "all gaps" >> beam.Flatten()
    gaps = AsList(all_gaps)
    of_keys = (
        known.grouped("files", files.rows) | "files by key" >> beam.ParDo(steps.FilesByKey(bare), known.beside),
        inputs.objects,
        inputs.states,
        known.grouped("documents", inputs.documents, explodes=True)
        | "explode" >> beam.ParDo(steps.Explode(bare), known.beside),
    ) | "what is of keys" >> beam.Flatten()
    keys = (
        known.among("keys", of_keys)
        | "by key" >> beam.GroupByKey()
        | "judge keys"
        >> beam.ParDo(steps.JudgeKeys(bare, inputs.listing), known.beside, gaps).with_outputs(
            "asked", "tallies", "sources", NOTED, main="lines"
        )
    )
    of_characters = (inputs.documents, keys.asked) | "what is of characters" >> beam.Flatten()
    documents = (
        known.among("characters", of_characters)
        | "by character" >> beam.GroupByKey()
        | "judge records"
        >> beam.ParDo(steps.JudgeDocuments(bare), known.beside, gaps).with_outputs("tallies", "sources", main="lines")
    )
    counts = (
        (keys.tallies, documents.tallies)
        | "what is said of keys" >> beam.Flatten()
        | "all of a key" >> beam.GroupByKey()
        | "count" >> beam.Map(steps.counts_of_key)
    )
    sources = keys.sources | "by content" >> beam.GroupByKey() | "wanted" >> beam.FlatMap(steps.wanted)
    notes = [inputs.noted, keys[NOTED], counts]
    if bare.entries.names_in_top:  # their name may be meant as a path, and the records say whether it is
        notes.append(inputs.documents | "entries of records" >> beam.FlatMap(steps.entries_seen, bare.entries))
    noted_by_all = notes | "what was noted" >> beam.Flatten() | beam.CombineGlobally(joined)
    kept.write("rows", (keys.lines, documents.lines, sources) | "lines" >> beam.Flatten())
    kept.write("gaps", all_gaps)
    kept.write("noted", noted_by_all | "as JSON" >> beam.Map(as_line))


def survey(
    project: OpenProject, folders: Sequence[Path], options: PipelineOptions, listener: Listener = silent
) -> Survey:
    """Plans everything on the runner that Beam's own ``options`` name. Changes nothing.

    The local files are those of the scans in these folders. The objects are listed, or taken from the inventory report
    if the project has one. What may not be read stays unknown. Raises UsageError for a runner that there is not, and
    for a scan or a report that is not whole, StoreError and SourceError if a world cannot be read or the run fails, and
    whatever ``opened`` raises.
    """
    seen = opened(project, listener)
    listener(PhaseStarted(Phase.LISTING))
    temporary = options.view_as(GoogleCloudOptions).temp_location
    with ExitStack() as stack:
        base = temporary or stack.enter_context(TemporaryDirectory(dir=project.spill_folder(), prefix="beam-"))
        kept, refused = _run(project, seen, folders, options, base, listener)
        if refused is not None and not seen.roster.refused:
            # Some records were read. As everywhere, none counts as known if one may not be read.
            seen = opened(project, listener, AccessDenied(refused.message, hint=refused.hint))
            kept, _ = _run(project, seen, folders, options, base, listener)
        listener(PhaseDone(Phase.LISTING))
        return finished(project, seen, kept, listener)


def _run(
    project: OpenProject,
    seen: Observed,
    folders: Sequence[Path],
    options: PipelineOptions,
    base: str,
    listener: Listener,
) -> tuple[Kept, Problem | None]:
    """Runs the pipeline. Returns what it wrote, and why a record was refused to the workers, if one was."""
    on_many, begun = not is_local(options), pipeline_of(options)
    try:
        kept = Kept(f"{base.rstrip('/')}/reconcile-{secrets.token_hex(6)}")
        with begun as pipeline:
            judge(inputs_of(pipeline, project, seen, folders, kept, on_many=on_many), seen.context, kept)
    except ReconcileError:
        raise
    except Exception as error:
        raise StoreError(f"the run on Beam failed: {error}", hint="its own log says more") from error
    listener(Advanced(Phase.LISTING, counters_of(begun.result).get(steps.KEYS_JUDGED, 0)))
    return kept, noted(kept.lines("noted")).refused


def inputs_of(
    pipeline: beam.Pipeline,
    project: OpenProject,
    seen: Observed,
    folders: Sequence[Path],
    kept: Kept,
    *,
    on_many: bool,
) -> Inputs:
    """Has the workers read the worlds, one part for each element; if they are ``on_many`` machines, the records as the
    ramp allows. Raises UsageError for a scan that is not whole."""
    settings, roster, report = project.settings, seen.roster, project.inventory_report
    ids = sorted(roster.known_ids)
    named = [] if roster.refused else [ids[at : at + DOCUMENTS] for at in range(0, len(ids), DOCUMENTS)]
    if on_many:
        reading = ReadLanes(settings, roster.as_of, Rates().records)
        lanes = _given(pipeline, kept, "records", named) | "lane" >> beam.Map(in_lane) | "by lane" >> beam.GroupByKey()
        records = lanes | "read records" >> beam.ParDo(reading).with_outputs(GAPS, NOTED, main="parts")
    else:
        records = _read(pipeline, kept, "records", ReadDocuments(settings, roster.as_of), named)
    if report is None:
        objects = _read(pipeline, kept, "objects", ReadObjects(settings), ranges(project.asset_map, ids))
    else:
        objects = _read(pipeline, kept, "objects", ReadReport(settings), report.files)
    files, files_noted = _files(pipeline, project, folders, kept)
    local = [steps.packed(steps.document_row(each, World.LOCAL_DB)) for each in roster.local_documents]
    states = (steps.packed(state_row(state)) for state in project.agreed.all())
    return Inputs(
        (records.parts, kept.given(pipeline, "local records", local)) | "documents" >> beam.Flatten(),
        files,
        objects.parts,
        kept.given(pipeline, "states", states),
        kept.given(pipeline, "ids", ids),
        objects[GAPS],
        (records[NOTED], objects[NOTED], files_noted) | "noted by readers" >> beam.Flatten(),
        "the bucket" if report is None else report.name,
    )


def _files(pipeline: beam.Pipeline, project: OpenProject, folders: Sequence[Path], kept: Kept) -> tuple[Any, Any]:
    """Reads the files of the scans as one listing. Returns them and what was noted."""
    several = len(folders) > 1
    heads = ScannedFiles([project.shared_folder(each) for each in folders]).heads
    shards = [
        (number, str(where), shard)
        for number, (where, head) in enumerate(zip(folders, heads, strict=True))
        for shard in head.shards
    ]
    read = _read(pipeline, kept, "files", ReadFiles(project.settings, several=several), shards)
    if not several:
        return read.parts, read[NOTED]
    of_paths = read.parts | "by path" >> beam.GroupByKey()
    return of_paths | "one of several" >> beam.Map(steps.one_of_several), read[NOTED]


def _given(pipeline: beam.Pipeline, kept: Kept, name: str, parts: Sequence[Any]) -> Any:
    return kept.given(pipeline, f"parts of {name}", map(steps.pack, parts), together=1)


def _read(pipeline: beam.Pipeline, kept: Kept, name: str, reading: ReadParts, parts: Sequence[Any]) -> Any:
    given = _given(pipeline, kept, name, parts)
    return given | f"read {name}" >> beam.ParDo(reading).with_outputs(GAPS, NOTED, main="parts")
