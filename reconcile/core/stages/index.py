"""The index of a record, for queries: a sorted array of the asset types that it names and the bucket has.

Each type is a separate change with the object that it needs, so that a failed upload holds back only its own type.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from reconcile.core.changes import Code, Finding, Need, Reason, SetField, change_id
from reconcile.core.context import Context
from reconcile.core.findings import make
from reconcile.core.rows import Answer, Claim, Document, Outlook
from reconcile.core.rules import AssetMap
from reconcile.core.stages.fields import Field, References

Sources: TypeAlias = Mapping[str, Answer | Claim]
"""Asset types, each with an asset that the record will name."""


def by_type(needs: Iterable[Answer | Claim], context: Context) -> Sources:
    """Returns the in-scope types of these assets, each with its first key; a key that the record already names exactly
    comes first."""
    found: dict[str, Answer | Claim] = {}
    in_scope = (each for each in needs if not context.scope.paths or context.takes_key(each.key))
    for source in sorted(in_scope, key=_preference, reverse=True):
        if source.asset_type is not None:
            found[source.asset_type] = source
    return found


def _preference(source: Answer | Claim) -> tuple[bool, str]:
    return (not (isinstance(source, Answer) and source.exact), source.key)


def named_after(fields: Iterable[Field], references: References, context: Context) -> Iterator[Answer | Claim]:
    """Yields the assets that a record names, and the bucket has, once these fields are set."""
    answers = [each for each in references.values() if each.outlook is Outlook.THERE]
    there = {each.key: each for each in answers}
    for field in fields:
        own = {source.key: source for source in field.needs}
        for value in field.new if isinstance(field.new, list) else (field.new,):
            key = context.bucket.key(value) if isinstance(value, str) else None
            source = None if key is None else own.get(key) or there.get(key)
            if source is not None:
                yield source
    yield from (each for each in answers if each.slot.at and not each.slot.is_name)


def unsure_types(references: References, context: Context) -> frozenset[str]:
    """Returns the types of assets that the record names but whose presence in the bucket is not known yet."""
    unsure = (each for each in references.values() if each.outlook in (Outlook.BLOCKED, Outlook.UNKNOWN))
    return frozenset(found for each in unsure if (found := each.asset_type or context.type_of(each.key)) is not None)


def index_changes(
    record: Document, present: Sources, unsure: frozenset[str], context: Context
) -> Iterator[SetField | Finding]:
    """Yields the changes that correct a record's index within the scope, one for each type to be added or removed.

    A value that is not one of our indexes is left alone.
    """
    name, held = context.document(record.id), record.fields.get(context.index)
    if not is_index(held, context.asset_map):
        yield make(Code.FOREIGN_INDEX, name, record.id, place=context.index)
        return
    listed = held or []
    for asset_type in sorted({*present, *listed}):
        has = asset_type in present
        if has is (asset_type in listed) or not context.scope.takes_type(asset_type):
            continue
        if not has and (context.scope.paths or context.asset_map.type_called(asset_type) in unsure):
            continue
        source = present.get(asset_type)
        yield SetField(
            at=(context.index,),
            id=change_id("set_field", name, context.index, asset_type, has),
            key="" if source is None else source.key,
            char_id=record.id,
            asset_type=asset_type,
            reason=Reason.INDEX,
            document=name,
            entry=None,
            field=context.index,
            old=held,
            new=sorted({*listed}.union((asset_type,)) if has else {*listed}.difference((asset_type,))),
            needs=() if source is None else (Need(source.key, source.crc32c),),
            update_time=record.update_time,
        )


def is_index(value: Any, asset_map: AssetMap) -> bool:
    """Whether a record's field holds one of our indexes, or nothing: a list of types, or former names of types."""
    if value is None:
        return True
    ours = {name for rule in asset_map.rules for name in (rule.type, *rule.aliases)}
    return isinstance(value, list) and all(isinstance(each, str) and each in ours for each in value)
