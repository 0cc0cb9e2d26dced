"""A hand-over: what a call made, brought in step by one run: survey, the call's part of the plan, execute, answer."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from reconcile import config
from reconcile.adapters.disk_names import as_text
from reconcile.adapters.local.settle import Looks
from reconcile.adapters.state.outbox import Outbox
from reconcile.adapters.system import current
from reconcile.config import Settings
from reconcile.core.changes import Change, Code, Finding, Replace, SetField, is_object, keys_about
from reconcile.core.digest import Comparison, compare_object
from reconcile.core.errors import ReconcileError, SourceError, StoreError, UsageError
from reconcile.core.events import Listener
from reconcile.core.names import is_unicode, spelling
from reconcile.core.notes import Note, Place
from reconcile.core.plan import Plan, Scope
from reconcile.core.report import Outcome, OutcomeKind, Problem, Report
from reconcile.core.rows import KeyFacts
from reconcile.core.rules import AssetMap, AssetRule, Ownership, Reading
from reconcile.hooks.answer import HandedOver
from reconcile.hooks.calls import Call
from reconcile.hooks.errors import LOGGER
from reconcile.pipeline.executor import execute
from reconcile.pipeline.planner import Survey, survey
from reconcile.pipeline.roster import known_owners
from reconcile.project import ClosedProject, OpenProject
from reconcile.run_options import RunOptions

DONE = (OutcomeKind.APPLIED, OutcomeKind.ALREADY)
UNMET = (Code.MISSING_RECORD, Code.AMBIGUOUS_FIELD)
"""Findings about a character that leave a later run something to do for its files."""
UNWRITTEN = (Code.MISSING_RECORD, Code.MALFORMED_RECORD)
"""Findings about a record that keep a field from being given the file that was upserted."""
COMMAND = "workflow"
_SEEN: dict[tuple[Path, float], Looks] = {}
_REMEMBERED = 3600.0
"""Seconds for which a file's look is kept after it has settled."""


def settings_of(chosen: str | None, files: Sequence[str]) -> Settings:
    """The rules and settings of a call's project: the one it names, else the nearest at or above one of its files, the
    first that has one, else at or above the current folder. Raises ConfigError, UsageError."""
    if chosen is None:
        near = (
            config.find_project(Path(os.path.abspath(current().plain(file))).parent)
            for file in files
            if "\0" not in file
        )
        chosen = next((str(folder) for folder in near if (folder / config.RULES).is_file()), None)
    return config.load(config.find_project(explicit=None if chosen is None else Path(chosen)))


class Handover:
    """A call as the rules of its project read it: ``notes`` has what is noted of each file that a run could take, by
    the name that the call gave it. Making one asks no store.

    ``call`` keeps these files alone. ``refused`` says why a run could not take the others; an upsert may name what it
    likes.
    """

    def __init__(self, call: Call, settings: Settings) -> None:
        self.call = call
        self.settings = settings
        self.outbox = Outbox(settings.project)
        self.is_upsert = call.asset is not None
        title = (call.asset or {}).get(settings.entry_key, "")
        self.title = title if title.strip() else None
        self.notes: dict[str, Note] = {}
        self.refused: dict[str, ReconcileError] = {}
        for name in call.files:
            try:
                self.notes[name] = self._note_of(name)
            except ReconcileError as error:
                if not self.is_upsert:
                    self.refused[name] = error
        fields = tuple((field, name) for field, name in call.fields if name in self.notes)
        self.call = msgspec.structs.replace(call, files=tuple(self.notes), fields=fields)

    @property
    def first(self) -> str:
        """A name for what is handed over, for messages: its first file."""
        return next(iter(self.notes), f"what belongs to {self.call.char_id}")

    def _note_of(self, name: str) -> Note:
        call, rules = self.call, self.settings.asset_map
        asset_type = None if call.asset_type is None else rules.type_called(call.asset_type)
        note = Note(below_root(self.settings.root, name), call.char_id, asset_type, tuple(self._places(name)))
        reading = rules.read(note.path, ())
        if reading is None:
            test = f"reconcile rules test {current().quoted(note.path)}"
            raise UsageError(f"no rule takes {note.path}", hint=f"add one, and try it with `{test}`")
        rule = rules.rule(asset_type or "")
        if rule is not None and not rule.path.takes(note.path):
            raise _other_type(note, rule, reading)
        return note

    def _places(self, name: str) -> Iterator[Place]:
        if self.title is not None and is_unicode(self.title):
            for field, named in self.call.fields:
                if named == name and field != self.settings.entry_key and field.strip() and is_unicode(field):
                    yield self.title, field

    def run(self, *, patience: float, listener: Listener, stop: threading.Event | None = None) -> HandedOver:
        """Brings the files in step, under the project's lock, for which it waits ``patience`` seconds, and removes the
        notes that no later run needs. Raises LockHeld, and what a plan raises."""
        options = RunOptions(notes=tuple(self.notes.values()), looks=_looks(self.settings))
        with ClosedProject(self.settings).opened(options) as project:
            try:
                answer, done = self._run(project, patience, listener, stop)
            except UsageError:
                self.outbox.remove(self.notes.values())  # a note of what the rules contradict would do no good
                raise
        self.outbox.remove(self.notes[name] for name in done)
        return answer

    def _run(
        self, project: OpenProject, patience: float, listener: Listener, stop: threading.Event | None
    ) -> tuple[HandedOver, Collection[str]]:
        """The answer, and the files of which no later run needs the notes."""
        # Asked before the lock is taken: a cloud that does not answer must not keep out other runs.
        known = known_owners(project, [note.path for note in self.notes.values()], self.call.char_id)
        refused = self._contradicted(project.asset_map, known)
        if refused.keys() == self.notes.keys() != set():
            return HandedOver(problems=refused), refused
        owner = self.call.char_id and (spelling(self.call.char_id, known) or self.call.char_id)
        taken = {name: note.path for name, note in self.notes.items() if name not in refused}
        scope = _scope([project.asset_map.read(path, known) for path in taken.values()], owner)
        keys = {name: project.asset_map.key_for(path, known) for name, path in taken.items()}
        own = set(keys.values())
        with project.lock().acquire(patience):
            seen = survey(project, scope, listener=listener, trace=own)
            plan = seen.plan
            if not self.is_upsert:
                waiting = [each.path for each in project.noted if spelling(each.char_id or "", scope.char_ids)]
                plan = plan.keeping(_about(plan, {*own, *(project.asset_map.key_for(each, known) for each in waiting)}))
            # The limit on replacing is there for accidents, not for what the call itself made anew.
            meant = all(change.key in own for change in plan.actions if isinstance(change, Replace))
            report = execute(project, plan, force=meant, listener=listener, stop=stop, command=COMMAND)
            missing = {name: _why_missing(taken[name], key, project, seen, report) for name, key in keys.items()}
            uris = {name: project.bucket.uri(key) for name, key in keys.items() if missing[name] is None}
            problems = {name: why for name, why in missing.items() if why is not None}
            for change, outcome in zip(plan.actions, report.outcomes, strict=True):
                if outcome.outcome not in DONE and (self.is_upsert or not own.isdisjoint(keys_about(change))):
                    problems.setdefault(next(iter(keys), self.first), _error(outcome))
            if not problems and any(self.notes[name].places for name in uris):
                unwritten = (each for each in seen.plan.findings if each.code in UNWRITTEN and each.char_id == owner)
                problems = {
                    next(iter(uris)): StoreError(f"{each.subject}: {each.message}", hint=each.hint)
                    for each in unwritten
                }
        unmet = _is_unmet(seen.plan.findings, {*taken.values(), *map(project.bucket.uri, own)}, owner)
        return HandedOver(uris, {**problems, **refused}), refused if problems or unmet else self.notes

    def _contradicted(self, rules: AssetMap, known: frozenset[str]) -> dict[str, ReconcileError]:
        """The files of which the rules say something else than the call, by name."""
        refused: dict[str, ReconcileError] = {}
        for name, note in self.notes.items():
            try:
                _check_owner(rules, note, known)
                reading, rule = rules.read(note.path, known), rules.rule(note.asset_type or "")
                if rule is not None and reading is not None and reading.rule.type != rule.type:
                    raise _other_type(note, rule, reading)
            except UsageError as error:
                refused[name] = error
        return refused


def below_root(folder: Path, file: str) -> str:
    """The path of a file below the local root, with ``/``. Raises UsageError, SourceError."""
    if "\0" in file:
        raise UsageError(f"{file!r} is not a path", hint="return the path of a file that was written")
    system = current()
    full = system.spelled(os.path.abspath(system.plain(file)))
    if os.path.isdir(system.extended(full)):
        raise UsageError(f"{file} is a folder", hint="return the files in it")
    if not os.path.exists(system.extended(full)):
        raise SourceError(f"{file} is not there", hint="return the path of a file that was written")
    root = os.path.abspath(folder)
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


def _looks(settings: Settings) -> Looks:
    """What calls of this process saw of files that are not their own. A call knows that its own are whole, and does not
    keep its workflow waiting for others: a later call takes those, if they look the same then."""
    found = _SEEN.setdefault((settings.root, settings.settle), Looks(settings.settle, sleep=None))
    found.prune(time.monotonic() - _REMEMBERED)
    return found


# -- what the rules say --


def _other_type(note: Note, rule: AssetRule, reading: Reading) -> UsageError:
    return UsageError(
        f"by the rules {note.path} is {reading.rule.type!r}, and the decorator says {note.asset_type!r}",
        hint=f"write it where that type's files are ({rule.path.source}), or leave asset_type out",
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
    """The changes about these keys, and the uploads that they need: a call waits for what it made, and all else is left
    to other runs."""
    own = [change for change in plan.actions if not keys.isdisjoint(keys_about(change))]
    needed = {need.key for change in own if isinstance(change, SetField) for need in change.needs}
    yield from own
    yield from (change for change in plan.actions if is_object(change) and change.key in needed)


# -- what became of it --


def _why_missing(path: str, key: str, project: OpenProject, seen: Survey, report: Report) -> ReconcileError | None:
    """Why the file is not in the bucket, with its content, or None if it is."""
    uploads = (
        outcome for outcome in report.outcomes if outcome.key == key and outcome.kind in ("upload", "replace", "copy")
    )
    outcome = next(uploads, None)
    if outcome is not None:
        return None if outcome.outcome in DONE else _error(outcome)
    if any(facts.key == key and _is_same(facts) for facts in seen.facts):
        return None
    uri = project.bucket.uri(key)
    finding = next((each for each in seen.plan.findings if each.subject in (path, uri)), None)
    if finding is not None:
        return SourceError(finding.message, hint=finding.hint)
    return SourceError(f"{path} is not there any more", hint="run `reconcile plan` to see how things stand")


def _is_unmet(findings: Iterable[Finding], subjects: Collection[str], owner: str | None) -> bool:
    """Whether a later run has something to do for the files; what was found about them goes into the log."""
    about = [
        each
        for each in findings
        if each.subject in subjects or (each.code in UNMET and owner is not None and each.char_id == owner)
    ]
    for each in about:
        logging.getLogger(LOGGER).info("%s: %s", each.subject, each.message)
    return any(each.code in UNMET for each in about)


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
