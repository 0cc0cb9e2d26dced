"""What the Firestore store makes of answers that no Firestore gives: an error of the store, and always an end."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc
import pytest
from google.cloud.firestore_v1.types import firestore as rpc
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from reconcile.adapters.firestore.calls import CallFailed, Collected, Nonsense, Span
from reconcile.adapters.firestore.json_rows import _AT_ONCE, LONGEST_ELEMENT
from reconcile.adapters.firestore.messages import token
from reconcile.adapters.firestore.paging import PAGE
from reconcile.adapters.firestore.rest import CollectionReader
from reconcile.adapters.firestore.store import FirestoreRecordStore
from reconcile.adapters.firestore.wire import CollectionWriter
from reconcile.adapters.retry import Traffic
from reconcile.core.errors import ReconcileError, StoreError, StoreUnavailable, Uncertain
from reconcile.core.moment import Moment
from tests.servers.clock import SkippingClock
from tests.servers.firestore_front import Cut, Front
from tests.servers.raw import Endless, RawServer, answer

PLACE = Collected.of("p", "(default)", "characters")
PREFIX = PLACE.prefix
NOW = Timestamp(seconds=1_770_000_000)


class Server:
    """A server that answers each call with what ``answers`` gives for it, and the how-manieth it is: reads over the
    JSON API of the one front, commits as the transport of Google's client."""

    front: Front | None = None
    current: Server

    def __init__(self, answers: Callable[[int, Any], Iterable[Any]]) -> None:
        self._answers = answers
        self.calls = 0
        if Server.front is None:
            Server.front = Front(lambda name, request: Server.current.streamed(name, request), grpc.RpcError, 0)

    def streamed(self, name: str, request: Any) -> Iterator[Any]:
        return (self.run_query if name == "RunQuery" else self.batch_get_documents)(request)

    def run_query(self, request: Any) -> Iterator[Any]:
        self.calls += 1
        for name in self._answers(self.calls, request):
            yield rpc.RunQueryResponse.pb()(document={"name": name, "update_time": NOW})

    def batch_get_documents(self, request: Any) -> Iterator[Any]:
        self.calls += 1
        for name in self._answers(self.calls, request):
            if isinstance(name, str):
                yield rpc.BatchGetDocumentsResponse.pb()(found={"name": name, "update_time": NOW})
            else:
                yield name

    def commit(self, request: Any, **_: Any) -> Any:
        self.calls += 1
        return next(iter(self._answers(self.calls, request)))

    def close(self) -> None:
        """As a transport."""


OPEN: list[FirestoreRecordStore] = []


@pytest.fixture(autouse=True)
def closing() -> Iterator[None]:
    yield
    close_all()


def close_all() -> None:
    while OPEN:
        OPEN.pop().close()


def store_at(url: str, transport: Any = None, *, deadline: float = 5.0) -> FirestoreRecordStore:
    """A store that reads there; it closes all that were opened before."""
    close_all()
    reads = CollectionReader(PLACE, url, deadline=deadline)
    traffic = Traffic(20.0, clock=SkippingClock())
    OPEN.append(FirestoreRecordStore(reads, lambda: CollectionWriter(transport, PLACE), "firestore://p", traffic))
    return OPEN[-1]


def store_of(server: Server) -> FirestoreRecordStore:
    Server.current = server
    assert Server.front is not None
    return store_at(f"http://{Server.front.address}", server)


def cut_after(names: Iterable[str]) -> Iterator[str]:
    yield from names
    raise Cut


def names(*ids: str) -> list[str]:
    return [PREFIX + each for each in ids]


MANY = [f"c{n:04}" for n in range(PAGE)]
PAGES: dict[str, Callable[[int, Any], Iterable[str]]] = {
    "the same page again": lambda _n, _q: names(*MANY),
    "two pages in turn": lambda n, _q: names(*(f"{'ab'[n % 2]}{each}" for each in MANY)),
    "out of order": lambda _n, _q: names("b", "a"),
    "one name twice": lambda _n, _q: names("a", "a"),
    "more than was asked for": lambda _n, _q: names(*MANY, "d"),
    "names without end": lambda _n, _q: (PREFIX + f"{n:09}" for n in itertools.count()),
    "another collection": lambda _n, _q: ["projects/p/databases/(default)/documents/songs/a"],
    "another project": lambda _n, _q: ["projects/q/databases/(default)/documents/characters/a"],
    "a document below a document": lambda _n, _q: names("a/songs/b"),
    "no name": lambda _n, _q: [""],
    "the collection itself": lambda _n, _q: [PREFIX],
    "the same after each break": lambda _n, _q: cut_after(names("a")),
    "nothing but breaks": lambda _n, _q: cut_after([]),
}


@pytest.mark.parametrize("pages", PAGES.values(), ids=PAGES)
def test_a_listing_that_cannot_be_ends_as_an_error_of_the_store(pages: Callable[[int, Any], Iterable[str]]) -> None:
    server = Server(pages)
    with pytest.raises(StoreUnavailable, match="firestore://p"):
        list(store_of(server).read())
    assert server.calls < 200


def test_ids_that_are_numbers_stand_first_and_in_their_own_order() -> None:
    listed = ["__id-5__", "__id9__", "__id10__", "A", "a"]
    assert list(store_of(Server(lambda _n, _q: names(*listed))).ids()) == listed


def test_a_document_outside_of_the_prefix_that_was_asked_for_is_an_error() -> None:
    with pytest.raises(StoreUnavailable, match="'c'"):
        list(store_of(Server(lambda _n, _q: names("c"))).ids("b"))


def missing(name: str) -> Any:
    return rpc.BatchGetDocumentsResponse.pb()(missing=name)


ANSWERS: dict[str, Callable[[int, Any], Iterable[Any]]] = {
    "another document": lambda _n, _q: names("b"),
    "another document that is not there": lambda _n, _q: [missing(PREFIX + "b")],
    "another collection": lambda _n, _q: [missing("projects/p/databases/(default)/documents/songs/a")],
    "the same twice": lambda _n, _q: names("a", "a"),
    "there and not there": lambda _n, _q: [*names("a"), missing(PREFIX + "a")],
    "nothing": lambda _n, _q: [],
    "answers without a word": lambda _n, _q: [rpc.BatchGetDocumentsResponse.pb()(transaction=b"x")] * 1000,
    "another one before each break": lambda n, _q: cut_after(names(f"x{n}")),
}


@pytest.mark.parametrize("answers", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_about_what_was_not_asked_is_an_error_of_the_store(
    answers: Callable[[int, Any], Iterable[Any]],
) -> None:
    server = Server(answers)
    with pytest.raises(StoreUnavailable, match="does not answer as Firestore does"):
        list(store_of(server).read(["a"]))
    assert server.calls < 200


def result(**fields: Any) -> rpc.CommitResponse:
    return rpc.CommitResponse(write_results=[fields])


COMMITS = {
    "no result": rpc.CommitResponse(),
    "a result without a time": result(),
    "two results": rpc.CommitResponse(write_results=[{"update_time": NOW}, {"update_time": NOW}]),
    "an impossible year": result(update_time=Timestamp(seconds=2**62)),
    "a time before the first year": result(update_time=Timestamp(seconds=-(2**62))),
    "nanoseconds that are seconds": result(update_time=Timestamp(seconds=1, nanos=2**31 - 1)),
    "less than no nanoseconds": result(update_time=Timestamp(seconds=1, nanos=-1)),
}


@pytest.mark.parametrize("answer", COMMITS.values(), ids=COMMITS)
@pytest.mark.parametrize("landed", [True, False])
def test_a_commit_whose_answer_does_not_tell_is_settled_by_reading(answer: Any, *, landed: bool) -> None:
    class Commits(Server):
        fields: Any = None

        def commit(self, request: Any, **_: Any) -> Any:
            self.fields = request.writes[0].update.fields if landed else None
            return answer

        def batch_get_documents(self, request: Any) -> Iterator[Any]:
            if self.fields is None:
                yield missing(PREFIX + "a")
            else:
                found = {"name": PREFIX + "a", "fields": self.fields, "update_time": NOW}
                yield rpc.BatchGetDocumentsResponse.pb()(found=found)

    store = store_of(Commits(lambda _n, _q: []))
    if landed:
        assert store.create("a", {"name": "Rem"}) == token(NOW)
    else:
        with pytest.raises(Uncertain):
            store.create("a", {"name": "Rem"})


def read_of(body: bytes, status: bytes = b"200 OK") -> Any:
    """What one read of the whole collection gives, or raises, if the server answers every call with this."""
    with RawServer(answer(body, status=status)) as server:
        return list(store_at(server.url).read())


def listed(**document: Any) -> bytes:
    return json.dumps([{"document": {"name": PREFIX + "a", "updateTime": "2026-02-07T03:00:00Z"} | document}]).encode()


TIMES = {
    "2026-02-07T03:00:00Z": "2026-02-07T03:00:00.000000Z",
    "2026-02-07T03:00:00.1Z": "2026-02-07T03:00:00.100000Z",
    "2026-02-07T03:00:00.123456Z": "2026-02-07T03:00:00.123456Z",
    "2026-02-07T03:00:00.123456789Z": "2026-02-07T03:00:00.123456789Z",
    "0001-01-01T00:00:00Z": "0001-01-01T00:00:00.000000Z",
    "9999-12-31T23:59:59.999999999Z": "9999-12-31T23:59:59.999999999Z",
}


@pytest.mark.parametrize("written", TIMES)
def test_an_update_time_has_one_spelling(written: str) -> None:
    [document] = read_of(listed(updateTime=written))
    assert document.update_time == TIMES[written]


@pytest.mark.parametrize(
    "written",
    ["", "yesterday", "2026-02-07", "2026-02-30T00:00:00Z", "2026-02-07T24:00:01Z", "0000-01-01T00:00:00Z",
     "2026-02-07T03:00:00.1234567890Z", "2026-02-07T03:00:00+01:00", "２026-02-07T03:00:00Z"],
)  # fmt: skip
def test_an_update_time_that_is_none_is_an_error_of_the_store(written: str) -> None:
    with pytest.raises(StoreUnavailable, match="update time"):
        read_of(listed(updateTime=written))


NESTED = b"[" * 100_000
BODIES = {
    "nothing": b"",
    "no JSON": b"<html>Welcome</html>",
    "a map": b"{}",
    "a number": b"7",
    "numbers": b"[1, 2]",
    "texts": b'["a"]',
    "a list in a list": b"[[]]",
    "two lists": b"[][]",
    "a list with a tail": b"[] x",
    "a missing comma and a number": b'[{"readTime": "x"} 5]',
    "deep lists": NESTED,
    "deep lists in a value": b'[{"document": {"name": "x", "fields": {"a": {"arrayValue": ' + NESTED,
    "a document that is a text": b'[{"document": "x"}]',
    "a document without a name": b'[{"document": {}}]',
    "fields that are a list": listed(fields=[]),
    "a value that is a text": listed(fields={"a": "x"}),
    "a value of two kinds": listed(fields={"a": {"stringValue": "x", "nullValue": None}}),
    "an integer that is a word": listed(fields={"a": {"integerValue": "many"}}),
    "an integer that is too large": listed(fields={"a": {"integerValue": str(2**63)}}),
    "an integer without end": listed(fields={"a": {"integerValue": "9" * 10_000}}),
    "a float that is a word": listed(fields={"a": {"doubleValue": "much"}}),
    "a float that is too large": listed(fields={"a": {"doubleValue": 0}}).replace(b": 0}", b": 1e999}"),
    "a boolean that is a word": listed(fields={"a": {"booleanValue": "true"}}),
    "a text that is a number": listed(fields={"a": {"stringValue": 7}}),
    "half a character": listed(fields={"a": {"stringValue": "x"}}).replace(b'"x"', rb'"\ud800"'),
    "bytes that are no UTF-8": listed(fields={"a": {"stringValue": "x"}}).replace(b'"x"', b'"\xff"'),
    "a map that is a list": listed(fields={"a": {"mapValue": []}}),
    "an array that is a map": listed(fields={"a": {"arrayValue": {"values": {}}}}),
    "a time that is none": listed(fields={"a": {"timestampValue": "noon"}}),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_what_is_no_list_of_documents_is_never_taken_for_an_empty_one(body: bytes) -> None:
    with pytest.raises(StoreUnavailable, match="firestore://p"):
        read_of(body)


@pytest.mark.parametrize("body", [b"[]", b"[\n]\n", b'[{"readTime": "2026-02-07T03:00:00Z"}]', b'[{"done": true}]'])
def test_a_list_without_documents_is_an_empty_one(body: bytes) -> None:
    assert read_of(body) == []


@given(st.binary(max_size=300) | st.text(alphabet='[]{}",:\\ name0').map(str.encode))
def test_whatever_body_comes_there_is_an_error_of_the_store_or_nothing(body: bytes) -> None:
    try:
        assert read_of(body) == []
    except StoreError:
        return
    rows = json.loads(body)
    assert isinstance(rows, list)
    assert all(isinstance(row, dict) for row in rows)


def test_an_element_without_end_is_given_up() -> None:
    piece = b"x" * 1024 * 1024
    start = b'HTTP/1.1 200 OK\r\n\r\n[{"readTime": "'
    said = f"more than {LONGEST_ELEMENT:,} bytes"
    with RawServer(Endless(start, piece)) as server, pytest.raises(StoreUnavailable, match=said):
        list(store_at(server.url).read())


def test_an_element_that_is_long_is_read() -> None:
    long = 'é"\\[{' * (_AT_ONCE // 4)
    body = json.dumps(
        [{"document": {"name": PREFIX + each, "updateTime": "2026-02-07T03:00:00Z",
                       "fields": {"text": {"stringValue": long}}}} for each in "abc"]
    ).encode()  # fmt: skip
    assert len(body) > 3 * _AT_ONCE
    with RawServer(answer(body)) as server:
        found = list(store_at(server.url, deadline=60).read())
    assert [(each.id, each.fields["text"] == long) for each in found] == [(each, True) for each in "abc"]


@pytest.mark.parametrize("at", range(1, 400, 7))
def test_a_list_that_breaks_off_anywhere_counts_for_what_came_whole(at: int) -> None:
    rows = [{"document": {"name": PREFIX + each, "updateTime": "2026-02-07T03:00:00Z"}} for each in "abc"]
    body = json.dumps(rows).encode()
    whole = sum(len(json.dumps(rows[: count + 1])) - 1 <= at for count in range(3))
    with RawServer([answer(body[:at])]) as server:
        reads = CollectionReader(PLACE, server.url, deadline=5)
        call = reads.query(Span(), PAGE, 5, Moment(), whole=True)
        came = []
        if at < len(body):
            with pytest.raises(CallFailed, match="breaks off"):
                came.extend(call)
        else:
            came.extend(call)
        reads.close()
    assert [each.id for each in came] == list("abc")[: len(came)]
    assert len(came) <= whole


@pytest.mark.parametrize("status", [b"302 Found", b"204 No Content", b"299 Odd", b"418 Teapot", b"999 Never"])
def test_a_status_that_no_firestore_gives_is_an_error_of_the_store(status: bytes) -> None:
    with pytest.raises(StoreUnavailable, match="does not answer as Firestore does"):
        read_of(b"", status)


WORDS = ["error", "code", "message", "status", "details", "retryDelay", "violations", "type", "reason"]
JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=9,
)


@given(st.integers(200, 599), st.binary(max_size=60) | JSON.map(lambda found: json.dumps(found).encode()))
def test_whatever_refusal_comes_it_is_an_error_of_ours(status: int, body: bytes) -> None:
    try:
        found = read_of(body, b"%d Said" % status)
    except ReconcileError as error:
        said = (error.message, error.hint)
    else:
        said = ("", "") if found or status != 200 else ("nothing", "an empty list")
    assert all(said)


@given(st.lists(st.text() | st.text().map(lambda text: PREFIX + text), max_size=5))
def test_whatever_names_come_there_are_documents_or_an_error_of_the_store(found: list[str]) -> None:
    def answers(_n: int, _q: Any) -> Iterable[str]:
        return [name.encode("utf-8", "replace").decode() for name in found]

    for read in (lambda store: list(store.read()), lambda store: list(store.read(["a", "b"]))):
        try:
            documents = read(store_of(Server(answers)))
        except StoreError:
            continue
        ids = [each.id for each in documents]
        assert len(set(ids)) == len(ids)


@given(st.integers(-5, 2**40), st.binary(max_size=60), st.text(max_size=30))
def test_whatever_status_a_commit_has_it_is_an_error_of_ours(code: int, details: bytes, words: str) -> None:
    class Failed(grpc.RpcError):
        def code(self) -> Any:
            return list(grpc.StatusCode)[code] if 0 <= code < len(grpc.StatusCode) else None

        def details(self) -> str:
            return words

        def trailing_metadata(self) -> Any:
            return (("grpc-status-details-bin", details),)

    class Failing(Server):
        def commit(self, request: Any, **_: Any) -> Any:
            raise Failed

    with pytest.raises(ReconcileError):
        store_of(Failing(lambda _n, _q: [])).create("a", {"name": "Rem"})


@pytest.mark.parametrize("told", ["", "yesterday", "2026-01-01T00:00:00", 5])
def test_a_read_time_that_is_not_one_is_no_moment(told: Any) -> None:
    document = {"name": f"{PREFIX}rem", "updateTime": "2026-01-01T00:00:00Z"}
    at = Moment()
    with RawServer(answer(json.dumps([{"document": document, "readTime": told}]).encode())) as server:
        reads = CollectionReader(PLACE, server.url, deadline=5.0)
        try:
            asked = reads.query(Span(), 1, 5.0, at, whole=True)
            if told == 5:
                with pytest.raises(Nonsense):
                    list(asked)
            else:
                assert [each.id for each in asked] == ["rem"]
        finally:
            reads.close()
    assert at.as_of == ""
