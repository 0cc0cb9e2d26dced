"""Rows in order, in as much memory as they may take together; what does not fit goes to a folder.

Spill   how much memory the rows of one planning may take, and where to put the rest
Sorter  rows in order of a key: a list, or sorted runs in a file that are merged as they are read
Tuples  flat tuples in order of their first part, some at a time
Shelf   documents that are read more than once, in the order in which they came
"""

from __future__ import annotations

import heapq
import marshal
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeAlias

from reconcile.adapters.spill import SpillFile
from reconcile.core.closing import Closing
from reconcile.core.flat import packed, packed_document, unpacked, unpacked_document
from reconcile.core.rows import Document, Row, Stream

BYTES = {
    Stream.KEY: 700,
    Stream.REFERENCE: 500,
    Stream.ANSWER: 350,
    Stream.CLAIM: 350,
    Stream.LISTED: 700,
    Stream.MARK: 150,
    Stream.SOURCE: 300,
}
"""About how much a row takes as Python has it, its key and what it shares with others included."""
_KEY_ALONE = 150
_PER_TUPLE = 300
_TUPLES_A_BLOCK = 256
_PER_PACKED = 160  # beside its bytes: the objects around them, and a key that may be shared
_UNPACKED = 5
"""How many times as much a document takes as Python has it than as bytes."""
_SMALLEST_RUN = 4096
_BLOCK = 32 * 1024
_MOST_RUNS = 256
_AT_ONCE = 500
"""Rows that are let go together."""

Block: TypeAlias = tuple[int, int]
"""Where a block begins, and its size."""
Packed: TypeAlias = tuple[str, str, bytes]
"""The key by which a row is sorted, its own, and the rest of it; nothing if the key is all there is."""
Keyed: TypeAlias = tuple[str, "Row | None"]
Flat: TypeAlias = tuple[Any, ...]


def bytes_of(row: Row) -> int:
    """About how much memory a row takes."""
    known = BYTES.get(row.stream)
    return _UNPACKED * len(packed_document(row.value)) if known is None else known


class Spill(Closing):
    """The memory that rows may take together, in bytes (``limit``), and the folder for what does not fit, which is
    asked for when it is needed. Close it when the rows are not needed any more."""

    def __init__(self, limit: int, folder: Callable[[], Path]) -> None:
        self.limit = limit
        self._folder = folder
        self._files: list[SpillFile] = []
        self.held = 0
        """Bytes that rows take now, by and large."""

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
    """Rows that come out in order of the keys under which they were put, those of one key as they came. Raises
    SpillError."""

    def __init__(self, spill: Spill) -> None:
        self._spill = spill
        self._rows: list[Keyed] = []
        self._packed: list[Packed] = []
        self._held = 0
        self._runs: _Runs | None = None

    def add(self, key: str, row: Row | None = None) -> None:
        """Puts a row, or just a key."""
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
        """Puts what is in memory on disk, and what comes from now on too."""
        self._runs = self._runs or _Runs(self._spill)
        rows, self._rows = self._rows, []
        self._weigh(-self._held)
        for key, row in rows:
            self.add(key, row)

    def __iter__(self) -> Iterator[Keyed]:
        """All of it, once: the rows are let go as they are given out."""
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
        self._runs.append(list(self._written(rows)))
        if len(self._runs) >= _MOST_RUNS:
            self._runs = [list(self._written(self.merged()))]

    def merged(self) -> Iterator[Packed]:
        return heapq.merge(*map(self._read, self._runs), key=itemgetter(0))

    def _written(self, rows: Iterable[Packed]) -> Iterator[Block]:
        block: list[Packed] = []
        size = 0
        for row in rows:
            block.append(row)
            size += len(row[2])
            if size >= _BLOCK:
                yield self._append(block)
                block, size = [], 0
        if block:
            yield self._append(block)

    def _append(self, block: list[Packed]) -> Block:
        data = marshal.dumps(block)
        return self._file.append(data), len(data)

    def _read(self, run: list[Block]) -> Iterator[Packed]:
        for at, size in run:
            yield from marshal.loads(self._file.read(at, size))


class Tuples:
    """Flat tuples of what ``marshal`` takes, in order of their first part, which is a text. Raises SpillError."""

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
        """All of them, once, some at a time: those that have the same first part come together."""
        runs = [*self._runs, _SortedRun(self._in_memory())]
        while ends := [end for run in runs if (end := run.end()) is not None]:
            last = min(ends)
            batch = [each for run in runs for each in run.upto(last)]
            batch.sort(key=itemgetter(0))
            yield batch

    def _write(self) -> None:
        """Puts what is in memory on disk, as one more run."""
        file = self._file = self._file or self._spill.file()
        items, self._items = self._items, []
        items.sort(key=itemgetter(0))
        blocks: list[Block] = []
        for at in range(0, len(items), _TUPLES_A_BLOCK):
            data = marshal.dumps(items[at : at + _TUPLES_A_BLOCK])
            blocks.append((file.append(data), len(data)))
        self._runs.append(_SortedRun(marshal.loads(file.read(at, size)) for at, size in blocks))
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
        """The first part of the last tuple of the block that is read now; None if there are no more."""
        if self._at == len(self._block):
            self._block, self._at = next(self._blocks, []), 0
        return self._block[-1][0] if self._block else None

    def upto(self, last: str) -> list[Flat]:
        """The tuples that come next, those up to this first part."""
        found: list[Flat] = []
        while (end := self.end()) is not None:
            at = self._at
            self._at = len(self._block) if end <= last else bisect_right(self._block, last, at, key=itemgetter(0))
            found += self._block[at : self._at]
            if end > last:
                break
        return found


class Shelf:
    """Documents that can be read again, in the order in which they were put: all, or some by their ids. Raises
    SpillError."""

    def __init__(self, spill: Spill, documents: Iterable[Document] = ()) -> None:
        self._spill = spill
        self._documents: list[Document] = []
        self._packed: list[tuple[str, bytes]] = []
        self._size = 0
        self._blocks: list[Block] = []
        self._file: SpillFile | None = None
        for each in documents:
            self._put(each)

    def __iter__(self) -> Iterator[Document]:
        return self.some(lambda _: True)

    def some(self, is_wanted: Callable[[str], bool]) -> Iterator[Document]:
        """The documents of these ids."""
        if self._file is not None:
            for at, size in self._blocks:
                yield from _unpacked(marshal.loads(self._file.read(at, size)), is_wanted)
            yield from _unpacked(self._packed, is_wanted)
        yield from (each for each in self._documents if is_wanted(each.id))

    def _put(self, document: Document) -> None:
        data = packed_document(document)
        if self._file is None:
            self._documents.append(document)
            self._size += _UNPACKED * len(data)
            self._spill.held += _UNPACKED * len(data)
            if self._spill.held > self._spill.limit:
                self._begin()
        else:
            self._pack(document.id, data)

    def _begin(self) -> None:
        self._file = self._spill.file()
        self._spill.held -= self._size
        self._size = 0
        documents, self._documents = self._documents, []
        for each in documents:
            self._pack(each.id, packed_document(each))

    def _pack(self, document: str, data: bytes) -> None:
        self._packed.append((document, data))
        self._size += len(data)
        if self._size >= _BLOCK and self._file is not None:
            block = marshal.dumps(self._packed)
            self._blocks.append((self._file.append(block), len(block)))
            self._packed, self._size = [], 0


def _unpacked(packed: Iterable[tuple[str, bytes]], is_wanted: Callable[[str], bool]) -> Iterator[Document]:
    return (unpacked_document(data) for document, data in packed if is_wanted(document))
