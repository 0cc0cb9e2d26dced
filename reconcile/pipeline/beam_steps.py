"""The stages as steps of Apache Beam: what each worker does with the rows of one key. Importable by every worker.

Rows travel as bytes under a key that is bytes too: a name may hold lone surrogates, which Beam's text coder refuses.
What a planning comes to leaves as JSON lines: whoever reads them back need not trust where they were kept.
"""

from __future__ import annotations

import pickle
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import apache_beam as beam
import msgspec

from reconcile.core.changes import is_object
from reconcile.core.context import Context
from reconcile.core.names import fold
from reconcile.core.rows import (
    Agreed,
    Candidate,
    Coverage,
    Document,
    FileProblem,
    KeyRow,
    LocalFile,
    RemoteObject,
    Row,
    Source,
    Stream,
    World,
)
from reconcile.core.stages import document_stage, explode_stage, key_stage
from reconcile.pipeline.reducers import KeyCounts

Keyed = tuple[bytes, bytes]
"""A row on its way: its key, and the row packed."""

COUNTED = (Stream.TALLY, Stream.MARK)
PLANNED = (Stream.CHANGE, Stream.FINDING, Stream.AGREED)
TO_DOCUMENTS = (Stream.ANSWER, Stream.CLAIM)


class Counted(msgspec.Struct, frozen=True):
    """What the keys of a planning come to: those in step, the objects in scope, and the files that a rule takes."""

    in_step: int = 0
    objects: int = 0
    files: int = 0

    def __add__(self, other: Counted) -> Counted:
        return Counted(self.in_step + other.in_step, self.objects + other.objects, self.files + other.files)


def packed(row: Row) -> Keyed:
    """The row under its key."""
    return row.key.encode("utf-8", "surrogatepass"), pack(row)


def pack(value: object) -> bytes:
    """A value on its way."""
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def unpack(value: bytes) -> Any:
    """The value, which this very run packed."""
    return pickle.loads(value)


def unpacked(values: Iterable[bytes]) -> list[Row]:
    """The rows of one key."""
    return [unpack(value) for value in values]


def file_row(file: LocalFile, context: Context) -> Row:
    """A local file under its key."""
    key = context.asset_map.key_for(file.path, context.known_ids)
    return Row(Stream.KEY, fold(key), KeyRow(key, file.path, local=file))


def object_row(found: RemoteObject) -> Row:
    """An object under its key."""
    return Row(Stream.KEY, fold(found.key), KeyRow(found.key, None, remote=found))


def state_row(state: Agreed) -> Row:
    """What is remembered of a key, under it."""
    return Row(Stream.KEY, fold(state.key), KeyRow(state.key, None, agreed=state))


class WithIds(beam.DoFn):  # type: ignore[misc]
    """A step that needs the constants, whose character ids come beside, once for each worker."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def context(self, ids: bytes) -> Context:
        """The constants, whole."""
        return _with_ids(self._context, ids)


@lru_cache(maxsize=4)
def _known(ids: bytes) -> frozenset[str]:
    return frozenset(msgspec.msgpack.decode(ids, type=list[str]))


def _with_ids(context: Context, ids: bytes) -> Context:
    return msgspec.structs.replace(context, known_ids=_known(ids))


def ids_of(context: Context) -> bytes:
    """The known ids, for ``WithIds``."""
    return msgspec.msgpack.encode(sorted(context.known_ids))


class Explode(WithIds):
    """Documents → references, by key, and the documents themselves, by character."""

    def __init__(self, context: Context, world: World) -> None:
        super().__init__(context)
        self._world = world

    def process(self, element: bytes, ids: bytes) -> Iterator[Any]:
        document: Document = unpack(element)
        for row in explode_stage(document, self._world, self.context(ids)):
            yield packed(row)
        stream = Stream.RECORD if self._world is World.RECORDS else Stream.LOCAL_RECORD
        yield beam.pvalue.TaggedOutput("documents", packed(Row(stream, document.id, document)))


class FilesByKey(WithIds):
    """Local files → their rows, by key; folders that could not be read go beside."""

    def process(self, element: bytes, ids: bytes) -> Iterator[Any]:
        file: LocalFile = unpack(element)
        if file.path.endswith("/"):
            yield beam.pvalue.TaggedOutput("unread", element)
        else:
            yield packed(file_row(file, self.context(ids)))


class JudgeKeys(WithIds):
    """One folded key: its files, objects, states and references → the rows of the key stage."""

    def process(self, element: tuple[bytes, Iterable[bytes]], ids: bytes, unread: Sequence[bytes]) -> Iterator[Any]:
        context = self.context(ids)
        local = _local_coverage(context.local, unread)
        rows = unpacked(element[1])
        candidates = [row.value for row in rows if row.stream is Stream.REFERENCE]
        keys = key_rows([row.value for row in rows if row.stream is Stream.KEY], candidates, context, local)
        files = sum(
            row.path is not None and context.asset_map.first_match(row.path) is not None
            for row in (each.value for each in rows if each.stream is Stream.KEY)
            if row.local is not None
        )
        if files:
            yield beam.pvalue.TaggedOutput("counted", Counted(files=files))
        for row in key_stage({Stream.KEY: keys, Stream.REFERENCE: candidates}, context):
            yield from _led(row)


class JudgeDocuments(WithIds):
    """One character: its record, the answers and the claims → the changes of that record."""

    def process(self, element: tuple[bytes, Iterable[bytes]], ids: bytes, unread: Sequence[bytes]) -> Iterator[Any]:
        context = self.context(ids)
        covered = msgspec.structs.replace(context, local=_local_coverage(context.local, unread))
        group: dict[Stream, list[Any]] = defaultdict(list)
        for row in unpacked(element[1]):
            group[row.stream].append(row.value)
        for row in document_stage(element[0].decode("utf-8", "surrogatepass"), group, covered):
            yield from _led(row)


class CountKeys(beam.DoFn):  # type: ignore[misc]
    """One key: its tally, and all that was said of it → what it counts for."""

    def process(self, element: tuple[bytes, Iterable[bytes]]) -> Iterator[Counted]:
        counts = KeyCounts(tallied=False)
        for row in unpacked(element[1]):
            counts.take(row)
        yield Counted(in_step=sum(each.in_step for each in counts.totals().values()), objects=counts.objects)


class Wanted(beam.DoFn):  # type: ignore[misc]
    """One content: the objects that have it, if something with this content is to be uploaded."""

    def process(self, element: tuple[bytes, Iterable[bytes]]) -> Iterator[str]:
        values = list(element[1])
        if _UPLOAD in values:
            for row in unpacked(value for value in values if value != _UPLOAD):
                yield line(row)


_UPLOAD = b""


class ResultLine(msgspec.Struct, frozen=True):
    """What one JSON line holds: a value of this stream."""

    stream: Stream
    value: Any


def line(row: Row) -> str:
    """A row of the result as a line. Raises an error for a value with lone surrogates, which no plan holds."""
    return msgspec.json.encode(ResultLine(row.stream, row.value), enc_hook=repr).decode()


def told(value: Counted) -> str:
    """Counts as a line."""
    return msgspec.json.encode(value).decode()


def counted(text: str) -> Counted:
    """The counts that a line holds."""
    return msgspec.json.decode(text, type=Counted)


def told_folder(packed_folder: bytes) -> str:
    """A folder that could not be read, as a line."""
    folder: LocalFile = unpack(packed_folder)
    path = folder.path.encode("utf-8", "surrogatepass")
    return msgspec.json.encode([path, folder.problem, folder.detail]).decode()


def folder_of(text: str) -> LocalFile:
    """The folder that a line holds."""
    path, problem, detail = msgspec.json.decode(text, type=tuple[bytes, FileProblem | None, str])
    return LocalFile(path.decode("utf-8", "surrogatepass"), 0, 0, problem=problem, detail=detail)


def key_rows(
    seen: Sequence[KeyRow], candidates: Sequence[Candidate], context: Context, local: Coverage
) -> list[KeyRow]:
    """A row for each exact key that is there or asked for: what each side saw of it, and whether an empty side was
    looked at."""
    files: dict[str, list[LocalFile]] = defaultdict(list)
    objects: dict[str, RemoteObject] = {}
    states: dict[str, Agreed] = {}
    for row in seen:
        if row.local is not None:
            files[row.key].append(row.local)
        if row.remote is not None:
            objects[row.key] = row.remote
        if row.agreed is not None:
            states[row.key] = row.agreed
    made = []
    for key in {*files, *objects, *(each.key for each in candidates)}:
        file, found = _of_key(files.get(key)), objects.get(key)
        path = file.path if file is not None else context.asset_map.path_for(key, context.known_ids)
        is_there = file is not None or found is not None
        made.append(
            KeyRow(
                key,
                path,
                file,
                found,
                states.get(key) if is_there else None,
                local_known=file is not None or path is None or local.covers(path),
                remote_known=found is not None or context.remote.covers(key),
            )
        )
    return made


def _of_key(files: list[LocalFile] | None) -> LocalFile | None:
    """The file of a key; of several the first, as the twin of another: none of them can be uploaded."""
    if not files:
        return None
    first, *others = sorted(files, key=lambda file: file.path)
    return msgspec.structs.replace(first, twin=others[0].path) if others else first


def _local_coverage(whole: Coverage, unread: Sequence[bytes]) -> Coverage:
    """What was read whole of the local root, without the folders that could not be read."""
    folders: list[LocalFile] = [unpack(each) for each in unread]
    problems = {each.path: each.problem for each in folders}
    failed = (path for path, problem in problems.items() if (problem or _FAILED) is _FAILED)
    return msgspec.structs.replace(whole, unreadable=tuple(sorted(problems)), failed=tuple(sorted(failed)))


_FAILED = FileProblem.UNREADABLE


def _led(row: Row) -> Iterator[Any]:
    """Where a row of a stage goes next: to the documents, the counts, the copies, or into the result."""
    value = row.value
    if row.stream in TO_DOCUMENTS:
        yield beam.pvalue.TaggedOutput("asked", packed(row))
        return
    if row.stream in PLANNED:
        yield line(row)
    if row.stream in COUNTED:
        yield beam.pvalue.TaggedOutput("tallies", packed(Row(row.stream, value.key, value)))
    elif row.stream is Stream.CHANGE:
        keys = (value.key,) if is_object(value) else tuple(need.key for need in value.needs)
        for key in dict.fromkeys(keys):
            yield beam.pvalue.TaggedOutput("tallies", packed(Row(row.stream, key, value)))
    if row.stream is Stream.SOURCE:
        yield beam.pvalue.TaggedOutput("sources", packed(row))
    elif row.stream is Stream.CHANGE and value.__struct_config__.tag == "upload":
        content = Source(value.key, value.size, value.crc32c, 0).content
        yield beam.pvalue.TaggedOutput("sources", (content.encode(), _UPLOAD))
