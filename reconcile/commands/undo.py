"""Plans an undo: puts back the record fields that a run changed, if nobody has changed them since."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
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
from reconcile.core.edit import Edit
from reconcile.core.errors import UsageError
from reconcile.core.events import Listener, silent
from reconcile.core.findings import LOST_SINCE, RECORD_GONE, UNLISTED_SINCE, make
from reconcile.core.journal import JournaledRun, Touched
from reconcile.core.plan import Plan, Scope
from reconcile.core.report import OutcomeKind, Report
from reconcile.core.revert import revert
from reconcile.core.rows import RemoteObject, World
from reconcile.core.size import many
from reconcile.core.way import STEP, place_at
from reconcile.pipeline.account import now
from reconcile.pipeline.executor import run
from reconcile.pipeline.roster import fields_of
from reconcile.ports import Journals
from reconcile.project import OpenProject

LAST = "last"


class Undoing(msgspec.Struct, frozen=True):
    """The plan that undoes a run, and by the id of each change the field that it puts back (``wanted``)."""

    run_id: str
    plan: Plan
    wanted: dict[str, Touched]


def find_run(journal: Journals, name: str) -> JournaledRun:
    """Finds the run with this id, or whose id begins or ends with this name; ``last`` is the newest run. Raises
    UsageError, and JournalError if the journal cannot be read, because what is unknown is not absent."""
    whole = journal.read(name)
    if whole is not None:
        return whole
    runs = journal.runs()
    if name == LAST:
        found = list(itertools.islice(runs, 1))
    else:
        found = [past for past in runs if name and _is_called(past.run.run_id, name)]
    if len(found) == 1:
        return found[0]
    hint = "`reconcile history` lists the runs of this project folder"
    if found:
        raise UsageError(f"{len(found)} runs begin or end with {name!r}", hint=hint)
    raise UsageError(f"the journal of this project has no run {name!r}", hint=hint)


def _is_called(run_id: str, name: str) -> bool:
    return run_id.startswith(name) or run_id.rpartition("-")[2] == name


def find_undoable(journal: Journals, name: str, scope: Scope) -> JournaledRun:
    """Finds a run like ``find_run``. Raises UsageError, too, if the name is ``last`` and the newest run changed no
    field of a character in scope."""
    found = find_run(journal, name)
    if name != LAST or _wrote(found, scope):
        return found
    earlier = next((past for past in journal.runs() if _wrote(past, scope)), None)
    of = f" of {', '.join(scope.char_ids)}" if scope.char_ids else ""
    hint = f"no run of this project folder has changed a field{of}"
    if earlier is not None:
        hint = f"the newest run that did is {describe(earlier)}: `reconcile undo {earlier.run.run_id}`"
    raise UsageError(
        f"the last run, {describe(found)}, changed no record field{of}, so there is nothing to undo: objects stay",
        hint=hint,
    )


def _wrote(past: JournaledRun, scope: Scope) -> bool:
    return any(scope.takes_character(document) for _, document in past.written())


def describe(past: JournaledRun) -> str:
    """Describes a run: its id, its command, and when it began."""
    asked = f"`{past.run.command}`, " if past.run.command else ""
    return f"{past.run.run_id} ({asked}{past.run.started})"


def survey(project: OpenProject, past: JournaledRun, scope: Scope) -> Undoing:
    """Reads the records that the run wrote, and plans to put back the fields that are still as the run left them.
    Raises UsageError for a run on other stores, and what the stores raise."""
    _check_stores(project, past)
    return _UndoSurvey(project, past, scope).run()


class _UndoSurvey:
    """One survey of the records: collects the changes that put fields back, and the findings."""

    def __init__(self, project: OpenProject, past: JournaledRun, scope: Scope) -> None:
        self._project = project
        self._past = past
        self._scope = scope
        self._actions: list[Change] = []
        self._wanted: dict[str, Touched] = {}
        self._findings: list[Finding] = []
        self._in_step = 0
        # The bucket is opened only if an object is asked for.
        self._object: Callable[[str], RemoteObject | None] = cache(lambda key: project.objects.get(key))

    def run(self) -> Undoing:
        written = {place: each for place, each in self._past.written().items() if self._scope.takes_character(place[1])}
        present = fields_of(self._project, written)
        for (world, document), all_touched in written.items():
            fields = present.get((world, document))
            if fields is None:
                self._findings.append(make(RECORD_GONE, self._named(world, document), document))
            else:
                self._take(world, document, fields, all_touched)
        self._note_what_stays()
        plan = plans.build(
            self._actions, self._findings, self._project.origin, created=now(), scope=self._scope, in_step=self._in_step
        )
        return Undoing(self._past.run.run_id, plan, self._wanted)

    def _note_what_stays(self) -> None:
        """Notes the records that the run created, and what it wrote in the bucket."""
        past, scope = self._past, self._scope
        not_made = {each.outcome.id for each in past.outcomes if each.outcome.outcome is not OutcomeKind.APPLIED}
        for made in past.made:
            char_id = document_id(made.document)
            if made.id not in not_made and scope.takes_character(char_id):
                self._findings.append(make(Code.RECORD_STAYS, made.document, char_id))
        wrote = Counter(
            "content type" if each.outcome.kind == "set_metadata" else "object"
            for each in past.outcomes
            if each.uri is not None and each.outcome.outcome is OutcomeKind.APPLIED
            if scope.takes_character(each.char_id) and scope.takes_type(each.asset_type)
        )
        if wrote:
            what = " and ".join(many(count, kind) for kind, count in sorted(wrote.items()))
            self._findings.append(make(Code.OBJECTS_STAY, past.run.stores.bucket, None, what=what))

    def _take(self, world: World, document: str, fields: Mapping[str, Any], touched: Sequence[Touched]) -> None:
        entries = self._project.settings.entries
        made = revert(fields, [each.reversed() for each in touched], entries)
        for each, verdict in zip(touched, made.verdicts, strict=True):
            change, is_key = self._change(world, document, each), each.field == entries.key and not each.way
            if not self._scope.takes_type(change.asset_type):
                continue
            if verdict is OutcomeKind.ALREADY:
                self._in_step += 1
            elif verdict is OutcomeKind.STALE or is_key or not _is_plain(each.before):
                self._findings.append(make(Code.CHANGED_SINCE, change.document, document, place=self._place(each)))
            else:
                self._put_back(change, document, each, {**fields, **made.fields})

    def _put_back(self, change: FieldChange, document: str, touched: Touched, left: Mapping[str, Any]) -> None:
        """Adds the change, unless it would point a record at nothing: a URI of this bucket is put back only if its
        object exists, and a type into the index only if the record as it is ``left`` names an object of that type."""
        needs: list[Need] = []
        place, asset_type = self._place(touched), change.asset_type
        if touched.is_index and asset_type in (touched.before or ()):
            keys = self._uris_in(left).values()
            of_type = (self._need_of(key) for key in keys if self._type_of(key, document) == asset_type)
            need = next(filter(None, of_type), None)
            if need is None:
                self._findings.append(make(UNLISTED_SINCE, change.document, document, place=place, text=asset_type))
                return
            needs.append(need)
        for text, key in self._uris_in(touched.before).items():
            need = self._need_of(key)
            if need is None:
                self._findings.append(make(LOST_SINCE, change.document, document, place=place, text=text))
                return
            needs.append(need)
        self._actions.append(msgspec.structs.replace(change, needs=tuple(needs)))
        self._wanted[change.id] = msgspec.structs.replace(touched.reversed(), id=change.id)

    def _uris_in(self, *values: Any) -> dict[str, str]:
        """Returns the URIs of this bucket in these values, each with its key."""
        texts = (text for value in values for text in texts_in(value))
        return {text: key for text in texts if (key := self._project.bucket.key(text)) is not None}

    def _need_of(self, key: str) -> Need | None:
        """Returns the need for an object; None if it does not exist or holds nothing."""
        found = self._object(key)
        return Need(key, found.crc32c) if found is not None and found.size else None

    def _type_of(self, key: str, document: str) -> str | None:
        reading = self._project.asset_map.read_key(key, (document,))
        return None if reading is None else reading.rule.type

    def _change(self, world: World, document: str, touched: Touched) -> FieldChange:
        key = next(iter(self._uris_in(touched.after, touched.before).values()), None)
        asset_type = None if key is None else self._type_of(key, document)
        if touched.is_index:
            asset_type = next(iter({*texts_in(touched.before)}.symmetric_difference(texts_in(touched.after))), None)
        kind = RewriteLocalDb if world is World.LOCAL_DB else SetField
        return kind(
            id=change_id("undo", self._past.run.run_id, touched.id),
            key=key or "",
            char_id=document,
            asset_type=asset_type,
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
        return place_at(touched.way) or f"{touched.entry}{STEP}{touched.field}"


def _is_plain(value: Any) -> bool:
    """Whether a field that a run set can have held this value before: a text, a list, or nothing."""
    return value is None or isinstance(value, str | list)


def execute(
    project: OpenProject,
    undoing: Undoing,
    *,
    listener: Listener = silent,
    stop: threading.Event | None = None,
    command: str = "",
) -> Report:
    """Puts the fields back, under the same preconditions as any run. The journal has it as a run of its own."""

    def editor(fields: Mapping[str, Any], changes: Sequence[FieldChange]) -> Edit:
        return revert(fields, [undoing.wanted[change.id] for change in changes], project.settings.entries)

    return run(project, undoing.plan, editor, listener=listener, stop=stop, command=command, undoes=undoing.run_id)


def _check_stores(project: OpenProject, past: JournaledRun) -> None:
    theirs, ours = past.run.stores, project.stores
    for name in ("records", "records_endpoint"):
        if getattr(theirs, name) != getattr(ours, name):
            raise UsageError(
                f"run {past.run.run_id} was on {name} {getattr(theirs, name)!r}; this project has"
                f" {getattr(ours, name)!r}",
                hint="undo it with the rules that it was made with",
            )
