"""A window of a table's rows, kept in memory while keys are requested in order; checks of column values; and the hash
cache as another process reads it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from reconcile.core.digest import are_crc32c
from reconcile.core.rows import Hashed

T = TypeVar("T")
Column: TypeAlias = Callable[[Sequence[Any]], bool]
"""Whether all values of a column are valid."""
Read: TypeAlias = Callable[[str, Sequence[object], Sequence[Column]], list[Any]]
"""Returns the rows of a query with its values, after checking each of the columns."""

HASHES = (
    "SELECT path, size, mtime_ns, ctime_ns, inode, crc32c, lacks, doubted_since FROM hashes"
    " WHERE path >= ? ORDER BY path LIMIT ?"
)
"""The hash cache from a path on, limited to a number of rows."""
BUSY_SECONDS = 2.0
"""Seconds to wait for a transaction of another process."""
_FIRST_WINDOW = 16
_LAST_WINDOW = 4096


class Window(Generic[T]):
    """The rows of a table between two keys, kept in memory.

    It grows while keys are requested in order, as in a walk, and shrinks after a jump, so that neither a walk nor a
    single look-up reads much more than it needs. ``query`` selects rows in key order from a key on, limited to a number
    of rows.
    """

    def __init__(
        self, read: Read, query: str, columns: Sequence[Column], build: Callable[[tuple[Any, ...]], T]
    ) -> None:
        self._read = read
        self._query = query
        self._columns = columns
        self._made = build
        self.clear()

    def clear(self) -> None:
        self.rows: dict[str, T] = {}
        self._low = ""
        self._high: str | None = ""
        """The last key, or None if there are no more rows."""
        self._size = _FIRST_WINDOW

    def covers(self, key: str) -> bool:
        return bool(self._low) and self._low <= key and (self._high is None or key <= self._high)

    def get(self, key: str) -> T | None:
        if (known := self.rows.get(key)) is not None:
            return known
        if not self.covers(key):
            in_order = self._low and self._high is not None and key > self._high
            size = self._size = min(2 * self._size, _LAST_WINDOW) if in_order else _FIRST_WINDOW
            found = self._read(self._query, (key, size), self._columns)
            self.rows = {row[0]: self._made(row) for row in found}
            self._low = key
            self._high = found[-1][0] if len(found) == size else None
        return self.rows.get(key)


def hashed(row: tuple[Any, ...]) -> Hashed:
    """Returns what a row of ``HASHES`` says about its path."""
    return Hashed._make(row[1:])


def are_right(rows: Sequence[tuple[Any, ...]], columns: Sequence[Column]) -> bool:
    """Whether each column of the rows has valid values."""
    found = zip(columns, zip(*rows, strict=True), strict=bool(rows))
    return all(is_right(column) for is_right, column in found)


# A column is checked as a whole, which is fast: a walk reads a row for each file.


def all_of(*kinds: type) -> Column:
    """Returns the check that all values of a column have one of these types."""
    return lambda column: set(map(type, column)).issubset(kinds)


are_texts = all_of(str)
_are_numbers = all_of(int)


def _are_counts(column: Sequence[Any]) -> bool:
    return _are_numbers(column) and min(column) >= 0


def _are_digests(column: Sequence[Any]) -> bool:
    return are_texts(column) and are_crc32c(column)


HASH_ROW = (are_texts, _are_counts, _are_numbers, _are_numbers, _are_numbers, _are_digests, are_texts, _are_counts)
AGREED_ROW = (are_texts, _are_counts, _are_digests, _are_counts)


def known_hashes(path: Path) -> Callable[[str], Hashed | None]:
    """Returns the function that returns the hash of a path, or None, from the state file that another process has open.

    It is cheapest in path order. It creates and repairs nothing: faults raise sqlite3.Error, or ValueError for values
    that reconcile never writes, and the other process deals with them.
    """
    db = sqlite3.connect(f"{path.as_uri()}?mode=ro", timeout=BUSY_SECONDS, uri=True)
    db.text_factory = bytes.decode

    def read(sql: str, values: Sequence[object], columns: Sequence[Column]) -> list[Any]:
        rows = db.execute(sql, values).fetchall()
        if not are_right(rows, columns):
            raise ValueError("the state holds a value that reconcile never writes")
        return rows

    return Window(read, HASHES, HASH_ROW, hashed).get
