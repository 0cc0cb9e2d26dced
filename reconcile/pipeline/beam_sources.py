"""The reading steps of a planning on Beam: documents by id, objects by range or from a report, files from scans.

A worker opens the project for itself, with a folder of its own in place of ``.reconcile/``. A part that may not be read
is a gap; a part that cannot be read for any other reason is an error of the whole run. Both go into an output of their
own, as lines, so that the user gets our sentence and not a traceback of Beam.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import msgspec
from apache_beam.metrics import Metrics

from reconcile.adapters.inventory.report import ReportFile
from reconcile.adapters.inventory.store import ReportedRows
from reconcile.adapters.sorting import Spill
from reconcile.config.settings import Settings
from reconcile.core import scan as scans
from reconcile.core.errors import AccessDenied, ReconcileError
from reconcile.core.moment import Moment
from reconcile.core.plandir import shard_of
from reconcile.core.ramp import Ramp, Turn
from reconcile.core.report import Problem
from reconcile.core.rows import RemoteObject, World
from reconcile.core.rules import AssetMap
from reconcile.core.scan import ScanShard
from reconcile.pipeline.beam_lines import Noted, gap_line
from reconcile.pipeline.beam_steps import COUNTERS, GAPS, document_row, noted, object_row, pack, packed, unpack
from reconcile.pipeline.gaps import Denied, Store
from reconcile.ports import ObjectStore
from reconcile.project import ClosedProject, OpenProject

DOCUMENTS = 300
"""Documents that a worker reads in one request."""
LANES = 32
"""Requests for documents at once, at most, of all workers together. A lane reads about 2,000 documents per second."""
RANGES = 64
"""The approximate number of ranges of keys for each prefix of the rules."""
Range = tuple[str, str]
"""Keys from the first (included) to the second (excluded); an empty second one means no end."""


class ReadParts(beam.DoFn):  # type: ignore[misc]
    """A step that reads one part of a world for each element, and counts ``what`` it reads."""

    what = ""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder: str | None = None
        self._project: OpenProject | None = None

    def setup(self) -> None:
        """Opens the project on this worker."""
        self._folder = tempfile.mkdtemp(prefix="reconcile-")
        self._project = ClosedProject(msgspec.structs.replace(self._settings, project=Path(self._folder))).opened()

    def teardown(self) -> None:
        """Closes the project, and removes its folder."""
        if self._project is not None:
            self._project.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def process(self, element: Any) -> Iterator[Any]:
        """Yields what is in the part, or, for the output of notes, why it could not be read."""
        assert self._project is not None
        counter = Metrics.counter(COUNTERS, f"{self.what} read")
        try:
            for found in self.read(self._project, unpack(element)):
                if not isinstance(found, beam.pvalue.TaggedOutput):
                    counter.inc()
                yield found
        except ReconcileError as error:
            yield noted(Noted(failed=Problem.of(error)))

    def read(self, project: OpenProject, part: Any) -> Iterator[Any]:
        """Yields everything in one part. Raises ReconcileError."""
        raise NotImplementedError


class ReadDocuments(ReadParts):
    """Ids → their documents, as rows: as of the moment at which the ids were read, if that is known."""

    what = "documents"

    def __init__(self, settings: Settings, as_of: str | None) -> None:
        super().__init__(settings)
        self._at = Moment(as_of or "")

    def read(self, project: OpenProject, part: Sequence[str]) -> Iterator[Any]:
        lapsed = self._at.lapsed
        try:
            for document in project.records.read(part, at=self._at):
                yield packed(document_row(document, World.RECORDS))
        except AccessDenied as error:
            yield noted(Noted(refused=Problem.of(error)))
        if self._at.lapsed and not lapsed:
            yield noted(Noted(lapsed=True))


class ReadLanes(ReadDocuments):
    """Ids in lanes → their documents. A lane is read in one request after another, and takes its share of the ramp, so
    that all lanes together keep to it, whenever each one begins and wherever."""

    def __init__(
        self,
        settings: Settings,
        as_of: str | None,
        ramp: Ramp,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(settings, as_of)
        self._ramp = ramp.shared(LANES)
        self._clock = clock
        self._sleep = sleep

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[Any]:
        """See ``ReadParts.process``: of all parts in the lane."""
        turn = Turn(self._ramp)
        for part in element[1]:
            while pause := turn.take(self._clock(), len(unpack(part))):
                self._sleep(pause)
            yield from super().process(part)


def in_lane(part: bytes) -> tuple[int, bytes]:
    """Returns ids, packed, with the number of their lane."""
    return shard_of(unpack(part)[0], LANES), part


class ReadObjects(ReadParts):
    """Ranges of keys → the objects in them, as rows by key."""

    what = "objects"

    def read(self, project: OpenProject, part: Range) -> Iterator[Any]:
        listed: list[bool] = []
        prefixes = project.asset_map.key_prefixes(())
        for found in objects_in(project.objects, part, prefixes, lambda: listed.append(True)):
            if isinstance(found, Denied):
                yield beam.pvalue.TaggedOutput(GAPS, gap_line(found))
            elif found.key:  # an object whose name is the bare prefix is the placeholder of a folder
                yield packed(object_row(found))
        if listed:
            yield noted(Noted(listed=True))


class ReadReport(ReadParts):
    """Files of an inventory report → the objects in them, as rows by key. The number of rows is noted."""

    what = "objects"

    def read(self, project: OpenProject, part: ReportFile) -> Iterator[Any]:
        rows, folder = ReportedRows(), project.objects_at(part.root)
        with Spill(project.options.memory, project.spill_folder) as spill:
            for found in rows.objects(part, folder, project.bucket, spill.file):
                if found.key:
                    yield packed(object_row(found))
        yield noted(Noted(listed=True, rows=rows))


class ReadFiles(ReadParts):
    """Shards of scans, each with its folder and the number of its scan → the files in them, packed. If there are
    ``several`` scans, each file comes with the number of its scan."""

    what = "files"

    def __init__(self, settings: Settings, *, several: bool) -> None:
        super().__init__(settings)
        self._several = several

    def read(self, project: OpenProject, part: tuple[int, str, ScanShard]) -> Iterator[Any]:
        number, where, shard = part
        folder = project.shared_folder(Path(where))
        for file in scans.read_shard(shard, folder.read(shard.name), where):
            yield (file.path.encode("utf-8", "surrogatepass"), pack((number, file))) if self._several else pack(file)


def objects_in(
    objects: ObjectStore, part: Range, prefixes: Sequence[str], on_listed: Callable[[], None]
) -> Iterator[RemoteObject | Denied]:
    """Yields the objects of a range of keys. All keys of a range begin with the same of these prefixes, or with none.

    If the range may not be listed, only the part of it below that prefix is listed, because the permission may be for
    that part alone and nothing else is needed. ``on_listed`` is called after a listing that was not refused. Raises
    StoreError.
    """
    first, stop = part
    at, narrower = first, tuple(filter(None, prefixes))
    for prefix in ("", *(each for each in narrower if first.startswith(each))):
        try:
            for found in objects.between(at, stop, prefix):
                yield found
                at = found.key + "\0"
            on_listed()
            if not prefix:
                return
        except AccessDenied as error:
            yield Denied(Store.BUCKET, prefix, error, () if prefix else narrower)


def ranges(asset_map: AssetMap, ids: Sequence[str]) -> list[Range]:
    """Divides all keys into ranges of some thousand assets each, as far as the ids show where assets are."""
    step = max(1, len(ids) // RANGES)
    prefixes = asset_map.key_prefixes(())
    cuts = sorted({*prefixes, *(prefix + each for prefix in prefixes for each in ids[::step])} - {""})
    return list(zip(["", *cuts], [*cuts, ""], strict=True))
