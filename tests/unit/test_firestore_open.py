"""How the Firestore store is opened: which endpoints, with which credentials, and at what cost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconcile.adapters.firestore.store import FirestoreRecordStore
from reconcile.core.errors import AccessDenied, ConfigError
from tests.servers.firestore import FirestoreServer


def open_at(endpoint: str, collection: str = "characters") -> FirestoreRecordStore:
    return FirestoreRecordStore.open("p", "(default)", collection, endpoint, deadline=5)


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("http://127.0.0.1:8080", "not host:port"),
        ("127.0.0.1", "not host:port"),
        ("127.0.0.1:", "not host:port"),
        ("localhost:http", "not host:port"),
        ("firestore.googleapis.com:443", "another machine"),
        ("10.0.0.7:8080", "another machine"),
        ("localhost.example.org:8080", "another machine"),
    ],
)
def test_endpoints_that_are_no_emulator_here_are_refused(endpoint: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as failure:
        open_at(endpoint)
    assert endpoint in failure.value.message
    assert failure.value.hint


@pytest.mark.parametrize("collection", ["", "a/b", "a//b", "/a", "a/b/"])
def test_paths_that_are_no_collection_are_refused(collection: str) -> None:
    with pytest.raises(ConfigError, match="collection"):
        open_at("127.0.0.1:1", collection)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_an_emulator_here_needs_neither_credentials_nor_the_environment(
    firestore_server: FirestoreServer, host: str
) -> None:
    before = dict(os.environ)
    store = open_at(f"{host}:{firestore_server.address.rpartition(':')[2]}")
    store.create("rem", {})
    assert list(store.ids()) == ["rem"]
    assert dict(os.environ) == before
    store.close()


def test_databases_and_collections_are_kept_apart(firestore_server: FirestoreServer) -> None:
    address = firestore_server.address
    places = [
        ("p", "(default)", "characters"),
        ("p", "other", "characters"),
        ("p", "(default)", "shows/re_zero/characters"),
    ]
    stores = [FirestoreRecordStore.open(*place, address) for place in places]
    for number, store in enumerate(stores):
        store.create(f"c{number}", {"assets": []})
    assert [list(store.ids()) for store in stores] == [["c0"], ["c1"], ["c2"]]
    assert [[each.id for each in store.read()] for store in stores] == [["c0"], ["c1"], ["c2"]]
    for store in stores:
        store.close()


def test_the_environment_names_an_emulator_where_the_rules_do_not(
    firestore_server: FirestoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", firestore_server.address)
    store = open_at("")
    store.create("rem", {})
    assert [request.database for request in firestore_server.calls("Commit")] == ["projects/p/databases/(default)"]
    store.close()


def test_missing_credentials_say_how_to_get_some(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FIRESTORE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "absent.json"))
    store = open_at("")
    for call in (lambda: list(store.read()), lambda: store.create("rem", {})):
        with pytest.raises(
            AccessDenied, match=r"there are no credentials for firestore://p/\(default\)/characters"
        ) as failure:
            call()
        assert "gcloud auth application-default login" in failure.value.hint
    store.close()


@pytest.mark.parametrize("module", ["firestore.store", "embedded.records"])
def test_importing_an_adapter_imports_no_client(module: str) -> None:
    program = f"import sys, reconcile.adapters.{module}; print(sorted({{'google', 'grpc'}} & sys.modules.keys()))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
