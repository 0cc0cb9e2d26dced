"""Fixtures: a Firestore in this process, and the official emulator."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.servers import firestore_emulator as emulator
from tests.servers.firestore import FirestoreServer


@pytest.fixture
def firestore_server() -> Iterator[FirestoreServer]:
    """A server of the test's own, empty and without faults."""
    server = FirestoreServer().start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def firestore_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the official emulator, one for all workers; a project of its own isolates a test."""
    reason = emulator.missing()
    if reason is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    with emulator.lease(shared) as address:
        yield address
