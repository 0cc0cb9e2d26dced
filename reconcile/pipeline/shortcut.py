"""The shortcut of a planning: what is in step beyond doubt skips the stages.

A key is *quiet* if nothing follows from it (``core.in_step``). A record is *open* if something may follow from the
record itself, not only from its keys. Quiet keys are counted, and neither they nor their references go through the
stages. A record goes through them if it is open, or if any other row about it does; it then gets the answers that the
stages would have given for its quiet keys. If the index of a record lacks the type of one of its keys, none of its keys
is skipped, because the change that adds the type refers to the object.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from reconcile.adapters.sorting import Flat, Spill, Tuples
from reconcile.core.context import Context
from reconcile.core.in_step import PlainRecords, QuietKeys, as_candidate, types_listed
from reconcile.core.names import fold
from reconcile.core.notes import NotedMap
from reconcile.core.plan import Scope
from reconcile.core.rows import (
    Agreed,
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
from reconcile.core.rules import AssetMap
from reconcile.core.stages import explode_stage, explode_uris
from reconcile.core.stages.key import answer_to
from reconcile.pipeline.roster import ids_stand_first

Count: TypeAlias = Callable[[Sequence[tuple[str, str]]], None]
MOST_LOOSE = 500_000
"""The most references that may mean another spelling of a key. They are held in memory; beyond that number nothing is
skipped."""


class Shortcut:
    """Decides what one planning skips. ``count`` is called with the asset type and the character of each skipped
    key."""

    def __init__(self, context: Context, count: Count, spill: Spill) -> None:
        self._context = context
        quiet = QuietKeys(context.asset_map, context.known_ids)
        self._quiet: QuietKeys | None = quiet
        self._plain = PlainRecords(context, quiet)
        self._asked = Tuples(spill)
        """References that may be skipped, because they are where the rules want them; each with the type of its key."""
        self._loose: set[int] = set()
        """Hashes of the keys that another spelling may mean. If two keys share a hash, one more key is not skipped."""
        self._open: set[str] = set()
        self._gone_on: set[str] = set()
        self._count = count
        self._has_skipped = False

    @classmethod
    def of(cls, context: Context, count: Count, spill: Spill) -> Shortcut | None:
        """Returns None if this planning can skip nothing."""
        if not context.ids_known or context.records != Coverage():
            return None
        return cls(context, count, spill) if may_skip(context.asset_map, context.scope, context.trace) else None

    def exploded(self, document: Document) -> Iterator[Row]:
        """Yields the references of a record, as ``explode_stage`` does, without those that may be skipped."""
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
        # If the index lacks the type of one key, none is skipped: the change that adds the type refers to the object.
        strict = (row.value for row in rows if row.value.is_strict)
        rules = (quiet.read(each.key, each.document) for each in strict)
        all_go_on = self._context.index != "" and not {rule.type for rule in rules if rule is not None} <= listed
        for row, named in zip(rows, asked, strict=True):
            if named is None or all_go_on:
                yield row
            else:
                self._asked.add(named)

    def note_loose(self, row: Row) -> None:
        """Notes a reference that may mean a key in another spelling."""
        self._loose.add(hash(row.key))
        if len(self._loose) > MOST_LOOSE:
            self._loose.clear()
            self._quiet = None

    def asked(self) -> Iterator[list[Flat]]:
        """Yields the references that may be skipped, in the order of their keys, some at a time. To be called once,
        after all records were exploded."""
        return self._asked.batches()

    def skipped(
        self,
        files: Sequence[tuple[str, LocalFile]],
        objects: Sequence[tuple[str, RemoteObject]],
        states: Mapping[str, Agreed],
        others: Iterable[tuple[str, Any]],
        asked: Sequence[Flat],
    ) -> Mapping[str, Flat]:
        """Returns which keys of a range are skipped, and counts them. ``asked`` are the references that may be skipped,
        ``others`` all other references, by key."""
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
        """Yields the rows, which are by character, and notes that something follows for these characters."""
        for row in rows:
            self._gone_on.add(row.key)
            yield row

    def judges(self, document: str) -> bool:
        """Whether a record has to be judged. To be called after all other rows by character have passed."""
        return self._quiet is None or document in self._open or document in self._gone_on

    def completed(self, group: Group) -> Group:
        """Adds the answers for the skipped keys of the record to the rows of a character. The stages answer every
        reference that can mean only one key, so those without an answer are the skipped ones."""
        record = next(iter(group.get(Stream.RECORD, ())), None)
        if record is None or self._quiet is None or not self._has_skipped:
            return group
        answers: list[Any] = list(group.get(Stream.ANSWER, ()))
        have = {(each.slot, each.rank) for each in answers if each.world is World.RECORDS}
        strict = (each for each in explode_uris(record, World.RECORDS, self._context) if each.is_strict)
        for each in strict:
            if (each.slot, each.rank) not in have:
                rule = self._quiet.read(each.key, each.document)
                # Only what the document stage reads of an answer that leads to no change: no checksum.
                answers.append(answer_to(each, Outlook.THERE, each.key, asset_type=None if rule is None else rule.type))
        return {**group, Stream.ANSWER: answers}


def may_skip(asset_map: AssetMap, scope: Scope, trace: Collection[str]) -> bool:
    """Whether a planning with this scope may skip anything."""
    is_whole = scope == Scope() and not trace
    return is_whole and not isinstance(asset_map, NotedMap) and ids_stand_first(asset_map)


def as_row(named: Flat) -> Row:
    """Returns a reference that is not skipped as a row for the stages."""
    return Row(Stream.REFERENCE, fold(named[0]), as_candidate(named))
