"""Firestore's own types survive a read, a fix of one field, and the write back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from google.api_core.datetime_helpers import DatetimeWithNanoseconds
from google.cloud.firestore_v1 import GeoPoint
from google.cloud.firestore_v1.vector import Vector

from reconcile.adapters.firestore.store import FirestoreRecordStore
from reconcile.adapters.firestore.values import Value, decode, encode, same_fields, timestamp, token
from reconcile.adapters.firestore.wire import Wire, connect
from tests.conformance.record_stores import ClientHand
from tests.servers.firestore import FirestoreServer

PATH = r"C:\oo\bar\output\characters\rem.png"
URI = "gs://b/rem.png"


@dataclass(frozen=True)
class Place:
    """A Firestore seen three ways: by the store, by Google's client, and as the messages it holds."""

    store: FirestoreRecordStore
    client: Any
    stranger: Any
    wire: Wire

    def messages(self) -> Mapping[str, Any]:
        [(_, found)] = self.wire.get(["rem"], None, 10)
        assert found is not None
        return found.fields


@pytest.fixture(
    params=[
        pytest.param("firestore_server", id="server"),
        pytest.param("firestore_emulator", id="emulator", marks=pytest.mark.emulator),
    ]
)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    server = request.getfixturevalue(request.param)
    address = server.address if isinstance(server, FirestoreServer) else server
    project = "values"
    store = FirestoreRecordStore.open(project, "(default)", "characters", address)
    wire = Wire(connect(project, "(default)", address), project, "(default)", "characters")
    client, stranger = ClientHand(project, address).client, ClientHand("stranger", address).client
    yield Place(store, client, stranger, wire)
    for each in (store, wire, client, stranger):
        each.close()


def typed(place: Place, path: str) -> dict[str, Any]:
    """One value of each type, beside a path that is to be fixed."""
    return {
        "title": "primary",
        "anime_image": path,
        "made": DatetimeWithNanoseconds(2026, 2, 7, 3, 0, 0, nanosecond=123_456_000, tzinfo=UTC),
        "ancient": datetime(1, 1, 1, tzinfo=UTC),
        "where": GeoPoint(35.68, 139.76),
        "friend": place.client.document("characters/ram"),
        "foreign": place.stranger.document("characters/ram"),
        "bytes": b"\x00\xff",
        "vector": Vector([1.0, 2.5]),
        "nan": math.nan,
        "infinite": -math.inf,
        "minus zero": -0.0,
        "big": 2**63 - 1,
        "whole": 1.0,
        "true": True,
        "none": None,
        "deep": {"list": [{"made": DatetimeWithNanoseconds(2026, 1, 1, nanosecond=5_000, tzinfo=UTC)}, b"x", math.nan]},
    }


def test_all_types_survive_the_fix_of_one_field(place: Place) -> None:
    document = place.client.document("characters/rem")
    document.set({"assets": [typed(place, URI), "a text", GeoPoint(1, 2)], "seen": GeoPoint(1, 2), "name": "Rem"})
    wanted = dict(place.messages())
    document.set({"assets": [typed(place, PATH), "a text", GeoPoint(1, 2)], "seen": GeoPoint(1, 2), "name": "Rem"})

    [read] = place.store.read(["rem"])
    [entry, *others] = read.fields["assets"]
    fixed = [{**entry, "anime_image": URI}, *others]
    place.store.update("rem", {"assets": fixed}, if_update_time=read.update_time)

    assert entry["anime_image"] == PATH
    assert same_fields(place.messages(), wanted)


def test_writing_back_what_was_read_changes_nothing(place: Place) -> None:
    place.client.document("characters/rem").set({"assets": [typed(place, PATH)]})
    [read] = place.store.read(["rem"])
    assert place.store.update("rem", read.fields, if_update_time=read.update_time) == read.update_time


@pytest.mark.parametrize(
    "plain", [None, True, 0, -1, 2**63 - 1, -(2**63), 1.0, "", "é😀", [], {}, [{"a": [{}]}]], ids=repr
)
def test_plain_values_are_themselves(plain: Any) -> None:
    again = decode(encode(plain))
    assert again == plain
    assert type(again) is type(plain)


@pytest.mark.parametrize("value", [2**63, "\ud800", b"x", {1: 2}, {"a": [datetime(2026, 1, 1, tzinfo=UTC)]}], ids=repr)
def test_values_without_a_place_are_refused(value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        encode(value)


def test_messages_are_compared_bit_by_bit() -> None:
    def same(one: Any, other: Any) -> bool:
        return same_fields({"a": encode(one)}, {"a": encode(other)})

    assert same([math.nan], [math.nan])
    assert same({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert not same([1, 2], [2, 1])
    assert not same(1, 1.0)
    assert not same(0.0, -0.0)
    assert not same_fields({"a": Value()}, {"b": Value()})


@pytest.mark.parametrize(
    "text",
    ["2026-02-07T03:00:00.000000Z", "2026-02-07T03:00:00.100000Z", "2026-02-07T03:00:00.123456Z",
     "2026-02-07T03:00:00.123456789Z", "2026-02-07T03:00:00.000000100Z"],
)  # fmt: skip
def test_update_times_make_the_round_trip(text: str) -> None:
    assert token(timestamp(text)) == text
