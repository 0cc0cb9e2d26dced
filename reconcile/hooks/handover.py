"""Handing files over: below which root they are, what they need, and the run that brings them in step."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from reconcile import config
from reconcile.adapters.disk_names import as_text
from reconcile.adapters.local_settle import Looks
from reconcile.core.changes import Finding, Replace, SetField, is_object, keys_about
from reconcile.core.digest import Comparison, compare_object
from reconcile.core.errors import ReconcileError, SourceError, StoreError, UsageError
from reconcile.core.events import Listener
from reconcile.core.names import is_unicode
from reconcile.core.notes import Note, Place
from reconcile.core.plan import Plan, Scope
from reconcile.core.report import Outcome, OutcomeKind, Problem, Report
from reconcile.core.rows import KeyFacts
from reconcile.core.rules import AssetMap, AssetRule, Ownership, minimal_prefixes
from reconcile.executor import execute
from reconcile.hooks.record import set_field
from reconcile.planner import Survey, survey
from reconcile.project import Project

DONE = (OutcomeKind.APPLIED, OutcomeKind.ALREADY)
COMMAND = "workflow"
_SEEN: dict[tuple[Path, float], Looks] = {}
_REMEMBERED = 3600.0
"""Seconds for which a file's look is kept after it has settled."""


class Order(msgspec.Struct, frozen=True):
    """What a call handed over: its files as it named them, and what it knows of them.

    An ``asset`` is the map that was upserted, ``named`` says which of its fields holds which file: then everything of
    the character is brought in step, and not these files alone.
    """

    files: tuple[str, ...]
    char_id: str | None = None
    asset_type: str | None = None
    asset: dict[str, Any] | None = None
    named: tuple[tuple[str, str], ...] = ()


class Delivery(msgspec.Struct, frozen=True):
    """What became of it: the URIs of the files that are in the bucket, by the names that the call gave them; the keys
    of the files; the first problem, with the file that it is about; what a person should know; and the notes of files
    that no run could take as the call named them."""

    uris: dict[str, str]
    keys: dict[str, str]
    problem: tuple[str, ReconcileError] | None
    findings: tuple[Finding, ...]
    settled: bool
    refused: tuple[Note, ...] = ()


def open_project(chosen: str | None, files: Sequence[str]) -> Project:
    """The project of a call: the one it names, else the nearest at or above one of its files, the first that has one,
    else at or above the current folder. Raises ConfigError, UsageError."""
    if chosen is None:
        near = (config.find_project(Path(os.path.abspath(file)).parent) for file in files if "\0" not in file)
        chosen = next((str(folder) for folder in near if (folder / config.RULES).is_file()), None)
    return Project.open(chosen)


def notes_of(project: Project, order: Order) -> tuple[Note, ...]:
    """What the call knows of its files, by their paths below the root. Raises UsageError, SourceError."""
    return tuple(_note_of(project, order, file) for file in order.files)


def _note_of(project: Project, order: Order, file: str) -> Note:
    asset_type = None if order.asset_type is None else _rule(project.asset_map, order.asset_type).type
    return Note(below_root(project, file), order.char_id, asset_type, _places(project, order, file))


def _places(project: Project, order: Order, file: str) -> tuple[Place, ...]:
    """The fields that an upsert gave the file."""
    title = title_of(project, order)
    if title is None or not is_unicode(title):
        return ()
    fields = (field for field, named in order.named if named == file)
    return tuple((title, field) for field in fields if _can_be_set(project, field))


def _can_be_set(project: Project, field: str) -> bool:
    return field != project.settings.entry_key and bool(field.strip()) and is_unicode(field)


def title_of(project: Project, order: Order) -> str | None:
    """The key of the map that was upserted, where it gives one."""
    title = (order.asset or {}).get(project.settings.entry_key)
    return title if isinstance(title, str) and title.strip() else None


def narrowed(project: Project, order: Order) -> tuple[Order, tuple[str, ReconcileError] | None]:
    """The order of the files that a run could take, and the first of the others with the reason. An upsert may name
    others as it likes. Raises UsageError, SourceError where there is no file but such."""
    kept: list[str] = []
    wrong: list[tuple[str, ReconcileError]] = []
    for file in order.files:
        try:
            _check_taken(project.asset_map, [_note_of(project, order, file)])
            kept.append(file)
        except ReconcileError as error:
            wrong.append((file, error))
    if order.asset is not None:
        wrong = []
    elif wrong and not kept:
        raise wrong[0][1]
    named = tuple((field, file) for field, file in order.named if file in kept)
    return msgspec.structs.replace(order, files=tuple(kept), named=named), wrong[0] if wrong else None


def below_root(project: Project, file: str) -> str:
    """The path of a file below the local root, with ``/``. Raises UsageError, SourceError."""
    if "\0" in file:
        raise UsageError(f"{file!r} is no path", hint="return the path of a file that was written")
    if os.path.isdir(file):
        raise UsageError(f"{file} is a folder", hint="return the files in it")
    if not os.path.exists(file):
        raise SourceError(f"{file} is not there", hint="return the path of a file that was written")
    root, full = os.path.abspath(project.settings.root), os.path.abspath(file)
    # A link on the way to the root is followed; one below it is the walk's to judge.
    real = os.path.join(os.path.realpath(os.path.dirname(full)), os.path.basename(full))
    for base, name in ((root, full), (os.path.realpath(root), real)):
        try:
            parts = Path(os.path.relpath(name, base)).parts
        except ValueError:  # on another drive
            continue
        if parts and parts[0] != os.pardir:
            path = as_text("/".join(parts))
            if is_unicode(path):
                return path
            raise UsageError(f"the name of {path!r} is not UTF-8", hint="rename the file")
    raise UsageError(
        f"{file} is not below the local root {project.settings.root}",
        hint="write it there, set root under [local] in the rules file, or name the project with project=",
    )


def deliver(
    project: Project, order: Order, *, patience: float, listener: Listener, stop: threading.Event | None = None
) -> Delivery:
    """Brings the files in step, under the project's lock, for which it waits ``patience`` seconds.

    Raises UsageError where the call and the rules contradict each other, LockHeld, and what a plan raises. What goes
    wrong with single changes is the delivery's ``problem``.
    """
    rules = project.asset_map
    notes = notes_of(project, order)
    project.settled = frozenset(note.path for note in notes)
    project.looks = _looks(project)
    project.note(notes)
    _check_taken(project.asset_map, notes)
    # The first question is asked before the lock is taken: a cloud that does not answer must not keep out other runs.
    known = _known_among(project, notes, order.char_id)
    order, notes, refused = _admitted(order, notes, lambda note: _check_owner(rules, note, known))
    scope = _scope(project.asset_map, notes, known, order)
    keys = {note.path: project.asset_map.key_for(note.path, known) for note in notes}
    with project.lock().acquire(patience):
        seen = survey(project, scope, listener=listener, trace=keys.values())
        order, notes, wrong = _admitted(order, notes, lambda note: _check_type(project.asset_map, note, seen.known_ids))
        keys = {note.path: keys[note.path] for note in notes}
        refused += wrong
        own = _own_part(seen.plan, _wanted(project, scope, keys, known))
        plan = own if order.asset is None else seen.plan
        force = _replaces_only(plan, keys.values())
        report = execute(project, plan, force=force, listener=listener, stop=stop, command=COMMAND)
        delivery = _told(project, order, notes, keys, seen, plan, report)
        if order.asset is not None and not delivery.problem:
            delivery = _set_fields(project, order, delivery)
    if not refused:
        return delivery
    first = refused[0]
    refusals = tuple(each.note for each in refused)
    problem = delivery.problem or (first.file, first.error)
    return msgspec.structs.replace(delivery, problem=problem, refused=refusals)


def _looks(project: Project) -> Looks:
    """What calls of this process saw of files that are not their own. A call knows that its own are whole, and does not
    keep its workflow waiting for others: a later call takes those, if they look the same then."""
    settings = project.settings
    found = _SEEN.setdefault((settings.root, settings.settle), Looks(settings.settle, sleep=None))
    found.prune(time.monotonic() - _REMEMBERED)
    return found


class _Refused(msgspec.Struct, frozen=True):
    """A file of which the rules say otherwise than the call."""

    file: str
    note: Note
    error: UsageError


def _admitted(
    order: Order, notes: Sequence[Note], check: Callable[[Note], None]
) -> tuple[Order, tuple[Note, ...], list[_Refused]]:
    """The files that pass, and the others. Raises UsageError where there is none that does."""
    kept: list[tuple[str, Note]] = []
    refused: list[_Refused] = []
    for file, note in zip(order.files, notes, strict=True):
        try:
            check(note)
            kept.append((file, note))
        except UsageError as error:
            refused.append(_Refused(file, note, error))
    if refused and not kept:
        raise refused[0].error
    files = tuple(file for file, _ in kept)
    named = tuple((field, file) for field, file in order.named if file in files)
    admitted = msgspec.structs.replace(order, files=files, named=named)
    return admitted, tuple(note for _, note in kept), refused


# -- what the rules say --


def _rule(rules: AssetMap, wanted: str) -> AssetRule:
    """The rule of a type, or of a label. Raises UsageError."""
    labelled = (rule for rule in rules.rules if rule.label == wanted)
    rule = rules.rule(wanted) or next(labelled, None)
    if rule is None:
        known = ", ".join(rule.type for rule in rules.rules)
        raise UsageError(f"no rule has the asset type or label {wanted!r}", hint=f"the types are {known}")
    return rule


def _check_taken(rules: AssetMap, notes: Iterable[Note]) -> None:
    for note in notes:
        if rules.read(note.path, ()) is None:
            raise UsageError(
                f"no rule takes {note.path}", hint=f"add one, and try it with `reconcile rules test '{note.path}'`"
            )
        rule = None if note.asset_type is None else rules.rule(note.asset_type)
        if rule is not None and not rule.path.takes(note.path):
            raise _other_type(note, rules)


def _check_type(rules: AssetMap, note: Note, known: frozenset[str]) -> None:
    reading = rules.read(note.path, known)
    if note.asset_type is not None and reading is not None and reading.rule.type != note.asset_type:
        raise _other_type(note, rules, reading.rule.type)


def _other_type(note: Note, rules: AssetMap, found: str | None = None) -> UsageError:
    reading = rules.read(note.path, ())
    theirs = found or (reading.rule.type if reading is not None else "nothing")
    rule = rules.rule(note.asset_type or "")
    pattern = rule.path.source if rule is not None else ""
    return UsageError(
        f"by the rules {note.path} is {theirs!r}, and the decorator says {note.asset_type!r}",
        hint=f"write it where that type's files are ({pattern}), or leave asset_type out",
    )


def _known_among(project: Project, notes: Iterable[Note], told: str | None) -> frozenset[str]:
    """The known characters that these paths could be about, and the one that the call named."""
    rules = project.asset_map
    templates = [rule.path for rule in rules.rules if rule.names_character]
    spans = ((each, note.path, span) for note in notes for each in templates for span in each.readings(note.path))
    read = {span[0] for each, path, span in spans if each.match_span(path, *span[1:]) is not None}
    possible = sorted(read if told is None else {*read, told})
    stores = [store for store in (project.records, project.local_db) if store is not None]
    found = {document.id for store in stores for document in store.read(possible)} if possible else set()
    prefixes = minimal_prefixes(prefix for value in possible for prefix in rules.whole_name_prefixes(value))
    named = {rules.character_in_name(name) for name in project.files.names(prefixes)} if prefixes else set()
    return frozenset(found | {value for value in (*named, told) if value in possible})


def _check_owner(rules: AssetMap, note: Note, known: frozenset[str]) -> None:
    """Raises UsageError where a path names a known character, and the call another."""
    reading = AssetMap(rules.rules).read(note.path, known)
    if note.char_id is None or reading is None or note.char_id in reading.characters:
        return
    if reading.ownership in (Ownership.KNOWN, Ownership.AMBIGUOUS):
        owners = " or ".join(reading.characters)
        raise UsageError(
            f"by its name {note.path} is {owners}'s, and the call was for {note.char_id}",
            hint="put the character's own id into the file's name, or say whose it is with char_id=",
        )


def _scope(rules: AssetMap, notes: Sequence[Note], known: frozenset[str], order: Order) -> Scope:
    """The characters whose files these are; where that is not sure of all, everything of their types."""
    readings = [rules.read(note.path, known) for note in notes]
    owners = {reading.char_id for reading in readings if reading is not None}
    if order.char_id is not None:
        owners.add(order.char_id)
    if None not in owners:
        return Scope(char_ids=tuple(sorted(owner for owner in owners if owner is not None)))
    return Scope(asset_types=tuple(sorted({reading.rule.type for reading in readings if reading is not None})))


# -- which part of the plan is theirs --


def _wanted(project: Project, scope: Scope, keys: dict[str, str], known: frozenset[str]) -> set[str]:
    """The keys of these files, and of those that wait in the outbox for the same characters."""
    waiting = (note.path for note in project.noted if note.char_id in scope.char_ids)
    return {*keys.values(), *(project.asset_map.key_for(path, known) for path in waiting)}


def _own_part(plan: Plan, keys: set[str]) -> Plan:
    """The plan's changes for these keys: a call pays for what it made, and leaves to other runs what they are behind
    with."""
    kept = [change for change in plan.actions if not keys.isdisjoint(keys_about(change))]
    needed = {need.key for change in kept if isinstance(change, SetField) for need in change.needs}
    uploads = [change for change in plan.actions if is_object(change) and change.key in needed]
    return plan.keeping([*kept, *uploads])


def _replaces_only(plan: Plan, keys: Iterable[str]) -> bool:
    """Whether all that would be replaced was made by this very call: the limit is there for accidents."""
    own = set(keys)
    return all(change.key in own for change in plan.actions if isinstance(change, Replace))


def _set_fields(project: Project, order: Order, delivery: Delivery) -> Delivery:
    """Gives the record's fields what the upsert gave the workflow's own: an upsert says which file a field is to name,
    even where the field holds a good URI already."""
    title = title_of(project, order)
    try:
        for field, file in order.named:
            if title is not None and order.char_id is not None:
                set_field(project, order.char_id, title, field, delivery.uris[file])
    except ReconcileError as error:
        return msgspec.structs.replace(delivery, problem=(order.files[0], error), settled=False)
    return delivery


# -- what became of it --


def _told(
    project: Project,
    order: Order,
    notes: Sequence[Note],
    keys: dict[str, str],
    seen: Survey,
    plan: Plan,
    report: Report,
) -> Delivery:
    uris: dict[str, str] = {}
    problems: list[tuple[str, ReconcileError]] = []
    for file, note in zip(order.files, notes, strict=True):
        problem = _file_problem(project, note.path, keys[note.path], seen, report)
        if problem is None:
            uris[file] = project.bucket.uri(keys[note.path])
        else:
            problems.append((file, problem))
    own = set(keys.values())
    lead = order.files[0] if order.files else str(order.char_id)
    by_id = {change.id: change for change in plan.actions}
    for outcome in report.outcomes:
        concerned = order.asset is not None or not own.isdisjoint(keys_about(by_id[outcome.id]))
        if outcome.outcome not in DONE and concerned:
            problems.append((lead, _error(outcome)))
    findings = tuple(_about(seen.plan.findings, project, own, {note.path for note in notes}, order))
    unmet = any(finding.code.value in ("missing_record", "ambiguous_field") for finding in findings)
    return Delivery(uris, keys, problems[0] if problems else None, findings, not problems and not unmet)


def _file_problem(project: Project, path: str, key: str, seen: Survey, report: Report) -> ReconcileError | None:
    """Why the file is not in the bucket, with its bytes, or None."""
    uploads = (outcome for outcome in report.outcomes if outcome.key == key and outcome.kind in ("upload", "replace"))
    outcome = next(uploads, None)
    if outcome is not None:
        return None if outcome.outcome in DONE else _error(outcome)
    facts = next((facts for facts in seen.facts if facts.key == key), None)
    if facts is not None and _is_same(facts):
        return None
    subjects = (path, project.bucket.uri(key))
    finding = next((each for each in seen.plan.findings if each.subject in subjects), None)
    if finding is not None:
        return SourceError(finding.message, hint=finding.hint)
    return SourceError(f"{path} is not there any more", hint="run `reconcile plan` to see how things stand")


def _is_same(facts: KeyFacts) -> bool:
    local, remote = facts.local, facts.remote
    if local is None or remote is None or local.crc32c is None:
        return False
    return compare_object(local.size, local.crc32c, remote, facts.agreed) is Comparison.SAME


def _error(outcome: Outcome) -> ReconcileError:
    """The error that kept a change from being made, of its own class."""
    problem = outcome.problem or Problem(StoreError.code, outcome.outcome.value)
    where = f" in {outcome.document}" if outcome.document else ""
    return problem.error(f"{outcome.kind} of {outcome.key}{where}")


def _about(
    findings: Iterable[Finding], project: Project, keys: set[str], paths: set[str], order: Order
) -> Iterator[Finding]:
    subjects = {*paths, *(project.bucket.uri(key) for key in keys)}
    for finding in findings:
        own = finding.char_id is not None and finding.char_id == order.char_id
        if finding.subject in subjects or (own and finding.code.value in ("missing_record", "ambiguous_field")):
            yield finding
