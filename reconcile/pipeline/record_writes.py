"""Writes records as planned: creates them from the local database, or changes them under the update time just read."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from reconcile.core.changes import CreateRecord, FieldChange, document_id
from reconcile.core.derived import is_derived
from reconcile.core.edit import Edit, same
from reconcile.core.errors import NotThere, PreconditionFailed, ReconcileError, StoreError, Uncertain
from reconcile.core.journal import Touched
from reconcile.core.plan import Plan
from reconcile.core.report import Outcome, OutcomeKind, Problem
from reconcile.core.rows import Document
from reconcile.ports import RecordStore
from reconcile.project import OpenProject

if TYPE_CHECKING:
    from reconcile.adapters.jsondb.store import JsonDatabase

ATTEMPTS = 8
_GONE = Problem(NotThere.code, "the record is gone")
_BUSY = Problem(
    PreconditionFailed.code, "the record was written by somebody else each time", "run again", transient=True
)
_MOVED = Problem(PreconditionFailed.code, "the field no longer holds what the plan saw", "plan again")

Editor: TypeAlias = Callable[[Mapping[str, Any], Sequence[FieldChange]], Edit]
"""Makes changes to the fields of their record, as they were just read."""
Noting: TypeAlias = Callable[[str, Sequence[Touched]], None]
"""Called before each write with the record and the fields to be written; raises if they must not be written."""
Wait: TypeAlias = Callable[[float], None]
"""Sleeps, in seconds, between two attempts."""


class Creations:
    """Creates a plan's new records from the local database. Safe for several threads."""

    def __init__(self, project: OpenProject, plan: Plan) -> None:
        self._project = project
        self._wanted = sorted(document_id(each.document) for each in plan.actions if isinstance(each, CreateRecord))
        self._lock = threading.Lock()
        self._sources: dict[str, Document] | None = None

    def make(
        self, change: CreateRecord, fields: dict[str, Any], noting: Callable[[CreateRecord, dict[str, Any]], None]
    ) -> bool:
        """Creates a record with these of the planned fields. Returns False if one with the same entries exists already;
        if the answer was lost, the record is read to find out. Raises what the stores and ``noting`` raise, and
        PreconditionFailed if the local database no longer holds what the plan saw."""
        records, entries, char_id = self._project.records, self._project.settings.entries, document_id(change.document)
        try:
            if not self._is_derived(change, char_id):
                raise PreconditionFailed("the local database no longer holds what the plan saw", hint="plan again")
            noting(change, fields)
            records.create(char_id, fields)
        except (PreconditionFailed, Uncertain):
            found = next(iter(records.read([char_id])), None)
            if found is None or not same(entries.of(found.fields), entries.of(fields)):
                raise
            return False
        return True

    def _is_derived(self, change: CreateRecord, char_id: str) -> bool:
        """Whether the new record is that of the local database, with only its paths changed."""
        settings, store = self._project.settings, self._project.local_db
        with self._lock:
            # Read once, because it is one file. No cached_property: before Python 3.12 it has one lock for all runs.
            if self._sources is None:
                found = store.read(self._wanted) if store is not None else ()
                self._sources = {document.id: document for document in found}
            source = self._sources.get(char_id)
        return source is not None and is_derived(
            change.fields,
            source.fields,
            change.needs,
            char_id=char_id,
            entries=settings.entries,
            bucket=settings.bucket,
            asset_map=settings.asset_map,
        )


def merge(
    store: RecordStore,
    char_id: str,
    changes: Sequence[FieldChange],
    editor: Editor,
    noting: Noting,
    wait: Wait,
) -> list[Outcome]:
    """Makes the changes of one record in one write. If somebody else has written it meanwhile, reads and writes again.

    Raises what the store and ``noting`` raise, except that after a failed precondition or a lost answer the record is
    read again.
    """
    lost: Uncertain | None = None
    for attempt in range(ATTEMPTS):
        try:
            document = next(iter(store.read([char_id])), None)
        except StoreError as unread:
            if lost is None:
                raise
            raise lost from unread
        if document is None:
            return _all(changes, OutcomeKind.STALE, _GONE)
        edited = editor(document.fields, changes)
        if lost is not None and edited.changed:
            raise lost  # nothing was written, and a store whose answers get lost is not tried again and again
        try:
            if edited.changed:
                noting(char_id, edited.touched)
                store.update(char_id, edited.fields, if_update_time=document.update_time)
        except NotThere:
            return _all(changes, OutcomeKind.STALE, _GONE)
        except PreconditionFailed:
            _back_off(attempt, wait)
        except Uncertain as error:
            lost = error
        else:
            return _verdicts(changes, edited)
    return _all(changes, OutcomeKind.FAILED, _BUSY)


def merge_many(
    store: JsonDatabase,
    documents: Mapping[str, Sequence[FieldChange]],
    editor: Editor,
    noting: Noting,
    wait: Wait,
) -> list[Outcome]:
    """Makes the changes of many documents in one write, as ``merge`` does for one. Raises what the store and ``noting``
    raise if nothing was written."""
    waiting = dict(documents)
    outcomes: list[Outcome] = []
    for attempt in range(ATTEMPTS):
        found = {document.id: document for document in store.read(sorted(waiting))}
        edits = {each: editor(found[each].fields, changes) for each, changes in waiting.items() if each in found}
        batch = {each: (made.fields, found[each].update_time) for each, made in edits.items() if made.changed}
        for each in batch:
            noting(each, edits[each].touched)
        written = store.update_many(batch) if batch else {}
        again: dict[str, Sequence[FieldChange]] = {}
        for char_id, changes in waiting.items():
            edited, answer = edits.get(char_id), written.get(char_id)
            if edited is None or isinstance(answer, NotThere):
                outcomes += _all(changes, OutcomeKind.STALE, _GONE)
            elif isinstance(answer, PreconditionFailed):
                again[char_id] = changes
            elif isinstance(answer, ReconcileError):
                outcomes += _all(changes, OutcomeKind.FAILED, Problem.of(answer))
            else:
                outcomes += _verdicts(changes, edited)
        waiting = again
        if not waiting:
            return outcomes
        _back_off(attempt, wait)
    return outcomes + [outcome for changes in waiting.values() for outcome in _all(changes, OutcomeKind.FAILED, _BUSY)]


def _verdicts(changes: Sequence[FieldChange], edited: Edit) -> list[Outcome]:
    pairs = zip(changes, edited.verdicts, strict=True)
    return [Outcome.of(change, found, _MOVED if found is OutcomeKind.STALE else None) for change, found in pairs]


def _all(changes: Sequence[FieldChange], kind: OutcomeKind, problem: Problem) -> list[Outcome]:
    return [Outcome.of(change, kind, problem) for change in changes]


def _back_off(attempt: int, wait: Wait) -> None:
    wait(random.uniform(0, min(2.0, 0.05 * 2**attempt)))
