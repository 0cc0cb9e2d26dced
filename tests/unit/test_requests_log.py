"""What -vv writes: each request, its retries and their times, and a summary; as text and as JSON lines."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from reconcile.__main__ import main
from reconcile.adapters.gcs.store import GcsObjectStore
from reconcile.adapters.meter import Asked, Meter
from reconcile.core.shown_url import shown_url
from reconcile.views.requests import RequestLog, operation
from tests.kit.small_project import make_project
from tests.servers.clock import SkippingClock
from tests.servers.faults import Fault
from tests.servers.gcs import GcsServer

API = "http://127.0.0.1:4443"


class Heard:
    """A witness that remembers."""

    def __init__(self) -> None:
        self.all: list[Asked] = []

    def heard(self, asked: Asked) -> None:
        self.all.append(asked)

    def ended(self) -> None:
        """Nothing more is to come."""


@pytest.mark.parametrize(
    ("method", "where", "expected"),
    [
        ("GET", "/storage/v1/b/b/o", "list"),
        ("GET", "/storage/v1/b/b/o/a%2Fb.png", "look at an object"),
        ("GET", "/download/storage/v1/b/b/o/a?alt=media", "download"),
        ("POST", "/upload/storage/v1/b/b/o?uploadType=multipart", "upload"),
        ("PUT", "/upload/storage/v1/b/b/o?upload_id=***", "upload chunk"),
        ("POST", "/storage/v1/b/b/o/a/rewriteTo/b/b/o/b", "copy"),
        ("PATCH", "/storage/v1/b/b/o/a", "set content type"),
        ("POST", "/v1/projects/p/databases/(default)/documents:runQuery", "runQuery"),
        ("POST", "/token", "POST token"),
        ("GET", "/***", "GET ***"),
    ],
)
def test_a_request_is_counted_under_what_it_is_for(method: str, where: str, expected: str) -> None:
    assert operation(Asked(method, f"{API}{where}", "200", 0.1)) == expected
    assert operation(Asked("Commit", "firestore://p/d/c/rem", "OK", 0.1)) == "commit"


def test_a_request_that_fails_is_told_with_its_retry_and_the_time_between(server: GcsServer) -> None:
    heard, ticks = Heard(), iter(range(100))
    server.script.add(Fault(method="GET", status=503, times=2))
    meter = Meter(heard, clock=lambda: float(next(ticks)))
    with GcsObjectStore("b", "", server.url, clock=SkippingClock(), meter=meter) as store:
        assert list(store.list()) == []
        assert list(store.list()) == []
    assert [(each.outcome, each.attempt, each.seconds, each.waited) for each in heard.all] == [
        ("503", 1, 1.0, 0.0),
        ("503", 2, 1.0, 1.0),
        ("200", 3, 1.0, 1.0),
        ("200", 1, 1.0, 0.0),
    ]
    assert {each.where.partition("?")[0] for each in heard.all} == {f"{server.url}/storage/v1/b/b/o"}
    assert meter.total().class_a == 4


@pytest.mark.parametrize(
    ("outcome", "failed"),
    [("200", False), ("308", False), ("404", False), ("412", False), ("OK", False)]
    + [
        (each, True)
        for each in ("401", "408", "429", "503", "200, and broke off", "slow", "silent", "stopped", "UNAVAILABLE")
    ],
)
def test_what_is_worth_another_attempt_counts_as_failed(outcome: str, failed: bool) -> None:
    assert Asked("GET", API, outcome, 0.0).failed is failed


ASKED = (
    Asked("GET", f"{API}/storage/v1/b/b/o?prefix=a", "503", 0.0119),
    Asked("GET", f"{API}/storage/v1/b/b/o?prefix=a", "200", 1.5, 2, 0.25),
    Asked("Commit", "firestore://p/d/characters/re\x1bm", "OK", 0.02),
)


def test_each_request_is_a_line_and_a_table_sums_them_up() -> None:
    stream = io.StringIO()
    log = RequestLog(stream, as_json=False, colour="never")
    for asked in ASKED:
        log.heard(asked)
    log.ended()
    log.ended()
    assert stream.getvalue().splitlines() == [
        "GET 503 12 ms  http://127.0.0.1:4443/storage/v1/b/b/o?prefix=a",
        "GET 200 1,500 ms  http://127.0.0.1:4443/storage/v1/b/b/o?prefix=a  (attempt 2, after 250 ms)",
        "Commit OK 20 ms  firestore://p/d/characters/re\\x1bm",
        "requests  count  failed    mean   longest  in all",
        "commit        1       0   20 ms     20 ms   0.0 s",
        "list          2       1  756 ms  1,500 ms   1.5 s",
    ]


def test_as_json_each_request_and_the_sums_are_lines() -> None:
    stream = io.StringIO()
    log = RequestLog(stream, as_json=True)
    for asked in ASKED:
        log.heard(asked)
    log.ended()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line.pop("event") for line in lines] == ["request"] * 3 + ["requests"]
    assert all(line.pop("time") for line in lines)
    assert lines[1] == {
        "method": "GET",
        "url": f"{API}/storage/v1/b/b/o?prefix=a",
        "outcome": "200",
        "ms": 1500,
        "attempt": 2,
        "waited_ms": 250,
    }
    sums = lines[3]["operations"]
    assert sums["list"] == {"count": 2, "failed": 1, "mean_ms": 756, "longest_ms": 1500, "total_ms": 1512}


def test_a_url_is_shown_with_what_is_asked_and_without_what_lets_one_in() -> None:
    listing = f"{API}/storage/v1/b/b/o?prefix=a%2Fb&maxResults=1000&pageToken=x&fields=items"
    assert shown_url(listing) == f"{API}/storage/v1/b/b/o?prefix=a/b&maxResults=1000&pageToken=***"
    assert shown_url("firestore://p/d/characters/rem") == "firestore://p/d/characters/rem"
    assert shown_url("https://h/b/rem.png?X-Goog-Signature=x&X-Goog-Date=y") == "https://h/***?***"


@pytest.fixture
def on_server(tmp_path: Path, server: GcsServer) -> Any:
    folder = make_project(tmp_path / "studio")

    def command(*arguments: str) -> int:
        return main(["-C", str(folder), *arguments, "--bucket-uri", "gs://b/p", "--bucket-endpoint", server.url])

    return command


def test_v_twice_shows_each_request_and_once_shows_none(on_server: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert on_server("plan", "-v") == 0
    once = capfd.readouterr()
    assert on_server("plan", "-vv") == 0
    twice = capfd.readouterr()
    assert "/storage/v1/b/b/o" not in once.out + once.err
    assert "GET 200 " in twice.err
    assert "\nlist " in twice.err
    assert "/storage/v1/b/b/o" not in twice.out


def test_v_twice_before_the_command_and_with_json_logs_gives_lines(
    on_server: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    assert on_server("apply", "--yes", "--log-format", "json", "-v", "--verbose", "--quiet") == 0
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    requests = [line for line in lines if line["event"] == "request"]
    assert {line["method"] for line in requests} == {"GET", "POST"}
    assert {line["outcome"] for line in requests} == {"200"}
    assert "upload" in next(line for line in lines if line["event"] == "requests")["operations"]
