"""The hooks against servers, through Google's own clients: at the end of a program, and in forks of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.workshop import Workshop, environment, open_workshop
from tests.servers.firestore import FirestoreServer
from tests.servers.gcs import GcsServer

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import atexit, os, sys, threading
from reconcile.hooks import auto_upload_to_gcs

@auto_upload_to_gcs(on_error=sys.argv[2])
def dance(number):
    path = f"output/dances/dance_ai_hoshino_{number}.mp4"
    os.makedirs("output/dances", exist_ok=True)
    with open(path, "w") as file:
        file.write(path)
    return path

def work(number=1):
    print(dance(number)[1], flush=True)

def late():
    threading.main_thread().join()
    work()

match sys.argv[1]:
    case "thread":
        threading.Thread(target=late).start()
    case "atexit":
        atexit.register(work)
    case "thread again":
        dance(0)
        threading.Thread(target=late).start()
    case "fork":
        work(0)
        child = os.fork()
        work(2 if child else 1)
        if child:
            assert os.waitpid(child, 0)[1] == 0
    case "fork while another thread is in a call":
        begun = threading.Event()
        def busy():
            begun.set()
            for number in range(3, 8):
                work(number)
        thread = threading.Thread(target=busy)
        work(0)
        thread.start()
        begun.wait()
        child = os.fork()
        if not child:
            work(1)
            os._exit(0)
        thread.join()
        work(2)
        assert os.waitpid(child, 0)[1] == 0
"""


@pytest.fixture
def bucket() -> Iterator[GcsServer]:
    with GcsServer() as server:
        yield server


@pytest.fixture
def shop(tmp_path: Path, bucket: GcsServer, firestore_server: FirestoreServer) -> Workshop:
    made = open_workshop(tmp_path / "project", bucket, firestore_server.address, local_db=False)
    made.collection().document("ai_hoshino").set({"name": "Ai", "assets": [{"title": "primary"}]})
    return made


def run(shop: Workshop, how: str, on_error: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how, on_error],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=shop.folder,
        env=environment({"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}),
    )
    assert done.returncode == 0, done.stderr
    return sorted(done.stdout.splitlines())


@pytest.mark.parametrize("on_error", ["raise", "queue"])
@pytest.mark.parametrize("how", ["thread", "thread again", "atexit"])
def test_a_call_at_the_end_of_the_program_reaches_the_cloud(shop: Workshop, how: str, on_error: str) -> None:
    assert run(shop, how, on_error) == [shop.uri("dances/dance_ai_hoshino_1.mp4")]
    assert "dances/dance_ai_hoshino_1.mp4" in shop.objects()
    assert "dance_video" in json.dumps(shop.records()["ai_hoshino"][0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork there")
@pytest.mark.parametrize("on_error", ["raise", "queue"])
@pytest.mark.parametrize(("how", "calls"), [("fork", 3), ("fork while another thread is in a call", 8)])
def test_a_fork_of_a_program_that_used_the_clients_has_its_own(
    shop: Workshop, how: str, calls: int, on_error: str
) -> None:
    uris = [shop.uri(f"dances/dance_ai_hoshino_{number}.mp4") for number in range(calls)]
    assert run(shop, how, on_error) == uris
    assert {f"dances/dance_ai_hoshino_{number}.mp4" for number in range(calls)} <= set(shop.objects())
