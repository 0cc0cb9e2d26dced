"""The hand-over of what a call made, which one run brings in step: survey, the call's part of the plan, execute,
answer."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from reconcile.adapters.disk_names import as_text
from reconcile.adapters.local.settle import FirstLooks
from reconcile.adapters.state.outbox import Outbox
from reconcile.adapters.system import current
from reconcile.config.environment import RULES, find_project
from reconcile.config.settings import Settings, load
from reconcile.core.changes import Change, Code, Finding, ObjectChange, Replace, SetField, keys_about
from reconcile.core.digest import Comparison, compare_object
from reconcile.core.errors import ReconcileError, SourceError, StoreError, UsageError
from reconcile.core.events import Listener
from reconcile.core.names import is_unicode, spelling
from reconcile.core.notes import Note
from reconcile.core.plan import Plan, Scope
from reconcile.core.report import Report
from reconcile.core.rules import AssetMap, AssetRule, Reading
from reconcile.hooks.calls import Answer, Call
from reconcile.hooks.errors import LOGGER
from reconcile.pipeline.executor import execute
from reconcile.pipeline.planner import survey
from reconcile.pipeline.roster import known_owners
from reconcile.pipeline.survey import Survey
from reconcile.project import ClosedProject, OpenProject
from reconcile.run_options import RunOptions

_UNMET = (Code.MISSING_RECORD, Code.AMBIGUOUS_FIELD)
"""Findings about a character after which a later run may have something to do for its files."""
_UNWRITTEN = (Code.MISSING_RECORD, Code.MALFORMED_RECORD)
"""Findings about a record because of which a field cannot get the upserted file."""
_SEEN: dict[tuple[Path, float], FirstLooks] = {}
_REMEMBERED = 3600.0
"""Seconds for which the last look at a file is kept."""


def settings_of(chosen: str | None, files: Sequence[str]) -> Settings:
    """Loads the settings of the project of a call: the ``chosen`` one; else the nearest one at or above the first of
    its files that has one; else the one at or above the current folder. Raises ConfigError, UsageError."""
    if chosen is None:
        near = (find_project(Path(os.path.abspath(current().plain(file))).parent) for file in files if "\0" not in file)
        chosen = next((str(folder) for folder in near if (folder / RULES).is_file()), None)
    return load(find_project(explicit=None if chosen is None else Path(chosen)))


class Handover:
    """A call, read by the rules of its project.

    ``notes`` has the note of each file that a run could take, by the name that the call gave it, and ``refused`` why a
    run could not take the others; those of an upsert are ignored. ``title`` is the key of the upserted map, empty if it
    has none, and ``first`` the name in messages of what is handed over: its first file. Making a Handover asks no
    store.
    """

    def __init__(self, call: Call, settings: Settings) -> None:
        self.call = call
        self.settings = settings
        self.outbox = Outbox(settings.project)
        self.title = (call.asset or {}).get(settings.entries.key, "")
        self.notes: dict[str, Note] = {}
        self.refused = dict(call.wrong)
        for name in call.files:
            try:
                self.notes[name] = self._note_of(name)
            except ReconcileError as error:
                if not call.is_upsert:
                    self.refused[name] = error
        self.first = next(iter(self.notes), f"what belongs to {call.char_id}")

    def _note_of(self, name: str) -> Note:
        call, rules, key = self.call, self.settings.asset_map, self.settings.entries.key
        asset_type = None if call.asset_type is None else rules.type_called(call.asset_type)
        named = ((self.title, field) for field, file in call.fields if file == name and field != key)
        places = tuple(each for each in named if all(text.strip() and is_unicode(text) for text in each))
        note = Note(below_root(self.settings.root, name), call.char_id, asset_type, places)
        reading, rule = rules.read(note.path, ()), rules.rule(asset_type or "")
        if reading is None:
            test = f"reconcile rules test {current().quoted(note.path)}"
            raise UsageError(f"no rule matches {note.path}", hint=f"add one, and try it with `{test}`")
        if rule is not None and not rule.path.takes(note.path):
            raise _other_type(note, rule, reading)
        return note

    def run(self, *, patience: float, listener: Listener, stop: threading.Event | None = None) -> Answer:
        """Brings the files in step, and removes the notes that no later run needs. Waits up to ``patience`` seconds for
        the lock of the project. Raises LockHeld, and what a plan raises."""
        options = RunOptions(notes=tuple(self.notes.values()), looks=_looks(self.settings))
        with ClosedProject(self.settings).opened(options) as project:
            try:
                answer, done = self._run(project, patience, listener, stop)
            except UsageError:
                self.outbox.remove(self.notes.values())  # a note that the rules contradict would be of no use
                raise
        self.outbox.remove(self.notes[name] for name in done)
        return answer

    def _run(
        self, project: OpenProject, patience: float, listener: Listener, stop: threading.Event | None
    ) -> tuple[Answer, Collection[str]]:
        """Returns the answer, and the files whose notes no later run needs."""
        rules = project.asset_map
        # Asked before the lock is taken, so that a cloud that does not answer does not keep out other runs.
        known = known_owners(project, [note.path for note in self.notes.values()], self.call.char_id)
        refused: dict[str, ReconcileError] = {
            name: why for name, note in self.notes.items() if (why := _contradicted(rules, note, known))
        }
        if refused.keys() == self.notes.keys() != set():
            return ({}, refused), refused
        owner = self.call.char_id and (spelling(self.call.char_id, known) or self.call.char_id)
        paths = {name: note.path for name, note in self.notes.items() if name not in refused}
        keys = {name: rules.key_for(path, known) for name, path in paths.items()}
        own, scope = set(keys.values()), _scope([rules.read(path, known) for path in paths.values()], owner)
        with project.lock().acquire(patience):
            seen = survey(project, scope, listener=listener, trace=own)
            plan = seen.plan
            if not self.call.is_upsert:
                waiting = [each.path for each in project.noted if spelling(each.char_id or "", scope.char_ids)]
                plan = plan.keeping(_about(plan, own.union(rules.key_for(each, known) for each in waiting)))
            # The limit on replacing is meant for accidents, not for what the call itself has made anew.
            meant = all(change.key in own for change in plan.actions if isinstance(change, Replace))
            report = execute(project, plan, force=meant, listener=listener, stop=stop, command="workflow")
        missing = {name: _why_missing(paths[name], key, project, seen, report) for name, key in keys.items()}
        uris = {name: project.bucket.uri(key) for name, key in keys.items() if missing[name] is None}
        problems = {name: why for name, why in missing.items() if why is not None}
        for change, outcome in zip(plan.actions, report.outcomes, strict=True):
            if not outcome.is_done and (self.call.is_upsert or not own.isdisjoint(keys_about(change))):
                problems.setdefault(next(iter(keys), self.first), outcome.failure())
        about = _found_about(seen.plan.findings, {*paths.values(), *map(project.bucket.uri, own)}, owner)
        unwritten = next((each for each in about if each.code in _UNWRITTEN), None)
        if unwritten is not None and not problems and any(self.notes[name].places for name in uris):
            told = f"{unwritten.subject}: {unwritten.message}"
            problems = {next(iter(uris)): StoreError(told, hint=unwritten.hint)}
        unmet = any(each.code in _UNMET for each in about)
        return (uris, {**problems, **refused}), refused if problems or unmet else self.notes


def below_root(folder: Path, file: str) -> str:
    """Returns the path of a file relative to the local root, with ``/``. Raises UsageError, SourceError."""
    if "\0" in file:
        raise UsageError(f"{file!r} is not a path", hint="return the path of a file that was written")
    system = current()
    full = system.spelled(os.path.abspath(system.plain(file)))
    if os.path.isdir(system.extended(full)):
        raise UsageError(f"{file} is a folder", hint="return the files in it")
    if not os.path.exists(system.extended(full)):
        raise SourceError(f"{file} is not there", hint="return the path of a file that was written")
    # A link above the root is followed; one below it is left to the walk.
    real = os.path.join(os.path.realpath(os.path.dirname(full)), os.path.basename(full))
    for base, name in ((os.path.abspath(folder), full), (os.path.realpath(folder), real)):
        try:
            parts = Path(os.path.relpath(name, base)).parts  # takes a leading // for /, which Path does not
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


def _looks(settings: Settings) -> FirstLooks:
    """Returns what calls of this process have seen of other files. A call knows that its own files are complete, and
    does not make its workflow wait for others: a later call takes those, if they are unchanged by then."""
    found = _SEEN.setdefault((settings.root, settings.settle), FirstLooks(settings.settle, sleep=None))
    found.prune(time.monotonic() - _REMEMBERED)
    return found


# -- what the rules say --


def _other_type(note: Note, rule: AssetRule, reading: Reading) -> UsageError:
    return UsageError(
        f"by the rules {note.path} is {reading.rule.type!r}, and the decorator says {note.asset_type!r}",
        hint=f"write it where that type's files are ({rule.path.source}), or leave asset_type out",
    )


def _contradicted(rules: AssetMap, note: Note, known: frozenset[str]) -> UsageError | None:
    """Returns the error if the call contradicts the rules, by which the path names another known character or has
    another type; else None."""
    reading, rule = rules.read(note.path, known), rules.rule(note.asset_type or "")
    if reading is None:
        return None
    if reading.characters and note.char_id is not None and not spelling(note.char_id, reading.characters):
        owners = " or ".join(reading.characters)
        return UsageError(
            f"by its name {note.path} is {owners}'s, and the call was for {note.char_id}",
            hint="put the character's own id into the file's name, or say whose it is with char_id=",
        )
    return None if rule is None or reading.rule.type == rule.type else _other_type(note, rule, reading)


def _scope(readings: Sequence[Reading | None], owner: str | None) -> Scope:
    """Returns the scope of these files: their characters, or, if the character of one is unknown, their types."""
    found = [reading for reading in readings if reading is not None]
    if any(each.char_id is None for each in found):
        return Scope(asset_types=tuple(sorted({each.rule.type for each in found})))
    return Scope(tuple(sorted({each for each in (owner, *(each.char_id for each in found)) if each is not None})))


def _about(plan: Plan, keys: set[str]) -> Iterator[Change]:
    """Yields the changes about these keys, and the object changes that they need. A call waits only for what it made,
    and leaves everything else to other runs."""
    own = [change for change in plan.actions if not keys.isdisjoint(keys_about(change))]
    needed = {need.key for change in own if isinstance(change, SetField) for need in change.needs}
    yield from own
    yield from (change for change in plan.actions if isinstance(change, ObjectChange) and change.key in needed)


# -- the result --


def _why_missing(path: str, key: str, project: OpenProject, seen: Survey, report: Report) -> ReconcileError | None:
    """Returns why the file is not in the bucket with its content, or None if it is."""
    for outcome in report.outcomes:
        if outcome.key == key and outcome.kind in ("upload", "replace", "copy"):
            return None if outcome.is_done else outcome.failure()
    for facts in seen.facts:
        local, remote = facts.local, facts.remote
        if facts.key != key or local is None or remote is None:
            continue
        if compare_object(local.size, local.crc32c, remote, facts.agreed) is Comparison.SAME:
            return None
    for finding in seen.plan.findings:
        if finding.subject in (path, project.bucket.uri(key)):
            return SourceError(finding.message, hint=finding.hint)
    return SourceError(f"{path} is not there any more", hint="run `reconcile plan` to see how things stand")


def _found_about(findings: Iterable[Finding], subjects: set[str], owner: str | None) -> list[Finding]:
    """Returns the findings about the files, and those that keep their record from naming them; also logs them."""
    codes = {*_UNMET, *_UNWRITTEN}
    about = [each for each in findings if each.subject in subjects or (each.code in codes and each.char_id == owner)]
    for each in about:
        logging.getLogger(LOGGER).info("%s: %s", each.subject, each.message)
    return about
