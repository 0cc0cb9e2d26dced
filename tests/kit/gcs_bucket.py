"""A bucket on the server in process, for tests of what goes wrong: its clock, its sessions, and what is put into it."""

from __future__ import annotations

import io
from collections.abc import Callable

from crc32c import crc32c

from reconcile.adapters.gcs.store import GcsObjectStore
from reconcile.adapters.gcs.upload import Sessions
from reconcile.core.digest import encode_crc32c
from reconcile.core.rows import RemoteObject
from reconcile.ports import DesiredObject
from tests.servers.gcs import GcsServer

NAME = "anime_dance/a.mp4"

SMALL = b"small" * 100

LARGE = bytes(range(256)) * 4096 * 17


class TestClock:
    """Time that passes only while somebody waits for it."""

    __test__ = False

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def open_store(server: GcsServer, clock: TestClock, sessions: Sessions | None = None) -> GcsObjectStore:
    return GcsObjectStore("b", "anime_dance", server.url, clock=clock, sessions=sessions, page_size=10)


def put(
    store: GcsObjectStore,
    data: bytes = SMALL,
    *,
    generation: int = 0,
    found: bytes | None = None,
    progress: Callable[[int], None] | None = None,
) -> RemoteObject:
    return store.put(
        DesiredObject("a.mp4", len(data), encode_crc32c(crc32c(data)), "video/mp4", generation),
        io.BytesIO(data if found is None else found),
        progress=progress,
    )


def assert_held_once(server: GcsServer, data: bytes) -> None:
    """The server holds these bytes, and never held another generation of them."""
    assert server.world.objects("b")[NAME].data == data
    assert len(server.world.generations(NAME)) == 1


def other_writer(server: GcsServer, data: bytes = b"theirs") -> Callable[[], None]:
    def write() -> None:
        server.world.insert("b", NAME, data, {})

    return write


# --- reading


def read(store: GcsObjectStore, **options: int) -> bytes:
    return b"".join(store.read("a.mp4", **options))
