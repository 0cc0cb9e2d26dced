"""The users' whole studio: what the plan says that it will take is what the run says it took, and what the servers were
asked by its process."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.kit.studio import build_studio
from tests.kit.workshop import Workshop, furnish, open_workshop, reconcile
from tests.servers.firestore import FirestoreServer
from tests.servers.gcs import GcsServer

SENT = re.compile(r"(POST|PATCH) ")
LISTED = re.compile(r"GET /storage/v1/b/[^/]+/o")


def told(shop: Workshop, command: str, *arguments: str) -> Any:
    done = reconcile(shop.folder, command, *arguments, "--json")
    assert done.code == 0, done.err
    return done.document


@pytest.mark.parametrize("index", ["", "asset_types"])
def test_the_studio_s_first_migration_takes_what_its_plan_says(
    tmp_path: Path, firestore_server: FirestoreServer, index: str
) -> None:
    with GcsServer() as gcs:
        studio = build_studio(tmp_path / "studio")
        shop = open_workshop(tmp_path / "studio", gcs, firestore_server.address, index=index)
        furnish(shop, studio)
        estimate = told(shop, "plan")["estimate"]
        gcs.script.clear()
        firestore_server.log.clear()
        used = told(shop, "apply", "--yes")["used"]
        calls = [f"{call.method} {call.path}" for call in gcs.script.calls()]
        assert used == {"looking": estimate["looking"], "applying": estimate["applying"]}
        assert used["looking"]["document_reads"] == len(studio.records)
        total = {name: used["looking"][name] + count for name, count in used["applying"].items()}
        sent = sum(SENT.match(call) is not None for call in calls)
        listed = sum(LISTED.fullmatch(call) is not None for call in calls)
        free = sum(call.startswith("PUT ") for call in calls)
        assert total["class_a"] == sent + listed
        assert total["free"] == free
        assert total["class_b"] == len(calls) - sent - listed - free
        assert total["document_writes"] == len(firestore_server.calls("Commit"))
        after = told(shop, "plan")["estimate"]
        assert after["applying"] == dict.fromkeys(after["applying"], 0)
        (run,) = told(shop, "history")["runs"]
        assert run["used"] == used
