"""What GcsObjectStore makes of a server that answers without end, too slowly, or as no bucket does."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reconcile.adapters.gcs.store import EMPTY_PAGES, GcsObjectStore
from reconcile.adapters.gcs.upload import CHUNK
from reconcile.adapters.pace import FLOOR, LONGEST_ANSWER, Paced
from reconcile.adapters.retry import seconds_asked
from reconcile.core.digest import encode_crc32c
from reconcile.core.errors import StoreError, StoreUnavailable, Uncertain
from reconcile.ports import DesiredObject
from tests.servers.clock import SkippingClock
from tests.servers.faults import FOREVER, Fault
from tests.servers.gcs import GcsServer
from tests.servers.raw import Endless, RawServer, answer

SHORT = 0.3
LARGE = bytes(range(256)) * 4096 * 17


@pytest.fixture
def store(server: GcsServer) -> Iterator[GcsObjectStore]:
    with GcsObjectStore("b", "p", server.url, clock=SkippingClock(), page_size=2) as opened:
        yield opened


def resource(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "size": "1", "generation": "7", "crc32c": "AAAAAA==", "updated": ""} | fields


def pages_of(server: GcsServer, answers: Iterator[dict[str, Any]]) -> None:
    """Lists what these answers say, one page each."""
    server.script.add(
        Fault(method="GET", path="/b/b/o", status=200, body=lambda: json.dumps(next(answers)).encode(), times=FOREVER)
    )


# --- every listing ends


@pytest.mark.parametrize(
    ("pages", "said"),
    [
        (lambda _: {"nextPageToken": "t"}, "same page token"),
        (lambda n: {"nextPageToken": "AB"[n % 2]}, "same page token"),
        (lambda n: {"nextPageToken": str(n)}, f"{EMPTY_PAGES} pages"),
        (lambda n: {"items": [], "nextPageToken": str(n)}, f"{EMPTY_PAGES} pages"),
        (lambda _: {"items": [resource("p/a")], "nextPageToken": "t"}, "order|same page token"),
        (lambda n: {"items": [resource(f"p/{n:06}")], "nextPageToken": "t"}, "same page token"),
        (lambda n: {"items": [resource(f"p/{'ab'[n % 2]}")], "nextPageToken": str(n)}, "order"),
        (lambda _: {"items": [resource("p/b"), resource("p/a")]}, "order"),
        (lambda _: {"items": [resource("p/b"), resource("p/b")]}, "order"),
        (lambda _: {"items": [resource("elsewhere/b")]}, "not requested"),
    ],
    ids=itertools.count(),
)
def test_a_listing_that_does_not_come_further_is_an_error_of_the_store(
    server: GcsServer, store: GcsObjectStore, pages: Callable[[int], dict[str, Any]], said: str
) -> None:
    pages_of(server, map(pages, itertools.count()))
    with pytest.raises(StoreUnavailable, match=said) as caught:
        list(store.list())
    assert "gs://b" in caught.value.message
    assert len(server.script.calls()) <= EMPTY_PAGES + 1


def test_some_empty_pages_on_the_way_are_none(server: GcsServer, store: GcsObjectStore) -> None:
    empty: list[dict[str, Any]] = [{"nextPageToken": str(n)} for n in range(EMPTY_PAGES - 1)]
    first: dict[str, Any] = {"items": [resource("p/a")], "nextPageToken": "a"}
    last: dict[str, Any] = {"items": [resource("p/b")]}
    pages_of(server, iter([*empty, first, *empty, last]))
    assert [each.key for each in store.list()] == ["a", "b"]


def test_empty_pages_end_after_a_minute_however_few_they_are(server: GcsServer) -> None:
    clock = SkippingClock()
    tokens = itertools.count()

    def page() -> bytes:
        clock.sleep(19)
        return json.dumps({"nextPageToken": str(next(tokens))}).encode()

    server.script.add(Fault(status=200, body=page, times=FOREVER))
    with (
        GcsObjectStore("b", "p", server.url, clock=clock) as store,
        pytest.raises(StoreUnavailable, match="pages of a listing"),
    ):
        list(store.list())
    assert clock.now < 120


def test_a_range_of_a_listing_holds_no_names_of_the_next(server: GcsServer, store: GcsObjectStore) -> None:
    pages_of(server, itertools.repeat({"items": [resource("p/a"), resource("p/m"), resource("p/z")]}))
    with pytest.raises(StoreUnavailable, match="not requested"):
        list(store.list("", ["m"]))


def test_an_answer_about_another_object_is_none(server: GcsServer, store: GcsObjectStore) -> None:
    server.script.add(Fault(status=200, body=lambda: json.dumps(resource("p/other")).encode(), times=FOREVER))
    with pytest.raises(StoreUnavailable, match="'p/other' when asked about 'p/a'"):
        store.get("a")


# --- every answer comes, or has not come


def waited(store: GcsObjectStore, ask: Callable[[GcsObjectStore], object]) -> float:
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        ask(store)
    return time.monotonic() - began


ASK: dict[str, Callable[[GcsObjectStore], object]] = {
    "list": lambda store: list(store.list()),
    "get": lambda store: store.get("a"),
    "read": lambda store: list(store.read("a", generation=7)),
}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
SLOW = {
    "a body, byte by byte": Endless(HEAD, b"x"),
    "a head, byte by byte": Endless(b"HTTP/1.1 200 OK\r\n", b"x"),
    "a header without end": Endless(b"HTTP/1.1 200 OK\r\nx: ", b"x"),
    "one more answer to come": Endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "nothing at all": Endless(b"", b""),
    "chunks of a byte": Endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "an error, byte by byte": Endless(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 100000\r\n\r\n", b"x"),
}


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
@pytest.mark.parametrize("slow", SLOW.values(), ids=SLOW)
def test_what_comes_too_slowly_has_not_come(slow: Endless, ask: Callable[[GcsObjectStore], object]) -> None:
    with (
        RawServer(slow, pause=SHORT / 10) as server,
        GcsObjectStore("b", "p", server.url, deadline=SHORT) as store,
    ):
        assert waited(store, ask) < 20 * SHORT


def test_the_time_of_a_body_counts_anew_for_each_piece_of_it_and_only_while_it_is_waited_for() -> None:
    clock = SkippingClock()

    class Raw(io.BytesIO):
        def readinto(self, buffer: Any) -> int:
            clock.sleep(4.0)
            return super().readinto(memoryview(buffer)[: FLOOR // 2])

    body = Paced(Raw(bytes(FLOOR * 20)), 20.0, lambda _left: None, clock.monotonic)
    body.renewed()
    buffer = bytearray(FLOOR)
    read = 0
    while count := body.readinto(buffer):
        read += count
        clock.sleep(1000)  # the reader is slow, not the line
    assert read == FLOOR * 20


def test_a_byte_now_and_then_is_no_progress() -> None:
    clock = SkippingClock()
    left: list[float] = []

    class Raw(io.BytesIO):
        def readinto(self, buffer: Any) -> int:
            clock.sleep(3.0)
            return super().readinto(memoryview(buffer)[:1])

    body = Paced(Raw(bytes(1000)), 20.0, left.append, clock.monotonic)
    body.renewed()
    with pytest.raises(TimeoutError, match="20 s"):
        io.BufferedReader(body).read()
    assert clock.now == 21
    assert left == [20, 17, 14, 11, 8, 5, 2]


# --- in bounded memory


MUCH = bytes(1024 * 1024)
ENDLESS = {
    "a body": Endless(b"HTTP/1.1 200 OK\r\n\r\n", MUCH),
    "an error": Endless(b"HTTP/1.1 404 Not Found\r\n\r\n", MUCH),
    "one chunk": Endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n", MUCH),
    "a chunk of negative length": Endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", MUCH),
    "the length of a chunk": Endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1" * 65536),
    "trailers": Endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n" * 10_000),
    "a header": Endless(b"HTTP/1.1 200 OK\r\nx: ", b"x" * 65536),
    "headers": Endless(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n" * 10_000),
    "answers that are not the last": Endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "a packed body": [answer(gzip.compress(bytes(8 * LONGEST_ANSWER), 1), b"Content-Encoding: gzip")],
}


@pytest.mark.parametrize("endless", ENDLESS.values(), ids=ENDLESS)
def test_an_answer_without_end_is_an_error_in_bounded_memory(endless: Any) -> None:
    with RawServer(endless) as server, GcsObjectStore("b", "p", server.url, deadline=SHORT) as store:
        tracemalloc.start()
        try:
            with pytest.raises(StoreError):
                store.get("a")
            assert tracemalloc.get_traced_memory()[1] < 3 * LONGEST_ANSWER
        finally:
            tracemalloc.stop()


WORDS: dict[str, Any] = {
    "a generation past 64 bits": resource("p/a", generation=str(2**63)),
    "a negative generation": resource("p/a", generation="-1"),
    "a generation in words": resource("p/a", generation="new"),
    "a generation of 5,000 digits": resource("p/a", generation="9" * 5000),
    "a size in words": resource("p/a", size="abc"),
    "a negative size": resource("p/a", size=-5),
    "a size without end": resource("p/a", size="1e400"),
    "no name": {"size": "1", "generation": "7"},
    "an empty name": resource(""),
    "a name that is a number": resource("") | {"name": 5},
    "a checksum of other bytes": resource("p/a", crc32c="AAAA"),
    "a checksum that is not a base64": resource("p/a", crc32c="ä" * 8),
    "a checksum that is a list": resource("p/a", crc32c=[]),
    "a type that is a map": resource("p/a", contentType={}),
    "a list": [],
    "null": None,
    "a number": 1,
}


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_an_object_that_cannot_be_is_an_error_of_the_store(
    server: GcsServer, store: GcsObjectStore, words: Any
) -> None:
    server.script.add(Fault(status=200, body=lambda: json.dumps(words).encode(), times=FOREVER))
    with pytest.raises(StoreUnavailable, match=r"gs://b at .* does not answer as GCS does"):
        store.get("a")
    server.script.clear()
    server.script.add(Fault(status=200, body=lambda: json.dumps({"items": [words]}).encode(), times=FOREVER))
    with pytest.raises(StoreUnavailable, match=r"gs://b at .* does not answer as GCS does"):
        list(store.list())


@pytest.mark.parametrize("said", [{"error": {"code": 503, "message": "x"}}, {"message": "Sign in"}, {"status": "ok"}])
def test_an_answer_of_something_else_is_not_an_empty_bucket(
    server: GcsServer, store: GcsObjectStore, said: dict[str, Any]
) -> None:
    pages_of(server, itertools.repeat(said))
    with pytest.raises(StoreUnavailable, match="without a listing: it has"):
        list(store.list())


@pytest.mark.parametrize("said", [{}, {"kind": "storage#objects"}, {"items": []}, {"prefixes": ["p/"], "items": []}])
def test_an_empty_page_is_an_empty_bucket(server: GcsServer, store: GcsObjectStore, said: dict[str, Any]) -> None:
    pages_of(server, itertools.repeat(said))
    assert list(store.list()) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[" * 500_000,
        b'{"x":' + b"[" * 500_000,
        b'{"items":null}',
        b'{"items":{}}',
        b'{"items":[null]}',
        b'{"nextPageToken":7}',
        b'{"items":[{"name":"\\ud800"}]}',
        b'{"items":[{"name":"\xff"}]}',
        b"<html>",
    ],
    ids=lambda body: body[:20],
)
def test_a_listing_that_is_none_is_an_error_of_the_store(server: GcsServer, store: GcsObjectStore, body: bytes) -> None:
    server.script.add(Fault(status=200, body=lambda: body, times=FOREVER))
    with pytest.raises(StoreUnavailable, match="does not answer as GCS does"):
        list(store.list())


# --- uploads


def put(store: GcsObjectStore, data: bytes) -> Any:
    from crc32c import crc32c

    return store.put(DesiredObject("a", len(data), encode_crc32c(crc32c(data)), "video/mp4", 0), io.BytesIO(data))


@pytest.mark.parametrize("data", [b"small", LARGE], ids=len)
@pytest.mark.parametrize("body", [b"", b"[]", b'{"name":"p/a","generation":"0"}', b"\xff"], ids=repr)
def test_an_upload_whose_answer_cannot_be_read_is_settled_by_reading(
    server: GcsServer, store: GcsObjectStore, data: bytes, body: bytes
) -> None:
    server.script.add(Fault(path="/upload/", rewrite=lambda found: body if found else found, times=FOREVER))
    assert put(store, data).size == len(data)
    assert len(server.world.generations("p/a")) == 1


def test_an_upload_is_uncertain_where_nothing_that_can_be_read_is_answered(
    server: GcsServer, store: GcsObjectStore
) -> None:
    server.script.add(Fault(rewrite=lambda _found: b"[]", times=FOREVER))
    with pytest.raises(Uncertain):
        put(store, b"small")


@pytest.mark.parametrize(
    "reach", ["bytes=0-" + "9" * 5000, "bytes=0-99999999999", "bytes=0-²", "bytes=0--1", "all", "bytes=0-1.5"]
)
def test_a_reach_that_cannot_be_is_an_error_of_the_store(server: GcsServer, store: GcsObjectStore, reach: str) -> None:
    server.script.add(
        Fault(method="PUT", status=308, body=bytes, headers={"Range": reach.encode().decode("latin-1")}, times=FOREVER)
    )
    with pytest.raises(StoreUnavailable, match="does not answer as GCS does"):
        put(store, LARGE)


def test_bytes_that_were_not_sent_cannot_have_been_kept(server: GcsServer, store: GcsObjectStore) -> None:
    server.script.add(
        Fault(method="PUT", status=308, body=bytes, headers={"Range": f"bytes=0-{2 * CHUNK - 1}"}, times=FOREVER)
    )
    with pytest.raises(StoreUnavailable, match="when 8388608 were sent"):
        put(store, LARGE)


@pytest.mark.parametrize("kept", [1, 1000, 256 * 1024])
def test_an_upload_of_which_a_little_is_kept_each_time_and_then_lost_ends(
    server: GcsServer, store: GcsObjectStore, kept: int
) -> None:
    """The server always says that it has the first bytes, and never that it has more."""
    server.script.add(
        Fault(method="PUT", status=308, body=bytes, headers={"Range": f"bytes=0-{kept - 1}"}, times=FOREVER)
    )
    with pytest.raises(StoreUnavailable, match="kept nothing"):
        put(store, LARGE)


@pytest.mark.parametrize("location", ["http://[", "http://[::1", "//[x", "http://a:b:c/"])
def test_an_upload_session_that_is_no_url_is_an_error_and_is_not_repeated(
    server: GcsServer, store: GcsObjectStore, location: str
) -> None:
    server.script.add(Fault(method="POST", status=200, body=bytes, headers={"Location": location}, times=FOREVER))
    with pytest.raises(StoreError) as caught:
        put(store, LARGE)
    assert location not in caught.value.sentence


# --- headers


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("9" * 5000, 3600),
        ("-1", 0),
        ("²", 0),
        ("soon", 0),
        ("Mon, 01 Jan 99999 00:00:00 GMT", 0),
        ("Mon, 01 Jan 2026 00:00:00 +99999999999999999999", 0),
        (f"Mon, 01 Jan 2026 00:00:00 +{'9' * 5000}", 0),
        ("\x00", 0),
        (",,,", 0),
    ],
)
def test_a_pause_that_cannot_be_read_is_none(asked: str, seconds: float) -> None:
    assert seconds_asked(asked, "Mon, 01 Jan 2026 00:00:00 GMT") == seconds


@pytest.mark.parametrize("length", [b"5", b"-1", b"9" * 5000, b"abc", b"50"])
def test_a_length_that_is_a_lie_is_no_object(length: bytes) -> None:
    body = json.dumps(resource("p/a")).encode()
    with (
        RawServer(answer(body, b"Content-Length: " + length)) as server,
        GcsObjectStore("b", "p", server.url, deadline=SHORT) as store,
    ):
        try:
            found = store.get("a")
        except StoreUnavailable:
            return
        assert found is not None
        assert found.generation == 7


def test_a_generation_of_many_digits_in_a_header_is_not_believed(server: GcsServer, store: GcsObjectStore) -> None:
    headers = {"x-goog-generation": "9" * 5000}
    server.script.add(Fault(path="/download/", status=200, body=lambda: b"bytes", headers=headers))
    assert b"".join(store.read("a")) == b"bytes"
