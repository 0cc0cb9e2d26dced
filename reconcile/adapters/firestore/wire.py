"""The wire to one Firestore collection over which writes go: single commits, each tried once, in Google's own messages.

The only importer of ``google.cloud.firestore``; itself imported only for the first write. The commits go through the
client's transport and not through its retries: those repeat a commit whose reply was lost, and outlast the time-out
they are given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc
from google.api_core.gapic_v1 import routing_header
from google.auth.exceptions import GoogleAuthError
from google.cloud import firestore
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcTransport
from google.cloud.firestore_v1.types import firestore as rpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo, PreconditionFailure, RetryInfo
from google.rpc.status_pb2 import Status

from reconcile.adapters.firestore.calls import LONGEST, CallFailed, Collected, CredentialsMissing, field_path
from reconcile.adapters.firestore.messages import timestamp, token

_OPTIONS = [
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),  # a document has 1 MiB, and its message a few times that
]
_CommitRequest = rpc.CommitRequest.pb()


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

    def __init__(self, transport: Any, place: Collected) -> None:
        self._transport = transport
        self._place = place
        routed = routing_header.to_grpc_metadata([("database", place.database)])  # type: ignore[no-untyped-call]
        self._metadata = (("google-cloud-resource-prefix", place.database), routed)

    def close(self) -> None:
        """Closes the channel."""
        self._transport.close()

    def write(self, document: str, fields: Mapping[str, Any], if_update_time: str | None) -> Any:
        """The commit that sets these top-level fields of a document last written then, or creates it (None).

        Raises ValueError if the time is not a token of ours.
        """
        target = {"name": self._place.prefix + document, "fields": fields}
        if if_update_time is None:
            write = {"update": target, "current_document": {"exists": False}}
        else:
            mask = {"field_paths": [field_path(name) for name in fields]}
            when = {"update_time": timestamp(if_update_time)}
            write = {"update": target, "update_mask": mask, "current_document": when}
        return _CommitRequest(database=self._place.database, writes=[write])

    def commit(self, request: Any, timeout: float) -> str:
        """Sends such a commit once; the document's update time after it. Raises CallFailed, also if the answer does
        not tell: then it may have been applied, as after an answer that was lost."""
        with _failures():
            answer = self._transport.commit(request, timeout=timeout, metadata=self._metadata)
        results = rpc.CommitResponse.pb(answer).write_results
        if len(results) != 1 or not results[0].HasField("update_time"):
            raise CallFailed("UNKNOWN", "the answer to a commit does not tell what was written")
        try:
            return token(results[0].update_time)
        except ValueError as error:
            raise CallFailed(
                "UNKNOWN", f"the answer to a commit holds an update time that cannot be read: {error}"
            ) from error


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        code = error.code()
        name = "UNKNOWN" if code is None else code.name
        raise CallFailed(name, (error.details() or "")[:LONGEST], *_beside(error)) from error


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
