"""Listings and downloads from GCS that break: complete, or an error."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from reconcile.adapters.gcs.store import GcsObjectStore
from reconcile.core.errors import (
    AccessDenied,
    NotThere,
    StoreMissing,
    StoreUnavailable,
)
from reconcile.core.rows import RemoteObject
from tests.kit.gcs_bucket import LARGE, NAME, TestClock, open_store, other_writer, put, read
from tests.servers.faults import FOREVER, Fault
from tests.servers.gcs import GcsServer


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def store(server: GcsServer, clock: TestClock) -> Iterator[GcsObjectStore]:
    with open_store(server, clock) as opened:
        yield opened


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
    with pytest.raises(StoreUnavailable, match="not requested"):
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
