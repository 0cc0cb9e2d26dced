"""A reconciler in the simulation: a Project over the shared worlds, each of whose doors may fail, lie or be its last.

Planning reads its three worlds in several threads at once. Here they are read by one of them, item by item, in an order
that the seed draws, while others go on in between (``Sight``); the threads are then served from that. So nothing
depends on which thread the system runs first, and more orders are tried than threads would take.
"""

from __future__ import annotations

import io
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, BinaryIO, TypeVar

import msgspec

from reconcile.core.errors import (
    AccessDenied,
    JournalError,
    LocalDatabaseError,
    PreconditionFailed,
    ReconcileError,
    Rejected,
    SourceError,
    StoreError,
    StoreUnavailable,
    Uncertain,
)
from reconcile.core.journal import FieldsTouched, JournaledRun, Line, RecordMade, RunStarted
from reconcile.core.moment import Moment
from reconcile.core.rows import Agreed, Document, LocalFile, RemoteObject
from reconcile.ports import DesiredObject, Progress, RunLog
from reconcile.project import OpenProject
from reconcile.run_options import RunOptions
from tests.faults.baton import Baton, Killed, Task
from tests.faults.ledger import Applied, Ledger
from tests.kit.fakes import Files, Journals, Memory
from tests.kit.world import World

T = TypeVar("T")


class Weather(msgspec.Struct, frozen=True):
    """How likely it is, at each step, that something goes wrong; ``denied`` may not be touched by anybody."""

    before: float
    after: float
    torn: float
    crash: float
    journal: float
    denied: frozenset[str]


class Stage(msgspec.Struct, frozen=True):
    """What the actors of one simulation share."""

    world: World
    ledger: Ledger
    baton: Baton
    dice: Random
    weather: Weather
    counts: Counter[str]
    log: Callable[[str], None]


class Disk(msgspec.Struct):
    """What outlives a crash: ``.reconcile/``."""

    memory: Memory = msgspec.field(default_factory=Memory)
    journals: Journals = msgspec.field(default_factory=Journals)
    facts: dict[str, int | str] = msgspec.field(default_factory=dict)


class Actor(OpenProject):
    """One incarnation of a reconciler: once it has died, every door is shut."""

    def __init__(self, stage: Stage, name: str, task: Task, disk: Disk) -> None:
        super().__init__(stage.world.settings, RunOptions(wait=lambda _seconds: self.point("wait")))
        self.stage = stage
        self.name = name
        self.task = task
        self.disk = disk
        self.dead = False
        self.sight: Sight | None = None
        self.applied: Applied | None = None
        self.files = _Files(self)
        self.objects = _Objects(self)
        self.records = _Records(self)
        self.local_db = None if stage.world.local_db is None else _LocalDb(self)
        self.state = _State(self)  # type: ignore[assignment]
        self.journal = _Journal(self)

    @property
    def agreed(self) -> Any:
        return self.state

    def look(self, scope: str) -> None:
        """Begins a planning."""
        self.point(f"plan {scope}")
        self.sight = Sight(self)

    def act(self, applied: Applied) -> None:
        """Begins an applying."""
        self.applied = applied
        self.sight = None

    @property
    def run(self) -> Applied:
        """The applying that goes on."""
        assert self.applied is not None
        return self.applied

    def point(self, what: str) -> None:
        """Before a request or a write of state: others go on, or this process dies."""
        if self.dead:
            raise Killed
        self.stage.baton.step(self.task)
        self.stage.log(f"{self.name}: {what}")
        self.maybe_die(what)

    def maybe_die(self, what: str) -> None:
        """Dies where the seed says so."""
        if self.stage.dice.random() < self.stage.weather.crash:
            self.stage.counts["crash"] += 1
            self.stage.log(f"{self.name}: dies at {what}")
            self.dead = True
            raise Killed

    def refuse(self, what: str, *names: str, kinds: Sequence[type[ReconcileError]] = (StoreUnavailable,)) -> None:
        """A request fails before it has done anything."""
        if self.stage.weather.denied.intersection(names):
            self.fault(what, AccessDenied)
        if self.stage.dice.random() < self.stage.weather.before:
            self.fault(what, self.stage.dice.choice(kinds))

    def mislead(self, what: str, kinds: Sequence[type[ReconcileError]]) -> None:
        """A request was done, and its answer is lost, or is another's."""
        self.maybe_die(f"{what}, done")
        if self.stage.dice.random() < self.stage.weather.after:
            self.fault(f"{what}, done", self.stage.dice.choice(kinds))

    def fault(self, what: str, kind: type[ReconcileError]) -> None:
        """Raises such an error, and counts it."""
        self.stage.counts[f"{kind.__name__}{' after the fact' if what.endswith('done') else ''}"] += 1
        self.stage.log(f"{self.name}: {kind.__name__} at {what}")
        raise kind(f"injected at {what}")


class Sight:
    """What one planning reads. The records, the names and the local database come first, files and objects then."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._lock = threading.RLock()
        self._first = False
        self._second = False
        self.errors: dict[str, ReconcileError] = {}
        self.names = Files()
        self.files = Files()
        self.documents: list[Document] = []
        self.local: list[Document] = []
        self.objects: list[RemoteObject] = []

    def first(self) -> Sight:
        """Reads the records and the names, whoever asks first."""
        with self._lock:
            if not self._first:
                parts = [self._read_names, self._read_documents, self._read_local]
                for part in self._actor.stage.dice.sample(parts, len(parts)):
                    part()
                self._first = True
        return self

    def second(self) -> Sight:
        """Reads files and objects, whoever asks first."""
        with self._lock:
            if not self._second:
                dice = self._actor.stage.dice
                parts = [self._read_files(), self._read_objects()]
                while parts:
                    part = dice.choice(parts)
                    if next(part, None) is None:
                        parts.remove(part)
                self._second = True
        return self

    def check(self, source: str) -> None:
        """Raises what stopped the reading of a source."""
        if source in self.errors:
            raise self.errors[source]

    def _read_names(self) -> None:
        self._actor.point("read names")
        with self._failing("names"):
            self._tear("names", SourceError)
            self.names = self._copy()

    def _read_documents(self) -> None:
        self._actor.point("read records")
        with self._failing("records"):
            self._actor.refuse("read records")
            self.documents = list(self._actor.stage.world.records.read())
            self._cut(self.documents, "records")

    def _read_local(self) -> None:
        store = self._actor.stage.world.local_db
        if store is None:
            return
        self._actor.point("read the local database")
        with self._failing("local"):
            self._tear("the local database", LocalDatabaseError)
            self.local = list(store.read())

    def _read_files(self) -> Iterator[bool]:
        world = self._actor.stage.world
        self.files.stops = dict(world.files.stops)
        for path in sorted(world.files.files):
            self._actor.point(f"hash {path}")
            with self._failing("files"):
                self._tear("files", SourceError)
                if path in world.files.files:
                    self.files.files[path] = msgspec.structs.replace(world.files.files[path])
            yield True

    def _read_objects(self) -> Iterator[bool]:
        world, cursor = self._actor.stage.world, ""
        while "objects" not in self.errors:
            self._actor.point(f"list after {cursor!r}")
            found = next((each for each in world.objects.list() if each.key > cursor), None)
            if found is None:
                return
            with self._failing("objects"):
                self._tear("objects", StoreUnavailable)
                self.objects.append(found)
            cursor = found.key
            yield True

    def _copy(self) -> Files:
        seen, files = self._actor.stage.world.files, Files()
        files.files = {path: msgspec.structs.replace(file) for path, file in seen.files.items()}
        files.stops = dict(seen.stops)
        return files

    @contextmanager
    def _failing(self, source: str) -> Iterator[None]:
        try:
            yield
        except ReconcileError as error:
            self.errors.setdefault(source, error)

    def _tear(self, what: str, kind: type[ReconcileError]) -> None:
        if self._actor.stage.dice.random() < self._actor.stage.weather.torn:
            self._actor.fault(f"the reading of {what}", kind)

    def _cut(self, rows: list[Document], what: str) -> None:
        """A listing that breaks after some of its rows."""
        if self._actor.stage.dice.random() < self._actor.stage.weather.torn:
            del rows[self._actor.stage.dice.randrange(len(rows) + 1) :]
            self._actor.fault(f"the reading of {what}, part-way", StoreUnavailable)


class _Files:
    """``FileSource``; a file that is being read is read as it is at that moment."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def walk(self, prefixes: Sequence[str] = ("",)) -> Iterator[LocalFile]:
        sight = self._sight()
        if all(prefix in self._actor.stage.world.files.stops for prefix in prefixes):
            return self._actor.stage.world.files.walk(prefixes)
        return self._broken(sight.second(), "files", sight.files.walk(prefixes))

    def names(self, prefixes: Sequence[str] = ("",)) -> Iterator[str]:
        sight = self._sight().first()
        sight.check("names")
        return sight.names.names(prefixes)

    def lookup(self, paths: Iterable[str], *, before: Sequence[str] = (), anew: bool = False) -> Iterator[LocalFile]:
        return self._actor.stage.world.files.lookup(paths, before=before, anew=anew)

    def forget(self, path: str) -> None:
        self._actor.stage.world.files.forget(path)

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        self._actor.point(f"open {path}")
        self._actor.refuse(f"open {path}", kinds=(SourceError,))
        files = self._actor.stage.world.files
        with files.open(path):
            yield io.BufferedReader(_Body(self._actor, files.spelled(path)), 1)

    def _sight(self) -> Sight:
        assert self._actor.sight is not None
        return self._actor.sight

    def _broken(self, sight: Sight, source: str, rows: Iterator[T]) -> Iterator[T]:
        yield from rows
        sight.check(source)


class _Body(io.RawIOBase):
    """An open file. Half of it is read, others go on, and the rest is read as it then is."""

    def __init__(self, actor: Actor, path: str) -> None:
        self._actor = actor
        self._path = path
        self._file = actor.stage.world.files.files[path]
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._actor.point(f"read {self._path}")
        half = max(1, len(self._file.data) // 2)
        part = self._file.data[self._at : self._at + (half if self._at == 0 else len(buffer))][: len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)


class _Objects:
    """``ObjectStore``."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def list(self, prefix: str = "", splits: Sequence[str] = ()) -> Iterator[RemoteObject]:
        assert self._actor.sight is not None
        sight = self._actor.sight.second()
        yield from (found for found in sight.objects if found.key.startswith(prefix))
        sight.check("objects")

    def get(self, key: str) -> RemoteObject | None:
        if self._actor.sight is not None:
            # Asked by several threads at once, so nobody else may go on and nothing may be drawn.
            if key in self._actor.stage.weather.denied:
                raise AccessDenied(f"{key} may not be read")
            return self._actor.stage.world.objects.get(key)
        self._actor.point(f"get {key}")
        self._actor.refuse(f"get {key}", key)
        found = self._actor.stage.world.objects.get(key)
        if found is not None:
            self._actor.run.sees(found)
        return found

    def put(self, desired: DesiredObject, body: BinaryIO, *, progress: Progress | None = None) -> RemoteObject:
        actor, key = self._actor, desired.key
        what = f"put {key}"
        actor.point(what)
        actor.refuse(what, key, kinds=(StoreUnavailable, Uncertain, Rejected))
        arrived = actor.stage.world.objects.put(desired, body, progress=progress)
        actor.stage.ledger.arrived(actor.run, key)
        actor.mislead(what, (Uncertain, PreconditionFailed))
        actor.run.sees(arrived)
        return arrived

    def md5(self, key: str, *, generation: int) -> str | None:
        if self._actor.sight is None:  # else asked by several threads at once, as in ``get``
            self._actor.point(f"md5 {key}")
            self._actor.refuse(f"md5 {key}", key)
        elif key in self._actor.stage.weather.denied:
            raise AccessDenied(f"{key} may not be read")
        return self._actor.stage.world.objects.md5(key, generation=generation)

    def copy(self, desired: DesiredObject, source: str, *, source_generation: int) -> RemoteObject:
        actor, key = self._actor, desired.key
        what = f"copy {key}"
        actor.point(what)
        actor.refuse(what, key, source, kinds=(StoreUnavailable, Uncertain, Rejected))
        arrived = actor.stage.world.objects.copy(desired, source, source_generation=source_generation)
        actor.stage.ledger.arrived(actor.run, key, source)
        actor.mislead(what, (Uncertain, PreconditionFailed))
        actor.run.sees(arrived)
        return arrived

    def set_type(
        self, key: str, content_type: str, *, if_generation_match: int, if_metageneration_match: int
    ) -> RemoteObject:
        actor, what = self._actor, f"type {key}"
        actor.point(what)
        actor.refuse(what, key, kinds=(StoreUnavailable, Uncertain, Rejected))
        found = actor.stage.world.objects.set_type(
            key,
            content_type,
            if_generation_match=if_generation_match,
            if_metageneration_match=if_metageneration_match,
        )
        actor.stage.ledger.retyped(actor.run, found)
        actor.mislead(what, (Uncertain, PreconditionFailed))
        return found

    def read(
        self, key: str, *, generation: int | None = None, offset: int = 0, encoded: bool = False
    ) -> Iterator[bytes]:
        return self._actor.stage.world.objects.read(key, generation=generation, offset=offset, encoded=encoded)


class _Records:
    """``RecordStore``."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def ids(self, prefix: str = "", *, at: Moment | None = None) -> Iterator[str]:
        assert self._actor.sight is not None
        sight = self._actor.sight.first()
        yield from (each.id for each in sight.documents if each.id.startswith(prefix))
        sight.check("records")

    def versions(self, *, at: Moment | None = None) -> Iterator[tuple[str, str]]:
        return ((each.id, each.update_time) for each in self.read(at=at))

    def read(self, ids: Collection[str] | None = None, *, at: Moment | None = None) -> Iterator[Document]:
        if self._actor.sight is not None:
            sight = self._actor.sight.first()
            yield from (each for each in sight.documents if ids is None or each.id in ids)
            sight.check("records")
            return
        what = f"read {', '.join(sorted(ids or ()))}"
        self._actor.point(what)
        self._actor.refuse(what, *(ids or ()))
        yield from list(self._actor.stage.world.records.read(ids))

    def update(self, document: str, fields: Mapping[str, Any], *, if_update_time: str) -> str:
        actor, what = self._actor, f"update {document}"
        actor.point(what)
        actor.refuse(what, document, kinds=(StoreUnavailable, Uncertain, Rejected))
        time = actor.stage.world.records.update(document, fields, if_update_time=if_update_time)
        actor.stage.ledger.updated(actor.run, document)
        actor.mislead(what, (Uncertain, PreconditionFailed))
        return time

    def create(self, document: str, fields: Mapping[str, Any]) -> str:
        actor, what = self._actor, f"create {document}"
        actor.point(what)
        actor.refuse(what, document, kinds=(StoreUnavailable, Uncertain, Rejected))
        time = actor.stage.world.records.create(document, fields)
        actor.stage.ledger.created(actor.run, document)
        actor.mislead(what, (Uncertain, PreconditionFailed))
        return time


class _LocalDb:
    """The pipeline's own database: one file, so all of a write lands or nothing."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def ids(self, prefix: str = "", *, at: Moment | None = None) -> Iterator[str]:
        return (each.id for each in self.read() if each.id.startswith(prefix))

    def read(self, ids: Collection[str] | None = None, *, at: Moment | None = None) -> Iterator[Document]:
        actor = self._actor
        assert actor.stage.world.local_db is not None
        if actor.sight is not None:
            sight = actor.sight.first()
            sight.check("local")
            yield from (each for each in sight.local if ids is None or each.id in ids)
            return
        actor.point("read the local database")
        actor.refuse("read the local database", kinds=(LocalDatabaseError,))
        yield from list(actor.stage.world.local_db.read(ids))

    def update_many(self, changes: Mapping[str, tuple[Mapping[str, Any], str]]) -> dict[str, str | StoreError]:
        actor, what = self._actor, "write the local database"
        assert actor.stage.world.local_db is not None
        actor.point(what)
        actor.refuse(what, kinds=(LocalDatabaseError, StoreUnavailable))
        bad = {each for each in changes if actor.stage.dice.random() < actor.stage.weather.before}
        sound = {document: change for document, change in changes.items() if document not in bad}
        written = actor.stage.world.local_db.update_many(sound)
        written |= {document: Rejected(f"injected for {document}") for document in bad}
        actor.stage.counts["Rejected"] += len(bad)
        for document, outcome in written.items():
            if isinstance(outcome, str):
                actor.stage.ledger.updated(actor.run, document, local=True)
        actor.maybe_die(f"{what}, done")
        return written


class _State:
    """What the machine remembers, and every write of it is a step. No error of it may stop a run."""

    warnings: tuple[str, ...] = ()

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def all(self) -> Iterator[Agreed]:
        return self._actor.disk.memory.all()

    def of(self, key: str) -> Agreed | None:
        return self._actor.disk.memory.of(key)

    def cuts(self, size: int) -> list[str]:
        return self._actor.disk.memory.cuts(size)

    def holding(self, checksums: Collection[str]) -> Iterator[Agreed]:
        return (state for state in self.all() if state.crc32c in checksums)

    def remember(self, states: Iterable[Agreed]) -> None:
        self._actor.point("remember what agrees")
        self._actor.disk.memory.remember(states)
        self._actor.maybe_die("remember what agrees, done")

    def fact(self, name: str) -> int | str | None:
        return self._actor.disk.facts.get(name)

    def remember_fact(self, name: str, value: int | str) -> None:
        self._actor.point("remember a fact")
        self._actor.disk.facts[name] = value

    def remember_characters(self, ids: Iterable[str]) -> None:
        self.remember_fact("characters", "\n".join(sorted(ids)))


class _Journal:
    """The journal, on a disk that may be full."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def begin(self, run: RunStarted) -> RunLog:
        self._actor.point("begin the journal")
        self._fill("begin the journal")
        log = _Log(self._actor, self._actor.disk.journals.begin(run), self._fill)
        self._actor.maybe_die("begin the journal, done")
        return log

    def read(self, run_id: str) -> JournaledRun | None:
        return self._actor.disk.journals.read(run_id)

    def runs(self, missed: list[JournalError] | None = None) -> Iterator[JournaledRun]:
        return self._actor.disk.journals.runs(missed)

    def _fill(self, what: str) -> None:
        if self._actor.stage.dice.random() < self._actor.stage.weather.journal:
            self._actor.fault(what, JournalError)


class _Log:
    def __init__(self, actor: Actor, log: RunLog, fill: Callable[[str], None]) -> None:
        self._actor = actor
        self._log = log
        self._fill = fill

    def write(self, line: Line, *, durable: bool = False) -> None:
        what = f"journal {type(line).__name__}"
        self._actor.point(what)
        self._fill(what)
        self._log.write(line, durable=durable)
        if isinstance(line, FieldsTouched):
            self._actor.run.noted.update(touched.id for touched in line.touched)
        elif isinstance(line, RecordMade):
            self._actor.run.noted.add(line.id)
        self._actor.maybe_die(f"{what}, done")

    def close(self) -> None:
        self._log.close()
