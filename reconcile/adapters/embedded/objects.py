"""An object store in a folder (SQLite and files) that follows the rules of a GCS bucket."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Self

from reconcile.adapters.descriptors import HINT, is_shortage, shortage
from reconcile.adapters.embedded.sqlite import EmbeddedDatabase
from reconcile.adapters.files import md5_of, sync_folder
from reconcile.core.closing import Closing
from reconcile.core.digest import encode_crc32c
from reconcile.core.encoding import encoding_of
from reconcile.core.errors import (
    NotThere,
    PreconditionFailed,
    ReconcileError,
    Rejected,
    SourceChanged,
    SourceError,
    StoreUnavailable,
    not_as_planned,
)
from reconcile.core.names import key_problem
from reconcile.core.rows import RemoteObject
from reconcile.ports import DesiredObject, Progress

FILE_NAME = "objects.sqlite3"
FOLDER_NAME = "objects"
PAGE = 1000
"""Rows that one query fetches."""
CHUNK = 256 * 1024
"""Bytes that are read from a file at a time."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
  name TEXT PRIMARY KEY, size INTEGER NOT NULL, generation INTEGER NOT NULL, crc32c TEXT NOT NULL,
  content_type TEXT NOT NULL, updated TEXT NOT NULL, blob TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS clock (one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL);
INSERT OR IGNORE INTO clock VALUES (1, 0);
"""
_SAID = "ALTER TABLE objects ADD COLUMN said TEXT NOT NULL DEFAULT '{}';"
_METAGENERATION = "ALTER TABLE objects ADD COLUMN metageneration INTEGER NOT NULL DEFAULT 1;"
_COLUMNS = "name, size, generation, crc32c, content_type, updated, blob, said, metageneration"

Row = tuple[str, int, int, str, str, str, str, str, int]


class FolderBlobs:
    """The content of objects as files whose names end like the object's, so that people can find them.

    A blob is complete before a row names it; one that no row names only wastes space.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(self, blob: str) -> BinaryIO:
        """Returns a new blob to write to."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return (self._folder / blob).open("xb")

    def keep(self, blob: str, file: BinaryIO) -> None:  # noqa: ARG002
        """Flushes what was written to disk."""
        file.flush()
        os.fsync(file.fileno())
        sync_folder(self._folder)

    def open(self, blob: str) -> BinaryIO:
        """Opens a blob for reading. Raises OSError if it is gone."""
        return (self._folder / blob).open("rb")

    def remove(self, blob: str) -> None:
        """Removes a blob; on Windows it stays while somebody reads it."""
        with contextlib.suppress(OSError):
            (self._folder / blob).unlink(missing_ok=True)


class EmbeddedObjectStore(Closing):
    """The objects of a bucket below a prefix, as an ``ObjectStore``; several processes may use one folder at once.

    The content is written first, complete and on disk; then one transaction checks the precondition and names it.
    """

    def __init__(self, path: Path | None, prefix: str, blobs: FolderBlobs) -> None:
        """Without a ``path``, the database is in memory."""
        self._path = path
        self._base = f"{prefix}/" if prefix else ""
        self._blobs = blobs
        self._database = EmbeddedDatabase(path, (_SCHEMA, _SAID, _METAGENERATION), self._where, "bucket.endpoint")

    @classmethod
    def open(cls, directory: Path, prefix: str) -> Self:
        """Returns the bucket in this folder, which the first write creates."""
        return cls(directory / FILE_NAME, prefix.strip("/"), FolderBlobs(directory / FOLDER_NAME))

    def close(self) -> None:
        self._database.close()

    def list(self, prefix: str = "", splits: Sequence[str] = ()) -> Iterator[RemoteObject]:  # noqa: ARG002
        """Lists as ``ObjectStore.list``; page by page, so that a slow reader holds no lock and at most a page."""
        wanted = self._base + prefix
        return self._listed(wanted, lambda name: name.startswith(wanted))

    def between(self, first: str, stop: str, prefix: str = "") -> Iterator[RemoteObject]:
        """Lists a range as ``ObjectStore.between``."""
        start, end = self._base + max(first, prefix), self._base + stop
        within = self._base + prefix
        return self._listed(start, lambda name: name.startswith(within) and (not stop or name < end))

    def _listed(self, start: str, takes: Callable[[str], bool]) -> Iterator[RemoteObject]:
        """Yields the objects from a name on, up to the first one that ``takes`` rejects."""
        while page := self._select("name >= ?", start):
            for row in page:
                if not takes(row[0]):
                    return
                yield self._object(row)
            start = page[-1][0] + "\0"

    def get(self, key: str) -> RemoteObject | None:
        row = self._row(self._name(key))
        return None if row is None else self._object(row)

    def put(self, desired: DesiredObject, body: BinaryIO, *, progress: Progress | None = None) -> RemoteObject:
        name = self._name(desired.key)
        blob = f"{uuid.uuid4().hex}-{re.sub(r'[^A-Za-z0-9._-]+', '_', desired.key)[-80:]}"
        with self._database.errors():
            try:
                with self._blobs.create(blob) as file:
                    if _copy(body, file, name, progress, desired.size) != (desired.size, desired.crc32c):
                        message = f"the file for {name!r} has changed: its bytes are not the planned ones"
                        raise SourceChanged(message, hint="plan again")
                    self._blobs.keep(blob, file)
                row, waste = self._commit(name, desired, blob)
            except (ReconcileError, OSError):
                self._blobs.remove(blob)
                raise
            if waste:
                self._blobs.remove(waste)
        return self._object(row)

    def md5(self, key: str, *, generation: int) -> str | None:
        try:
            file = self._open(self._name(key), generation)
        except NotThere:
            return None
        with file, self._database.errors():
            found = md5_of(file)
        live = self.get(key)
        return None if live is None or live.encoding else found

    def copy(self, desired: DesiredObject, source: str, *, source_generation: int) -> RemoteObject:
        with self._open(self._name(source), source_generation) as body:
            return self.put(desired, body)

    def set_type(
        self, key: str, content_type: str, *, if_generation_match: int, if_metageneration_match: int
    ) -> RemoteObject:
        name, expected = self._name(key), (if_generation_match, if_metageneration_match)
        with self._database.errors(), self._database.transaction() as connection:
            live = self._live(connection, name)
            if live is None or (live[2], live[8]) != expected:
                raise self._moved(live, name, if_generation_match, if_metageneration_match)
            stored = (*live[:4], content_type, _time(time.time_ns() // 1000), *live[6:8], live[8] + 1)
            query = "UPDATE objects SET content_type = ?, updated = ?, metageneration = ? WHERE name = ?"
            connection.execute(query, [stored[4], stored[5], stored[8], name])
        return self._object(stored)

    def read(
        self,
        key: str,
        *,
        generation: int | None = None,
        offset: int = 0,
        encoded: bool = False,  # noqa: ARG002
    ) -> Iterator[bytes]:
        """Yields content as ``ObjectStore.read``; an old generation is gone once it is replaced."""
        name = self._name(key)
        with self._open(name, generation) as file, self._database.errors():
            file.seek(offset)
            while chunk := file.read(CHUNK):
                yield chunk

    def _open(self, name: str, generation: int | None) -> BinaryIO:
        seen = -1
        while True:
            row = self._row(name)
            if row is None or generation not in (None, row[2]):
                raise NotThere(f"{self._where} does not hold {name!r} in this generation")
            try:
                return self._blobs.open(row[6])
            except OSError as error:
                if is_shortage(error):
                    message = f"{name!r} of {self._where} cannot be read: {shortage(error)}"
                    raise StoreUnavailable(message, hint=HINT) from error
                if row[2] == seen:
                    message = f"{self._where} has lost the bytes of {name!r}: {error}"
                    raise StoreUnavailable(message, hint="restore the folder, or upload to another") from error
            seen = row[2]

    def _commit(self, name: str, desired: DesiredObject, blob: str) -> tuple[Row, str]:
        """Checks the precondition and names the content, in one transaction; returns the row and the replaced blob."""
        _, size, crc32c, content_type, expected = desired
        with self._database.transaction() as connection:
            live = self._live(connection, name)
            if (live[2] if live else 0) != expected:
                raise self._moved(live, name, expected)
            [generation] = connection.execute(
                "UPDATE clock SET last = max(last + 1, ?) RETURNING last", [time.time_ns() // 1000]
            ).fetchone()
            kept = json.loads(live[7]) if live else {}
            kept.pop("contentEncoding", None)  # the new content has no encoding
            stored = (name, size, generation, crc32c, content_type, _time(generation), blob, json.dumps(kept), 1)
            connection.execute(
                f"INSERT OR REPLACE INTO objects ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", stored
            )
            return stored, live[6] if live else ""

    def _live(self, connection: sqlite3.Connection, name: str) -> Row | None:
        found: Row | None = connection.execute(f"SELECT {_COLUMNS} FROM objects WHERE name = ?", [name]).fetchone()
        return found

    def _moved(self, live: Row | None, name: str, expected: int, said: int = 0) -> PreconditionFailed:
        if live and live[2] == expected:
            message = f"the metadata of {name!r} in {self._where} has changed (metageneration {live[8]}, not {said})"
            return PreconditionFailed(message, hint="plan again")
        return not_as_planned(self._where, name, live[2] if live else 0, expected)

    @property
    def _where(self) -> str:
        return f"the bucket in {self._path.parent}" if self._path else "the bucket in memory"

    def _name(self, key: str) -> str:
        name = self._base + key
        if (problem := key_problem(name)) is not None:
            raise Rejected(f"{self._where} cannot hold {name!r}: {problem}", hint="rename the file")
        return name

    def _object(self, row: Row) -> RemoteObject:
        encoding = encoding_of(json.loads(row[7]).get("contentEncoding")) if row[7] != "{}" else ""
        return RemoteObject(row[0][len(self._base) :], *row[1:6], encoding, row[8])

    def _row(self, name: str) -> Row | None:
        return next(iter(self._select("name = ?", name)), None)

    def _select(self, where: str, value: str) -> Sequence[Row]:
        query = f"SELECT {_COLUMNS} FROM objects WHERE {where} ORDER BY name LIMIT {PAGE}"
        return self._database.select((query, [value]))


def _time(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _copy(body: BinaryIO, file: BinaryIO, name: str, progress: Progress | None, most: int) -> tuple[int, str]:
    """Copies to the end, or until more than ``most`` bytes are copied; returns the size and the crc32c."""
    from crc32c import crc32c

    size = crc = 0
    while size <= most:
        try:
            chunk = body.read(CHUNK)
        except OSError as error:
            raise SourceError(f"the file for {name!r} could not be read: {error}", hint="check the disk") from error
        if not chunk:
            break
        file.write(chunk)
        size += len(chunk)
        crc = crc32c(chunk, crc)
        if progress is not None:
            progress(len(chunk))
    return size, encode_crc32c(crc)
