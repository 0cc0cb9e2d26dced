"""What workers of Apache Beam read: documents by their ids, objects by ranges of keys, files from a scan.

A worker opens the project for itself, with a folder of its own in place of ``.reconcile/``. A part that cannot be read
is an error of the whole run: it goes beside, as a line, so that the person who waits reads our sentence.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import msgspec

from reconcile.config import Settings
from reconcile.core import scan as scans
from reconcile.core.errors import ReconcileError
from reconcile.core.report import Problem
from reconcile.core.scan import ScanShard
from reconcile.pipeline.beam_steps import object_row, pack, packed, unpack
from reconcile.project import ClosedProject, OpenProject

FAILED = "failed"
"""The output beside, for lines that are problems."""
Range = tuple[str, str]
"""Keys from the first up to but without the second; an empty one is no end."""


class ReadParts(beam.DoFn):  # type: ignore[misc]
    """A step that reads a part of a world for each of its elements."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder: str | None = None
        self._project: OpenProject | None = None

    def setup(self) -> None:
        """Opens the project on this worker."""
        self._folder = tempfile.mkdtemp(prefix="reconcile-")
        self._project = ClosedProject(msgspec.structs.replace(self._settings, project=Path(self._folder))).opened()

    def teardown(self) -> None:
        """Closes it."""
        if self._project is not None:
            self._project.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def process(self, element: bytes) -> Iterator[Any]:
        """The parts; or, beside, why they could not be read."""
        assert self._project is not None
        try:
            yield from self.read(self._project, unpack(element))
        except ReconcileError as error:
            problem = msgspec.json.encode(Problem.of(error)).decode()
            yield beam.pvalue.TaggedOutput(FAILED, problem)

    def read(self, project: OpenProject, part: Any) -> Iterator[Any]:
        """Everything in one part. Raises ReconcileError."""
        raise NotImplementedError


class ReadDocuments(ReadParts):
    """Ids → the documents that have them, packed."""

    def read(self, project: OpenProject, part: Sequence[str]) -> Iterator[bytes]:
        return map(pack, project.records.read(part))


class ReadObjects(ReadParts):
    """Ranges of keys → the objects in them, as rows by key."""

    def read(self, project: OpenProject, part: Range) -> Iterator[Any]:
        return (packed(object_row(found)) for found in project.objects.between(*part))


class ReadFiles(ReadParts):
    """Shards of scans, each with its folder → the files in them, packed."""

    def read(self, project: OpenProject, part: tuple[str, ScanShard]) -> Iterator[bytes]:
        where, shard = part
        folder = project.shared_folder(Path(where))
        return map(pack, scans.read_shard(shard, folder.read(shard.name), where))
