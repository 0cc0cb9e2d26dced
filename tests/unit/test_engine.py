"""Grouping by key: every key comes with its rows; sorted streams are joined; reading ahead changes nothing."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.adapters.sorting import BYTES, SortedRows, Spill, ranges
from reconcile.core.errors import StoreError, StoreUnavailable
from reconcile.core.rows import Group, Row, Stream
from reconcile.pipeline.engine import Prefetch, StreamEngine, merge

KEYS = st.lists(st.text("abAé/", max_size=3), unique=True, max_size=8).map(sorted)


def _pairs(keys: list[str], name: str) -> list[tuple[str, str]]:
    return [(key, f"{name}:{key}") for key in keys]


@given(KEYS, KEYS, KEYS)
def test_a_join_gives_every_key_once_with_the_row_of_each_stream_that_has_it(
    one: list[str], two: list[str], three: list[str]
) -> None:
    joined = list(merge([("one", _pairs(one, "1")), ("two", _pairs(two, "2")), ("three", _pairs(three, "3"))]))

    assert [key for key, _ in joined] == sorted({*one, *two, *three})
    for key, rows in joined:
        assert rows == [f"{n}:{key}" if key in keys else None for n, keys in enumerate((one, two, three), 1)]


@pytest.mark.parametrize("keys", [["b", "a"], ["a", "a"]], ids=["out of order", "twice"])
def test_a_stream_that_is_not_sorted_is_an_error_and_never_an_absence(keys: list[str]) -> None:
    with pytest.raises(StoreError, match="the listing of objects is out of order"):
        list(merge([("files", _pairs(["a", "b"], "f")), ("objects", _pairs(keys, "o"))]))


def _cut(keys: list[str], random: Random) -> list[list[tuple[str]]]:
    """The rows of these keys in lists of any size, some of them empty."""
    places = sorted(random.randint(0, len(keys)) for _ in range(random.randint(0, 4)))
    return [[(key,) for key in keys[one:other]] for one, other in pairwise([0, *places, len(keys)])]


@given(st.lists(KEYS, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_ranges_give_the_rows_of_all_listings_and_those_of_a_key_together(
    listings: list[list[str]], random: Random
) -> None:
    read = list(ranges([SortedRows(_cut(keys, random), "objects") for keys in listings]))

    for number, keys in enumerate(listings):
        assert [row[0] for rows in read for row in rows[number]] == keys
    spans = [sorted(row[0] for rows in each for row in rows) for each in read]
    assert all(spans)
    assert all(one[-1] < other[0] for one, other in pairwise(spans))


@pytest.mark.parametrize("keys", [["b", "a"], ["a", "a"]], ids=["out of order", "twice"])
@pytest.mark.parametrize("together", [True, False], ids=["in one list", "in two"])
def test_a_listing_that_is_not_sorted_is_an_error_in_ranges_too(keys: list[str], *, together: bool) -> None:
    lists = [[(key,) for key in keys]] if together else [[(key,)] for key in keys]
    with pytest.raises(StoreError, match="the listing of objects is out of order"):
        list(ranges([SortedRows([[("a",)], [("b",)]], "files"), SortedRows(lists, "objects")]))


def _engine(memory: int = 2**20, folder: Path | None = None) -> StreamEngine:
    return StreamEngine(Spill(memory, lambda: folder or Path(tempfile.gettempdir())))


NAMES = st.sampled_from(["a", "b", "c/d", "\udcff", "é"])
ROWS = st.lists(st.builds(Row, st.sampled_from(sorted(BYTES)), NAMES, st.integers()), max_size=20)


def _sorted(groups: Iterable[tuple[str, Group]]) -> dict[str, dict[Stream, list[int]]]:
    listed = list(groups)
    found = {key: {stream: sorted(values) for stream, values in group.items()} for key, group in listed}
    assert len(found) == len(listed), "a key came twice"
    return found


@given(ROWS, st.randoms(use_true_random=False))
def test_every_key_comes_once_with_all_of_its_rows_as_from_a_dictionary(rows: list[Row], random: Random) -> None:
    plain: dict[str, dict[Stream, list[int]]] = {}
    for row in rows:
        plain.setdefault(row.key, {}).setdefault(row.stream, []).append(row.value)
    random.shuffle(rows)

    assert _sorted(_engine().group(rows)) == _sorted(plain.items())


def test_a_whole_group_is_given_out_before_the_engine_reads_on() -> None:
    read: list[str] = []

    def rows() -> Iterator[Row]:
        yield Row(Stream.REFERENCE, "b", "asks")
        for key in ("a", "b", "c"):
            read.append(key)
            yield Row(Stream.KEY, key, key)

    groups = _engine().group(rows(), lambda group: group[Stream.KEY] != ("a",))

    assert next(groups) == ("b", {Stream.KEY: ("b",), Stream.REFERENCE: ["asks"]})
    assert read == ["a", "b"]
    assert list(groups) == [("c", {Stream.KEY: ("c",)}), ("a", {Stream.KEY: ["a"]})]


def test_later_rows_of_a_key_that_waits_join_it_although_they_would_be_whole_alone() -> None:
    rows = [Row(Stream.KEY, "a", 1), Row(Stream.KEY, "a", 2)]

    assert list(_engine().group(rows, lambda group: group[Stream.KEY] == (2,))) == [("a", {Stream.KEY: [1, 2]})]


def test_reading_ahead_keeps_the_order() -> None:
    rows = list(range(3 * Prefetch.BATCH + 7))

    assert list(Prefetch(lambda: iter(rows))) == rows


def test_rows_read_ahead_can_be_taken_one_by_one_and_then_many_at_once() -> None:
    ahead = Prefetch(lambda: iter(range(2 * Prefetch.BATCH)))
    first = [next(ahead), next(ahead)]

    assert first + [row for batch in iter(ahead.batch, []) for row in batch] == list(range(2 * Prefetch.BATCH))


def test_an_error_is_raised_where_it_happened_and_the_stream_is_over() -> None:
    def rows() -> Iterator[int]:
        yield from range(2 * Prefetch.BATCH)
        raise StoreUnavailable("page 3 failed")

    ahead = Prefetch(rows)

    with pytest.raises(StoreUnavailable, match="page 3"):
        list(ahead)
    assert list(ahead) == []


def test_reading_ahead_is_bounded_and_ends_when_it_is_closed() -> None:
    given_out = 0
    full = threading.Event()

    def rows() -> Iterator[int]:
        nonlocal given_out
        for number in range(10**9):
            given_out = number
            if number >= Prefetch.BATCH * Prefetch.BATCHES:
                full.set()
            yield number

    ahead = Prefetch(rows)
    assert next(ahead) == 0
    assert full.wait(10)
    ahead.close()

    assert given_out <= Prefetch.BATCH * (Prefetch.BATCHES + 3)
