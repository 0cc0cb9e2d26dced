"""The one port of a Firestore in this process: its JSON API, and behind it the gRPC server for who speaks HTTP/2.

The official emulator does the same. The answers of the JSON API are those of the calls that gRPC makes, faults too: a
call that fails before its answer has a status, one that fails after it an error in its list, and one that is cut no
end.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import grpc
from google.cloud.firestore_v1.types import firestore as rpc
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

Code = grpc.StatusCode
HTTP = {
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.UNAUTHENTICATED: 401,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
}
READS: dict[str, tuple[str, str, Any]] = {
    ":runQuery": ("RunQuery", "parent", rpc.RunQueryRequest.pb()),
    ":batchGet": ("BatchGetDocuments", "database", rpc.BatchGetDocumentsRequest.pb()),
}


class Refusal(Protocol):
    """A status other than OK, as the server behind raises it."""

    code: grpc.StatusCode
    details: str
    retry: float | None
    reason: str


class Cut(Exception):
    """The stream ends here, without a word."""


Answers = Callable[[str, Any], Iterator[Any]]


class Front:
    """Listens at ``address``. ``answers`` gives what a call streams, and may raise ``refusal`` or Cut; ``port`` is
    where the gRPC server listens."""

    def __init__(self, answers: Answers, refusal: type[Exception], port: int) -> None:
        handler = type("Handler", (_Handler,), {"answers": staticmethod(answers), "refusal": refusal, "grpc": port})
        self._server = _Listening(("127.0.0.1", 0), handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Listening(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """Who asks may hang up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    answers: Answers
    refusal: type[Exception]
    grpc: int

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            if self.connection.recv(3, socket.MSG_PEEK | socket.MSG_WAITALL) == b"PRI":
                relay(self.connection, self.grpc)
            else:
                super().handle()

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = unquote(urlsplit(self.path).path.removeprefix("/v1/"))
        verb = next(verb for verb in READS if path.endswith(verb))
        method, name, kind = READS[verb]
        where = path.removesuffix(verb)
        asked[name] = where.removesuffix("/documents") if name == "database" else where
        try:
            request = ParseDict(asked, kind())
        except ParseError as error:
            self._send(400, json.dumps({"error": {"code": 400, "message": str(error), "status": "INVALID_ARGUMENT"}}))
            return
        answers = type(self).answers(method, request)
        try:
            first = next(answers, None)
        except self.refusal as status:
            refused: Any = status
            self._send(HTTP[refused.code], json.dumps([error_of(refused)]))
        except Cut:
            self.close_connection = True
        else:
            self._stream(first, answers)

    def _stream(self, first: Any, answers: Iterator[Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._chunk("[")
        mark = ""
        try:
            if first is not None:
                self._chunk(json.dumps(MessageToDict(first)))
                mark = "\n,\r\n"
            for answer in answers:
                self._chunk(mark + json.dumps(MessageToDict(answer)))
                mark = "\n,\r\n"
        except self.refusal as status:
            refused: Any = status
            self._chunk(mark + json.dumps(error_of(refused)))
        except Cut:
            self.close_connection = True
            return
        self._chunk("]")
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _send(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


def error_of(refused: Refusal) -> dict[str, Any]:
    details: list[dict[str, Any]] = []
    if refused.retry is not None:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{refused.retry:g}s"})
    if refused.reason:
        details.append({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": refused.reason})
    error = {"code": HTTP[refused.code], "message": refused.details, "status": refused.code.name, "details": details}
    return {"error": error}


def relay(client: socket.socket, port: int) -> None:
    """Passes bytes both ways until either side ends."""
    with socket.create_connection(("127.0.0.1", port)) as server:
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = threading.Thread(target=copy, args=(server, client), daemon=True)
        back.start()
        copy(client, server)
        back.join()


def copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(64 * 1024):
            sink.sendall(data)
    for each in (source, sink):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
