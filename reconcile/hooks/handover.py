"""A hand-over: what a call made, brought in step by one run: survey, the call's part of the plan, execute, answer."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from reconcile import config
from reconcile.adapters.disk_names import as_text
from reconcile.adapters.local.settle import Looks
from reconcile.adapters.state.outbox import Outbox
from reconcile.config import Settings
from reconcile.core.changes import Change, Code, Finding, Replace, SetField, is_object, keys_about
from reconcile.core.digest import Comparison, compare_object
from reconcile.core.errors import ReconcileError, SourceError, StoreError, UsageError
from reconcile.core.events import Listener
from reconcile.core.names import is_unicode, spelling
from reconcile.core.notes import Note
from reconcile.core.plan import Plan, Scope
from reconcile.core.report import Outcome, OutcomeKind, Problem, Report
from reconcile.core.rows import KeyFacts
from reconcile.core.rules import AssetMap, Ownership, Reading
from reconcile.hooks.errors import LOGGER, NotUploaded
from reconcile.hooks.record import set_field
from reconcile.pipeline.executor import execute
from reconcile.pipeline.planner import Survey, survey
from reconcile.pipeline.roster import known_owners
from reconcile.project import OpenProject, Project, RunOptions

DONE = (OutcomeKind.APPLIED, OutcomeKind.ALREADY)
UNMET = (Code.MISSING_RECORD, Code.AMBIGUOUS_FIELD)
"""Findings about a character that leave a later run something to do for its files."""
COMMAND = "workflow"
_SEEN: dict[tuple[Path, float], Looks] = {}
_REMEMBERED = 3600.0
"""Seconds for which a file's look is kept after it has settled."""


class Call(msgspec.Struct, frozen=True):
    """What a call of a workflow's function hands over: its files as it named them, and what it knows of them.

    ``asset`` has the texts of the map that was upserted, and ``fields`` says which of its fields holds which file: then
    everything of the character is brought in step, and not these files alone.
    """

    files: tuple[str, ...] = ()
    char_id: str | None = None
    asset_type: str | None = None
    asset: dict[str, str] | None = None
    fields: tuple[tuple[str, str], ...] = ()


class File(msgspec.Struct, frozen=True):
    """One file of a call: as the call named it, and what the call knows of it."""

    name: str
    note: Note


class Refusal(msgspec.Struct, frozen=True):
    """A file that did not arrive, or that no run could take as the call named it, and why."""

    file: str
    error: ReconcileError


def settings_of(chosen: str | None, files: Sequence[str]) -> Settings:
    """The rules and settings of a call's project: the one it names, else the nearest at or above one of its files, the
    first that has one, else at or above the current folder. Raises ConfigError, UsageError."""
    if chosen is None:
        near = (config.find_project(Path(os.path.abspath(file)).parent) for file in files if "\0" not in file)
        chosen = next((str(folder) for folder in near if (folder / config.RULES).is_file()), None)
    return config.load(config.find_project(explicit=None if chosen is None else Path(chosen)))


class Handover:
    """A call as the rules of its project read it: the files that a run could take, with what is noted of each. Making
    one asks no store.

    ``refused`` is the first file that no run could take; an upsert may name such files as it likes. ``call`` is left
    with the others.
    """

    def __init__(self, call: Call, settings: Settings) -> None:
        """Raises UsageError or SourceError if no run could take any of the files."""
        self.settings = settings
        self.outbox = Outbox(settings.project)
        title = (call.asset or {}).get(settings.entry_key, "")
        self.title = title if title.strip() else None
        taken: list[File] = []
        refused: list[Refusal] = []
        for name in dict.fromkeys(call.files):
            try:
                taken.append(File(name, self._note_of(call, name)))
            except ReconcileError as error:
                refused.append(Refusal(name, error))
        self.is_upsert = call.asset is not None
        if refused and not taken and not self.is_upsert:
            raise refused[0].error
        self.refused = refused[0] if refused and not self.is_upsert else None
        self.files = tuple(taken)
        self.notes = tuple(file.note for file in taken)
        names = tuple(file.name for file in taken)
        fields = tuple((field, name) for field, name in call.fields if name in names)
        self.call = msgspec.structs.replace(call, files=names, fields=fields)

    @property
    def first(self) -> str:
        """How to call what is handed over in a sentence: by its first file."""
        return _lead(self.files, self.call)

    def _note_of(self, call: Call, name: str) -> Note:
        rules = self.settings.asset_map
        asset_type = None if call.asset_type is None else _type(rules, call.asset_type)
        note = Note(below_root(self.settings.root, name), call.char_id, asset_type, tuple(self._places(call, name)))
        if rules.read(note.path, ()) is None:
            raise UsageError(
                f"no rule takes {note.path}", hint=f"add one, and try it with `reconcile rules test '{note.path}'`"
            )
        rule = rules.rule(asset_type or "")
        if rule is not None and not rule.path.takes(note.path):
            raise _other_type(note, rules, rules.read(note.path, ()))
        return note

    def _places(self, call: Call, name: str) -> Iterator[tuple[str, str]]:
        """The fields that an upsert gave the file."""
        if self.title is not None and is_unicode(self.title):
            for field, named in call.fields:
                if named == name and field != self.settings.entry_key and field.strip() and is_unicode(field):
                    yield self.title, field

    def run(self, *, patience: float, listener: Listener, stop: threading.Event | None = None) -> dict[str, str]:
        """Brings the files in step, under the project's lock, for which it waits ``patience`` seconds, and removes the
        notes that no later run needs. Gives the URIs of the files by the names that the call gave them.

        Raises NotUploaded if something went wrong with single files or changes, UsageError if the call and the rules
        contradict each other about every file, LockHeld, and what a plan raises.
        """
        try:
            uris, problems, done = self._run(patience, listener, stop)
        except UsageError:
            self.outbox.remove(self.notes)  # a note of what the rules contradict would do no good
            raise
        self.outbox.remove(done)
        if problems:
            raise NotUploaded(problems[0].error, problems[0].file, uris) from problems[0].error
        return uris

    def _run(
        self, patience: float, listener: Listener, stop: threading.Event | None
    ) -> tuple[dict[str, str], list[Refusal], Sequence[Note]]:
        """The URIs, what went wrong, and the notes that no later run needs."""
        with Project(self.settings).opened(RunOptions(notes=self.notes, looks=_looks(self.settings))) as project:
            # Asked before the lock is taken: a cloud that does not answer must not keep out other runs.
            known = known_owners(project, [note.path for note in self.notes], self.call.char_id)
            files, refused = self._admitted(project.asset_map, known)
            owner = self.call.char_id and (spelling(self.call.char_id, known) or self.call.char_id)
            scope = _scope([project.asset_map.read(file.note.path, known) for file in files], owner)
            keys = {file: project.asset_map.key_for(file.note.path, known) for file in files}
            own = set(keys.values())
            with project.lock().acquire(patience):
                seen = survey(project, scope, listener=listener, trace=own)
                plan = seen.plan
                if not self.is_upsert:
                    waiting = [each.path for each in project.noted if spelling(each.char_id or "", scope.char_ids)]
                    wanted = {*own, *(project.asset_map.key_for(path, known) for path in waiting)}
                    plan = plan.keeping(_about(plan, wanted))
                # The limit on replacing is there for accidents, not for what the call itself made anew.
                meant = all(change.key in own for change in plan.actions if isinstance(change, Replace))
                report = execute(project, plan, force=meant, listener=listener, stop=stop, command=COMMAND)
                uris, problems = self._answer(project, keys, seen, plan, report)
                needed = problems or self._is_unmet(project, keys, owner, seen.plan.findings)
                if not problems and owner is not None:
                    needed = (problems := self._set_fields(project, owner, uris)) or needed
        return uris, [*problems, *refused.values()], tuple(refused) if needed else self.notes

    def _admitted(self, rules: AssetMap, known: frozenset[str]) -> tuple[list[File], dict[Note, Refusal]]:
        """The files of which the rules say nothing else than the call, and the others. Raises UsageError if these are
        all."""
        refused: dict[Note, Refusal] = {}
        for file in self.files:
            try:
                _check_owner(rules, file.note, known)
                _check_type(rules, file.note, known)
            except UsageError as error:
                refused[file.note] = Refusal(file.name, error)
        files = [file for file in self.files if file.note not in refused]
        if refused and not files:
            raise next(iter(refused.values())).error
        return files, refused

    def _answer(
        self, project: OpenProject, keys: Mapping[File, str], seen: Survey, plan: Plan, report: Report
    ) -> tuple[dict[str, str], list[Refusal]]:
        """The URIs of the files that arrived, and what went wrong."""
        uris: dict[str, str] = {}
        problems: list[Refusal] = []
        for file, key in keys.items():
            uri = project.bucket.uri(key)
            error = _why_missing(file.note.path, key, uri, seen, report)
            if error is None:
                uris[file.name] = uri
            else:
                problems.append(Refusal(file.name, error))
        own = set(keys.values())
        for change, outcome in zip(plan.actions, report.outcomes, strict=True):
            if outcome.outcome not in DONE and (self.is_upsert or not own.isdisjoint(keys_about(change))):
                problems.append(Refusal(_lead(tuple(keys), self.call), _error(outcome)))
        return uris, problems

    def _is_unmet(
        self, project: OpenProject, keys: Mapping[File, str], owner: str | None, findings: Iterable[Finding]
    ) -> bool:
        """Whether a later run has something to do for the files; what was found about them goes into the log."""
        subjects = {*(file.note.path for file in keys), *map(project.bucket.uri, keys.values())}
        about = [
            finding
            for finding in findings
            if finding.subject in subjects or (finding.code in UNMET and owner is not None and finding.char_id == owner)
        ]
        for finding in about:
            logging.getLogger(LOGGER).info("%s: %s", finding.subject, finding.message)
        return any(finding.code in UNMET for finding in about)

    def _set_fields(self, project: OpenProject, owner: str, uris: Mapping[str, str]) -> list[Refusal]:
        """Gives the record's fields what the upsert gave the workflow's own: an upsert says which file a field is to
        name, even if the field holds a good URI already."""
        try:
            for field, name in self.call.fields:
                if self.title is not None and name in uris:
                    set_field(project, owner, self.title, field, uris[name])
        except ReconcileError as error:
            return [Refusal(next(iter(uris)), error)]
        return []


def below_root(folder: Path, file: str) -> str:
    """The path of a file below the local root, with ``/``. Raises UsageError, SourceError."""
    if "\0" in file:
        raise UsageError(f"{file!r} is not a path", hint="return the path of a file that was written")
    if os.path.isdir(file):
        raise UsageError(f"{file} is a folder", hint="return the files in it")
    if not os.path.exists(file):
        raise SourceError(f"{file} is not there", hint="return the path of a file that was written")
    root, full = os.path.abspath(folder), os.path.abspath(file)
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
        f"{file} is not below the local root {folder}",
        hint="write it there, set root under [local] in the rules file, or name the project with project=",
    )


def _lead(files: Sequence[File], call: Call) -> str:
    return files[0].name if files else f"what belongs to {call.char_id}"


def _looks(settings: Settings) -> Looks:
    """What calls of this process saw of files that are not their own. A call knows that its own are whole, and does not
    keep its workflow waiting for others: a later call takes those, if they look the same then."""
    found = _SEEN.setdefault((settings.root, settings.settle), Looks(settings.settle, sleep=None))
    found.prune(time.monotonic() - _REMEMBERED)
    return found


# -- what the rules say --


def _type(rules: AssetMap, wanted: str) -> str:
    """The asset type of this name, or of this label. Raises UsageError."""
    labelled = (rule for rule in rules.rules if rule.label == wanted)
    rule = rules.rule(wanted) or next(labelled, None)
    if rule is None:
        known = ", ".join(rule.type for rule in rules.rules)
        raise UsageError(f"no rule has the asset type or label {wanted!r}", hint=f"the types are {known}")
    return rule.type


def _check_type(rules: AssetMap, note: Note, known: frozenset[str]) -> None:
    reading = rules.read(note.path, known)
    if note.asset_type is not None and reading is not None and reading.rule.type != note.asset_type:
        raise _other_type(note, rules, reading)


def _other_type(note: Note, rules: AssetMap, reading: Reading | None) -> UsageError:
    rule = rules.rule(note.asset_type or "")
    return UsageError(
        f"by the rules {note.path} is {reading.rule.type if reading is not None else 'nothing'!r},"
        f" and the decorator says {note.asset_type!r}",
        hint=f"write it where that type's files are ({rule.path.source if rule is not None else ''}),"
        " or leave asset_type out",
    )


def _check_owner(rules: AssetMap, note: Note, known: frozenset[str]) -> None:
    """Raises UsageError if the path names a known character, and the call another."""
    reading = AssetMap(rules.rules).read(note.path, known)
    if note.char_id is None or reading is None or spelling(note.char_id, reading.characters) is not None:
        return
    if reading.ownership in (Ownership.KNOWN, Ownership.AMBIGUOUS):
        owners = " or ".join(reading.characters)
        raise UsageError(
            f"by its name {note.path} is {owners}'s, and the call was for {note.char_id}",
            hint="put the character's own id into the file's name, or say whose it is with char_id=",
        )


def _scope(readings: Sequence[Reading | None], owner: str | None) -> Scope:
    """The characters whose files these are; if that is not sure of all of them, everything of their types."""
    found = [reading for reading in readings if reading is not None]
    owners = {reading.char_id for reading in found} | ({owner} if owner is not None else set())
    named = tuple(sorted(each for each in owners if each is not None))
    return Scope(named) if None not in owners else Scope(asset_types=tuple(sorted({each.rule.type for each in found})))


def _about(plan: Plan, keys: set[str]) -> Iterator[Change]:
    """The changes about these keys, and the uploads that they need: a call pays for what it made, and leaves to other
    runs what they are behind with."""
    own = [change for change in plan.actions if not keys.isdisjoint(keys_about(change))]
    needed = {need.key for change in own if isinstance(change, SetField) for need in change.needs}
    yield from own
    yield from (change for change in plan.actions if is_object(change) and change.key in needed)


# -- what became of it --


def _why_missing(path: str, key: str, uri: str, seen: Survey, report: Report) -> ReconcileError | None:
    """Why the file is not in the bucket, with its content, or None if it is."""
    uploads = (outcome for outcome in report.outcomes if outcome.key == key and outcome.kind in ("upload", "replace"))
    outcome = next(uploads, None)
    if outcome is not None:
        return None if outcome.outcome in DONE else _error(outcome)
    if any(facts.key == key and _is_same(facts) for facts in seen.facts):
        return None
    finding = next((each for each in seen.plan.findings if each.subject in (path, uri)), None)
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
