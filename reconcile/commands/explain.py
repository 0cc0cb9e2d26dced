"""Explains one path, URI or character: what it is, what is where, what would be done about it, and what prevents more.
Reads what a plan reads, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from reconcile.commands.status import table
from reconcile.commands.trials import Loser, RuleView, losers, why_left_out
from reconcile.config.naming import key_of_uri, possible_paths
from reconcile.core.changes import (
    Change,
    Copy,
    CreateRecord,
    Finding,
    Replace,
    RewriteLocalDb,
    SetField,
    SetMetadata,
    Severity,
    Upload,
    keys_about,
)
from reconcile.core.errors import UsageError
from reconcile.core.events import Listener, silent
from reconcile.core.names import fold
from reconcile.core.pattern import CHAR_ID
from reconcile.core.plan import Scope
from reconcile.core.rows import Candidate, KeyFacts, LocalFile, RemoteObject, World
from reconcile.core.rules import Reading
from reconcile.core.size import many
from reconcile.core.status import StatusRow
from reconcile.core.way import Entries, Way, value_at
from reconcile.pipeline.planner import survey
from reconcile.pipeline.roster import fields_of, read_roster
from reconcile.pipeline.survey import Survey
from reconcile.project import OpenProject

FORMAT = "reconcile.explain/1"
_DOING = {
    Upload: "it would be uploaded",
    Replace: "its object would be replaced",
    Copy: "it would be copied from another object of the bucket",
    SetMetadata: "its content type would be set",
    CreateRecord: "a record would be created that names it",
}


class Naming(msgspec.Struct, frozen=True):
    """A place in a record, or in the local database, that names the asset, and the text in it."""

    world: str
    document: str
    entry: str | None
    field: str
    text: Any
    exact: bool
    at: Way | msgspec.UnsetType = msgspec.UNSET


class AssetView(msgspec.Struct, frozen=True):
    """One asset: its rule and its character, what is where, and which records name it. ``left_out`` says why its local
    file is never looked at, if that is so."""

    key: str
    path: str | None
    uri: str
    rule: RuleView | None
    losers: tuple[Loser, ...]
    char_id: str | None
    ownership: str
    local: LocalFile | None
    bucket: RemoteObject | None
    named_by: tuple[Naming, ...]
    outlook: str
    left_out: str | None = None

    @property
    def exists(self) -> bool:
        """Whether anything is known of it: a file, an object, or a record that names it."""
        return self.local is not None or self.bucket is not None or bool(self.named_by)


class CharacterView(msgspec.Struct, frozen=True):
    """One character: its documents and a row of counts for each asset type. ``local_db`` is None if the rules name
    no local database."""

    char_id: str
    record: bool
    local_db: bool | None
    fields: dict[str, Any]
    assets: tuple[StatusRow, ...]


class Explanation(msgspec.Struct, frozen=True):
    """The document of ``explain --json``: either an ``asset`` or a ``character``, and what would be done about it."""

    format: str
    subject: str
    verdict: str
    asset: AssetView | None
    character: CharacterView | None
    actions: tuple[Change, ...]
    findings: tuple[Finding, ...]


def explain(
    project: OpenProject, subject: str, *, scope: Scope | None = None, listener: Listener = silent
) -> Explanation:
    """Explains a character id, a path in any spelling that a record may use, or a gs:// URI of this bucket. A scope
    narrows the explanation of a character; an asset is explained completely.

    Raises UsageError for a URI that is not below this bucket and prefix, and whatever a plan raises.
    """
    within = scope or Scope()
    if not subject or "/" in subject or "\\" in subject or not within.takes_character(subject):
        return _asset(project, subject, listener)
    try:
        return _character(project, subject, within, listener)
    except UsageError:
        answer = _asset(project, subject, listener)
        if answer.asset is not None and not answer.asset.exists and "." not in subject:
            raise  # it looks like an id, and the error names similar ids
        return answer


def _character(project: OpenProject, char_id: str, within: Scope, listener: Listener) -> Explanation:
    scope = msgspec.structs.replace(within, char_ids=(char_id,))
    seen = survey(project, scope, listener=listener)
    rows = table(seen, project.settings.asset_map, "type").rows
    records = list(project.records.read([char_id]))
    local_db = None if project.local_db is None else bool(list(project.local_db.read([char_id])))
    entries = project.settings.entries
    fields = {name: _plain(value) for each in records for name, value in each.fields.items() if name != entries.top}
    used = tuple(row for row in rows if row.asset_type is not None or row.local or row.bucket)
    view = CharacterView(char_id, bool(records), local_db, fields, used)
    verdict = _character_verdict(view, seen)
    return Explanation(FORMAT, char_id, verdict, None, view, seen.plan.actions, seen.plan.findings)


def _character_verdict(view: CharacterView, seen: Survey) -> str:
    summary = seen.plan.summary
    where = "has a record" if view.record else "has no record"
    if seen.plan.actions:
        return f"{view.char_id} {where}; {len(seen.plan.actions)} changes would be made"
    if summary.findings.error or summary.findings.warning:
        return f"{view.char_id} {where}; nothing would be done, but a person should look at the findings"
    return f"{view.char_id} {where} and is in step"


def _asset(project: OpenProject, subject: str, listener: Listener) -> Explanation:
    keys = keys_of(project, subject)
    seen = survey(project, Scope(), listener=listener, trace=keys)
    facts = _best(keys, seen.facts)
    if not _is_there(facts) and (respelt := _respelt(project, keys)) is not None:
        seen = survey(project, Scope(), listener=listener, trace=[respelt])
        facts = _best([respelt], seen.facts)
    view = _view(project, facts, seen)
    actions = tuple(change for change in seen.plan.actions if facts.key in keys_about(change))
    findings = tuple(finding for finding in seen.plan.findings if _speaks_of(finding, view))
    return Explanation(FORMAT, subject, _verdict(view, actions, findings), view, None, actions, findings)


def keys_of(project: OpenProject, subject: str) -> list[str]:
    """Returns the keys that a subject could mean, the likeliest first. Raises UsageError for a URI outside this bucket
    and prefix."""
    settings = project.settings
    if subject.startswith("gs://"):
        return [key_of_uri(settings, subject)]
    paths = possible_paths(settings, subject)
    if not paths:
        raise UsageError(
            f"{subject!r} is not a path below the local root {settings.root}, no URI of {settings.bucket} "
            "and no known character",
            hint="`reconcile status --by character` lists the known characters",
        )
    if settings.asset_map.keys_are_paths:
        return paths
    known = read_roster(project, Scope(), silent).known_ids
    return list(dict.fromkeys(settings.asset_map.key_for(path, known) for path in paths))


def _best(keys: Sequence[str], facts: Sequence[KeyFacts]) -> KeyFacts:
    """Returns the facts of the first key of which anything is known; if there is none, those of the first key."""
    # A file may have its object under another spelling of its name.
    by_key = {**{each.path: each for each in facts if each.path is not None}, **{each.key: each for each in facts}}
    found = (by_key[key] for key in keys if key in by_key and _is_there(by_key[key]))
    return next(found, by_key.get(keys[0], KeyFacts(keys[0], None)))


def _is_there(facts: KeyFacts) -> bool:
    return facts.local is not None or facts.remote is not None or bool(facts.candidates)


def _respelt(project: OpenProject, keys: Sequence[str]) -> str | None:
    """Returns the only existing key that differs from one of these in nothing but case or Unicode form."""
    for key in keys:
        wanted = fold(key)
        files = (path for path in project.files.names() if fold(path) == wanted)
        objects = (each.key for each in project.objects.list() if fold(each.key) == wanted)
        found = {*files, *objects}
        if len(found) == 1:
            return found.pop()
    return None


def _view(project: OpenProject, facts: KeyFacts, seen: Survey) -> AssetView:
    settings = project.settings
    path = facts.path if facts.path is not None else settings.asset_map.path_for(facts.key, seen.known_ids)
    reading = None if path is None else settings.asset_map.read(path, seen.known_ids)
    named_by = tuple(_namings(project, facts.candidates))
    char_id, ownership = _ownership(reading, sorted({each.document for each in facts.candidates}))
    return AssetView(
        key=facts.key,
        path=path,
        uri=settings.bucket.uri(facts.key),
        rule=None if reading is None else RuleView.of(reading.rule),
        losers=() if path is None else losers(settings.asset_map, path, reading),
        char_id=char_id,
        ownership=ownership,
        local=facts.local,
        bucket=facts.remote,
        named_by=named_by,
        outlook=facts.outlook.value,
        left_out=None if path is None else why_left_out(project, path),
    )


def _ownership(reading: Reading | None, namers: Sequence[str]) -> tuple[str | None, str]:
    if reading is None:
        return None, "no rule matches it, so it belongs to no character"
    if reading.char_id is not None:
        return reading.char_id, "its path holds the longest known id"
    if reading.is_ambiguous:
        namers = [document for document in namers if document in reading.characters]
    if len(namers) == 1:
        return namers[0], "its path does not settle it, but only this one's record names it"
    if reading.is_ambiguous:
        return None, f"it could belong to {' or '.join(reading.characters)}"
    if reading.rule.names_character:
        return None, f"its path says {reading.captures.get(CHAR_ID)!r}, which is not a known character"
    return None, "its path holds no id, and there is no single record that names it"


def _namings(project: OpenProject, candidates: Sequence[Candidate]) -> Iterator[Naming]:
    """Yields the places that name the key, with the text that is in the record now."""
    documents = fields_of(project, ((each.world, each.document) for each in candidates))
    collection = project.settings.records.collection
    for each in candidates:
        fields = documents.get((each.world, each.document), {})
        text = _text_at(fields, project.settings.entries, each)
        document = f"{collection}/{each.document}" if each.world is World.RECORDS else each.document
        at = each.slot.at or msgspec.UNSET
        yield Naming(each.world.value, document, each.slot.entry, each.slot.field, text, each.exact, at)


def _text_at(fields: Mapping[str, Any], entries: Entries, candidate: Candidate) -> Any:
    """Returns the text in the slot of the candidate, or None if the record has changed since."""
    slot = candidate.slot
    try:
        if slot.at:
            return slot.at[-1] if slot.is_name else _plain(value_at(fields, slot.trail))
        value = entries.of(fields)[slot.position][slot.field]
        return _plain(value if slot.item is None else value[slot.item])
    except (LookupError, TypeError):
        return None


def _plain(value: Any) -> Any:
    """Returns a value that JSON can hold; kinds that only the store knows become text."""
    return msgspec.to_builtins(value, builtin_types=(), enc_hook=str)


def _speaks_of(finding: Finding, view: AssetView) -> bool:
    """Whether a finding is about the asset, or about a text in a record that means it."""
    if finding.subject in (view.path, view.key, view.uri):
        return True
    texts = [text for naming in view.named_by if isinstance(text := naming.text, str)]
    return any(f'"{text}"' in finding.message for text in [*texts, view.key]) or view.key in finding.message


def _verdict(view: AssetView, actions: Sequence[Change], findings: Sequence[Finding]) -> str:
    if actions:
        return f"It is out of step, and would be put right: {' and '.join(_doing(actions))}"
    if findings:
        worst = min(findings, key=lambda finding: list(Severity).index(finding.severity))
        return f"Nothing would be done: {worst.message}"
    if view.left_out is not None and view.bucket is None:
        return f"Nothing would be done: a file of this name is never looked at: {view.left_out}"
    if not view.exists:
        return "Nothing is known of it: there is no such local file, no such object, and no record names it"
    if view.local is not None and view.bucket is not None:
        return "It is in step: the bucket holds the same bytes, and nothing needs to be done"
    if view.bucket is not None:
        return "It is in step: only the bucket has it, and that is enough"
    return "Nothing would be done about it"


def _doing(actions: Sequence[Change]) -> Iterator[str]:
    kinds = {type(change) for change in actions}
    yield from (what for kind, what in _DOING.items() if kind in kinds)
    fields = sum(isinstance(change, SetField | RewriteLocalDb) for change in actions)
    if fields:
        yield f"{many(fields, 'field')} would be set to its URI"
