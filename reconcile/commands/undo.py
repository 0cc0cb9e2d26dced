"""undo: a plan that puts back the record fields that a run changed, if nobody has changed them since."""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from reconcile.core import plan as plans
from reconcile.core.changes import (
    Change,
    Code,
    FieldChange,
    Finding,
    Need,
    Reason,
    RewriteLocalDb,
    SetField,
    change_id,
    document_id,
    texts_in,
)
from reconcile.core.edit import Verdict
from reconcile.core.errors import UsageError
from reconcile.core.events import Listener, silent
from reconcile.core.findings import LOST_SINCE, RECORD_GONE, make
from reconcile.core.journal import Past, Touched
from reconcile.core.plan import Plan, Scope
from reconcile.core.report import Report
from reconcile.core.revert import revert
from reconcile.core.rows import RemoteObject, World
from reconcile.core.way import shown
from reconcile.pipeline.account import now
from reconcile.pipeline.executor import run
from reconcile.pipeline.record_writes import Editor
from reconcile.ports import Journal, RecordStore
from reconcile.project import OpenProject

LAST = "last"


class Undoing(msgspec.Struct, frozen=True):
    """The plan that takes a run back, and what each of its changes brings the field to."""

    run_id: str
    plan: Plan
    wanted: dict[str, Touched]


def find_run(journal: Journal, name: str) -> Past:
    """The run of this id, of an id that starts so, or the ``last`` one, which is the newest. Raises UsageError, and
    JournalError if the journal cannot be read: what is unknown is not taken for absent."""
    whole = journal.read(name)
    if whole is not None:
        return whole
    runs = journal.runs()
    if name == LAST:
        found = list(itertools.islice(runs, 1))
    else:
        found = [past for past in runs if name and past.run.run_id.startswith(name)]
    if len(found) == 1:
        return found[0]
    hint = "`reconcile history` lists the runs of this project folder"
    if found:
        raise UsageError(f"{len(found)} runs begin with {name!r}", hint=hint)
    raise UsageError(f"the journal of this project has no run {name!r}", hint=hint)


def find_undoable(journal: Journal, name: str, scope: Scope) -> Past:
    """The run of this name, as in ``find_run``. Raises UsageError, too, if ``last`` is a run that changed no field of a
    character in scope."""
    found = find_run(journal, name)
    if name != LAST or _wrote(found, scope):
        return found
    earlier = next((past for past in journal.runs() if _wrote(past, scope)), None)
    of = f" of {', '.join(scope.char_ids)}" if scope.char_ids else ""
    hint = f"no run of this project folder has changed a field{of}"
    if earlier is not None:
        hint = f"the newest run that did is {describe(earlier)}: `reconcile undo {earlier.run.run_id}`"
    raise UsageError(
        f"the last run, {describe(found)}, changed no record field{of}, so there is nothing to undo", hint=hint
    )


def _wrote(past: Past, scope: Scope) -> bool:
    return any(scope.takes_character(document) for _, document, _ in past.touched())


def describe(past: Past) -> str:
    """Which run: its id, the command, and when it began."""
    asked = f"`{past.run.command}`, " if past.run.command else ""
    return f"{past.run.run_id} ({asked}{past.run.started})"


def survey(project: OpenProject, past: Past, scope: Scope) -> Undoing:
    """Reads the records that the run wrote and plans to put back what is still as it left it. Raises UsageError for a
    run on other stores, and what the stores raise."""
    _check_stores(project, past)
    return _UndoSurvey(project, past, scope).run()


class _UndoSurvey:
    """What is found while the records are gone through."""

    def __init__(self, project: OpenProject, past: Past, scope: Scope) -> None:
        self._project = project
        self._past = past
        self._scope = scope
        self._actions: list[Change] = []
        self._wanted: dict[str, Touched] = {}
        self._findings: list[Finding] = []
        self._in_step = 0
        self._there: dict[str, RemoteObject | None] = {}

    def run(self) -> Undoing:
        for world, document, fields, touched in _as_they_are(self._project, self._past, self._scope):
            if fields is None:
                self._findings.append(make(RECORD_GONE, self._named(world, document), document))
            else:
                self._take(world, document, fields, touched)
        self._findings += [
            make(Code.RECORD_STAYS, made.document, document_id(made.document))
            for made in _made(self._past, self._scope)
        ]
        plan = plans.build(
            self._actions,
            self._findings,
            self._project.origin,
            created=now(),
            scope=self._scope,
            in_step=self._in_step,
        )
        return Undoing(self._past.run.run_id, plan, self._wanted)

    def _take(self, world: World, document: str, fields: Mapping[str, Any], touched: Sequence[Touched]) -> None:
        entries, key = self._project.settings.entries, self._project.settings.entry_key
        verdicts = revert(fields, [each.reversed() for each in touched], entries, key).verdicts
        for each, verdict in zip(touched, verdicts, strict=True):
            change = self._change(world, document, each)
            if not self._scope.takes_type(change.asset_type):
                continue
            if verdict is Verdict.ALREADY:
                self._in_step += 1
            elif verdict is Verdict.STALE or (each.field == key and not each.way) or not _is_plain(each.before):
                self._findings.append(make(Code.CHANGED_SINCE, change.document, document, place=self._place(each)))
            else:
                self._put_back(change, document, each)

    def _put_back(self, change: FieldChange, document: str, touched: Touched) -> None:
        """Gives a field a URI of ours back only if its object is there: undo never points a record at nothing."""
        needs: list[Need] = []
        for text in dict.fromkeys(texts_in(touched.before)):
            key = self._project.bucket.key(text)
            if key is None:
                continue
            found = self._object(key)
            if found is None or not found.size:
                self._findings.append(
                    make(LOST_SINCE, change.document, document, place=self._place(touched), text=text)
                )
                return
            needs.append(Need(key, found.crc32c))
        self._actions.append(msgspec.structs.replace(change, needs=tuple(needs)))
        self._wanted[change.id] = msgspec.structs.replace(touched.reversed(), id=change.id)

    def _object(self, key: str) -> RemoteObject | None:
        if key not in self._there:
            self._there[key] = self._project.objects.get(key)
        return self._there[key]

    def _change(self, world: World, document: str, touched: Touched) -> FieldChange:
        project = self._project
        keys = (project.bucket.key(text) for text in (*texts_in(touched.after), *texts_in(touched.before)))
        key = next((each for each in keys if each is not None), None)
        path = None if key is None else project.asset_map.path_for(key, (document,))
        reading = None if path is None else project.asset_map.read(path, (document,))
        kind = RewriteLocalDb if world is World.LOCAL_DB else SetField
        return kind(
            id=change_id("undo", self._past.run.run_id, touched.id),
            key=key or "",
            char_id=document,
            asset_type=None if reading is None else reading.rule.type,
            reason=Reason.UNDO,
            document=self._named(world, document),
            entry=touched.entry,
            field=touched.field,
            old=touched.after,
            new=touched.before,
            needs=(),
            position=touched.position,
            at=touched.at,
        )

    def _named(self, world: World, document: str) -> str:
        return document if world is World.LOCAL_DB else f"{self._project.settings.records.collection}/{document}"

    def _place(self, touched: Touched) -> str:
        return shown(touched.way) or f"{self._project.settings.entries}[{touched.entry}].{touched.field}"


def _is_plain(value: Any) -> bool:
    """Whether a field that a run set can have held this before: a text, a list, or nothing."""
    return value is None or isinstance(value, str | list)


def execute(
    project: OpenProject,
    undoing: Undoing,
    *,
    listener: Listener = silent,
    stop: threading.Event | None = None,
    command: str = "",
) -> Report:
    """Puts the fields back, under the same preconditions as any run; it is a run of the journal itself."""
    entries, entry_key = project.settings.entries, project.settings.entry_key

    def editor_of(changes: Sequence[FieldChange]) -> Editor:
        wanted = [undoing.wanted[change.id] for change in changes]
        return partial(revert, wanted=wanted, entries=entries, entry_key=entry_key)

    return run(
        project,
        undoing.plan,
        editor_of,
        listener=listener,
        stop=stop,
        command=command,
        undoes=undoing.run_id,
    )


def _check_stores(project: OpenProject, past: Past) -> None:
    theirs, ours = past.run.stores, project.stores
    for name in ("records", "records_endpoint"):
        if getattr(theirs, name) != getattr(ours, name):
            raise UsageError(
                f"run {past.run.run_id} was on {name} {getattr(theirs, name)!r}; this project has"
                f" {getattr(ours, name)!r}",
                hint="undo it with the rules that it was made with",
            )


def _as_they_are(
    project: OpenProject, past: Past, scope: Scope
) -> Iterator[tuple[World, str, Mapping[str, Any] | None, list[Touched]]]:
    """Each document that the run wrote, with its fields now (None if it is gone) and what was touched, in order."""
    written: dict[World, dict[str, list[Touched]]] = {
        World.RECORDS: defaultdict(list),
        World.LOCAL_DB: defaultdict(list),
    }
    for world, document, touched in past.touched():
        if scope.takes_character(document):
            written[world][document].append(touched)
    stores: Mapping[World, RecordStore | None] = {World.RECORDS: project.records, World.LOCAL_DB: project.local_db}
    for world, documents in written.items():
        store = stores[world] if documents else None
        found = {} if store is None else {each.id: each.fields for each in store.read(sorted(documents))}
        for document, touched_there in documents.items():
            yield world, document, found.get(document), touched_there


def _made(past: Past, scope: Scope) -> Iterable[Any]:
    left = {each.outcome.id for each in past.outcomes if each.outcome.outcome.value != "applied"}
    return [
        made for made in past.made if made.id not in left and scope.takes_character(made.document.rpartition("/")[2])
    ]
