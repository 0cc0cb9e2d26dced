"""A project whose three worlds are in memory: the embedded stores, and files that keep the rules of a real folder.

Every write is counted, any write can be made to fail, and somebody else's hand can move the worlds in between.
"""

from __future__ import annotations

import io
import tempfile
from bisect import insort
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from crc32c import crc32c

from reconcile import config
from reconcile.adapters.embedded.records import EmbeddedRecordStore
from reconcile.config import LocalDbSettings, Policy, Settings
from reconcile.core.changes import Change, SetField
from reconcile.core.digest import encode_crc32c
from reconcile.core.errors import JournalError, SourceChanged, SourceError, StoreError, StoreUnavailable, Uncertain
from reconcile.core.journal import Line, Past, RunStarted, encode, past
from reconcile.core.media import content_type
from reconcile.core.names import fold, nfc
from reconcile.core.notes import Note
from reconcile.core.pattern import Template
from reconcile.core.plan import Plan, Scope
from reconcile.core.report import OutcomeKind, Report
from reconcile.core.rows import Agreed, Document, FileProblem, LocalFile, RemoteObject
from reconcile.core.rules import AssetMap, AssetRule, Many
from reconcile.core.way import Entries
from reconcile.pipeline.executor import execute
from reconcile.pipeline.planner import Survey, survey
from reconcile.ports import Progress
from reconcile.project import OpenProject
from reconcile.run_options import RunOptions
from tests.kit.embedded import EmbeddedBucket

WINDOWS_ROOT = "C:\\oo\\bar\\output"
PRIMARY = "primary"
_STOPPING = (FileProblem.UNREADABLE, FileProblem.SYMLINK)


def digest(data: bytes) -> str:
    """The crc32c as GCS writes it."""
    return encode_crc32c(crc32c(data))


def windows(key: str) -> str:
    """How an old record spells the local path of a key."""
    return f"{WINDOWS_ROOT}\\{key}".replace("/", "\\")


def titled(title: str | None = PRIMARY, **fields: Any) -> dict[str, Any]:
    """One map of a record's ``assets``."""
    return fields if title is None else {"title": title, **fields}


def rule(
    type_: str,
    path: str,
    field: str | None = None,
    *,
    entry: str = PRIMARY,
    many: str = "report",
    object_: str | None = None,
) -> AssetRule:
    """An ``[[asset]]``."""
    return AssetRule(
        type=type_,
        label=type_,
        path=Template(path),
        object=None if object_ is None else Template(object_),
        field=field,
        entry=Template(entry) if field else None,
        many=Many(many),
    )


@lru_cache
def users_settings() -> Settings:
    """The settings that ``init`` writes: the users' own ten asset types."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules" / "asset_map.toml"
        path.parent.mkdir()
        path.write_text(config.template(), encoding="utf-8")
        return config.load(Path(folder), environ={})


class _File(msgspec.Struct):
    data: bytes
    mtime_ns: int
    problem: FileProblem | None = None


class Files:
    """A ``FileSource``. ``stops`` are the folders that are not read, as ``name/`` → why; ``opened`` is what was."""

    def __init__(self) -> None:
        self.files: dict[str, _File] = {}
        self.stops: dict[str, FileProblem] = {}
        self.opened: list[str] = []
        self.forgotten: list[str] = []
        self.gone = False
        self.unreadable: set[str] = set()

    def walk(self, prefixes: Sequence[str] = ("",)) -> Iterator[LocalFile]:
        self._check()
        for path in self._paths(prefixes):
            yield self._row(path)

    def names(self, prefixes: Sequence[str] = ("",)) -> Iterator[str]:
        self._check()
        yield from self._paths(prefixes)

    def lookup(self, paths: Iterable[str], *, before: Sequence[str] = (), anew: bool = False) -> Iterator[LocalFile]:
        del before, anew  # nothing is new here, and nothing is remembered
        self._check()
        for path in paths:
            stop = self._stop(path)
            if stop is not None:
                yield LocalFile(path, 0, 0, problem=self.stops[stop])
            elif path in self.files:
                yield self._row(path)

    def forget(self, path: str) -> None:
        self.forgotten.append(path)

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        path = self.spelled(path)
        file = self.files.get(path)
        if file is None or self._stop(path) is not None or file.problem is FileProblem.SYMLINK:
            raise SourceChanged(f"{path} is not there")
        if path in self.unreadable:
            raise SourceError(f"{path} cannot be read")
        self.opened.append(path)
        yield io.BytesIO(file.data)

    def spelled(self, path: str) -> str:
        """The path, in the Unicode form of the only file of this name if it is there in another one."""
        alike = [each for each in self.files if nfc(each) == nfc(path)]
        return alike[0] if path not in self.files and len(alike) == 1 else path

    def _check(self) -> None:
        if self.gone:
            raise SourceError("the root is not there")

    def _stop(self, path: str) -> str | None:
        return next((stop for stop in sorted(self.stops) if path.startswith(stop)), None)

    def _paths(self, prefixes: Sequence[str]) -> list[str]:
        shown = [path for path in self.files if self._stop(path) is None and path.startswith(tuple(prefixes))]
        stops = [stop for stop in self.stops if any(stop.startswith(p) or p.startswith(stop) for p in prefixes)]
        return sorted([*shown, *stops])

    def _row(self, path: str) -> LocalFile:
        if path in self.stops:
            return LocalFile(path, 0, 0, problem=self.stops[path])
        file = self.files[path]
        shown = (other for other in self.files if self._stop(other) is None)
        twin = min((other for other in shown if other != path and fold(other) == fold(path)), default=None)
        problem = file.problem or (FileProblem.EMPTY if not file.data else None)
        crc = None if problem else digest(file.data)
        return LocalFile(path, len(file.data), file.mtime_ns, crc, problem, "", twin)


class Objects:
    """The embedded object store in memory, with a log of writes, faults, and the hand of somebody else."""

    def __init__(self, prefix: str) -> None:
        self._store = EmbeddedBucket.in_memory(prefix)
        self._prefix = prefix
        self.writes: list[str] = []
        self.attempts: list[str] = []
        self.gets: list[str] = []
        self.listed: list[str] = []
        self.unhashed: set[str] = set()
        self.md5s: dict[str, str | Exception | None] = {}
        """What is said of an MD5 in place of the truth."""
        self.proved: list[str] = []
        self.copies: list[tuple[str, str]] = []
        self.after_md5: Callable[[], None] = lambda: None
        self.before_copy: Callable[[], None] = lambda: None
        self.updated: dict[str, str] = {}
        self.refuse: Callable[[str], Exception | None] = lambda _key: None
        self.break_listing_after: int | None = None
        self.lose_answers = False

    def list(self, prefix: str = "", splits: Sequence[str] = ()) -> Iterator[RemoteObject]:
        self.listed.append(prefix)
        for count, found in enumerate(self._store.list(prefix, splits)):
            if count == self.break_listing_after:
                raise self._down()
            yield self._shown(found)
        if self.break_listing_after is not None:
            raise self._down()

    def get(self, key: str) -> RemoteObject | None:
        self.gets.append(key)
        found = self._store.get(key)
        return None if found is None else self._shown(found)

    def put(
        self,
        key: str,
        body: BinaryIO,
        *,
        size: int,
        crc32c: str,
        content_type: str,
        if_generation_match: int,
        progress: Progress | None = None,
    ) -> RemoteObject:
        self.attempts.append(key)
        error = self.refuse(key)
        if error is not None:
            raise error
        arrived = self._store.put(
            key,
            body,
            size=size,
            crc32c=crc32c,
            content_type=content_type,
            if_generation_match=if_generation_match,
            progress=progress,
        )
        self.writes.append(key)
        if self.lose_answers:
            raise Uncertain("no answer came")
        return arrived

    def md5(self, key: str, *, generation: int) -> str | None:
        self.proved.append(key)
        found = self.md5s.get(key, "")
        if isinstance(found, Exception):
            raise found
        told = found or (None if found is None else self._store.md5(key, generation=generation))
        self.after_md5()
        return told

    def copy(self, key: str, source: str, **how: Any) -> RemoteObject:
        self.attempts.append(key)
        error = self.refuse(key)
        if error is not None:
            raise error
        self.before_copy()
        found = self._store.copy(key, source, **how)
        self.writes.append(key)
        self.copies.append((source, key))
        if self.lose_answers:
            raise Uncertain("no answer came")
        return found

    def set_type(
        self, key: str, content_type: str, *, if_generation_match: int, if_metageneration_match: int
    ) -> RemoteObject:
        self.attempts.append(key)
        error = self.refuse(key)
        if error is not None:
            raise error
        found = self._store.set_type(
            key,
            content_type,
            if_generation_match=if_generation_match,
            if_metageneration_match=if_metageneration_match,
        )
        self.writes.append(key)
        if self.lose_answers:
            raise Uncertain("no answer came")
        return self._shown(found)

    def read(
        self, key: str, *, generation: int | None = None, offset: int = 0, encoded: bool = False
    ) -> Iterator[bytes]:
        return self._store.read(key, generation=generation, offset=offset, encoded=encoded)

    def set(self, key: str, data: bytes, type_: str | None = None) -> RemoteObject:
        """Somebody else's write, whatever is there; of the type that the name says, unless told."""
        found = self._store.get(key)
        return self._store.put(
            key,
            io.BytesIO(data),
            size=len(data),
            crc32c=digest(data),
            content_type=content_type(key) if type_ is None else type_,
            if_generation_match=found.generation if found else 0,
        )

    def retype(self, key: str, type_: str) -> None:
        """Somebody else's content type."""
        found = self._store.get(key)
        assert found is not None
        seen = {"if_generation_match": found.generation, "if_metageneration_match": found.metageneration}
        self._store.set_type(key, type_, **seen)

    def say(self, key: str, **said: Any) -> None:
        """Somebody else's metadata, by the names of the JSON API."""
        self._store.say(key, **said)

    def said(self, key: str) -> dict[str, Any]:
        """What is said of an object now."""
        return self._store.said(key)

    def close(self) -> None:
        self._store.close()

    def remove(self, key: str) -> None:
        """Somebody else's deletion."""
        name = f"{self._prefix}/{key}" if self._prefix else key
        with self._store._database.transaction() as connection:
            connection.execute("DELETE FROM objects WHERE name = ?", (name,))

    def all(self) -> dict[str, RemoteObject]:
        """What is there, by key."""
        return {found.key: self._shown(found) for found in self._store.list()}

    def _shown(self, found: RemoteObject) -> RemoteObject:
        crc = None if found.key in self.unhashed else found.crc32c
        return msgspec.structs.replace(found, crc32c=crc, updated=self.updated.get(found.key, found.updated))

    def _down(self) -> Exception:
        return StoreUnavailable("the bucket is down")


class Records:
    """The embedded record store in memory, with a log of writes, faults, and the hand of somebody else."""

    def __init__(self, collection: str) -> None:
        self._store = EmbeddedRecordStore.open(None, collection)
        self.writes: list[str] = []
        self.reads: list[Collection[str] | None] = []
        self.order: Callable[[list[Document]], list[Document]] = lambda documents: documents
        self.before_write: Callable[[str], None] = lambda _document: None
        self.lose_answers = 0
        self.down = False

    def ids(self, prefix: str = "") -> Iterator[str]:
        return self._store.ids(prefix)

    def read(self, ids: Collection[str] | None = None) -> Iterator[Document]:
        self.reads.append(ids)
        if self.down:
            raise StoreUnavailable("the database is down")
        found = list(self._store.read(ids))
        return iter(self.order(found))

    def update(self, document: str, fields: Mapping[str, Any], *, if_update_time: str) -> str:
        self.before_write(document)
        time = self._store.update(document, fields, if_update_time=if_update_time)
        return self._written(document, time)

    def create(self, document: str, fields: Mapping[str, Any]) -> str:
        self.before_write(document)
        return self._written(document, self._store.create(document, fields))

    def _written(self, document: str, time: str) -> str:
        self.writes.append(document)
        if self.lose_answers:
            self.lose_answers -= 1
            raise Uncertain("no answer came")
        return time

    def close(self) -> None:
        self._store.close()

    def put(self, document: str, fields: Mapping[str, Any]) -> None:
        """Somebody else's write, whatever is there."""
        self._store.put(document, fields)

    def remove(self, document: str) -> None:
        """Somebody else's deletion."""
        self._store.remove(document)

    def fields(self, document: str) -> dict[str, Any] | None:
        """All fields of a document."""
        return self._store.fields(document)

    def all(self) -> dict[str, tuple[dict[str, Any], str]]:
        """Every document with its update time."""
        return {each.id: (self._store.fields(each.id) or {}, each.update_time) for each in self._store.read()}


class LocalDb(Records):
    """The pipeline's own database: it writes several documents at once. ``unbound`` are further ones,
    which break the limits of a record."""

    unbound: Mapping[str, Mapping[str, Any]] = {}

    def read(self, ids: Collection[str] | None = None) -> Iterator[Document]:
        yield from super().read(ids)
        for char_id, fields in self.unbound.items():
            if ids is None or char_id in ids:
                yield Document(char_id, fields, "1")

    def update_many(self, changes: Mapping[str, tuple[Mapping[str, Any], str]]) -> dict[str, str | StoreError]:
        out: dict[str, str | StoreError] = {}
        for document, (fields, time) in changes.items():
            try:
                out[document] = self.update(document, fields, if_update_time=time)
            except StoreError as error:
                out[document] = error
        return out


class Memory:
    """Agreed states."""

    def __init__(self) -> None:
        self.states: dict[str, Agreed] = {}

    def all(self) -> Iterator[Agreed]:
        return iter([self.states[key] for key in sorted(self.states)])

    def of(self, key: str) -> Agreed | None:
        return self.states.get(key)

    def cuts(self, size: int) -> list[str]:
        return sorted(self.states)[size - 1 :: size]

    def holding(self, checksums: Collection[str]) -> Iterator[Agreed]:
        return (state for state in self.states.values() if state.crc32c in checksums)

    def remember(self, states: Iterable[Agreed]) -> None:
        self.states.update((state.key, state) for state in states)


class Journals:
    """Journals of runs. ``room`` is how many more lines fit; None: no end of them."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.room: int | None = None

    def begin(self, run: RunStarted) -> _Lines:
        log = _Lines(self, run.run_id)
        log.write(run)
        return log

    def read(self, run_id: str) -> Past | None:
        return past(self.files.get(run_id, b""))

    def runs(self, missed: list[JournalError] | None = None) -> Iterator[Past]:
        """Newest first, as they were begun."""
        found = (self.read(run_id) for run_id in reversed(self.files))
        return (each for each in found if each is not None)


class _Lines:
    def __init__(self, journals: Journals, run_id: str) -> None:
        self._journals = journals
        self._run_id = run_id

    def write(self, line: Line, *, durable: bool = False) -> None:
        journals = self._journals
        if journals.room is not None:
            if journals.room <= 0:
                raise JournalError("the journal cannot be written: no room", hint="make room")
            journals.room -= 1
        journals.files[self._run_id] = journals.files.get(self._run_id, b"") + encode(line)

    def close(self) -> None:
        pass


class World(OpenProject):
    """A project on worlds in memory. ``rules`` None is the users' own map; ``local_db`` gives it a local database.
    Records have no ``index``, unless one is named: most decisions are not about it."""

    def __init__(
        self,
        rules: Sequence[AssetRule] | None = None,
        *,
        local_db: bool = False,
        rewrite: bool = False,
        policy: Policy | None = None,
        entries: tuple[str, ...] = ("assets",),
        index: str = "",
    ) -> None:
        base = users_settings()
        super().__init__(
            msgspec.structs.replace(
                base,
                asset_map=base.asset_map if rules is None else AssetMap(tuple(rules)),
                local_db=LocalDbSettings(Path("characters.json"), rewrite) if local_db or rewrite else None,
                policy=policy or base.policy,
                entries=Entries(entries),
                index=index,
            ),
            RunOptions(),
        )
        self.files = Files()
        self.objects = Objects(self.settings.bucket.prefix)
        self.records = Records(self.settings.records.collection)
        self.local_db = LocalDb("db") if local_db or rewrite else None
        self.memory = Memory()
        self.journal = Journals()
        for store in (self.objects, self.records, self.local_db):
            if store is not None:
                self._opened(store)

    @property
    def agreed(self) -> Memory:
        return self.memory

    # -- furnishing --

    def file(self, path: str, data: bytes | None = None, *, at: int = 1, problem: FileProblem | None = None) -> str:
        """A local file (its own path as bytes, unless told), modified at ``at``; gives its key's URI."""
        self.files.files[path] = _File(path.encode() if data is None else data, at, problem)
        return self.uri(path)

    def object(self, key: str, data: bytes | None = None, type_: str | None = None) -> str:
        """An object (its own key as bytes and of its own type, unless told); gives its URI."""
        self.objects.set(key, key.encode() if data is None else data, type_)
        return self.uri(key)

    def both(self, key: str, data: bytes | None = None) -> str:
        """The same bytes in the folder and in the bucket."""
        self.file(key, data)
        return self.object(key, data)

    def record(self, char_id: str, *entries: Any, **fields: Any) -> None:
        """A document with these maps in ``assets``."""
        self.records.put(char_id, {"name": char_id.title(), "assets": list(entries), **fields})

    def local(self, char_id: str, *entries: Any, **fields: Any) -> None:
        """A document of the pipeline's own database."""
        assert self.local_db is not None
        self.local_db.put(char_id, {"name": char_id.title(), "assets": list(entries), **fields})

    def note(self, *notes: Note) -> None:
        """What the outbox holds."""
        self.noted = notes
        self._know(notes)

    # -- asking --

    def uri(self, key: str) -> str:
        """The URI of a key."""
        return self.settings.bucket.uri(key)

    def survey(self, *char_ids: str, types: Sequence[str] = ()) -> Survey:
        """A planning."""
        return survey(self, Scope(char_ids, tuple(types)))

    def plan(self, *char_ids: str, types: Sequence[str] = ()) -> Plan:
        """A plan."""
        return self.survey(*char_ids, types=types).plan

    def apply(self, plan: Plan | None = None, **options: Any) -> Report:
        """Applies a plan, or makes one first."""
        return execute(self, plan or self.plan(), **options)

    def entries(self, char_id: str) -> Any:
        """The ``assets`` of a record as they are now."""
        fields = self.records.fields(char_id)
        return None if fields is None else fields.get("assets")

    def writes(self) -> list[str]:
        """Every write so far, in any world."""
        local = self.local_db.writes if self.local_db is not None else []
        return [*self.objects.writes, *self.records.writes, *local]

    def snapshot(self) -> tuple[Any, ...]:
        """Everything in the three worlds, with generations and update times."""
        local = self.local_db.all() if self.local_db is not None else {}
        return self.objects.all(), self.records.all(), local, dict(self.files.files)


def sets(plan: Plan) -> dict[tuple[str, str | None, str], Any]:
    """What the plan sets, by (character, entry, field)."""
    changes = (action for action in plan.actions if isinstance(action, SetField))
    return {(change.document.rpartition("/")[2], change.entry, change.field): change.new for change in changes}


def kinds(plan: Plan) -> list[str]:
    """The kinds of the plan's actions, in order."""
    return [str(type(action).__struct_config__.tag) for action in plan.actions]


def keys(plan: Plan, kind: type[Change]) -> list[str | None]:
    """The keys of the actions of one kind, in order."""
    return [action.key for action in plan.actions if isinstance(action, kind)]


def codes(plan: Plan) -> list[str]:
    """The finding codes, sorted."""
    out: list[str] = []
    for finding in plan.findings:
        insort(out, finding.code.value)
    return out


def outcomes(report: Report) -> dict[str | None, OutcomeKind]:
    """What happened, by key."""
    return {outcome.key: outcome.outcome for outcome in report.outcomes}
