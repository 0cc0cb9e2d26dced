"""What GcsObjectStore makes of a bad network and a busy bucket: what the caller sees, and what the server holds."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator

import pytest

from reconcile.adapters.gcs.store import LIST_FIELDS, GcsObjectStore
from reconcile.adapters.gcs.upload import CHUNK
from reconcile.core.errors import (
    AccessDenied,
    NotThere,
    PreconditionFailed,
    Rejected,
    StoreMissing,
    StoreUnavailable,
    Uncertain,
)
from tests.kit.gcs_bucket import LARGE, NAME, SMALL, TestClock, assert_held_once, open_store, other_writer, put
from tests.servers.faults import FOREVER, Call, Fault
from tests.servers.gcs import GcsServer
from tests.servers.gcs_world import Preconditions

UPLOAD = "/upload/"


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def store(server: GcsServer, clock: TestClock) -> Iterator[GcsObjectStore]:
    with open_store(server, clock) as opened:
        yield opened


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
    with GcsObjectStore("b", "", server.url, concurrency=16) as store:
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
        with GcsObjectStore("b", "anime_dance", server.url, deadline=0.5) as store:
            put(store, body)
        assert len(server.script.calls()) == 1
        assert_held_once(server, body)


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
        GcsObjectStore("nowhere", "p", server.url, clock=clock) as store,
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
        GcsObjectStore("b", "p", server.url, clock=clock) as store,
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
            GcsObjectStore("b", "p", server.url, deadline=0.1) as store,
            pytest.raises(StoreUnavailable, match="timed out"),
        ):
            store.get("a.mp4")
    finally:
        over.set()
