"""A GCS JSON API server in this process, on loopback, for real clients: it keeps the rules, and fails to order."""

from __future__ import annotations

import gzip
import json
import os
import re
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.servers.faults import Call, Fault, Script
from tests.servers.gcs_world import QUANTUM, ApiError, Preconditions, Stored, World

PIECE = 64 * 1024
ROUTE = re.compile(r"^(?P<door>/upload|/download|)/storage/v1/b(?:/(?P<bucket>[^/]+)(?P<o>/o(?:/(?P<name>.+))?)?)?$")
SIGNED = re.compile(r"^/(?P<bucket>[^/]+)/(?P<name>.+)$", re.DOTALL)
CHUNK_RANGE = re.compile(r"^bytes (?:(?P<first>\d+)-(?P<last>\d+)|\*)/(?P<total>\d+|\*)$")


class Cut(Exception):
    """The connection is to be cut without an answer."""


class Reply:
    """An answer before it is sent."""

    def __init__(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.status = status
        self.body = body
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class GcsServer:
    """Starts on a free port; ``world`` is what it holds, ``script`` its faults and its log.

    ``receive_buffer`` (bytes) bounds what the system takes in before this server reads it.
    """

    def __init__(self, receive_buffer: int | None = None) -> None:
        self.world = World()
        self.script = Script()
        self.crashes: list[BaseException] = []
        self._http = _Server(("127.0.0.1", 0), _Handler)
        self._http.owner = self
        if receive_buffer:
            self._http.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops listening; requests are refused from now on. Raises what went wrong in the server itself."""
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
        if self.crashes:
            raise BaseExceptionGroup("the test server failed", self.crashes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    owner: GcsServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the tests; any other error is kept for the end."""
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError):
            self.owner.crashes.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server
    wbufsize = PIECE

    def log_message(self, format: str, *args: Any) -> None:
        """The script keeps the log."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def do_PATCH(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    @property
    def _world(self) -> World:
        return self.server.owner.world

    def _answer(self) -> None:
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        route = ROUTE.match(url.path)
        signed = SIGNED.match(url.path) if "X-Goog-Algorithm" in query else None
        start = b""
        try:
            named = signed or route
            name = unquote(named["name"]) if named and named["name"] else query.get("name", "")
            if "upload_id" in query:
                name = self._session_name(query["upload_id"])
            elif self.command == "POST" and not name:
                start = self.rfile.read(min(PIECE, self._length()))
                name = _name_in(start)
            call = Call(self.command, url.path, name, query, {k.lower(): v for k, v in self.headers.items()})
            fault = self.server.owner.script.take(call)
            if fault.reset:
                raise Cut
            body = self._body(start, fault)
            reply = self._faulty(
                call, fault, lambda: self._signed(call, signed) if signed else self._route(call, route, body, fault)
            )
        except Cut:
            self._cut()
            return
        except (ConnectionError, TimeoutError):
            self.close_connection = True
            return
        self._send(reply, fault.cut)

    def _session_name(self, session_id: str) -> str:
        try:
            return self._world.session(session_id).name
        except ApiError:
            return ""

    def _length(self) -> int:
        return int(self.headers.get("Content-Length", "0"))

    def _body(self, start: bytes, fault: Fault) -> bytes:
        left = self._length() - len(start)
        parts = [start]
        while left:
            if fault.pace:
                time.sleep(fault.pace)
            part = self.rfile.read(min(PIECE, left))
            if not part:
                raise ConnectionAbortedError
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def _faulty(self, call: Call, fault: Fault, answer: Callable[[], Reply]) -> Reply:
        if fault.run:
            fault.run()
        if fault.status is not None:
            error = ApiError(fault.status, fault.reason, fault.message)
            return Reply(fault.status, error.body() if fault.body is None else fault.body(), **fault.headers)
        try:
            reply = answer()
        except ApiError as refusal:
            reply = Reply(refusal.status, b"" if refusal.status == 304 else refusal.body())
        if fault.lost:
            raise Cut
        if fault.packs and "Content-Encoding" not in reply.headers:
            reply.body = gzip.compress(reply.body)
            reply.headers["Content-Encoding"] = "gzip"
        if fault.rewrite is not None:
            reply.body = fault.rewrite(reply.body)
        if fault.answer is not None:
            error = ApiError(fault.answer, fault.reason, fault.message)
            return Reply(fault.answer, error.body(), **fault.headers)
        return reply

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
        )
        self.connection.close()

    def _send(self, reply: Reply, cut: int | None) -> None:
        self.send_response_only(reply.status)
        if "Date" not in reply.headers:
            self.send_header("Date", self.date_time_string())
        for name, value in reply.headers.items():
            self.send_header(name, value)
        chunked = "Transfer-Encoding" in reply.headers
        if reply.status not in (204, 304) and not chunked:
            self.send_header("Content-Length", str(len(reply.body)))
        if reply.body and "Content-Type" not in reply.headers:
            self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.end_headers()
        self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(reply.body), reply.body) if chunked else reply.body[:cut])
        if cut is not None:
            self.close_connection = True

    def _route(self, call: Call, route: re.Match[str] | None, body: bytes, fault: Fault) -> Reply:
        if route is None:
            raise ApiError(404, "notFound", "Not Found")
        try:
            call.key.encode()
        except UnicodeEncodeError:
            raise ApiError(400, "invalid", "The name is not UTF-8") from None
        if "�" in call.key and "%EF%BF%BD" not in self.path:
            raise ApiError(400, "invalid", "The name is not UTF-8")
        if route["bucket"] is None:
            return self._make_bucket(body)
        bucket = unquote(route["bucket"])
        self._who_pays(call.query)
        match call.method, route["door"], route["o"] is not None, route["name"] is not None:
            case "GET", "", False, False:
                self._world.objects(bucket)
                return _json({"kind": "storage#bucket", "name": bucket, "id": bucket}, call.query)
            case "GET", "", True, False:
                return self._list(bucket, call.query)
            case "GET", "" | "/download", True, True:
                return self._get(bucket, call, media=call.query.get("alt") == "media")
            case "POST", "", True, True:
                return self._rewrite(bucket, call, json.loads(body or b"{}"))
            case "PATCH", "", True, True:
                pre = Preconditions.of(call.query)
                return self._resource(
                    bucket, self._world.patch(bucket, call.key, json.loads(body or b"{}"), pre), call.query
                )
            case "DELETE", "", True, True:
                self._world.delete(bucket, call.key, _generation(call.query), Preconditions.of(call.query))
                return Reply(204)
            case "POST", "/upload", True, False:
                return self._upload(bucket, call, body, fault)
            case "PUT", "/upload", True, False:
                return self._chunk(call, body, fault)
            case "DELETE", "/upload", True, False:
                self._world.session(call.query["upload_id"])
                self._world.drop_session(call.query["upload_id"])
                return Reply(499)
            case _:
                raise ApiError(405, "methodNotAllowed", "Method Not Allowed")

    def _who_pays(self, query: dict[str, str]) -> None:
        """A session was paid for when it was opened."""
        payer = self._world.requester_pays
        if payer is None or "upload_id" in query or query.get("userProject") == payer:
            return
        if "userProject" in query:
            raise ApiError(403, "forbidden", "Caller does not have serviceusage.services.use access to the project.")
        raise ApiError(400, "required", "Bucket is a requester pays bucket but no user project provided.")

    def _signed(self, call: Call, signed: re.Match[str]) -> Reply:
        """A GET by a V4 signed URL. The signature itself is not checked: nobody here has the key."""
        query = call.query
        self._who_pays(query)
        if call.method != "GET" or "authorization" in call.headers:
            raise ApiError(400, "invalid", "A signed URL is read with nothing but itself")
        if any(
            not query.get(f"X-Goog-{name}") for name in ("Credential", "Date", "Expires", "SignedHeaders", "Signature")
        ):
            raise ApiError(400, "invalid", "Malformed signed URL")
        began = datetime.strptime(query["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if datetime.now(UTC) > began + timedelta(seconds=int(query["X-Goog-Expires"])):
            raise ApiError(400, "expiredToken", "The provided token has expired.")
        return self._get(unquote(signed["bucket"]), call, media=True)

    def _make_bucket(self, body: bytes) -> Reply:
        name = json.loads(body)["name"]
        self._world.make_bucket(name)
        return _json({"kind": "storage#bucket", "name": name, "id": name}, {})

    def _resource(self, bucket: str, stored: Stored, query: dict[str, str]) -> Reply:
        return _json(stored.resource(bucket, self.server.owner.url), query)

    def _list(self, bucket: str, query: dict[str, str]) -> Reply:
        items, prefixes, token = self._world.names(bucket, query)
        page: dict[str, Any] = {"kind": "storage#objects"}
        if token:
            page["nextPageToken"] = token
        if prefixes:
            page["prefixes"] = prefixes
        if items:
            page["items"] = [item.resource(bucket, self.server.owner.url) for item in items]
        return _json(page, query)

    def _get(self, bucket: str, call: Call, *, media: bool) -> Reply:
        stored = self._world.get(bucket, call.key, _generation(call.query), Preconditions.of(call.query))
        if not media:
            return self._resource(bucket, stored, call.query)
        resource = stored.resource(bucket, "")
        encoding = resource.get("contentEncoding", "")
        headers = {
            "Content_Type": resource.get("contentType") or "application/octet-stream",
            "x_goog_generation": resource["generation"],
            "x_goog_hash": f"crc32c={resource['crc32c']},md5={stored.md5}",
            "x_goog_stored_content_encoding": encoding or "identity",
        }
        if _is_transcoded(resource, call):
            # Decompressive transcoding: the length is not known, and a range is not heeded.
            return Reply(200, gzip.decompress(stored.data), **headers, Transfer_Encoding="chunked")
        if encoding:
            headers["Content_Encoding"] = encoding
        first, stop, status = _byte_range(call.headers.get("range"), len(stored.data))
        if status == 206:
            headers["Content_Range"] = f"bytes {first}-{stop - 1}/{len(stored.data)}"
        return Reply(status, stored.data[first:stop], **headers)

    def _upload(self, bucket: str, call: Call, body: bytes, fault: Fault) -> Reply:
        pre, kind = Preconditions.of(call.query), call.query.get("uploadType")
        if kind == "media":
            fields: dict[str, Any] = {"contentType": call.headers.get("content-type")}
            data = body
        elif kind == "multipart":
            fields, data = _multipart(call.headers.get("content-type", ""), body)
        elif kind == "resumable":
            return self._begin(bucket, call, json.loads(body or b"{}"), pre)
        else:
            raise ApiError(400, "invalid", f"Invalid upload type: {kind}")
        if fault.corrupt:
            data = bytes([data[0] ^ 1]) + data[1:]
        fields |= _goog_hash(call.headers)
        name = call.query.get("name") or str(fields.get("name", ""))
        return self._resource(bucket, self._world.insert(bucket, name, data, fields, pre), call.query)

    def _rewrite(self, bucket: str, call: Call, fields: dict[str, Any]) -> Reply:
        source, separator, target = self.path.partition("?")[0].partition("/rewriteTo/")
        named = ROUTE.match(f"/storage/v1/{target}") if separator else None
        if named is None or named["name"] is None:
            raise ApiError(405, "methodNotAllowed", "Method Not Allowed")
        name = unquote(source.rpartition("/o/")[2])
        done, told = self._world.rewrite(bucket, name, unquote(named["name"]), fields, call.query)
        if isinstance(done, Stored):
            told["resource"] = done.resource(unquote(named["bucket"]), self.server.owner.url)
        return _json({"kind": "storage#rewriteResponse", **told}, call.query)

    def _begin(self, bucket: str, call: Call, fields: dict[str, Any], pre: Preconditions) -> Reply:
        name = call.query.get("name") or str(fields.get("name", ""))
        fields.setdefault("contentType", call.headers.get("x-upload-content-type"))
        session_id = self._world.begin(bucket, name, fields, pre)
        path = f"{self.server.owner.url}{call.path}?uploadType=resumable&upload_id={session_id}"
        return Reply(200, Location=path, X_GUploader_UploadID=session_id)

    def _chunk(self, call: Call, body: bytes, fault: Fault) -> Reply:
        session = self._world.session(call.query["upload_id"])
        with session.lock:
            if session.finished:
                return self._resource(session.bucket, session.finished, call.query)
            match = CHUNK_RANGE.match(call.headers.get("content-range", f"bytes 0-{len(body) - 1}/{len(body)}"))
            if not match:
                raise ApiError(400, "invalid", "Invalid Content-Range")
            total = None if match["total"] == "*" else int(match["total"])
            if match["first"] is not None:
                _keep(session.received, int(match["first"]), int(match["last"]), total, body, fault)
            if total is not None and len(session.received) == total and fault.persist is None:
                stored = self._world.commit(call.query["upload_id"], _goog_hash(call.headers))
                return self._resource(session.bucket, stored, call.query)
            if session.received:
                return Reply(308, Range=f"bytes=0-{len(session.received) - 1}")
            return Reply(308)


def _is_transcoded(resource: dict[str, Any], call: Call) -> bool:
    """Whether GCS unpacks this object for this reader."""
    takes_gzip = "gzip" in call.headers.get("accept-encoding", "")
    stays = "no-transform" in resource.get("cacheControl", "")
    return resource.get("contentEncoding") == "gzip" and not takes_gzip and not stays


def _name_in(start: bytes) -> str:
    at = start.find(b"{")
    if at < 0:
        return ""
    try:
        fields, _ = json.JSONDecoder().raw_decode(start[at:].decode(errors="replace"))
    except ValueError:
        return ""
    return str(fields.get("name", ""))


def _keep(received: bytearray, first: int, last: int, total: int | None, body: bytes, fault: Fault) -> None:
    if len(body) != last - first + 1 or (total is not None and last >= total):
        raise ApiError(400, "invalid", "The body is not the range that Content-Range says")
    if len(body) % QUANTUM and (total is None or last + 1 != total):
        raise ApiError(400, "invalid", "A chunk that is not the last must be a multiple of 256 KiB")
    if first > len(received):
        raise ApiError(503, "backendError", "Invalid request. There is a gap before this chunk")
    new = bytearray(body[len(received) - first :][: fault.persist])
    if fault.corrupt:
        new[0] ^= 1
    received += new


def _goog_hash(headers: dict[str, str]) -> dict[str, str]:
    pairs = dict(part.strip().split("=", 1) for part in headers.get("x-goog-hash", "").split(",") if "=" in part)
    return {field: pairs[name] for name, field in (("crc32c", "crc32c"), ("md5", "md5Hash")) if name in pairs}


def _multipart(content_type: str, body: bytes) -> tuple[dict[str, Any], bytes]:
    match = re.search(r'boundary="?([^";]+)', content_type)
    if not match:
        raise ApiError(400, "invalid", "No boundary")
    edge = b"--" + match[1].encode()
    head, start = body.split(b"\r\n\r\n", 1)
    fields, start = start.split(b"\r\n" + edge + b"\r\n", 1)
    headers, data = start.split(b"\r\n\r\n", 1)
    if not head.startswith(edge) or not data.rstrip(b"\r\n").endswith(b"\r\n" + edge + b"--"):
        raise ApiError(400, "invalid", "Malformed multipart body")
    parsed: dict[str, Any] = json.loads(fields)
    type_line = re.search(rb"content-type:\s*([^\r\n]+)", headers, re.IGNORECASE)
    parsed.setdefault("contentType", type_line[1].decode() if type_line else None)
    return parsed, data[: data.rindex(b"\r\n" + edge + b"--")]


def _generation(query: dict[str, str]) -> int | None:
    return int(query["generation"]) if "generation" in query else None


def _byte_range(header: str | None, size: int) -> tuple[int, int, int]:
    match = re.match(r"^bytes=(\d*)-(\d*)$", header or "")
    if not match or match[0] == "bytes=-":
        return 0, size, 200
    if not match[1]:
        return max(0, size - int(match[2])), size, 206
    first = int(match[1])
    if first >= size:
        raise ApiError(416, "requestedRangeNotSatisfiable", "Request range not satisfiable")
    return first, min(size, int(match[2]) + 1 if match[2] else size), 206


def _json(value: dict[str, Any], query: dict[str, str]) -> Reply:
    if query.get("fields"):
        value = apply_mask(value, query["fields"])
    return Reply(200, json.dumps(value).encode())


def apply_mask(value: Any, mask: str) -> Any:
    """A partial response: ``a,b(c,d),e/f`` keeps those fields and nothing else; ``*`` keeps all."""
    if isinstance(value, list):
        return [apply_mask(item, mask) for item in value]
    kept: dict[str, Any] = {}
    for part in _mask_parts(mask):
        name, _, below = part.partition("(") if "(" in part.split("/")[0] else part.partition("/")
        if name == "*":
            return value
        if isinstance(value, dict) and name in value:
            sub = below.removesuffix(")") if "(" in part.split("/")[0] else below
            kept[name] = apply_mask(value[name], sub) if sub else value[name]
    return kept


def _mask_parts(mask: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for at, char in enumerate(mask + ","):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(mask[start:at].strip())
            start = at + 1
    return parts
