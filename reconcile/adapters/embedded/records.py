"""A record store in a folder (SQLite) or in memory that follows the rules of Firestore."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from reconcile.adapters.embedded.sqlite import EmbeddedDatabase, Query
from reconcile.core.closing import Closing
from reconcile.core.document_rules import check_document, check_id, id_problem, may_start_id, prefix_end
from reconcile.core.errors import NotThere, PreconditionFailed
from reconcile.core.moment import Moment
from reconcile.core.rows import Document

FILE_NAME = "records.sqlite3"
PAGE = 500
"""Rows that one query fetches, and ids that one query names."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
  collection TEXT NOT NULL, id TEXT NOT NULL, fields TEXT NOT NULL, updated INTEGER NOT NULL,
  PRIMARY KEY (collection, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS clock (one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL);
INSERT OR IGNORE INTO clock VALUES (1, 0);
"""

Row = tuple[str, str, int]
Change = Callable[["dict[str, Any] | None"], "dict[str, Any]"]


class EmbeddedRecordStore(Closing):
    """The documents of one collection, as a ``RecordStore``; several processes may use one folder at once."""

    def __init__(self, path: Path | None, collection: str) -> None:
        self._collection = collection
        where = "in memory" if path is None else f"in {path}"
        self._database = EmbeddedDatabase(path, (_SCHEMA,), f"the records {where}", "records.endpoint")

    @classmethod
    def open(cls, directory: Path | None, collection: str) -> Self:
        """Returns the collection in this folder, which the first write creates, or in memory if it is None."""
        return cls(None if directory is None else directory / FILE_NAME, collection)

    def close(self) -> None:
        self._database.close()

    def ids(self, prefix: str = "", *, at: Moment | None = None) -> Iterator[str]:  # noqa: ARG002
        return (name for name, _, _ in self._rows(prefix))

    def versions(self, *, at: Moment | None = None) -> Iterator[tuple[str, str]]:  # noqa: ARG002
        return ((name, _token(updated)) for name, _, updated in self._rows(""))

    def read(self, ids: Collection[str] | None = None, *, at: Moment | None = None) -> Iterator[Document]:  # noqa: ARG002
        rows = self._rows("") if ids is None else self._named(ids)
        return (self._document(row) for row in rows)

    def update(self, document: str, fields: Mapping[str, Any], *, if_update_time: str) -> str:
        """Updates a document as the port says; an update that changes nothing keeps the update time."""
        with self._database.transaction() as connection:
            row = self._row(connection, document)
            if row is None:
                raise NotThere(f"{self._name(document)} is not there any more", hint="plan again")
            if _token(row[2]) != if_update_time:
                raise PreconditionFailed(f"{self._name(document)} was written since it was read", hint="plan again")
            return self._store(connection, document, {**json.loads(row[1]), **fields}, row)

    def create(self, document: str, fields: Mapping[str, Any]) -> str:
        with self._database.transaction() as connection:
            if self._row(connection, document) is not None:
                raise PreconditionFailed(f"{self._name(document)} is there already", hint="plan again")
            return self._store(connection, document, fields, None)

    def _name(self, document: str) -> str:
        return f"{self._collection}/{document}"

    def _document(self, row: Row) -> Document:
        name, text, updated = row
        return Document(id=name, fields=json.loads(text), update_time=_token(updated))

    def _rows(self, prefix: str) -> Iterator[Row]:
        if may_start_id(prefix):
            end = prefix_end(prefix)
            within = (
                self._query("id >= ?", [prefix]) if end is None else self._query("id >= ? AND id < ?", [prefix, end])
            )
            for page in self._database.pages(*within, PAGE):
                yield from page

    def _named(self, ids: Collection[str]) -> Iterator[Row]:
        names = sorted({name for name in ids if id_problem(name) is None})
        parts = [names[first : first + PAGE] for first in range(0, len(names), PAGE)]
        yield from self._database.select(*(self._query(f"id IN ({','.join('?' * len(some))})", some) for some in parts))

    def _query(self, where: str, values: Sequence[str]) -> Query:
        query = f"SELECT id, fields, updated FROM documents WHERE collection = ? AND {where} ORDER BY id"
        return query, [self._collection, *values]

    def _row(self, connection: sqlite3.Connection, document: str) -> Row | None:
        check_id(document)
        found: Row | None = connection.execute(
            "SELECT id, fields, updated FROM documents WHERE collection = ? AND id = ?", (self._collection, document)
        ).fetchone()
        return found

    def _store(self, connection: sqlite3.Connection, document: str, fields: Mapping[str, Any], old: Row | None) -> str:
        check_document(self._name(document), fields)
        if old is not None and _canonical(json.loads(old[1])) == _canonical(fields):
            return _token(old[2])
        [now] = connection.execute(
            "UPDATE clock SET last = max(last + 1, ?) RETURNING last", (time.time_ns() // 1000,)
        ).fetchone()
        connection.execute(
            "INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?)",
            (self._collection, document, json.dumps(fields, ensure_ascii=False), now),
        )
        return _token(now)


def _canonical(fields: Mapping[str, Any]) -> str:
    """Returns a text that is equal for equal documents: maps have no order, and 1, 1.0 and true are three values."""
    return json.dumps(fields, sort_keys=True)


def _token(micros: int) -> str:
    return (_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="microseconds").replace("+00:00", "Z")
