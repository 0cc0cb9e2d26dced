"""The real process on the servers, killed a few times on one world."""

from __future__ import annotations

from pathlib import Path

from tests.faults.kills import REPLAY, run_kills
from tests.servers.firestore import FirestoreServer
from tests.servers.gcs import GcsServer

SEED = 4
KILLS = 6


def test_a_process_that_is_killed_again_and_again_loses_nothing(
    tmp_path: Path, firestore_server: FirestoreServer
) -> None:
    with GcsServer() as gcs:
        result = run_kills(tmp_path, gcs, firestore_server.address, seed=SEED, kills=KILLS)

    assert result.problems == (), REPLAY.format(SEED, KILLS)
    assert result.kills == KILLS
    assert result.wrote > 0
