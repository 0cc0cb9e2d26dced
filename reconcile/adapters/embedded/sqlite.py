"""The SQLite file of an embedded store: opened on demand, one writer at a time, with the errors of a store."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

from reconcile.core.errors import AccessDenied, StoreUnavailable

Query: TypeAlias = tuple[str, Sequence[object]]
"""A statement and its values."""
PATIENCE = 20.0
"""Seconds to wait for the transaction of another process."""


class EmbeddedDatabase:
    """A database in a file that the first write creates, or in memory (``path`` None). Thread-safe.

    ``what`` names the store in messages, ``setting`` the key of the rules file that locates it. Each of the ``steps``
    holds the statements that bring the schema to its next version.
    """

    def __init__(self, path: Path | None, steps: Sequence[str], what: str, setting: str) -> None:
        self._path = path
        self._steps = steps
        self._what = what
        self._hint = f"look at the folder's permissions and free space, or name another folder as {setting}"
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        """Closes the file; a database in memory is lost."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def select(self, *queries: Query) -> list[Any]:
        """Returns the rows of some queries, as of one moment; none if the file was never written."""
        with self._lock, self.errors():
            if not self._is_made:
                return []
            with _committed(self._connect(), "BEGIN") as connection:
                return [row for query, values in queries for row in connection.execute(query, values)]

    def pages(self, query: str, values: Sequence[object], size: int) -> Iterator[list[Any]]:
        """Yields the rows of a query as of one moment, ``size`` at a time.

        If there are more, they are copied first, so that a slow reader holds no lock and at most a page.
        """
        copied = f"temp.copied_{next(self._numbers)}"
        with self._lock, self.errors():
            if not self._is_made:
                return
            with _committed(self._connect(), "BEGIN") as connection:
                page = connection.execute(f"{query} LIMIT {size}", values).fetchall()
                more = len(page) == size
                if more:
                    connection.execute(f"CREATE TABLE {copied} AS {query} LIMIT -1 OFFSET {size}", values)
        yield page
        if not more:
            return
        try:
            at = 0
            while page := self.select((f"SELECT * FROM {copied} WHERE rowid > ? ORDER BY rowid LIMIT {size}", [at])):
                at += len(page)
                yield page
        finally:
            with suppress(StoreUnavailable), self._lock, self.errors():
                self._connect().execute(f"DROP TABLE IF EXISTS {copied}")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Allows one writer at a time, across threads and processes; its writes are atomic."""
        with self._lock, self.errors():
            connection = self._connect()
            with _committed(connection):
                yield connection

    @property
    def _is_made(self) -> bool:
        return self._path is None or self._path.exists()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns errors of SQLite and the system into AccessDenied and StoreUnavailable."""
        try:
            yield
        except PermissionError as error:
            raise AccessDenied(f"{self._what} may not be touched: {error}", hint=self._hint) from error
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"{self._what} cannot be used: {error}", hint=self._hint) from error

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                self._path or ":memory:", timeout=PATIENCE, isolation_level=None, check_same_thread=False
            )
            self._bring_up(connection)
            self._connection = connection
        return self._connection

    def _bring_up(self, connection: sqlite3.Connection) -> None:
        """Brings the schema to its newest version; another process may be doing the same."""
        if self._version(connection) >= len(self._steps):
            return
        with _committed(connection):
            for version, step in enumerate(self._steps[self._version(connection) :], self._version(connection) + 1):
                for statement in filter(str.strip, step.split(";")):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version}")

    @staticmethod
    def _version(connection: sqlite3.Connection) -> int:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        return version


@contextmanager
def _committed(connection: sqlite3.Connection, begin: str = "BEGIN IMMEDIATE") -> Iterator[sqlite3.Connection]:
    """Commits everything that is written meanwhile, or nothing; reads are of one moment."""
    connection.execute(begin)
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
