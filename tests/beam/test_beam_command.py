"""``plan --engine beam`` reads the stores by parts, on Beam's local runner, and gives the plan of the other engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("apache_beam", reason="reconcile[beam] is not installed")

from tests.kit.studio import build_studio
from tests.kit.workshop import PREFIX, Workshop, furnish, open_workshop
from tests.servers.firestore import FirestoreServer
from tests.servers.gcs import GcsServer

QUIET = {"PYTHONWARNINGS": "ignore"}
"""Beam and what it imports warn."""


@pytest.fixture
def shop(tmp_path: Path) -> Any:
    firestore = FirestoreServer().start()
    with GcsServer() as gcs:
        made = open_workshop(tmp_path / "project", gcs, firestore.address)
        furnish(made, build_studio(made.folder, scale=0.2, bucket_uri=f"gs://{made.bucket}/{PREFIX}"))
        yield made
    firestore.stop()


def told(document: dict[str, Any]) -> dict[str, Any]:
    """A plan without what is of its making."""
    return {name: value for name, value in document.items() if name not in ("created", "estimate", "records_as_of")}


def test_the_users_world_gets_the_same_plan_from_both_engines(shop: Workshop) -> None:
    by_beam = shop.run("plan", "--engine", "beam", "--json", **QUIET)
    assert by_beam.code == 0, by_beam.err
    stream = shop.run("plan", "--json")
    assert told(by_beam.document) == told(stream.document)
    assert stream.document["actions"]


def test_ten_thousand_assets_get_the_same_plan_from_both_engines(tmp_path: Path) -> None:
    firestore = FirestoreServer().start()
    with GcsServer() as gcs:
        large = open_workshop(tmp_path / "large", gcs, firestore.address, local_db=False)
        studio = build_studio(large.folder, scale=16, bucket_uri=f"gs://{large.bucket}/{PREFIX}")
        furnish(large, studio)
        by_beam = large.run("plan", "--engine", "beam", "--json", timeout=170, **QUIET)
        assert by_beam.code == 0, by_beam.err
        assert told(by_beam.document) == told(large.run("plan", "--json").document)
        assert len(list((large.folder / "output").rglob("*.*"))) > 10_000
    firestore.stop()


def test_nothing_is_left_behind(shop: Workshop) -> None:
    before = (
        {path.name for path in (shop.folder / ".reconcile").glob("*")}
        if (shop.folder / ".reconcile").exists()
        else set()
    )
    assert shop.run("plan", "--engine", "beam", "--json", **QUIET).code == 0
    after = {path.name for path in (shop.folder / ".reconcile").glob("*")}
    assert not {name for name in after - before if name.startswith(("beam-", "scan-"))}


def test_a_plan_of_scans_is_made_where_no_file_is_and_saved_in_shards(shop: Workshop, tmp_path: Path) -> None:
    expected = shop.run("plan", "--json").document
    assert shop.run("scan", "--out", str(tmp_path / "scan")).code == 0
    (shop.folder / "output").rename(tmp_path / "away")
    (shop.folder / "output").mkdir()
    arguments = ("--files-from", str(tmp_path / "scan"), "--out", str(tmp_path / "plan"), "--shards", "3", "--json")
    done = shop.run("plan", "--engine", "beam", *arguments, "--", "--runner", "FnApiRunner", **QUIET)
    assert done.code == 0, done.err
    assert told(done.document) == told(expected)
    head = json.loads((tmp_path / "plan" / "plan.json").read_text("utf-8"))
    assert sum(each["actions"] for each in head["shards"]) == len(expected["actions"])


def test_a_part_that_cannot_be_read_fails_the_plan_with_its_own_sentence(shop: Workshop) -> None:
    from tests.servers.faults import Fault

    shop.gcs.script.add(Fault(method="GET", path=f"/b/{shop.bucket}/o", status=403, reason="forbidden", times=1 << 30))
    done = shop.run("plan", "--engine", "beam", "--json", **QUIET)
    assert done.code == 1
    assert done.document["format"] == "reconcile.error/1"
    assert done.document["code"] == "denied"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("plan", "--engine", "beam", "--char-id", "rem"), "plans everything"),
        (("apply", "--engine", "beam", "--yes"), "only plan runs on Beam"),
        (("plan", "--", "--runner", "FnApiRunner"), "takes no argument"),
    ],
)
def test_what_beam_is_not_for_is_refused(shop: Workshop, arguments: tuple[str, ...], says: str) -> None:
    done = shop.run(*arguments)
    assert done.code == 64
    assert says in done.err
