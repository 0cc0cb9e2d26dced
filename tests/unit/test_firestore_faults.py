"""What the Firestore store makes of a bad network: what the caller sees, and what the server holds after it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Container, Iterator
from typing import Any

import grpc
import pytest

from reconcile.adapters.firestore.failures import MAYBE_APPLIED, TRANSIENT
from reconcile.adapters.firestore.paging import LARGEST_PAGE, NAMES_PAGE, PAGE
from reconcile.adapters.firestore.store import FirestoreRecordStore
from reconcile.adapters.retry import Clock
from reconcile.core.errors import (
    AccessDenied,
    NotThere,
    PreconditionFailed,
    Rejected,
    StoreError,
    StoreMissing,
    StoreUnavailable,
    Uncertain,
)
from reconcile.core.moment import Moment
from tests.conformance.record_stores import ClientHand
from tests.servers.clock import SkippingClock
from tests.servers.firestore import FirestoreServer

Code = grpc.StatusCode
PATIENT = 5.0
HASTY = 0.4
LOST = sorted(MAYBE_APPLIED)
BEFORE = {"name": "Rem", "assets": [{"title": "primary", "anime_image": r"C:\oo\rem.png"}]}
FIXED = [{"title": "primary", "anime_image": "gs://b/rem.png"}]
FOREVER = 10_000


@pytest.fixture
def store(firestore_server: FirestoreServer) -> Iterator[FirestoreRecordStore]:
    opened = open_at(firestore_server.address, PATIENT, SkippingClock())
    yield opened
    opened.close()


@pytest.fixture
def hasty(firestore_server: FirestoreServer) -> Iterator[FirestoreRecordStore]:
    """The same, soon out of patience: for what fails for good."""
    opened = open_at(firestore_server.address, HASTY)
    yield opened
    opened.close()


@pytest.fixture
def hand(firestore_server: FirestoreServer) -> Iterator[ClientHand]:
    other = ClientHand("p", firestore_server.address)
    yield other
    other.client.close()


def open_at(address: str, deadline: float, clock: Clock = time) -> FirestoreRecordStore:
    return FirestoreRecordStore.open("p", "(default)", "characters", address, deadline=deadline, clock=clock)


def fill(store: FirestoreRecordStore, count: int, other: str = "x") -> list[str]:
    ids = [f"c{number:04}" for number in range(count)]
    for document in ids:
        store.create(document, {"assets": [document], "other": other})
    return ids


def seen(store: FirestoreRecordStore) -> str:
    [document] = store.read(["rem"])
    return document.update_time


def fix(store: FirestoreRecordStore, time: str) -> str:
    return store.update("rem", {"assets": FIXED}, if_update_time=time)


def commits(server: FirestoreServer, since: int) -> int:
    return sum(name == "Commit" for name, _ in server.log[since:])


# -- reading ----------------------------------------------------------------------------------------------------


def names(store: FirestoreRecordStore, ids: list[str]) -> list[str]:
    return list(store.ids())


def all_documents(store: FirestoreRecordStore, ids: list[str]) -> list[str]:
    return [document.id for document in store.read()]


def some_documents(store: FirestoreRecordStore, ids: list[str]) -> list[str]:
    return [document.id for document in store.read(ids)]


READS = [
    pytest.param(names, "RunQuery", id="ids"),
    pytest.param(all_documents, "RunQuery", id="all"),
    pytest.param(some_documents, "BatchGetDocuments", id="some"),
]
Reading = Callable[[FirestoreRecordStore, list[str]], list[str]]


@pytest.mark.parametrize(("reading", "method"), READS)
@pytest.mark.parametrize("code", sorted(TRANSIENT))
def test_a_read_that_fails_for_a_while_is_tried_again(
    store: FirestoreRecordStore, firestore_server: FirestoreServer, reading: Reading, method: str, code: str
) -> None:
    ids = fill(store, 3)
    firestore_server.fault(method, times=2, before=Code[code])
    assert reading(store, ids) == ids
    assert len(firestore_server.calls(method)) == 3


@pytest.mark.parametrize(("reading", "method"), READS)
def test_a_stream_that_is_cut_goes_on_where_it_broke(
    store: FirestoreRecordStore, firestore_server: FirestoreServer, reading: Reading, method: str
) -> None:
    ids = fill(store, PAGE + 50)
    firestore_server.fault(method, times=2, cut=100)
    assert reading(store, ids) == ids


@pytest.mark.parametrize(("reading", "method"), READS)
def test_a_stream_that_always_breaks_ends_all_the_same(
    store: FirestoreRecordStore, firestore_server: FirestoreServer, reading: Reading, method: str
) -> None:
    ids = fill(store, 6)
    firestore_server.fault(method, times=6, cut=1)
    assert reading(store, ids) == ids


@pytest.mark.parametrize(("reading", "method"), READS)
def test_a_cut_after_the_last_document_is_not_taken_for_the_end(
    store: FirestoreRecordStore, firestore_server: FirestoreServer, reading: Reading, method: str
) -> None:
    ids = fill(store, 3)
    firestore_server.fault(method, after=Code.UNAVAILABLE)
    assert reading(store, ids) == ids


@pytest.mark.parametrize(("reading", "method"), READS)
@pytest.mark.parametrize(
    ("code", "error", "said"),
    [
        (Code.UNAVAILABLE, StoreUnavailable, "does not answer"),
        (Code.RESOURCE_EXHAUSTED, StoreUnavailable, "quota"),
        (Code.PERMISSION_DENIED, AccessDenied, "injected"),
        (Code.UNAUTHENTICATED, AccessDenied, "credentials"),
        (Code.NOT_FOUND, StoreMissing, "database"),
        (Code.FAILED_PRECONDITION, Rejected, "not ready"),
        (Code.INVALID_ARGUMENT, Rejected, "refused"),
    ],
)
def test_a_read_that_fails_for_good_is_never_a_short_answer(
    hasty: FirestoreRecordStore,
    firestore_server: FirestoreServer,
    reading: Reading,
    method: str,
    code: grpc.StatusCode,
    error: type[StoreError],
    said: str,
) -> None:
    ids = fill(hasty, 3)
    firestore_server.fault(method, cut=2)
    firestore_server.fault(method, nth=2, times=FOREVER, before=code)
    with pytest.raises(error, match=said) as failure:
        reading(hasty, ids)
    assert type(failure.value) is error
    assert "firestore://p/(default)/characters at 127.0.0.1:" in failure.value.message
    assert failure.value.hint


def test_a_later_page_that_fails_is_an_error_after_the_pages_before(
    hasty: FirestoreRecordStore, firestore_server: FirestoreServer
) -> None:
    ids = fill(hasty, PAGE + 1)
    firestore_server.fault("RunQuery", nth=2, times=FOREVER, before=Code.UNAVAILABLE)
    documents = hasty.read()
    assert [next(documents).id for _ in range(PAGE)] == ids[:PAGE]
    with pytest.raises(StoreUnavailable):
        next(documents)


def test_denied_is_an_answer_and_names_the_role(store: FirestoreRecordStore, firestore_server: FirestoreServer) -> None:
    firestore_server.fault("RunQuery", times=FOREVER, before=Code.PERMISSION_DENIED)
    with pytest.raises(AccessDenied) as failure:
        list(store.ids())
    assert "roles/datastore.user" in failure.value.hint
    assert len(firestore_server.calls("RunQuery")) == 1


def test_a_token_that_cannot_be_had_is_a_matter_of_credentials(
    hasty: FirestoreRecordStore, firestore_server: FirestoreServer
) -> None:
    said = "Getting metadata from plugin failed with error: Reauthentication is needed"
    for method in ("RunQuery", "Commit"):
        firestore_server.fault(method, times=FOREVER, before=Code.UNAVAILABLE, details=said)
    for call in (lambda: list(hasty.ids()), lambda: hasty.create("rem", BEFORE)):
        with pytest.raises(AccessDenied, match="Reauthentication") as failure:
            call()
        assert "gcloud auth application-default login" in failure.value.hint


def test_a_server_that_forgets_its_cursors_is_not_asked_forever(
    store: FirestoreRecordStore, firestore_server: FirestoreServer
) -> None:
    fill(store, PAGE + 1)
    firestore_server.fault("RunQuery", times=FOREVER, edit=lambda query: query.structured_query.ClearField("start_at"))
    with pytest.raises(StoreUnavailable, match="does not answer as Firestore does"):
        list(store.read())


def test_a_server_that_leaves_a_document_out_is_not_believed(
    store: FirestoreRecordStore, firestore_server: FirestoreServer
) -> None:
    ids = fill(store, 3)
    firestore_server.fault("BatchGetDocuments", times=FOREVER, edit=lambda get: get.documents.pop())
    with pytest.raises(StoreUnavailable, match="neither a document nor its absence"):
        list(store.read(ids))


def moments(server: FirestoreServer, method: str) -> list[bool]:
    """Of each request of a method, whether it names a moment."""
    return [request.HasField("read_time") for request in server.calls(method)]


@pytest.mark.parametrize(("reading", "method"), READS)
def test_pages_after_the_first_are_as_of_its_moment(
    store: FirestoreRecordStore,
    firestore_server: FirestoreServer,
    reading: Reading,
    method: str,
) -> None:
    ids = fill(store, NAMES_PAGE + 1 if reading is names else PAGE + 1)
    assert reading(store, ids) == ids
    assert moments(firestore_server, method) == [False, True]


@pytest.mark.parametrize("code", [Code.FAILED_PRECONDITION, Code.INVALID_ARGUMENT])
@pytest.mark.parametrize("wanted", [None, PAGE + 5])
def test_a_moment_that_the_database_keeps_no_longer_makes_the_rest_be_read_as_of_now(
    store: FirestoreRecordStore, hand: ClientHand, firestore_server: FirestoreServer, code: Code, wanted: int | None
) -> None:
    ids = fill(store, PAGE + 5)
    at = Moment()
    found = store.read(None if wanted is None else ids[:wanted], at=at)
    begun = next(found)
    first = at.as_of
    hand.put(ids[-1], {"assets": ["changed"]})
    for method in ("RunQuery", "BatchGetDocuments"):
        firestore_server.fault(
            method, times=FOREVER, before=code, when=lambda request: request.read_time.ToJsonString() == first
        )
    documents = [begun, *found]
    assert [each.id for each in documents] == ids
    assert documents[-1].fields["assets"] == ["changed"]
    assert at.lapsed
    assert at.of_all is None
    assert at.as_of > first
    assert len(list(store.read(at=at))) == len(ids)


def test_a_database_that_keeps_nothing_is_read_whole(
    store: FirestoreRecordStore, firestore_server: FirestoreServer
) -> None:
    ids = fill(store, 2 * PAGE + 1, "x" * 20_000)
    firestore_server.keeps = 0.0
    assert [each.id for each in store.read()] == ids


def test_a_refusal_that_is_not_for_the_moment_is_an_error_all_the_same(
    store: FirestoreRecordStore, firestore_server: FirestoreServer
) -> None:
    fill(store, PAGE + 1)
    firestore_server.fault(
        "RunQuery", nth=2, times=FOREVER, before=Code.FAILED_PRECONDITION, details="not in this mode"
    )
    with pytest.raises(Rejected, match="not in this mode"):
        list(store.read())
    assert moments(firestore_server, "RunQuery") == [False, True, False]


def test_no_look_at_a_document_that_is_to_be_written_is_of_the_past(
    store: FirestoreRecordStore, hand: ClientHand, firestore_server: FirestoreServer
) -> None:
    store.create("rem", BEFORE)
    at = Moment()
    list(store.read(at=at))
    time = seen(store)
    firestore_server.fault("Commit", after=Code.UNAVAILABLE)
    fix(store, time)
    hand.put("rem", {"name": "changed"})
    assert next(iter(store.read(["rem"]))).fields == {"name": "changed"}
    assert moments(firestore_server, "BatchGetDocuments") == [False] * len(firestore_server.calls("BatchGetDocuments"))


def test_documents_are_asked_for_whole_and_ids_alone_without_their_fields(
    store: FirestoreRecordStore, firestore_server: FirestoreServer
) -> None:
    ids = fill(store, PAGE + 1)
    assert [document.fields["assets"] for document in store.read()] == [[document] for document in ids]
    assert all(document.fields["other"] == "x" for document in store.read(ids[:1]))
    assert len(list(store.read(ids))) == len(ids)
    list(store.ids("c00"))
    *pages, last = firestore_server.calls("RunQuery")
    assert [field_paths(page) for page in pages] == [[]] * 2
    assert (field_paths(last), len(firestore_server.calls("RunQuery"))) == (["__name__"], 3)
    gets = firestore_server.calls("BatchGetDocuments")
    assert [(len(get.documents), list(get.mask.field_paths)) for get in gets] == [(1, []), (PAGE, []), (1, [])]


@pytest.mark.parametrize(("length", "limits"), [(1, [{PAGE}, {LARGEST_PAGE}]), (40_000, [{PAGE}, range(60, 80)])])
def test_after_the_first_page_each_has_documents_for_some_mebibytes(
    store: FirestoreRecordStore, firestore_server: FirestoreServer, length: int, limits: list[Container[int]]
) -> None:
    ids = fill(store, PAGE + 1, other="x" * length)
    assert [document.id for document in store.read()] == ids
    asked = [page.structured_query.limit.value for page in firestore_server.calls("RunQuery")]
    assert all(each in limit for each, limit in zip(asked, limits, strict=True))


def field_paths(request: Any) -> list[str]:
    return [field.field_path for field in request.structured_query.select.fields]


# -- writing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", LOST)
def test_an_update_whose_reply_is_lost_is_found_done(
    store: FirestoreRecordStore, firestore_server: FirestoreServer, hand: ClientHand, code: str
) -> None:
    hand.put("rem", BEFORE)
    time, mark = seen(store), len(firestore_server.log)
    firestore_server.fault("Commit", after=Code[code])
    assert fix(store, time) == seen(store) != time
    assert hand.fields("rem") == {**BEFORE, "assets": FIXED}
    assert commits(firestore_server, mark) == 1


@pytest.mark.parametrize("code", LOST)
def test_a_create_whose_reply_is_lost_is_found_done(
    store: FirestoreRecordStore, firestore_server: FirestoreServer, hand: ClientHand, code: str
) -> None:
    firestore_server.fault("Commit", after=Code[code])
    assert store.create("rem", BEFORE) == seen(store)
    assert hand.fields("rem") == BEFORE
    assert len(firestore_server.calls("Commit")) == 1


@pytest.mark.parametrize("code", sorted(TRANSIENT))
def test_a_write_that_fails_before_it_is_applied_is_tried_again(
    store: FirestoreRecordStore, firestore_server: FirestoreServer, hand: ClientHand, code: str
) -> None:
    firestore_server.fault("Commit", times=2, before=Code[code])
    time = store.create("rem", BEFORE)
    firestore_server.fault("Commit", times=2, before=Code[code])
    assert fix(store, time) == seen(store) != time
    assert hand.fields("rem") == {**BEFORE, "assets": FIXED}


def test_a_quota_is_waited_for_without_reading(store: FirestoreRecordStore, firestore_server: FirestoreServer) -> None:
    firestore_server.fault("Commit", times=3, before=Code.RESOURCE_EXHAUSTED)
    store.create("rem", BEFORE)
    assert (len(firestore_server.calls("Commit")), firestore_server.calls("BatchGetDocuments")) == (4, [])


def test_another_field_written_after_a_lost_reply_is_no_conflict(
    store: FirestoreRecordStore, firestore_server: FirestoreServer, hand: ClientHand
) -> None:
    hand.put("rem", BEFORE)
    time = seen(store)
    firestore_server.fault("Commit", after=Code.UNAVAILABLE, then=lambda: rename(hand))
    fix(store, time)
    assert hand.fields("rem") == {"name": "somebody else's", "assets": FIXED}


def rename(hand: ClientHand) -> None:
    hand.client.document("characters/rem").update({"name": "somebody else's"})


def test_the_same_field_written_after_a_lost_reply_is_uncertain(
    store: FirestoreRecordStore, firestore_server: FirestoreServer, hand: ClientHand
) -> None:
    hand.put("rem", BEFORE)
    time = seen(store)
    firestore_server.fault("Commit", after=Code.UNAVAILABLE, then=lambda: hand.put("rem", {"assets": []}))
    with pytest.raises(Uncertain, match=r"characters at .*/rem"):
        fix(store, time)
    assert hand.fields("rem") == {"assets": []}


def test_a_document_removed_after_a_lost_reply_is_not_made_again(
    store: FirestoreRecordStore, firestore_server: FirestoreServer, hand: ClientHand
) -> None:
    hand.put("rem", BEFORE)
    time = seen(store)
    firestore_server.fault("Commit", after=Code.DEADLINE_EXCEEDED, then=lambda: hand.remove("rem"))
    with pytest.raises(NotThere):
        fix(store, time)
    assert hand.fields("rem") is None


def test_a_created_document_changed_after_a_lost_reply_is_uncertain(
    store: FirestoreRecordStore, firestore_server: FirestoreServer, hand: ClientHand
) -> None:
    firestore_server.fault("Commit", after=Code.UNAVAILABLE, then=lambda: hand.put("rem", {"name": "theirs"}))
    with pytest.raises(Uncertain):
        store.create("rem", BEFORE)
    assert hand.fields("rem") == {"name": "theirs"}


def test_a_stale_update_is_refused_even_where_it_would_change_nothing(
    store: FirestoreRecordStore, hand: ClientHand
) -> None:
    hand.put("rem", BEFORE)
    time = seen(store)
    hand.put("rem", {**BEFORE, "assets": FIXED})
    with pytest.raises(PreconditionFailed):
        fix(store, time)


@pytest.mark.parametrize("code", ["FAILED_PRECONDITION", "NOT_FOUND"])
def test_a_document_that_went_is_not_there_whichever_way_it_is_said(
    store: FirestoreRecordStore, firestore_server: FirestoreServer, hand: ClientHand, code: str
) -> None:
    hand.put("rem", BEFORE)
    time = seen(store)
    hand.remove("rem")
    firestore_server.fault("Commit", before=Code[code])
    with pytest.raises(NotThere):
        fix(store, time)


def test_a_database_that_went_is_no_missing_document(
    hasty: FirestoreRecordStore, firestore_server: FirestoreServer, hand: ClientHand
) -> None:
    hand.put("rem", BEFORE)
    time = seen(hasty)
    for method in ("Commit", "BatchGetDocuments"):
        firestore_server.fault(method, times=FOREVER, before=Code.NOT_FOUND, details="The database does not exist")
    with pytest.raises(StoreMissing, match="The database does not exist"):
        fix(hasty, time)


@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.PERMISSION_DENIED])
def test_a_lost_reply_that_cannot_be_settled_is_uncertain(
    hasty: FirestoreRecordStore, firestore_server: FirestoreServer, hand: ClientHand, code: grpc.StatusCode
) -> None:
    hand.put("rem", BEFORE)
    time = seen(hasty)
    firestore_server.fault("Commit", after=Code.UNAVAILABLE)
    firestore_server.fault("BatchGetDocuments", times=FOREVER, before=code)
    with pytest.raises(Uncertain) as failure:
        fix(hasty, time)
    assert failure.value.hint


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (Code.UNAVAILABLE, StoreUnavailable),
        (Code.ABORTED, StoreUnavailable),
        (Code.RESOURCE_EXHAUSTED, StoreUnavailable),
        (Code.DEADLINE_EXCEEDED, Uncertain),
        (Code.UNKNOWN, Uncertain),
    ],
)
def test_a_write_that_fails_for_good_writes_nothing_and_says_so(
    hasty: FirestoreRecordStore,
    firestore_server: FirestoreServer,
    hand: ClientHand,
    code: grpc.StatusCode,
    error: type[StoreError],
) -> None:
    hand.put("rem", BEFORE)
    time = seen(hasty)
    firestore_server.fault("Commit", times=FOREVER, before=code)
    with pytest.raises(StoreError) as failure:
        fix(hasty, time)
    assert type(failure.value) is error
    assert hand.fields("rem") == BEFORE


@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED])
def test_a_server_that_is_read_and_never_answers_a_write_makes_us_name_what_grpc_heeds(
    hasty: FirestoreRecordStore,
    firestore_server: FirestoreServer,
    hand: ClientHand,
    code: grpc.StatusCode,
) -> None:
    hand.put("rem", BEFORE)
    time = seen(hasty)
    firestore_server.fault("Commit", times=FOREVER, before=code)
    with pytest.raises(StoreError) as failure:
        fix(hasty, time)
    assert "https_proxy" in failure.value.hint
    assert "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH" in failure.value.hint


def test_a_server_that_has_answered_a_write_is_not_behind_a_proxy(
    hasty: FirestoreRecordStore, firestore_server: FirestoreServer, hand: ClientHand
) -> None:
    hand.put("rem", BEFORE)
    hasty.create("ram", BEFORE)
    firestore_server.fault("Commit", times=FOREVER, before=Code.UNAVAILABLE)
    with pytest.raises(StoreUnavailable) as failure:
        fix(hasty, seen(hasty))
    assert "proxy" not in failure.value.hint


@pytest.mark.parametrize(
    ("code", "error"),
    [(Code.PERMISSION_DENIED, AccessDenied), (Code.UNAUTHENTICATED, AccessDenied), (Code.INVALID_ARGUMENT, Rejected)],
)
def test_a_refusal_is_not_repeated(
    store: FirestoreRecordStore, firestore_server: FirestoreServer, code: grpc.StatusCode, error: type[StoreError]
) -> None:
    firestore_server.fault("Commit", times=FOREVER, before=code)
    with pytest.raises(error, match="/rem"):
        store.create("rem", BEFORE)
    assert len(firestore_server.calls("Commit")) == 1


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK], ids=lambda code: code.name)
@pytest.mark.parametrize("method", ["Commit", "RunQuery"])
def test_every_status_becomes_an_error_of_ours(
    hasty: FirestoreRecordStore, firestore_server: FirestoreServer, hand: ClientHand, code: grpc.StatusCode, method: str
) -> None:
    hand.put("rem", BEFORE)
    time = seen(hasty)
    firestore_server.fault(method, times=FOREVER, before=code)
    calls = {
        "Commit": lambda: fix(hasty, time),
        "RunQuery": lambda: list(hasty.ids()),
    }
    with pytest.raises(StoreError) as failure:
        calls[method]()
    assert type(failure.value) is not StoreError
    assert failure.value.message
    assert failure.value.hint


def test_writes_name_their_fields_and_their_precondition(
    store: FirestoreRecordStore, firestore_server: FirestoreServer
) -> None:
    time = store.create("rem", BEFORE)
    store.update("rem", {"assets": FIXED, "a.b": 1}, if_update_time=time)
    [[created], [updated]] = [request.writes for request in firestore_server.calls("Commit")]
    assert (created.current_document.exists, created.current_document.HasField("exists")) == (False, True)
    assert list(updated.update_mask.field_paths) == ["assets", "`a.b`"]
    assert updated.current_document.update_time.ToJsonString()[:19] == time[:19]


# -- the endpoint -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["ids", "read", "some", "update", "create"])
def test_an_endpoint_that_is_down_says_so_in_time(call: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    store = open_at(address, HASTY)
    calls: dict[str, Callable[[], object]] = {
        "ids": lambda: list(store.ids()),
        "read": lambda: list(store.read()),
        "some": lambda: list(store.read(["rem"])),
        "update": lambda: fix(store, "2026-01-01T00:00:00.000000Z"),
        "create": lambda: store.create("rem", BEFORE),
    }
    started = time.monotonic()
    with pytest.raises(StoreUnavailable, match=rf"firestore://p/\(default\)/characters at {address}"):
        calls[call]()
    assert time.monotonic() - started < HASTY * 2 + 1
    store.close()


def test_a_server_that_never_answers_a_read_is_unavailable(
    hasty: FirestoreRecordStore, firestore_server: FirestoreServer
) -> None:
    firestore_server.fault("RunQuery", times=FOREVER, delay=60)
    started = time.monotonic()
    with pytest.raises(StoreUnavailable):
        list(hasty.ids())
    assert time.monotonic() - started < HASTY * 2


def test_a_server_that_never_answers_a_write_leaves_it_uncertain(
    hasty: FirestoreRecordStore, firestore_server: FirestoreServer
) -> None:
    for method in ("Commit", "BatchGetDocuments"):
        firestore_server.fault(method, times=FOREVER, delay=60)
    started = time.monotonic()
    with pytest.raises(Uncertain):
        hasty.create("rem", BEFORE)
    assert time.monotonic() - started < HASTY * 2
