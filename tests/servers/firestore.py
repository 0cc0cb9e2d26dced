"""A Firestore in this process: gRPC on the published messages, which the real client talks to, and the JSON API.

It keeps the rules that the code under test lives by (update times, preconditions, atomic batches, limits), answers
refusals with the codes of the official emulator, and can be told to fail in ways that no emulator offers.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc
from google.cloud.firestore_v1.types import firestore as rpc
from google.cloud.firestore_v1.types import query as query_types
from google.cloud.firestore_v1.types import write as write_types
from google.protobuf.duration_pb2 import Duration
from google.protobuf.empty_pb2 import Empty
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status as RpcStatus

from tests.servers.firestore_documents import (
    MAX_REQUEST,
    Status,
    Stored,
    check_name,
    check_precondition,
    filters,
    invalid,
    order_key,
    shown,
    stamp,
    within,
    written,
)
from tests.servers.firestore_front import Cut, Front

WriteResult = write_types.WriteResult.pb()
Direction = query_types.StructuredQuery.Direction
SERVICE = "google.firestore.v1.Firestore"


@dataclass
class Fault:
    """What goes wrong with calls of one method, from the ``nth`` that matches on, ``times`` times.

    ``before`` fails and does nothing; ``after`` does the work and then loses the reply to this status; ``cut`` ends a
    stream with UNAVAILABLE after so many messages; ``delay`` (seconds) waits before the work. ``edit`` changes the
    request that is worked on; ``retry`` (seconds) asks to wait and ``reason`` says why, both beside a ``before``;
    ``then`` runs between the work and its reply: the place for another writer. Each fault counts every call that
    matches it; where several hit one call, the first that was armed is the one that happens.
    """

    method: str
    nth: int = 1
    times: int = 1
    before: grpc.StatusCode | None = None
    after: grpc.StatusCode | None = None
    cut: int | None = None
    delay: float = 0.0
    retry: float | None = None
    reason: str = ""
    details: str = "injected"
    when: Callable[[Any], bool] = lambda _: True
    then: Callable[[], None] = lambda: None
    edit: Callable[[Any], None] = lambda _: None
    seen: int = 0

    def hits(self, method: str, request: Any) -> bool:
        if method != self.method or not self.when(request):
            return False
        self.seen += 1
        return self.nth <= self.seen < self.nth + self.times


@dataclass
class FirestoreServer:
    """Any number of projects and databases; ``address`` is host:port. ``log`` holds (method, request) in order. What a
    document was is kept for as long as the server runs, and shown for ``keeps`` seconds."""

    documents: dict[str, Stored] = field(default_factory=dict)
    log: list[tuple[str, Any]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    address: str = ""
    last_time: int = 0
    keeps: float = 3600.0
    transactions: dict[bytes, dict[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._numbers = itertools.count(1)
        self._order: list[str] | None = None
        self._before_that: list[tuple[int, dict[str, Stored | None]]] = []
        self._server = grpc.server(
            ThreadPoolExecutor(max_workers=24),
            options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
        )
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, self._handlers()),))

    def start(self) -> FirestoreServer:
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self._front = Front(self._answers, Status, port)
        self.address = self._front.address
        return self

    def stop(self) -> None:
        self._stopping.set()
        self._front.stop()
        self._server.stop(1.0).wait()

    def fault(self, method: str, **details: Any) -> Fault:
        """Arms a fault; see ``Fault`` for what can be asked."""
        fault = Fault(method, **details)
        with self._lock:
            self.faults.append(fault)
        return fault

    def calls(self, method: str) -> list[Any]:
        """The requests of one method so far."""
        with self._lock:
            return [request for name, request in self.log if name == method]

    # -- the calls ----------------------------------------------------------------------------------------------

    def _handlers(self) -> dict[str, grpc.RpcMethodHandler]:
        def handler(name: str, work: Callable[[Any], Any], request: Any, *, stream: bool = False) -> Any:
            make = grpc.unary_stream_rpc_method_handler if stream else grpc.unary_unary_rpc_method_handler
            run = self._stream(name, work) if stream else self._unary(name, work)
            return make(run, request.pb().FromString, lambda message: message.SerializeToString())

        return {
            "Commit": handler("Commit", self._commit, rpc.CommitRequest),
            "BatchGetDocuments": handler(
                "BatchGetDocuments", self._batch_get, rpc.BatchGetDocumentsRequest, stream=True
            ),
            "RunQuery": handler("RunQuery", self._run_query, rpc.RunQueryRequest, stream=True),
            "ListDocuments": handler("ListDocuments", self._list, rpc.ListDocumentsRequest),
            "BeginTransaction": handler("BeginTransaction", self._begin, rpc.BeginTransactionRequest),
            "Rollback": handler("Rollback", self._rollback, rpc.RollbackRequest),
        }

    def _arrive(self, name: str, request: Any) -> Fault | None:
        with self._lock:
            self.log.append((name, request))
            hits = [fault for fault in self.faults if fault.hits(name, request)]
        return hits[0] if hits else None

    def _unary(self, name: str, work: Callable[[Any], Any]) -> Callable[[Any, grpc.ServicerContext], Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Any:
            fault = self._arrive(name, request)
            try:
                self._before(fault, request)
                with self._lock:
                    answer = work(request)
                self._after(fault)
            except Status as status:
                refuse(context, status)
            return answer

        return call

    def _stream(self, name: str, work: Callable[[Any], list[Any]]) -> Callable[[Any, grpc.ServicerContext], Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            try:
                yield from self._streamed(name, work, request)
            except Cut:
                refuse(context, Status(grpc.StatusCode.UNAVAILABLE, "stream cut"))
            except Status as status:
                refuse(context, status)

        return call

    def _answers(self, name: str, request: Any) -> Iterator[Any]:
        """What a call streams, over whichever way it came."""
        works = {"RunQuery": self._run_query, "BatchGetDocuments": self._batch_get}
        return self._streamed(name, works[name], request)

    def _streamed(self, name: str, work: Callable[[Any], list[Any]], request: Any) -> Iterator[Any]:
        """Raises Status, and Cut."""
        fault = self._arrive(name, request)
        self._before(fault, request)
        with self._lock:
            answers = work(request)
        if fault is None or fault.cut is None:
            yield from answers
            self._after(fault)
        else:
            yield from answers[: fault.cut]
            raise Cut

    def _before(self, fault: Fault | None, request: Any) -> None:
        if fault is None:
            return
        fault.edit(request)
        if fault.delay:
            self._stopping.wait(fault.delay)
        if fault.before is not None:
            raise Status(fault.before, fault.details, fault.retry, fault.reason)

    def _after(self, fault: Fault | None) -> None:
        if fault is None:
            return
        fault.then()
        if fault.after is not None:
            raise Status(fault.after, fault.details)

    # -- reading ------------------------------------------------------------------------------------------------

    def _batch_get(self, request: Any) -> list[Any]:
        """Each name found or missing; the order of the answers is not that of the question, as in the real service."""
        answer = rpc.BatchGetDocumentsResponse.pb()
        mask = list(request.mask.field_paths) if request.HasField("mask") else None
        documents, read_time = self._as_of(request)
        answers = []
        for name in reversed(list(dict.fromkeys(request.documents))):
            check_name(name)
            stored = documents.get(name)
            self._remember(request.transaction, name)
            if stored is None:
                answers.append(answer(missing=name, read_time=read_time))
            else:
                answers.append(answer(found=shown(stored, mask), read_time=read_time))
        return answers

    def _run_query(self, request: Any) -> list[Any]:
        answer = rpc.RunQueryResponse.pb()
        query = request.structured_query
        documents, read_time = self._as_of(request)
        mask = [each.field_path for each in query.select.fields] if query.HasField("select") else None
        names = self._matching(request.parent, query, documents)
        if query.HasField("limit"):
            names = names[: query.limit.value]
        for name in names:
            self._remember(request.transaction, name)
        found = [answer(document=shown(documents[name], mask), read_time=read_time) for name in names]
        return found or [answer(read_time=read_time)]

    def _as_of(self, request: Any) -> tuple[dict[str, Stored], Timestamp]:
        """The documents as they were when the request asks for, which is now if it does not say, and when that is."""
        self.last_time = max(time.time_ns() // 1000, self.last_time)
        if not request.HasField("read_time"):
            return self.documents, stamp(self.last_time)
        asked = request.read_time
        if asked.nanos % 1000:
            raise invalid("timestamp cannot have more than microseconds precision")
        moment = asked.seconds * 1_000_000 + asked.nanos // 1000
        if moment > self.last_time:
            raise invalid("The requested 'read_time' cannot be in the future.")
        if moment < self.last_time - self.keeps * 1e6:
            raise Status(grpc.StatusCode.FAILED_PRECONDITION, "The requested 'read_time' is too old.")
        later = list(itertools.takewhile(lambda change: change[0] > moment, reversed(self._before_that)))
        if not later:
            return self.documents, asked
        documents: dict[str, Stored | None] = dict(self.documents)
        for _, before in later:
            documents.update(before)
        return {name: stored for name, stored in documents.items() if stored is not None}, asked

    def _matching(self, parent: str, query: Any, documents: dict[str, Stored]) -> list[str]:
        collection = f"{parent}/{query.from_[0].collection_id}/"
        names = [
            name
            for name in self._sorted(documents)
            if name.startswith(collection) and "/" not in name[len(collection) :]
        ]
        for test in filters(query.where):
            names = [name for name in names if test(documents[name].message)]
        descending = False
        for order in query.order_by:
            if order.field.field_path != "__name__":
                raise Status(grpc.StatusCode.UNIMPLEMENTED, "only order by __name__")
            descending = order.direction == Direction.DESCENDING
        if descending:
            names.reverse()
        return [name for name in names if within(name, query, descending)]

    def _list(self, request: Any) -> Any:
        query = query_types.StructuredQuery.pb()()
        query.from_.add(collection_id=request.collection_id)
        names = [name for name in self._matching(request.parent, query, self.documents) if name > request.page_token]
        size = request.page_size or 300
        mask = list(request.mask.field_paths) if request.HasField("mask") else None
        page = [shown(self.documents[name], mask) for name in names[:size]]
        more = names[size - 1] if len(names) > size else ""
        return rpc.ListDocumentsResponse.pb()(documents=page, next_page_token=more)

    def _sorted(self, documents: dict[str, Stored]) -> list[str]:
        if documents is not self.documents:
            return sorted(documents, key=order_key)
        if self._order is None:
            self._order = sorted(documents, key=order_key)
        return self._order

    # -- writing ------------------------------------------------------------------------------------------------

    def _commit(self, request: Any) -> Any:
        """All writes or none, each held against what the ones before it in the batch leave."""
        if request.ByteSize() > MAX_REQUEST:
            raise invalid("Request payload size exceeds the limit")
        self._check_transaction(request.transaction)
        now = max(time.time_ns() // 1000, self.last_time + 1)
        overlay: dict[str, Stored | None] = {}
        results = []
        for write in request.writes:
            name = write.delete or write.update.name
            check_name(name)
            old = overlay.get(name, self.documents.get(name)) if name in overlay else self.documents.get(name)
            check_precondition(write, old, name)
            new = None if write.delete else written(write, old, now)
            overlay[name] = new
            results.append(WriteResult(update_time=stamp(new.updated)) if new else WriteResult())
        self._land(overlay, now)
        return rpc.CommitResponse.pb()(write_results=results, commit_time=stamp(now))

    def _land(self, overlay: dict[str, Stored | None], now: int) -> None:
        self.last_time = now
        self._order = None
        self._before_that.append((now, {name: self.documents.get(name) for name in overlay}))
        for name, stored in overlay.items():
            if stored is None:
                self.documents.pop(name, None)
            else:
                self.documents[name] = stored

    def _begin(self, request: Any) -> Any:
        token = f"transaction {next(self._numbers)}".encode()
        self.transactions[token] = {}
        return rpc.BeginTransactionResponse.pb()(transaction=token)

    def _rollback(self, request: Any) -> Empty:
        self.transactions.pop(request.transaction, None)
        return Empty()

    def _version(self, name: str) -> int:
        stored = self.documents.get(name)
        return stored.updated if stored else 0

    def _remember(self, transaction: bytes, name: str) -> None:
        if not transaction:
            return
        if transaction not in self.transactions:
            raise invalid("Transaction is invalid or closed.")
        self.transactions[transaction].setdefault(name, self._version(name))

    def _check_transaction(self, transaction: bytes) -> None:
        if not transaction:
            return
        read = self.transactions.pop(transaction, None)
        if read is None:
            raise invalid("Transaction is invalid or closed.")
        if any(self._version(name) != version for name, version in read.items()):
            raise Status(grpc.StatusCode.ABORTED, "Too much contention on these documents.")


def refuse(context: grpc.ServicerContext, status: Status) -> NoReturn:
    beside = []
    if status.retry is not None:
        beside.append(RetryInfo(retry_delay=Duration(nanos=round(status.retry % 1 * 1e9), seconds=int(status.retry))))
    if status.reason:
        beside.append(ErrorInfo(reason=status.reason, domain="googleapis.com"))
    if beside:
        details = RpcStatus(code=status.code.value[0], message=status.details)
        for each in beside:
            details.details.add().Pack(each)
        context.set_trailing_metadata((("grpc-status-details-bin", details.SerializeToString()),))
    context.abort(status.code, status.details)
    raise AssertionError("abort returns never")
