"""The fields of a record's maps while they are judged: what each holds, and what each text leads to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, TypeAlias

import msgspec

from reconcile.core import findings
from reconcile.core.changes import Code, Finding, Reason
from reconcile.core.context import Context
from reconcile.core.rows import Answer, Claim, Document, Outlook, Slot
from reconcile.core.stages.elsewhere import is_flat, reason_of, unresolved
from reconcile.core.stages.explode import repairs_in
from reconcile.core.way import shown

_OF_PATHS = (Code.OUTSIDE_ROOT, Code.LOCAL_PATH_ELSEWHERE)

References: TypeAlias = Mapping[Slot, Answer]
"""The best answer to each reference of one document."""


def best(answers: Iterable[Answer]) -> References:
    found: dict[Slot, Answer] = {}
    for answer in sorted(answers, key=_preference):
        found.setdefault(answer.slot, answer)
    return found


def _preference(answer: Answer) -> tuple[bool, int, int, str, int, str, int, str, bool]:
    """Sorts what exists before what does not, then the exact spelling, then the longest tail."""
    slot = answer.slot
    absent = answer.outlook is Outlook.ABSENT
    item = -1 if slot.item is None else slot.item
    position = -1 if slot.position is None else slot.position
    place = (position, slot.field, item, shown(slot.at), slot.is_name)
    return (absent, answer.spelling, answer.rank, answer.key, *place)


class Held(Enum):
    """What a field holds, which decides whether a claim may fill it."""

    EMPTY = "empty"
    GOOD = "good"
    DANGLING = "dangling"
    ALIEN = "alien"


class Field(msgspec.Struct):
    """One field of one map, or one text elsewhere, while it is judged. A map to be added has no position yet."""

    slot: Slot
    old: Any
    new: Any
    held: Held
    reason: Reason = Reason.LOCAL_PATH
    needs: tuple[Answer | Claim, ...] = ()
    complaints: tuple[Finding, ...] = ()
    unresolved: tuple[str, ...] = ()
    held_without: Held = Held.EMPTY

    def leave_out(self) -> None:
        """Makes it the field of a new record, without paths or URIs that lead to nothing."""
        if self.unresolved:
            is_list = isinstance(self.new, list)
            self.new = [item for item in self.new if item not in self.unresolved] if is_list else None
            self.old, self.held = self.new, self.held_without


class FieldReader:
    """Reads the fields of the maps of one record."""

    within = findings.PATH_WITHIN
    """The finding for a local path inside a longer text."""
    narrows = True
    """Whether a list receives only what is in scope and keeps everything else."""

    def __init__(self, record: Document, references: References, context: Context) -> None:
        self.record = record
        self.references = references
        self.context = context
        self.name = context.document(record.id)
        self.entries = context.entries.of(record.fields)
        self.repairs = repairs_in(record.fields, context)

    def read_fields(self) -> list[Field]:
        """Returns the fields of all maps in order; empty if the entries are not a list."""
        fields: list[Field] = []
        for position, title, entry in self.context.entries.maps(self.entries):
            members = ((name, value) for name, value in entry.items() if name != self.context.entries.key)
            fields.extend(self._field(Slot(position, title, name), value) for name, value in members)
        return fields

    def _field(self, slot: Slot, value: Any) -> Field:
        if isinstance(value, str):
            return self._text_field(slot, value)
        if isinstance(value, list):
            return self._list_field(slot, value)
        return Field(slot, value, value, Held.EMPTY if value is None else Held.ALIEN)

    def _text_field(self, slot: Slot, text: str) -> Field:
        field = Field(slot, text, text, Held.EMPTY)
        if not text.strip():
            return field
        answer = self.references.get(slot)
        if answer is None or answer.outlook is Outlook.ABSENT:
            found, dangles = unresolved(self.name, self.record.id, slot, text, self.context, self.repairs, self.within)
            field.held = Held.DANGLING if dangles else Held.ALIEN
            field.complaints = () if found is None else (found,)
            left = found is not None and found.code in _OF_PATHS
            field.unresolved = (text,) if field.held is Held.DANGLING or left else ()
            return field
        field.held = Held.GOOD
        if answer.outlook is Outlook.NEVER:
            never = findings.make(findings.NEVER_UPLOADED, self.name, self.record.id, place=slot.place, text=text)
            field.complaints = (never,)
        if answer.outlook is not Outlook.THERE:
            field.unresolved = (text,)
        elif not answer.exact:
            field.new = self.context.bucket.uri(answer.key)
            field.needs = (answer,)
            field.reason = reason_of(answer, text)
        return field

    def _list_field(self, slot: Slot, value: list[Any]) -> Field:
        if not is_flat(value):  # each of its texts is corrected by itself
            return Field(slot, value, value, Held.ALIEN)
        parts = [
            self._item(msgspec.structs.replace(slot, item=item), text) if isinstance(text, str) else None
            for item, text in enumerate(value)
        ]
        known = [part for part in parts if part is not None]
        field = Field(slot, value, value, Held.EMPTY)
        field.complaints = tuple(finding for part in known for finding in part.complaints)
        field.unresolved = tuple(text for part in known for text in part.unresolved)
        field.needs = tuple(need for part in known for need in part.needs)
        if field.needs:
            field.new = [old if part is None else part.new for old, part in zip(value, parts, strict=True)]
            field.reason = next(part.reason for part in known if part.needs)
        field.held = _held_by(parts)
        field.held_without = _held_by([part for part in parts if part is None or not part.unresolved])
        return field

    def _item(self, slot: Slot, text: str) -> Field:
        found = self._text_field(slot, text)
        answer = next(iter(found.needs), None)
        if self.narrows and isinstance(answer, Answer) and not self.context.takes(answer.key, answer.asset_type):
            found.new, found.needs = text, ()
        return found


def _held_by(parts: Sequence[Field | None]) -> Held:
    if any(part is None or part.held is Held.ALIEN for part in parts):
        return Held.ALIEN
    if any(part is not None and part.held is Held.GOOD for part in parts):
        return Held.GOOD
    return Held.DANGLING if parts else Held.EMPTY
