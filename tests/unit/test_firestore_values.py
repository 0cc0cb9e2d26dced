"""Firestore's own types survive a read, a fix of one field, and the write back."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from google.api_core.datetime_helpers import DatetimeWithNanoseconds
from google.cloud.firestore_v1 import GeoPoint
from google.cloud.firestore_v1.types import firestore as rpc
from google.cloud.firestore_v1.vector import Vector
from google.protobuf.json_format import MessageToJson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconcile.adapters.firestore.messages import Value, encode, encode_fields, same_fields, timestamp, token
from reconcile.adapters.firestore.store import FirestoreRecordStore
from reconcile.adapters.firestore.values import decode, decode_document
from reconcile.adapters.firestore.wire import connect
from tests.conformance.record_stores import ClientHand
from tests.kit.search import thoroughly
from tests.servers.firestore import FirestoreServer

PATH = r"C:\oo\bar\output\characters\rem.png"
URI = "gs://b/rem.png"


@dataclass(frozen=True)
class Place:
    """A Firestore seen three ways: by the store, by Google's client, and as the messages it holds."""

    store: FirestoreRecordStore
    client: Any
    stranger: Any
    transport: Any

    def messages(self) -> Mapping[str, Any]:
        """The document rem as it comes over gRPC."""
        return grpc_read(self.transport, "rem").fields


def grpc_read(transport: Any, document: str) -> Any:
    """A document as its own message, read by the transport of Google's client."""
    database = "projects/values/databases/(default)"
    name = f"{database}/documents/characters/{document}"
    asked = rpc.BatchGetDocumentsRequest.pb()(database=database, documents=[name])
    routed = (("google-cloud-resource-prefix", database),)
    [answer] = transport.batch_get_documents(asked, timeout=10, metadata=routed)
    return rpc.BatchGetDocumentsResponse.pb(answer).found


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
    transport = connect(project, "(default)", address)
    client, stranger = ClientHand(project, address).client, ClientHand("stranger", address).client
    yield Place(store, client, stranger, transport)
    for each in (store, transport, client, stranger):
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


def on_the_wire(text: str) -> Any:
    return msgspec.json.decode(text.encode(), type=dict[str, msgspec.Raw])


def test_every_value_comes_over_json_as_over_grpc_to_the_bit(place: Place) -> None:
    place.client.document("characters/rem").set({"assets": [typed(place, PATH)], "empty": [], "map": {}})
    [read] = place.store.read(["rem"])
    over_grpc = grpc_read(place.transport, "rem")
    assert same_fields(encode_fields(read.fields), over_grpc.fields)
    assert read.update_time == token(over_grpc.update_time)
    assert timestamp(read.update_time) == over_grpc.update_time
    [listed] = place.store.read()
    assert repr(listed) == repr(read)


FLOATS = st.floats(allow_nan=True, allow_infinity=True, width=64)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda name: not re.fullmatch("__.*__", name, re.DOTALL)
)
TIMES = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | FLOATS
    | TEXTS
    | st.binary(max_size=8)
    | TIMES
    | st.builds(GeoPoint, st.floats(-90, 90), st.floats(-180, 180))
    | st.lists(st.floats(allow_nan=False), min_size=1, max_size=3).map(Vector)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.dictionaries(NAMES, inner, max_size=3)
        | st.lists(inner.filter(lambda each: not isinstance(each, list | Vector)), max_size=3)
    ),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_whatever_a_document_holds_both_ways_tell_the_same(place: Place, fields: dict[str, Any]) -> None:
    place.client.document("characters/any").set(fields)
    [read] = place.store.read(["any"])
    over_grpc = grpc_read(place.transport, "any")
    assert same_fields(encode_fields(read.fields), over_grpc.fields)
    assert read.update_time == token(over_grpc.update_time)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("-0", -0.0), ("-0.0", -0.0), ("0", 0.0), ("1", 1.0), ("5e-324", 5e-324),
        ("12345678901234567890", 1.2345678901234567e19),
        ("1.7976931348623157e308", 1.7976931348623157e308), ('"NaN"', math.nan), ('"Infinity"', math.inf),
        ('"-Infinity"', -math.inf),
    ],
)  # fmt: skip
def test_a_float_is_a_float_however_it_is_written(written: str, value: float) -> None:
    found = decode(on_the_wire(f'{{"doubleValue": {written}}}'))
    assert struct.pack("d", found) == struct.pack("d", value)


WIRE = st.recursive(
    st.fixed_dictionaries({}, optional={"stringValue": TEXTS | st.none() | st.integers()})
    | st.fixed_dictionaries(
        {"integerValue": st.sampled_from(["0", "-1", "007", "-0", "9" * 19, "9" * 18, "x", 5, 2**63])}
    )
    | st.fixed_dictionaries(
        {"doubleValue": st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0, "NaN"])}
    )
    | st.fixed_dictionaries({"booleanValue": st.booleans() | st.just("true")})
    | st.fixed_dictionaries({"nullValue": st.none() | st.just("NULL_VALUE") | st.just({})})
    | st.fixed_dictionaries(
        {"timestampValue": st.sampled_from(["2026-02-07T03:00:00Z", "2026-02-07T03:00:00.1234567Z", "x"])}
    )
    | st.fixed_dictionaries({"bytesValue": st.just("AA=="), "stringValue": st.just("a")})
    | st.fixed_dictionaries({"colourValue": st.dictionaries(TEXTS, st.integers(), max_size=2)})
    | TEXTS
    | st.none(),
    lambda inner: (
        st.fixed_dictionaries(
            {
                "mapValue": st.fixed_dictionaries(
                    {}, optional={"fields": st.dictionaries(TEXTS | st.just("__type__"), inner, max_size=3)}
                )
            }
        )
        | st.fixed_dictionaries(
            {"arrayValue": st.fixed_dictionaries({}, optional={"values": st.lists(inner, max_size=3)})}
        )
    ),
    max_leaves=6,
)


@thoroughly(6)
@given(fields=st.dictionaries(TEXTS, WIRE, max_size=4))
def test_a_document_is_decoded_at_once_as_it_is_value_by_value(fields: dict[str, Any]) -> None:
    def outcome(decoded: Any) -> str:
        try:
            found = decoded()
            return repr((found, list(found)))
        except ValueError:
            return "refused"

    wire = json.dumps(fields).encode()
    each = msgspec.json.Decoder(dict[str, dict[str, msgspec.Raw]])
    by_value = outcome(lambda: {name: decode(value) for name, value in sorted(each.decode(wire).items())})
    assert outcome(lambda: decode_document(msgspec.Raw(wire))) == by_value


@pytest.mark.parametrize("written", ["-0", "-0.0", "1e400", "-1e-400", "5e-324", "9" * 400, "0.1e1"])
def test_a_float_of_a_document_is_what_it_is_by_itself(written: str) -> None:
    wire = f'{{"a": {{"doubleValue": {written}}}}}'
    try:
        value = decode(on_the_wire(f'{{"doubleValue": {written}}}'))
    except ValueError:
        with pytest.raises(ValueError, match=r"float|range"):
            decode_document(msgspec.Raw(wire.encode()))
    else:
        assert struct.pack("d", decode_document(msgspec.Raw(wire.encode()))["a"]) == struct.pack("d", value)


def test_a_kind_of_value_that_nobody_knows_yet_is_read_and_refuses_to_be_written() -> None:
    found = decode(on_the_wire('{"colourValue": {"shade": -0, "name": "blue"}}'))
    assert found == decode(on_the_wire('{"colourValue":{"name":"blue","shade":-0.0}}'))
    assert found != decode(on_the_wire('{"colourValue":{"name":"blue","shade":0}}'))
    with pytest.raises(ValueError, match="colourValue"):
        encode(found)


def test_writing_back_what_was_read_changes_nothing(place: Place) -> None:
    place.client.document("characters/rem").set({"assets": [typed(place, PATH)]})
    [read] = place.store.read(["rem"])
    assert place.store.update("rem", read.fields, if_update_time=read.update_time) == read.update_time


@pytest.mark.parametrize(
    "plain", [None, True, 0, -1, 2**63 - 1, -(2**63), 1.0, "", "é😀", [], {}, [{"a": [{}]}]], ids=repr
)
def test_plain_values_are_themselves(plain: Any) -> None:
    again = decode(on_the_wire(MessageToJson(encode(plain))))
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
