"""``reconcile watch`` as a process: events, signals, pipes that break, and the files of a real folder."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from reconcile.commands.demo_media import mp4, png
from tests.kit.small_project import make_project, open_objects
from tests.kit.workshop import environment, open_workshop, reconcile
from tests.servers.gcs import GcsServer
from tools import schemas

PATIENCE = 60.0
IMAGE = png(1)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows ends processes in another way")


class Watching:
    """The process, and the lines that it writes."""

    def __init__(self, folder: Path, *arguments: str, as_json: bool = True) -> None:
        self.folder = folder
        self.as_json = as_json
        self.process = subprocess.Popen(
            [sys.executable, "-m", "reconcile", "watch", *(["--json"] if as_json else []), *arguments],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.lines: list[bytes] = []
        self._queue: queue.Queue[bytes | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line)
        self._queue.put(None)

    def next(self, wanted: str, holds: Callable[[Any], bool] = lambda _event: True) -> Any:
        """The next event of this kind that holds so."""
        end = time.monotonic() + PATIENCE
        while True:
            line = self._queue.get(timeout=max(0.1, end - time.monotonic()))
            assert line is not None, self.error()
            self.lines.append(line)
            event = json.loads(line)
            if event["event"] == wanted and holds(event):
                return event

    def error(self) -> str:
        """stderr, once the process has ended."""
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def end(self, number: int) -> int:
        """The exit code after a signal."""
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        while (line := self._queue.get_nowait()) is not None:
            self.lines.append(line)
        return code


@pytest.fixture
def start() -> Iterator[Callable[..., Watching]]:
    started: list[Watching] = []

    def begin(folder: Path, *arguments: str, as_json: bool = True) -> Watching:
        started.append(Watching(folder, *arguments, as_json=as_json))
        return started[-1]

    yield begin
    for each in started:
        each.process.kill()
        each.process.communicate()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_project(tmp_path)


def write_slowly(path: Path, data: bytes) -> None:
    """As a renderer does: the file is there long before its end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for at in range(0, len(data), 1000):
            file.write(data[at : at + 1000])
            file.flush()


def test_files_are_taken_as_they_settle_and_sigterm_ends_it_with_0(
    folder: Path, start: Callable[..., Watching]
) -> None:
    watching = start(folder)
    watching.next("idle")
    write_slowly(folder / "output/characters/rem_cosplay.png", IMAGE)
    write_slowly(folder / "output/remixes/rem_new/result/[kpop]_new.mp4", mp4(1))
    watching.next("applied", lambda event: event["counts"]["applied"] > 0)
    watching.next("idle")
    health = reconcile(folder, "watch", "--check", "--json")
    assert (health.code, health.document["state"]) == (0, "idle")
    assert watching.end(signal.SIGTERM) == 0
    objects = open_objects(folder)
    found = {each.key for each in objects.list()}
    objects.close()
    assert {"characters/rem_cosplay.png", "remixes/rem_new/result/[kpop]_new.mp4"} <= found
    assert watching.error() == ""
    kinds = [json.loads(line)["event"] for line in watching.lines]
    assert (kinds[0], kinds[-1]) == ("started", "stopped")
    for line in watching.lines:
        jsonschema.validate(json.loads(line), schemas.schema("watch"), cls=jsonschema.Draft202012Validator)
    gone = reconcile(folder, "watch", "--check", "--json")
    assert (gone.code, gone.document["code"]) == (1, "watch_unwell")


def test_an_unfinished_image_waits_for_its_end(folder: Path, start: Callable[..., Watching]) -> None:
    watching = start(folder)
    watching.next("idle")
    file = folder / "output/characters/rem_cosplay.png"
    file.write_bytes(IMAGE[:-20])
    waiting = watching.next("waiting")
    assert (waiting["code"], waiting["paths"]) == ("incomplete", ["characters/rem_cosplay.png"])
    file.write_bytes(IMAGE)
    assert watching.next("applied")["bytes"] == len(IMAGE)


def test_ctrl_c_ends_it_with_130(folder: Path, start: Callable[..., Watching]) -> None:
    watching = start(folder)
    watching.next("idle")
    assert watching.end(signal.SIGINT) == 130
    assert json.loads(watching.lines[-1])["event"] == "stopped"


@pytest.mark.parametrize("form", ["--json", "--verbose"])
def test_a_reader_that_leaves_ends_it_quietly(folder: Path, form: str) -> None:
    arguments = [sys.executable, "-m", "reconcile", "watch", "--every", "1s", form]
    with subprocess.Popen(
        arguments, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        watching.stdout.readline()
        watching.stdout.close()
        try:
            assert watching.wait(PATIENCE) == 0
        finally:
            watching.kill()
        assert watching.stderr.read() == b""


def test_as_text_names_do_no_harm(folder: Path, start: Callable[..., Watching]) -> None:
    watching = start(folder, "--verbose", as_json=False)
    (folder / "output/characters").joinpath("rem_\x1b[31m.png").write_bytes(IMAGE[:-1])
    while b"not complete" not in (line := watching._queue.get(timeout=PATIENCE) or b"not complete: ended"):
        pass
    assert b"rem_\\x1b[31m.png is not complete: it ends within its" in line or b"no IEND" in line
    assert b"\x1b" not in line


def test_a_second_watcher_is_refused_with_75(folder: Path, start: Callable[..., Watching]) -> None:
    start(folder).next("idle")
    second = reconcile(folder, "watch", "--json")
    assert (second.code, second.document["code"]) == (75, "locked")
    assert "watched already" in second.document["message"]


def test_a_watcher_that_was_killed_is_not_well_from_then_on(folder: Path, start: Callable[..., Watching]) -> None:
    watching = start(folder)
    watching.next("idle")
    assert reconcile(folder, "watch", "--check").code == 0
    watching.end(signal.SIGKILL)
    gone = reconcile(folder, "watch", "--check", "--json")
    assert (gone.code, gone.document["code"]) == (1, "watch_unwell")
    assert gone.document["message"] == f"the watcher (process {watching.process.pid}) has died"
    start(folder).next("idle")
    assert reconcile(folder, "watch", "--check").code == 0


def test_what_cannot_be_is_refused_at_once(folder: Path) -> None:
    for arguments in (["--every", "soon"], ["--every", "0s"], ["--max-age", "7"], ["--poll", "often"]):
        assert reconcile(folder, "watch", *arguments).code == 64
    (folder / "rules/asset_map.toml").write_text("nonsense", encoding="utf-8")
    assert reconcile(folder, "watch").code == 78


def test_without_a_watcher_a_check_fails(folder: Path) -> None:
    done = reconcile(folder, "watch", "--check")
    assert (done.code, done.err.splitlines()[0]) == (1, "error: no watcher has run in this project")


def test_an_upload_in_flight_is_finished_and_nothing_more_is_started(
    tmp_path: Path, gcs_server: GcsServer, firestore_server: Any, start: Callable[..., Watching]
) -> None:
    shop = open_workshop(tmp_path, gcs_server, firestore_server.address, local_db=False)
    for number in range(200):
        path = tmp_path / f"output/characters/c{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(IMAGE)
        os.utime(path, (1e9, 1e9))
    watching = start(tmp_path, "--concurrency", "2")
    watching.next("applying")
    assert watching.end(signal.SIGTERM) == 0
    told = [json.loads(line) for line in watching.lines]
    [applied] = [event for event in told if event["event"] == "applied"]
    assert applied["counts"]["applied"] == len(shop.objects())
    assert applied["counts"].get("not_started", 0) > 0
