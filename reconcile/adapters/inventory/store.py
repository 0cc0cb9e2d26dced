"""The bucket, listed by an inventory report: an ``ObjectStore`` of which everything but the listings is live."""

from __future__ import annotations

import datetime
import marshal
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import takewhile
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import astuple

from reconcile.adapters.gcs.answers import Resource
from reconcile.adapters.inventory.report import AGAIN, InventoryReport
from reconcile.adapters.inventory.tables import Texts, rows_of
from reconcile.adapters.sorting import Sorter, Spill
from reconcile.adapters.spill import SpillFile
from reconcile.core.closing import Closing
from reconcile.core.encoding import encoding_of
from reconcile.core.errors import UsageError
from reconcile.core.names import BucketRoot
from reconcile.core.rows import KeyRow, RemoteObject, Row, Stream
from reconcile.ports import ObjectStore

_BLOCK = 500
"""Objects that are read from disk together."""


class ReportedObject(Resource, gc=False, kw_only=True):
    """A row of a report: an object of any bucket, and when it was deleted, or replaced in a bucket that keeps that."""

    bucket: str
    timeDeleted: str = ""  # noqa: N815 - the report's own spelling


class ReportedObjects(Closing):
    """The objects below a prefix as a report has them. It is read whole before the first object is given, so that one
    that is not whole gives none; reading it raises UsageError, StoreError and SpillError."""

    def __init__(
        self,
        objects: ObjectStore,
        root: BucketRoot,
        report: InventoryReport,
        memory: int,
        spill_folder: Callable[[], Path],
    ) -> None:
        """Sorting takes about ``memory`` bytes, and the folder for what does not fit, and for what is sorted."""
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
        """Lets go of what was sorted; the bucket stays open."""
        self._spill.close()

    def list(self, prefix: str = "", splits: Sequence[str] = ()) -> Iterator[RemoteObject]:  # noqa: ARG002
        """See ``ObjectStore.list``: as of the report."""
        return takewhile(lambda found: found.key.startswith(prefix), self.between(prefix, ""))

    def between(self, first: str, stop: str) -> Iterator[RemoteObject]:
        """See ``ObjectStore.between``: as of the report."""
        with self._reading:
            if self._listing is None:
                self._listing = self._read()
        return self._listing.between(first, stop)

    def _read(self) -> _Listing:
        """Sorts the report."""
        rows, ours, other = 0, 0, ""
        found = Sorter(self._spill)
        for shard in self._report.shards:
            uri = self._report.uri(shard)
            with closing(self._report.read(shard)) as chunks:
                for number, texts in enumerate(rows_of(uri, chunks, self._spill.file), start=1):
                    rows += 1
                    each = _object(texts, f"row {number} of {uri}")
                    if each.bucket != self._root.bucket:
                        other = each.bucket
                        continue
                    ours += 1
                    key = self._root.key(f"gs://{each.bucket}/{each.name}")
                    if key is not None and not each.timeDeleted:
                        found.add(key, Row(Stream.KEY, key, KeyRow(key, None, remote=_remote(key, each))))
        if rows != self._report.records:
            raise UsageError(
                f"{self._report.name} says that the report has {self._report.records:,} rows; it has {rows:,}",
                hint=AGAIN,
            )
        if not ours:
            bucket = self._root.bucket
            what = f"is about {other}, not about" if other else "names no object, so nothing shows that it is about"
            raise UsageError(
                f"the inventory report {self._report.name} {what} {bucket}",
                hint=f"name the folder with the reports about {bucket}, or plan without --objects-from",
            )
        return _Listing(
            (row.value.remote for _, row in found if row is not None), self._spill.file(), self._report.name
        )


class _Listing:
    """Objects in order of their keys, on disk; of each block, the first key is in memory."""

    def __init__(self, objects: Iterable[RemoteObject], file: SpillFile, where: str) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._firsts: list[str] = []
        self._blocks: list[tuple[int, int]] = []
        block: list[tuple[Any, ...]] = []
        last = None
        for each in objects:
            if each.key == last:
                raise UsageError(
                    f"{where} has two objects of the name {each.key!r}, and does not say which is live",
                    hint="have the reports made with --metadata-fields that have timeDeleted, too",
                )
            last = each.key
            block.append(astuple(each))
            if len(block) == _BLOCK:
                self._put(block)
                block = []
        if block:
            self._put(block)

    def between(self, first: str, stop: str) -> Iterator[RemoteObject]:
        """Those from one key up to but without another; an empty ``stop`` is no end."""
        for at, size in self._blocks[max(0, bisect_right(self._firsts, first) - 1) :]:
            with self._lock:
                data = self._file.read(at, size)
            for row in marshal.loads(data):
                if stop and row[0] >= stop:
                    return
                if row[0] >= first:
                    yield RemoteObject(*row)

    def _put(self, block: list[tuple[Any, ...]]) -> None:
        data = marshal.dumps(block)
        self._firsts.append(block[0][0])
        self._blocks.append((self._file.append(data), len(data)))


def _object(texts: Texts, where: str) -> ReportedObject:
    try:
        return msgspec.convert(texts, ReportedObject, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"{where} is not an object: {error}", hint=AGAIN) from error


def _remote(key: str, found: ReportedObject) -> RemoteObject:
    return RemoteObject(
        key,
        found.size,
        found.generation,
        found.crc32c,
        found.contentType,
        _moment(found.updated),
        encoding_of(found.contentEncoding),
        found.metageneration or 0,
    )


def _moment(text: str) -> str:
    """A time as a listing writes it, which is what other times are compared with; as it is if it cannot be read."""
    try:
        found = datetime.datetime.fromisoformat(text.removesuffix(" UTC"))
    except ValueError:
        return text
    at = found.replace(tzinfo=found.tzinfo or datetime.UTC).astimezone(datetime.UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"
