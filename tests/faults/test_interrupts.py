"""Ctrl-C at a terminal, once and twice, and SIGTERM: what is said, what is finished, what is left, and how soon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from reconcile.adapters.gcs.upload import CHUNK
from tests.kit.bench_project import BUCKET, SOON, AtTerminal, Bench, Held, command, settled
from tests.kit.workshop import environment
from tests.servers.gcs import GcsServer
from tools import schemas

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")

FINISHING = b"finishing what is in flight; press Ctrl-C again to stop at once"
AT_ONCE = 5.0
"""Seconds that are at once, on a machine that has other things to do; a hundredth of it is usual."""
FILES = {f"characters/c{number:02}.png": bytes([number + 1]) * 100 for number in range(12)}
LARGE = bytes(range(256)) * 4096 * 17


@pytest.fixture
def server() -> Iterator[GcsServer]:
    with GcsServer() as started:
        yield started


@pytest.fixture
def bench(tmp_path: Path, server: GcsServer) -> Bench:
    """Twelve images to upload, and the record of each to set."""
    made = Bench(tmp_path / "studio", server)
    for key, data in FILES.items():
        made.file(key, data)
        made.record(Path(key).stem, anime_image=made.windows(key))
    return made


def started(bench: Bench, *options: str, stdout: int | None = None) -> AtTerminal:
    """An apply, at a terminal, of which two uploads at most are under way."""
    return AtTerminal(command("apply", "--yes", "--concurrency", "2", *options), bench.folder, stdout=stdout)


def test_ctrl_c_says_so_at_once_finishes_what_is_in_flight_and_names_the_rest(bench: Bench, server: GcsServer) -> None:
    held = Held(server, path="/upload/")
    run = started(bench)
    held.wait(2)
    run.press_ctrl_c()
    assert run.until(FINISHING) < AT_ONCE
    assert run.process.poll() is None
    held.release()
    assert run.wait() == 130
    told = run.text
    assert "Traceback" not in told
    assert bench.held() == {key: FILES[key] for key in list(FILES)[:2]}
    assert all(f"not started  upload  {key}" in told for key in list(FILES)[2:])
    assert "Interrupted: 2 uploads (200 bytes), 22 not started" in told
    assert "it goes on from here" in told
    settled(bench, FILES)


def test_the_document_of_an_interrupted_run_lists_what_was_not_started(bench: Bench, server: GcsServer) -> None:
    ours, theirs = os.pipe()
    held = Held(server, path="/upload/")
    run = started(bench, "--json", stdout=theirs)
    os.close(theirs)
    held.wait(2)
    run.press_ctrl_c()
    run.until(FINISHING)
    held.release()
    with os.fdopen(ours, "rb") as out:
        document = json.loads(out.read())
    assert run.wait() == 130
    jsonschema.validate(document, schemas.schema("result"), cls=jsonschema.Draft202012Validator)
    assert document["status"] == "interrupted"
    assert (document["counts"]["applied"], document["counts"]["not_started"]) == (2, 22)
    outcomes = {(each["kind"], each["key"]): each["outcome"] for each in document["outcomes"]}
    assert [key for (kind, key), outcome in outcomes.items() if (kind, outcome) == ("upload", "not_started")] == list(
        FILES
    )[2:]


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_second_ctrl_c_stops_at_once(bench: Bench, server: GcsServer, options: list[str]) -> None:
    held = Held(server, path="/upload/")
    run = started(bench, *options)
    held.wait(2)
    run.press_ctrl_c()
    run.until(FINISHING)
    assert run.press_until_it_ends() < AT_ONCE
    assert run.wait() == 130
    assert "error: interrupted" in run.text
    assert "Traceback" not in run.text
    assert ('"code": "interrupted"' in run.text) is ("--json" in options)
    assert bench.held() == {}
    held.release()
    server.script.clear()
    settled(bench, FILES)


def test_sigterm_is_as_ctrl_c_once_however_often_it_comes(bench: Bench, server: GcsServer) -> None:
    held = Held(server, path="/upload/")
    run = started(bench)
    held.wait(2)
    run.process.send_signal(signal.SIGTERM)
    run.until(FINISHING)
    run.process.send_signal(signal.SIGTERM)
    held.release()
    assert run.wait() == 130
    assert "Interrupted: 2 uploads (200 bytes), 22 not started" in run.text
    assert len(bench.held()) == 2


def test_the_log_stays_json_when_it_is_interrupted(bench: Bench, server: GcsServer) -> None:
    held = Held(server, path="/upload/")
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    run = bench.start("apply", "--yes", "--json", "--log-format", "json", "--concurrency", "2", **pipes)
    held.wait(2)
    run.send_signal(signal.SIGINT)
    assert run.stderr is not None
    lines = []
    while not lines or FINISHING.decode() not in lines[-1].get("message", ""):
        lines.append(json.loads(run.stderr.readline()))
    held.release()
    out, rest = run.communicate(timeout=SOON)
    assert run.returncode == 130
    assert json.loads(out)["status"] == "interrupted"
    assert all(json.loads(line) for line in rest.splitlines())


def test_while_it_still_plans_one_ctrl_c_is_enough(bench: Bench, server: GcsServer) -> None:
    held = Held(server, method="GET", path=f"/b/{BUCKET}/o")
    run = started(bench)
    held.wait(1)
    pressed = time.monotonic()
    run.press_ctrl_c()
    assert run.wait() == 130
    assert time.monotonic() - pressed < AT_ONCE
    assert "error: interrupted" in run.text
    assert "Traceback" not in run.text
    held.release()
    server.script.clear()
    settled(bench, FILES)


def test_a_large_file_in_flight_is_finished_after_one_ctrl_c(tmp_path: Path, server: GcsServer) -> None:
    bench = large(tmp_path, server)
    held = Held(server, method="PUT", skip=1, times=1)
    run = started(bench)
    held.wait(1)
    run.press_ctrl_c()
    run.until(FINISHING)
    held.release()
    assert run.wait() == 130
    assert bench.held() == {VIDEO: LARGE}
    assert "not started  set_field" in run.text
    settled(bench, {VIDEO: LARGE})


def test_after_two_ctrl_cs_a_large_file_goes_on_where_it_stopped(tmp_path: Path, server: GcsServer) -> None:
    bench = large(tmp_path, server)
    held = Held(server, method="PUT", skip=1, times=1)
    run = started(bench)
    held.wait(1)
    run.press_ctrl_c()
    run.until(FINISHING)
    assert run.press_until_it_ends() < AT_ONCE
    assert run.wait() == 130
    held.release()
    server.script.clear()
    settled(bench, {VIDEO: LARGE})
    ranges = [call.headers["content-range"] for call in server.script.calls("PUT")]
    assert not any(each.startswith("bytes 0-") for each in ranges)
    assert [call.query["uploadType"] for call in server.script.calls("POST")] == []


VIDEO = "dances/dance_rem_01.mp4"


def large(tmp_path: Path, server: GcsServer) -> Bench:
    """A video of three chunks, and the record to set."""
    bench = Bench(tmp_path / "studio", server)
    bench.file(VIDEO, LARGE)
    bench.record("rem", dance_video=bench.windows(VIDEO))
    assert len(LARGE) > 2 * CHUNK
    return bench


# -- before the command has begun

INTERRUPTED_IMPORT = """
import os, signal, sys
from reconcile.__main__ import run

module, times = sys.argv[1], int(sys.argv[2])
done = []

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == module and not done:
            done.append(name)
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)

sys.argv = ["reconcile", *sys.argv[3:]]
sys.meta_path.insert(0, Interrupts())
run()
"""


@pytest.mark.parametrize(
    ("module", "json_asked"),
    [
        ("reconcile.cli", True),
        ("typer", False),
        ("reconcile.cli.signals", False),
        ("rich.console", False),
        ("reconcile.pipeline.planner", True),
        ("sqlite3", False),
        ("crc32c", False),
    ],
)
def test_an_interrupt_during_an_import_is_a_sentence_and_no_traceback(
    bench: Bench, module: str, json_asked: bool
) -> None:
    options = ["--json"] if json_asked else []
    done = interrupted_at(bench, module, 1, "plan", *options)
    assert (done.returncode, "error: interrupted" in done.stderr) == (130, True), done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if json_asked:
        assert json.loads(done.stdout)["code"] == "interrupted"


def test_two_interrupts_before_the_command_has_begun_end_it(bench: Bench) -> None:
    done = interrupted_at(bench, "typer", 2, "plan")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def interrupted_at(bench: Bench, module: str, times: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The program, with so many interrupts at the moment when it begins to import this module."""
    return subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IMPORT, module, str(times), *arguments],
        cwd=bench.folder,
        env={name: value for name, value in environment().items() if name != "PYTHONWARNINGS"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SOON,
        text=True,
        check=False,
    )
