"""How GcsObjectStore bears a bucket that is asked too much: one budget, one gate, one second between writes."""

from __future__ import annotations

import io
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from crc32c import crc32c

from reconcile.adapters.gcs.store import GcsObjectStore
from reconcile.adapters.gcs.upload import CHUNK
from reconcile.adapters.retry import EARNED, SPENT, Budget
from reconcile.core.digest import encode_crc32c
from reconcile.core.errors import StoreUnavailable, Uncertain
from reconcile.core.rows import RemoteObject
from reconcile.ports import DesiredObject
from tests.servers.clock import SkippingClock
from tests.servers.faults import FOREVER, Call, Fault
from tests.servers.gcs import GcsServer

UPLOADS = 200


@pytest.fixture
def clock() -> SkippingClock:
    return SkippingClock()


@pytest.fixture
def store(server: GcsServer, clock: SkippingClock) -> Iterator[GcsObjectStore]:
    with GcsObjectStore("b", "p", server.url, clock=clock) as opened:
        yield opened


def put(store: GcsObjectStore, key: str = "a.png", data: bytes = b"x", generation: int = 0) -> RemoteObject:
    return store.put(
        DesiredObject(key, len(data), encode_crc32c(crc32c(data)), "image/png", generation), io.BytesIO(data)
    )


def sometimes(share: float) -> Callable[[Call], bool]:
    """Matches this share of the uploads, by lot."""
    lock, random = threading.Lock(), Random(7)

    def hit(call: Call) -> bool:
        with lock:
            return call.method == "POST" and random.random() < share

    return hit


def upload_all(store: GcsObjectStore, count: int = UPLOADS, *, at_once: int = 8) -> Counter[str]:
    """Uploads so many files; how they ended."""

    def one(number: int) -> str:
        try:
            put(store, f"{number:04}.png")
        except StoreUnavailable as error:
            return error.hint
        return "done"

    with ThreadPoolExecutor(at_once) as pool:
        return Counter(pool.map(one, range(count)))


@pytest.mark.parametrize("status", [429, 503])
def test_uploads_of_which_every_third_is_refused_all_arrive(
    server: GcsServer, store: GcsObjectStore, status: int
) -> None:
    server.script.add(Fault(when=sometimes(0.3), status=status, times=FOREVER))
    # One at a time: this clock adds up the pauses of all who wait, and their time would be up too soon.
    assert upload_all(store, at_once=1) == {"done": UPLOADS}
    assert len(server.world.objects("b")) == UPLOADS
    assert len(server.script.calls("POST")) / UPLOADS < 1.7


def test_a_storm_passes_and_all_arrive(server: GcsServer, clock: SkippingClock, store: GcsObjectStore) -> None:
    server.script.add(Fault(when=lambda _: 1 < clock.now < 9, status=503, times=FOREVER))
    clock.now = 1.5
    assert upload_all(store) == {"done": UPLOADS}


def test_a_bucket_that_takes_nothing_uses_the_budget_up_and_is_then_asked_once_a_call(
    server: GcsServer, clock: SkippingClock
) -> None:
    server.script.add(Fault(method="POST", status=503, times=FOREVER))
    with GcsObjectStore("b", "p", server.url, clock=clock, budget=Budget(20)) as store:
        ends = upload_all(store, 50)
    assert ends[SPENT] > 40
    assert ends["done"] == 0
    assert len(server.script.calls("POST")) <= 50 + 20 + int(EARNED * 50)


def test_one_budget_is_for_all_stores_of_a_run(server: GcsServer, clock: SkippingClock) -> None:
    server.script.add(Fault(status=503, times=FOREVER))
    budget = Budget(5)
    for _ in range(2):
        with (
            GcsObjectStore("b", "p", server.url, clock=clock, budget=budget) as store,
            pytest.raises(StoreUnavailable) as caught,
        ):
            store.get("a")
    assert caught.value.hint == SPENT
    assert len(server.script.calls("GET")) == 5 + 2


def test_a_moment_to_come_back_is_held_against_the_answers_own_date(
    server: GcsServer, store: GcsObjectStore, clock: SkippingClock
) -> None:
    then = {"Date": "Wed, 21 Oct 2015 07:28:00 GMT", "Retry-After": "Wed, 21 Oct 2015 07:28:05 GMT"}
    server.script.add(Fault(status=503, headers=then))
    assert store.get("a") is None
    assert clock.pauses == [5]


def test_after_one_429_every_call_waits_for_its_pause(
    server: GcsServer, store: GcsObjectStore, clock: SkippingClock
) -> None:
    server.script.add(Fault(status=429, headers={"Retry-After": "60"}))
    with pytest.raises(StoreUnavailable, match="429"):
        store.get("a")
    with pytest.raises(StoreUnavailable, match="asked to be left alone for 60 s"):
        store.get("b")
    assert len(server.script.calls("GET")) == 1
    clock.now = 60
    assert store.get("b") is None


def test_a_name_is_written_once_a_second(server: GcsServer, store: GcsObjectStore, clock: SkippingClock) -> None:
    first = put(store)
    put(store, "other.png")
    assert clock.now == 0
    put(store, data=b"y", generation=first.generation)
    assert clock.now == pytest.approx(1)


def test_a_write_that_may_have_been_applied_counts_as_one(
    server: GcsServer, store: GcsObjectStore, clock: SkippingClock
) -> None:
    server.script.add(Fault(method="POST", status=503))
    put(store)
    assert clock.now >= 1


def test_the_last_chunk_of_a_large_file_is_its_write(
    server: GcsServer, store: GcsObjectStore, clock: SkippingClock
) -> None:
    first = put(store)
    put(store, data=b"z" * (CHUNK + 1), generation=first.generation)
    assert clock.now == pytest.approx(1)


def test_a_lost_answer_is_settled_by_reading_though_no_retry_is_left(server: GcsServer, clock: SkippingClock) -> None:
    server.script.add(Fault(method="POST", lost=True))
    with GcsObjectStore("b", "p", server.url, clock=clock, budget=Budget(0)) as store:
        assert put(store).size == 1
        server.script.add(Fault(method="POST", lost=True))
        server.script.add(Fault(method="GET", status=503))
        with pytest.raises(Uncertain):
            put(store, "b.png")
