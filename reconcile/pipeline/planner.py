"""Observations → Plan: the one road from refresh through the core to a plan, shared by every command.

    read_roster      reads   the documents in scope, and every known character id
    explode          pure    a document's texts → the keys they could mean
    Observations     reads   files and objects, joined key by key as both listings stream in order
    by_key           pure    one key's file, object and references → object changes, answers, claims
    by_document      pure    one record with its answers and claims → the changes of that record
    plan.build       pure    order, counts, fingerprint

Only ``refresh`` reads and nothing here writes, but for what this machine remembers to be fast (``.reconcile/``).
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Collection, Iterable

import msgspec

from reconcile.core import plan as plans
from reconcile.core.changes import (
    Change,
    Code,
    CreateRecord,
    Finding,
    Replace,
    RewriteLocalDb,
    SetField,
    Upload,
)
from reconcile.core.context import Context
from reconcile.core.digest import Comparison, compare_object
from reconcile.core.events import Listener, Phase, PhaseDone, PhaseStarted, Warned, silent
from reconcile.core.findings import ROOT_GONE, about_unread, make
from reconcile.core.names import fold, nfc
from reconcile.core.notes import Note, Place, placed, wishes
from reconcile.core.plan import Plan, Scope
from reconcile.core.rows import (
    Agreed,
    Answer,
    Candidate,
    Claim,
    Document,
    FileProblem,
    KeyFacts,
    KeyTally,
    Outlook,
    Unsettled,
    Unwanted,
    World,
)
from reconcile.core.stages import by_document, by_key, explode
from reconcile.core.stages.explode import entry_key
from reconcile.core.stages.key import KeyRows
from reconcile.core.status import Tally
from reconcile.pipeline.observe import Observations, Unread
from reconcile.pipeline.roster import (
    Refused,
    Roster,
    Store,
    check_characters,
    check_types,
    context_of,
    gone,
    read_roster,
)
from reconcile.project import Project

REMEMBER_AT_ONCE = 5000


class Survey(msgspec.Struct, frozen=True):
    """A plan and what was counted on the way to it. ``tallies`` are by (asset type, character)."""

    plan: Plan
    tallies: dict[tuple[str | None, str | None], Tally]
    facts: tuple[KeyFacts, ...]
    known_ids: frozenset[str]


def survey(
    project: Project, scope: Scope | None = None, *, listener: Listener = silent, trace: Collection[str] = ()
) -> Survey:
    """Reads the worlds and decides. Raises StoreError, SourceError and ConfigError where one of them cannot be read,
    and UsageError where the scope names no known character or asset type. A part of a store that may not be read is
    left unknown, unless that is all there is."""
    wanted = scope or Scope()
    check_types(project, wanted)
    project.heard_by(listener)
    listener(PhaseStarted(Phase.RECORDS))
    roster = read_roster(project, wanted, listener, partial=True)
    check_characters(roster, wanted)
    listener(PhaseDone(Phase.RECORDS))
    return _Surveyor(project, roster.scope, roster, listener, trace).run()


class _Surveyor:
    """One planning, from the roster to the plan."""

    def __init__(
        self, project: Project, scope: Scope, roster: Roster, listener: Listener, trace: Collection[str]
    ) -> None:
        self._project = project
        self._roster = roster
        self._listener = listener
        self._context = context_of(project, scope, roster, trace)
        self._observed = Observations(project, scope, roster.known_ids, listener, partial=True)
        self._asked: dict[str, list[Candidate]] = defaultdict(list)
        self._held: dict[str, list[KeyRows]] = defaultdict(list)
        self._answers: dict[str, list[Answer]] = defaultdict(list)
        self._claims: dict[str, list[Claim]] = defaultdict(list)
        self._changes: list[Change] = []
        self._findings: list[Finding] = []
        self._facts: list[KeyFacts] = []
        self._agreed: list[Agreed] = []
        self._noted: dict[str, str | None] = {note.path: None for note in project.noted}
        self._traced = frozenset(trace)
        self._placed = placed(project.asset_map)
        self._there: set[str] = set()
        self._counts = _Counts()
        self._objects = 0
        self._files = 0
        self._lost_root = False
        self._complete = True

    def run(self) -> Survey:
        for refused in self._roster.refused:
            self._leave_unknown(refused)
        self._explode()
        self._listener(PhaseStarted(Phase.LISTING))
        self._join()
        self._listener(PhaseDone(Phase.LISTING))
        self._decide_documents()
        self._remember()
        self._judge_root()
        self._clear_notes()
        self._warn()
        return self._result()

    def _explode(self) -> None:
        pairs = [(World.RECORDS, self._roster.documents), (World.LOCAL_DB, self._roster.local_documents)]
        for world, documents in pairs:
            for document in documents:
                for candidate in explode(document, world, self._context):
                    self._asked[fold(candidate.key)].append(candidate)
        asked = [each for listed in self._asked.values() for each in listed]
        scope = self._context.scope
        if scope.char_ids:
            self._know(self._observed.look_up(asked))
        elif scope.asset_types:
            rules = self._context.asset_map.rules
            fields = {rule.field for rule in rules if rule.type in scope.asset_types}
            self._know(
                self._observed.look_up([each for each in asked if not each.slot.at and each.slot.field in fields])
            )

    def _know(self, more: frozenset[str]) -> None:
        self._context = msgspec.structs.replace(self._context, known_ids=self._context.known_ids | more)

    def _join(self) -> None:
        self._context = self._covered()
        for rows in self._observed:
            if not isinstance(rows, KeyRows):
                self._context = self._covered()
                self._note(rows) if isinstance(rows, Unread) else self._leave_unknown(rows)
                continue
            self._files += rows.local is not None
            self._note_agreed(rows)
            if rows.path in self._placed:
                self._context = msgspec.structs.replace(self._context, trace=self._context.trace | {rows.key})
            folded = fold(rows.key)
            asked = self._asked.get(folded, ())
            if folded not in self._held and all(candidate.key == rows.key for candidate in asked):
                self._asked.pop(folded, None)
                self._take(by_key([rows], asked, self._context))
            else:
                self._held[folded].append(rows)
        denied = self._roster.denied
        if denied is not None and not self._observed.listed:
            raise denied
        for folded in dict.fromkeys((*self._asked, *self._held)):
            self._take(by_key(self._held.get(folded, ()), self._asked.get(folded, ()), self._context))

    def _covered(self) -> Context:
        observed = self._observed
        ids_known = self._context.ids_known and observed.ids_known
        return msgspec.structs.replace(self._context, local=observed.local, remote=observed.remote, ids_known=ids_known)

    def _leave_unknown(self, refused: Refused) -> None:
        self._complete = False
        project, name, why = self._project, refused.name, refused.error.sentence
        if not name:
            self._listener(
                Warned(f"nothing of {refused.store.value} may be read, so what depends on it is left: {why}")
            )
        if refused.store is Store.BUCKET:
            subject = project.bucket.uri(name) if name else str(project.bucket)
            self._findings.append(make(Code.UNREADABLE_SCOPE, subject, None, why=why))
        else:
            subject = self._context.document(name) if name else project.stores.records
            self._findings.append(make(Code.UNREADABLE_SCOPE, subject, name or None, why=why))

    def _note(self, unread: Unread) -> None:
        problem = unread.folder.problem or FileProblem.UNREADABLE
        self._complete = self._complete and problem is not FileProblem.UNREADABLE
        self._findings.append(about_unread(unread.folder))

    def _take(self, outputs: Iterable[object]) -> None:
        for output in outputs:
            match output:
                case Answer():
                    self._answers[output.document].append(output)
                case Claim():
                    self._claims[output.document].append(output)
                case Finding():
                    self._findings.append(output)
                    self._complete = self._complete and output.code is not Code.UNREADABLE_FILE
                case KeyTally():
                    self._objects += output.bucket
                    self._counts.add(output)
                case KeyFacts():
                    self._claim_places(output)
                    if output.key in self._traced or output.path in self._traced:
                        self._facts.append(output)
                case Unsettled():
                    self._counts.unsettled.add(output.key)
                case Unwanted():
                    self._counts.unwanted.add(output.key)
                case Upload() | Replace():
                    self._changes.append(output)
                    self._counts.to_do.add(output.key)
                case SetField() | CreateRecord() | RewriteLocalDb():
                    self._changes.append(output)
                    self._counts.to_do.update(need.key for need in output.needs)
                case _:
                    raise AssertionError(f"no stage yields {type(output).__name__}")

    def _claim_places(self, facts: KeyFacts) -> None:
        """A file claims the fields that a workflow's call gave it, whatever its rule says."""
        note, local, context = self._placed.get(facts.path or ""), facts.local, self._context
        reading = None if note is None else context.asset_map.read(note.path, context.known_ids)
        if note is None or reading is None or reading.char_id is None or reading.char_id != note.char_id:
            return
        scope = context.scope
        if local is None or local.crc32c is None or facts.outlook is not Outlook.THERE or not context.ids_known:
            return
        if not scope.takes_character(reading.char_id) or not scope.takes_type(reading.rule.type):
            return
        rule = context.asset_map.rules.index(reading.rule)
        for entry, field in note.places:
            self._claims[reading.char_id].append(
                Claim(
                    document=reading.char_id,
                    entry=entry,
                    field=field,
                    key=facts.key,
                    rule=rule,
                    outlook=facts.outlook,
                    crc32c=local.crc32c,
                    local=True,
                    modified=local.mtime_ns,
                )
            )

    def _decide_documents(self) -> None:
        records = {document.id: document for document in self._roster.documents}
        local = {document.id: document for document in self._roster.local_documents}
        for char_id in sorted(records.keys() | local.keys() | self._claims.keys()):
            answers, claims = self._answers.get(char_id, ()), self._claims.get(char_id, ())
            self._take(by_document(char_id, records.get(char_id), local.get(char_id), answers, claims, self._context))

    def _note_agreed(self, rows: KeyRows) -> None:
        local, remote = rows.local, rows.remote
        if local is not None and local.path in self._noted:
            self._there.add(local.path)
        if local is None or remote is None or local.crc32c is None:
            return
        same = compare_object(local.size, local.crc32c, remote) is Comparison.SAME
        if same and local.path in self._noted:
            self._noted[local.path] = rows.key
        now = Agreed(rows.key, local.size, local.crc32c, remote.generation)
        if same and now != rows.agreed:
            self._agreed.append(now)
        if len(self._agreed) >= REMEMBER_AT_ONCE:
            self._remember()

    def _remember(self) -> None:
        self._project.agreed.remember(self._agreed)
        self._agreed = []

    def _clear_notes(self) -> None:
        """Forgets what workflow code noted of files that have no more to gain by it: they are in the bucket and their
        character's record was read, needs nothing and has them where it was told to, or they are gone."""
        project, context = self._project, self._context
        if not self._noted or context.scope.asset_types or not self._complete or self._lost_root:
            return
        records = {document.id: document for document in self._roster.documents}
        pending = self._counts.to_do | self._counts.unsettled

        def is_done(note: Note) -> bool:
            key = self._noted[note.path]
            if key is None:
                return note.path not in self._there and context.local.covers(note.path)
            if note.char_id is None or key in pending:
                return key not in pending
            record = records.get(note.char_id)
            if record is None or not note.places:
                return record is not None
            wished = wishes(context.asset_map, note.char_id, context.known_ids)
            return self._places_of(record, key) >= {
                (nfc(title), name) for title, name in note.places if wished.get((title, name)) == key
            }

        done = [note for note in project.noted if is_done(note)]
        project.outbox.remove(done)
        project.noted = tuple(note for note in project.noted if note not in done)

    def _places_of(self, record: Document, key: str) -> set[Place]:
        """Where a record names a key by its URI; the keys of maps composed."""
        context, uri = self._context, self._project.bucket.uri(key)
        entries = context.entries.of(record.fields)
        return {
            (nfc(title), name)
            for entry in (entries if isinstance(entries, list) else [])
            if isinstance(entry, dict) and (title := entry_key(entry, context)) is not None
            for name, value in entry.items()
            if value == uri or (isinstance(value, list) and uri in value)
        }

    def _judge_root(self) -> None:
        """Tells of a root that is gone, or has lost every file; else remembers what it holds."""
        scope, project = self._context.scope, self._project
        root = project.settings.root
        if self._files:
            whole = not (scope.char_ids or scope.asset_types)
            project.note_files(self._files if whole else max(project.files_held, 1))
        elif self._complete and (held := project.lost_files()) and not project.allows_empty:
            self._lost_root = True
            self._findings.append(
                make(ROOT_GONE if project.root_is_gone else Code.ROOT_EMPTIED, str(root), None, held=held)
            )
            if not project.root_is_gone:
                self._listener(Warned(f"{root} holds no file; at the last run there were {held}: is a drive missing?"))
        if project.root_is_gone:
            self._listener(Warned(gone(root)))

    def _warn(self) -> None:
        """Says where the memory of this machine is unusable."""
        for warning in self._project.state.warnings:
            self._listener(Warned(warning))

    def _result(self) -> Survey:
        tallies, in_step = self._counts.totals()
        self._findings.extend(self._project.kept_versions())
        plan = plans.build(
            self._changes,
            self._findings,
            self._project.origin,
            created=_now(),
            complete=self._complete,
            scope=self._context.scope,
            in_step=in_step,
            objects_in_scope=self._objects,
        )
        return Survey(plan, tallies, tuple(self._facts), self._roster.known_ids)


class _Counts:
    """The status table's counts, kept small: keys that nothing can change any more are only counted."""

    def __init__(self) -> None:
        self._tallies: dict[tuple[str | None, str | None], Tally] = defaultdict(Tally)
        self._open: list[KeyTally] = []
        self.to_do: set[str] = set()
        self.unsettled: set[str] = set()
        self.unwanted: set[str] = set()

    def add(self, row: KeyTally) -> None:
        if row.pending or not row.right:
            self._open.append(row)
        else:
            self._count(row, to_do=False, in_step=True)

    def totals(self) -> tuple[dict[tuple[str | None, str | None], Tally], int]:
        """The tallies, and how many keys are in step."""
        for row in self._open:
            to_do = row.key in self.to_do
            self._count(row, to_do=to_do, in_step=row.right and not to_do and row.key not in self.unsettled)
        self._open.clear()
        return dict(self._tallies), sum(tally.in_step for tally in self._tallies.values())

    def _count(self, row: KeyTally, *, to_do: bool, in_step: bool) -> None:
        tally = self._tallies[row.asset_type, row.char_id]
        tally.local += row.local
        tally.bucket += row.bucket
        tally.records += row.named
        tally.to_do += to_do
        if row.wanted and row.key not in self.unwanted:
            tally.keys += 1
            tally.in_step += in_step


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
