"""Fixtures: the GCS servers that the real client talks to."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.servers.fake_gcs import FakeGcsServer, binary
from tests.servers.gcs import GcsServer


def pytest_configure(config: pytest.Config) -> None:
    """Registers the conformance suite's marker."""
    config.addinivalue_line("markers", "needs(*needs): what the server must do; skipped on one that is known not to")


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[GcsServer]:
    """The in-process server. Tests that script faults use a server of their own."""
    with GcsServer() as server:
        yield server


@pytest.fixture(scope="session")
def fake_gcs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeGcsServer]:
    """The referee; where its binary is missing the test is skipped, or fails with CI=true."""
    program = binary()
    if program is None:
        reason = "fake-gcs-server's binary is not there: install the development dependencies"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    server = FakeGcsServer(program, tmp_path_factory.mktemp("fake-gcs"))
    yield server
    server.close()
