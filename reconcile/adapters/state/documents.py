"""Documents as last read: those that have not changed since are not read again. Losing them costs only time."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from reconcile.adapters.state.database import Layout, StateDatabase
from reconcile.adapters.state.folder import StateFolder
from reconcile.adapters.state.tables import all_of, are_texts
from reconcile.core.closing import Closing
from reconcile.core.moment import Moment
from reconcile.core.opaque import Opaque
from reconcile.core.rows import Document
from reconcile.ports import RecordStore

FEW = 300
"""Documents that are always read whole, which takes one request."""
_ASKED_TOGETHER = 500  # SQLite allows at least 999 values in a query
_READ_TOGETHER = 300
_LARGEST = 512 * 1024
"""Bytes. A larger document is not remembered."""
_KEPT_TOGETHER = 4 * 1024 * 1024
_OPAQUE = 1

# Not WITHOUT ROWID: a row as large as a document would occupy a page of 4 KiB of its own. Another process may have made
# the table meanwhile.
_TABLE = """
CREATE TABLE IF NOT EXISTS documents (place TEXT, id TEXT, update_time TEXT, fields BLOB, checksum INTEGER,
                                      UNIQUE (place, id));
"""
LAYOUT = Layout("documents.db", ("documents",), _TABLE, 2, f"DROP TABLE IF EXISTS documents; {_TABLE}")


def _packed(value: Any) -> msgspec.msgpack.Ext:
    if isinstance(value, Opaque):
        return msgspec.msgpack.Ext(_OPAQUE, value.text.encode())
    raise NotImplementedError


def _unpacked(_code: int, data: memoryview) -> Opaque:
    return Opaque(bytes(data).decode())


def _checksum(name: str, time: str, data: bytes) -> int:
    """Returns the checksum that tells what was written from what a failing disk gives back."""
    return zlib.crc32(data, zlib.crc32(f"{name} {time}".encode()))


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_packed)
_DECODER = msgspec.msgpack.Decoder(dict[str, Any], ext_hook=_unpacked)


class RememberedDocuments(Closing):
    """All documents of a store as of one moment.

    If there are more than a few, those whose update time is unchanged since they were last read come from memory.
    """

    def __init__(self, records: RecordStore, place: str, project: Path) -> None:
        """``place`` identifies the collection by project, database and server."""
        self._records = records
        self.place = place
        self._project = project
        self._opened: StateDatabase | None = None
        self._fresh: list[tuple[str, str, str, bytes, int]] = []
        self._size = 0

    def close(self) -> None:
        if self._opened is not None:
            self._opened.connection.close()

    @property
    def _database(self) -> StateDatabase:
        self._opened = self._opened or StateDatabase(self._project, layout=LAYOUT)
        return self._opened

    @property
    def warnings(self) -> tuple[str, ...]:
        """The problems so far, for people."""
        return () if self._opened is None else tuple(self._opened.warnings)

    def read(self, at: Moment) -> Iterator[Document]:
        """Yields all documents. Raises as ``RecordStore.read``.

        Call ``forget_others`` afterwards, to drop those that no longer exist.
        """
        yield from self._moved(at) if self._count() > FEW else self._whole(at)
        self._flush()

    def forget_others(self, ids: Collection[str]) -> None:
        """Forgets all documents except these."""
        if self._count() <= len(ids):
            return
        last, gone = "", list[tuple[str, str]]()
        query = "SELECT id FROM documents WHERE place = ? AND id > ? ORDER BY id LIMIT ?"
        while page := self._database.read(query, (self.place, last, _ASKED_TOGETHER), (are_texts,)):
            gone += ((self.place, name) for (name,) in page if name not in ids)
            last = page[-1][0]
        self._database.write("DELETE FROM documents WHERE place = ? AND id = ?", gone)

    def _whole(self, at: Moment) -> Iterator[Document]:
        first: list[Document] = []
        for count, document in enumerate(self._records.read(at=at)):
            yield document
            if count < FEW:
                first.append(document)
                continue
            for each in (*first, document):
                self._keep(each)
            first = []

    def _moved(self, at: Moment) -> Iterator[Document]:
        versions = self._records.versions(at=at)
        moved: list[str] = []
        while some := dict(islice(versions, _ASKED_TOGETHER)):
            known = self._known(some)
            yield from known.values()
            moved += (name for name in some if name not in known)
            while len(moved) >= _READ_TOGETHER:
                yield from self._read(moved[:_READ_TOGETHER], at)
                del moved[:_READ_TOGETHER]
        yield from self._read(moved, at)

    def _read(self, names: Sequence[str], at: Moment) -> Iterator[Document]:
        for document in self._records.read(names, at=at) if names else ():
            self._keep(document)
            yield document

    def _known(self, versions: dict[str, str]) -> dict[str, Document]:
        """Returns the remembered documents among these names that still have these update times."""
        places = ",".join("?" * len(versions))
        query = f"SELECT id, update_time, fields, checksum FROM documents WHERE place = ? AND id IN ({places})"
        columns = (are_texts, are_texts, all_of(bytes), all_of(int))
        found: dict[str, Document] = {}
        for name, time, data, checksum in self._database.read(query, (self.place, *versions), columns):
            if time == versions[name] and checksum == _checksum(name, time, data):
                try:
                    found[name] = Document(name, _DECODER.decode(data), time)
                except (ValueError, RecursionError):  # another version of this program wrote it; it is read again
                    continue
        return found

    def _count(self) -> int:
        if self._opened is None and not (StateFolder(self._project).path / LAYOUT.name).exists():
            return 0
        query = "SELECT COUNT(*) FROM documents WHERE place = ?"
        found = self._database.read(query, (self.place,), (lambda _: True,))
        return int(found[0][0]) if found else 0

    def _keep(self, document: Document) -> None:
        try:
            data = _ENCODER.encode(document.fields)
        except (ValueError, TypeError, NotImplementedError, OverflowError, RecursionError):
            return  # not remembered, so it is read again
        if len(data) <= _LARGEST:
            name, time = document.id, document.update_time
            self._fresh.append((self.place, name, time, data, _checksum(name, time, data)))
            self._size += len(data)
        if self._size > _KEPT_TOGETHER:
            self._flush()

    def _flush(self) -> None:
        if self._fresh:
            self._database.write("INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?, ?)", self._fresh)
        self._fresh, self._size = [], 0
