"""Writes to one Firestore collection over gRPC: single commits, each tried once, in Google's own messages.

This is the only importer of ``google.cloud.firestore``, and is itself imported only for the first write. Commits use
the client's transport without its retries, which would repeat a commit whose reply was lost and exceed the given
timeout.
"""

from __future__ import annotations

from collections.abc import Mapping
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

from reconcile.adapters.firestore.calls import LONGEST, CallFailed, Collected, field_path
from reconcile.adapters.firestore.messages import timestamp, token

_OPTIONS = [
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),  # a document has up to 1 MiB, its message a few times that
]
_CommitRequest = rpc.CommitRequest.pb()


def connect(project: str, database: str, endpoint: str) -> Any:
    """Returns the transport to Google, or to an endpoint ``host:port`` unencrypted and without credentials.

    If the endpoint is empty, Google's client chooses: it finds the credentials and honours FIRESTORE_EMULATOR_HOST.
    Raises CallFailed if there are no credentials.
    """
    if endpoint:
        return FirestoreGrpcTransport(host=endpoint, channel=grpc.insecure_channel(endpoint, options=_OPTIONS))
    try:
        return firestore.Client(project=project, database=database)._firestore_api.transport
    except GoogleAuthError as error:
        raise CallFailed("NO_CREDENTIALS", str(error), unsent=True) from error


class CollectionWriter:
    """The writes of one collection over a transport; thread-safe."""

    def __init__(self, transport: Any, place: Collected) -> None:
        self._transport = transport
        self._place = place
        routed = routing_header.to_grpc_metadata([("database", place.database)])
        self._metadata = (("google-cloud-resource-prefix", place.database), routed)

    def close(self) -> None:
        """Closes the channel."""
        self._transport.close()

    def write(self, document: str, fields: Mapping[str, Any], if_update_time: str | None) -> Any:
        """Returns the request that sets these top-level fields if the update time matches; None creates the document.

        Raises ValueError if the time is not one of our tokens.
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
        """Sends such a request once and returns the document's new update time.

        Raises CallFailed, also if the answer does not say what was written: as after a lost reply, the commit may have
        been applied.
        """
        try:
            answer = self._transport.commit(request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            code = error.code()
            name = "UNKNOWN" if code is None else code.name
            raise CallFailed(name, (error.details() or "")[:LONGEST], *_beside(error)) from error
        results = rpc.CommitResponse.pb(answer).write_results
        if len(results) != 1 or not results[0].HasField("update_time"):
            raise CallFailed("UNKNOWN", "the answer to a commit does not say what was written")
        try:
            return token(results[0].update_time)
        except ValueError as error:
            raise CallFailed(
                "UNKNOWN", f"the answer to a commit holds an update time that cannot be read: {error}"
            ) from error


def _beside(error: grpc.RpcError) -> tuple[float, frozenset[str]]:
    """Returns what the details of the status add: the seconds that ``google.rpc.RetryInfo`` asks to wait (0 without
    one), and the reasons in the other details."""
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
