"""A run whose process may open few files: it does its work, at a width that fits."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.workshop import Run, Workshop, environment, open_workshop
from tests.servers.firestore import FirestoreServer
from tests.servers.gcs import GcsServer

pytest.importorskip("resource", reason="Windows has no such limit")
FILES = 300
LIMITED = """
import resource, runpy, sys
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
sys.argv[0] = "reconcile"
runpy.run_module("reconcile", run_name="__main__")
"""


@pytest.fixture
def shop(tmp_path: Path, firestore_server: FirestoreServer) -> Iterator[Workshop]:
    with GcsServer() as gcs:
        made = open_workshop(tmp_path / "studio", gcs, firestore_server.address, local_db=False)
        folder = made.folder / "output" / "characters"
        folder.mkdir(parents=True)
        for number in range(FILES):
            (folder / f"c{number:03}.png").write_bytes(b"picture %d" % number)
        yield made


def limited(shop: Workshop, limit: int, *arguments: str) -> Run:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *arguments],
        cwd=shop.folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=300,
        check=False,
    )
    return Run(done.returncode, done.stdout.decode(), done.stderr.decode())


def test_a_wide_run_fits_the_limit_of_open_files(shop: Workshop) -> None:
    run = limited(shop, 48, "apply", "--yes", "--json", "--concurrency", "64")
    outcomes = json.loads(run.out)["outcomes"]
    assert {each["outcome"] for each in outcomes} == {"applied"}, run.err
    assert run.code == 0, run.err
    assert len(shop.objects()) == FILES
    run = limited(shop, 48, "verify", "--deep", "--json", "--concurrency", "64")
    assert "Too many open files" not in run.out + run.err


def test_files_come_back_under_the_limit_of_open_files(shop: Workshop) -> None:
    assert limited(shop, 48, "apply", "--yes", "--concurrency", "64").code == 0
    folder = shop.folder / "output" / "characters"
    for each in list(folder.iterdir())[:100]:
        each.unlink()
    run = limited(shop, 48, "restore", "--all", "--yes", "--concurrency", "64")
    assert run.code == 0, run.out + run.err
    assert len(list(folder.glob("*.png"))) == FILES
