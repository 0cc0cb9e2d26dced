"""A requester pays bucket: every request says which project pays, and who does not say so is told how."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconcile import Project
from reconcile.adapters.gcs.checkup import GcsCheckup
from reconcile.adapters.gcs.signing import Signer
from reconcile.adapters.gcs.store import GcsObjectStore
from reconcile.adapters.gcs.upload import CHUNK
from reconcile.adapters.gcs.url_reader import HttpReader
from reconcile.commands.doctor import Health, check_project
from reconcile.core.errors import AccessDenied, ConfigError
from reconcile.core.names import BucketRoot
from reconcile.ports import DesiredObject
from tests.kit.workshop import PREFIX, Workshop, open_workshop
from tests.servers.firestore import FirestoreServer
from tests.servers.gcs import GcsServer
from tests.servers.gcs_world import crc32c_of

PAYER = "media-billing"


@pytest.fixture
def gcs() -> Iterator[GcsServer]:
    with GcsServer() as started:
        started.world.make_bucket("b")
        started.world.requester_pays = PAYER
        yield started


def put(store: GcsObjectStore, key: str, data: bytes, generation: int = 0) -> None:
    store.put(DesiredObject(key, len(data), crc32c_of(data), "video/mp4", generation), io.BytesIO(data))


@pytest.mark.parametrize("size", [5, CHUNK + 5], ids=["multipart", "resumable"])
def test_every_request_says_who_pays(gcs: GcsServer, size: int) -> None:
    data = b"x" * size
    with GcsObjectStore("b", "", gcs.url, user_project=PAYER) as store:
        put(store, "a b.mp4", data)
        found = store.get("a b.mp4")
        assert found is not None
        put(store, "a b.mp4", data[:-1], found.generation)
        assert [each.key for each in store.list()] == ["a b.mp4"]
        assert b"".join(store.read("a b.mp4")) == data[:-1]
    checkup = GcsCheckup(BucketRoot("b", ""), gcs.url, user_project=PAYER)
    checkup.settings()
    checkup.clock_skew()
    checkup.grants("storage.objects.delete")
    checkup.close()
    unpaid = [call for call in gcs.script.calls() if call.query.get("userProject") != PAYER]
    assert all("upload_id" in call.query for call in unpaid)


def test_signed_urls_say_who_pays(gcs: GcsServer) -> None:
    gcs.world.insert("b", "a.png", b"x", {})
    reader = HttpReader(connections=1)
    url = Signer(BucketRoot("b", ""), gcs.url, user_project=PAYER).sign("a.png", expires=60)
    with reader.fetch(url) as served:
        assert served.status == 200
    with reader.fetch(Signer(BucketRoot("b", ""), gcs.url).sign("a.png", expires=60)) as served:
        assert served.status == 400
    reader.close()


def test_without_a_payer_the_key_of_the_rules_is_named(gcs: GcsServer) -> None:
    with GcsObjectStore("b", "", gcs.url) as store, pytest.raises(AccessDenied) as caught:
        list(store.list())
    assert "user_project under [bucket]" in caught.value.hint


def test_a_payer_that_the_account_may_not_charge_is_told_the_role(gcs: GcsServer) -> None:
    with GcsObjectStore("b", "", gcs.url, user_project="another") as store, pytest.raises(AccessDenied) as caught:
        list(store.list())
    assert "roles/serviceusage.serviceUsageConsumer" in caught.value.hint


@pytest.fixture
def shop(tmp_path: Path, gcs: GcsServer, firestore_server: FirestoreServer) -> Workshop:
    made = open_workshop(tmp_path / "studio", gcs, firestore_server.address, local_db=False)
    (made.folder / "output").mkdir()
    gcs.world.insert(made.bucket, f"{PREFIX}/a.png", b"x", {})
    return made


def write_payer(shop: Workshop, value: str) -> None:
    path = shop.folder / "rules" / "asset_map.toml"
    text = path.read_text(encoding="utf-8")
    written = text.replace('user_project = "" ', f'user_project = "{value}" ')
    assert written != text
    path.write_text(written, encoding="utf-8")


def test_the_rules_say_who_pays(shop: Workshop) -> None:
    write_payer(shop, PAYER)
    with Project.open(shop.folder).opened() as project:
        assert [each.key for each in project.objects.list()] == ["a.png"]
        checks = check_project(project).checks
    assert [check for check in checks if check.name.startswith("bucket") and check.health is Health.FAILED] == []


@pytest.mark.parametrize("value", ["My Project", "a/b", "a&alt=media"])
def test_a_payer_that_is_not_the_id_of_a_project_is_refused(shop: Workshop, value: str) -> None:
    write_payer(shop, value)
    with pytest.raises(ConfigError, match=r"asset_map\.toml:\d+: .*is not a project"):
        Project.open(shop.folder)
