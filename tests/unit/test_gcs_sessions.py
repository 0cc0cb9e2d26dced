"""Large uploads to GCS: what fails in the middle, and what a killed run has left goes on where it stopped."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import pytest
from crc32c import crc32c

from reconcile.adapters.gcs.store import GcsObjectStore
from reconcile.adapters.gcs.upload import CHUNK
from reconcile.core.digest import encode_crc32c
from reconcile.core.errors import (
    Interrupted,
    PreconditionFailed,
    SourceChanged,
    SourceError,
    StoreUnavailable,
)
from reconcile.ports import DesiredObject
from tests.kit.gcs_bucket import LARGE, NAME, TestClock, assert_held_once, open_store, other_writer, put
from tests.servers.faults import FOREVER, Fault
from tests.servers.gcs import GcsServer


class KeptSessions:
    """Upload sessions that outlive a store, as they do in a file."""

    def __init__(self) -> None:
        self.uris: dict[tuple[str, str, int], str] = {}

    def get(self, key: str, crc32c: str, size: int) -> str | None:
        return self.uris.get((key, crc32c, size))

    def put(self, key: str, crc32c: str, size: int, uri: str) -> None:
        self.uris[key, crc32c, size] = uri

    def drop(self, key: str, crc32c: str, size: int) -> None:
        self.uris.pop((key, crc32c, size), None)


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def store(server: GcsServer, clock: TestClock) -> Iterator[GcsObjectStore]:
    with open_store(server, clock) as opened:
        yield opened


# --- resumable uploads


@pytest.mark.parametrize(
    "fault",
    [{"status": 503}, {"reset": True}, {"lost": True}, {"answer": 503}, {"persist": 256 * 1024}, {"persist": 0}],
    ids=str,
)
@pytest.mark.parametrize("chunk", [0, 1, 2])
def test_a_chunk_that_fails_is_made_good(
    server: GcsServer, store: GcsObjectStore, chunk: int, fault: dict[str, int]
) -> None:
    moved: list[int] = []
    server.script.add(Fault(method="PUT", skip=chunk, **fault))  # type: ignore[arg-type]
    made = put(store, LARGE, progress=moved.append)
    assert_held_once(server, LARGE)
    assert made == store.get("a.mp4")
    assert sum(moved) == len(LARGE)
    assert len(server.script.calls("POST")) == 1


def test_only_the_part_that_is_missing_is_sent_again(server: GcsServer, store: GcsObjectStore) -> None:
    server.script.add(Fault(method="PUT", persist=256 * 1024))
    put(store, LARGE)
    assert server.script.calls("PUT")[1].headers["content-range"].startswith(f"bytes {256 * 1024}-")


@pytest.mark.parametrize("fault", [{"status": 503}, {"reset": True}, {"lost": True}], ids=str)
def test_an_opening_that_fails_is_repeated(server: GcsServer, store: GcsObjectStore, fault: dict[str, int]) -> None:
    server.script.add(Fault(method="POST", **fault))  # type: ignore[arg-type]
    put(store, LARGE)
    assert_held_once(server, LARGE)


@pytest.mark.parametrize("status", [404, 410, 499])
def test_a_session_that_is_gone_is_opened_anew(server: GcsServer, store: GcsObjectStore, status: int) -> None:
    server.script.add(Fault(method="PUT", skip=1, status=status))
    put(store, LARGE)
    assert_held_once(server, LARGE)
    assert len(server.script.calls("POST")) == 2


def test_sessions_that_are_always_gone_are_given_up(server: GcsServer, store: GcsObjectStore) -> None:
    server.script.add(Fault(method="PUT", status=410, times=FOREVER))
    with pytest.raises(StoreUnavailable, match="session"):
        put(store, LARGE)
    assert len(server.script.calls("POST")) == 4


def test_a_final_chunk_whose_answers_are_all_lost_is_settled(server: GcsServer, store: GcsObjectStore) -> None:
    server.script.add(Fault(method="PUT", skip=2, lost=True))
    server.script.add(Fault(method="PUT", skip=2, reset=True, times=FOREVER))
    put(store, LARGE)
    assert_held_once(server, LARGE)


def test_an_upload_that_dies_in_the_middle_wrote_nothing(server: GcsServer, store: GcsObjectStore) -> None:
    server.script.add(Fault(method="PUT", skip=1, reset=True, times=FOREVER))
    with pytest.raises(StoreUnavailable):
        put(store, LARGE)
    assert server.world.objects("b") == {}


def test_a_412_at_the_opening(server: GcsServer, store: GcsObjectStore) -> None:
    other_writer(server)()
    server.script.add(Fault(method="POST", status=412, reason="conditionNotMet"))
    with pytest.raises(PreconditionFailed):
        put(store, LARGE)
    assert server.script.calls("PUT") == []


def interrupt_after(limit: int) -> Callable[[int], None]:
    """Progress that stops the process, as it were, once so many bytes were moved."""
    moved = 0

    def progress(step: int) -> None:
        nonlocal moved
        moved += step
        if moved > limit:
            raise Interrupted("stopped")

    return progress


@pytest.fixture
def interrupted(server: GcsServer, clock: TestClock) -> KeptSessions:
    """An upload of LARGE that was killed in its second chunk."""
    sessions = KeptSessions()
    with open_store(server, clock, sessions) as store, pytest.raises(Interrupted):
        put(store, LARGE, progress=interrupt_after(CHUNK))
    assert len(sessions.uris) == 1
    return sessions


def test_a_killed_upload_goes_on_where_it_stopped(
    server: GcsServer, clock: TestClock, interrupted: KeptSessions
) -> None:
    moved: list[int] = []
    with open_store(server, clock, interrupted) as store:
        put(store, LARGE, progress=moved.append)
    assert_held_once(server, LARGE)
    assert len(server.script.calls("POST")) == 1
    ranges = [call.headers["content-range"].split("/")[0] for call in server.script.calls("PUT")]
    assert ranges.count("bytes *") == 1
    assert ranges.count(f"bytes 0-{CHUNK - 1}") == 1
    assert ranges[-1] == f"bytes {2 * CHUNK}-{len(LARGE) - 1}"
    assert sum(moved) == len(LARGE)
    assert interrupted.uris == {}


def test_a_remembered_session_that_is_gone_starts_over(
    server: GcsServer, clock: TestClock, interrupted: KeptSessions
) -> None:
    for session_id in server.world.session_ids():
        server.world.drop_session(session_id)
    with open_store(server, clock, interrupted) as store:
        put(store, LARGE)
    assert_held_once(server, LARGE)


def test_a_remembered_session_with_other_bytes_starts_over(
    server: GcsServer, clock: TestClock, interrupted: KeptSessions
) -> None:
    [session_id] = server.world.session_ids()
    server.world.session(session_id).received[5] ^= 1
    with open_store(server, clock, interrupted) as store:
        put(store, LARGE)
    assert_held_once(server, LARGE)
    assert interrupted.uris == {}


def test_a_remembered_session_that_is_finished_is_success(
    server: GcsServer, clock: TestClock, interrupted: KeptSessions
) -> None:
    kept = dict(interrupted.uris)
    with open_store(server, clock, interrupted) as store:
        made = put(store, LARGE)
    interrupted.uris.update(kept)
    with open_store(server, clock, interrupted) as store:
        assert put(store, LARGE) == made
    assert_held_once(server, LARGE)


def test_a_session_is_not_used_for_another_precondition(
    server: GcsServer, clock: TestClock, interrupted: KeptSessions
) -> None:
    other_writer(server)()
    live = server.world.objects("b")[NAME].generation
    with open_store(server, clock, interrupted) as store:
        put(store, LARGE, generation=live)
    assert server.world.objects("b")[NAME].data == LARGE
    assert len(server.script.calls("POST")) == 2


def test_a_remembered_session_elsewhere_is_not_followed(
    server: GcsServer, clock: TestClock, interrupted: KeptSessions
) -> None:
    with GcsServer() as elsewhere:
        for key, uri in list(interrupted.uris.items()):
            interrupted.uris[key] = uri.replace(server.url, elsewhere.url)
        with open_store(server, clock, interrupted) as store:
            put(store, LARGE)
        assert elsewhere.script.calls() == []
    assert_held_once(server, LARGE)


def test_a_file_that_changed_drops_its_session(server: GcsServer, clock: TestClock, interrupted: KeptSessions) -> None:
    with open_store(server, clock, interrupted) as store, pytest.raises(SourceChanged):
        put(store, LARGE, found=LARGE[:-1] + b"!")
    assert interrupted.uris == {}
    assert server.world.objects("b") == {}


def test_a_file_that_changes_during_the_upload(server: GcsServer, store: GcsObjectStore) -> None:
    file = io.BytesIO(LARGE)

    def edit() -> None:
        file.getbuffer()[-1] ^= 1

    server.script.add(Fault(method="PUT", skip=1, run=edit))
    with pytest.raises(SourceChanged):
        store.put(DesiredObject("a.mp4", len(LARGE), encode_crc32c(crc32c(LARGE)), "video/mp4", 0), file)
    assert server.world.objects("b") == {}


def test_a_file_that_cannot_be_read_is_the_sources_fault(server: GcsServer, store: GcsObjectStore) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(SourceError, match="Input/output error"):
        store.put(DesiredObject("a.mp4", 5, "AAAAAA==", "video/mp4", 0), Broken(b"bytes"))
    assert server.world.objects("b") == {}


def test_a_session_uri_is_in_no_message(server: GcsServer, store: GcsObjectStore) -> None:
    # A refused connection is the one whose exception tells the whole URL.
    server.script.add(Fault(method="PUT", run=server.close, lost=True))
    with pytest.raises(StoreUnavailable, match="refused") as caught:
        put(store, LARGE)
    [session_id] = server.world.session_ids()
    error: BaseException | None = caught.value
    while error is not None:
        assert session_id not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
