"""A walk of every step of an apply: die there, run again, and compare with the world that nobody interrupted.

A step is a request to a store, or a write to ``.reconcile/``; the run dies just before it, or just after it took
effect. ``InProcess`` counts them at the doors of a project on embedded stores, with its real folder, state, journal and
local database. ``Served`` counts the requests that the real clients send to the servers, in the middle of a door's work
too: a run that dies there is left hanging, and never heard of again until its world is done with.

    .venv/bin/python -m tests.faults.crashes            walks every step of both, and says how many there were
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import msgspec

from reconcile import Project
from reconcile.adapters.embedded.objects import EmbeddedObjectStore
from reconcile.adapters.jsondb.store import JsonDatabase
from reconcile.adapters.state.store import State
from reconcile.config.environment import RULES
from reconcile.config.settings import load, template
from reconcile.core.media import content_type
from reconcile.core.report import Report, Status
from reconcile.core.rows import Agreed
from reconcile.pipeline.executor import execute
from reconcile.pipeline.planner import survey
from reconcile.ports import DesiredObject
from tests.conformance.record_stores import ClientHand
from tests.kit.embedded import EmbeddedBucket, EmbeddedRecords
from tests.kit.fakes import digest
from tests.kit.rig import open_without_waits
from tests.kit.workshop import PREFIX, open_workshop
from tests.kit.world import windows
from tests.servers.faults import Fault
from tests.servers.firestore import FirestoreServer
from tests.servers.firestore_documents import Status as Refusal
from tests.servers.gcs import Cut, GcsServer

OLD = 1_700_000_000
LARGE = bytes(range(256)) * 4 * (8 * 1024 + 1)
"""A little more than one request carries: a resumable upload of two chunks."""
EVER = 1 << 30
PATIENCE = 60.0
MEMORY = "/dev/shm"
"""Where a system has such a place, a folder there is quicker: nothing here pulls the plug."""

Held = dict[str, bytes]
Fields = dict[str, dict[str, Any]]


class Died(BaseException):
    """The process is gone at this moment, as far as its own code is concerned."""


class Steps:
    """Counts the steps of a run and says where it dies. Once dead it takes no further step."""

    def __init__(self, last: int | None = None) -> None:
        self.last = last
        self.names: list[str] = []
        self.dead = threading.Event()
        self._lock = threading.Lock()

    def at(self, name: str) -> None:
        """A step. Raises Died where it is the last one, and ever after."""
        with self._lock:
            if self.dead.is_set():
                raise Died
            self.names.append(name)
            if len(self.names) - 1 == self.last:
                self.dead.set()
                raise Died


class Walked(msgspec.Struct, frozen=True):
    """What a walk did: how many steps an apply has, where it died, and what was wrong after that."""

    name: str
    steps: int
    deaths: int
    problems: tuple[str, ...]
    seconds: float


# --- the world --------------------------------------------------------------------------------------------------------

KPOP = "remixes/mei_neon/result/[kpop]_mei.mp4"
FILES: Held = {
    "characters/rem.png": b"an image that is not there yet",
    "characters/mei.png": b"an image that is there",
    "characters/ai.png": b"an image, drawn again",
    "characters/mei_cosplay.png": b"a cosplay image that no record names",
    "characters/new_one.png": b"whom the pipeline's own database alone knows",
    "dances/dance_rem_01.mp4": LARGE,
    "dances/dance_rem_02.mp4": b"a second dance",
    "dances/dance_mei_new.mp4": b"a take that got another name",
    KPOP: b"a soundtrack version",
}
OBJECTS: Held = {
    "characters/mei.png": FILES["characters/mei.png"],
    "characters/ai.png": b"an image, as it was first drawn",
}
"""What both sides last agreed on."""
RENAMED: Held = {"archive/take.mp4": FILES["dances/dance_mei_new.mp4"]}
"""What the bucket has under another name than the folder."""
PART = 10
"""Bytes that the server moves with one request of a copy."""
TYPES = {"characters/mei.png": "text/plain"}
LOCAL: Fields = {
    "rem": {"name": "Rem", "assets": [{"title": "primary", "anime_image": windows("characters/rem.png")}]},
    "new_one": {
        "name": "New One",
        "assets": [{"title": "primary", "anime_image": windows("characters/new_one.png"), "fps": 24}],
    },
}
CHANGES = (
    ("# [local_db]", "[local_db]"),
    ("# path = ", "path = "),
    ("# rewrite = false", "rewrite = true"),
    ("settle = 2.0", "settle = 0.0"),
    ('many = "newest"', 'many = "list"'),
)
"""What is other in the rules than ``init`` writes them; the first place of each."""


def records_before(uri: str) -> Fields:
    """Records with paths to put right in place, in a list, and in a map that is not there yet."""
    return {
        "rem": {
            "name": "Rem",
            "rating": 4.5,
            "assets": [
                {"title": "neon", "prompt": "neon / rainy night", "size": {"width": 1080}},
                {"title": "primary", "anime_image": windows("characters/rem.png"), "fps": 24},
            ],
        },
        "mei": {"name": "Mei", "assets": [{"title": "primary", "kpop_video": [windows(KPOP), "later"]}]},
        "ai": {"name": "Ai", "assets": [{"title": "primary", "anime_image": f"{uri}characters/ai.png"}]},
    }


def uris(value: Any, ours: str) -> Iterator[str]:
    """Every URI of ours in a value."""
    if isinstance(value, str):
        if value.startswith(ours):
            yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from uris(item, ours)


class Scene:
    """One folder and two stores, furnished; a run opens them anew, as every process does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uri = ""

    def run(self, steps: Steps) -> Report:
        """An apply, from the lock to the report. Raises Died."""
        raise NotImplementedError

    def objects(self) -> Held:
        """The bytes of every object, by key."""
        raise NotImplementedError

    def records(self) -> Fields:
        """Every record."""
        raise NotImplementedError

    def versions(self) -> tuple[Any, ...]:
        """What moves with every write."""
        raise NotImplementedError

    def close(self) -> None:
        """Lets go of everything."""
        raise NotImplementedError

    def furnish_folder(self) -> None:
        """The files, the pipeline's own database, and what both sides last agreed on."""
        rules = self.folder / RULES
        text = rules.read_text(encoding="utf-8") if rules.exists() else template()
        for old, new in CHANGES:
            text = text.replace(old, new, 1)
        rules.parent.mkdir(parents=True, exist_ok=True)
        rules.write_text(text, encoding="utf-8")
        for path, data in FILES.items():
            file = self.folder / "output" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            os.utime(file, (OLD, OLD))
        self.database.parent.mkdir()
        self.database.write_text(json.dumps(LOCAL, indent=2), encoding="utf-8")
        with State(self.folder) as state:
            state.remember(Agreed(key, len(data), digest(data), 1) for key, data in OBJECTS.items())

    @property
    def database(self) -> Path:
        """The pipeline's own database."""
        return self.folder / "data" / "characters.json"

    def world(self) -> tuple[Held, Fields, bytes]:
        """What must be the same in the end, whatever happened on the way, and wherever this bucket is."""
        records: Fields = json.loads(json.dumps(self.records()).replace(self.uri, ""))
        return self.objects(), records, self.database.read_bytes().replace(self.uri.encode(), b"")

    def dangling(self) -> Iterator[str]:
        """Each URI that a run wrote and that does not lead to the bytes that are meant."""
        held, before = self.objects(), records_before(self.uri)
        worlds = {"records": self.records(), "local database": json.loads(self.database.read_bytes())}
        for where, documents in worlds.items():
            for name, fields in documents.items():
                known = set(uris(before.get(name), self.uri)) if where == "records" else set()
                for text in uris(fields, self.uri):
                    key = text.removeprefix(self.uri)
                    if key not in held or (text not in known and held[key] != FILES[key]):
                        yield f"{where}, {name}: {text}"

    def untold(self) -> Iterator[str]:
        """Each record that is not as it was, and of which no journal tells."""
        folder = self.folder / ".reconcile" / "journal"
        told = b"".join(path.read_bytes() for path in sorted(folder.glob("*.jsonl")))
        before = records_before(self.uri)
        for name, fields in self.records().items():
            if fields != before.get(name) and json.dumps(name).strip('"').encode() not in told:
                yield name


def walk(
    name: str,
    make: Callable[[Path], Scene],
    *,
    stride: int = 1,
    first: int = 0,
    until: float | None = None,
) -> Walked:
    """Dies at every step, or at every ``stride``-th from ``first`` on, until then (``time.monotonic``)."""
    began = time.monotonic()
    problems: list[str] = []
    with _scene(make) as scene:
        steps = Steps()
        report = scene.run(steps)
        problems += [f"uninterrupted: {each}" for each in _amiss(scene, report)]
        total, expected = len(steps.names), scene.world()
    deaths = 0
    for last in range(first, total, stride):
        if until is not None and time.monotonic() >= until:
            break
        with _scene(make) as scene:
            steps = Steps(last)
            try:
                scene.run(steps)
            except Died:
                deaths += 1
            problems += [f"step {last} ({steps.names[-1]}): {each}" for each in _wrong(scene, expected)]
    return Walked(name, total, deaths, tuple(problems), time.monotonic() - began)


def _wrong(scene: Scene, expected: tuple[Held, Fields, bytes]) -> Iterator[str]:
    """What is wrong at once after a death, and after the run that follows."""
    yield from (f"a record names what is not there: {each}" for each in scene.dangling())
    yield from (f"no journal tells of a write to {each}" for each in scene.untold())
    yield from _amiss(scene, scene.run(Steps()))
    for what, found, meant in zip(("objects", "records", "local database"), scene.world(), expected, strict=True):
        if found != meant:
            yield f"{what}: not as after an uninterrupted run: {found!r:.500}"


def _amiss(scene: Scene, report: Report) -> Iterator[str]:
    """What is wrong after a run that came to its end: it must leave nothing to do."""
    if report.status is not Status.SUCCESS:
        yield f"the run did not succeed: {report.outcomes}"
    before = scene.versions()
    again = scene.run(Steps())
    if again.outcomes or scene.versions() != before:
        yield f"one more run had something to do: {again.outcomes}"


@contextmanager
def _scene(make: Callable[[Path], Scene]) -> Iterator[Scene]:
    folder = Path(tempfile.mkdtemp(prefix="reconcile-crash-", dir=MEMORY if os.path.isdir(MEMORY) else None))
    scene = make(folder / "studio")
    try:
        yield scene
    finally:
        scene.close()
        shutil.rmtree(folder)


# --- at the doors, in this process ------------------------------------------------------------------------------------


class InProcess(Scene):
    """Embedded stores in memory; each call of a door, and each file that is made, moved or removed, is a step."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.furnish_folder()
        settings = load(folder, environ={})
        self.uri = settings.bucket.uri("")
        self._bucket = EmbeddedBucket.in_memory(settings.bucket.prefix)
        self._database = EmbeddedRecords.open(None, settings.records.collection)
        for key, data in {**OBJECTS, **RENAMED}.items():
            _put(self._bucket, key, data)
        for name, fields in records_before(self.uri).items():
            self._database.put(name, fields)

    def run(self, steps: Steps) -> Report:
        project = Project(load(self.folder, environ={})).opened()
        state = State(self.folder)
        lock = project.lock()
        project.objects = _Door("bucket", self._bucket, steps)
        project.records = _Door("records", self._database, steps)
        project.local_db = _Door("local_db", JsonDatabase(self.database, "assets"), steps)  # type: ignore[assignment]
        project.journal = _Door("journal", project.journal, steps)  # type: ignore[assignment]
        project.state = _Door("state", state, steps)  # type: ignore[assignment]
        note = self.folder / ".reconcile" / "lock.json"
        try:
            with _watched(self.folder, steps):
                lock.acquire()
                report = execute(project, survey(project).plan, concurrency=1, force=True)
                project.state.close()
                lock.close()
            return report
        finally:
            # A lock and a connection die with their process; the lock's note does not.
            said = note.read_bytes() if note.exists() else None
            lock.close()
            if said is not None:
                note.write_bytes(said)
            state._database.connection.close()
            project.close()

    def objects(self) -> Held:
        return {each.key: b"".join(self._bucket.read(each.key)) for each in self._bucket.list()}

    def records(self) -> Fields:
        return {name: self._database.fields(name) or {} for name in self._database.ids()}

    def versions(self) -> tuple[Any, ...]:
        objects = [(each.key, each.generation, each.metageneration) for each in self._bucket.list()]
        times = [(each.id, each.update_time) for each in self._database.read()]
        return objects, times, self.database.stat().st_mtime_ns

    def close(self) -> None:
        self._bucket.close()
        self._database.close()


def _put(store: EmbeddedObjectStore, key: str, data: bytes) -> None:
    with tempfile.TemporaryFile() as body:
        body.write(data)
        body.seek(0)
        kind = TYPES.get(key, content_type(key))
        store.put(DesiredObject(key, len(data), digest(data), kind, 0), body)


class _Door:
    """A port, of which each call is a step before it is made and another once it took effect."""

    def __init__(self, name: str, inner: Any, steps: Steps) -> None:
        self._name = name
        self._inner = inner
        self._steps = steps

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._inner, attribute)
        if not callable(found) or (self._name, attribute) in _ASKS_MEMORY:
            return found
        name = f"{self._name}.{attribute}"

        def call(*arguments: Any, **options: Any) -> Any:
            self._steps.at(name)
            result = found(*arguments, **options)
            if isinstance(result, Iterator):
                return self._drained(name, result)
            self._steps.at(f"{name}, done")
            return _Door(f"{self._name} of a run", result, self._steps) if attribute == "begin" else result

        return call

    def _drained(self, name: str, rows: Iterator[Any]) -> Iterator[Any]:
        yield from rows
        self._steps.at(f"{name}, done")


_ASKS_MEMORY = {("state", "get"), ("state", "fact"), ("state", "all")}
"""What only looks at what this machine remembers."""

_NEW_NAME = re.compile(r"\.[0-9a-f]{16}\.new")
_WRITES = {"os.rename", "os.remove", "os.mkdir", "os.truncate", "os.link", "os.symlink"}


class _Watch:
    """Makes a step of every file that is opened for writing, made, moved or removed below a folder."""

    folder: str | None = None
    steps = Steps()
    installed = False

    @classmethod
    def install(cls) -> None:
        """An audit hook stays for good, so there is one, and it sleeps between the runs."""
        if not cls.installed:
            cls.installed = True
            sys.addaudithook(cls._hear)

    @classmethod
    def _hear(cls, event: str, arguments: tuple[Any, ...]) -> None:
        if cls.folder is None or not (event == "open" or event in _WRITES):
            return
        path = cls._path(event, arguments)
        if path is None:
            return
        writes = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR) if event == "open" else True
        if writes:
            cls.steps.at(f"{event} {_NEW_NAME.sub('.*.new', path)}")

    @classmethod
    def _path(cls, event: str, arguments: tuple[Any, ...]) -> str | None:
        """Which file it is about, below the folder; None for one elsewhere. Of a file that is opened by its name in an
        open folder, only the name is known."""
        if cls.folder is None or not isinstance(arguments[0], str | os.PathLike):
            return None
        path = os.fspath(arguments[0])
        if not os.path.isabs(path):
            if event == "open":
                return path
            place = f"/proc/self/fd/{arguments[2 if event == 'os.rename' else -1]}"
            path = os.path.join(os.readlink(place) if os.path.exists(place) else cls.folder, path)
        return os.path.relpath(path, cls.folder) if path.startswith(cls.folder) else None


@contextmanager
def _watched(folder: Path, steps: Steps) -> Iterator[None]:
    _Watch.install()
    _Watch.steps, _Watch.folder = steps, str(folder)
    try:
        yield
    finally:
        _Watch.folder = None


# --- at the wire ------------------------------------------------------------------------------------------------------


class Servers:
    """The two servers that a walk shares; each scene has a bucket and a project of its own there."""

    def __init__(self) -> None:
        self.gcs = GcsServer()
        self.gcs.world.rewrite_limit = PART
        self.firestore = FirestoreServer().start()

    def close(self) -> None:
        """Stops them."""
        self.gcs.close()
        self.firestore.stop()

    def __call__(self, folder: Path) -> Served:
        """A scene."""
        return Served(folder, self)


class Served(Scene):
    """Real clients on the servers; each request is a step as it arrives, and another once it took effect.

    A run that dies is in a thread of its own, whose requests are never answered. When its world is done with they are
    refused, and the thread ends.
    """

    def __init__(self, folder: Path, servers: Servers) -> None:
        super().__init__(folder)
        self._servers = servers
        self._shop = open_workshop(folder, servers.gcs, servers.firestore.address, index="asset_types")
        self._hand = ClientHand(self._shop.project, servers.firestore.address)
        self.furnish_folder()
        self.uri = self._shop.uri("")
        for key, data in {**OBJECTS, **RENAMED}.items():
            servers.gcs.world.insert(self._shop.bucket, f"{PREFIX}/{key}", data, {"contentType": TYPES.get(key)})
        for name, fields in records_before(self.uri).items():
            self._hand.put(name, fields)
        self._over = threading.Event()
        self._lost: list[threading.Thread] = []

    def run(self, steps: Steps) -> Report:
        self._arm(steps)
        reports: list[Report | BaseException] = []
        thread = threading.Thread(target=self._work, args=(reports,), daemon=True)
        thread.start()
        while thread.is_alive() and not steps.dead.wait(0.002):
            continue
        self._disarm()
        if steps.dead.is_set():
            self._lost.append(thread)
            raise Died
        thread.join()
        if isinstance(reports[0], BaseException):
            raise reports[0]
        return reports[0]

    def _work(self, reports: list[Report | BaseException]) -> None:
        try:
            with open_without_waits(Project(load(self.folder, environ={}))) as project:
                reports.append(execute(project, survey(project).plan, concurrency=1, force=True))
        except BaseException as error:  # noqa: BLE001 - raised again where the run was asked for
            reports.append(error)

    def _arm(self, steps: Steps) -> None:
        ours = f"/b/{self._shop.bucket}/"

        def before() -> None:
            self._pass(steps, "bucket")

        def after(body: bytes) -> bytes:
            self._pass(steps, "bucket, done")
            return body

        self._servers.gcs.script.add(Fault(path=ours, times=EVER, run=before, rewrite=after))
        for method in ("Commit", "BatchGetDocuments", "RunQuery", "ListDocuments"):
            self._servers.firestore.fault(
                method,
                times=EVER,
                edit=lambda _request, method=method: self._ask(steps, method),
                then=lambda method=method: self._ask(steps, f"{method}, done"),
            )

    def _pass(self, steps: Steps, name: str) -> None:
        try:
            steps.at(name)
        except Died:
            self._over.wait(PATIENCE)
            raise Cut from None

    def _ask(self, steps: Steps, name: str) -> None:
        try:
            steps.at(name)
        except Died:
            self._over.wait(PATIENCE)
            raise Refusal(grpc.StatusCode.PERMISSION_DENIED, "the run is over") from None

    def _disarm(self) -> None:
        self._servers.gcs.script.clear()
        self._servers.firestore.faults.clear()

    def objects(self) -> Held:
        return {key: stored.data for key, stored in self._shop.objects().items()}

    def records(self) -> Fields:
        found = self._hand.client.collection("characters").stream()
        return {each.id: each.to_dict() for each in found}

    def versions(self) -> tuple[Any, ...]:
        objects = {key: (stored.generation, stored.metageneration) for key, stored in self._shop.objects().items()}
        ours = f"projects/{self._shop.project}/"
        documents = dict(self._servers.firestore.documents)
        times = {name: each.updated for name, each in documents.items() if name.startswith(ours)}
        return objects, times, self.database.stat().st_mtime_ns

    def close(self) -> None:
        self._servers.gcs.script.add(Fault(path=f"/b/{self._shop.bucket}/", times=EVER, status=403))
        self._over.set()
        for thread in self._lost:
            thread.join(PATIENCE)
        self._disarm()
        self._hand.client.close()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--stride", type=int, default=1, help="every so many steps")
    options = parser.parse_args()
    servers = Servers()
    try:
        walks = [walk("in process", InProcess, stride=options.stride), walk("served", servers, stride=options.stride)]
    finally:
        servers.close()
    for each in walks:
        sys.stdout.write(f"{each.name}: {each.steps} steps, {each.deaths} deaths, {each.seconds:.1f} s\n")
        sys.stdout.write("".join(f"  {problem}\n" for problem in each.problems))
    return int(any(each.problems for each in walks))


if __name__ == "__main__":
    sys.exit(main())
