"""Fixtures of the fault tests: a project on servers of its own. Google's clients are imported where one is used."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.servers.gcs import GcsServer

if TYPE_CHECKING:
    from tests.kit.rig import Rig
    from tests.servers.firestore import FirestoreServer


@pytest.fixture
def rig(tmp_path: Path, firestore_server: FirestoreServer) -> Iterator[Rig]:
    """An empty project; its servers are the test's own."""
    from tests.kit.rig import Rig

    with GcsServer() as gcs:
        made = Rig(tmp_path / "studio", gcs, firestore_server)
        yield made
        made.close()


@pytest.fixture
def furnished(tmp_path: Path, firestore_server: FirestoreServer) -> Iterator[Callable[..., Rig]]:
    """Makes the same with a database of the pipeline's own, which holds these documents."""
    from tests.kit.rig import Rig

    with GcsServer() as gcs:
        made = Rig(tmp_path / "studio", gcs, firestore_server, local_db=True)

        def make(**documents: Any) -> Rig:
            made.pipeline(**documents)
            return made

        yield make
        made.close()


@pytest.fixture
def ordinary_rig(firestore_server: FirestoreServer) -> Iterator[Rig]:
    """The same for a user whom the modes of files hold back, as they do not hold back root."""
    from tests.kit.rig import Rig

    folder = Path(tempfile.mkdtemp())
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    try:
        with GcsServer() as gcs:
            made = Rig(folder / "studio", gcs, firestore_server)
            yield made
            made.close()
    finally:
        if is_root:
            os.seteuid(0)
        for found, _, _ in os.walk(folder):
            os.chmod(found, 0o700)
        shutil.rmtree(folder)
