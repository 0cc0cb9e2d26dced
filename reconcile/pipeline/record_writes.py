"""Field changes merged into shared records: read, set what still holds what the plan saw, write under the time read."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from reconcile.core.changes import FieldChange
from reconcile.core.edit import Edit, Verdict
from reconcile.core.errors import NotThere, PreconditionFailed, ReconcileError, StoreError, Uncertain
from reconcile.core.journal import Touched
from reconcile.core.report import Outcome, OutcomeKind, Problem
from reconcile.ports import RecordStore

ATTEMPTS = 8
_GONE = Problem(NotThere.code, "the record is gone")
_BUSY = Problem(
    PreconditionFailed.code, "the record was written by somebody else each time", "run again", transient=True
)
_MOVED = Problem(PreconditionFailed.code, "the field no longer holds what the plan saw", "plan again")


Editor: TypeAlias = Callable[[Mapping[str, Any]], Edit]
"""Makes the changes of one record on its fields, as they were just read."""
Noting: TypeAlias = Callable[[str, Sequence[Touched]], None]
"""Told, before each write, which record is written and what is touched; raises if the write must not be."""


Wait: TypeAlias = Callable[[float], None]
"""Passes so many seconds between two tries."""


class BatchStore(RecordStore, Protocol):
    """A record store that writes several documents at once."""

    def update_many(self, changes: Mapping[str, tuple[Mapping[str, Any], str]]) -> dict[str, str | StoreError]:
        """Sets top-level fields of several documents, ``{id: (fields, if_update_time)}``; an error for each that was
        kept from being written."""
        ...


def merge(
    store: RecordStore,
    char_id: str,
    changes: Sequence[FieldChange],
    editor: Editor,
    noting: Noting,
    wait: Wait = time.sleep,
) -> list[Outcome]:
    """Makes the changes of one record in one write; reads again and writes again if somebody else was faster.

    Raises what the store and ``noting`` raise, except for failed preconditions and lost replies: those are settled by
    reading.
    """
    for attempt in range(ATTEMPTS):
        document = next(iter(store.read([char_id])), None)
        if document is None:
            return _all(changes, OutcomeKind.STALE, _GONE)
        edited = editor(document.fields)
        try:
            if edited.changed:
                noting(char_id, edited.touched)
                store.update(char_id, edited.fields, if_update_time=document.update_time)
        except NotThere:
            return _all(changes, OutcomeKind.STALE, _GONE)
        except PreconditionFailed:
            _back_off(attempt, wait)
            continue
        except Uncertain as error:
            return _settled(store, char_id, changes, editor, error)
        return list(_verdicts(changes, edited))
    return _all(changes, OutcomeKind.FAILED, _BUSY)


def _settled(
    store: RecordStore,
    char_id: str,
    changes: Sequence[FieldChange],
    editor: Editor,
    error: Uncertain,
) -> list[Outcome]:
    """The outcomes after a lost reply, as the record tells them. Raises the error if it tells that nothing was
    written: a store that does not answer is not asked again and again."""
    try:
        document = next(iter(store.read([char_id])), None)
    except StoreError as unread:
        raise error from unread
    if document is None:
        return _all(changes, OutcomeKind.STALE, _GONE)
    edited = editor(document.fields)
    if edited.changed:
        raise error
    return list(_verdicts(changes, edited))


def merge_many(
    store: BatchStore,
    documents: Mapping[str, Sequence[FieldChange]],
    editors: Mapping[str, Editor],
    noting: Noting,
    wait: Wait = time.sleep,
) -> list[Outcome]:
    """The same for many documents that one write takes. Raises what the store and ``noting`` raise if nothing was
    written."""
    waiting = dict(documents)
    outcomes: list[Outcome] = []
    for attempt in range(ATTEMPTS):
        found = {document.id: document for document in store.read(sorted(waiting))}
        edits = {each: editors[each](found[each].fields) for each in waiting if each in found}
        batch = {each: (made.fields, found[each].update_time) for each, made in edits.items() if made.changed}
        for each in batch:
            noting(each, edits[each].touched)
        written = store.update_many(batch) if batch else {}
        for char_id, changes in list(waiting.items()):
            settled = _settle(changes, edits.get(char_id), written.get(char_id))
            if settled is not None:
                outcomes += settled
                del waiting[char_id]
        if not waiting:
            return outcomes
        _back_off(attempt, wait)
    return outcomes + [outcome for changes in waiting.values() for outcome in _all(changes, OutcomeKind.FAILED, _BUSY)]


def _settle(
    changes: Sequence[FieldChange], edited: Edit | None, written: str | StoreError | None
) -> list[Outcome] | None:
    """The outcomes of one document's changes, or None if they must be tried again."""
    if edited is None or isinstance(written, NotThere):
        return _all(changes, OutcomeKind.STALE, _GONE)
    if isinstance(written, PreconditionFailed):
        return None
    if isinstance(written, ReconcileError):
        return _all(changes, OutcomeKind.FAILED, Problem.of(written))
    return list(_verdicts(changes, edited))


def _verdicts(changes: Sequence[FieldChange], edited: Edit) -> Iterator[Outcome]:
    for change, verdict in zip(changes, edited.verdicts, strict=True):
        match verdict:
            case Verdict.SET:
                yield Outcome.of(change, OutcomeKind.APPLIED)
            case Verdict.ALREADY:
                yield Outcome.of(change, OutcomeKind.ALREADY)
            case Verdict.STALE:
                yield Outcome.of(change, OutcomeKind.STALE, _MOVED)


def _all(changes: Sequence[FieldChange], kind: OutcomeKind, problem: Problem) -> list[Outcome]:
    return [Outcome.of(change, kind, problem) for change in changes]


def _back_off(attempt: int, wait: Wait) -> None:
    wait(random.uniform(0, min(2.0, 0.05 * 2**attempt)))
