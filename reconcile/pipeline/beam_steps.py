"""The stages as steps of Apache Beam: what a worker does with the rows of one key. Every worker can import it.

Rows travel as bytes under a key that is bytes too: a name may hold lone surrogates, which Beam's text coder refuses.
"""

from __future__ import annotations

import pickle
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import apache_beam as beam
import msgspec
from apache_beam.metrics import Metrics

from reconcile.adapters.inventory.store import two_live
from reconcile.adapters.scanned import one_of
from reconcile.core.asking import IdsAlong, ids_for, ids_for_exploding
from reconcile.core.changes import Upload, keys_about
from reconcile.core.context import Context
from reconcile.core.errors import UsageError
from reconcile.core.names import fold
from reconcile.core.plan import Scope
from reconcile.core.report import Problem
from reconcile.core.rows import Agreed, Candidate, Document, KeyRow, LocalFile, RemoteObject, Row, Source, Stream, World
from reconcile.core.stages import document_stage, explode_stage, key_stage
from reconcile.core.way import Entries
from reconcile.pipeline.beam_lines import Noted, gap_line, gaps_of, line
from reconcile.pipeline.gaps import Denied, Extent, Unread
from reconcile.pipeline.observe import first_of
from reconcile.pipeline.reducers import KeyCounts

Keyed = tuple[bytes, bytes]
"""A row in transit: its key, and the row packed."""
GAPS = "gaps"
"""The output for the parts that could not be read, as lines."""
NOTED = "noted"
"""The output for what a worker notes (``Noted``)."""

COUNTERS = "reconcile"
"""The namespace of the counters, which a runner shows as it runs."""
KEYS_JUDGED = "keys judged"
_KEYS_JUDGED = Metrics.counter(COUNTERS, KEYS_JUDGED)
_RECORDS_JUDGED = Metrics.counter(COUNTERS, "records judged")
_CHANGES = Metrics.counter(COUNTERS, "changes")
_FINDINGS = Metrics.counter(COUNTERS, "findings")

WORLDS = {Stream.RECORD: World.RECORDS, Stream.LOCAL_RECORD: World.LOCAL_DB}
"""The worlds of documents, by their streams."""


def packed(row: Row) -> Keyed:
    """Packs a row under its key."""
    return as_key(row.key), pack(row)


def as_key(name: str) -> bytes:
    """Returns a name as a key."""
    return name.encode("utf-8", "surrogatepass")


def pack(value: object) -> bytes:
    """Packs a value for transit."""
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def unpack(value: bytes) -> Any:
    """Unpacks a value. Only what this same run has packed may be passed."""
    return pickle.loads(value)


def unpacked(values: Iterable[bytes]) -> list[Row]:
    """Unpacks the rows of one key."""
    return [unpack(value) for value in values]


def noted(found: Noted) -> Any:
    """Returns what a worker notes as an element of the output for that."""
    return beam.pvalue.TaggedOutput(NOTED, found)


def object_row(found: RemoteObject) -> Row:
    """Returns an object as a row under its key."""
    return Row(Stream.KEY, fold(found.key), KeyRow(found.key, None, remote=found))


def state_row(state: Agreed) -> Row:
    """Returns what is remembered of a key as a row under that key."""
    return Row(Stream.KEY, fold(state.key), KeyRow(state.key, None, agreed=state))


def document_row(document: Document, world: World) -> Row:
    """Returns a document as a row under its character."""
    return Row(Stream.RECORD if world is World.RECORDS else Stream.LOCAL_RECORD, document.id, document)


def by_path(element: bytes) -> Any:
    """A local file → its row, by path; a folder that could not be read goes into the output of gaps."""
    file: LocalFile = unpack(element)
    if file.path.endswith("/"):
        return beam.pvalue.TaggedOutput(GAPS, gap_line(Unread(file)))
    # Under its path: under which key it belongs may depend on the known ids.
    return packed(Row(Stream.KEY, file.path, KeyRow(file.path, file.path, local=file)))


def one_of_several(element: tuple[bytes, Iterable[bytes]]) -> bytes:
    """The files that several scans have at one path, each with the number of its scan → the one file that counts."""
    numbered = sorted((unpack(value) for value in element[1]), key=lambda each: each[0])
    return pack(one_of([file for _, file in numbered]))


class WithIds(beam.DoFn):  # type: ignore[misc]
    """A step that needs the context. The known ids come as a side input, packed; if that is None, the ids that an
    element asks for are among its rows."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._covered: tuple[tuple[str, ...], Context] = ((), context)

    def whole(
        self, ids: bytes | None, rows: Sequence[Row], asked: Iterable[str] = (), gaps: Sequence[str] = ()
    ) -> Context:
        """Returns the context for these rows. ``asked`` are further ids that the step may ask for. Nothing in the
        ``gaps`` counts as absent."""
        if self._covered[0] != tuple(gaps):  # they are the same for all elements, so this is computed once
            self._covered = (tuple(gaps), _without(self._context, gaps))
        context = self._covered[1]
        if ids is not None:
            return msgspec.structs.replace(context, known_ids=_known(ids))
        known = {row.value for row in rows if row.stream is Stream.KNOWN}
        along = IdsAlong.of(known, set(asked).union(*(ids_for(row, context) for row in rows)))
        return msgspec.structs.replace(context, known_ids=along)


@lru_cache(maxsize=4)
def _known(ids: bytes) -> frozenset[str]:
    return frozenset(unpack(ids))


def _without(context: Context, gaps: Sequence[str]) -> Context:
    extent = Extent(context.asset_map, Scope())
    for gap in gaps_of(gaps):
        if isinstance(gap, Denied):
            extent.leave_unknown(gap)
        else:
            extent.unread.append(gap)
    extent.note_gaps()
    return msgspec.structs.replace(context, local=extent.local, remote=extent.remote)


class Explode(WithIds):
    """Documents, in groups under their ids → references, by key."""

    def process(self, element: tuple[bytes, Iterable[bytes]], ids: bytes | None) -> Iterator[Any]:
        rows = unpacked(element[1])
        for row in rows:
            if (world := WORLDS.get(row.stream)) is not None:
                asked = ids_for_exploding(row.value, world, self._context) if ids is None else ()
                for reference in explode_stage(row.value, world, self.whole(ids, rows, asked)):
                    yield packed(reference)


def entries_seen(element: Keyed, entries: Entries) -> Iterator[Noted]:
    """What a record says of where the entries are."""
    row: Row = unpack(element[1])
    if row.stream is not Stream.RECORD:
        return
    if entries.top in row.value.fields:
        yield Noted(has_entries=True)
    elif (meant := entries.meant([row.value.fields])) is not None:
        yield Noted(array=meant.path)


class FilesByKey(WithIds):
    """Local files, each in a group of its own under its path → their rows, by key."""

    def process(self, element: tuple[bytes, Iterable[bytes]], ids: bytes | None) -> Iterator[Keyed]:
        rows = unpacked(element[1])
        context = self.whole(ids, () if self._context.asset_map.keys_are_paths else rows)
        for row in rows:
            if row.stream is Stream.KEY:
                key = context.asset_map.key_for(row.key, context.known_ids)
                yield packed(Row(Stream.KEY, fold(key), msgspec.structs.replace(row.value, key=key)))


class JudgeKeys(WithIds):
    """One folded key: its files, objects, states and references → the rows of the key stage. ``listing`` names the
    list of objects in messages."""

    def __init__(self, context: Context, listing: str) -> None:
        super().__init__(context)
        self._listing = listing

    def process(self, element: tuple[bytes, Iterable[bytes]], ids: bytes | None, gaps: Sequence[str]) -> Iterator[Any]:
        rows = unpacked(element[1])
        context = self.whole(ids, rows, gaps=gaps)
        candidates = [row.value for row in rows if row.stream is Stream.REFERENCE]
        seen: list[KeyRow] = [row.value for row in rows if row.stream is Stream.KEY]
        try:
            keys = key_rows(seen, candidates, context, self._listing)
        except UsageError as error:
            yield noted(Noted(failed=Problem.of(error)))
            return
        files = sum(
            row.path is not None and context.asset_map.first_match(row.path) is not None
            for row in seen
            if row.local is not None
        )
        _KEYS_JUDGED.inc(len(keys))
        closed = KeyCounts(tallied=False)
        for row in key_stage({Stream.KEY: keys, Stream.REFERENCE: candidates}, context):
            if row.stream is Stream.TALLY and KeyCounts.is_closed(row.value):
                closed.take(row)
            else:
                yield from _led(row)
        yield noted(msgspec.structs.replace(_counted(closed), files=files))


class JudgeDocuments(WithIds):
    """One character: its record, the answers and the claims → the changes of that record."""

    def process(self, element: tuple[bytes, Iterable[bytes]], ids: bytes | None, gaps: Sequence[str]) -> Iterator[Any]:
        rows = unpacked(element[1])
        group: dict[Stream, list[Any]] = defaultdict(list)
        for row in rows:
            group[row.stream].append(row.value)
        char_id = element[0].decode("utf-8", "surrogatepass")
        _RECORDS_JUDGED.inc(len(group[Stream.RECORD]))
        for row in document_stage(char_id, group, self.whole(ids, rows, gaps=gaps)):
            yield from _led(row)


def counts_of_key(element: tuple[bytes, Iterable[bytes]]) -> Noted:
    """One key: its tally and all marks and changes about it → what it adds to the counts."""
    counts = KeyCounts(tallied=False)
    for row in unpacked(element[1]):
        counts.take(row)
    return _counted(counts)


def _counted(counts: KeyCounts) -> Noted:
    return Noted(in_step=sum(each.in_step for each in counts.totals().values()), objects=counts.objects)


def wanted(element: tuple[bytes, Iterable[bytes]]) -> Iterator[str]:
    """One content → the objects that have it, if something with this content is to be uploaded."""
    values = list(element[1])
    if _UPLOAD in values:
        yield from map(line, unpacked(value for value in values if value != _UPLOAD))


_UPLOAD = b""


def key_rows(seen: Sequence[KeyRow], candidates: Sequence[Candidate], context: Context, listing: str) -> list[KeyRow]:
    """Makes a row for each exact key that exists or is referenced: what each side has, and whether an empty side was
    looked at. Raises UsageError if ``listing`` has two objects of one key."""
    files: dict[str, list[LocalFile]] = defaultdict(list)
    objects: dict[str, RemoteObject] = {}
    states: dict[str, Agreed] = {}
    for row in seen:
        if row.local is not None:
            files[row.key].append(row.local)
        if row.remote is not None:
            if row.key in objects:
                raise two_live(listing, row.key)
            objects[row.key] = row.remote
        if row.agreed is not None:
            states[row.key] = row.agreed
    made = []
    for key in {*files, *objects, *(each.key for each in candidates)}:
        file, found = first_of(files[key]) if key in files else None, objects.get(key)
        path = file.path if file is not None else context.asset_map.path_for(key, context.known_ids)
        is_there = file is not None or found is not None
        made.append(
            KeyRow(
                key,
                path,
                file,
                found,
                states.get(key) if is_there else None,
                local_known=file is not None or path is None or context.local.covers(path),
                remote_known=found is not None or context.remote.covers(key),
            )
        )
    return made


def _led(row: Row) -> Iterator[Any]:
    """Sends a row of a stage to where it goes next: the documents, the counts, the copies, or the result."""
    value = row.value
    match row.stream:
        case Stream.ANSWER | Stream.CLAIM:
            yield beam.pvalue.TaggedOutput("asked", packed(row))
        case Stream.TALLY | Stream.MARK:
            yield beam.pvalue.TaggedOutput("tallies", packed(row))
        case Stream.SOURCE:
            yield beam.pvalue.TaggedOutput("sources", packed(row))
        case Stream.AGREED:
            yield line(row)
        case Stream.FINDING:
            _FINDINGS.inc()
            yield line(row)
        case Stream.CHANGE:
            _CHANGES.inc()
            yield line(row)
            for key in keys_about(value):
                yield beam.pvalue.TaggedOutput("tallies", packed(Row(row.stream, key, value)))
            if isinstance(value, Upload):
                content = Source(value.key, value.size, value.crc32c, 0).content
                yield beam.pvalue.TaggedOutput("sources", (content.encode(), _UPLOAD))
        case _:
            pass
