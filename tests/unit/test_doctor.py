"""doctor: each thing that a run needs, tried on servers that refuse just that; nothing is written that stays."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from reconcile import Project
from reconcile.commands.doctor import Check, Health, check_project
from tests.kit.workshop import PREFIX, Workshop, open_workshop
from tests.servers.faults import FOREVER, Fault
from tests.servers.firestore import FirestoreServer
from tests.servers.gcs import GcsServer


@pytest.fixture
def gcs() -> Iterator[GcsServer]:
    with GcsServer() as server:
        yield server


@pytest.fixture
def shop(tmp_path: Path, gcs: GcsServer, firestore_server: FirestoreServer) -> Workshop:
    made = open_workshop(tmp_path / "studio", gcs, firestore_server.address, local_db=False)
    file = made.folder / "output" / "characters" / "ai.png"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    gcs.world.insert(made.bucket, f"{PREFIX}/characters/ai.png", b"x" * 10, {})
    return made


def checks(shop: Workshop) -> dict[str, Check]:
    with Project.open(shop.folder).opened() as project:
        return {check.name: check for check in check_project(project).checks}


def buckets(shop: Workshop, **said: Any) -> Fault:
    """The bucket says this of itself."""
    answer = json.dumps(said).encode()
    return Fault(
        "GET", when=lambda call: call.path.endswith(f"/b/{shop.bucket}"), times=FOREVER, rewrite=lambda _: answer
    )


def test_where_all_is_well_nothing_fails_and_nothing_is_written(
    shop: Workshop, firestore_server: FirestoreServer
) -> None:
    before = dict(shop.objects())
    found = checks(shop)
    assert {name for name, check in found.items() if check.health is Health.FAILED} == set()
    assert {"rules", "root", "state", "credentials", "clock", "signing"} <= set(found)
    assert found["bucket: create"].health is found["records: write"].health is Health.OK
    assert shop.objects() == before
    assert firestore_server.documents == {}


def test_a_bucket_that_may_be_read_only(shop: Workshop, gcs: GcsServer) -> None:
    gcs.script.add(Fault("POST", path="/upload", status=403, reason="forbidden", times=FOREVER))
    found = checks(shop)
    assert found["bucket: list"].health is Health.OK
    assert found["bucket: create"].health is Health.FAILED
    assert "roles/storage.objectUser" in found["bucket: create"].mend


def test_objects_that_may_be_listed_but_not_read(shop: Workshop, gcs: GcsServer) -> None:
    gcs.script.add(Fault("GET", path="/download", status=403, reason="forbidden", times=FOREVER))
    assert checks(shop)["bucket: read"].health is Health.FAILED


def test_a_bucket_that_is_not_there(shop: Workshop, gcs: GcsServer) -> None:
    gcs.script.add(Fault("GET", path=f"/b/{shop.bucket}", status=404, reason="notFound", times=FOREVER))
    found = checks(shop)
    assert found["bucket: list"].health is Health.FAILED
    assert "gs://" in found["bucket: list"].mend
    assert found["bucket: create"].health is Health.SKIPPED


def test_a_database_that_may_be_read_only(shop: Workshop, firestore_server: FirestoreServer) -> None:
    firestore_server.fault("Commit", before=grpc.StatusCode.PERMISSION_DENIED, times=FOREVER)
    found = checks(shop)
    assert found["records: read"].health is Health.OK
    assert found["records: write"].health is Health.FAILED
    assert "roles/datastore.user" in found["records: write"].mend


def test_a_database_that_may_not_be_read(shop: Workshop, firestore_server: FirestoreServer) -> None:
    firestore_server.fault("RunQuery", before=grpc.StatusCode.PERMISSION_DENIED, times=FOREVER)
    found = checks(shop)
    assert found["records: read"].health is Health.FAILED
    assert found["records: write"].health is Health.SKIPPED


@pytest.mark.parametrize(
    ("said", "health", "word"),
    [
        ({"versioning": {"enabled": True}}, Health.OK, "versioning"),
        ({"softDeletePolicy": {"retentionDurationSeconds": "604800"}}, Health.OK, "7d"),
        ({}, Health.WARNING, "lost at once"),
        ({"billing": {"requesterPays": True}}, Health.FAILED, "requester pays"),
    ],
)
def test_what_becomes_of_replaced_objects(
    said: dict[str, Any], health: Health, word: str, shop: Workshop, gcs: GcsServer
) -> None:
    gcs.script.add(buckets(shop, **said))
    found = checks(shop)["bucket: safety"]
    assert (found.health, word in found.found) == (health, True), found


def test_credentials_that_may_not_ask_about_the_bucket(shop: Workshop, gcs: GcsServer) -> None:
    asked = Fault("GET", when=lambda call: call.path.endswith(f"/b/{shop.bucket}"), times=FOREVER, status=403)
    gcs.script.add(asked)
    found = checks(shop)["bucket: safety"]
    assert found.health is Health.WARNING
    assert "storage.buckets.get" in found.found


@pytest.mark.parametrize(("off", "health"), [(0, Health.OK), (120, Health.WARNING), (-3600, Health.FAILED)])
def test_a_clock_that_is_wrong(off: int, health: Health, shop: Workshop) -> None:
    with Project.open(shop.folder).opened() as project:
        found = {check.name: check for check in check_project(project, now=lambda: time.time() + off).checks}
    assert found["clock"].health is health


def test_a_root_without_a_file(shop: Workshop) -> None:
    (shop.folder / "output" / "characters" / "ai.png").unlink()
    assert checks(shop)["root"].health is Health.WARNING


def test_a_root_that_is_not_there(shop: Workshop) -> None:
    (shop.folder / "output").rename(shop.folder / "elsewhere")
    assert checks(shop)["root"].health is Health.FAILED


# -- the command --


def test_a_project_in_order_exits_0(run: Any) -> None:
    answer = run("doctor", "--json")
    assert answer.code == 0
    assert answer.document("doctor")["healthy"]
    assert "Everything that a run needs is there." in run("doctor").out


def test_wrong_rules_exit_78_and_are_the_first_line(run: Any, project: Path) -> None:
    (project / "rules" / "asset_map.toml").write_text("nonsense = 1\n", encoding="utf-8")
    answer = run("doctor", "--json")
    assert answer.code == 78
    first, *rest = answer.document("doctor")["checks"]
    assert (first["name"], first["health"]) == ("rules", "failed")
    assert {check["health"] for check in rest} == {"skipped"}


def test_what_fails_exits_1_and_says_how_to_mend_it(run: Any, project: Path) -> None:
    (project / "output").rename(project / "elsewhere")
    answer = run("doctor")
    assert answer.code == 1
    assert "fix: " in answer.out


@pytest.mark.parametrize("has_emulator", [False, True])
def test_where_nobody_has_logged_in_that_is_said_once(
    has_emulator: bool, run: Any, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "nobody"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    rules = (project / "rules" / "asset_map.toml").read_text(encoding="utf-8")
    assert rules.count('endpoint = "file:') == 2
    bucket, records = rules.split("[records]")
    records = records if has_emulator else records.replace('endpoint = "file:', 'endpoint = "" # "')
    rules = "[records]".join([bucket.replace('endpoint = "file:', 'endpoint = "" # "'), records])
    (project / "rules" / "asset_map.toml").write_text(rules, encoding="utf-8")
    answer = run("doctor", "--json")
    found = {check["name"]: check for check in answer.document("doctor")["checks"]}
    assert answer.code == 1
    assert [name for name, check in found.items() if check["health"] == "failed"] == ["credentials"]
    assert found["credentials"]["found"].endswith("nobody has logged in on this machine")
    assert {found[name]["found"] for name in ("clock", "bucket: list", "signing")} == {"log in first"}
    assert found["records: read"]["health"] == ("ok" if has_emulator else "skipped")
