"""The work between the stages: groups rows by key, in one pass that holds only incomplete groups.

merge         joins sorted listings into one row for each key, as they stream
StreamEngine  groups rows by key: yields a group at once if it is whole, the others at the end
Prefetch      reads a listing ahead
"""

from __future__ import annotations

import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, groupby, islice
from operator import itemgetter
from typing import Any, Protocol, TypeAlias, TypeVar

from reconcile.adapters.room import started
from reconcile.adapters.sorting import BYTES, Sorter, Spill, bytes_of, out_of_order
from reconcile.core.rows import Group, Row, Stream

T = TypeVar("T")

CLOSING = 1.0
"""Seconds to wait for a reading thread to stop."""
GLANCE = 0.2
"""Seconds between two checks for an interrupt."""


IsWhole: TypeAlias = Callable[[Group], bool]


class Engine(Protocol):
    """Groups rows by key. Every engine leads to the same plan, byte for byte; the tests compare each one with a plain
    dictionary."""

    def group(
        self, rows: Iterable[Row], is_whole: IsWhole | None = None, last: Iterable[Row] = ()
    ) -> Iterator[tuple[str, Group]]:
        """Yields each key with the values of its rows, in any order.

        A group for which ``is_whole`` holds may be yielded before the rest is read; later rows of its key are then one
        more group. Any other key is yielded once, with all its rows. ``last`` is read after all ``rows``, and has no
        key twice.
        """


class StreamEngine:
    """Groups rows as they stream. It holds incomplete groups, and references until the row of their key comes: in
    memory as far as the ``spill`` allows, and sorted on disk beyond that."""

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
    """Yields each key of sorted rows, in order, with the values of its rows."""
    for key, found in groupby(rows, itemgetter(0)):
        group: defaultdict[Stream, list[Any]] = defaultdict(list)
        for _, each in found:
            if each is not None:
                group[each.stream].append(each.value)
        yield key, group


class _HeldRows:
    """The rows that are held in memory, by stream and key."""

    def __init__(self, spill: Spill) -> None:
        self._spill = spill
        self._by_stream: defaultdict[Stream, dict[str, list[Any]]] = defaultdict(dict)
        self._bytes = 0
        self.is_over = False

    def take(self, rows: Iterator[Row], is_whole: IsWhole | None) -> Iterator[tuple[str, Group]]:
        """Takes rows until there are no more or memory is full, and yields the groups that are whole."""
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
        """Yields the groups, those of the ``last`` rows first, and holds nothing afterwards."""
        held = self._by_stream
        for stream, key, value in last:
            group = {each: values.pop(key) for each, values in held.items() if key in values}
            group.setdefault(stream, []).append(value)
            yield key, group
        for key in {key: None for values in held.values() for key in values}:
            yield key, {stream: values.pop(key) for stream, values in held.items() if key in values}
        self._weigh(-self._bytes)

    def rows(self) -> Iterator[Row]:
        """Yields the rows, and holds them no longer."""
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

    Raises StoreError if a stream is out of order, because the join would then take existing things for absent.
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
                raise out_of_order(streams[place][0], key, following[0])
        yield key, joined


_DONE = object()


class Prefetch(Iterator[T]):
    """Reads rows ahead in a thread of its own, in bounded memory. An error is raised in their order, after the rows
    that were read before it."""

    BATCH = 1024
    BATCHES = 8

    def __init__(self, make: Callable[[], Iterable[T]]) -> None:
        self._make = make
        self._queue: queue.Queue[Any] = queue.Queue(self.BATCHES)
        self._stop = threading.Event()
        self._batch: Iterator[T] = iter(())
        self._alone: Iterator[T] | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        if not started(self._thread, first=True):  # nothing is read ahead
            self._alone = iter(make())

    def __next__(self) -> T:
        for row in self._batch:
            return row
        self._batch = iter(self.batch())
        return next(self._batch)

    def batch(self) -> list[T]:
        """Returns some of the next rows; an empty list at the end."""
        if rest := list(self._batch):
            return rest
        if self._alone is not None:
            return list(islice(self._alone, self.BATCH))
        got = self._got()
        if got is _DONE:
            self._queue.put(_DONE)
            return []
        if isinstance(got, BaseException):
            self._queue.put(_DONE)
            raise got
        batch: list[T] = got
        return batch

    def _got(self) -> Any:
        while True:  # in slices, because Python on Windows does not notice an interrupt in a wait without a time limit
            try:
                return self._queue.get(timeout=GLANCE)
            except queue.Empty:
                continue

    def close(self) -> None:
        """Stops reading ahead and drops what was read. A request that hangs is left to the daemon thread."""
        self._stop.set()
        patience = time.monotonic() + CLOSING
        while self._thread.is_alive() and time.monotonic() < patience:
            try:
                self._queue.get(timeout=0.05)
            except queue.Empty:
                continue

    def _work(self) -> None:
        try:
            rows = iter(self._make())
            while not self._stop.is_set() and (batch := list(islice(rows, self.BATCH))):
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
