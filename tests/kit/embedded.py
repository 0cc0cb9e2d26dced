"""The embedded bucket as tests have it: in memory too, and with the hand of somebody else."""

from __future__ import annotations

import io
import json
from typing import Any, BinaryIO, Self

from reconcile.adapters.embedded.objects import EmbeddedObjectStore, FolderBlobs
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
        page = self._select("name = ?", self._name(key))
        if not page:
            raise NotThere(f"{self._where} does not hold {key!r}")
        said: dict[str, Any] = json.loads(page[0][7])
        return said
