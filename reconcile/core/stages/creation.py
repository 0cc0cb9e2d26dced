"""Plans a new record from the pipeline's own database, without local paths and without URIs that lead to nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import msgspec

from reconcile.core.catalogue import Mark
from reconcile.core.changes import Code, CreateRecord, Finding, Reason, SetField, change_id
from reconcile.core.context import Context
from reconcile.core.document_rules import document_problem
from reconcile.core.findings import LEFT_OUT, LEFT_OUT_WITHIN, make
from reconcile.core.mentions import Mention
from reconcile.core.paths import PathKind, bare, looks_like_path, meaning
from reconcile.core.rows import Answer, Claim, Document, Outlook, Slot
from reconcile.core.stages.elsewhere import held_in, is_ours, texts_elsewhere
from reconcile.core.stages.fields import Field, Held, References
from reconcile.core.stages.index import by_type, index_changes
from reconcile.core.stages.record import Record, malformed, needs_of, unsettled
from reconcile.core.way import GONE, Trail, place_at, remade

CreationOutput: TypeAlias = CreateRecord | SetField | Finding | Mark


class _NewRecord(Record):
    """The local database's document, as the source of a record to be created."""

    within = LEFT_OUT_WITHIN
    narrows = False


def create(
    local: Document, references: References, claims: Sequence[Claim], context: Context
) -> Iterator[CreationOutput]:
    """Yields the record to create: local paths that resolve become URIs, the others are left out.

    If a fault keeps it from being created, or the store would refuse it, findings are yielded instead.
    """
    maker = _NewRecord(local, references, references, claims, context)
    settled = {(each.slot.trail, each.slot.is_name): each for each in _settled(maker, references)}
    complaints = [
        *malformed(maker.name, local.id, maker.entries, context),
        *_badly_titled(maker, settled.values()),
        *_with_odd_number(maker),
    ]
    fields = maker.read_fields()
    # A new record does not later receive what was left out because it could not be read.
    unknown = (each.key for each in references.values() if each.outlook is Outlook.UNKNOWN)
    if complaints or not all(map(context.remote.covers, unknown)):
        yield from complaints
        yield from unsettled(claims)
        return
    for field in fields:
        field.leave_out()
    yield from maker.settle_claims(fields, (each for each in references.values() if each.outlook is Outlook.THERE))
    needs: list[Answer | Claim] = [each for each in references.values() if each.exact and each.outlook is Outlook.THERE]
    yield from (_left_out(maker, each) for each in settled.values() if each.answer is None)
    needs += [each.answer for each in settled.values() if each.answer is not None]

    def settle(trail: Trail, value: Any) -> Any:
        found = settled.get((trail, True)) or settled.get((trail, False))
        if found is None:
            return value
        return GONE if found.answer is None else context.bucket.uri(found.answer.key)

    data = remade(local.fields, settle)
    entries = context.entries.of(data) or []
    context.entries.put(data, entries)
    for field in fields:
        yield from field.complaints
        needs.extend(field.needs)
        _put(entries, field, context)
    listed = needs_of(needs)
    if not any(context.takes_key(need.key) for need in listed) and context.scope.paths:
        return
    document = context.document(local.id)
    why = document_problem(document, data)
    if why is not None:
        yield make(Code.MISSING_RECORD, document, local.id, why=f"it cannot be made: {why}")
        yield from unsettled(claims)
        return
    yield CreateRecord(
        id=change_id("create_record", document, data),
        char_id=local.id,
        reason=Reason.MISSING_RECORD,
        document=document,
        fields=data,
        needs=listed,
    )
    if context.index:
        # Each type waits only for its own object, so none of them can be part of the record itself.
        named = [each for each in needs if not (isinstance(each, Answer) and each.slot.is_name)]
        yield from index_changes(Document(local.id, data, ""), by_type(named, context), frozenset(), context)


def _badly_titled(maker: Record, settled: Iterable[_Settled]) -> Iterator[Finding]:
    """Yields findings about titles that are a path or a URI of ours: they would be copied as they are, and stay
    wrong."""
    context = maker.context
    for title in maker.titles:
        if title is not None and context.bucket.key(bare(title)) is not None:
            why = f"a map has the URI {title!r} for its {context.entries.key}"
            yield make(Code.MALFORMED_RECORD, maker.name, maker.record.id, why=why)
    for each in settled:
        is_title = each.slot.is_name and each.slot.at[-1] != each.text
        if is_title and context.bucket.key(bare(each.text)) is None:
            place = place_at(each.slot.at)
            yield make(Code.LOCAL_PATH_ELSEWHERE, maker.name, maker.record.id, place=place, text=each.text)


def _with_odd_number(maker: Record) -> Iterator[Finding]:
    """Yields findings about numbers that no plan (NaN, infinities) or no record (integers above 64 bits) can hold."""
    for name, value in maker.record.fields.items():
        odd = next(_odd_numbers(value), None)
        if odd is not None:
            why = f"`{name}` in the local database holds {odd}, which no record can"
            yield make(Code.MALFORMED_RECORD, maker.name, maker.record.id, why=why)


def _odd_numbers(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _odd_numbers(item)
    elif isinstance(value, float) and not math.isfinite(value):
        yield {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        yield "an integer of more than 64 bits"


class _Settled(msgspec.Struct, frozen=True):
    """A text with the answer that provides its URI; None if the text is left out."""

    slot: Slot
    text: str
    answer: Answer | None
    held: Mention | None = None


def _left_out(maker: Record, settled: _Settled) -> Finding:
    if settled.held is None:
        return make(LEFT_OUT, maker.name, maker.record.id, text=settled.text)
    values = {"place": place_at(settled.slot.at), "held": settled.held.value, "text": settled.text}
    return make(LEFT_OUT_WITHIN, maker.name, maker.record.id, **values)


def _settled(maker: Record, references: References) -> Iterator[_Settled]:
    """Yields the treatment of each text outside the plain fields that is a path or a URI of ours.

    A path that leads to nothing is left out, and so is the value that it names.
    """
    for slot, text in texts_elsewhere(maker.record.fields, maker.context):
        answer = references.get(slot)
        if answer is None or answer.outlook is not Outlook.THERE:
            held = held_in(text, maker.context, maker.repairs)
            if answer is not None or held is not None or _is_path(slot, text, maker):
                yield _Settled(slot, text, None, held)
        elif not answer.exact:
            yield _Settled(slot, text, None if slot.is_name else answer)


def _is_path(slot: Slot, text: str, maker: Record) -> bool:
    context = maker.context
    if context.bucket.key(bare(text)) is not None:
        return True
    found = meaning(text, context.roots, maker.repairs)
    if found.kind is PathKind.GS or found.kind is PathKind.URL:
        return False
    return is_ours(text, found, context) or (looks_like_path(text) and not slot.is_name)


def _put(entries: list[Any], field: Field, context: Context) -> None:
    if field.slot.position is None and field.new is None:
        return  # claimed, but nothing was chosen
    if field.held is Held.ALIEN and not field.needs and not field.unresolved:
        return  # its texts were settled one by one
    if field.slot.position is None:
        entry = next((each for each in entries if each.get(context.entries.key) == field.slot.entry), None)
        if entry is None:
            entry = {context.entries.key: field.slot.entry}
            entries.append(entry)
    else:
        entry = entries[field.slot.position]
    if field.new is None and (field.unresolved or field.slot.field not in entry):
        entry.pop(field.slot.field, None)
    else:
        entry[field.slot.field] = field.new
