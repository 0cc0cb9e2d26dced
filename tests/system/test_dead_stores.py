"""A store that is down, or takes connections and never answers: a sentence within half a minute, and no run hangs.

Clients left to themselves wait for minutes. The four wait side by side, because each of them takes its time.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconcile.commands.demo import build
from tests.kit.workshop import Run, reconcile

PATIENCE = 30.0
STORES = ("bucket", "records")


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as door:
        yield int(door.getsockname()[1])


def plan(folder: Path, store: str, port: int) -> tuple[Run, float]:
    """What `plan` says where one of the stores is at this port, and how many seconds it took."""
    build(folder)
    where = f"http://127.0.0.1:{port}" if store == "bucket" else f"127.0.0.1:{port}"
    started = time.monotonic()
    return reconcile(folder, "plan", f"--{store}-endpoint", where), time.monotonic() - started


def test_a_store_that_is_down_or_hangs_is_given_up_within_30_seconds(
    tmp_path: Path, closed_port: int, silent_port: int
) -> None:
    cases = [(store, port) for store in STORES for port in (closed_port, silent_port)]
    with ThreadPoolExecutor(len(cases)) as pool:
        runs = [pool.submit(plan, tmp_path / f"{store}-{port}", store, port) for store, port in cases]
    for (_, port), future in zip(cases, runs, strict=True):
        run, seconds = future.result()
        assert run.code == 1
        assert str(port) in run.err
        assert "Traceback" not in run.err
        assert seconds < PATIENCE
