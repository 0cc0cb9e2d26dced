"""The record stores that one suite holds to one behaviour: a named factory each, and what it cannot do."""

from __future__ import annotations

import json
import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore

from reconcile.adapters.firestore.store import FirestoreRecordStore
from reconcile.ports import RecordStore
from tests.kit.embedded import EmbeddedRecords
from tests.kit.json_records import JsonRecords
from tests.kit.windows import rules
from tests.servers.clock import SkippingClock

COLLECTION = "characters"
ENTRIES = "assets"


class Hand(Protocol):
    """Somebody else, who reads and writes the same documents without the store's help."""

    def put(self, document: str, fields: Mapping[str, Any]) -> object:
        """Writes the whole document."""

    def remove(self, document: str) -> None:
        """Takes it away."""

    def fields(self, document: str) -> dict[str, Any] | None:
        """All its fields, or None."""


@dataclass(frozen=True)
class World:
    """A store, another hand on the same documents, and what the store promises."""

    store: RecordStore
    hand: Hand
    kind: Kind


@dataclass(frozen=True)
class Kind:
    """One kind of store. The flags say which promises beyond the port it makes."""

    name: str
    open: Callable[[pytest.FixtureRequest, Path], AbstractContextManager[tuple[RecordStore, Hand]]]
    firestore_limits: bool = True
    """It refuses reserved ids and names, nested arrays and documents above 1 MiB."""
    keeps_map_order: bool = False
    """The fields of a map come back in the order in which they were written."""
    time_per_document: bool = True
    """A write moves the update time of its own document alone."""
    keeps_past: bool = False
    """Several readings can share a moment."""
    creates: bool = True
    """It makes documents; the others are only ever changed."""
    many: int = 700
    """How many documents are more than two of its pages."""
    marks: tuple[pytest.MarkDecorator, ...] = field(default=())


class ClientHand:
    """Google's own client, as anybody else would use it."""

    def __init__(self, project: str, address: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FIRESTORE_EMULATOR_HOST", address)
            self.client = firestore.Client(project=project, credentials=AnonymousCredentials())

    def put(self, document: str, fields: Mapping[str, Any]) -> object:
        return self._at(document).set(dict(fields))

    def remove(self, document: str) -> None:
        self._at(document).delete()

    def fields(self, document: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._at(document).get().to_dict()
        return found

    def _at(self, document: str) -> Any:
        return self.client.collection(COLLECTION).document(document)


@contextmanager
def in_memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[RecordStore, Hand]]:
    store = EmbeddedRecords.open(None, COLLECTION)
    yield store, store
    store.close()


@contextmanager
def in_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[RecordStore, Hand]]:
    store = EmbeddedRecords.open(tmp_path / "cloud", COLLECTION)
    hand = EmbeddedRecords.open(tmp_path / "cloud", COLLECTION)
    yield store, hand
    store.close()
    hand.close()


class PipelineHand:
    """A workflow that reads the whole JSON database, changes it and writes it anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.turn = threading.Lock()
        self.save({})

    def load(self) -> dict[str, dict[str, Any]]:
        documents: dict[str, dict[str, Any]] = json.loads(self.path.read_text("utf-8"))
        return documents

    def save(self, documents: Mapping[str, Any]) -> None:
        fresh = self.path.with_suffix(".part")
        fresh.write_text(json.dumps(documents, indent=2), "utf-8")
        os.replace(fresh, self.path)

    def put(self, document: str, fields: Mapping[str, Any]) -> object:
        with self.turn:
            self.save({**self.load(), document: fields})

    def remove(self, document: str) -> None:
        with self.turn:
            self.save({one: fields for one, fields in self.load().items() if one != document})

    def fields(self, document: str) -> dict[str, Any] | None:
        return self.load().get(document)


@contextmanager
def in_json(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[RecordStore, Hand]]:
    path = tmp_path / "characters.json"
    hand = PipelineHand(path)
    yield JsonRecords(path, ENTRIES), hand


@contextmanager
def in_json_on_windows(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[RecordStore, Hand]]:
    with rules(request.getfixturevalue("monkeypatch")), in_json(request, tmp_path) as opened:
        yield opened


@contextmanager
def firestore_at(address: str) -> Iterator[tuple[RecordStore, Hand]]:
    """The real client's wire to a server, in a project of the test's own."""
    project = f"test-{os.getpid()}-{uuid.uuid4().hex[:12]}"
    store = FirestoreRecordStore.open(project, "(default)", COLLECTION, address, clock=SkippingClock())
    hand = ClientHand(project, address)
    yield store, hand
    store.close()
    hand.client.close()


def on_server(request: pytest.FixtureRequest, tmp_path: Path) -> AbstractContextManager[tuple[RecordStore, Hand]]:
    return firestore_at(request.getfixturevalue("firestore_server").address)


def on_emulator(request: pytest.FixtureRequest, tmp_path: Path) -> AbstractContextManager[tuple[RecordStore, Hand]]:
    return firestore_at(request.getfixturevalue("firestore_emulator"))


ON_WINDOWS = [
    Kind("json-windows", in_json_on_windows, creates=False, firestore_limits=False, keeps_map_order=True, many=50),
]
if sys.platform != "linux":  # the rules of Windows are simulated there alone
    ON_WINDOWS.clear()
KINDS = (
    Kind("memory", in_memory, keeps_map_order=True, many=1_100),
    Kind("folder", in_folder, keeps_map_order=True),
    Kind("json", in_json, creates=False, firestore_limits=False, keeps_map_order=True, many=50),
    *ON_WINDOWS,
    Kind("server", on_server, keeps_past=True),
    Kind("emulator", on_emulator, keeps_past=True, marks=(pytest.mark.emulator,)),
)
