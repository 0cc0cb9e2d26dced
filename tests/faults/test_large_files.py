"""A large upload and the death of its process: it goes on at the last confirmed byte, if the file is still the one that
was planned and only then. And the memory that a large file takes, which is that of a small one."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from reconcile.__main__ import main
from reconcile.adapters.gcs.upload import CHUNK
from reconcile.core.width import MOST
from tests.benchmarks.large_file import MIB, large_file, measured
from tests.kit.bench_project import BUCKET, Bench, Held, kill, settled
from tests.servers.faults import Fault
from tests.servers.gcs import GcsServer
from tests.servers.gcs_discard import DiscardingWorld
from tests.servers.gcs_world import Preconditions

VIDEO = "dances/dance_rem_01.mp4"
DATA = b"".join(bytes([number + 1]) * MIB for number in range(17)) + b"end"
OTHER = b"".join(bytes([255 - number]) * MIB for number in range(17)) + b"END"


@pytest.fixture
def server() -> Iterator[GcsServer]:
    with GcsServer() as started:
        yield started


@pytest.fixture
def bench(tmp_path: Path, server: GcsServer) -> Bench:
    """A video of three chunks, and the record to set."""
    made = Bench(tmp_path / "studio", server)
    made.file(VIDEO, DATA)
    made.record("rem", dance_video=made.windows(VIDEO))
    return made


def killed(bench: Bench, *arguments: str, chunk: int = 1) -> None:
    """A run that gets SIGKILL while the server has this chunk, and the ones before it, but has confirmed only those."""
    assert bench.server is not None
    held = Held(bench.server, method="PUT", skip=chunk, times=1, status=503)
    run = bench.start("apply", "--yes", "--quiet", *arguments)
    held.wait(1)
    kill(run)
    held.release()
    assert bench.held() == {}
    assert bench.fields("rem")["dance_video"] == bench.windows(VIDEO)
    bench.server.script.clear()


def apply(bench: Bench, *arguments: str) -> int:
    """The exit code of an apply in this process."""
    return main(["-C", str(bench.folder), "apply", "--yes", "--quiet", *arguments])


def plan(bench: Bench, path: str) -> int:
    """The exit code of saving a plan."""
    return main(["-C", str(bench.folder), "plan", "--quiet", "--out", path])


def sent(server: GcsServer) -> int:
    """The bytes that the server was sent in chunks."""
    return sum(int(call.headers["content-length"]) for call in server.script.calls("PUT"))


def opened(server: GcsServer) -> int:
    """How many sessions were opened."""
    return len(server.script.calls("POST"))


def right(bench: Bench, data: bytes = DATA) -> None:
    """The bucket holds these bytes and the record names them; there is nothing to do."""
    assert bench.held() == {VIDEO: data}
    assert bench.fields("rem")["dance_video"] == bench.uri(VIDEO)
    settled(bench, {VIDEO: data})


def test_a_killed_upload_goes_on_at_the_last_confirmed_byte(bench: Bench, server: GcsServer) -> None:
    killed(bench)
    done = bench.run("apply", "--yes", "--json")
    assert (done.code, done.document["status"]) == (0, "success")
    assert sent(server) == len(DATA) - CHUNK
    assert opened(server) == 0
    right(bench)


def test_an_upload_that_is_killed_at_each_chunk_sends_each_confirmed_byte_once(bench: Bench, server: GcsServer) -> None:
    total = 0
    for chunk in (1, 2):  # the first call of a run that goes on asks how much is there
        held = Held(server, method="PUT", skip=chunk, times=1, status=503)
        run = bench.start("apply", "--yes", "--quiet")
        held.wait(1)
        kill(run)
        held.release()
        total += sent(server) - int(server.script.calls("PUT")[-1].headers["content-length"])
        server.script.clear()
    assert apply(bench) == 0
    assert total + sent(server) == len(DATA)
    right(bench)


def test_a_file_that_changed_since_the_kill_is_uploaded_in_a_session_of_its_own(
    bench: Bench, server: GcsServer
) -> None:
    killed(bench)
    [old] = server.world.session_ids()
    bench.file(VIDEO, OTHER)
    assert apply(bench) == 0
    assert (opened(server), sent(server)) == (1, len(OTHER))
    assert server.world.session(old).finished is None
    right(bench, OTHER)


def test_a_saved_plan_is_stale_for_a_file_that_changed_since_the_kill(
    bench: Bench, server: GcsServer, tmp_path: Path
) -> None:
    saved = str(tmp_path / "plan.json")
    assert plan(bench, saved) == 0
    killed(bench, saved)
    [old] = server.world.session_ids()
    bench.file(VIDEO, OTHER)
    assert apply(bench, saved) == 3
    assert bench.held() == {}
    assert server.world.session(old).finished is None
    assert apply(bench) == 0
    right(bench, OTHER)


def test_a_session_that_got_other_bytes_than_the_planned_ones_is_never_finished(
    bench: Bench, server: GcsServer, tmp_path: Path
) -> None:
    """The file is edited before the upload, and put back after the kill: only the server knows what it was sent."""
    saved = str(tmp_path / "plan.json")
    assert plan(bench, saved) == 0
    bench.file(VIDEO, OTHER)
    killed(bench, saved)
    [old] = server.world.session_ids()
    bench.file(VIDEO, DATA)
    assert apply(bench, saved) == 0
    assert old not in server.world.session_ids()
    assert opened(server) == 1
    right(bench)


@pytest.mark.parametrize("status", [404, 410])
def test_an_expired_session_starts_over(bench: Bench, server: GcsServer, status: int) -> None:
    killed(bench)
    server.script.add(Fault(method="PUT", status=status, reason="notFound"))
    assert apply(bench) == 0
    assert opened(server) == 1
    right(bench)


def test_a_session_that_expires_while_it_is_used_starts_over(bench: Bench, server: GcsServer) -> None:
    server.script.add(Fault(method="PUT", skip=2, status=410, reason="gone"))
    assert apply(bench) == 0
    assert opened(server) == 2
    right(bench)


def test_a_remembered_session_on_another_host_is_not_followed(bench: Bench, server: GcsServer) -> None:
    killed(bench)
    with GcsServer() as elsewhere:
        with closing(sqlite3.connect(bench.folder / ".reconcile" / "state.db")) as state, state:
            changed = state.execute("UPDATE sessions SET uri = replace(uri, ?, ?)", (server.url, elsewhere.url))
            assert changed.rowcount == 1
        assert apply(bench) == 0
        assert elsewhere.script.calls() == []
    assert opened(server) == 1
    right(bench)


def test_a_server_that_opens_its_sessions_on_another_host_gets_the_bytes_itself(
    bench: Bench, server: GcsServer
) -> None:
    with GcsServer() as elsewhere:
        server.url = elsewhere.url
        assert apply(bench) == 0
        assert elsewhere.script.calls() == []
    right(bench)


def test_without_its_memory_a_killed_upload_starts_over(bench: Bench, server: GcsServer) -> None:
    killed(bench)
    (bench.folder / ".reconcile" / "state.db").unlink()
    assert apply(bench) == 0
    assert (opened(server), sent(server)) == (1, len(DATA))
    right(bench)


def test_a_file_of_another_length_is_not_sent_at_all(
    bench: Bench, server: GcsServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    saved = str(tmp_path / "plan.json")
    assert plan(bench, saved) == 0
    bench.file(VIDEO, DATA + b"more")
    assert apply(bench, saved) == 3
    assert f"stale  upload  {VIDEO}: " in (told := capfd.readouterr().out)
    assert f"it has {len(DATA) + 4} bytes, not the planned {len(DATA)}" in told
    assert (opened(server), sent(server)) == (0, 0)


# -- memory


@pytest.mark.skipif(sys.platform == "win32", reason="the peak is measured as POSIX tells it")
def test_a_large_file_takes_no_more_memory_than_a_small_one(tmp_path: Path, server: GcsServer) -> None:
    server.world = DiscardingWorld()
    small, large = (uploaded(tmp_path / f"{size}", server, size) for size in (9 * MIB, 256 * MIB))
    assert large < 150 * MIB
    assert large - small < 16 * MIB


@pytest.mark.skipif(sys.platform == "win32", reason="the peak is measured as POSIX tells it")
def test_as_many_large_files_at_once_as_there_may_be_fit_into_the_memory_of_a_run(
    tmp_path: Path, server: GcsServer
) -> None:
    server.world = DiscardingWorld()
    bench, keys = Bench(tmp_path, server), [f"dances/dance_rem_{number:02}.mp4" for number in range(MOST)]
    for key in keys:
        large_file(bench.root / key, CHUNK + MIB)
    run = measured(bench.folder, "apply", "--yes", "--json", "--concurrency", str(MOST))
    assert (run.code, json.loads(run.out)["bytes"]) == (0, MOST * (CHUNK + MIB))
    assert run.peak < 150 * MIB


def uploaded(folder: Path, server: GcsServer, size: int) -> int:
    """The peak of the memory of a run that hashes a file of this size and uploads it, in bytes."""
    bench = Bench(folder, server)
    large_file(bench.root / VIDEO, size)
    bench.record("rem", dance_video=bench.windows(VIDEO))
    run = measured(bench.folder, "apply", "--yes", "--json")
    assert (run.code, json.loads(run.out)["bytes"]) == (0, size)
    [stored] = server.world.objects(BUCKET).values()
    assert len(stored.data) == size
    server.world.delete(BUCKET, stored.name, None, Preconditions())
    return run.peak
