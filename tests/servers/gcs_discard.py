"""A bucket that keeps no body of a resumable upload: the length and the checksum are all that is left of it.

``python -m tests.servers.gcs_discard`` serves one in a process of its own until its stdin ends, and prints its URL.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

from crc32c import crc32c

from tests.servers.gcs import GcsServer
from tests.servers.gcs_world import ApiError, Preconditions, Stored, World, check_hashes


class Sum:
    """What is left of bytes."""

    def __init__(self) -> None:
        self._length = 0
        self._crc = 0

    def __len__(self) -> int:
        return self._length

    def __iadd__(self, more: bytes) -> Self:
        self._length += len(more)
        self._crc = crc32c(more, self._crc)
        return self

    @property
    def crc32c(self) -> str:
        """As GCS writes it."""
        return base64.b64encode(self._crc.to_bytes(4, "big")).decode()


class DiscardingWorld(World):
    """Its objects have a size and a crc32c, and no bytes that could be read."""

    def begin(self, bucket: str, name: str, fields: dict[str, Any], pre: Preconditions) -> str:
        session_id = super().begin(bucket, name, fields, pre)
        self.session(session_id).received = Sum()  # type: ignore[assignment]
        return session_id

    def commit(self, session_id: str, hashes: Mapping[str, str]) -> Stored:
        session = self.session(session_id)
        received: Any = session.received
        fields = {**session.fields, **hashes}
        try:
            check_hashes({"crc32c": received.crc32c}, fields)
            del fields["crc32c"]
            empty = self.insert(session.bucket, session.name, b"", fields, session.preconditions)
        except ApiError:
            self.drop_session(session_id)
            raise
        session.finished = replace(empty, data=received, crc32c=received.crc32c)
        with self._lock:
            self._buckets[session.bucket][session.name] = session.finished
        return session.finished


def main() -> None:
    """Serves the buckets named on the command line."""
    with GcsServer() as server:
        server.world = DiscardingWorld()
        for bucket in sys.argv[1:]:
            server.world.make_bucket(bucket)
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
