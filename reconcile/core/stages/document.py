"""Stage 3: one document, its answers and its claims → the changes of one record, or findings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from reconcile.core.catalogue import Mark
from reconcile.core.changes import Code, CreateRecord, Finding, RewriteLocalDb, SetField
from reconcile.core.context import Context
from reconcile.core.document_rules import id_problem, size_of, size_problem
from reconcile.core.findings import BAD_ID, make
from reconcile.core.names import is_unicode
from reconcile.core.rows import Answer, Claim, Document, Group, Outlook, Row, Stream, World
from reconcile.core.stages.creation import create
from reconcile.core.stages.fields import References, best
from reconcile.core.stages.outputs import as_rows
from reconcile.core.stages.record import Record, RecordOutput, unsettled

DocumentOutput: TypeAlias = SetField | CreateRecord | RewriteLocalDb | Finding | Mark


def document_stage(char_id: str, group: Group, context: Context) -> Iterator[Row]:
    record, local = (next(iter(group.get(each, ())), None) for each in (Stream.RECORD, Stream.LOCAL_RECORD))
    answers, claims = group.get(Stream.ANSWER, ()), group.get(Stream.CLAIM, ())
    return as_rows(by_document(char_id, record, local, answers, claims, context))


def by_document(
    char_id: str,
    record: Document | None,
    local: Document | None,
    answers: Sequence[Answer],
    claims: Sequence[Claim],
    context: Context,
) -> Iterator[DocumentOutput]:
    """Yields all changes and findings for one character's record and its twin in the pipeline's own database.

    Nothing if neither names or receives an asset in scope.
    """
    named: Sequence[Answer | Claim] = (*answers, *claims)
    if context.scope.paths and not any(context.takes_key(each.key) for each in named):
        return
    for document in (record, local):
        if document is not None and not is_unicode(document.fields):
            yield make(
                Code.MALFORMED_RECORD, context.document(char_id), char_id, why="it holds text that is not valid Unicode"
            )
            yield from unsettled(claims)
            return
    in_records = best(answer for answer in answers if answer.world is World.RECORDS)
    in_local = best(answer for answer in answers if answer.world is World.LOCAL_DB and local is not None)
    claims = _with_local_claims(char_id, in_local, claims, context)
    if record is not None:
        outputs = Record(record, in_records, in_local, claims, context).outputs()
        yield from _that_fit(record, outputs, context)
    elif not context.records.covers(char_id):
        yield from unsettled(claims)
    elif local is not None and context.create_records and id_problem(char_id) is None:
        if context.scope.takes_type(None):
            yield from create(local, in_local, claims, context)
        else:
            yield from unsettled(claims)
    elif local is not None or claims:
        yield _not_created(char_id, local, context)
        yield from unsettled(claims)
    if local is not None and context.rewrite_local_db:
        yield from _rewrites(local, in_local, context)


def _not_created(char_id: str, local: Document | None, context: Context) -> Finding:
    problem = id_problem(char_id)
    if problem is not None:
        why = f"this cannot be a record's id: {problem}"
        return make(BAD_ID, context.document(char_id), char_id, why=why)
    why = "only its files name this character" if local is None else "policy.create_records is off"
    return make(Code.MISSING_RECORD, context.document(char_id), char_id, why=why)


def _that_fit(record: Document, outputs: Iterable[RecordOutput], context: Context) -> Iterator[RecordOutput]:
    """Yields the outputs, with a finding in place of changes that would exceed the store's size limit for a record."""
    listed = list(outputs)
    changes = [each for each in listed if isinstance(each, SetField)]
    if changes:
        grown = sum(size_of(change.new) - size_of(change.old) for change in changes)
        name = context.document(record.id)
        why = size_problem(name, size_of(record.fields) + grown)
        if why is not None:
            yield make(Code.MALFORMED_RECORD, name, record.id, why=why)
            yield from unsettled(need for change in changes for need in change.needs)
            listed = [each for each in listed if not isinstance(each, SetField)]
    yield from listed


def _with_local_claims(char_id: str, references: References, claims: Sequence[Claim], context: Context) -> list[Claim]:
    """Returns the claims, and one for each file that the pipeline's own database names for a field."""
    own = list(claims)
    have = {(claim.entry, claim.field, claim.key) for claim in own}
    for answer in references.values():
        slot = answer.slot
        place = (slot.entry, slot.field, answer.key)
        rule = None if answer.asset_type is None else context.asset_map.rule(answer.asset_type)
        if slot.at or slot.entry is None or rule is None or rule.field != slot.field:
            continue
        if place in have or answer.outlook is Outlook.ABSENT:
            continue
        own = [claim for claim in own if claim.key != answer.key or claim.field != slot.field]
        facts = (answer.key, rule.type, rule.many, answer.outlook, answer.crc32c)
        own.append(Claim(char_id, slot.entry, slot.field, *facts, local=True, modified=0))
    return own


def _rewrites(local: Document, references: References, context: Context) -> Iterator[RewriteLocalDb]:
    database = Record(local, references, {}, (), context)
    for found in (*database.read_fields(), *database.elsewhere()):
        if not isinstance(found, Finding):
            changes = database.changes(found, "rewrite_local_db", local.own_id)
            yield from (RewriteLocalDb(**change) for change in changes)
