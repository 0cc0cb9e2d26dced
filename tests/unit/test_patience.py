"""A store that does not answer is said after two seconds, and again every ten, by a clock that is moved by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from reconcile.adapters.meter import BUCKET, RECORDS, Meter
from reconcile.cli.patience import reporter
from reconcile.core.events import Event, Unanswered
from tests.kit.bench_project import AtTerminal, Bench, Held, command
from tests.servers.gcs import GcsServer

URL = "https://storage.googleapis.com/storage/v1/b/my-bucket/o"
DOCUMENTS = "https://firestore.googleapis.com/v1/projects/p/databases/(default)/documents:runQuery"


class Scene:
    """A meter, and what is said of it as time passes."""

    def __init__(self) -> None:
        self.now = 0.0
        self.said: list[str] = []
        self.meter = Meter(clock=lambda: self.now)
        self.look = reporter(self.meter, {BUCKET: "gs://my-bucket", RECORDS: "firestore://p"}, self._heard)

    def _heard(self, event: Event) -> None:
        assert isinstance(event, Unanswered)
        self.said.append(f"{event.store} {event.seconds:.0f}")

    def until(self, second: float) -> list[str]:
        """What is said up to that moment, looking twice a second."""
        while self.now < second:
            self.now += 0.5
            self.look()
        said, self.said = self.said, []
        return said


def test_a_request_without_an_answer_is_said_after_two_seconds_and_every_ten() -> None:
    scene = Scene()
    scene.meter.bucket("GET", URL)
    assert scene.until(1.5) == []
    assert scene.until(25) == ["gs://my-bucket 2", "gs://my-bucket 12", "gs://my-bucket 22"]


def test_requests_that_fail_at_once_and_are_tried_again_are_said_in_the_same_manner() -> None:
    scene = Scene()
    for second in (0.5, 1.0, 1.5):
        scene.meter.other("POST", DOCUMENTS)("refused", reached=False)
        assert scene.until(second) == []
    assert scene.until(2.5) == ["firestore://p 2"]


def test_a_store_that_answers_is_not_said_and_counts_anew_when_it_stops() -> None:
    scene = Scene()
    for _ in range(10):
        ended = scene.meter.bucket("GET", URL)
        assert scene.until(scene.now + 1) == []
        ended("404")
    assert scene.until(30) == []
    scene.meter.bucket("GET", URL)
    assert scene.until(33) == ["gs://my-bucket 2"]


def test_a_long_upload_that_moves_is_no_silence() -> None:
    scene = Scene()
    ended = scene.meter.bucket("PUT", URL)
    for _ in range(20):
        scene.meter.sent(1000)
        assert scene.until(scene.now + 1) == []
    assert scene.until(23) == ["gs://my-bucket 2"]
    ended("200")
    assert scene.until(60) == []


def test_of_several_requests_at_once_one_answer_is_enough() -> None:
    scene = Scene()
    first, _second = scene.meter.bucket("GET", URL), scene.meter.bucket("GET", URL)
    scene.until(1.5)
    first("200")
    assert scene.until(3) == []
    assert scene.until(4) == ["gs://my-bucket 2"]


@pytest.mark.skipif(sys.platform == "win32", reason="terminals here are POSIX")
@pytest.mark.parametrize("line", [["plan"], ["doctor"]], ids=" ".join)
def test_a_person_at_a_terminal_reads_which_store_is_waited_for(
    line: list[str], tmp_path: Path, server: GcsServer
) -> None:
    bench = Bench(tmp_path, server)
    bench.file("characters/rem.png", b"r")
    held = Held(server, method="GET")
    terminal = AtTerminal(command(*line), bench.folder)
    terminal.until(f"waiting for gs://my-bucket/anime_dance at {server.url}".encode())
    held.release()
    assert terminal.wait() in (0, 1)
