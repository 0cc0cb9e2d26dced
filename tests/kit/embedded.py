"""The embedded stores as tests have them: a bucket in memory too, and with the hand of somebody else."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any, BinaryIO, Self

from reconcile.adapters.embedded.objects import EmbeddedObjectStore, FolderBlobs
from reconcile.adapters.embedded.records import EmbeddedRecordStore
from reconcile.core.errors import NotThere
from reconcile.core.rows import RemoteObject


class MemoryBlobs(FolderBlobs):
    """Contents in a dictionary."""

    def __init__(self) -> None:
        self._bytes: dict[str, bytes] = {}

    def create(self, blob: str) -> BinaryIO:
        return io.BytesIO()

    def keep(self, blob: str, file: BinaryIO) -> None:
        file.seek(0)
        self._bytes[blob] = file.read()

    def open(self, blob: str) -> BinaryIO:
        try:
            return io.BytesIO(self._bytes[blob])
        except KeyError:
            raise FileNotFoundError(blob) from None

    def remove(self, blob: str) -> None:
        self._bytes.pop(blob, None)


class EmbeddedBucket(EmbeddedObjectStore):
    """The bucket, of whose objects somebody else may say something."""

    @classmethod
    def in_memory(cls, prefix: str) -> Self:
        """A bucket that goes with the object."""
        return cls(None, prefix, MemoryBlobs())

    def say(self, key: str, **said: Any) -> RemoteObject:
        """Sets metadata of an object by the names of the JSON API (``contentEncoding="gzip"``, ``cacheControl=…``), as
        ``gcloud storage objects update`` does for one in GCS. Raises NotThere."""
        name = self._name(key)
        with self._database.errors(), self._database.transaction() as connection:
            live = self._live(connection, name)
            if live is None:
                raise NotThere(f"{self._where} does not hold {name!r}")
            text = json.dumps({each: value for each, value in {**json.loads(live[7]), **said}.items() if value})
            query = "UPDATE objects SET said = ?, metageneration = metageneration + 1 WHERE name = ?"
            connection.execute(query, [text, name])
        return self._object((*live[:7], text, live[8] + 1))

    def said(self, key: str) -> dict[str, Any]:
        """What ``say`` has set and later writes have kept. Raises NotThere."""
        row = self._row(self._name(key))
        if row is None:
            raise NotThere(f"{self._where} does not hold {key!r}")
        said: dict[str, Any] = json.loads(row[7])
        return said


class EmbeddedRecords(EmbeddedRecordStore):
    """The records, which somebody else may write at any time."""

    def put(self, document: str, fields: Mapping[str, Any]) -> str:
        """Writes the whole document whatever was there, and returns its update time."""
        with self._database.transaction() as connection:
            return self._store(connection, document, fields, self._row(connection, document))

    def remove(self, document: str) -> None:
        """Takes the document away."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM documents WHERE collection = ? AND id = ?", (self._collection, document))

    def fields(self, document: str) -> dict[str, Any] | None:
        """All fields of the document, or None if it is not there."""
        row = next(self._named([document]), None)
        return None if row is None else json.loads(row[1])
