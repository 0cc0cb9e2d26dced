"""The short way of a planning: what is in step beyond doubt passes no stage.

A key is *quiet* if nothing follows from it (``core.in_step``), and a record is *open* if something may follow from it
besides what its keys give. Quiet keys are counted, and neither they nor their references go on; records go on if they
are open, or if any row of theirs does, and are then given the answers that their quiet keys would have given. All keys
of a record go on if its index lacks the type of one of them: the change that adds it tells of the object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from reconcile.core.context import Context
from reconcile.core.in_step import QuietKeys, plain_references, types_listed
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

MOST_LOOSE = 100_000
"""References that may mean another spelling of a key, beyond which nothing is skipped: they are remembered."""


class Shortcut:
    """What one planning skips. ``count`` takes the asset type and the character of each skipped key."""

    def __init__(self, context: Context, count: Callable[[str, str], None]) -> None:
        self._context = context
        self._quiet: QuietKeys | None = QuietKeys(context.asset_map, context.known_ids)
        self._loose: set[str] = set()
        self._open: set[str] = set()
        self._unlisted: set[str] = set()
        self._gone_on: set[str] = set()
        self._count = count
        self._has_skipped = False

    @classmethod
    def of(cls, context: Context, count: Callable[[str, str], None]) -> Shortcut | None:
        """None if this planning has to go the long way."""
        asset_map, scope = context.asset_map, context.scope
        if scope != Scope() or context.trace:
            return None
        if not context.ids_known or context.records != Coverage() or not ids_stand_first(asset_map):
            return None
        return None if isinstance(asset_map, NotedMap) else cls(context, count)

    def exploded(self, document: Document) -> Iterator[Row]:
        """The references of a record, as ``explode_stage`` gives them."""
        context, quiet = self._context, self._quiet
        if quiet is None:
            return explode_stage(document, World.RECORDS, context)
        found, listed = plain_references(document, context), types_listed(document, context)
        if found is not None and (not context.index or _types(found, quiet) == listed):
            return (Row(Stream.REFERENCE, fold(each.key), each) for each in found)
        self._open.add(document.id)
        rows = list(explode_stage(document, World.RECORDS, context))
        if context.index and not _types((row.value for row in rows), quiet) <= (listed or frozenset()):
            self._unlisted.add(document.id)
        return iter(rows)

    def note_loose(self, row: Row) -> None:
        """Takes note of a reference that may mean a key in another spelling."""
        self._loose.add(row.key)
        if len(self._loose) > MOST_LOOSE:
            self._loose.clear()
            self._quiet = None

    def takes(
        self,
        file: LocalFile | None,
        found: RemoteObject | None,
        state: Agreed | None,
        asking: Sequence[Row | None] | None,
    ) -> bool:
        """Whether a key is quiet; it is counted then. ``asking`` are the references that mean just this key, and None
        for each that may mean others."""
        if self._quiet is None or file is None or found is None or state is None or asking is None:
            return False
        reference = asking[0] if len(asking) == 1 else None
        if reference is None or reference.key in self._loose or reference.value.document in self._unlisted:
            return False
        rule = self._quiet.rule_of(file, found, state, reference.value)
        if rule is None:
            return False
        self._count(rule.type, reference.value.document)
        self._has_skipped = True
        return True

    def passing(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows by character, of which note is taken."""
        for row in rows:
            self._gone_on.add(row.key)
            yield row

    def records(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The records of which something may follow, when all other rows by character have passed."""
        if self._quiet is None:
            return iter(rows)
        return (row for row in rows if row.key in self._open or row.key in self._gone_on)

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


def _types(references: Iterable[Candidate], quiet: QuietKeys) -> frozenset[str]:
    """The types of the keys that may turn out to be quiet."""
    rules = (quiet.read(each.key, each.document) for each in references if each.is_strict)
    return frozenset(rule.type for rule in rules if rule is not None)


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
