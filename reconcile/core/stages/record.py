"""One record while it is judged: which claim each field gets, and which changes follow."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any, TypeAlias

import msgspec

from reconcile.core import findings
from reconcile.core.catalogue import AssetState, Mark
from reconcile.core.changes import Code, Finding, Need, Reason, SetField, change_id
from reconcile.core.context import Context
from reconcile.core.decide import Choice, choose
from reconcile.core.names import nfc, spelling
from reconcile.core.notes import wishes
from reconcile.core.pattern import CHAR_ID
from reconcile.core.rows import Answer, Claim, Document, Outlook, Slot
from reconcile.core.rules import Many
from reconcile.core.stages.elsewhere import judge, reason_of, texts_elsewhere
from reconcile.core.stages.fields import Field, FieldReader, Held, References
from reconcile.core.stages.index import by_type, index_changes, named_after, unsure_types
from reconcile.core.way import title_of

ClaimOutput: TypeAlias = Finding | Mark
RecordOutput: TypeAlias = SetField | ClaimOutput


class Record(FieldReader):
    """One existing record."""

    def __init__(
        self,
        record: Document,
        references: References,
        local_references: References,
        claims: Sequence[Claim],
        context: Context,
    ) -> None:
        super().__init__(record, references, context)
        listed = self.entries if isinstance(self.entries, list) else []
        self.titles = [title_of(each, context.entries.key) if isinstance(each, dict) else None for each in listed]
        """The key of each map, in order; None for a map without one."""
        told = wishes(context.asset_map, record.id, context.known_ids)
        named = _named_fields(local_references)
        # A claim may spell the key of a map in another Unicode form than the record.
        self.claims = [msgspec.structs.replace(claim, entry=self._spelled(claim.entry)) for claim in claims]
        self.wishes = {(self._spelled(entry), name): key for (entry, name), key in told.items()}
        self.local_names = {
            (None if entry is None else self._spelled(entry), name): answer for (entry, name), answer in named.items()
        }

    def _spelled(self, title: str) -> str:
        """Returns the key of a map as the record spells it, or composed if the record has none of this name."""
        if title.isascii():
            return title
        return spelling(title, self._known_titles) or nfc(title)

    @cached_property
    def _known_titles(self) -> frozenset[str]:
        return frozenset(title for title in self.titles if title is not None)

    def outputs(self) -> Iterator[RecordOutput]:
        complaints = list(malformed(self.name, self.record.id, self.entries, self.context))
        yield from complaints
        fields = self.read_fields()
        if complaints:
            yield from unsettled(self.claims)
        else:
            yield from self._differing(fields)
            yield from self.settle_claims(fields, self.references.values())
        for field in fields:
            yield from field.complaints
            yield from self._set(field)
        for found in self.elsewhere():
            yield from [found] if isinstance(found, Finding) else self._set(found)
        if self.context.index and not complaints:
            present = by_type(named_after(map(self._as_left, fields), self.references, self.context), self.context)
            unsure = unsure_types(self.references, self.context) | self._types_in_doubt()
            yield from index_changes(self.record, present, unsure, self.context)

    def _as_left(self, field: Field) -> Field:
        """Returns the field as this run leaves it: what is not in scope stays."""
        return field if any(self.changes(field, "", "")) else msgspec.structs.replace(field, new=field.old, needs=())

    def elsewhere(self) -> Iterator[Field | Finding]:
        """Yields the texts outside the plain fields that become URIs, and findings about others."""
        for slot, text in texts_elsewhere(self.record.fields, self.context):
            answer = self.references.get(slot)
            found = judge(self.name, self.record.id, slot, text, answer, self.context, self.repairs)
            if isinstance(found, Answer):
                uri, reason = self.context.bucket.uri(found.key), reason_of(found, text)
                yield Field(slot, text, uri, Held.GOOD, reason, needs=(found,))
            elif found is not None:
                yield found

    def changes(self, field: Field, kind: str, document: str) -> Iterator[dict[str, Any]]:
        """Yields the contents that a change of this field has in both kinds of records; none if there is no change in
        scope."""
        lead = next(iter(field.needs), None)
        in_scope = any(self.context.takes_key(each.key) for each in field.needs)
        if lead is not None and in_scope and self.context.scope.takes_type(lead.asset_type):
            new = lead.key if field.slot.at else field.new
            yield {
                "id": change_id(kind, document, *self._identity(field), field.old, new),
                "key": lead.key,
                "char_id": self.record.id,
                "asset_type": lead.asset_type,
                "reason": field.reason,
                "document": document,
                "entry": field.slot.entry,
                "field": field.slot.field,
                "old": field.old,
                "new": field.new,
                "needs": needs_of(field.needs),
                "position": field.slot.position,
                "at": field.slot.at or msgspec.UNSET,
            }

    def _differing(self, fields: Iterable[Field]) -> Iterator[Finding]:
        """Yields findings where the pipeline's own database names another file than the record."""
        for field in fields:
            slot = field.slot
            if slot.position is None or slot.entry is None:
                continue
            ours, theirs = self.references.get(slot), self.local_names.get((slot.entry, slot.field))
            if ours is None or theirs is None or theirs.key == self.wishes.get((slot.entry, slot.field)):
                continue
            if ours.key != theirs.key and ours.outlook is theirs.outlook is Outlook.THERE:
                yield findings.make(
                    Code.DATABASE_DIFFERS, self.name, self.record.id, place=slot.place, key=ours.key, theirs=theirs.key
                )

    def settle_claims(self, fields: list[Field], answers: Iterable[Answer]) -> Iterator[ClaimOutput]:
        """Assigns to each claimed field without a good value the file that the evidence selects.

        A file that the record already names, by ``answers``, has its place.
        """
        named = {(answer.slot.field, answer.key) for answer in answers if answer.slot.position is not None}
        by_place = {(field.slot.entry, field.slot.field): field for field in fields}
        places: dict[tuple[str, str], list[Claim]] = {}
        for claim in self.claims:
            place = (claim.entry, claim.field)
            if self._is_told(claim, by_place.get(place)) or (claim.field, claim.key) not in named:
                places.setdefault(place, []).append(claim)
        for (entry, name), claims in sorted(places.items()):
            field = by_place.get((entry, name))
            if field is None:
                position = self.titles.index(entry) if entry in self._known_titles else None
                field = Field(Slot(position, entry, name), None, None, Held.EMPTY)
                fields.append(field)
            yield from self._settle(field, sorted(claims, key=lambda claim: claim.key))

    def _settle(self, field: Field, claims: list[Claim]) -> Iterator[ClaimOutput]:
        says = {claim.many for claim in claims}
        # If files of several rules claim one field, only what all the rules say is certain.
        many = says.pop() if len(says) == 1 else Many.REPORT
        there = [claim for claim in claims if claim.outlook is Outlook.THERE]
        told = next((claim for claim in self._in_scope(there) if self._is_told(claim, field)), None)
        is_list = many is Many.LIST and isinstance(field.old, list)
        if told is not None and not (is_list and field.held is not Held.ALIEN):
            yield from self._give(field, told, claims, many)
            return
        other_shape = bool(field.old) and isinstance(field.old, list) and many is not Many.LIST
        if field.held is Held.ALIEN or (other_shape and field.held is not Held.GOOD):
            yield from unsettled(claims)
        elif is_list:
            if ours := self._in_scope(there):
                _add(field, ours, sorted({*field.new, *(self.context.bucket.uri(claim.key) for claim in ours)}))
        elif field.held is Held.GOOD:
            yield from self._lost(claims)
        else:
            choice = self._choose(field, claims, many)
            if not choice.chosen:
                yield from self._undecided(field, claims, choice)
            else:
                _fill(field, choice.chosen, many, self.context)
                if many is not Many.LIST:  # a list has the others too, if not in this run
                    yield from self._lost([claim for claim in claims if claim not in choice.chosen])

    def _give(self, field: Field, told: Claim, claims: list[Claim], many: Many) -> Iterator[ClaimOutput]:
        """Sets a field to the file that a workflow's call assigned to it; in a list that the rule expects there, adds
        it."""
        others = [claim for claim in claims if claim.key != told.key]
        rule = self.context.asset_map.rule(told.asset_type)
        if many is Many.LIST and isinstance(field.old, list):  # which contains somebody's own texts
            _add(field, [told], [*field.new, self.context.bucket.uri(told.key)])
            yield from unsettled(others)
        elif many is Many.LIST and rule is not None and rule.field == field.slot.field:
            held = self.references.get(field.slot)
            kept = () if held is None or held.outlook is not Outlook.THERE else (held,)
            there = [claim for claim in claims if claim.outlook is Outlook.THERE]
            _fill(field, self._in_scope(there), many, self.context)
            field.new = sorted({*field.new, *(self.context.bucket.uri(each.key) for each in kept)})
            field.needs = (*field.needs, *kept)
        else:
            _fill(field, [told], Many.REPORT, self.context)
            yield from self._lost(others)

    def _is_told(self, claim: Claim, field: Field | None) -> bool:
        """Whether a workflow's call assigned this file to a field that does not name it yet; it then replaces the
        value."""
        if self.wishes.get((claim.entry, claim.field)) != claim.key:
            return False
        held = None if field is None else field.new
        return self.context.bucket.uri(claim.key) not in (held if isinstance(held, list) else [held])

    def _choose(self, field: Field, claims: list[Claim], many: Many) -> Choice:
        named = self.local_names.get((field.slot.entry, field.slot.field))
        evidence = None if named is None else named.key
        if many is Many.LIST:
            return Choice(tuple(self._in_scope(claim for claim in claims if claim.outlook is Outlook.THERE)))
        if self._more_may_be_hidden(field.slot.field) and evidence not in {claim.key for claim in claims}:
            return Choice()
        return choose(claims, evidence, many)

    def _in_scope(self, claims: Iterable[Claim]) -> list[Claim]:
        return [each for each in claims if not self.narrows or self.context.takes(each.key, each.asset_type)]

    def _more_may_be_hidden(self, name: str) -> bool:
        """Whether something that could not be read, locally or in the bucket, may contain another file for this
        field."""
        context, owner = self.context, {CHAR_ID: self.record.id}
        rules = [rule for rule in context.asset_map.rules if rule.field == name]
        paths = [rule.path.prefix(owner) for rule in rules]
        keys = [(rule.object or rule.path).prefix(owner) for rule in rules]
        return _overlap(context.local.failed, paths) or _overlap(context.remote.failed, keys)

    def _types_in_doubt(self) -> frozenset[str]:
        """Returns the types of which a file may still enter this record: one that waits, or one that was not read."""
        rules = self.context.asset_map.rules
        waiting = {claim.asset_type for claim in self.claims if claim.outlook is not Outlook.THERE}
        hidden = (rule.type for rule in rules if rule.field is not None and self._more_may_be_hidden(rule.field))
        return frozenset((*waiting, *hidden))

    def _undecided(self, field: Field, claims: list[Claim], choice: Choice) -> Iterator[ClaimOutput]:
        yield from unsettled(claims)
        if choice.ambiguous:
            place = field.slot.place
            keys, count = ", ".join(claim.key for claim in claims), len(claims)
            yield findings.make(Code.AMBIGUOUS_FIELD, self.name, self.record.id, place=place, count=count, keys=keys)

    def _identity(self, field: Field) -> tuple[Any, ...]:
        """Returns the field's place, regardless of the order of maps with other keys."""
        slot = field.slot
        if slot.at:
            return tuple(map(msgspec.to_builtins, slot.at))
        if slot.entry is None or slot.position is None:
            return (slot.position if slot.entry is None else slot.entry, 0, slot.field)
        return (slot.entry, self._number_alike[slot.position], slot.field)

    @cached_property
    def _number_alike(self) -> list[int]:
        """For each map, the number of earlier maps with the same key."""
        seen: Counter[str | None] = Counter()
        numbers: list[int] = []
        for title in self.titles:
            numbers.append(seen[title])
            seen[title] += 1
        return numbers

    def _lost(self, claims: Sequence[Claim]) -> Iterator[ClaimOutput]:
        """Reports claims without a local file that no field used: no record names their objects."""
        for claim in claims:
            if not claim.local and claim.outlook is Outlook.THERE:
                yield findings.make(Code.ORPHAN_OBJECT, self.context.bucket.uri(claim.key), self.record.id)
                yield Mark(claim.key, AssetState.ORPHAN)

    def _set(self, field: Field) -> Iterator[SetField]:
        for change in self.changes(field, "set_field", self.name):
            yield SetField(update_time=self.record.update_time, **change)


def _fill(field: Field, chosen: Sequence[Claim], many: Many, context: Context) -> None:
    uris = [context.bucket.uri(claim.key) for claim in chosen]
    field.reason = Reason.DANGLING if field.held is Held.DANGLING else Reason.UNTRACKED
    field.new = sorted(uris) if many is Many.LIST else uris[0]
    field.needs = tuple(chosen)
    field.complaints = ()


def _add(field: Field, claims: Sequence[Claim], new: list[Any]) -> None:
    """Sets the list in a field to ``new``, which also names these files."""
    field.reason = field.reason if field.needs else Reason.UNTRACKED
    field.new, field.needs = new, (*field.needs, *claims)


def unsettled(sources: Iterable[Claim | Need]) -> Iterator[Mark]:
    """Marks the keys as waiting for a person or a later run."""
    return (Mark(source.key, AssetState.HELD) for source in sources)


def needs_of(sources: Sequence[Answer | Claim]) -> tuple[Need, ...]:
    needs = {source.key: Need(source.key, source.crc32c) for source in sources}
    return tuple(needs[key] for key in sorted(needs))


def _overlap(some: Iterable[str], others: Sequence[str]) -> bool:
    """Whether a name may begin with a prefix of each of the two groups."""
    return any(one.startswith(other) or other.startswith(one) for one in some for other in others)


def malformed(document: str, char_id: str, entries: Any, context: Context) -> Iterator[Finding]:
    if entries is None:
        return
    make = partial(findings.make, Code.MALFORMED_RECORD, document, char_id)
    if not isinstance(entries, list):
        yield make(why=f"`{context.entries}` is not a list of maps")
        return
    bad = [str(at) for at, entry in enumerate(entries) if not isinstance(entry, dict)]
    if bad:
        yield make(why=f"`{context.entries}` item {', '.join(bad)} is not a map")
    titles = Counter(title for _, title, _ in context.entries.maps(entries))
    for title in sorted(title for title, count in titles.items() if title is not None and count > 1):
        yield make(why=f"`{context.entries}` has {titles[title]} maps with {context.entries.key} {title!r}")


def _named_fields(references: References) -> dict[tuple[str | None, str], Answer]:
    """Returns the key that the pipeline's own database names for each (entry, field), unless it names several."""
    named: dict[tuple[str | None, str], dict[str, Answer]] = defaultdict(dict)
    for answer in references.values():
        if answer.outlook is not Outlook.ABSENT and answer.slot.position is not None:
            named[answer.slot.entry, answer.slot.field][answer.key] = answer
    return {place: next(iter(found.values())) for place, found in named.items() if len(found) == 1}
