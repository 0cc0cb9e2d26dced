"""Reducers: each takes the rows of its streams one by one, in any order, and keeps what the plan needs of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from reconcile.core.catalogue import AssetState
from reconcile.core.changes import Change, Code, Finding, ObjectChange, SetField
from reconcile.core.context import Context
from reconcile.core.digest import Comparison, compare_object
from reconcile.core.findings import make
from reconcile.core.names import nfc, spelling
from reconcile.core.notes import Note, Place, wishes
from reconcile.core.rows import Agreed, Document, KeyFacts, KeyTally, Row, Stream
from reconcile.core.status import Tally
from reconcile.ports import AgreedStates
from reconcile.project import OpenProject

REMEMBER_AT_ONCE = 5000
Tallies: TypeAlias = dict[tuple[str | None, str | None], Tally]
"""Tallies by asset type and character."""
_ALL = (None, None)


class PlanSink:
    """Collects changes and findings."""

    streams = (Stream.CHANGE, Stream.FINDING)

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.findings: list[Finding] = []
        self.complete = True
        """Whether all that belongs to the project could be read."""

    def take(self, row: Row) -> None:
        if row.stream is Stream.CHANGE:
            self.changes.append(row.value)
        else:
            self.findings.append(row.value)
            self.complete = self.complete and row.value.code is not Code.UNREADABLE_FILE


class KeyCounts:
    """The counts of the status table. A key that no later row can change is counted at once and not held.

    A key is in step if both sides are right and nothing is planned for it: neither an upload nor a change to a record
    that needs it. A key that a record may need is ``pending`` when the key stage tallies it, and is held until the
    documents have been judged. What was counted elsewhere, as by the workers of Beam, is given at the beginning.
    """

    streams = (Stream.TALLY, Stream.MARK, Stream.CHANGE)

    def __init__(self, *, tallied: bool = True, in_step: int = 0, objects: int = 0) -> None:
        self._tallied = tallied
        self._tallies: Tallies = defaultdict(Tally, {_ALL: Tally(in_step=in_step)} if in_step else {})
        self._open: list[KeyTally] = []
        self._to_do: set[str] = set()
        self._unsettled: set[str] = set()
        self._unwanted: set[str] = set()
        self.objects = objects

    @property
    def held(self) -> int:
        return len(self._open)

    @property
    def pending(self) -> set[str]:
        """The keys for which something is planned, or about which a person must decide."""
        return self._to_do | self._unsettled

    def take(self, row: Row) -> None:
        value = row.value
        if row.stream is Stream.TALLY:
            self.objects += value.bucket
            if self.is_closed(value):
                self._count(value, to_do=False, in_step=True)
            else:
                self._open.append(value)
        elif row.stream is Stream.MARK:
            (self._unwanted if value.state is AssetState.ORPHAN else self._unsettled).add(value.key)
        elif isinstance(value, ObjectChange):
            self._to_do.add(value.key)
        elif not (
            isinstance(value, SetField) and value.is_index
        ):  # an index change is about a record, not about an asset
            self._to_do.update(need.key for need in value.needs)

    @staticmethod
    def is_closed(tally: KeyTally) -> bool:
        """Whether no later row can change how this key is counted."""
        return tally.right and not tally.pending

    def skip(self, keys: Sequence[tuple[str, str]]) -> None:
        """Counts keys that went through no stage, given as pairs of asset type and character. Each is on both sides, is
        named by a record, and is in step."""
        self.objects += len(keys)
        for of, count in Counter(keys).items() if self._tallied else ((_ALL, len(keys)),):
            tally = self._tallies[of]
            tally.local += count
            tally.bucket += count
            tally.records += count
            tally.keys += count
            tally.in_step += count

    def totals(self) -> Tallies:
        """Returns the tallies. To be called after the last row."""
        for row in self._open:
            to_do = row.key in self._to_do
            self._count(row, to_do=to_do, in_step=row.right and not to_do and row.key not in self._unsettled)
        self._open.clear()
        return dict(self._tallies)

    def _count(self, row: KeyTally, *, to_do: bool, in_step: bool) -> None:
        tally = self._tallies[(row.asset_type, row.char_id) if self._tallied else _ALL]
        tally.local += row.local
        tally.bucket += row.bucket
        tally.records += row.named
        tally.to_do += to_do
        if row.wanted and row.key not in self._unwanted:
            tally.keys += 1
            tally.in_step += in_step


class AgreedMemory:
    """Remembers the states in which both sides were found to agree, a few thousand at a time."""

    streams = (Stream.AGREED,)

    def __init__(self, states: AgreedStates) -> None:
        self._states = states
        self._news: list[Agreed] = []

    def take(self, row: Row) -> None:
        self._news.append(row.value)
        if len(self._news) >= REMEMBER_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        self._states.remember(self._news)
        self._news = []


class Traced:
    """The facts of the keys that were requested, of the files that workflow code noted, and of conflicts."""

    streams = (Stream.FACTS,)

    def __init__(self) -> None:
        self._facts: list[KeyFacts] = []

    def take(self, row: Row) -> None:
        self._facts.append(row.value)

    def of(self, names: Collection[str]) -> tuple[KeyFacts, ...]:
        """Returns the facts of these keys and paths."""
        return tuple(each for each in self._facts if each.key in names or each.path in names)

    def known(self) -> Iterator[KeyFacts]:
        """Yields the facts of keys that have a file or an object, or that a record names."""
        return (each for each in self._facts if each.local is not None or each.remote is not None or each.candidates)

    def done(
        self, notes: Sequence[Note], records: Iterable[Document], context: Context, pending: Collection[str]
    ) -> tuple[Note, ...]:
        """Returns the notes that are done. A note is done if its file is gone; or if the file is in the bucket, and the
        record of its character was read, needs no change, and names the file if the note says so."""
        files = {each.path: each for each in self._facts if each.local is not None} if notes else {}
        noted = {each.owner for each in notes}
        by_id = {document.id: document for document in records if nfc(document.id) in noted} if notes else {}
        return tuple(each for each in notes if _is_done(each, files.get(each.path), by_id, context, pending))


def _is_done(
    note: Note, facts: KeyFacts | None, records: Mapping[str, Document], context: Context, pending: Collection[str]
) -> bool:
    if facts is None or facts.local is None:
        return context.local.covers(note.path)
    key, local, remote = facts.key, facts.local, facts.remote
    if key in pending or remote is None or local.crc32c is None:
        return False
    if compare_object(local.size, local.crc32c, remote) is not Comparison.SAME:
        return False
    if note.char_id is None:
        return True
    record = records.get(spelling(note.char_id, records) or "")
    if record is None or not note.places:
        return record is not None
    wished = wishes(context.asset_map, note.char_id, context.known_ids)
    return _places_of(record, key, context) >= {
        (nfc(title), name) for title, name in note.places if wished.get((title, name)) == key
    }


def _places_of(record: Document, key: str, context: Context) -> set[Place]:
    """Returns the places in which a record names a key by its URI, with their titles in NFC."""
    uri, entries = context.bucket.uri(key), context.entries.of(record.fields)
    return {
        (nfc(title), name)
        for _, title, entry in context.entries.maps(entries)
        if title is not None
        for name, value in entry.items()
        if value == uri or (isinstance(value, list) and uri in value)
    }


def kept_versions(project: OpenProject) -> tuple[Finding, ...]:
    """Returns the findings about versions of the local database that a rewrite has left next to it."""
    found = project.settings.local_db
    if found is None or not found.rewrite:
        return ()
    from reconcile.adapters.jsondb.swap import left_beside

    return tuple(
        make(Code.DATABASE_KEPT, str(path), None, database=found.path.name) for path in left_beside(found.path)
    )
