"""docs/publishing.md: what its Python does, on a bucket and on a stand-in of Instagram that really fetches."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest

from reconcile.__main__ import main
from reconcile.commands.demo import build
from tests.servers.gcs import GcsServer
from tests.unit.test_docs import python_of

KPOP = "anime_dance/remixes/ai_hoshino_idol/result/[kpop]_ai_hoshino_idol.mp4"


class Instagram(BaseHTTPRequestHandler):
    """Makes containers out of URLs that answer with a video, and publishes those that are finished."""

    containers: dict[str, list[str]]
    published: list[str]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        if self.path.endswith("/media"):
            with urlopen(form["video_url"], timeout=20) as answer:
                good = answer.headers["Content-Type"] == "video/mp4" and form["media_type"] == "REELS"
                answer.read()
            name = f"c{len(self.containers)}"
            self.containers[name] = ["IN_PROGRESS", "FINISHED" if good else "ERROR"]
            self._say({"id": name})
        else:
            self.published.append(form["creation_id"])
            self._say({"id": "post"})

    def do_GET(self) -> None:
        states = self.containers[urlsplit(self.path).path.rpartition("/")[2]]
        self._say({"status_code": states.pop(0) if len(states) > 1 else states[0]})

    def _say(self, said: Any) -> None:
        data = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def instagram() -> Iterator[Any]:
    handler = type("Handler", (Instagram,), {"containers": {}, "published": []})
    started = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=started.serve_forever, args=(0.02,), daemon=True).start()
    yield started
    started.shutdown()
    started.server_close()


@pytest.fixture
def shown(tmp_path: Path, server: GcsServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the document's Python defines, run in a studio whose files are in the bucket."""
    server.world.make_bucket("my-bucket")
    monkeypatch.setenv("RECONCILE_BUCKET_ENDPOINT", server.url)
    build(tmp_path / "studio")
    monkeypatch.chdir(tmp_path / "studio")
    assert main(["apply", "--yes", "--quiet"]) == 0
    found: dict[str, Any] = {}
    for code in python_of("docs/publishing.md"):
        exec(compile(code, "docs/publishing.md", "exec"), found)
    yield found
    found["opened"].close()


def test_a_version_is_published_by_its_signed_url(shown: dict[str, Any], instagram: Any) -> None:
    shown["GRAPH"] = f"http://127.0.0.1:{instagram.server_port}"
    real = shown["publish"]
    shown["publish"] = lambda *given, **media: real(*given, pause=0, **media)
    shown["post_kpop_version"](shown["project"], "ai_hoshino", "me", "token", "Idol & more")
    assert instagram.RequestHandlerClass.published == ["c0"]


def test_what_has_a_wrong_content_type_is_not_published(
    shown: dict[str, Any], server: GcsServer, instagram: Any
) -> None:
    server.world.insert("my-bucket", KPOP, b"video", {"contentType": "text/plain"})
    shown["GRAPH"] = f"http://127.0.0.1:{instagram.server_port}"
    real = shown["publish"]
    shown["publish"] = lambda *given, **media: real(*given, pause=0, **media)
    with pytest.raises(RuntimeError, match="ERROR"):
        shown["post_kpop_version"](shown["project"], "ai_hoshino", "me", "token", "Idol")
    assert instagram.RequestHandlerClass.published == []


def test_a_showcase_and_a_service_in_the_cloud_read_what_the_records_name(
    shown: dict[str, Any], server: GcsServer
) -> None:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    client = storage.Client("p", AnonymousCredentials(), client_options={"api_endpoint": server.url})
    urls = shown["showcase"]("ai_hoshino")
    assert len(urls) == 2
    for uri, url in {**urls, **shown["urls"]}.items():
        with urlopen(url, timeout=20) as answer:
            assert answer.read() == shown["read"](uri, client)
