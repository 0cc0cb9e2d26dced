"""The runs of a project for `history`: what was really done, with the values before and after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import Enum
from typing import Any

import msgspec

from reconcile.core.changes import document_id
from reconcile.core.cost import Used
from reconcile.core.journal import FieldsTouched, JournaledRun, RecordMade, Touched
from reconcile.core.plan import Scope
from reconcile.core.report import Counts
from reconcile.core.rows import World
from reconcile.core.way import Way

FORMAT = "reconcile.history/1"
UNFINISHED = "unfinished"


class PastOutcome(Enum):
    """What is known of one change: its outcome, or ``unknown`` if the run ended before recording it."""

    APPLIED = "applied"
    ALREADY = "already"
    STALE = "stale"
    FAILED = "failed"
    BLOCKED = "blocked"
    NOT_STARTED = "not_started"
    UNKNOWN = "unknown"


class PastChange(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a run.

    An object has ``uri``, ``size``, ``crc32c`` and generations, ``source`` (a URI) if it was copied from there, and
    ``content_type`` with the one before if that was to be set. A field has ``document``, ``world``, ``entry``,
    ``field`` (and ``at`` if it is not a map's field), ``before`` and ``after``, and ``had``: whether the field existed
    before.
    """

    id: str
    kind: str
    outcome: PastOutcome
    key: str | None = None
    char_id: str | None = None
    asset_type: str | None = None
    error: str | None = None
    uri: str | None = None
    size: int | None = None
    crc32c: str | None = None
    generation_before: int | None = None
    generation: int | None = None
    source: str | None = None
    content_type: str | None = None
    content_type_before: str | None = None
    document: str | None = None
    world: World | None = None
    entry: str | None = None
    position: int | None = None
    field: str | None = None
    at: Way | msgspec.UnsetType = msgspec.UNSET
    before: Any = None
    had: bool | None = None
    after: Any = None
    has: bool | None = None


class PastRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run. ``status`` is ``unfinished`` if it was killed or is still running.

    ``unread`` lines of its journal are damaged. ``used`` is its use of the stores, null if unknown. ``changes`` are
    included only if one run was requested.
    """

    run_id: str
    started: str
    ended: str | None
    status: str
    command: str
    scope: Scope
    bucket: str
    records: str
    actions: int
    counts: Counts
    bytes: int
    seconds: float | None
    undoes: str | None
    unread: int = 0
    used: Used | None = None
    changes: tuple[PastChange, ...] | None = None


class History(msgspec.Struct, frozen=True):
    """The document of ``history --json``: runs, newest first. ``total`` is how many the journal has."""

    format: str
    runs: tuple[PastRun, ...]
    total: int


def past_run(past: JournaledRun, scope: Scope | None = None) -> PastRun:
    """Returns the summary of a run, with its changes in the scope if one is given."""
    end = past.end
    counted = Counter(each.outcome.outcome.value for each in past.outcomes)
    return PastRun(
        run_id=past.run.run_id,
        started=past.run.started,
        ended=None if end is None else end.ended,
        status=UNFINISHED if end is None else end.status.value,
        command=past.run.command,
        scope=past.run.scope,
        bucket=past.run.stores.bucket,
        records=past.run.stores.records,
        actions=past.run.actions,
        unread=past.unread,
        counts=Counts(**counted) if end is None else end.counts,
        bytes=0 if end is None else end.bytes,
        seconds=None if end is None else end.seconds,
        undoes=past.run.undoes,
        used=None if end is None else end.used,
        changes=None if scope is None else tuple(each for each in _changes(past) if _is_in(each, scope)),
    )


def touches(past: JournaledRun, scope: Scope) -> bool:
    """Whether a run did anything for the characters and asset types in scope."""
    return scope == Scope() or any(_is_in(each, scope) for each in _changes(past))


def _is_in(change: PastChange, scope: Scope) -> bool:
    return (
        scope.takes_character(change.char_id) and scope.takes_type(change.asset_type) and scope.takes_name(change.key)
    )


def _changes(past: JournaledRun) -> Iterator[PastChange]:
    # Each change is put together only when it is yielded, because a run may have made a million.
    fields = {touched.id: (line, touched) for line in past.fields for touched in line.touched}
    made = {each.id: each for each in past.made}
    for ended in past.outcomes:
        outcome = ended.outcome
        told = {
            **msgspec.structs.asdict(ended),
            "id": outcome.id,
            "kind": outcome.kind,
            "outcome": PastOutcome(outcome.outcome.value),
            "key": outcome.key,
            "error": outcome.error,
        }
        record, field = made.pop(outcome.id, None), fields.pop(outcome.id, None)
        if field is not None:
            told |= _of_field(*field)
        elif record is not None:
            told |= _of_record(record)
        yield PastChange(**told)
    for ident, (line, touched) in fields.items():
        kind = "set_field" if line.world is World.RECORDS else "rewrite_local_db"
        yield PastChange(id=ident, kind=kind, outcome=PastOutcome.UNKNOWN, **_of_field(line, touched))
    for record in made.values():
        yield PastChange(id=record.id, kind="create_record", outcome=PastOutcome.UNKNOWN, **_of_record(record))


def _of_field(line: FieldsTouched, touched: Touched) -> dict[str, Any]:
    told = msgspec.structs.asdict(touched)
    del told["id"], told["place"]
    return {"char_id": line.document, "document": line.document, "world": line.world, **told}


def _of_record(made: RecordMade) -> dict[str, Any]:
    return {
        "char_id": document_id(made.document),
        "document": made.document,
        "world": World.RECORDS,
        "had": False,
        "after": made.fields,
        "has": True,
    }
