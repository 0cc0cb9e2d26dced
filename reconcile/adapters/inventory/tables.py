"""Reads the files of an inventory report: CSV, or Parquet with the extra ``parquet``."""

from __future__ import annotations

import csv
import datetime
import io
import re
from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeAlias

from reconcile.adapters.inventory.report import AGAIN
from reconcile.adapters.spill import SpillFile
from reconcile.core.errors import UsageError

Texts: TypeAlias = dict[str, str]
"""A row: the non-empty texts by column name."""

NEEDED = ("bucket", "name", "size", "crc32c", "generation", "contentType", "contentEncoding")
"""Required columns: without the last two, unknown types and encodings would look like missing ones."""
COLUMNS = frozenset((*NEEDED, "updated", "metageneration", "timeDeleted"))
PARQUET = ".parquet"
_DELIMITER = re.compile(r'"?\w+"?([^\w"\r\n])')
_ROWS_AT_ONCE = 10_000
LONGEST_LINE = 1 << 20
"""Characters. A name has 1,024 bytes at most, so a longer line is not one of a report."""


def rows_of(uri: str, chunks: Iterator[bytes], spill: Callable[[], SpillFile]) -> Iterator[Texts]:
    """Yields the rows of a file, whose format its name tells. A Parquet file is spilled first: it is read from its end.

    Raises UsageError if it cannot be read or lacks a column, and SpillError.
    """
    return _parquet_rows(uri, chunks, spill) if uri.endswith(PARQUET) else _csv_rows(uri, chunks)


def _csv_rows(uri: str, chunks: Iterator[bytes]) -> Iterator[Texts]:
    text = io.TextIOWrapper(io.BufferedReader(_Chunks(chunks)), "utf-8-sig", newline="")
    number = 1
    try:
        lines = _lines(text, uri)
        header = next(lines, "")
        found = _DELIMITER.match(header)
        delimiter = "," if found is None else found[1]
        columns = next(csv.reader([header], delimiter=delimiter), [])
        _check(columns, uri)
        wanted = [(at, name) for at, name in enumerate(columns) if name in COLUMNS]
        for row in csv.reader(lines, delimiter=delimiter, strict=True):
            number += 1
            if len(row) == len(columns):
                yield {name: row[at] for at, name in wanted if row[at]}
            elif row:
                raise UsageError(f"{uri} is torn: row {number} has {len(row)} columns, not {len(columns)}", hint=AGAIN)
    except (csv.Error, UnicodeDecodeError) as error:
        raise UsageError(f"{uri} cannot be read as CSV, from row {number} on: {error}", hint=AGAIN) from error


def _lines(text: io.TextIOWrapper, uri: str) -> Iterator[str]:
    """The lines of a file, none of which is held in memory if it has no end. Raises UsageError for such a one."""
    while line := text.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise UsageError(
                f"{uri} is not a file of a report: it has a line of {LONGEST_LINE:,} characters", hint=AGAIN
            )
        yield line


def _parquet_rows(uri: str, chunks: Iterator[bytes], spill: Callable[[], SpillFile]) -> Iterator[Texts]:
    try:
        from pyarrow import ArrowException, parquet  # an extra, and slow to import
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{uri} is a Parquet file, and there is no {error.name} to read it",
            hint="pip install 'reconcile[parquet]', or have the reports made as CSV",
        ) from error
    with spill() as file:
        for chunk in chunks:
            file.append(chunk)
        try:
            table = parquet.ParquetFile(_Seekable(file))
            names = table.schema_arrow.names
            _check(names, uri)
            wanted = [name for name in names if name in COLUMNS]
            for batch in table.iter_batches(_ROWS_AT_ONCE, columns=wanted):
                for row in batch.to_pylist():
                    yield {name: _text(value) for name, value in row.items() if value not in (None, "", b"")}
        except (ArrowException, UnicodeDecodeError, OSError) as error:
            raise UsageError(f"{uri} cannot be read as Parquet: {error}", hint=AGAIN) from error


def _check(columns: Collection[str], uri: str) -> None:
    """Raises UsageError if a column is missing."""
    lacking = [name for name in NEEDED if name not in columns]
    if lacking:
        raise UsageError(
            f"{uri} has no column {', '.join(lacking)}; its columns are {', '.join(columns)[:200] or 'not named'}",
            hint=f"have the reports made with --csv-header, and --metadata-fields that have {', '.join(NEEDED)}",
        )


def _text(value: Any) -> str:
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    return value.decode() if isinstance(value, bytes) else str(value)


class _Chunks(io.RawIOBase):
    """A file-like reader of chunks of bytes, sequential only."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


class _Seekable(io.RawIOBase):
    """A spill file as a seekable file."""

    def __init__(self, file: SpillFile) -> None:
        self._file = file
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(self._at, max(0, min(len(buffer), self._file.size - self._at)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
