"""Sorting of more rows than fit in the memory that they may take: the rest goes to files in a folder.

Spill   how much memory the rows of one planning may take, and the folder for the rest
Sorter  rows in order of a key: a list, or sorted runs in a file that are merged as they are read
Tuples  flat tuples in order of their first part, some at a time
Shelf   documents that are read more than once, in the order in which they came
"""

from __future__ import annotations

import heapq
import marshal
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from reconcile.adapters.spill import SpillFile
from reconcile.core.closing import Closing
from reconcile.core.flat import packed, packed_document, unpacked, unpacked_document
from reconcile.core.rows import Document, Row, Stream

T = TypeVar("T")

BYTES = {
    Stream.KEY: 700,
    Stream.REFERENCE: 500,
    Stream.ANSWER: 350,
    Stream.CLAIM: 350,
    Stream.LISTED: 700,
    Stream.MARK: 150,
    Stream.SOURCE: 300,
}
"""About how many bytes of memory a row takes, with its key and its part of what rows share."""
_KEY_ALONE = 150
_PER_TUPLE = 300
_TUPLES_A_BLOCK = 256
_PER_PACKED = 160  # beyond its bytes: the objects around them, and a key that may be shared
_UNPACKED = 5
"""How many times its packed bytes a document takes in memory."""
_SMALLEST_RUN = 4096
_BLOCK = 32 * 1024
_MOST_RUNS = 256
_AT_ONCE = 500
"""Rows that are freed together."""

Block: TypeAlias = tuple[int, int]
"""Where a block begins, and its size."""
Packed: TypeAlias = tuple[str, str, bytes]
"""The key by which a row is sorted, its own key, and its packed content (empty if there is only a key)."""
Keyed: TypeAlias = tuple[str, "Row | None"]
Flat: TypeAlias = tuple[Any, ...]


def bytes_of(row: Row) -> int:
    """About how much memory a row takes."""
    known = BYTES.get(row.stream)
    return _UNPACKED * len(packed_document(row.value)) if known is None else known


class Spill(Closing):
    """The memory that rows may take together (``limit``, in bytes), and the folder for the rest; ``folder`` is called
    when it is first needed. Close it when the rows are not needed any more."""

    def __init__(self, limit: int, folder: Callable[[], Path]) -> None:
        self.limit = limit
        self._folder = folder
        self._files: list[SpillFile] = []
        self.held = 0
        """About how many bytes rows take now."""

    @property
    def run(self) -> int:
        """Bytes of one sorted run."""
        return max(_SMALLEST_RUN, self.limit // 8)

    def file(self) -> SpillFile:
        """A new file. Raises SpillError."""
        self._files.append(SpillFile(self._folder()))
        return self._files[-1]

    def close(self) -> None:
        for each in self._files:
            each.close()


class Sorter:
    """Sorts rows by key; rows with the same key stay in the order in which they were added. Raises SpillError."""

    def __init__(self, spill: Spill) -> None:
        self._spill = spill
        self._rows: list[Keyed] = []
        self._packed: list[Packed] = []
        self._held = 0
        self._runs: _Runs | None = None

    def add(self, key: str, row: Row | None = None) -> None:
        """Adds a row under a key, or a key alone."""
        if self._runs is None:
            self._rows.append((key, row))
            size = _KEY_ALONE if row is None else BYTES.get(row.stream) or bytes_of(row)
            self._held += size
            self._spill.held += size
            if self._spill.held > self._spill.limit:
                self.spill()
            return
        data = b"" if row is None else packed(row.stream, row.value)
        self._packed.append((key, key if row is None else row.key, data))
        self._weigh(_PER_PACKED + len(data))
        if self._held >= self._spill.run:
            self._write(self._runs)

    def spill(self) -> None:
        """Moves what is in memory to disk; what is added from now on goes there too."""
        self._runs = self._runs or _Runs(self._spill)
        rows, self._rows = self._rows, []
        self._weigh(-self._held)
        for key, row in rows:
            self.add(key, row)

    def __iter__(self) -> Iterator[Keyed]:
        """All rows, once: each is freed when it has been given out."""
        if self._runs is None:
            yield from self._in_memory()
        else:
            self._write(self._runs)
            for key, own, data in self._runs.merged():
                yield key, _row(own, data) if data else None
            self._runs.close()

    def _in_memory(self) -> Iterator[Keyed]:
        rows, self._rows = self._rows, []
        rows.sort(key=itemgetter(0))
        rows.reverse()
        while rows:
            some = rows[-_AT_ONCE:]
            self._weigh(-(self._held * len(some) // len(rows)))
            del rows[-_AT_ONCE:]
            while some:
                yield some.pop()

    def _weigh(self, size: int) -> None:
        self._held += size
        self._spill.held += size

    def _write(self, runs: _Runs) -> None:
        self._packed.sort(key=itemgetter(0))
        runs.add(self._packed)
        self._packed = []
        self._weigh(-self._held)


def _row(key: str, data: bytes) -> Row:
    stream, value = unpacked(data)
    return Row(stream, key, value)


class _Runs(Closing):
    """Sorted runs in one file. If they become many they are made one, so that a merge never reads too many at once."""

    def __init__(self, spill: Spill) -> None:
        self._file = spill.file()
        self._runs: list[list[Block]] = []

    def close(self) -> None:
        self._file.close()

    def add(self, rows: Iterable[Packed]) -> None:
        self._runs.append(_written(self._file, rows, _size))
        if len(self._runs) >= _MOST_RUNS:
            self._runs = [_written(self._file, self.merged(), _size)]

    def merged(self) -> Iterator[Packed]:
        runs = (chain.from_iterable(_blocks(self._file, run)) for run in self._runs)
        return heapq.merge(*runs, key=itemgetter(0))


class Tuples:
    """Sorts flat tuples of values that ``marshal`` takes, by their first item, a text. Raises SpillError."""

    def __init__(self, spill: Spill) -> None:
        self._spill = spill
        self._items: list[Flat] = []
        self._held = 0
        self._file: SpillFile | None = None
        self._runs: list[_SortedRun] = []

    def add(self, item: Flat) -> None:
        self._items.append(item)
        self._weigh(_PER_TUPLE)
        if self._spill.held > self._spill.limit and self._held >= self._spill.run:
            self._write()

    def batches(self) -> Iterator[list[Flat]]:
        """All tuples, once, in batches; those with the same first item are in one batch."""
        runs = [*self._runs, _SortedRun(self._in_memory())]
        while ends := [end for run in runs if (end := run.end()) is not None]:
            last = min(ends)
            batch = [each for run in runs for each in run.upto(last)]
            batch.sort(key=itemgetter(0))
            yield batch

    def _write(self) -> None:
        """Moves what is in memory to disk, as one more run."""
        file = self._file = self._file or self._spill.file()
        items, self._items = self._items, []
        items.sort(key=itemgetter(0))
        run = [_append(file, items[at : at + _TUPLES_A_BLOCK]) for at in range(0, len(items), _TUPLES_A_BLOCK)]
        self._runs.append(_SortedRun(_blocks(file, run)))
        self._weigh(-self._held)

    def _in_memory(self) -> Iterator[list[Flat]]:
        items, self._items = self._items, []
        items.sort(key=itemgetter(0), reverse=True)
        while items:
            block = items[: -_TUPLES_A_BLOCK - 1 : -1]
            del items[-_TUPLES_A_BLOCK:]
            self._weigh(-_PER_TUPLE * len(block))
            yield block

    def _weigh(self, size: int) -> None:
        self._held += size
        self._spill.held += size


class _SortedRun:
    """Sorted tuples, read a block at a time."""

    def __init__(self, blocks: Iterator[list[Flat]]) -> None:
        self._blocks = blocks
        self._block: list[Flat] = []
        self._at = 0

    def end(self) -> str | None:
        """The first item of the last tuple in the current block; None if there are no more tuples."""
        if self._at == len(self._block):
            self._block, self._at = next(self._blocks, []), 0
        return self._block[-1][0] if self._block else None

    def upto(self, last: str) -> list[Flat]:
        """The next tuples, up to those with this first item."""
        found: list[Flat] = []
        while (end := self.end()) is not None:
            at = self._at
            self._at = len(self._block) if end <= last else bisect_right(self._block, last, at, key=itemgetter(0))
            found += self._block[at : self._at]
            if end > last:
                break
        return found


class Shelf:
    """Documents that can be read more than once, in the order in which they came: all, or some by their ids. Raises
    SpillError."""

    def __init__(self, spill: Spill, documents: Iterable[Document] = ()) -> None:
        self._documents: list[Document] = []
        self._run: list[Block] = []
        self._file: SpillFile | None = None
        held = 0
        coming = iter(documents)
        for each in coming:
            self._documents.append(each)
            size = _UNPACKED * len(packed_document(each))
            held += size
            spill.held += size
            if spill.held > spill.limit:
                self._file = spill.file()
                self._run += _written(self._file, map(_labelled, self._documents), _size)
                self._documents.clear()
                spill.held -= held
                self._run += _written(self._file, map(_labelled, coming), _size)

    def __iter__(self) -> Iterator[Document]:
        return self.some(lambda _: True)

    def some(self, is_wanted: Callable[[str], bool]) -> Iterator[Document]:
        """The documents of these ids."""
        if self._file is not None:
            for block in _blocks(self._file, self._run):
                yield from (unpacked_document(data) for document, data in block if is_wanted(document))
        yield from (each for each in self._documents if is_wanted(each.id))


def _labelled(document: Document) -> tuple[str, bytes]:
    return document.id, packed_document(document)


def _size(item: Flat) -> int:
    """The size of an item whose last part are its bytes."""
    return len(item[-1])


def _written(file: SpillFile, items: Iterable[T], size_of: Callable[[T], int]) -> list[Block]:
    """Writes plain values in blocks of about ``_BLOCK`` bytes; gives where the blocks are."""
    blocks: list[Block] = []
    block: list[T] = []
    size = 0
    for item in items:
        block.append(item)
        size += size_of(item)
        if size >= _BLOCK:
            blocks.append(_append(file, block))
            block, size = [], 0
    return [*blocks, _append(file, block)] if block else blocks


def _append(file: SpillFile, values: list[Any]) -> Block:
    data = marshal.dumps(values)
    return file.append(data), len(data)


def _blocks(file: SpillFile, run: Iterable[Block]) -> Iterator[list[Any]]:
    return (marshal.loads(file.read(at, size)) for at, size in run)
