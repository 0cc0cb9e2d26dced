"""The embedded bucket beyond the common suite: processes, crashes, broken folders."""

from __future__ import annotations

import io
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from crc32c import crc32c

from reconcile.adapters.embedded.objects import FILE_NAME, FOLDER_NAME, EmbeddedObjectStore
from reconcile.core.digest import encode_crc32c
from reconcile.core.errors import NotThere, PreconditionFailed, SourceChanged, StoreError, StoreUnavailable
from reconcile.core.rows import RemoteObject
from reconcile.ports import DesiredObject
from tests.kit.embedded import EmbeddedBucket
from tests.kit.windows import on_each_system  # noqa: F401

WRITER = """
import io, sys
from pathlib import Path
from crc32c import crc32c
from reconcile.adapters.embedded.objects import EmbeddedObjectStore
from reconcile.core.digest import encode_crc32c
from reconcile.core.errors import PreconditionFailed
from reconcile.ports import DesiredObject
store = EmbeddedObjectStore.open(Path(sys.argv[1]), "p")
done = 0
while done < 10:
    seen = store.get("log")
    data = b"".join(store.read("log")) + f"{sys.argv[2]}.{done};".encode()
    try:
        desired = DesiredObject("log", len(data), encode_crc32c(crc32c(data)), "text/plain", seen.generation)
        store.put(desired, io.BytesIO(data))
    except PreconditionFailed:
        continue
    done += 1
"""

DYING = """
import os, sys
from pathlib import Path
from reconcile.adapters.embedded import objects as embedded_objects
from reconcile.ports import DesiredObject

store = embedded_objects.EmbeddedObjectStore.open(Path(sys.argv[1]), "p")

class Body:
    left = 2
    def read(self, size):
        self.left -= 1
        if self.left < 0:
            os._exit(9)
        return b"x" * size

store.put(DesiredObject("dying", 1 << 30, "AAAAAA==", "text/plain", 0), Body())
"""


def put(store: EmbeddedObjectStore, key: str, data: bytes, generation: int = 0) -> RemoteObject:
    return store.put(
        DesiredObject(key, len(data), encode_crc32c(crc32c(data)), "text/plain", generation), io.BytesIO(data)
    )


def blobs(folder: Path) -> list[str]:
    return sorted(each.name for each in (folder / FOLDER_NAME).iterdir())


def test_reading_makes_no_folder(tmp_path: Path) -> None:
    store = EmbeddedObjectStore.open(tmp_path / "bucket", "p")
    assert store.get("a") is None
    assert list(store.list()) == []
    assert not (tmp_path / "bucket").exists()


def test_a_folder_outlives_the_store(tmp_path: Path) -> None:
    first = EmbeddedObjectStore.open(tmp_path, "p")
    made = put(first, "[kpop]_x.mp4", b"data")
    first.close()
    second = EmbeddedObjectStore.open(tmp_path, "p")
    assert list(second.list()) == [made]
    replaced = put(second, "[kpop]_x.mp4", b"other", made.generation)
    assert replaced.generation > made.generation
    assert b"".join(second.read("[kpop]_x.mp4")) == b"other"
    second.close()


def test_names_of_files_are_readable_and_one_for_each_object(tmp_path: Path) -> None:
    store = EmbeddedObjectStore.open(tmp_path, "p")
    first = put(store, "characters/ai hoshino.png", b"1")
    put(store, "characters/ai hoshino.png", b"2", first.generation)
    put(store, "../../escape", b"3")
    with pytest.raises(PreconditionFailed):
        put(store, "characters/ai hoshino.png", b"4")
    with pytest.raises(SourceChanged):
        store.put(DesiredObject("b", 2, "", "", 0), io.BytesIO(b"x"))
    store.close()
    assert sorted(name.partition("-")[2] for name in blobs(tmp_path)) == [
        ".._.._escape",
        "characters_ai_hoshino.png",
    ]
    assert sorted(each.name for each in tmp_path.iterdir()) == [FOLDER_NAME, FILE_NAME]


def test_generations_grow_whatever_the_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    store = EmbeddedBucket.in_memory("")
    first = put(store, "a", b"1")
    monkeypatch.setattr("time.time_ns", lambda: 0)
    assert put(store, "b", b"1").generation == first.generation + 1
    store.close()


def test_processes_share_a_folder(tmp_path: Path) -> None:
    store = EmbeddedObjectStore.open(tmp_path, "p")
    put(store, "log", b"")
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(number)]) for number in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    lines = b"".join(store.read("log")).decode().split(";")
    assert sorted(lines) == sorted([""] + [f"{writer}.{number}" for writer in range(3) for number in range(10)])
    store.close()


def test_a_writer_that_dies_leaves_no_object(tmp_path: Path) -> None:
    store = EmbeddedObjectStore.open(tmp_path, "p")
    put(store, "a", b"1")
    assert subprocess.run([sys.executable, "-c", DYING, str(tmp_path)], check=False).returncode == 9
    assert [each.key for each in store.list()] == ["a"]
    put(store, "dying", b"2")
    assert b"".join(store.read("dying")) == b"2"
    store.close()


def test_a_reader_keeps_what_it_reads_while_it_is_replaced() -> None:
    store = EmbeddedBucket.in_memory("p")
    data = bytes(600_000)
    made = put(store, "a", data)
    reader = store.read("a")
    start = next(iter(reader))
    put(store, "a", b"new", made.generation)
    assert start + b"".join(reader) == data
    store.close()


def test_a_folder_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = EmbeddedObjectStore.open(tmp_path / "file", "p")
    with pytest.raises(StoreError, match="file") as caught:
        put(store, "a", b"1")
    assert caught.value.hint
    store.close()


def test_a_database_that_is_none_says_so(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database" * 100)
    store = EmbeddedObjectStore.open(tmp_path, "p")
    with pytest.raises(StoreUnavailable, match="not a database"):
        store.get("a")
    store.close()


def test_bytes_that_somebody_deleted_are_missed(tmp_path: Path) -> None:
    store = EmbeddedObjectStore.open(tmp_path, "p")
    put(store, "a", b"1")
    for name in blobs(tmp_path):
        os.remove(tmp_path / FOLDER_NAME / name)
    with pytest.raises(StoreUnavailable, match="lost the bytes"):
        list(store.read("a"))
    store.close()


def test_it_imports_no_client() -> None:
    code = (
        "import sys; import reconcile.adapters.embedded.objects;"
        "sys.exit(any(name.split('.')[0] in ('google', 'requests', 'grpc') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


OLD_SCHEMA = """
CREATE TABLE objects (
  name TEXT PRIMARY KEY, size INTEGER NOT NULL, generation INTEGER NOT NULL, crc32c TEXT NOT NULL,
  content_type TEXT NOT NULL, updated TEXT NOT NULL, blob TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE clock (one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL);
INSERT INTO clock VALUES (1, 7);
INSERT INTO objects VALUES ('p/a', 3, 7, 'AAAAAA==', 'image/png', '2026-02-07T03:00:00.000Z', 'blob');
PRAGMA user_version = 1;
"""


def test_a_bucket_of_an_older_version_is_brought_up_once(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as old:
        old.executescript(OLD_SCHEMA)
    stores = [EmbeddedBucket.open(tmp_path, "p") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda store: store.get("a"), stores))
    assert found == [RemoteObject("a", 3, 7, "AAAAAA==", "image/png", "2026-02-07T03:00:00.000Z", "", 1)] * 8
    stores[0].say("a", contentEncoding="gzip")
    assert [store.get("a").encoding for store in stores] == ["gzip"] * 8  # type: ignore[union-attr]
    for store in stores:
        store.close()


def test_nothing_can_be_said_of_what_is_not_there(tmp_path: Path) -> None:
    store = EmbeddedBucket.open(tmp_path, "p")
    with pytest.raises(NotThere):
        store.say("a", contentEncoding="gzip")
    with pytest.raises(NotThere):
        store.said("a")
    store.close()
