"""Stands in for Cloud Storage and Firestore in benchmarks: one process that answers both JSON APIs with little work.

Listings and query answers are slices of bytes made before the first request. It keeps no object that is uploaded,
checks no precondition and knows no error: what is right is tested elsewhere, on servers that keep the rules.

``python -m tests.benchmarks.standin ASSETS [--latency SECONDS] [--empty] [--local-paths]`` prints its address and
serves until its stdin ends. ``GET /cost`` says how many requests came, and how many seconds of CPU it has used.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gzip
import hashlib
import json
import re
import sys
import time
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from crc32c import crc32c

from tests.benchmarks.assets import BUCKET, OLD, PREFIX, characters, content, keys_of, record_of

PAGE = 1000
AT = "2020-01-01T00:00:00.000000Z"
MODIFIED = datetime.fromtimestamp(OLD, UTC).isoformat().replace("+00:00", "Z")
DATABASE = "projects/my-project/databases/(default)/documents"
COLLECTION = "characters"


class Slices:
    """Texts in the order of their names, in one run of bytes; ``read`` gives some of them as the inside of a list."""

    def __init__(self, texts: Iterable[bytes]) -> None:
        self._ends = array("Q", [0])
        whole = bytearray()
        for text in texts:
            whole += text + b","
            self._ends.append(len(whole))
        self._whole = memoryview(whole)

    def read(self, start: int, stop: int) -> bytes:
        """Those from ``start`` to before ``stop``, with commas between them."""
        return bytes(self._whole[self._ends[start] : max(self._ends[stop] - 1, self._ends[start])])


class Asked(NamedTuple):
    """One request, its body whole."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes


class World:
    """What is served: ``assets`` objects and the records that name them, or an ``empty`` bucket."""

    def __init__(self, assets: int, *, empty: bool, local_paths: bool) -> None:
        self.ids = list(characters(assets))
        self.names = [] if empty else sorted(f"{PREFIX}/{key}" for char_id in self.ids for key in keys_of(char_id))
        self.brief = Slices(_resource(name, brief=True) for name in self.names)
        self.full = Slices(_resource(name, brief=False) for name in self.names)
        self.documents = Slices(_document(char_id, local_paths=local_paths) for char_id in self.ids)
        self.bare = Slices(_document(char_id, bare=True) for char_id in self.ids)
        self.requests = 0

    def answer(self, asked: Asked) -> tuple[int, bytes]:
        """A status and the JSON that goes with it."""
        if asked.path == "/cost":
            return 200, json.dumps({"requests": self.requests, "cpu": time.process_time()}).encode()
        self.requests += 1
        if asked.path.startswith("/upload/"):
            return 200, _uploaded(asked)
        if asked.path.endswith(":runQuery"):
            return 200, self._query(json.loads(asked.body)["structuredQuery"])
        if asked.path.endswith(":batchGet"):
            return 200, self._batch(json.loads(asked.body))
        _, _, name = asked.path.partition("/o/")
        if name:
            return self._object(unquote(name))
        if asked.path.endswith("/o"):
            return 200, self._listing(asked.query)
        return 200, json.dumps({"name": BUCKET}).encode()

    def _listing(self, query: dict[str, str]) -> bytes:
        prefix = query.get("prefix", "")
        start = max(bisect_left(self.names, prefix), bisect_left(self.names, query.get("startOffset", "")))
        if "pageToken" in query:
            start = int(query["pageToken"])
        end = bisect_left(self.names, prefix + "\U0010ffff") if prefix else len(self.names)
        if query.get("endOffset"):
            end = min(end, bisect_left(self.names, query["endOffset"]))
        if query.get("delimiter"):
            return self._folder(prefix, start, end)
        stop = max(start, min(start + min(PAGE, int(query.get("maxResults", PAGE))), end))
        items = (self.brief if "fields" in query else self.full).read(start, stop)
        token = f'"nextPageToken":"{stop}",' if stop < end else ""
        return f'{{"kind":"storage#objects",{token}"items":['.encode() + items + b"]}"

    def _folder(self, prefix: str, start: int, end: int) -> bytes:
        """One folder, on one page."""
        folders, items = set(), []
        for place in range(start, end):
            inner, slash, _ = self.names[place].removeprefix(prefix).partition("/")
            if slash:
                folders.add(f"{prefix}{inner}/")
            else:
                items.append(self.full.read(place, place + 1))
        found = json.dumps(sorted(folders)).encode()
        return b'{"kind":"storage#objects","prefixes":' + found + b',"items":[' + b",".join(items) + b"]}"

    def _object(self, name: str) -> tuple[int, bytes]:
        place = bisect_left(self.names, name)
        if place < len(self.names) and self.names[place] == name:
            return 200, self.full.read(place, place + 1)
        return 404, b'{"error":{"code":404,"message":"No such object"}}'

    def _query(self, query: dict[str, Any]) -> bytes:
        start, end = 0, len(self.ids)
        if "startAt" in query:
            start = self._place(query["startAt"])
        if "endAt" in query:
            end = self._place(query["endAt"])
        stop = max(start, min(start + query.get("limit", end), end))
        inside = (self.bare if "select" in query else self.documents).read(start, stop)
        return b"[" + (inside or f'{{"readTime":"{AT}"}}'.encode()) + b"]"

    def _place(self, cursor: dict[str, Any]) -> int:
        char_id = cursor["values"][0]["referenceValue"].rpartition("/")[2]
        place = bisect_left(self.ids, char_id)
        is_there = place < len(self.ids) and self.ids[place] == char_id
        return place + (is_there and not cursor.get("before", False))

    def _batch(self, asked: dict[str, Any]) -> bytes:
        answers = []
        for name in asked["documents"]:
            char_id = name.rpartition("/")[2]
            place = bisect_left(self.ids, char_id)
            if place < len(self.ids) and self.ids[place] == char_id:
                answers.append(self.documents.read(place, place + 1).replace(b'{"document":', b'{"found":', 1))
            else:
                answers.append(json.dumps({"missing": name, "readTime": AT}).encode())
        return b"[" + b",".join(answers) + b"]"


def _resource(name: str, *, brief: bool) -> bytes:
    data = content(name.removeprefix(f"{PREFIX}/"))
    return _of_bytes(name, data, brief=brief)


def _of_bytes(name: str, data: bytes, *, brief: bool) -> bytes:
    found: dict[str, object] = {
        "name": name,
        "size": str(len(data)),
        "md5Hash": base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode(),
        "crc32c": base64.b64encode(crc32c(data).to_bytes(4, "big")).decode(),
        "generation": "1600000000000000",
        "metageneration": "1",
        "contentType": "image/png" if name.endswith(".png") else "video/mp4",
        "updated": AT,
    }
    if not brief:
        link = f"https://www.googleapis.com/storage/v1/b/{BUCKET}/o/{name.replace('/', '%2F')}"
        found |= {
            "kind": "storage#object",
            "id": f"{BUCKET}/{name}/1600000000000000",
            "selfLink": link,
            "mediaLink": f"{link}?generation=1600000000000000&alt=media",
            "bucket": BUCKET,
            "storageClass": "STANDARD",
            "timeCreated": AT,
            "timeStorageClassUpdated": AT,
            "timeFinalized": AT,
            "etag": "CIDAtr2ijOcCEAE=",
            "metadata": {"mtime": MODIFIED},  # which rclone keeps there
        }
    return json.dumps(found, separators=(",", ":")).encode()


def _document(char_id: str, *, bare: bool = False, local_paths: bool = False) -> bytes:
    document: dict[str, Any] = {"name": f"{DATABASE}/{COLLECTION}/{char_id}", "createTime": AT, "updateTime": AT}
    if not bare:
        document["fields"] = _value(record_of(char_id, local_paths=local_paths))["mapValue"]["fields"]
    return json.dumps({"document": document, "readTime": AT}, separators=(",", ":")).encode()


def _value(value: Any) -> dict[str, Any]:
    """A value of a record as Firestore's JSON has it."""
    if isinstance(value, dict):
        return {"mapValue": {"fields": {name: _value(each) for name, each in value.items()}}}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(each) for each in value]}}
    return {"stringValue": value}


_HEADERS = rb"(?:\r\n[^\r\n]+)*\r\n\r\n"
_PARTS = re.compile(rb"--([^\r\n]+)" + _HEADERS + rb"(.*?)\r\n--\1" + _HEADERS + rb"(.*)\r\n--\1--", re.DOTALL)


def _uploaded(asked: Asked) -> bytes:
    """What an upload in one request made."""
    parts = _PARTS.search(asked.body)
    if parts is None:
        raise ValueError("only uploads in one request are served here")
    name = json.loads(parts[2]).get("name") or asked.query["name"]
    return _of_bytes(name, parts[3], brief=False)


class Connection(asyncio.Protocol):
    """One client's requests, answered in order."""

    def __init__(self, world: World, latency: float) -> None:
        self._world = world
        self._latency = latency
        self._came = bytearray()
        self._out: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._out = transport

    def data_received(self, data: bytes) -> None:
        self._came += data
        while (taken := self._take()) is not None:
            status, body = self._world.answer(taken)
            head = (
                f"HTTP/1.1 {status} {'OK' if status == 200 else 'Not Found'}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\nDate: Wed, 01 Jan 2020 00:00:00 GMT\r\n\r\n"
            )
            if self._latency:
                asyncio.get_running_loop().call_later(self._latency, self._send, head.encode() + body)
            else:
                self._send(head.encode() + body)

    def _send(self, data: bytes) -> None:
        if self._out is not None and not self._out.is_closing():
            self._out.write(data)

    def _take(self) -> Asked | None:
        """The first request that has come whole."""
        end = self._came.find(b"\r\n\r\n")
        if end < 0:
            return None
        first, *lines = self._came[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if headers.get("expect"):
            raise ValueError("no request here waits for leave to send its body")
        start = end + 4
        if headers.get("transfer-encoding") == "chunked":
            found = _unchunked(self._came, start)
            if found is None:
                return None
            body, stop = found
        else:
            stop = start + int(headers.get("content-length", 0))
            if len(self._came) < stop:
                return None
            body = bytes(self._came[start:stop])
        del self._came[:stop]
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        method, target, _ = first.split(" ")
        url = urlsplit(target)
        return Asked(method, url.path, dict(parse_qsl(url.query)), body)


def _unchunked(came: bytearray, at: int) -> tuple[bytes, int] | None:
    """A body in chunks, and where it ends; None while it has not come whole."""
    body = bytearray()
    while (line := came.find(b"\r\n", at)) >= 0:
        size = int(came[at:line].partition(b";")[0], 16)
        start, at = line + 2, line + 2 + size + 2
        if len(came) < at:
            return None
        body += came[start : start + size]
        if not size:
            return bytes(body), at
    return None


async def serve(world: World, latency: float) -> None:
    """Until stdin ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(world, latency), "127.0.0.1", 0, backlog=256)
    async with server:
        sys.stdout.write(f"127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Serves what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("assets", type=int)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--empty", action="store_true", help="a bucket with nothing in it")
    parser.add_argument("--local-paths", action="store_true", help="records that hold Windows paths")
    options = parser.parse_args()
    world = World(options.assets, empty=options.empty, local_paths=options.local_paths)
    asyncio.run(serve(world, options.latency))


if __name__ == "__main__":
    main()
