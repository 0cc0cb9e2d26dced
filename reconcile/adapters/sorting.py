"""Sorts more rows than fit in their memory; the rest is spilled to files in a folder.

Spill          how much memory the rows of one planning may use, and the folder for the rest
Sorter         rows in order of a key: in memory as they are, beyond that packed as tuples
Tuples         flat tuples in order of their first item: a list, and sorted runs in a file that are merged while reading
ranges         reads sorted runs or listings, one range of keys at a time
DocumentSpool  documents that are read more than once, in the order in which they came
"""

from __future__ import annotations

import marshal
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice, pairwise
from operator import itemgetter, lt
from pathlib import Path
from typing import Any, TypeAlias

from reconcile.adapters.spill import SpillFile
from reconcile.core.closing import Closing
from reconcile.core.errors import StoreError
from reconcile.core.flat import packed, unpacked
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
"""The approximate bytes of memory of a row, with its key and its part of what rows share."""
_KEY_ALONE = 150
_PER_TUPLE = 300
_PER_PACKED = 160  # in addition to its bytes: the objects around them, and a key that may be shared
_UNPACKED = 5
"""How many times its packed bytes a document uses in memory."""
_SMALLEST_RUN = 4096
_BLOCK = 80 * 1024
"""Bytes of memory for what is read from disk at once."""
_MOST_RUNS = 256
_AT_ONCE = 256
"""Rows that are freed together."""

Block: TypeAlias = tuple[int, int]
"""The offset of a block, and its size."""
Keyed: TypeAlias = tuple[str, "Row | None"]
Flat: TypeAlias = tuple[Any, ...]


def bytes_of(row: Row) -> int:
    """Returns the approximate bytes of memory of a row."""
    known = BYTES.get(row.stream)
    return _UNPACKED * len(packed(row.stream, row.value)) if known is None else known


class Spill(Closing):
    """The memory that rows may use together (``limit``, in bytes), and the folder for the rest.

    ``folder`` is called when it is first needed. Close it when the rows are no longer needed.
    """

    def __init__(self, limit: int, folder: Callable[[], Path]) -> None:
        self.limit = limit
        self._folder = folder
        self._files: list[SpillFile] = []
        self.held = 0
        """The approximate bytes that rows use now."""

    @property
    def run(self) -> int:
        """Bytes of one sorted run."""
        return max(_SMALLEST_RUN, self.limit // 8)

    def file(self) -> SpillFile:
        """Returns a new file. Raises SpillError."""
        self._files.append(SpillFile(self._folder()))
        return self._files[-1]

    def close(self) -> None:
        for each in self._files:
            each.close()


class _Held:
    """Items in memory, and the bytes that they use there."""

    def __init__(self, spill: Spill) -> None:
        self._spill = spill
        self._items: list[Any] = []
        self._held = 0

    def _hold(self, item: Any, size: int) -> bool:
        """Adds an item of this size; returns whether the memory limit is now exceeded."""
        self._items.append(item)
        self._weigh(size)
        return self._spill.held > self._spill.limit

    def _sorted(self) -> list[Any]:
        """Returns all items in order of their first part, a text; equal ones stay in the order in which they came."""
        items, self._items = self._items, []
        items.sort(key=itemgetter(0))
        return items

    def _in_memory(self) -> Iterator[list[Any]]:
        """Yields all items in order, in blocks that are freed as they are consumed."""
        items = self._sorted()
        items.reverse()
        while items:
            block = items[: -_AT_ONCE - 1 : -1]
            self._weigh(-(self._held * len(block) // len(items)))
            del items[-_AT_ONCE:]
            yield block

    def _weigh(self, size: int) -> None:
        self._held += size
        self._spill.held += size


class Sorter(_Held):
    """Sorts rows by key, stably: rows with the same key stay in the order in which they were added. Raises
    SpillError."""

    def __init__(self, spill: Spill) -> None:
        super().__init__(spill)
        self._packed: Tuples | None = None

    def add(self, key: str, row: Row | None = None) -> None:
        """Adds a row under a key, or a key alone."""
        if self._packed is None:
            size = _KEY_ALONE if row is None else BYTES.get(row.stream) or bytes_of(row)
            if self._hold((key, row), size):
                self.spill()
        else:  # the key to sort by, the row's own key, and the rest of the row
            data = b"" if row is None else packed(row.stream, row.value)
            self._packed.add((key, key if row is None else row.key, data), _PER_PACKED + len(data))

    def spill(self) -> None:
        """Packs what is in memory, and what is added from now on, so that it can go to disk."""
        self._packed = self._packed or Tuples(self._spill)
        rows, self._items = self._items, []
        self._weigh(-self._held)
        rows.reverse()
        while rows:  # each is freed once it is packed
            self.add(*rows.pop())

    def __iter__(self) -> Iterator[Keyed]:
        """Yields all rows, once."""
        if self._packed is None:
            yield from chain.from_iterable(self._in_memory())
        else:
            for key, own, data in chain.from_iterable(self._packed.batches()):
                yield key, _row(own, data) if data else None


def _row(key: str, data: bytes) -> Row:
    stream, value = unpacked(data)
    return Row(stream, key, value)


class Tuples(_Held):
    """Sorts flat tuples of values that ``marshal`` supports by their first item, a text; stable. Raises SpillError."""

    def __init__(self, spill: Spill) -> None:
        super().__init__(spill)
        self._file: SpillFile | None = None
        self._runs: list[SortedRows] = []

    def add(self, item: Flat, size: int = _PER_TUPLE) -> None:
        """Adds a tuple that uses about ``size`` bytes of memory."""
        if self._hold(item, size) and self._held >= self._spill.run:
            self._write()

    def batches(self) -> Iterator[list[Flat]]:
        """Yields all tuples, once, in batches; those with the same first item are in one batch."""
        yield from _merged([*self._runs, SortedRows(self._in_memory())])
        if self._file is not None:
            self._file.close()

    def _write(self) -> None:
        """Moves what is in memory to disk as another run; many runs are merged into one.

        So a merge never reads too many at once.
        """
        file = self._file = self._file or self._spill.file()
        in_block = max(1, _BLOCK * len(self._items) // self._held)
        self._weigh(-self._held)
        self._runs.append(SortedRows(_stored(file, self._sorted(), in_block)))
        if len(self._runs) >= _MOST_RUNS:
            self._runs = [SortedRows(_stored(file, chain.from_iterable(_merged(self._runs)), in_block))]


def _stored(file: SpillFile, items: Iterable[Flat], in_block: int) -> Iterator[list[Flat]]:
    """Writes all items at once, ``in_block`` of them per block; yields the blocks, read on demand."""
    coming = iter(items)
    blocks = [_append(file, block) for block in iter(lambda: list(islice(coming, in_block)), [])]
    return _blocks(file, blocks)


class SortedRows:
    """Tuples in the order of their first item, a text, read one block at a time.

    With a name (``named``) the order is checked: StoreError is raised if it is out of order or has a key twice.
    """

    def __init__(self, blocks: Iterable[Sequence[Flat]], named: str = "") -> None:
        self._blocks = iter(blocks)
        self._named = named
        self._block: Sequence[Flat] = ()
        self._at = 0
        self._before: str | None = None

    def end(self) -> str | None:
        """Returns the first item of the last tuple in the current block, or None if no tuples are left."""
        while self._at == len(self._block):
            block = next(self._blocks, None)
            if block is None:
                return None
            self._block, self._at = block, 0
            if self._named and block:
                self._check()
        return str(self._block[-1][0])

    def upto(self, last: str) -> list[Flat]:
        """Returns the next tuples, up to those with this first item."""
        found: list[Flat] = []
        while (end := self.end()) is not None:
            at = self._at
            self._at = len(self._block) if end <= last else bisect_right(self._block, last, at, key=itemgetter(0))
            found += self._block[at : self._at]
            if end > last or (end == last and self._named):  # which has no key twice
                break
        return found

    def _check(self) -> None:
        keys = [row[0] for row in self._block]
        if self._before is not None:
            keys.insert(0, self._before)
        if not all(map(lt, keys, islice(keys, 1, None))):
            before, key = next(pair for pair in pairwise(keys) if pair[0] >= pair[1])
            raise out_of_order(self._named, before, key)
        self._before = keys[-1]


def ranges(listings: Sequence[SortedRows]) -> Iterator[list[list[Flat]]]:
    """Yields the tuples of all listings, one range of keys at a time. A range ends where the listing ends that has been
    read least far."""
    while ends := [end for each in listings if (end := each.end()) is not None]:
        last = min(ends)
        yield [each.upto(last) for each in listings]


def out_of_order(stream: str, before: str, key: str) -> StoreError:
    """Returns the error about a listing in which ``key`` came after ``before``."""
    return StoreError(
        f"the listing of {stream} is out of order: {key!r} came after {before!r}",
        hint="nothing was changed; this is a fault of the store or of reconcile, please report it",
    )


def _merged(runs: Sequence[SortedRows]) -> Iterator[list[Flat]]:
    """Yields the tuples of sorted runs in order, in batches; those with the same first item are in one batch."""
    for found in ranges(runs):
        yield sorted(chain.from_iterable(found), key=itemgetter(0))


_packed_document = partial(packed, Stream.RECORD)


class DocumentSpool(_Held):
    """Documents that can be read more than once, in the order in which they came: all, or some by id.

    Raises SpillError.
    """

    def __init__(self, spill: Spill, documents: Iterable[Document] = ()) -> None:
        super().__init__(spill)
        self._run: list[Block] = []
        self._file: SpillFile | None = None
        coming = iter(documents)
        for each in coming:
            if self._hold(each, _UNPACKED * len(_packed_document(each))):
                self._file = spill.file()
                self._write(self._file, self._items)
                self._items.clear()
                self._weigh(-self._held)
                self._write(self._file, coming)

    def _write(self, file: SpillFile, documents: Iterable[Document]) -> None:
        block: list[tuple[str, bytes]] = []
        size = 0
        for each in documents:
            block.append((each.id, _packed_document(each)))
            size += _UNPACKED * len(block[-1][1])
            if size >= _BLOCK:
                self._run.append(_append(file, block))
                block, size = [], 0
        if block:
            self._run.append(_append(file, block))

    def __iter__(self) -> Iterator[Document]:
        return self.some(lambda _: True)

    def some(self, is_wanted: Callable[[str], bool]) -> Iterator[Document]:
        """Yields the documents with wanted ids."""
        if self._file is not None:
            for block in _blocks(self._file, self._run):
                yield from (unpacked(data)[1] for document, data in block if is_wanted(document))
        yield from (each for each in self._items if is_wanted(each.id))


def _append(file: SpillFile, values: list[Any]) -> Block:
    data = marshal.dumps(values)
    return file.append(data), len(data)


def _blocks(file: SpillFile, run: Iterable[Block]) -> Iterator[list[Any]]:
    return (marshal.loads(file.read(at, size)) for at, size in run)
