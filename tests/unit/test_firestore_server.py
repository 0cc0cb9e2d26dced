"""The server in this process answers Google's client as the official emulator does."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.api_core import exceptions
from google.api_core.retry import Retry
from google.cloud import firestore
from google.cloud.firestore_v1.base_query import FieldFilter

from tests.conformance.record_stores import ClientHand
from tests.servers.firestore import FirestoreServer

NEVER = Retry(predicate=lambda _: False)


@pytest.fixture(
    params=[
        pytest.param("firestore_server", id="server"),
        pytest.param("firestore_emulator", id="emulator", marks=pytest.mark.emulator),
    ]
)
def client(request: pytest.FixtureRequest) -> Iterator[firestore.Client]:
    server = request.getfixturevalue(request.param)
    address = server.address if isinstance(server, FirestoreServer) else server
    opened = ClientHand(f"honest-{uuid.uuid4().hex[:12]}", address).client
    yield opened
    opened.close()


def fill(client: firestore.Client, count: int) -> list[str]:
    ids = [f"c{number:03}" for number in range(count)]
    batch = client.batch()
    for number, document in enumerate(ids):
        batch.set(client.document(f"characters/{document}"), {"n": number, "even": number % 2 == 0})
    batch.commit()
    return ids


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(exceptions.GoogleAPICallError) as failure:
        call()
    return type(failure.value).__name__


def test_preconditions_answer_alike(client: firestore.Client) -> None:
    document = client.document("characters/rem")
    document.create({"n": 1})
    stale = client.write_option(last_update_time=document.get().update_time)
    document.update({"n": 2})
    answers = {
        "create": refused(lambda: document.create({"n": 1})),
        "update stale": refused(lambda: document.update({"n": 3}, option=stale)),
        "delete stale": refused(lambda: document.delete(option=stale)),
        "update absent": refused(lambda: client.document("characters/ram").update({"n": 3})),
    }
    assert answers == {
        "create": "AlreadyExists",
        "update stale": "FailedPrecondition",
        "delete stale": "FailedPrecondition",
        "update absent": "NotFound",
    }
    assert document.get().to_dict() == {"n": 2}
    document.update({"n": 4}, option=client.write_option(last_update_time=document.get().update_time))
    document.delete(option=client.write_option(last_update_time=document.get().update_time))
    assert not document.get().exists


def test_update_times_are_microseconds_that_rise_and_rest(client: firestore.Client) -> None:
    document = client.document("characters/rem")
    times = [document.set({"n": number // 2}).update_time for number in range(8)]
    assert times == sorted(times)
    assert len(set(times)) == 4
    assert all(time.nanosecond % 1000 == 0 for time in times)


def test_a_batch_lands_whole_or_not_at_all(client: firestore.Client) -> None:
    one, other, third = (client.document(f"characters/{name}") for name in ("rem", "ram", "emilia"))
    one.set({"n": 1})
    third.set({"n": 1})
    batch = client.batch()
    batch.update(one, {"n": 2})
    batch.set(other, {"n": 1})
    batch.create(third, {"n": 3})
    assert refused(batch.commit) == "AlreadyExists"
    assert (one.get().to_dict(), other.get().exists) == ({"n": 1}, False)
    batch = client.batch()
    batch.set(other, {"n": 1})
    batch.set(other, {"m": 2}, merge=True)
    batch.commit()
    assert other.get().to_dict() == {"n": 1, "m": 2}


def test_set_replaces_and_merge_and_update_do_not(client: firestore.Client) -> None:
    document = client.document("characters/rem")
    document.set({"a": 1, "deep": {"x": 1, "y": 2}})
    document.set({"deep": {"x": 3}}, merge=True)
    assert document.get().to_dict() == {"a": 1, "deep": {"x": 3, "y": 2}}
    document.update({"deep.y": firestore.DELETE_FIELD, client.field_path("a.b"): 4})
    assert document.get().to_dict() == {"a": 1, "a.b": 4, "deep": {"x": 3}}
    document.set({"b": 1})
    assert document.get().to_dict() == {"b": 1}


def test_a_path_into_an_array_makes_a_map_of_it(client: firestore.Client) -> None:
    document = client.document("characters/rem")
    document.set({"assets": [{"uri": "a"}, {"uri": "b"}]})
    document.update({"assets.0.uri": "c"})
    assert document.get().to_dict() == {"assets": {"0": {"uri": "c"}}}


@pytest.mark.parametrize(
    ("document", "fields"),
    [
        ("__x__", {}),
        ("..", {}),
        ("x" * 1_501, {}),
        ("rem", {"__x__": 1}),
        ("rem", {"a": [[1]]}),
        ("rem", {"a": "x" * 1_048_576}),
        ("rem", {"a": ["x" * 1_000] * 1_100}),
        ("rem", {"n" * 1_501: 1}),
        ("rem", {"a": {"n" * 1_499: 1}}),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_limits_are_invalid_arguments(client: firestore.Client, document: str, fields: dict[str, Any]) -> None:
    assert refused(lambda: client.collection("characters").document(document).set(fields)) == "InvalidArgument"


def test_the_largest_document_is_one_of_a_mebibyte(client: firestore.Client) -> None:
    document = client.document("characters/x")
    texts = ["x" * 524_253, "x" * 524_253]
    document.set({"assets": texts})
    texts[1] += "x"
    assert refused(lambda: document.set({"assets": texts})) == "InvalidArgument"


def test_queries_page_filter_and_project(client: firestore.Client) -> None:
    ids = fill(client, 40)
    collection = client.collection("characters")
    ordered = collection.order_by("__name__")

    def found(query: Any) -> list[str]:
        return [snapshot.id for snapshot in query.stream(retry=NEVER)]

    assert found(ordered) == found(collection) == ids
    assert found(ordered.limit(7)) == ids[:7]
    assert found(ordered.start_after({"__name__": collection.document("c010")}).limit(5)) == ids[11:16]
    assert found(ordered.start_at({"__name__": collection.document("c010")}).limit(2)) == ids[10:12]
    assert found(ordered.end_before({"__name__": collection.document("c003")})) == ids[:3]
    assert found(ordered.end_at({"__name__": collection.document("c003")})) == ids[:4]
    assert found(ordered.start_at({"__name__": collection.document("c0105")}).limit(1)) == ["c011"]
    assert found(collection.where(filter=FieldFilter("even", "==", True)).where(filter=FieldFilter("n", "==", 4))) == [
        "c004"
    ]
    above = collection.where(filter=FieldFilter("__name__", ">=", collection.document("c038")))
    assert found(above) == ["c038", "c039"]
    assert [each.to_dict() for each in ordered.select(["n"]).limit(2).stream(retry=NEVER)] == [{"n": 0}, {"n": 1}]
    assert [each.to_dict() for each in ordered.select([]).limit(1).stream(retry=NEVER)] == [{}]
    assert found(client.collection("nothing")) == []


def test_all_documents_can_be_named_or_listed(client: firestore.Client) -> None:
    ids = fill(client, 12)
    collection = client.collection("characters")
    asked = [collection.document(name) for name in (*ids, "absent")]
    got = {each.id: each.to_dict() for each in client.get_all(asked, field_paths=["n"])}
    assert got == {**{name: {"n": number} for number, name in enumerate(ids)}, "absent": None}
    assert sorted(each.id for each in collection.list_documents(page_size=5)) == ids


def test_transactions_lose_no_increment(client: firestore.Client) -> None:
    document = client.document("characters/rem")
    document.set({"n": 0})

    @firestore.transactional
    def increment(transaction: firestore.Transaction) -> None:
        count = document.get(transaction=transaction).get("n")
        transaction.update(document, {"n": count + 1})

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: increment(client.transaction(max_attempts=50)), range(4)))
    assert document.get().to_dict() == {"n": 4}


def test_a_rolled_back_transaction_writes_nothing(client: firestore.Client) -> None:
    document = client.document("characters/rem")
    document.set({"n": 0})

    @firestore.transactional
    def fail(transaction: firestore.Transaction) -> None:
        transaction.update(document, {"n": 1})
        raise LookupError

    with pytest.raises(LookupError):
        fail(client.transaction())
    assert document.get().to_dict() == {"n": 0}
