"""An ``ObjectStore`` that lists a bucket from an inventory report, and is live in everything else."""

from __future__ import annotations

import marshal
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import astuple

from reconcile.adapters.gcs.answers import Resource
from reconcile.adapters.inventory.report import AGAIN, InventoryReport, ReportFile, utc
from reconcile.adapters.inventory.tables import Texts, rows_of
from reconcile.adapters.sorting import Spill, Tuples
from reconcile.adapters.spill import SpillFile
from reconcile.core.closing import Closing
from reconcile.core.errors import UsageError
from reconcile.core.names import BucketRoot
from reconcile.core.rows import RemoteObject
from reconcile.ports import ObjectStore

_BLOCK = 500
"""Objects that are read from disk together."""
_PER_OBJECT = 700
"""The approximate bytes of memory of an object while the report is sorted."""


class ReportedObject(Resource, gc=False, kw_only=True):
    """A row of a report: an object of any bucket; ``timeDeleted`` is set if it was deleted or replaced."""

    bucket: str
    timeDeleted: str = ""  # noqa: N815 - the report's own spelling


class ReportedObjects(Closing):
    """The objects below a prefix as a report lists them.

    The whole report is read before the first object is yielded, so that an incomplete report yields none. Reading it
    raises UsageError, StoreError and SpillError.
    """

    def __init__(
        self,
        objects: ObjectStore,
        root: BucketRoot,
        report: InventoryReport,
        memory: int,
        spill_folder: Callable[[], Path],
    ) -> None:
        """Sorting uses about ``memory`` bytes; what exceeds it, and the result, goes into the spill folder."""
        self._root = root
        self._report = report
        self._spill = Spill(memory, spill_folder)
        self._listing: _Listing | None = None
        self._reading = threading.Lock()
        self.get = objects.get
        self.put = objects.put
        self.md5 = objects.md5
        self.copy = objects.copy
        self.set_type = objects.set_type
        self.read = objects.read

    def close(self) -> None:
        """Drops the sorted report; the bucket stays open."""
        self._spill.close()

    def list(self, prefix: str = "", splits: Sequence[str] = ()) -> Iterator[RemoteObject]:  # noqa: ARG002
        """Lists as ``ObjectStore.list``, as of the report."""
        return self.between(prefix, "", prefix)

    def between(self, first: str, stop: str, prefix: str = "") -> Iterator[RemoteObject]:
        """Lists a range as ``ObjectStore.between``, as of the report."""
        with self._reading:
            if self._listing is None:
                self._listing = self._read()
        found = self._listing.between(max(first, prefix), stop)
        return takewhile(lambda each: each.key.startswith(prefix), found)

    def _read(self) -> _Listing:
        """Reads and sorts the report."""
        rows = ReportedRows()
        found = Tuples(self._spill)
        for file in self._report.files:
            for each in rows.objects(file, self._report.folder, self._root, self._spill.file):
                found.add(astuple(each), _PER_OBJECT)
        rows.check(self._report, self._root.bucket)
        return _Listing(chain.from_iterable(found.batches()), self._spill.file(), self._report.name)


class ReportedRows(msgspec.Struct):
    """Counts of rows read from files of a report: all ``rows``, those about our bucket, and the name of some ``other``
    bucket that has rows."""

    rows: int = 0
    ours: int = 0
    other: str = ""

    def __add__(self, more: ReportedRows) -> ReportedRows:
        return ReportedRows(self.rows + more.rows, self.ours + more.ours, max(self.other, more.other))

    def objects(
        self, file: ReportFile, folder: ObjectStore, root: BucketRoot, spill: Callable[[], SpillFile]
    ) -> Iterator[RemoteObject]:
        """Yields the live objects below ``root`` in one file of a report, unordered, and counts its rows; ends at more
        rows than all files have together, which would only fill the disk.

        Raises UsageError if it is not such a file, and as ``ReportFile.read``.
        """
        with closing(file.read(folder)) as chunks:
            for number, texts in enumerate(rows_of(file.uri, chunks, spill), start=1):
                self.rows += 1
                each = _object(texts, f"row {number} of {file.uri}")
                if each.bucket != root.bucket:
                    self.other = max(self.other, each.bucket)
                    continue
                self.ours += 1
                key = root.key(f"gs://{each.bucket}/{each.name}")
                if key is not None and not each.timeDeleted:
                    if self.rows > file.records:
                        return
                    each.updated = _moment(each.updated)
                    yield each.row(key)

    def check(self, report: InventoryReport, bucket: str) -> None:
        """Raises UsageError if rows of the report are missing, or it is not about the bucket."""
        if self.rows != report.records:
            found = f"{self.rows:,}" if self.rows < report.records else "more"
            raise UsageError(
                f"{report.name} says that the report has {report.records:,} rows; it has {found}", hint=AGAIN
            )
        if not self.ours:
            what = "names no object, so nothing shows that it is about"
            what = f"is about {self.other}, not about" if self.other else what
            raise UsageError(
                f"the inventory report {report.name} {what} {bucket}",
                hint=f"name the folder with the reports about {bucket}, or plan without --objects-from",
            )


def two_live(where: str, key: str) -> UsageError:
    """Returns the error for a report with two objects of one name."""
    return UsageError(
        f"{where} has two objects of the name {key!r}, and does not say which is live",
        hint="have the reports made with --metadata-fields that have timeDeleted, too",
    )


class _Listing:
    """Objects in order of their keys, in blocks on disk; only the first key of each block is in memory."""

    def __init__(self, objects: Iterator[tuple[Any, ...]], file: SpillFile, where: str) -> None:
        """Writes these objects, as tuples, to the file. Raises UsageError for two with one key, and SpillError."""
        self._file = file
        self._lock = threading.Lock()
        self._firsts: list[str] = []
        self._blocks: list[tuple[int, int]] = []
        last = None
        while block := list(islice(objects, _BLOCK)):
            for key, *_ in block:
                if key == last:
                    raise two_live(where, key)
                last = key
            data = marshal.dumps(block)
            self._firsts.append(block[0][0])
            self._blocks.append((file.append(data), len(data)))

    def between(self, first: str, stop: str) -> Iterator[RemoteObject]:
        """Yields the objects from ``first`` (inclusive) to ``stop`` (exclusive); to the end if that is empty."""
        for at, size in self._blocks[max(0, bisect_right(self._firsts, first) - 1) :]:
            with self._lock:
                data = self._file.read(at, size)
            for row in marshal.loads(data):
                if stop and row[0] >= stop:
                    return
                if row[0] >= first:
                    yield RemoteObject(*row)


def _object(texts: Texts, where: str) -> ReportedObject:
    try:
        return msgspec.convert(texts, ReportedObject, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"{where} is not an object: {error}", hint=AGAIN) from error


def _moment(text: str) -> str:
    """Returns a time in the format of a listing, so that both can be compared; unchanged if it cannot be read."""
    try:
        at = utc(text.removesuffix(" UTC"))
    except ValueError:
        return text
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"
