"""How the Firestore store bears a database that is asked too much: one budget, one gate, one second between writes."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from reconcile.adapters.firestore.store import FirestoreRecordStore
from reconcile.adapters.retry import SPENT, Budget
from reconcile.core.errors import StoreUnavailable
from tests.servers.clock import SkippingClock
from tests.servers.firestore import FirestoreServer

Code = grpc.StatusCode
FOREVER = 10_000


@pytest.fixture
def clock() -> SkippingClock:
    return SkippingClock()


def open_at(server: FirestoreServer, clock: SkippingClock, budget: Budget | None = None) -> FirestoreRecordStore:
    return FirestoreRecordStore.open("p", "(default)", "characters", server.address, clock=clock, budget=budget)


@pytest.fixture
def store(firestore_server: FirestoreServer, clock: SkippingClock) -> Iterator[FirestoreRecordStore]:
    opened = open_at(firestore_server, clock)
    yield opened
    opened.close()


@pytest.mark.parametrize("code", [Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE])
def test_the_pause_that_the_server_asks_for_is_kept(
    store: FirestoreRecordStore, firestore_server: FirestoreServer, clock: SkippingClock, code: grpc.StatusCode
) -> None:
    firestore_server.fault("RunQuery", before=code, retry=7.5)
    assert list(store.ids()) == []
    assert clock.pauses[0] == 7.5


def test_after_a_quota_every_call_waits_for_the_pause(
    store: FirestoreRecordStore, firestore_server: FirestoreServer, clock: SkippingClock
) -> None:
    firestore_server.fault("RunQuery", before=Code.RESOURCE_EXHAUSTED, retry=60)
    with pytest.raises(StoreUnavailable, match="quota"):
        list(store.ids())
    with pytest.raises(StoreUnavailable, match="left alone for 60 s"):
        store.create("rem", {})
    assert firestore_server.calls("Commit") == []
    clock.now = 60
    store.create("rem", {})
    assert len(firestore_server.calls("Commit")) == 1


@pytest.mark.parametrize("method", ["RunQuery", "Commit"])
def test_where_the_runs_budget_is_spent_a_call_is_made_once(
    firestore_server: FirestoreServer, clock: SkippingClock, method: str
) -> None:
    firestore_server.fault(method, times=FOREVER, before=Code.UNAVAILABLE)
    store = open_at(firestore_server, clock, Budget(0))
    with pytest.raises(StoreUnavailable) as failure:
        store.create("rem", {}) if method == "Commit" else list(store.ids())
    assert failure.value.hint == SPENT
    assert len(firestore_server.calls(method)) == 1
    store.close()


def test_a_document_is_written_once_a_second(
    store: FirestoreRecordStore, clock: SkippingClock, firestore_server: FirestoreServer
) -> None:
    made = store.create("rem", {"assets": []})
    store.create("mei", {"assets": []})
    assert clock.now == 0
    store.update("rem", {"assets": [1]}, if_update_time=made)
    assert clock.now == pytest.approx(1)


def test_a_commit_that_a_quota_refused_was_no_write(
    store: FirestoreRecordStore, clock: SkippingClock, firestore_server: FirestoreServer
) -> None:
    firestore_server.fault("Commit", before=Code.RESOURCE_EXHAUSTED)
    store.create("rem", {})
    assert clock.now < 1
