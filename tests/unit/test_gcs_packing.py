"""What packs and unpacks on the way: transcoding by GCS itself, and gateways that do more than they were asked."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import requests

from reconcile.adapters.gcs.store import GcsObjectStore
from reconcile.adapters.gcs.url_reader import HttpReader
from reconcile.core.errors import StoreUnavailable
from tests.servers.clock import SkippingClock
from tests.servers.faults import FOREVER, Call, Fault
from tests.servers.gcs import GcsServer
from tests.servers.gcs_world import Preconditions

PLAIN = random.Random(7).randbytes(700_000) + bytes(700_000)
PACKED = gzip.compress(PLAIN)


@pytest.fixture
def server() -> Iterator[GcsServer]:
    with GcsServer() as started:
        started.world.make_bucket("b")
        started.world.insert("b", "plain.mp4", PLAIN, {"contentType": "video/mp4"})
        started.world.insert("b", "packed.srt", PACKED, {"contentType": "text/plain", "contentEncoding": "gzip"})
        yield started


@pytest.fixture
def store(server: GcsServer) -> Iterator[GcsObjectStore]:
    with GcsObjectStore("b", "", server.url, clock=SkippingClock()) as opened:
        yield opened


def read(store: GcsObjectStore, key: str, **options: Any) -> bytes:
    return b"".join(store.read(key, **options))


def gateway(*, always: bool) -> Fault:
    """Packs each answer with bytes of an object, where the client takes gzip, or always."""
    welcome: Callable[[Call], bool] = lambda call: always or "gzip" in call.headers.get("accept-encoding", "")  # noqa: E731
    return Fault(path="/download", when=welcome, packs=True, times=FOREVER)


def test_gcs_unpacks_for_who_does_not_take_gzip_without_a_length_and_without_ranges(server: GcsServer) -> None:
    url = f"{server.url}/download/storage/v1/b/b/o/packed.srt?alt=media"
    with requests.get(url, headers={"Accept-Encoding": "identity", "Range": "bytes=5-9"}, timeout=10) as answer:
        assert (answer.status_code, answer.content) == (200, PLAIN)
        assert "Content-Length" not in answer.headers
        assert "Content-Encoding" not in answer.headers
    with requests.get(
        url, headers={"Accept-Encoding": "gzip", "Range": "bytes=5-9"}, timeout=10, stream=True
    ) as answer:
        assert (answer.status_code, answer.raw.read(decode_content=False)) == (206, PACKED[5:10])
        assert answer.headers["Content-Encoding"] == "gzip"
    server.world.patch("b", "packed.srt", {"cacheControl": "no-transform"}, Preconditions())
    with requests.get(url, headers={"Accept-Encoding": "identity"}, timeout=10) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"


@pytest.mark.parametrize("offset", [0, 1, 300_000])
def test_an_encoded_object_comes_as_it_is_stored(store: GcsObjectStore, offset: int) -> None:
    assert read(store, "packed.srt", encoded=True, offset=offset) == PACKED[offset:]


def test_a_broken_download_of_an_encoded_object_goes_on_where_it_broke(
    server: GcsServer, store: GcsObjectStore
) -> None:
    server.script.add(Fault(path="/download", cut=300_000))
    assert read(store, "packed.srt", encoded=True) == PACKED
    assert len(server.script.calls(path="/download")) == 2


def test_nobody_is_asked_to_pack_a_plain_object(server: GcsServer, store: GcsObjectStore) -> None:
    server.script.add(gateway(always=False))
    assert read(store, "plain.mp4") == PLAIN
    [call] = server.script.calls(path="/download")
    assert call.headers["accept-encoding"] == "identity"


def test_what_a_gateway_packs_unasked_is_judged_unpacked(server: GcsServer, store: GcsObjectStore) -> None:
    server.script.add(gateway(always=True))
    assert read(store, "plain.mp4") == PLAIN
    assert read(store, "packed.srt", encoded=True) == PACKED


def test_a_part_that_a_gateway_packs_is_an_error_and_not_bytes(server: GcsServer, store: GcsObjectStore) -> None:
    server.script.add(gateway(always=True))
    with pytest.raises(StoreUnavailable, match="part of an object compressed"):
        read(store, "plain.mp4", offset=10)


def test_an_encoded_object_that_a_gateway_unpacks_is_an_error_and_not_damage(
    server: GcsServer, store: GcsObjectStore
) -> None:
    with pytest.raises(StoreUnavailable, match="an encoded object decompressed"):
        read(store, "plain.mp4", encoded=True)


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(PLAIN)[:-5]])
def test_what_a_gateway_packs_badly_is_an_error(server: GcsServer, store: GcsObjectStore, body: bytes) -> None:
    server.script.add(Fault(path="/download", packs=True, rewrite=lambda _body: body))
    with pytest.raises(StoreUnavailable, match="gzip data"):
        read(store, "plain.mp4")


SIGNED = (
    "?X-Goog-Algorithm=x&X-Goog-Credential=x&X-Goog-Date=20990101T000000Z&X-Goog-Expires=1"
    "&X-Goog-SignedHeaders=host&X-Goog-Signature=x"
)


@pytest.mark.parametrize("always", [False, True])
def test_a_url_is_judged_by_what_arrives_unpacked(server: GcsServer, always: bool) -> None:
    server.script.add(Fault(when=gateway(always=always).when, packs=True, times=FOREVER))
    with closing(HttpReader(connections=1, clock=SkippingClock())) as reader:
        with reader.fetch(f"{server.url}/b/plain.mp4{SIGNED}") as served:
            assert (served.encoding, b"".join(served.body)) == ("", PLAIN)
        with reader.fetch(f"{server.url}/b/packed.srt{SIGNED}", encoded=True) as served:
            assert (served.encoding, b"".join(served.body)) == ("gzip", PACKED)
        with reader.fetch(f"{server.url}/b/packed.srt{SIGNED}", encoded=True, limit=100) as served:
            assert (served.status, served.encoding, b"".join(served.body)) == (206, "gzip", PACKED[:100])
