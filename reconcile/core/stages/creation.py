"""A new record, made of what the pipeline's own database holds: no path, and no URI that leads to nothing."""

from __future__ import annotations

import copy
import math
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from reconcile.core import findings
from reconcile.core.changes import CreateRecord, Finding, Reason, change_id
from reconcile.core.context import Context
from reconcile.core.paths import Kind, looks_like_path, meaning
from reconcile.core.rows import Answer, Claim, Document, Outlook, Unsettled, Unwanted
from reconcile.core.stages.explode import entry_key
from reconcile.core.stages.record import Field, Record, References, malformed, needs_of

CreationOutput: TypeAlias = CreateRecord | Finding | Unsettled | Unwanted


def create(
    local: Document, references: References, claims: Sequence[Claim], context: Context
) -> Iterator[CreationOutput]:
    """A record from the local database's fields: local paths that resolve as URIs, the others left out."""
    shell = Document(local.id, local.fields, "")
    maker = Record(shell, references, local, references, claims, context)
    complaints = [
        *malformed(maker.name, local.id, maker.entries, context),
        *_titled_by_uri(maker, context),
        *_with_odd_number(maker),
    ]
    fields = maker.read_fields()
    if complaints:
        yield from complaints
        yield from (Unsettled(claim.key) for claim in claims)
        return
    if any(each.outlook is Outlook.UNKNOWN and not context.remote.covers(each.key) for each in references.all()):
        # What is left out of a new record for want of permission is not put in later.
        yield from (Unsettled(claim.key) for claim in claims)
        return
    for field in fields:
        field.leave_out()
    yield from maker.settle_claims(fields, (each for each in references.all() if each.outlook is Outlook.THERE))
    data = copy.deepcopy(dict(local.fields))
    entries = context.entries.of(data) or []
    context.entries.put(data, entries)
    resolved = {each.key: each for each in references.all() if each.outlook is Outlook.THERE}
    needs: list[Answer | Claim] = [each for each in resolved.values() if each.exact]
    for field in fields:
        yield from field.complaints
        needs.extend(field.needs)
        _put(entries, field, context)
    flat = {id(entry) for entry in entries if isinstance(entry, dict)}
    data, dropped = _without_paths(data, resolved, context, flat)
    yield from (findings.left_out(context.document(local.id), local.id, text) for text in dropped)
    listed = needs_of(needs)
    document = context.document(local.id)
    yield CreateRecord(
        id=change_id("create_record", document, data),
        char_id=local.id,
        reason=Reason.MISSING_RECORD,
        document=document,
        fields=data,
        needs=listed,
    )


def _titled_by_uri(maker: Record, context: Context) -> Iterator[Finding]:
    """A title is copied as it is, so it may not be what a record has to be right about."""
    entries = maker.entries if isinstance(maker.entries, list) else []
    titles = (entry_key(entry, context) for entry in entries if isinstance(entry, dict))
    for title in titles:
        if title is not None and context.bucket.key(title.strip()) is not None:
            why = f"a map has the URI {title!r} for its {context.entry_key}"
            yield findings.malformed_record(maker.name, maker.record.id, why)


def _with_odd_number(maker: Record) -> Iterator[Finding]:
    """NaN and the infinities have no place in a plan, and longer integers none in a record."""
    for name, value in maker.record.fields.items():
        odd = next(_odd_numbers(value), None)
        if odd is not None:
            why = f"`{name}` in the local database holds {odd}, which no record can"
            yield findings.malformed_record(maker.name, maker.record.id, why)


def _odd_numbers(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _odd_numbers(item)
    elif isinstance(value, float) and not math.isfinite(value):
        yield {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        yield "an integer of more than 64 bits"


_GONE = object()


def _without_paths(
    value: Any, resolved: Mapping[str, Answer], context: Context, flat: Container[int]
) -> tuple[Any, list[str]]:
    """A copy without local paths outside the fields of the maps (those, ``flat``, are settled already), and the paths
    that were dropped. One that a field resolves too becomes its URI."""
    if isinstance(value, str):
        return _path_to_uri(value, resolved, context)
    if not isinstance(value, dict | list):
        return value, []
    dropped: list[str] = []
    kept: list[tuple[Any, Any]] = []
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        settled = id(value) in flat and not isinstance(item, dict)
        new, gone = (item, []) if settled else _without_paths(item, resolved, context, flat)
        dropped += gone
        if new is not _GONE:
            kept.append((key, new))
    return (dict(kept) if isinstance(value, dict) else [item for _, item in kept]), dropped


def _path_to_uri(text: str, resolved: Mapping[str, Answer], context: Context) -> tuple[Any, list[str]]:
    if not looks_like_path(text):
        return text, []
    own = context.bucket.key(text.strip())
    if own is not None:
        return (context.bucket.uri(own), []) if own in resolved else (_GONE, [text])
    found = meaning(text, context.roots)
    if found.kind is Kind.GS or found.kind is Kind.URL:
        return text, []
    keys = [context.asset_map.key_for(target.path, context.known_ids) for target in found.targets if target.sure]
    key = next((key for key in keys if key in resolved), None)
    return (context.bucket.uri(key), []) if key is not None else (_GONE, [text])


def _put(entries: list[Any], field: Field, context: Context) -> None:
    if field.position is None and field.new is None:
        return  # claimed, but nothing was chosen
    if field.position is None:
        entry = next((each for each in entries if each.get(context.entry_key) == field.entry), None)
        if entry is None:
            entry = {context.entry_key: field.entry}
            entries.append(entry)
    else:
        entry = entries[field.position]
    if field.new is None and (field.unresolved or field.name not in entry):
        entry.pop(field.name, None)
    else:
        entry[field.name] = field.new
