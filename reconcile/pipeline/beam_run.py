"""Plans on Apache Beam: the same stages, with rows grouped by a runner that has many machines.

    records, local database   → explode → references ─┐
    files, objects, states    → by key ───────────────┴─ group by key → key stage → answers, claims ─┐
    records                   ───────────────────────────────────────── group by character ──────────┴─ document stage
    tallies, marks, changes   → group by key → counts         uploads, sources → group by content → sources wanted

The records' ids are read first, and are with every worker. What comes out is read back here, and made into a plan like
any other: what is held in memory grows with what is to be done, not with what is in step.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import apache_beam as beam
import msgspec
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
from apache_beam.pvalue import AsList, AsSingleton

from reconcile.adapters.scanned import open_scan
from reconcile.adapters.sorting import Spill
from reconcile.core.changes import Change, Finding
from reconcile.core.context import Context
from reconcile.core.errors import StoreError
from reconcile.core.events import Listener, Phase, PhaseDone, PhaseStarted, silent
from reconcile.core.plan import Scope
from reconcile.core.report import Problem
from reconcile.core.rows import Agreed, Row, Source, Stream, World
from reconcile.core.rules import AssetMap
from reconcile.pipeline import beam_steps as steps
from reconcile.pipeline.beam_sources import FAILED, Range, ReadDocuments, ReadFiles, ReadObjects, ReadParts
from reconcile.pipeline.gaps import Gap, Unread
from reconcile.pipeline.planner import Planning, Survey
from reconcile.pipeline.reducers import CountedElsewhere
from reconcile.pipeline.roster import Roster, open_records, read_roster
from reconcile.project import OpenProject

DOCUMENTS = 300
"""Documents that a worker reads together."""
RANGES = 64
"""About so many ranges of keys for each prefix of the rules."""

_KINDS: dict[Stream, Any] = {
    Stream.CHANGE: Change,
    Stream.FINDING: Finding,
    Stream.AGREED: Agreed,
    Stream.SOURCE: Source,
}


class Inputs(msgspec.Struct, frozen=True):
    """What is there, as collections of packed values: documents of both worlds, local files (with the folders that
    could not be read), and objects and remembered states as rows by key."""

    records: beam.PCollection
    local_records: beam.PCollection
    files: beam.PCollection
    objects: beam.PCollection
    states: beam.PCollection


class Results(msgspec.Struct, frozen=True):
    """What a planning comes to: JSON lines of rows, counts, and the folders that could not be read, packed."""

    lines: beam.PCollection
    counted: beam.PCollection
    unread: beam.PCollection

    def write(self, folder: str) -> None:
        """Writes it into files below a folder, for ``finished``."""
        counted = self.counted | "as JSON" >> beam.Map(steps.told)
        unread = self.unread | "folders" >> beam.Map(steps.told_folder)
        for name, lines in (("rows", self.lines), ("counted", counted), ("unread", unread)):
            _ = lines | f"write {name}" >> beam.io.WriteToText(f"{folder}/{name}", ".jsonl")


class BeamInventory(msgspec.Struct, frozen=True):
    """What a planning on Beam knows when it begins, and when it is done: as ``Inventory``."""

    roster: Roster
    context: Context
    gaps: tuple[Gap, ...] = ()
    files: int = 0

    @property
    def covered(self) -> Context:
        """The constants of the document stage, with what was read whole."""
        return self.context


def opened(project: OpenProject, listener: Listener) -> BeamInventory:
    """Begins: reads the names of the records and the local database. Raises as ``Inventory`` does."""
    read = lambda: read_roster(project, Scope(), listener, whole=False)  # noqa: E731
    roster, context = open_records(project, Scope(), listener, read)
    return BeamInventory(roster, msgspec.structs.replace(context, trace=frozenset()))


def finished(project: OpenProject, seen: BeamInventory, folder: str, listener: Listener) -> Survey:
    """Makes the plan of what was written below a folder. Raises StoreError if that cannot be read."""
    with Spill(project.options.memory, project.spill_folder) as spill:
        counted = sum((steps.counted(text) for text in _lines(folder, "counted")), steps.Counted())
        gaps = tuple(Unread(steps.folder_of(text)) for text in _lines(folder, "unread"))
        outcome = Planning(project, (), spill, counts=CountedElsewhere(counted.in_step, counted.objects))
        outcome.take_all(rows_of(_lines(folder, "rows")))
        return outcome.survey(msgspec.structs.replace(seen, gaps=gaps, files=counted.files), listener)


def _lines(folder: str, name: str) -> Iterator[str]:
    for found in FileSystems.match([f"{folder}/{name}*"])[0].metadata_list:
        with FileSystems.open(found.path) as file:
            yield from (text.decode() for text in file)


def judged(pipeline: beam.Pipeline, inputs: Inputs, context: Context) -> Results:
    """The stages over these inputs."""
    ids = AsSingleton(pipeline | "ids" >> beam.Create([steps.ids_of(context)]))
    bare = msgspec.structs.replace(context, known_ids=frozenset())
    files = inputs.files | "files by key" >> beam.ParDo(steps.FilesByKey(bare), ids).with_outputs("unread", main="rows")
    unread = AsList(files.unread)
    records = _exploded(inputs.records, bare, ids, World.RECORDS)
    local_records = _exploded(inputs.local_records, bare, ids, World.LOCAL_DB)
    keys = (
        (files.rows, inputs.objects, inputs.states, records.references, local_records.references)
        | "what is of keys" >> beam.Flatten()
        | "by key" >> beam.GroupByKey()
        | "judge keys"
        >> beam.ParDo(steps.JudgeKeys(bare), ids, unread).with_outputs(
            "asked", "tallies", "sources", "counted", main="lines"
        )
    )
    documents = (
        (records.documents, local_records.documents, keys.asked)
        | "what is of characters" >> beam.Flatten()
        | "by character" >> beam.GroupByKey()
        | "judge records"
        >> beam.ParDo(steps.JudgeDocuments(bare), ids, unread).with_outputs("tallies", "sources", main="lines")
    )
    counts = (
        (keys.tallies, documents.tallies)
        | "what is said of keys" >> beam.Flatten()
        | "all of a key" >> beam.GroupByKey()
        | "count" >> beam.ParDo(steps.CountKeys())
    )
    sources = keys.sources | "by content" >> beam.GroupByKey() | "wanted" >> beam.ParDo(steps.Wanted())
    return Results(
        (keys.lines, documents.lines, sources) | "lines" >> beam.Flatten(),
        (counts, keys.counted) | "counts" >> beam.Flatten() | beam.CombineGlobally(_total),
        files.unread,
    )


def _exploded(documents: beam.PCollection, context: Context, ids: Any, world: World) -> Any:
    explode = beam.ParDo(steps.Explode(context, world), ids).with_outputs("documents", main="references")
    return documents | f"explode {world.value}" >> explode


def _total(counts: Iterable[steps.Counted]) -> steps.Counted:
    return sum(counts, steps.Counted())


def survey(
    project: OpenProject, folders: Sequence[Path], arguments: Sequence[str], listener: Listener = silent
) -> Survey:
    """Plans everything on the runner that the ``arguments`` name, which are Beam's. Changes nothing.

    The local files are those of the scans in these folders. Raises UsageError for arguments that Beam does not take,
    StoreError and SourceError if a world cannot be read or the run fails, and as ``opened``.
    """
    seen = opened(project, listener)
    options = PipelineOptions(list(arguments) or ["--runner", "FnApiRunner"])
    temporary = options.view_as(GoogleCloudOptions).temp_location
    with ExitStack() as stack:
        base = temporary or stack.enter_context(TemporaryDirectory(dir=project.spill_folder(), prefix="beam-"))
        folder = f"{base.rstrip('/')}/reconcile-{secrets.token_hex(6)}"
        listener(PhaseStarted(Phase.LISTING))
        try:
            with beam.Pipeline(options=options) as pipeline:
                judged(pipeline, _inputs(pipeline, project, seen, folders, folder), seen.context).write(folder)
        except Exception as error:
            raise StoreError(f"the run on Beam failed: {error}", hint="its own log says more") from error
        for text in _lines(folder, "failed"):
            raise msgspec.json.decode(text, type=Problem).error("a part of a world could not be read")
        listener(PhaseDone(Phase.LISTING))
        return finished(project, seen, folder, listener)


def _inputs(
    pipeline: beam.Pipeline, project: OpenProject, seen: BeamInventory, folders: Sequence[Path], folder: str
) -> Inputs:
    """What the workers read, a part an element."""
    settings = project.settings
    ids = sorted(seen.roster.known_ids)
    shards = [(str(each), shard) for each in folders for shard in open_scan(project.shared_folder(each)).shards]
    records = _read(
        pipeline, "records", ReadDocuments(settings), [ids[at : at + DOCUMENTS] for at in range(0, len(ids), DOCUMENTS)]
    )
    objects = _read(pipeline, "objects", ReadObjects(settings), ranges(project.asset_map, ids))
    files = _read(pipeline, "files", ReadFiles(settings), shards)
    failed = (records[FAILED], objects[FAILED], files[FAILED]) | "what failed" >> beam.Flatten()
    _ = failed | "write failed" >> beam.io.WriteToText(f"{folder}/failed", ".jsonl")
    states = [steps.packed(steps.state_row(state)) for state in project.agreed.all()]
    return Inputs(
        records.parts,
        pipeline | "local records" >> beam.Create(list(map(steps.pack, seen.roster.local_documents))),
        files.parts,
        objects.parts,
        pipeline | "states" >> beam.Create(states),
    )


def _read(pipeline: beam.Pipeline, name: str, reading: ReadParts, parts: Sequence[Any]) -> Any:
    listed = pipeline | f"parts of {name}" >> beam.Create(list(map(steps.pack, parts)))
    return listed | f"read {name}" >> beam.ParDo(reading).with_outputs(FAILED, main="parts")


def ranges(asset_map: AssetMap, ids: Sequence[str]) -> list[Range]:
    """Ranges that all keys together fall into, of some thousand assets each, as far as the ids tell."""
    step = max(1, len(ids) // RANGES)
    prefixes = asset_map.key_prefixes(())
    cuts = sorted({*prefixes, *(prefix + each for prefix in prefixes for each in ids[::step])} - {""})
    return list(zip(["", *cuts], [*cuts, ""], strict=True))


def rows_of(lines: Iterable[str]) -> Iterator[Row]:
    """The rows that the lines of a result hold. Raises msgspec.DecodeError."""
    for text in lines:
        found = msgspec.json.decode(text, type=steps.ResultLine)
        value = msgspec.convert(found.value, _KINDS[found.stream])
        yield Row(found.stream, value.content if isinstance(value, Source) else "", value)
