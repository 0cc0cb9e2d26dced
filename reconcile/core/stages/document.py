"""Stage 3: one document, its answers and its claims → the changes of one record, or findings."""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cached_property
from typing import Any, TypeAlias

import msgspec

from reconcile.core import findings
from reconcile.core.changes import Code, CreateRecord, Finding, Need, Reason, RewriteLocalDb, SetField, change_id
from reconcile.core.context import Context
from reconcile.core.decide import Choice, choose
from reconcile.core.names import is_unicode
from reconcile.core.paths import Kind, looks_like_path, meaning
from reconcile.core.pattern import CHAR_ID
from reconcile.core.rows import Answer, Claim, Document, Outlook, Slot, Unsettled, Unwanted, World
from reconcile.core.rules import Many
from reconcile.core.stages.explode import entry_key

DocumentOutput: TypeAlias = SetField | CreateRecord | RewriteLocalDb | Finding | Unsettled | Unwanted

_FILE_NAME = re.compile(r"\.[A-Za-z0-9]{1,5}$")


def by_document(
    char_id: str,
    record: Document | None,
    local: Document | None,
    answers: Sequence[Answer],
    claims: Sequence[Claim],
    context: Context,
) -> Iterator[DocumentOutput]:
    """Everything that follows for one character's record, and for its twin in the pipeline's own database."""
    for document in (record, local):
        if document is not None and not is_unicode(document.fields):
            yield findings.malformed_record(
                context.document(char_id), char_id, "it holds text that is not valid Unicode"
            )
            yield from (Unsettled(claim.key) for claim in claims)
            return
    in_records = _References([answer for answer in answers if answer.world is World.RECORDS])
    in_local = _References([answer for answer in answers if answer.world is World.LOCAL_DB])
    claims = _with_local_claims(char_id, local, in_local, claims, context)
    if record is not None:
        yield from _Record(record, in_records, local, in_local, claims, context).outputs()
    elif not context.records.covers(char_id):
        yield from (Unsettled(claim.key) for claim in claims)
    elif local is not None and context.create_records and _can_be_id(char_id):
        if context.scope.takes_type(None):
            yield from _create(local, in_local, claims, context)
        else:
            yield from (Unsettled(claim.key) for claim in claims)
    elif local is not None or claims:
        why = "its files are only in the folder" if local is None else _why_not_created(char_id)
        yield findings.missing_record(context.document(char_id), char_id, why)
        yield from (Unsettled(claim.key) for claim in claims)
    if local is not None and context.rewrite_local_db:
        yield from _rewrites(local, in_local, context)


def _can_be_id(char_id: str) -> bool:
    reserved = char_id in (".", "..") or (char_id.startswith("__") and char_id.endswith("__"))
    return "/" not in char_id and not reserved


def _why_not_created(char_id: str) -> str:
    return "policy.create_records is off" if _can_be_id(char_id) else "this cannot be a record's id"


class _References:
    """The best answer to each reference of one document."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        best: dict[Slot, Answer] = {}
        for answer in sorted(answers, key=_preference):
            best.setdefault(answer.slot, answer)
        self._best = best

    def of(self, slot: Slot) -> Answer | None:
        return self._best.get(slot)

    def all(self) -> Iterator[Answer]:
        yield from self._best.values()


def _preference(answer: Answer) -> tuple[bool, int, int, str, int, str, int]:
    """What exists goes before what does not; exact spelling before another; the longest tail first."""
    slot = answer.slot
    absent = answer.outlook is Outlook.ABSENT
    item = -1 if slot.item is None else slot.item
    return (absent, answer.spelling, answer.rank, answer.key, slot.position, slot.field, item)


class _Held(Enum):
    """What a field holds, as far as a claim on it is concerned."""

    EMPTY = "empty"
    GOOD = "good"
    DANGLING = "dangling"
    ALIEN = "alien"


class _Field(msgspec.Struct):
    """One field of one map, while it is judged."""

    position: int | None
    entry: str | None
    name: str
    old: Any
    new: Any
    held: _Held
    reason: Reason = Reason.LOCAL_PATH
    needs: tuple[Answer | Claim, ...] = ()
    complaints: tuple[Finding, ...] = ()
    unresolved: tuple[str, ...] = ()
    held_without: _Held = _Held.EMPTY

    def leave_out(self) -> None:
        """Makes it the field of a new record, which holds no path or URI that leads to nothing."""
        if self.unresolved:
            is_list = isinstance(self.new, list)
            self.new = [item for item in self.new if item not in self.unresolved] if is_list else None
            self.old, self.held = self.new, self.held_without


class _Record:
    """One record that exists."""

    def __init__(
        self,
        record: Document,
        references: _References,
        local: Document | None,
        local_references: _References,
        claims: Sequence[Claim],
        context: Context,
    ) -> None:
        self.record = record
        self.references = references
        self.claims = claims
        self.context = context
        self.name = context.document(record.id)
        self.local_names = _named_fields(local, local_references)
        self.entries = record.fields.get(context.entries)

    def outputs(self) -> Iterator[DocumentOutput]:
        malformed = list(_malformed(self.name, self.record.id, self.entries, self.context))
        yield from malformed
        fields = self.read_fields()
        if malformed:
            yield from (Unsettled(claim.key) for claim in self.claims)
        else:
            yield from self.settle_claims(fields, self.references.all())
        for field in fields:
            yield from field.complaints
            if field.needs:
                yield from self._set(field)

    def read_fields(self) -> list[_Field]:
        entries = self.entries if isinstance(self.entries, list) else []
        fields: list[_Field] = []
        for position, entry in enumerate(entries):
            if isinstance(entry, dict):
                title = entry_key(entry, self.context)
                fields.extend(
                    self._field(position, title, name, value)
                    for name, value in entry.items()
                    if name != self.context.entry_key
                )
        return fields

    def _field(self, position: int, title: str | None, name: str, value: Any) -> _Field:
        if isinstance(value, str):
            return self._text_field(Slot(position, title, name), value)
        if isinstance(value, list):
            return self._list_field(position, title, name, value)
        held = _Held.EMPTY if value is None else _Held.ALIEN
        return _Field(position, title, name, value, value, held)

    def _text_field(self, slot: Slot, text: str) -> _Field:
        field = _Field(slot.position, slot.entry, slot.field, text, text, _Held.EMPTY)
        if not text.strip():
            return field
        answer = self.references.of(slot)
        if answer is None or answer.outlook is Outlook.ABSENT:
            field.held, field.complaints = self._unresolved(slot, text)
            outside = any(finding.code is Code.OUTSIDE_ROOT for finding in field.complaints)
            field.unresolved = (text,) if field.held is _Held.DANGLING or outside else ()
            return field
        field.held = _Held.GOOD
        if answer.outlook is Outlook.NEVER:
            place = _place(slot, self.context)
            field.complaints = (findings.never_uploaded(self.name, self.record.id, place, text),)
        if answer.outlook is not Outlook.THERE:
            field.unresolved = (text,)
        elif not answer.exact:
            field.new = self.context.bucket.uri(answer.key)
            field.needs = (answer,)
            field.reason = _reason(answer, text)
        return field

    def _list_field(self, position: int, title: str | None, name: str, value: list[Any]) -> _Field:
        if not _is_plain(value):  # a plan cannot hold it
            return _Field(position, title, name, value, value, _Held.ALIEN)
        parts = [
            self._text_field(Slot(position, title, name, item), text) if isinstance(text, str) else None
            for item, text in enumerate(value)
        ]
        known = [part for part in parts if part is not None]
        field = _Field(position, title, name, value, value, _Held.EMPTY)
        field.complaints = tuple(finding for part in known for finding in part.complaints)
        field.unresolved = tuple(text for part in known for text in part.unresolved)
        field.needs = tuple(need for part in known for need in part.needs)
        if field.needs:
            field.new = [old if part is None else part.new for old, part in zip(value, parts, strict=True)]
            field.reason = next(part.reason for part in known if part.needs)
        field.held = _held_by(parts)
        field.held_without = _held_by([part for part in parts if part is None or not part.unresolved])
        return field

    def _unresolved(self, slot: Slot, text: str) -> tuple[_Held, tuple[Finding, ...]]:
        """What to say of a text that leads to nothing."""
        context, char_id = self.context, self.record.id
        place = _place(slot, context)
        ruled = slot.field in context.asset_map.fields
        if context.bucket.key(text.strip()) is not None:
            return _Held.DANGLING, (findings.missing_asset(self.name, char_id, place, text),)
        if not ruled and not looks_like_path(text):
            return _Held.ALIEN, ()
        found = meaning(text, context.roots)
        if found.kind is Kind.GS or found.kind is Kind.URL:
            noted = ruled or found.kind is Kind.GS
            return _Held.ALIEN, (findings.foreign_uri(self.name, char_id, place, text),) if noted else ()
        ours = any(target.sure or _is_taken(target.path, context) for target in found.targets)
        if found.kind is Kind.DEVICE or found.climbs_out or (found.kind is Kind.ABSOLUTE and not ours):
            return _Held.ALIEN, (findings.outside_root(self.name, char_id, place, text),)
        if not ruled and not ours:
            return _Held.ALIEN, ()
        if found.kind is Kind.RELATIVE and not ours and not _FILE_NAME.search(text.strip()):
            # A note such as "ask Ken" names no file: it is somebody's text, and stays.
            return _Held.ALIEN, (findings.missing_asset(self.name, char_id, place, text),)
        return _Held.DANGLING, (findings.missing_asset(self.name, char_id, place, text),)

    def settle_claims(self, fields: list[_Field], answers: Iterable[Answer]) -> Iterator[DocumentOutput]:
        """Gives each claimed field that holds nothing good the file that the evidence chooses; what ``answers`` says
        that the record names has its place."""
        named = {(answer.slot.field, answer.key) for answer in answers}
        places: dict[tuple[str, str], list[Claim]] = {}
        for claim in self.claims:
            if (claim.field, claim.key) not in named:
                places.setdefault((claim.entry, claim.field), []).append(claim)
        by_place = {(field.entry, field.name): field for field in fields}
        for (entry, name), claims in sorted(places.items()):
            field = by_place.get((entry, name))
            if field is None:
                field = _Field(self._position_of(entry), entry, name, None, None, _Held.EMPTY)
                fields.append(field)
            yield from self._settle(field, sorted(claims, key=lambda claim: claim.key))

    def _position_of(self, entry: str) -> int | None:
        entries = self.entries if isinstance(self.entries, list) else []
        found = (at for at, each in enumerate(entries) if isinstance(each, dict))
        return next((at for at in found if entry_key(entries[at], self.context) == entry), None)

    def _settle(self, field: _Field, claims: list[Claim]) -> Iterator[DocumentOutput]:
        rules = self.context.asset_map.rules
        wishes = {rules[claim.rule].many for claim in claims}
        # Files of several rules for one field: only what all of the rules say is sure.
        many = wishes.pop() if len(wishes) == 1 else Many.REPORT
        other_shape = bool(field.old) and isinstance(field.old, list) and many is not Many.LIST
        if field.held is _Held.ALIEN or (other_shape and field.held is not _Held.GOOD):
            yield from (Unsettled(claim.key) for claim in claims)
        elif many is Many.LIST and isinstance(field.old, list):
            _extend_list(field, [claim for claim in claims if claim.outlook is Outlook.THERE], self.context)
        elif field.held is _Held.GOOD:
            yield from self._lost(claims)
        else:
            choice = self._choose(field, claims, many)
            if not choice.chosen:
                yield from self._undecided(field, claims, choice)
            else:
                _fill(field, choice.chosen, many, self.context)
                yield from self._lost([claim for claim in claims if claim not in choice.chosen])

    def _choose(self, field: _Field, claims: list[Claim], many: Many) -> Choice:
        evidence = self.local_names.get((field.entry, field.name))
        if many is Many.LIST:
            return Choice(tuple(claim for claim in claims if claim.outlook is Outlook.THERE))
        if self._more_may_be_hidden(field.name) and evidence not in {claim.key for claim in claims}:
            return Choice()
        return choose(claims, evidence, many)

    def _more_may_be_hidden(self, name: str) -> bool:
        """Whether a folder that could not be read may hold another file for this field."""
        rules = (rule for rule in self.context.asset_map.rules if rule.field == name)
        reach = [rule.path.prefix({CHAR_ID: self.record.id}) for rule in rules]
        failed = self.context.local.failed
        return any(folder.startswith(prefix) or prefix.startswith(folder) for folder in failed for prefix in reach)

    def _undecided(self, field: _Field, claims: list[Claim], choice: Choice) -> Iterator[DocumentOutput]:
        yield from (Unsettled(claim.key) for claim in claims)
        if choice.ambiguous:
            place = f"{self.context.entries}[{field.entry}].{field.name}"
            keys = tuple(claim.key for claim in claims)
            yield findings.ambiguous_field(self.name, self.record.id, place, keys)

    def identity(self, field: _Field) -> tuple[str | int | None, int, str]:
        """The field's place, whatever the order of maps with other keys."""
        if field.entry is None or field.position is None:
            return (field.position if field.entry is None else field.entry, 0, field.name)
        alike = self._number_alike[field.position]
        return (field.entry, alike, field.name)

    @cached_property
    def _number_alike(self) -> list[int]:
        """For each map, how many before it have its key."""
        seen: Counter[str | None] = Counter()
        numbers: list[int] = []
        for entry in self.entries if isinstance(self.entries, list) else []:
            title = entry_key(entry, self.context) if isinstance(entry, dict) else None
            numbers.append(seen[title])
            seen[title] += 1
        return numbers

    def _lost(self, claims: Sequence[Claim]) -> Iterator[Finding | Unwanted]:
        """An object that only the bucket has and that no field took is wanted by nobody."""
        for claim in claims:
            if not claim.local and claim.outlook is Outlook.THERE:
                yield findings.orphan_object(self.context.bucket.uri(claim.key), self.record.id)
                yield Unwanted(claim.key)

    def _set(self, field: _Field) -> Iterator[SetField]:
        lead = field.needs[0]
        asset_type = _asset_type(lead, self.context)
        if not self.context.scope.takes_type(asset_type):
            return
        yield SetField(
            id=change_id("set_field", self.name, *self.identity(field), field.old, field.new),
            key=lead.key,
            char_id=self.record.id,
            asset_type=asset_type,
            reason=field.reason,
            document=self.name,
            entry=field.entry,
            field=field.name,
            old=field.old,
            new=field.new,
            needs=_needs(field.needs),
            position=field.position,
            update_time=self.record.update_time,
        )


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    return value is None or isinstance(value, str | int | float)


def _held_by(parts: Sequence[_Field | None]) -> _Held:
    """What a list holds, by its items."""
    if any(part is None or part.held is _Held.ALIEN for part in parts):
        return _Held.ALIEN
    if any(part is not None and part.held is _Held.GOOD for part in parts):
        return _Held.GOOD
    return _Held.DANGLING if parts else _Held.EMPTY


def _fill(field: _Field, chosen: Sequence[Claim], many: Many, context: Context) -> None:
    uris = [context.bucket.uri(claim.key) for claim in chosen]
    field.reason = Reason.DANGLING if field.held is _Held.DANGLING else Reason.UNTRACKED
    field.new = sorted(uris) if many is Many.LIST else uris[0]
    field.needs = tuple(chosen)
    field.complaints = ()


def _extend_list(field: _Field, claims: Sequence[Claim], context: Context) -> None:
    if not claims:
        return
    uris = [context.bucket.uri(claim.key) for claim in claims]
    field.reason = field.reason if field.needs else Reason.UNTRACKED
    field.new = sorted({*field.new, *uris})
    field.needs = (*field.needs, *claims)


def _reason(answer: Answer, text: str) -> Reason:
    if answer.damaged:
        return Reason.DAMAGED_PATH
    return Reason.DANGLING if text.strip().startswith("gs://") else Reason.LOCAL_PATH


def _asset_type(source: Answer | Claim, context: Context) -> str | None:
    return source.asset_type if isinstance(source, Answer) else context.asset_map.rules[source.rule].type


def _needs(sources: Sequence[Answer | Claim]) -> tuple[Need, ...]:
    return tuple(sorted({source.key: Need(source.key, source.crc32c) for source in sources}.values(), key=_need_key))


def _need_key(need: Need) -> str:
    return need.key


def _place(slot: Slot, context: Context) -> str:
    which = slot.entry if slot.entry is not None else slot.position
    item = "" if slot.item is None else f"[{slot.item}]"
    return f"{context.entries}[{which}].{slot.field}{item}"


def _is_taken(path: str, context: Context) -> bool:
    return context.asset_map.read(path, context.known_ids) is not None


def _malformed(document: str, char_id: str, entries: Any, context: Context) -> Iterator[Finding]:
    if entries is None:
        return
    if not isinstance(entries, list):
        yield findings.malformed_record(document, char_id, f"`{context.entries}` is no list of maps")
        return
    bad = [str(at) for at, entry in enumerate(entries) if not isinstance(entry, dict)]
    if bad:
        yield findings.malformed_record(document, char_id, f"`{context.entries}` item {', '.join(bad)} is no map")
    titles = Counter(entry_key(entry, context) for entry in entries if isinstance(entry, dict))
    for title in sorted(title for title, count in titles.items() if title is not None and count > 1):
        why = f"`{context.entries}` has {titles[title]} maps with {context.entry_key} {title!r}"
        yield findings.malformed_record(document, char_id, why)


def _named_fields(local: Document | None, references: _References) -> dict[tuple[str | None, str], str]:
    """Which key the pipeline's own database names for each (entry, field)."""
    if local is None:
        return {}
    answers = (answer for answer in references.all() if answer.outlook is not Outlook.ABSENT)
    return {(answer.slot.entry, answer.slot.field): answer.key for answer in answers}


def _with_local_claims(
    char_id: str, local: Document | None, references: _References, claims: Sequence[Claim], context: Context
) -> list[Claim]:
    """The pipeline's own database naming a file for a field is a claim of that file on the field."""
    own = list(claims)
    have = {(claim.entry, claim.field, claim.key) for claim in own}
    if local is None:
        return own
    for answer in references.all():
        slot = answer.slot
        place = (slot.entry, slot.field, answer.key)
        ruled = next((at for at, rule in enumerate(context.asset_map.rules) if rule.type == answer.asset_type), None)
        known = ruled is not None and context.asset_map.rules[ruled].field == slot.field
        if ruled is None or not known or slot.entry is None or place in have or answer.outlook is Outlook.ABSENT:
            continue
        own = [claim for claim in own if claim.key != answer.key or claim.field != slot.field]
        own.append(Claim(char_id, slot.entry, slot.field, answer.key, ruled, answer.outlook, answer.crc32c, True, 0))
    return own


def _create(
    local: Document, references: _References, claims: Sequence[Claim], context: Context
) -> Iterator[DocumentOutput]:
    """A record from the local database's fields: local paths that resolve as URIs, the others left out."""
    shell = Document(local.id, local.fields, "")
    maker = _Record(shell, references, local, references, claims, context)
    malformed = list(_malformed(maker.name, local.id, maker.entries, context))
    fields = maker.read_fields()
    if malformed:
        yield from malformed
        yield from (Unsettled(claim.key) for claim in claims)
        return
    for field in fields:
        field.leave_out()
    yield from maker.settle_claims(fields, (each for each in references.all() if each.outlook is Outlook.THERE))
    data = copy.deepcopy(dict(local.fields))
    entries = data[context.entries] = data.get(context.entries) or []
    resolved = {each.key: each for each in references.all() if each.outlook is Outlook.THERE}
    needs: list[Answer | Claim] = [each for each in resolved.values() if each.exact]
    for field in fields:
        yield from field.complaints
        needs.extend(field.needs)
        _put(entries, field, context)
    flat = {id(entry) for entry in entries if isinstance(entry, dict)}
    data, dropped = _without_paths(data, resolved, context, flat)
    yield from (findings.left_out(context.document(local.id), local.id, text) for text in dropped)
    listed = _needs(needs)
    document = context.document(local.id)
    yield CreateRecord(
        id=change_id("create_record", document, data),
        char_id=local.id,
        reason=Reason.MISSING_RECORD,
        document=document,
        fields=data,
        needs=listed,
    )


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
    found = meaning(text, context.roots)
    if found.kind is Kind.GS or found.kind is Kind.URL:
        return text, []
    keys = [context.asset_map.key_for(target.path, context.known_ids) for target in found.targets if target.sure]
    key = next((key for key in keys if key in resolved), None)
    return (context.bucket.uri(key), []) if key is not None else (_GONE, [text])


def _put(entries: list[Any], field: _Field, context: Context) -> None:
    if field.position is None:
        entry = next((each for each in entries if each.get(context.entry_key) == field.entry), None)
        if entry is None:
            entry = {context.entry_key: field.entry}
            entries.append(entry)
    else:
        entry = entries[field.position]
    if field.new is None and field.unresolved:
        entry.pop(field.name, None)
    else:
        entry[field.name] = field.new


def _rewrites(local: Document, references: _References, context: Context) -> Iterator[RewriteLocalDb]:
    database = _Record(local, references, None, _References(()), (), context)
    for field in database.read_fields():
        asset_type = _asset_type(field.needs[0], context) if field.needs else None
        if not field.needs or not context.scope.takes_type(asset_type):
            continue
        yield RewriteLocalDb(
            id=change_id("rewrite_local_db", local.id, *database.identity(field), field.old, field.new),
            key=field.needs[0].key,
            char_id=local.id,
            asset_type=asset_type,
            reason=field.reason,
            document=local.id,
            entry=field.entry,
            field=field.name,
            old=field.old,
            new=field.new,
            needs=_needs(field.needs),
            position=field.position,
        )
