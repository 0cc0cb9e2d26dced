"""A project folder with real files, whose bucket and database are servers in this process that fail to order.

The stores are the real adapters. Every run opens the project anew, as every process does. After a fault, ``converges``
holds what must be true of any world: a quiet run ends with nothing to do, and one more sends no write.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from reconcile import Project
from reconcile.adapters.firestore.store import FirestoreRecordStore
from reconcile.adapters.gcs.store import PAGE_SIZE, GcsObjectStore
from reconcile.adapters.local.settle import FirstLooks
from reconcile.adapters.retry import DEADLINE
from reconcile.config.environment import Overrides
from reconcile.config.settings import load
from reconcile.core.events import Event
from reconcile.core.media import content_type
from reconcile.core.plan import Plan, Scope
from reconcile.core.report import Outcome, OutcomeKind, Report, Status
from reconcile.pipeline.executor import execute
from reconcile.pipeline.planner import survey
from reconcile.project import OpenProject
from reconcile.run_options import RunOptions
from tests.conformance.record_stores import ClientHand
from tests.kit.workshop import PREFIX, open_workshop
from tests.kit.world import titled, windows
from tests.servers.clock import SkippingClock
from tests.servers.faults import Fault
from tests.servers.firestore import FirestoreServer
from tests.servers.gcs import GcsServer

OLD = 1_700_000_000

KEY = "characters/rem.png"
COSPLAY = "characters/rem_cosplay.png"
OTHER = "characters/mei.png"
VIDEO = "dances/dance_rem_neon.mp4"
LARGE = bytes(range(256)) * 4 * (8 * 1024 + 1)
"""A little more than the 8 MiB up to which an upload is one request: two chunks."""


SMALL = b"small" * 100
SIZES = pytest.mark.parametrize(("key", "data"), [(KEY, SMALL), (VIDEO, LARGE)], ids=["small", "large"])


class Died(BaseException):
    """The process is gone at this moment, as far as its own code is concerned."""


def open_without_waits(
    project: Project,
    looks: FirstLooks | None = None,
    *,
    endpoint: str | None = None,
    deadline: float = DEADLINE,
    page_size: int = PAGE_SIZE,
) -> OpenProject:
    """The project as a process opens it, but that no time passes where it would wait, between two tries or two writes
    to one name. ``endpoint`` is where the bucket is asked, if not at the server that the rules name."""
    clock = SkippingClock()
    opened = project.opened(RunOptions(looks=looks, wait=clock.sleep))
    bucket, records = project.settings.bucket, project.settings.records
    opened.objects = GcsObjectStore(
        bucket.bucket,
        bucket.prefix,
        project.settings.bucket_endpoint if endpoint is None else endpoint,
        deadline=deadline,
        clock=clock,
        budget=opened.budget,
        sessions=opened.state.sessions,
        page_size=page_size,
        on_failure=opened.lanes.refused,
        meter=opened.meter,
    )
    opened.records = FirestoreRecordStore.open(
        records.project,
        records.database,
        records.collection,
        project.settings.records_endpoint,
        deadline=deadline,
        clock=clock,
        budget=opened.budget,
        meter=opened.meter,
    )
    opened._open.callback(opened.objects.close)
    opened._open.callback(opened.records.close)
    return opened


class Rig:
    """The folder, the servers, and somebody else's hand on both."""

    def __init__(self, folder: Path, gcs: GcsServer, firestore: FirestoreServer, *, local_db: bool = False) -> None:
        self.gcs = gcs
        self.firestore = firestore
        self.shop = open_workshop(folder, gcs, firestore.address, local_db=local_db)
        self.folder = folder
        self.root = folder / "output"
        self.root.mkdir()
        self.hand = ClientHand(self.shop.project, firestore.address)
        self.page_size = PAGE_SIZE
        self.replace: str | None = None
        self.deadline = DEADLINE
        """Seconds that a call tries."""
        self.endpoint: str | None = None
        """Where the bucket is asked, in place of the server that the rules name."""

    def close(self) -> None:
        self.hand.client.close()

    # -- furnishing --

    def file(self, path: str, data: bytes | None = None, *, at: int = OLD) -> Path:
        """A local file (its own path as bytes, unless told), modified at ``at``."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(path.encode("utf-8", "surrogateescape") if data is None else data)
        os.utime(file, (at, at))
        return file

    def object(self, key: str, data: bytes | None = None, **fields: Any) -> None:
        """Somebody else's object (its own key as bytes, unless told), whatever was there."""
        told = {"contentType": content_type(key), **fields}
        self.gcs.world.insert(self.shop.bucket, f"{PREFIX}/{key}", key.encode() if data is None else data, told)

    def record(self, char_id: str, *entries: Any, **fields: Any) -> None:
        """Somebody else's document with these maps in ``assets``, whatever was there."""
        self.hand.put(char_id, {"name": char_id.title(), "assets": list(entries), **fields})

    def pipeline(self, **documents: Any) -> None:
        """The pipeline's own database, written anew."""
        database = self.folder / "data" / "characters.json"
        database.parent.mkdir(exist_ok=True)
        database.write_text(json.dumps(documents), encoding="utf-8")

    def wire(self, **fault: Any) -> Fault:
        """Arms a fault of the bucket's server."""
        return self.gcs.script.add(Fault(**fault))

    # -- running --

    def open(self, looks: FirstLooks | None = None) -> OpenProject:
        """The project as a process opens it, but that it passes no time where it would wait between two tries."""
        overrides = Overrides(replace=self.replace)
        return open_without_waits(
            Project(load(self.folder, overrides, environ={})),
            looks,
            endpoint=self.endpoint,
            deadline=self.deadline,
            page_size=self.page_size,
        )

    def plan(self, *char_ids: str) -> Plan:
        """What is out of step."""
        with self.open() as project:
            return survey(project, Scope(char_ids)).plan

    def apply(self, plan: Plan | None = None, **options: Any) -> Report:
        """Applies a plan, or makes one first."""
        with self.open() as project:
            return execute(project, plan or survey(project).plan, **options)

    def apply_twice(self, plan: Plan) -> list[Report]:
        """Applies a plan in two runs at once."""
        start = threading.Barrier(2)

        def run() -> Report:
            start.wait()
            return self.apply(plan)

        with ThreadPoolExecutor(2) as pool:
            runs = [pool.submit(run) for _ in range(2)]
        return [each.result() for each in runs]

    def die(self, when: Callable[[Event], bool]) -> None:
        """A run that is gone at the first event of which this is true."""

        def listen(event: Event) -> None:
            if when(event):
                raise Died

        try:
            self.apply(listener=listen, concurrency=1)
        except Died:
            return
        raise AssertionError("the run came to its end")

    # -- asking --

    def uri(self, key: str) -> str:
        """The URI of a key."""
        return self.shop.uri(key)

    def held(self) -> dict[str, bytes]:
        """The bytes of every object, by key."""
        return {key: stored.data for key, stored in self.shop.objects().items()}

    def fields(self, char_id: str) -> dict[str, Any] | None:
        """A document as Google's own client reads it."""
        return self.hand.fields(char_id)

    def entries(self, char_id: str) -> Any:
        """The ``assets`` of a document."""
        found = self.fields(char_id)
        return None if found is None else found.get("assets")

    def generations(self, key: str) -> int:
        """How many generations were ever committed under the key in the project's bucket."""
        return len(self.gcs.world.generations(f"{PREFIX}/{key}"))

    def uploads(self) -> int:
        """How many requests that write were sent to the bucket's server."""
        return sum(call.method != "GET" for call in self.gcs.script.calls())

    def commits(self) -> int:
        """How many writes were sent to the database's server."""
        return len(self.firestore.calls("Commit"))

    def world(self) -> tuple[dict[str, int], dict[str, tuple[bytes, int]]]:
        """The generation of every object; every document, to the last bit, with its update time. Asks no server."""
        objects = {key: each.generation for key, each in self.shop.objects().items()}
        return objects, {char_id: (raw(message), time) for char_id, (message, time) in self.documents().items()}

    def documents(self) -> dict[str, tuple[Any, int]]:
        """Every document as the database holds it, with its update time in microseconds."""
        ours = f"projects/{self.shop.project}/databases/(default)/documents/characters/"
        held = dict(self.firestore.documents)
        return {
            name.removeprefix(ours): (stored.message, stored.updated)
            for name, stored in held.items()
            if name.startswith(ours)
        }

    # -- what must always be true --

    def dangles(self) -> list[str]:
        """Every URI of ours in a record whose object is not there."""
        ours, held = self.uri(""), self.held()
        texts = (value for char_id in self.documents() for value in _texts(self.fields(char_id)))
        return [text for text in texts if text.startswith(ours) and text.removeprefix(ours) not in held]

    def quiet(self) -> None:
        """Nothing goes wrong from here on; the logs are empty."""
        self.gcs.script.clear()
        self.firestore.faults.clear()

    def converges(self) -> Report:
        """No record names what is not there; a quiet run puts all right; then there is nothing to do, and one more run
        sends no write. Gives the quiet run's report."""
        assert self.gcs.script.calls("DELETE") == []
        self.quiet()
        assert self.dangles() == []
        report = self.apply()
        assert report.status is Status.SUCCESS, report.outcomes
        assert self.dangles() == []
        before, uploads, commits = self.world(), self.uploads(), self.commits()
        assert self.plan().actions == ()
        assert self.apply().outcomes == ()
        assert (self.world(), self.uploads(), self.commits()) == (before, uploads, commits)
        return report


def furnish(rig: Rig, key: str, data: bytes) -> None:
    """One file to upload, KEY or VIDEO, and the field of its record that names it by an old local path."""
    rig.file(key, data)
    rig.record("rem", *as_furnished(key))


def as_furnished(key: str) -> list[dict[str, Any]]:
    """The record's maps as ``furnish`` leaves them."""
    return [titled(**{"anime_image" if key == KEY else "dance_video": windows(key)})]


def results(report: Report) -> list[tuple[str, str | None, OutcomeKind]]:
    """(kind, key, outcome) of each change."""
    return [(each.kind, each.key, each.outcome) for each in report.outcomes]


def by_kind(report: Report) -> list[OutcomeKind]:
    """The outcomes, in the plan's order."""
    return [each.outcome for each in report.outcomes]


def failed(report: Report) -> list[Outcome]:
    """What failed."""
    return [each for each in report.outcomes if each.outcome is OutcomeKind.FAILED]


def raw(message: Any) -> bytes:
    """A message's bytes, the same for the same message."""
    return bytes(message.SerializeToString(deterministic=True))


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for each in inner for text in _texts(each)]
