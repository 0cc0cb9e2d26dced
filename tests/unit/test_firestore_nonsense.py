"""What the Firestore store makes of answers that no Firestore gives: an error of the store, and always an end."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc
import pytest
from google.cloud.firestore_v1.types import firestore as rpc
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from reconcile.adapters.firestore.store import PAGE, FirestoreRecordStore
from reconcile.adapters.firestore.values import Value, decode, token
from reconcile.adapters.firestore.wire import Wire
from reconcile.adapters.retry import Traffic
from reconcile.core.errors import ReconcileError, StoreError, StoreUnavailable, Uncertain
from tests.servers.clock import SkippingClock

PREFIX = "projects/p/databases/(default)/documents/characters/"
NOW = Timestamp(seconds=1_770_000_000)


class Server:
    """A transport whose server answers each call with what ``answers`` gives for it, and the how-manieth it is."""

    def __init__(self, answers: Callable[[int, Any], Iterable[Any]]) -> None:
        self._answers = answers
        self.calls = 0

    def run_query(self, request: Any, **_: Any) -> Iterator[Any]:
        self.calls += 1
        for name in self._answers(self.calls, request):
            yield rpc.RunQueryResponse(document={"name": name, "update_time": NOW})

    def batch_get_documents(self, request: Any, **_: Any) -> Iterator[Any]:
        self.calls += 1
        for name in self._answers(self.calls, request):
            if isinstance(name, str):
                yield rpc.BatchGetDocumentsResponse(found={"name": name, "update_time": NOW})
            else:
                yield name

    def commit(self, request: Any, **_: Any) -> Any:
        self.calls += 1
        return next(iter(self._answers(self.calls, request)))


def store_of(server: Any) -> FirestoreRecordStore:
    return FirestoreRecordStore(
        Wire(server, "p", "(default)", "characters"), "firestore://p", Traffic(20.0, clock=SkippingClock())
    )


class Cut(grpc.RpcError):
    """A call that broke off."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return "cut"

    def trailing_metadata(self) -> tuple[()]:
        return ()


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
    return rpc.BatchGetDocumentsResponse(missing=name)


ANSWERS: dict[str, Callable[[int, Any], Iterable[Any]]] = {
    "another document": lambda _n, _q: names("b"),
    "another document that is not there": lambda _n, _q: [missing(PREFIX + "b")],
    "another collection": lambda _n, _q: [missing("projects/p/databases/(default)/documents/songs/a")],
    "the same twice": lambda _n, _q: names("a", "a"),
    "there and not there": lambda _n, _q: [*names("a"), missing(PREFIX + "a")],
    "nothing": lambda _n, _q: [],
    "answers without a word": lambda _n, _q: [rpc.BatchGetDocumentsResponse(transaction=b"x")] * 1000,
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

        def batch_get_documents(self, request: Any, **_: Any) -> Iterator[Any]:
            if self.fields is None:
                yield missing(PREFIX + "a")
            else:
                yield rpc.BatchGetDocumentsResponse(
                    found={"name": PREFIX + "a", "fields": self.fields, "update_time": NOW}
                )

    store = store_of(Commits(lambda _n, _q: []))
    if landed:
        assert store.create("a", {"name": "Rem"}) == token(NOW)
    else:
        with pytest.raises(Uncertain):
            store.create("a", {"name": "Rem"})


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31 - 1))
def test_an_update_time_is_a_time_or_an_error_of_the_store(seconds: int, nanos: int) -> None:
    class Timed(Server):
        def run_query(self, request: Any, **_: Any) -> Iterator[Any]:
            when = Timestamp(seconds=seconds, nanos=nanos)
            yield rpc.RunQueryResponse(document={"name": PREFIX + "a", "update_time": when})

    try:
        [document] = store_of(Timed(lambda _n, _q: [])).read()
    except StoreUnavailable:
        return
    parsed = Timestamp()
    parsed.FromJsonString(document.update_time)
    assert (parsed.seconds, parsed.nanos) == (seconds, nanos)


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


@given(st.binary(max_size=300))
def test_whatever_bytes_a_value_has_it_is_decoded_or_no_message(data: bytes) -> None:
    try:
        value = Value.FromString(data)
    except DecodeError:
        return
    decode(value)


@given(st.integers(-5, 2**40), st.binary(max_size=60), st.text(max_size=30))
def test_whatever_status_comes_it_is_an_error_of_ours(code: int, details: bytes, words: str) -> None:
    class Failed(Cut):
        def code(self) -> Any:
            return list(grpc.StatusCode)[code] if 0 <= code < len(grpc.StatusCode) else None

        def details(self) -> str:
            return words

        def trailing_metadata(self) -> Any:
            return (("grpc-status-details-bin", details),)

    class Failing(Server):
        def run_query(self, request: Any, **_: Any) -> Iterator[Any]:
            raise Failed
            yield

    with pytest.raises(ReconcileError):
        list(store_of(Failing(lambda _n, _q: [])).read())
