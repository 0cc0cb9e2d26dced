"""The users' world on servers: made once a test, or once a module where it is only read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.gcs import GcsServer
from tests.system.workshop import Workshop, open_workshop


@pytest.fixture
def workshop(tmp_path: Path, gcs_server: GcsServer, firestore_emulator: str) -> Workshop:
    """An empty project on a GCS server and the official Firestore emulator."""
    return open_workshop(tmp_path / "project", gcs_server, firestore_emulator, local_db=False)


@pytest.fixture
def open_shop(gcs_server: GcsServer, firestore_emulator: str) -> Callable[[Path], Workshop]:
    """Opens further projects."""
    return lambda folder: open_workshop(folder, gcs_server, firestore_emulator)
