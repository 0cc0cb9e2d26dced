"""A process that the system gives little memory, or no further thread: it works with less, or says so; never a bug."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconcile.adapters.firestore.store import FirestoreRecordStore
from reconcile.adapters.room import lacks, shortage
from tests.kit.small_project import LOCAL_PATH, make_project
from tests.servers.firestore import FirestoreServer
from tests.servers.gcs import GcsServer

linux = pytest.mark.skipif(sys.platform != "linux", reason="the limits are those of Linux")

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]) << 20,) * 2)
from reconcile.__main__ import main
sys.exit(main(sys.argv[2:]))
"""
THREADS = """
import sys, threading
left, start = int(sys.argv[1]), threading.Thread.start

def begin(thread):
    global left
    left -= 1
    if left < 0:
        raise RuntimeError("can't start new thread")
    start(thread)

threading.Thread.start = begin
from reconcile.__main__ import main
sys.exit(main(sys.argv[2:]))
"""

IMPORTING = """
import resource, sys
from reconcile.adapters.room import importing
from reconcile.core.errors import StoreUnavailable
with open("/proc/self/statm") as file:
    here = int(file.read().split()[0]) * resource.getpagesize()
most = resource.getrlimit(resource.RLIMIT_AS)[1]

def attempt(fails):
    try:
        with importing("storage", "gs://b"):
            if fails:
                raise ValueError("field 'target' is required")
        return "imported"
    except StoreUnavailable as error:
        assert "ulimit -v" in error.hint
        return error.message
    except ValueError as error:
        return f"ValueError: {error}"

resource.setrlimit(resource.RLIMIT_AS, (here + (int(sys.argv[1]) << 20), most))
print(attempt(fails=True))
resource.setrlimit(resource.RLIMIT_AS, (here + (1 << 30), most))
print(attempt(fails=False))
"""


FIRST = """
import resource, sys, threading
from reconcile.adapters.workers import results
from reconcile.pipeline.engine import Prefetch
with open("/proc/self/statm") as file:
    here = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (here + (int(sys.argv[1]) << 20), resource.getrlimit(resource.RLIMIT_AS)[1]))
who = lambda: threading.current_thread() is threading.main_thread()
print(all(results([who] * 9, 3)), all(Prefetch(lambda: [who()])))
"""


@pytest.fixture
def away(tmp_path: Path, firestore_server: FirestoreServer) -> Iterator[Path]:
    """A project whose stores are servers, with many files to upload, and one record to write by Google's client."""
    folder = make_project(tmp_path / "studio")
    for number in range(100):
        path = folder / "output" / "characters" / f"c{number:03}.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n%d\x00\x00\x00\x00IEND\xaeB`\x82" % number)
        os.utime(path, (1_700_000_000, 1_700_000_000))
    records = FirestoreRecordStore.open("my-project", "(default)", "characters", firestore_server.address)
    records.create("ai_hoshino", {"name": "Ai", "assets": [{"title": "primary", "anime_image": LOCAL_PATH}]})
    records.close()
    with GcsServer() as server:
        server.world.make_bucket("my-bucket")
        rules = folder / "rules" / "asset_map.toml"
        lines = [line for line in rules.read_text(encoding="utf-8").splitlines() if not line.startswith("endpoint")]
        text = "\n".join(lines).replace("[bucket]", f'[bucket]\nendpoint = "{server.url}"', 1)
        rules.write_text(text.replace("[records]", f'[records]\nendpoint = "{firestore_server.address}"', 1), "utf-8")
        yield folder


def run(code: str, limit: int, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, str(limit), "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@linux
@pytest.mark.parametrize("arguments", [("plan",), ("apply", "--yes", "--concurrency", "64")], ids=lambda each: each[0])
def test_three_hundred_mebibytes_are_enough(away: Path, arguments: tuple[str, ...]) -> None:
    done = run(LIMITED, 300, away, *arguments)
    assert done.returncode == 0, done.stderr


@linux
def test_too_little_memory_is_said_whatever_it_ends(away: Path) -> None:
    for limit in [*range(26, 62, 4), 70, 90, 120, 160]:
        done = run(LIMITED, limit, away, "apply", "--yes")
        said = done.stdout + done.stderr
        assert done.returncode == 1, (limit, said)
        assert "leaves this process less than" in said or "no memory left" in said, (limit, said)
        assert "ulimit -v" in said, (limit, said)
        assert "bug" not in said, (limit, said)
        assert "Traceback" not in said, (limit, said)


@linux
@pytest.mark.parametrize(("left", "alone"), [(8, "True True"), (200, "False False")])
def test_a_thread_is_begun_only_if_it_finds_memory(left: int, alone: str) -> None:
    """Python waits without end for one that dies of a want of memory as it begins."""
    done = subprocess.run([sys.executable, "-c", FIRST, str(left)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, alone, "")


@linux
@pytest.mark.parametrize("limit", [26, 34, 44])
def test_without_memory_for_anything_else_json_is_still_one_document(away: Path, limit: int) -> None:
    done = run(LIMITED, limit, away, "apply", "--yes", "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert (document["format"], document["code"]) == ("reconcile.error/1", "no_room")
    assert "ulimit -v" in document["hint"]


@linux
@pytest.mark.parametrize(
    ("left", "said"),
    [
        (40, ["gs://b cannot be asked: the limit of its memory leaves this process less than 64 MiB", "imported"]),
        (100, ["gs://b cannot be asked: the system has no memory left for this process"] * 2),
        (500, ["ValueError: field 'target' is required", "imported"]),
    ],
)
def test_an_import_that_ran_out_of_memory_is_not_tried_again(left: int, said: list[str]) -> None:
    command = [sys.executable, "-c", IMPORTING, str(left)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.splitlines() == said, done.stderr


@pytest.mark.parametrize("threads", [0, 1, 5])
def test_without_threads_for_googles_client_it_says_so(away: Path, threads: int) -> None:
    done = run(THREADS, threads, away, "apply", "--yes")
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert "more threads, of 8" in said
    assert "bug" not in said


@pytest.mark.parametrize("arguments", [("plan",), ("status",)], ids=lambda each: each[0])
def test_reading_needs_no_threads_of_a_client(away: Path, arguments: tuple[str, ...]) -> None:
    done = run(THREADS, 0, away, *arguments)
    assert done.returncode == 0, done.stderr


@linux
def test_a_hundred_and_twenty_mebibytes_are_enough_to_plan(away: Path) -> None:
    done = run(LIMITED, 120, away, "plan")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("arguments", [("plan",), ("apply", "--yes"), ("status",)], ids=lambda each: each[0])
def test_where_nothing_else_needs_a_thread_the_work_is_done_without(
    tmp_path: Path, threads: int, arguments: tuple[str, ...]
) -> None:
    done = run(THREADS, threads, make_project(tmp_path / "studio"), *arguments)
    assert done.returncode == 0, done.stderr


def test_there_is_room_here() -> None:
    assert lacks() == ""


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (MemoryError(), "memory"),
        (RuntimeError("can't start new thread"), "thread"),
        (ImportError("x.so: failed to map segment from shared object"), "memory"),
        (OSError(12, "Cannot allocate memory"), "memory"),
        (RuntimeError("generator raised StopIteration"), ""),
        (OSError(2, "No such file or directory"), ""),
        (ValueError("memory"), ""),
    ],
    ids=repr,
)
def test_a_shortage_is_told_from_a_bug(error: Exception, what: str) -> None:
    assert shortage(error) == what
    outer = ValueError("outer")
    outer.__cause__ = error
    assert shortage(outer) == what
