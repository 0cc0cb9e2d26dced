"""What stages need done between them: rows grouped by key, in one pass that holds only what is not whole yet.

merge         joins listings that come sorted into one row for each key, as they stream
StreamEngine  groups rows by key: a group that is whole is given out at once, the others at the end
Prefetch      reads a listing ahead
"""

from __future__ import annotations

import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, Protocol, TypeAlias, TypeVar

from reconcile.adapters.room import has_thread
from reconcile.adapters.sorting import BYTES, Sorter, Spill, bytes_of
from reconcile.core.errors import StoreError
from reconcile.core.rows import Group, Row, Stream

T = TypeVar("T")

CLOSING = 1.0
"""Seconds to wait for a reading thread that is told to stop."""
GLANCE = 0.2
"""Seconds between two looks for an interrupt."""


IsWhole: TypeAlias = Callable[[Group], bool]


class Engine(Protocol):
    """Groups rows by key. Any engine gives the same plan, byte for byte; tests hold each one to a plain dictionary."""

    def group(
        self, rows: Iterable[Row], is_whole: IsWhole | None = None, last: Iterable[Row] = ()
    ) -> Iterator[tuple[str, Group]]:
        """Every key with the values of its rows, all in any order. A group that ``is_whole`` may be given out before
        the rest is read, and the key's later rows as one more group; otherwise a key comes once, with all its rows.
        ``last`` is read when all ``rows`` are, and has no key twice."""
        ...


class StreamEngine:
    """Groups rows as they stream: it holds references until the row of their key comes, and what is not whole. It
    holds them in memory as far as the ``spill`` allows, and sorted on disk beyond that."""

    def __init__(self, spill: Spill) -> None:
        self._spill = spill

    def group(
        self, rows: Iterable[Row], is_whole: IsWhole | None = None, last: Iterable[Row] = ()
    ) -> Iterator[tuple[str, Group]]:
        held = _HeldRows(self._spill)
        coming = iter(rows)
        yield from held.take(coming, is_whole)
        if not held.is_over:
            yield from held.give(last)
            return
        sorter = Sorter(self._spill)
        sorter.spill()
        for row in chain(held.rows(), coming, last):
            sorter.add(row.key, row)
        yield from groups(sorter)


def groups(rows: Sorter) -> Iterator[tuple[str, Group]]:
    """Every key of sorted rows, in order, with the values of its rows."""
    for key, found in groupby(rows, itemgetter(0)):
        group: defaultdict[Stream, list[Any]] = defaultdict(list)
        for _, each in found:
            if each is not None:
                group[each.stream].append(each.value)
        yield key, group


class _HeldRows:
    """What is held in memory, by stream and key."""

    def __init__(self, spill: Spill) -> None:
        self._spill = spill
        self._by_stream: defaultdict[Stream, dict[str, list[Any]]] = defaultdict(dict)
        self._bytes = 0
        self.is_over = False

    def take(self, rows: Iterator[Row], is_whole: IsWhole | None) -> Iterator[tuple[str, Group]]:
        """Takes rows until there are none or memory is full, and gives out the groups that are whole."""
        held, spill = self._by_stream, self._spill
        keys, asking = held[Stream.KEY], held[Stream.REFERENCE]
        for row in rows:
            stream, key, value = row
            if stream is Stream.KEY and is_whole is not None and key not in keys:
                group: dict[Stream, Sequence[Any]] = {Stream.KEY: (value,)}
                references = asking.get(key)
                if references is not None:
                    group[Stream.REFERENCE] = references
                if is_whole(group):
                    if references is not None:
                        del asking[key]
                        self._weigh(-BYTES[Stream.REFERENCE] * len(references))
                    yield key, group
                    continue
            values = held[stream].get(key)
            if values is None:
                held[stream][key] = [value]
            else:
                values.append(value)
            size = BYTES.get(stream) or bytes_of(row)
            self._bytes += size
            spill.held += size
            if spill.held > spill.limit:
                self.is_over = True
                return

    def give(self, last: Iterable[Row]) -> Iterator[tuple[str, Group]]:
        """The groups, those of the last rows first; lets go of everything."""
        held = self._by_stream
        for stream, key, value in last:
            group = {each: values.pop(key) for each, values in held.items() if key in values}
            group.setdefault(stream, []).append(value)
            yield key, group
        for key in {key: None for values in held.values() for key in values}:
            yield key, {stream: values.pop(key) for stream, values in held.items() if key in values}
        self._weigh(-self._bytes)

    def rows(self) -> Iterator[Row]:
        """The rows; it holds them no longer."""
        self._weigh(-self._bytes)
        for stream, by_key in self._by_stream.items():
            while by_key:
                key, values = by_key.popitem()
                yield from (Row(stream, key, value) for value in values)

    def _weigh(self, size: int) -> None:
        self._bytes += size
        self._spill.held += size


def merge(streams: Sequence[tuple[str, Iterable[tuple[str, Any]]]]) -> Iterator[tuple[str, list[Any]]]:
    """Joins named streams of (key, row), each sorted by key, into (key, [row or None for each stream]).

    Raises StoreError if a stream is out of order: a join over it would take things that are there for absent.
    """
    sources = [iter(rows) for _, rows in streams]
    heads = [next(rows, None) for rows in sources]
    while waiting := [head[0] for head in heads if head is not None]:
        key = min(waiting)
        joined: list[Any] = []
        for place, head in enumerate(heads):
            if head is None or head[0] != key:
                joined.append(None)
                continue
            joined.append(head[1])
            heads[place] = following = next(sources[place], None)
            if following is not None and following[0] <= key:
                raise StoreError(
                    f"the listing of {streams[place][0]} is out of order: {following[0]!r} came after {key!r}",
                    hint="nothing was changed; this is a fault of the store or of reconcile, please report it",
                )
        yield key, joined


_DONE = object()


class Prefetch(Iterator[T]):
    """Reads ahead of the reader, in a thread of its own and in bounded memory; an error is raised where it happened."""

    BATCH = 256
    BATCHES = 16

    def __init__(self, make: Callable[[], Iterable[T]]) -> None:
        self._make = make
        self._queue: queue.Queue[Any] = queue.Queue(self.BATCHES)
        self._stop = threading.Event()
        self._batch: Iterator[T] = iter(())
        self._alone: Iterator[T] | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        if not self._is_begun():
            self._alone = iter(make())

    def _is_begun(self) -> bool:
        """Begins the thread, if the system has room for one; otherwise nothing is read ahead."""
        try:
            if has_thread(first=True):
                self._thread.start()
        except RuntimeError:
            return False
        return self._thread.ident is not None

    def __next__(self) -> T:
        if self._alone is not None:
            return next(self._alone)
        while True:
            for row in self._batch:
                return row
            got = self._got()
            if got is _DONE:
                self._queue.put(_DONE)
                raise StopIteration
            if isinstance(got, BaseException):
                self._queue.put(_DONE)
                raise got
            self._batch = iter(got)

    def _got(self) -> Any:
        while True:  # in slices: Windows' Python hears no interrupt in a wait that has no end
            try:
                return self._queue.get(timeout=GLANCE)
            except queue.Empty:
                continue

    def close(self) -> None:
        """Stops reading ahead; what was read is dropped. A request that hangs is left to the daemon thread."""
        self._stop.set()
        patience = time.monotonic() + CLOSING
        while self._thread.is_alive() and time.monotonic() < patience:
            try:
                self._queue.get(timeout=0.05)
            except queue.Empty:
                continue

    def _work(self) -> None:
        try:
            batch: list[T] = []
            for row in self._make():
                batch.append(row)
                if len(batch) >= self.BATCH:
                    self._put(batch)
                    batch = []
                if self._stop.is_set():
                    return
            self._put(batch)
            self._put(_DONE)
        except BaseException as error:  # noqa: BLE001 - raised again in the reader's thread
            self._put(error)

    def _put(self, item: Any) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.05)
            except queue.Full:
                continue
            else:
                return
