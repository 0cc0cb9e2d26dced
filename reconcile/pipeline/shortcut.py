"""The short way of a planning: what is in step beyond doubt passes no stage.

A key is *quiet* if nothing follows from it (``core.in_step``), and a record is *open* if something may follow from it
besides what its keys give. Quiet keys are counted, and neither they nor their references go on; records go on if they
are open, or if any row of theirs does, and are then given the answers that their quiet keys would have given. All keys
of a record go on if its index lacks the type of one of them: the change that adds it tells of the object.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from reconcile.adapters.sorting import Flat, Spill, Tuples
from reconcile.core.context import Context
from reconcile.core.in_step import PlainRecords, QuietKeys, as_candidate, types_listed
from reconcile.core.names import fold
from reconcile.core.notes import NotedMap
from reconcile.core.plan import Scope
from reconcile.core.rows import (
    Agreed,
    Answer,
    Candidate,
    Coverage,
    Document,
    Group,
    LocalFile,
    Outlook,
    RemoteObject,
    Row,
    Stream,
    World,
)
from reconcile.core.rules import AssetRule
from reconcile.core.stages import explode_stage, explode_uris
from reconcile.pipeline.roster import ids_stand_first

Count: TypeAlias = Callable[[Sequence[tuple[str, str]]], None]
MOST_LOOSE = 500_000
"""References that may mean another spelling of a key, beyond which nothing is skipped: they are remembered."""


class Shortcut:
    """What one planning skips. ``count`` takes the asset type and the character of each skipped key."""

    def __init__(self, context: Context, count: Count, spill: Spill) -> None:
        self._context = context
        quiet = QuietKeys(context.asset_map, context.known_ids)
        self._quiet: QuietKeys | None = quiet
        self._plain = PlainRecords(context, quiet)
        self._asked = Tuples(spill)
        """References that are where the rules want them, each with the type of its key: those may be skipped."""
        self._loose: set[int] = set()
        """Hashes of the keys that may be meant by another spelling: two keys of one hash are only a doubt more."""
        self._open: set[str] = set()
        self._gone_on: set[str] = set()
        self._count = count
        self._has_skipped = False

    @classmethod
    def of(cls, context: Context, count: Count, spill: Spill) -> Shortcut | None:
        """None if this planning has to go the long way."""
        asset_map, scope = context.asset_map, context.scope
        if scope != Scope() or context.trace:
            return None
        if not context.ids_known or context.records != Coverage() or not ids_stand_first(asset_map):
            return None
        return None if isinstance(asset_map, NotedMap) else cls(context, count, spill)

    def exploded(self, document: Document) -> Iterator[Row]:
        """The references of a record, as ``explode_stage`` gives them, without those that may be skipped."""
        context, quiet = self._context, self._quiet
        if quiet is None:
            yield from explode_stage(document, World.RECORDS, context)
            return
        plain, listed = self._plain.read(document), types_listed(document, context)
        if plain is None or (context.index and (listed is None or plain.types - {None} != listed)):
            self._open.add(document.id)
            yield from self._of_open(document, listed or frozenset(), quiet)
            return
        for each in plain.references:
            if each[-1] is None:
                yield as_row(each)
            else:
                self._asked.add(each)

    def _of_open(self, document: Document, listed: frozenset[str], quiet: QuietKeys) -> Iterator[Row]:
        rows = list(explode_stage(document, World.RECORDS, self._context))
        asked = [quiet.named(row.value) for row in rows]
        # No key is skipped if the index lacks the type of one: the change that adds it tells of the object.
        strict = (row.value for row in rows if row.value.is_strict)
        rules = (quiet.read(each.key, each.document) for each in strict)
        all_go_on = self._context.index != "" and not {rule.type for rule in rules if rule is not None} <= listed
        for row, named in zip(rows, asked, strict=True):
            if named is None or all_go_on:
                yield row
            else:
                self._asked.add(named)

    def note_loose(self, row: Row) -> None:
        """Takes note of a reference that may mean a key in another spelling."""
        self._loose.add(hash(row.key))
        if len(self._loose) > MOST_LOOSE:
            self._loose.clear()
            self._quiet = None

    def asked(self) -> Iterator[list[Flat]]:
        """The references that may be skipped, by key, some at a time: once, when all records were exploded."""
        return self._asked.batches()

    def skipped(
        self,
        files: Sequence[tuple[str, LocalFile]],
        objects: Sequence[tuple[str, RemoteObject]],
        states: Mapping[str, Agreed],
        others: Iterable[tuple[str, Any]],
        asked: Sequence[Flat],
    ) -> Mapping[str, Flat]:
        """The keys that are skipped of those of a range, and counts them. ``asked`` are the references that may be
        skipped, ``others`` by key all else that is asked."""
        quiet, loose = self._quiet, self._loose
        if quiet is None or not asked:
            return {}
        once = {each[0]: each for each in asked}
        if len(once) < len(asked):
            times = Counter(each[0] for each in asked)
            once = {key: each for key, each in once.items() if times[key] == 1}
        for key, _ in others:
            once.pop(key, None)
        there = dict(objects)
        found: dict[str, Flat] = {}
        for key, file in files:
            named, there_now, state = once.get(key), there.get(key), states.get(key)
            if named is None or there_now is None or state is None or not quiet.is_same(file, there_now, state):
                continue
            if not loose or hash(fold(key)) not in loose:
                found[key] = named
        if found:
            self._has_skipped = True
            self._count([(each[-1], each[1]) for each in found.values()])
        return found

    def passing(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows by character, of which note is taken."""
        for row in rows:
            self._gone_on.add(row.key)
            yield row

    def judges(self, document: str) -> bool:
        """Whether something may follow from a record, when all other rows by character have passed."""
        return self._quiet is None or document in self._open or document in self._gone_on

    def completed(self, group: Group) -> Group:
        """The rows of a character with the answers of the record's quiet keys. Every reference that can mean only one
        key is answered, so that those without an answer are the skipped ones."""
        record = next(iter(group.get(Stream.RECORD, ())), None)
        if record is None or self._quiet is None or not self._has_skipped:
            return group
        answers: list[Any] = list(group.get(Stream.ANSWER, ()))
        have = {(each.slot, each.rank) for each in answers if each.world is World.RECORDS}
        strict = (each for each in explode_uris(record, World.RECORDS, self._context) if each.is_strict)
        skipped = (each for each in strict if (each.slot, each.rank) not in have)
        answers += (_there(each, self._quiet.read(each.key, each.document)) for each in skipped)
        return {**group, Stream.ANSWER: answers}


def as_row(named: Flat) -> Row:
    """A reference that was not skipped, or may not be, as the stages take it."""
    return Row(Stream.REFERENCE, fold(named[0]), as_candidate(named))


def _there(candidate: Candidate, rule: AssetRule | None) -> Answer:
    """The answer of a quiet key, as far as the document stage asks for it: nothing is made of it."""
    return Answer(
        world=candidate.world,
        document=candidate.document,
        slot=candidate.slot,
        rank=candidate.rank,
        key=candidate.key,
        spelling=0,
        damaged=False,
        exact=True,
        outlook=Outlook.THERE,
        crc32c=None,
        asset_type=None if rule is None else rule.type,
    )
