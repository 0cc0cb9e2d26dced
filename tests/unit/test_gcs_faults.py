"""What GcsObjectStore makes of a bad network and a busy bucket: what the caller sees, and what the server holds."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Callable, Iterator

import pytest
from crc32c import crc32c

from reconcile.adapters.gcs.store import LIST_FIELDS, GcsObjectStore
from reconcile.adapters.gcs.upload import CHUNK, Sessions
from reconcile.core.digest import encode_crc32c
from reconcile.core.errors import (
    AccessDenied,
    Interrupted,
    NotThere,
    PreconditionFailed,
    Rejected,
    SourceChanged,
    SourceError,
    StoreMissing,
    StoreUnavailable,
    Uncertain,
)
from reconcile.core.rows import RemoteObject
from tests.servers.faults import FOREVER, Call, Fault
from tests.servers.gcs import GcsServer
from tests.servers.gcs_world import Preconditions

NAME = "anime_dance/a.mp4"
SMALL = b"small" * 100
LARGE = bytes(range(256)) * 4096 * 17
UPLOAD = "/upload/"


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


def open_store(server: GcsServer, clock: TestClock, sessions: Sessions | None = None) -> GcsObjectStore:
    return GcsObjectStore.open("b", "anime_dance", server.url, clock=clock, sessions=sessions, page_size=10)


def put(
    store: GcsObjectStore,
    data: bytes = SMALL,
    *,
    generation: int = 0,
    found: bytes | None = None,
    progress: Callable[[int], None] | None = None,
) -> RemoteObject:
    return store.put(
        "a.mp4",
        io.BytesIO(data if found is None else found),
        size=len(data),
        crc32c=encode_crc32c(crc32c(data)),
        content_type="video/mp4",
        if_generation_match=generation,
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


# --- one request, and with which words


def test_a_small_object_is_one_request_with_its_precondition_and_checksum(
    server: GcsServer, store: GcsObjectStore
) -> None:
    made = put(store)
    [call] = server.script.calls()
    assert (call.method, call.query["uploadType"], call.query["ifGenerationMatch"]) == ("POST", "multipart", "0")
    put(store, b"other", generation=made.generation)
    _, looked, replaced = server.script.calls()
    assert (looked.method, looked.query["ifGenerationMatch"]) == ("GET", str(made.generation))
    assert (replaced.method, replaced.query["ifGenerationMatch"]) == ("POST", str(made.generation))


def test_an_empty_object_is_one_request(server: GcsServer, store: GcsObjectStore) -> None:
    assert put(store, b"").size == 0
    assert [call.query["uploadType"] for call in server.script.calls()] == ["multipart"]


def test_a_large_object_goes_in_chunks_with_its_precondition(server: GcsServer, store: GcsObjectStore) -> None:
    put(store, LARGE)
    begin, *chunks = server.script.calls()
    assert (begin.query["uploadType"], begin.query["ifGenerationMatch"]) == ("resumable", "0")
    assert [call.headers["content-range"] for call in chunks] == [
        f"bytes 0-{CHUNK - 1}/{len(LARGE)}",
        f"bytes {CHUNK}-{2 * CHUNK - 1}/{len(LARGE)}",
        f"bytes {2 * CHUNK}-{len(LARGE) - 1}/{len(LARGE)}",
    ]


def test_get_is_one_request(server: GcsServer, store: GcsObjectStore) -> None:
    put(store)
    server.script.clear()
    assert store.get("a.mp4") is not None
    assert store.get("b.mp4") is None
    assert [call.method for call in server.script.calls()] == ["GET", "GET"]


def test_a_listing_asks_for_the_fields_used_and_the_next_page(server: GcsServer, store: GcsObjectStore) -> None:
    for number in range(25):
        server.world.insert("b", f"anime_dance/{number:02}", b"", {})
    assert [each.key for each in store.list()] == [f"{number:02}" for number in range(25)]
    calls = server.script.calls()
    assert len(calls) == 3
    assert {call.query["fields"] for call in calls} == {LIST_FIELDS}


def test_ranges_are_listed_once_each(server: GcsServer, store: GcsObjectStore) -> None:
    for number in range(100):
        server.world.insert("b", f"anime_dance/{number:02}", b"", {})
    listed = [each.key for each in store.list("", ("20", "40", "60", "80"))]
    assert listed == [f"{number:02}" for number in range(100)]
    assert len(server.script.calls()) == 10


def test_many_threads_share_the_connections(server: GcsServer, caplog: pytest.LogCaptureFixture) -> None:
    with GcsObjectStore.open("b", "", server.url, concurrency=16) as store:
        threads = [threading.Thread(target=store.get, args=(f"{number}",)) for number in range(16)]
        with caplog.at_level(logging.WARNING, logger="urllib3"):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert len(server.script.calls()) == 16
    assert not caplog.records


# --- writes and lost answers


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_transient_refusal_is_repeated(server: GcsServer, store: GcsObjectStore, status: int) -> None:
    server.script.add(Fault(method="POST", status=status, times=3))
    put(store)
    assert_held_once(server, SMALL)
    assert len(server.script.calls("POST")) == 4


def test_a_reset_before_the_write_is_repeated(server: GcsServer, store: GcsObjectStore) -> None:
    server.script.add(Fault(method="POST", reset=True, times=2))
    put(store)
    assert_held_once(server, SMALL)


@pytest.mark.parametrize("fault", [{"lost": True}, {"answer": 503}], ids=str)
def test_an_answer_lost_after_the_write_is_settled_by_reading(
    server: GcsServer, store: GcsObjectStore, fault: dict[str, int]
) -> None:
    server.script.add(Fault(method="POST", **fault))  # type: ignore[arg-type]
    made = put(store)
    assert_held_once(server, SMALL)
    assert made == store.get("a.mp4")
    assert [call.method for call in server.script.calls()][:3] == ["POST", "POST", "GET"]


def test_answers_lost_to_the_end_are_settled_by_reading(server: GcsServer, store: GcsObjectStore) -> None:
    first = put(store, b"first")
    server.script.add(Fault(method="POST", answer=503))
    server.script.add(Fault(method="POST", reset=True, times=FOREVER))
    made = put(store, SMALL, generation=first.generation)
    assert server.world.objects("b")[NAME].data == SMALL
    assert server.world.generations(NAME) == [first.generation, made.generation]


def test_a_lost_write_that_somebody_replaced_since_is_a_failed_precondition(
    server: GcsServer, store: GcsObjectStore
) -> None:
    server.script.add(Fault(method="POST", lost=True))
    server.script.add(Fault(method="POST", run=other_writer(server)))
    with pytest.raises(PreconditionFailed):
        put(store)
    assert server.world.objects("b")[NAME].data == b"theirs"


def test_a_write_that_only_got_resets_is_uncertain(server: GcsServer, store: GcsObjectStore) -> None:
    server.script.add(Fault(method="POST", reset=True, times=FOREVER))
    with pytest.raises(Uncertain, match=r"gs://b .*a\.mp4"):
        put(store)
    assert server.world.objects("b") == {}


def test_a_lost_write_that_cannot_be_read_back_is_uncertain(server: GcsServer, store: GcsObjectStore) -> None:
    server.script.add(Fault(method="POST", lost=True))
    server.script.add(Fault(reset=True, times=FOREVER))
    with pytest.raises(Uncertain):
        put(store)
    assert_held_once(server, SMALL)


def test_a_refusal_to_the_end_wrote_nothing(server: GcsServer, store: GcsObjectStore) -> None:
    server.script.add(Fault(method="POST", status=503, times=FOREVER))
    with pytest.raises(StoreUnavailable):
        put(store)
    assert server.world.objects("b") == {}


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=len)
def test_a_writer_that_came_first_is_not_overwritten(server: GcsServer, store: GcsObjectStore, data: bytes) -> None:
    seen = put(store, b"seen")
    server.script.add(Fault(path=UPLOAD, run=other_writer(server)))
    with pytest.raises(PreconditionFailed, match="generation"):
        put(store, data, generation=seen.generation)
    assert server.world.objects("b")[NAME].data == b"theirs"


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=len)
def test_a_writer_of_the_same_bytes_was_faster(server: GcsServer, store: GcsObjectStore, data: bytes) -> None:
    server.script.add(Fault(path=UPLOAD, run=other_writer(server, data)))
    with pytest.raises(PreconditionFailed):
        put(store, data)
    assert_held_once(server, data)


def test_an_object_that_was_deleted_since_is_not_there(server: GcsServer, store: GcsObjectStore) -> None:
    seen = put(store)
    server.world.delete("b", NAME, None, Preconditions())
    with pytest.raises(NotThere):
        put(store, b"new", generation=seen.generation)


def test_a_412_although_the_precondition_holds_is_no_conflict(server: GcsServer, store: GcsObjectStore) -> None:
    server.script.add(Fault(method="POST", status=412, reason="conditionNotMet"))
    with pytest.raises(Rejected):
        put(store)


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=len)
def test_bytes_that_changed_on_the_way_are_refused(server: GcsServer, store: GcsObjectStore, data: bytes) -> None:
    server.script.add(Fault(method="PUT" if data is LARGE else "POST", corrupt=True))
    with pytest.raises(Rejected, match="crc32c"):
        put(store, data)
    assert server.world.objects("b") == {}
    assert server.script.calls("DELETE") == []


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=len)
@pytest.mark.parametrize("lie", [{"crc32c": "AAAAAA=="}, {"size": "1"}, {"name": "x"}], ids=str)
def test_an_answer_that_tells_of_other_bytes_is_no_success(
    server: GcsServer, store: GcsObjectStore, data: bytes, lie: dict[str, str]
) -> None:
    def rewrite(body: bytes) -> bytes:
        return json.dumps(json.loads(body) | lie).encode() if body else body

    server.script.add(Fault(path=UPLOAD, rewrite=rewrite, times=FOREVER))
    with pytest.raises(Uncertain, match="different content"):
        put(store, data)
    assert server.script.calls("DELETE") == []


def test_a_slow_line_is_not_a_dead_one() -> None:
    body = bytes(CHUNK)
    with GcsServer(receive_buffer=64 * 1024) as server:
        server.world.make_bucket("b")
        server.script.add(Fault(method="POST", pace=0.01))
        with GcsObjectStore.open("b", "anime_dance", server.url, deadline=0.5) as store:
            put(store, body)
        assert len(server.script.calls()) == 1
        assert_held_once(server, body)


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
        store.put(
            "a.mp4",
            file,
            size=len(LARGE),
            crc32c=encode_crc32c(crc32c(LARGE)),
            content_type="video/mp4",
            if_generation_match=0,
        )
    assert server.world.objects("b") == {}


def test_a_file_that_cannot_be_read_is_the_sources_fault(server: GcsServer, store: GcsObjectStore) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(SourceError, match="Input/output error"):
        store.put("a.mp4", Broken(b"bytes"), size=5, crc32c="AAAAAA==", content_type="video/mp4", if_generation_match=0)
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


# --- answers that are final


@pytest.mark.parametrize("method", ["get", "list", "read", "put"])
@pytest.mark.parametrize(("status", "error"), [(403, AccessDenied), (400, Rejected), (413, Rejected)])
def test_a_final_answer_is_not_repeated(
    server: GcsServer, store: GcsObjectStore, method: str, status: int, error: type[Exception]
) -> None:
    server.script.add(Fault(status=status, reason="final", message="because", times=FOREVER))
    with pytest.raises(error, match=r"gs://b .*because"):
        ask(store, method)
    assert len(server.script.calls()) == 1


def test_who_may_not_is_told_the_role(server: GcsServer, store: GcsObjectStore) -> None:
    server.script.add(Fault(status=403, reason="forbidden"))
    with pytest.raises(AccessDenied) as caught:
        store.get("a.mp4")
    assert "roles/storage.objectUser" in caught.value.hint


def test_who_is_not_known_is_told_to_log_in(server: GcsServer, store: GcsObjectStore) -> None:
    server.script.add(Fault(status=401, reason="authError", times=FOREVER))
    with pytest.raises(AccessDenied) as caught:
        store.get("a.mp4")
    assert "gcloud auth application-default login" in caught.value.hint


def ask(store: GcsObjectStore, method: str) -> object:
    match method:
        case "get":
            return store.get("a.mp4")
        case "list":
            return list(store.list())
        case "read":
            return list(store.read("a.mp4"))
        case _:
            return put(store)


@pytest.mark.parametrize("method", ["get", "list", "read", "put"])
def test_a_bucket_that_is_not_there_is_not_an_empty_one(server: GcsServer, clock: TestClock, method: str) -> None:
    with (
        GcsObjectStore.open("nowhere", "p", server.url, clock=clock) as store,
        pytest.raises(StoreMissing, match="gs://nowhere") as caught,
    ):
        ask(store, method)
    assert "gs://nowhere" in caught.value.hint


def test_a_held_object_is_a_refusal_for_good(server: GcsServer, store: GcsObjectStore) -> None:
    held = server.world.insert("b", NAME, b"held", {"temporaryHold": True})
    with pytest.raises(Rejected, match="hold"):
        put(store, generation=held.generation)
    assert server.world.objects("b")[NAME].data == b"held"


def test_a_quota_that_says_403_is_repeated(server: GcsServer, store: GcsObjectStore) -> None:
    server.script.add(Fault(status=403, reason="rateLimitExceeded"))
    put(store)
    assert_held_once(server, SMALL)


# --- time


def test_a_pause_that_is_asked_for_is_kept(server: GcsServer, store: GcsObjectStore, clock: TestClock) -> None:
    server.script.add(Fault(status=429, headers={"Retry-After": "7"}))
    assert store.get("a.mp4") is None
    assert len(clock.pauses) == 1
    assert clock.pauses[0] >= 7


def test_a_pause_that_is_too_long_is_not_waited_for(server: GcsServer, store: GcsObjectStore, clock: TestClock) -> None:
    server.script.add(Fault(status=429, headers={"Retry-After": "3600"}, times=FOREVER))
    with pytest.raises(StoreUnavailable) as caught:
        store.get("a.mp4")
    assert "3600 s" in caught.value.hint
    assert clock.pauses == []


@pytest.mark.parametrize("method", ["get", "list", "read", "put"])
def test_a_store_that_is_down_says_so_in_time(server: GcsServer, clock: TestClock, method: str) -> None:
    server.close()
    with (
        GcsObjectStore.open("b", "p", server.url, clock=clock) as store,
        pytest.raises(StoreUnavailable, match=rf"gs://b at {server.url} .*refused"),
    ):
        ask(store, method)
    assert len(clock.pauses) > 2
    assert clock.now <= 20


def test_a_server_that_only_refuses_is_given_up_in_time(
    server: GcsServer, store: GcsObjectStore, clock: TestClock
) -> None:
    server.script.add(Fault(status=503, times=FOREVER))
    with pytest.raises(StoreUnavailable, match="503"):
        store.get("a.mp4")
    assert 5 < len(clock.pauses) < 200
    assert clock.now <= 20


def test_a_large_upload_that_gets_on_has_patience_for_each_chunk(server: GcsServer, clock: TestClock) -> None:
    def wait() -> None:
        clock.now += 15

    server.script.add(Fault(method="PUT", when=once_a_chunk(), run=wait, status=503, times=FOREVER))
    with open_store(server, clock) as store:
        put(store, LARGE)
    assert clock.now > 45
    assert_held_once(server, LARGE)


def once_a_chunk() -> Callable[[Call], bool]:
    """Matches the first time that each chunk is sent."""
    seen: set[str] = set()

    def first(call: Call) -> bool:
        span = call.headers["content-range"]
        new = "*" not in span and span not in seen
        seen.add(span)
        return new

    return first


def test_an_answer_that_never_comes(server: GcsServer) -> None:
    over = threading.Event()

    def hang() -> None:
        over.wait(10)

    server.script.add(Fault(run=hang, times=FOREVER))
    try:
        with (
            GcsObjectStore.open("b", "p", server.url, deadline=0.1) as store,
            pytest.raises(StoreUnavailable, match="timed out"),
        ):
            store.get("a.mp4")
    finally:
        over.set()


# --- listings


def fill(server: GcsServer, count: int) -> None:
    for number in range(count):
        server.world.insert("b", f"anime_dance/{number:03}", b"", {})


def test_a_page_that_fails_once_is_asked_again(server: GcsServer, store: GcsObjectStore) -> None:
    fill(server, 45)
    server.script.add(Fault(skip=1, status=503))
    server.script.add(Fault(skip=2, reset=True))
    assert [each.key for each in store.list()] == [f"{number:03}" for number in range(45)]


@pytest.mark.parametrize(("status", "error"), [(403, AccessDenied), (503, StoreUnavailable), (404, StoreMissing)])
@pytest.mark.parametrize("splits", [(), ("010", "020", "030")])
def test_a_listing_that_fails_on_a_page_is_no_short_listing(
    server: GcsServer, store: GcsObjectStore, status: int, error: type[Exception], splits: tuple[str, ...]
) -> None:
    fill(server, 45)
    server.script.add(Fault(skip=2, status=status, times=FOREVER))
    with pytest.raises(error):
        list(store.list("", splits))


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"items": [{"name": 1}]}', b'{"items": [{}]}'])
def test_an_answer_that_is_no_listing(server: GcsServer, store: GcsObjectStore, body: bytes) -> None:
    server.script.add(Fault(rewrite=lambda _: body))
    with pytest.raises(StoreUnavailable, match="listing"):
        list(store.list())


def test_a_listing_that_was_not_asked_for(server: GcsServer, store: GcsObjectStore) -> None:
    item = {"name": "elsewhere/a", "size": "1", "generation": "1"}
    server.script.add(Fault(rewrite=lambda _: json.dumps({"items": [item]}).encode()))
    with pytest.raises(StoreUnavailable, match="not asked for"):
        list(store.list())


def test_an_object_without_a_checksum_says_so(server: GcsServer, store: GcsObjectStore) -> None:
    item = {"name": NAME, "size": "1", "generation": "1"}
    server.script.add(Fault(rewrite=lambda _: json.dumps({"items": [item]}).encode()))
    assert list(store.list()) == [RemoteObject("a.mp4", 1, 1)]


def test_a_listing_that_nobody_finishes_stops(server: GcsServer, store: GcsObjectStore) -> None:
    fill(server, 200)
    listing = store.list("", ("050", "100", "150"))
    assert next(iter(listing)).key == "000"
    listing.close()  # type: ignore[attr-defined]
    assert store.get("000") is not None
    assert len(server.script.calls(path="/o")) < 20


# --- reading


def read(store: GcsObjectStore, **options: int) -> bytes:
    return b"".join(store.read("a.mp4", **options))


def test_a_download_that_breaks_goes_on_where_it_broke(server: GcsServer, store: GcsObjectStore) -> None:
    made = put(store, LARGE)
    server.script.clear()
    server.script.add(Fault(path="/download", cut=1_000_000))
    server.script.add(Fault(path="/download", status=503))
    server.script.add(Fault(path="/download", cut=3_000_000))
    assert read(store) == LARGE
    first, *others = server.script.calls()
    assert "range" not in first.headers
    assert others
    assert {call.query["generation"] for call in others} == {str(made.generation)}


def test_a_download_whose_object_is_replaced_is_not_mixed(server: GcsServer, store: GcsObjectStore) -> None:
    put(store, LARGE)
    server.script.add(Fault(path="/download", cut=1_000_000))
    server.script.add(Fault(path="/download", run=other_writer(server, LARGE[::-1])))
    with pytest.raises(NotThere):
        read(store)


def test_a_download_that_always_ends_short_fails(server: GcsServer, store: GcsObjectStore) -> None:
    put(store, LARGE)
    server.script.add(Fault(path="/download", cut=0, times=FOREVER))
    with pytest.raises(StoreUnavailable):
        read(store)


def test_a_download_from_the_middle_asks_for_the_rest_only(server: GcsServer, store: GcsObjectStore) -> None:
    put(store, LARGE)
    assert read(store, offset=len(LARGE) - 10) == LARGE[-10:]
    [call] = server.script.calls(path="/download")
    assert call.headers["range"] == f"bytes={len(LARGE) - 10}-"
