"""The wire to one Firestore collection: single calls, each tried once, in Google's own messages.

The only importer of ``google.cloud.firestore``; itself imported only when a store is opened. The calls go through the
client's transport and not through its retries: those repeat a commit whose reply was lost, break on a stream that is
cut, and outlast the time-out they are given.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc
from google.api_core.gapic_v1 import routing_header
from google.auth.exceptions import GoogleAuthError
from google.cloud import firestore
from google.cloud.firestore_v1.field_path import FieldPath
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcTransport
from google.cloud.firestore_v1.types import firestore as rpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo, PreconditionFailure, RetryInfo
from google.rpc.status_pb2 import Status

from reconcile.adapters.firestore.values import timestamp, token
from reconcile.core.portable import Portable

_OPTIONS = [
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),  # a document has 1 MiB, and its message a few times that
]
_NEVER_SENT = ("failed to connect to all addresses", "DNS resolution failed", "Getting metadata from plugin failed")
"""How gRPC begins when it gave up before the request left this machine."""

_NUMBERED = re.compile(r"__id(-?[0-9]{1,19})__")
_LONGEST = 2_000

_CommitRequest = rpc.CommitRequest.pb()
_RunQueryRequest = rpc.RunQueryRequest.pb()
_RunQueryResponse = rpc.RunQueryResponse.pb
_BatchGetRequest = rpc.BatchGetDocumentsRequest.pb()
_BatchGetResponse = rpc.BatchGetDocumentsResponse.pb


class CallFailed(Portable, Exception):
    """One call was answered by a gRPC status other than OK; ``code`` is its name, ``pause`` the seconds that the server
    asked to wait, ``reasons`` are what it gave beside its words, such as ``SERVICE_DISABLED``."""

    def __init__(self, code: str, details: str, pause: float = 0.0, reasons: frozenset[str] = frozenset()) -> None:
        super().__init__(f"{code}: {details}")
        self.code = code
        self.details = details
        self.pause = pause
        self.reasons = reasons

    @property
    def throttled(self) -> bool:
        """Whether the server said that there are too many requests."""
        return self.code == "RESOURCE_EXHAUSTED" or self.pause > 0

    @property
    def reached(self) -> bool:
        """Whether there was a connection."""
        return not self.never_sent

    @property
    def never_sent(self) -> bool:
        """Whether the request cannot have reached the server."""
        return self.details.startswith(_NEVER_SENT)

    @property
    def no_credentials(self) -> bool:
        """Whether it failed because no token could be had."""
        return self.code == "UNAUTHENTICATED" or self.details.startswith("Getting metadata from plugin failed")


class CredentialsMissing(Portable, Exception):
    """Google's client found no credentials to start with."""


class Nonsense(Portable, Exception):
    """An answer that no Firestore gives. Its text says which, after "it answers"."""


class Span(NamedTuple):
    """Ids from ``start`` (or ``after`` it) up to but without ``end``; None is no bound."""

    start: str | None = None
    end: str | None = None
    after: bool = False


class Found(NamedTuple):
    """A document as answered: messages by field name, and its update time as a token."""

    id: str
    fields: Mapping[str, Any]
    update_time: str


def connect(project: str, database: str, endpoint: str) -> Any:
    """The transport to Google, or in clear and without credentials to an endpoint ``host:port``.

    If the endpoint is empty, Google's client chooses: it finds the credentials and honours FIRESTORE_EMULATOR_HOST.
    Raises CredentialsMissing.
    """
    if endpoint:
        return FirestoreGrpcTransport(host=endpoint, channel=grpc.insecure_channel(endpoint, options=_OPTIONS))
    try:
        return firestore.Client(project=project, database=database)._firestore_api.transport
    except GoogleAuthError as error:
        raise CredentialsMissing(str(error)) from error


class Wire:
    """One collection, by a transport; safe for several threads."""

    def __init__(self, transport: Any, project: str, database: str, collection: str) -> None:
        self._transport = transport
        self._database = f"projects/{project}/databases/{database}"
        above, _, self._collection = collection.rpartition("/")
        self._parent = "/".join(filter(None, [self._database, "documents", above]))
        self._prefix = f"{self._parent}/{self._collection}/"
        self._by_parent = self._routed("parent", self._parent)
        self._by_database = self._routed("database", self._database)

    @property
    def host(self) -> str:
        """The server, without its port."""
        return str(getattr(self._transport, "_host", "firestore.googleapis.com")).rpartition(":")[0].strip("[]")

    def close(self) -> None:
        """Closes the channel."""
        self._transport.close()

    def query(self, span: Span, limit: int, timeout: float, *, whole: bool) -> Iterator[Found]:
        """The documents of the span, in order, at most ``limit``: whole, or their names and update times alone.

        Raises CallFailed, perhaps after some documents, and Nonsense for what was not asked for.
        """
        query: dict[str, Any] = {
            "from_": [{"collection_id": self._collection}],
            "order_by": [{"field": {"field_path": "__name__"}, "direction": 1}],
            "limit": {"value": limit},
        }
        if not whole:
            query["select"] = {"fields": [{"field_path": "__name__"}]}
        if span.start is not None:
            query["start_at"] = self._cursor(span.start, before=not span.after)
        if span.end is not None:
            query["end_at"] = self._cursor(span.end, before=True)
        request = _RunQueryRequest(parent=self._parent, structured_query=query)
        place = None if span.start is None else _place(span.start)
        follows = span.after
        with _failures():
            for answer in self._transport.run_query(request, timeout=timeout, metadata=self._by_parent):
                message = _RunQueryResponse(answer)
                if not message.HasField("document"):
                    continue
                found = self._found(message.document)
                here = _place(found.id)
                if place is not None and (here <= place if follows else here < place):
                    raise Nonsense(
                        f"with {found.id!r} where the documents behind {span.start!r} were asked for, in order"
                    )
                if span.end is not None and here >= _place(span.end):
                    raise Nonsense(f"with {found.id!r} where the documents before {span.end!r} were asked for")
                if limit <= 0:
                    raise Nonsense("with more documents than were asked for")
                place, follows, limit = here, True, limit - 1
                yield found

    def get(
        self, ids: Collection[str], fields: Iterable[str] | None, timeout: float
    ) -> Iterator[tuple[str, Found | None]]:
        """Each id once, in any order, with its document or None; ``fields`` None asks for all.

        Raises CallFailed, perhaps after some answers, and Nonsense for what was not asked for.
        """
        waiting = set(ids)
        request = _BatchGetRequest(database=self._database, documents=[self._prefix + name for name in ids])
        if fields is not None:
            request.mask.field_paths.extend(_path(name) for name in fields)
        with _failures():
            for answer in self._transport.batch_get_documents(request, timeout=timeout, metadata=self._by_database):
                message = _BatchGetResponse(answer)
                found = self._found(message.found) if message.HasField("found") else None
                if found is None and not message.missing:
                    continue
                name = message.missing.removeprefix(self._prefix) if found is None else found.id
                if name not in waiting:
                    raise Nonsense(f"about {name!r}, which was not asked for or is answered already")
                waiting.remove(name)
                yield name, found

    def write(self, document: str, fields: Mapping[str, Any], if_update_time: str | None) -> Any:
        """The commit that sets these top-level fields of a document last written then, or creates it (None).

        Raises ValueError if the time is not a token of ours.
        """
        target = {"name": self._prefix + document, "fields": fields}
        if if_update_time is None:
            write = {"update": target, "current_document": {"exists": False}}
        else:
            mask = {"field_paths": [_path(name) for name in fields]}
            when = {"update_time": timestamp(if_update_time)}
            write = {"update": target, "update_mask": mask, "current_document": when}
        return _CommitRequest(database=self._database, writes=[write])

    def commit(self, request: Any, timeout: float) -> str:
        """Sends such a commit once; the document's update time after it. Raises CallFailed, also if the answer does
        not tell: then it may have been applied, as after an answer that was lost."""
        with _failures():
            answer = self._transport.commit(request, timeout=timeout, metadata=self._by_database)
        results = rpc.CommitResponse.pb(answer).write_results
        if len(results) != 1 or not results[0].HasField("update_time"):
            raise CallFailed("UNKNOWN", "the answer to a commit does not tell what was written")
        try:
            return token(results[0].update_time)
        except ValueError as error:
            raise CallFailed(
                "UNKNOWN", f"the answer to a commit holds an update time that cannot be read: {error}"
            ) from error

    def _cursor(self, document: str, *, before: bool) -> dict[str, Any]:
        return {"values": [{"reference_value": self._prefix + document}], "before": before}

    def _routed(self, name: str, value: str) -> tuple[tuple[str, str], ...]:
        return ("google-cloud-resource-prefix", self._database), routing_header.to_grpc_metadata([(name, value)])  # type: ignore[no-untyped-call]

    def _found(self, message: Any) -> Found:
        document = message.name.removeprefix(self._prefix)
        if document == message.name or not document or "/" in document:
            raise Nonsense(f"with the document {message.name[:200]!r}, which is not of the collection")
        try:
            return Found(document, message.fields, token(message.update_time))
        except ValueError as error:
            raise Nonsense(f"with an update time of {document!r} that is none: {error}") from error


def _place(document: str) -> tuple[bool, int, str]:
    """Where an id stands in the order of names: those that are numbers, as Datastore gave them, come first."""
    numbered = _NUMBERED.fullmatch(document)
    return (True, 0, document) if numbered is None else (False, int(numbered[1]), "")


def _path(name: str) -> str:
    """A top-level field's name as a field path, quoted if it must be."""
    return FieldPath(name).to_api_repr()


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        code = error.code()
        name = "UNKNOWN" if code is None else code.name
        raise CallFailed(name, (error.details() or "")[:_LONGEST], *_beside(error)) from error


def _beside(error: grpc.RpcError) -> tuple[float, frozenset[str]]:
    """The seconds that a ``google.rpc.RetryInfo`` beside the status asks to wait, 0 if there is none, and the reasons
    that others beside it give."""
    pause, reasons = 0.0, set()
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        try:
            for detail in Status.FromString(value).details:
                retry, info, violated = RetryInfo(), ErrorInfo(), PreconditionFailure()
                if detail.Unpack(retry):
                    pause = pause or max(0.0, float(retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9))
                elif detail.Unpack(info):
                    reasons.add(info.reason)
                elif detail.Unpack(violated):
                    reasons.update(each.type for each in violated.violations)
        except (DecodeError, TypeError):
            continue
    return pause, frozenset(reasons)
