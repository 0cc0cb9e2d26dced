"""What a ``World`` is made of: files, a bucket, records and a memory, each with a log and with faults to order."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import msgspec
from crc32c import crc32c

from reconcile.core.digest import encode_crc32c
from reconcile.core.errors import JournalError, SourceChanged, SourceError, StoreError, StoreUnavailable, Uncertain
from reconcile.core.journal import JournaledRun, Line, RunStarted, encode, past
from reconcile.core.media import content_type
from reconcile.core.moment import Moment
from reconcile.core.names import fold, nfc
from reconcile.core.rows import Agreed, Document, FileProblem, LocalFile, RemoteObject
from reconcile.ports import DesiredObject, Progress
from tests.kit.embedded import EmbeddedBucket, EmbeddedRecords

_STOPPING = (FileProblem.UNREADABLE, FileProblem.SYMLINK)


def digest(data: bytes) -> str:
    """The crc32c as GCS writes it."""
    return encode_crc32c(crc32c(data))


class FakeFile(msgspec.Struct):
    data: bytes
    mtime_ns: int
    problem: FileProblem | None = None


class Files:
    """A ``FileSource``. ``stops`` are the folders that are not read, as ``name/`` → why; ``opened`` is what was."""

    def __init__(self) -> None:
        self.files: dict[str, FakeFile] = {}
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

    def between(self, first: str, stop: str, prefix: str = "") -> Iterator[RemoteObject]:
        return (self._shown(found) for found in self._store.between(first, stop, prefix))

    def get(self, key: str) -> RemoteObject | None:
        self.gets.append(key)
        found = self._store.get(key)
        return None if found is None else self._shown(found)

    def put(self, desired: DesiredObject, body: BinaryIO, *, progress: Progress | None = None) -> RemoteObject:
        key = desired.key
        self.attempts.append(key)
        error = self.refuse(key)
        if error is not None:
            raise error
        arrived = self._store.put(desired, body, progress=progress)
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

    def copy(self, desired: DesiredObject, source: str, *, source_generation: int) -> RemoteObject:
        key = desired.key
        self.attempts.append(key)
        error = self.refuse(key)
        if error is not None:
            raise error
        self.before_copy()
        found = self._store.copy(desired, source, source_generation=source_generation)
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
            DesiredObject(
                key,
                len(data),
                digest(data),
                content_type(key) if type_ is None else type_,
                found.generation if found else 0,
            ),
            io.BytesIO(data),
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
        self._store = EmbeddedRecords.open(None, collection)
        self.writes: list[str] = []
        self.reads: list[Collection[str] | None] = []
        self.order: Callable[[list[Document]], list[Document]] = lambda documents: documents
        self.before_write: Callable[[str], None] = lambda _document: None
        self.lose_answers = 0
        self.down = False

    def ids(self, prefix: str = "", *, at: Moment | None = None) -> Iterator[str]:
        return self._store.ids(prefix, at=at)

    def versions(self, *, at: Moment | None = None) -> Iterator[tuple[str, str]]:
        return self._store.versions(at=at)

    def read(self, ids: Collection[str] | None = None, *, at: Moment | None = None) -> Iterator[Document]:
        self.reads.append(ids)
        if self.down:
            raise StoreUnavailable("the database is down")
        found = list(self._store.read(ids, at=at))
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

    def read(self, ids: Collection[str] | None = None, *, at: Moment | None = None) -> Iterator[Document]:
        yield from super().read(ids, at=at)
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

    def read(self, run_id: str) -> JournaledRun | None:
        return past(self.files.get(run_id, b""))

    def runs(self, missed: list[JournalError] | None = None) -> Iterator[JournaledRun]:
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
