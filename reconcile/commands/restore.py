"""The way back: local files that only the bucket has are made again, whole, verified, and over nothing that is there.

    survey    the records, the objects and the local files, joined as for a plan → which files are missing
    execute   each is read into a file beside its place, hashed as it comes, and moved there when it is complete

A run that was stopped or killed goes on where it was, as long as the object is still the one it was reading.
"""

from __future__ import annotations

import datetime
import secrets
import shlex
import threading
import time
from collections.abc import Iterable, Iterator

from reconcile.adapters.workers import Breaker, results
from reconcile.commands.measuring import Sum, content_from, measure
from reconcile.core import report as reports
from reconcile.core.changes import Code, Finding
from reconcile.core.clashes import Places, in_turn
from reconcile.core.context import Context
from reconcile.core.digest import Comparison, compare_object
from reconcile.core.encoding import BadEncoding, can_unpack
from reconcile.core.errors import NotThere, Refused, Rejected, SourceChanged, SourceError, StoreError
from reconcile.core.events import Advanced, ChangeDone, Listener, Phase, PhaseDone, PhaseStarted, Warned, silent
from reconcile.core.findings import HIDDEN_PLACE, LEFT_ALONE, NO_PLACE, PLACE_TAKEN, about_unread, make, worst_first
from reconcile.core.names import fold, nfc
from reconcile.core.plan import Scope
from reconcile.core.portable import Portable
from reconcile.core.report import Outcome, OutcomeKind, Problem, Report
from reconcile.core.restoration import FORMAT, Restore, RestorePlan, restore_id
from reconcile.core.rows import Agreed, Candidate, Coverage, FileProblem, KeyRow, LocalFile, RemoteObject
from reconcile.core.rules import Reading
from reconcile.core.stages import is_whole, key_rows
from reconcile.pipeline.engine import StreamEngine
from reconcile.pipeline.observe import Inventory
from reconcile.pipeline.roster import Gap, Unread
from reconcile.project import Project
from reconcile.version import VERSION

CONCURRENCY = 8
_ON_THE_WAY = Problem("interrupted", "stopped on the way", "the next run goes on from there", transient=True)


def survey(
    project: Project, scope: Scope | None = None, *, everything: bool = False, listener: Listener = silent
) -> RestorePlan:
    """Which files of the scope only the bucket has: those that a rule takes, those that a record names, and with
    ``everything`` all others too. Raises as ``planner.survey``; a root that is not there is an empty one."""
    return _Survey(project, scope or Scope(), everything, listener).run()


class _Survey:
    """One look at what is missing."""

    def __init__(self, project: Project, scope: Scope, everything: bool, listener: Listener) -> None:
        self._project = project
        self._scope = scope
        self._everything = everything
        self._listener = listener
        self._findings: list[Finding] = []
        self._missing: list[tuple[KeyRow, RemoteObject]] = []
        self._here: set[str] = set()  # names that another Unicode form could spell, composed
        self._in_step = 0
        self._complete = True

    def run(self) -> RestorePlan:
        project, scope, listener = self._project, self._scope, self._listener
        project.makes_root = True
        seen = Inventory(project, scope, listener)
        self._scope = scope = seen.roster.scope
        wanted = _Wanted(seen.context, _Names(seen), everything=self._everything)
        for _, group in StreamEngine().group(seen.keys(), is_whole):
            for row in key_rows(group):
                if row.remote is not None and wanted.takes(row):
                    self._take(row, row.remote, wanted)
        for gap in seen.gaps:
            self._note(gap)
        actions = self._without_clashes(list(self._actions(seen.covered.local, wanted)), wanted)
        # What an interrupted restore left is ours, and says that this is the place.
        if self._complete and not project.allows_empty and not any(action.begun for action in actions):
            self._judge_root()
        for warning in project.state.warnings:
            listener(Warned(warning))
        return RestorePlan(
            format=FORMAT,
            tool=f"reconcile {VERSION}",
            created=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            scope=scope,
            everything=self._everything,
            stores=project.stores,
            complete=self._complete,
            in_step=self._in_step,
            bytes=sum(action.size - action.begun for action in actions),
            actions=actions,
            findings=tuple(sorted(dict.fromkeys(self._findings), key=worst_first)),
        )

    def _judge_root(self) -> None:
        """A root that is there and lost its files may be the empty place where a drive is mounted, and to restore there
        would fill another disk; one that is gone is made anew."""
        held = self._project.lost_files()
        if held and not self._project.root_is_gone:
            self._findings.append(make(Code.ROOT_EMPTIED, str(self._project.settings.root), None, held=held))

    def _note(self, gap: Gap) -> None:
        assert isinstance(gap, Unread), "a store that refuses is an error here"
        self._complete = self._complete and not gap.hides_ours
        self._findings.append(about_unread(gap.folder))

    def _take(self, rows: KeyRow, found: RemoteObject, wanted: _Wanted) -> None:
        local, uri, char_id = rows.local, self._project.bucket.uri(found.key), wanted.of(rows)[0]
        if local is not None and not local.path.isascii():
            self._here.add(nfc(local.path))
        if not found.size:
            if not found.key.endswith("/"):  # the placeholder of a folder
                self._findings.append(make(Code.EMPTY_OBJECT, uri, char_id))
        elif local is None:
            self._missing.append((rows, found))
        elif (same := _same(local, found, rows.agreed)) is Comparison.DIFFERENT:
            self._findings.append(_left_alone(local, char_id, found.size))
        elif same is Comparison.UNKNOWN and found.encoding:
            why = f'"{found.encoding}", so whether the local file has its content is not known; it was left alone'
            self._findings.append(make(Code.ENCODED_OBJECT, uri, char_id, why=why))
        else:
            self._in_step += 1

    def _actions(self, local: Coverage, wanted: _Wanted) -> Iterator[Restore]:
        for rows, found in self._missing:
            uri = self._project.bucket.uri(found.key)
            char_id, asset_type = wanted.of(rows)
            if rows.path is not None and nfc(rows.path) in self._here:
                self._in_step += 1  # its file is here, with the spelling of another object
            elif rows.path is None:
                self._findings.append(make(NO_PLACE, uri, char_id, why="no local path leads to this name"))
            elif (why := self._project.places.refusal(rows.path)) is not None:
                self._findings.append(make(NO_PLACE, uri, char_id, why=why))
            elif self._project.places.ignores(rows.path):
                continue
            elif (rival := self._project.places.rival(rows.path)) is not None:
                self._findings.append(_place_taken(uri, char_id, rows.path, rival))
            elif not local.covers(rows.path):
                self._complete = False
                folder = _unread_above(rows.path, local)
                self._findings.append(make(HIDDEN_PLACE, uri, char_id, path=rows.path, folder=folder))
            elif found.crc32c is None:
                self._findings.append(make(Code.UNVERIFIABLE, uri, char_id))
            elif found.encoding and not can_unpack(found.encoding):
                why = f'"{found.encoding}", which cannot be unpacked here; it was not restored'
                self._findings.append(make(Code.ENCODED_OBJECT, uri, char_id, why=why))
            else:
                begun = 0 if found.encoding else self._project.places.begun(rows.path, found.generation)
                yield Restore(
                    id=restore_id(found),
                    key=found.key,
                    path=rows.path,
                    char_id=char_id,
                    asset_type=asset_type,
                    uri=uri,
                    size=found.size,
                    crc32c=found.crc32c,
                    generation=found.generation,
                    updated=found.updated,
                    begun=min(begun, found.size),
                    encoding=found.encoding,
                )

    def _without_clashes(self, actions: list[Restore], wanted: _Wanted) -> tuple[Restore, ...]:
        """Those of which each can be a file beside the others, in their order; what is wanted most has its place first.

        Names that only some folders take for one come last: if the folder does, the first one has the place.
        """
        ranked = sorted(actions, key=lambda action: (wanted.rank(action.key, action.asset_type), action.key))
        sure, maybe, late = Places(nfc), Places(fold), set()
        kept: set[str] = set()
        uris = {action.path: action.uri for action in reversed(ranked)}
        for action in ranked:
            rival = sure.take(action.path)
            if rival is not None:
                clash = _place_taken(action.uri, action.char_id, action.path, f"that of {uris[rival]}")
                self._findings.append(clash)
                continue
            kept.add(action.id)
            if maybe.take(action.path) is not None:
                late.add(action.id)
        listed = [action for action in actions if action.id in kept]
        return tuple(sorted(listed, key=lambda action: action.id in late))


def _same(local: LocalFile, found: RemoteObject, agreed: Agreed | None) -> Comparison:
    if local.problem is not None:
        return Comparison.DIFFERENT
    return compare_object(local.size, local.crc32c, found, agreed)


def _left_alone(local: LocalFile, char_id: str | None, size: int) -> Finding:
    differs = local.problem in (None, FileProblem.EMPTY)
    what = LEFT_ALONE if differs or local.problem is None else LEFT_ALONE._replace(code=Code(local.problem.value))
    return make(what, local.path, char_id, size=size, why=f"it has {local.size} bytes" if differs else local.detail)


def _place_taken(uri: str, char_id: str | None, path: str, other: str) -> Finding:
    return make(PLACE_TAKEN, uri, char_id, path=path, other=other, quoted=shlex.quote(uri))


def _unread_above(path: str, local: Coverage) -> str:
    """The folder because of which a file was not seen."""
    return next((folder for folder in local.unreadable if path.startswith(folder)), "a folder outside the scope")


class _Names:
    """Which keys the records in scope name for sure, and for whom."""

    def __init__(self, seen: Inventory) -> None:
        self.owners: dict[str, str] = {}
        types, rules = seen.context.scope.asset_types, seen.context.asset_map.rules
        fields = {rule.field for rule in rules if rule.type in types}
        for row in seen.references():
            each: Candidate = row.value
            if each.sure and (not types or (not each.slot.at and each.slot.field in fields)):
                self.owners.setdefault(each.key, each.document)


class _Wanted:
    """Which objects the scope takes, and whose they are."""

    def __init__(self, context: Context, named: _Names, *, everything: bool) -> None:
        self._context = context
        self._named = named
        self._everything = everything

    def takes(self, rows: KeyRow) -> bool:
        """Whether the object is to be brought back: a rule takes it, a record names it, or all are wanted."""
        scope, reading = self._context.scope, self._reading(rows)
        named = rows.key in self._named.owners
        if reading is None and not named:
            return self._everything and not (scope.char_ids or scope.asset_types)
        if not named and not scope.takes_character(None if reading is None else reading.char_id):
            return False
        return not scope.asset_types or (reading is not None and reading.rule.type in scope.asset_types)

    def of(self, rows: KeyRow) -> tuple[str | None, str | None]:
        """The character and the asset type."""
        reading = self._reading(rows)
        owner = self._named.owners.get(rows.key)
        if reading is None:
            return owner, None
        return reading.char_id or owner, reading.rule.type

    def rank(self, key: str, asset_type: str | None) -> int:
        """How much an object is wanted: a record names it, a rule takes it, or neither; less is more."""
        return 0 if key in self._named.owners else 1 if asset_type is not None else 2

    def _reading(self, rows: KeyRow) -> Reading | None:
        return None if rows.path is None else self._context.asset_map.read(rows.path, self._context.known_ids)


def execute(
    project: Project,
    plan: RestorePlan,
    *,
    concurrency: int = CONCURRENCY,
    listener: Listener = silent,
    stop: threading.Event | None = None,
) -> Report:
    """Makes the files. A failure of one is an outcome of the report, never an exception. Setting ``stop`` ends at the
    next block of bytes; what has come so far is kept for the next run.

    Raises Refused if the root lost its files and nobody says that it is the place all the same.
    """
    check(project, plan)
    return _RestoreRun(project, plan, concurrency, listener, stop or threading.Event()).execute()


def check(project: Project, plan: RestorePlan) -> None:
    """Raises Refused if files would be made in a root that lost all that it held."""
    if plan.actions and not project.allows_empty and any(each.code is Code.ROOT_EMPTIED for each in plan.findings):
        raise Refused(
            f"the local root {project.settings.root} held files and is empty: is its drive not mounted?",
            hint="mount it; where the files are to be made there all the same, add --allow-empty",
        )


class _StoppedReading(Portable, Exception):
    """Somebody said stop while bytes were coming."""


class _UnfitObject(Portable, Exception):
    """An object that was read, and whose content is no file."""


class _RestoreRun:
    """One run: the outcomes so far."""

    def __init__(
        self, project: Project, plan: RestorePlan, concurrency: int, listener: Listener, stop: threading.Event
    ) -> None:
        self._project = project
        self._plan = plan
        self._concurrency = concurrency
        self._listener = listener
        self._stop = stop
        self._lock = threading.Lock()
        self._breaker = Breaker(counted=(SourceError, StoreError))
        self._read = 0
        self._agreed: list[Agreed] = []

    def execute(self) -> Report:
        started = time.monotonic()
        actions = self._plan.actions
        outcomes: dict[str, Outcome] = {}
        if actions:
            self._listener(PhaseStarted(Phase.RESTORING, len(actions), sum(action.size for action in actions)))
            free = dict(zip(actions, in_turn((action.path for action in actions), fold), strict=True))
            for group, at_once in (
                ([action for action in actions if free[action]], self._concurrency),
                ([action for action in actions if not free[action]], 1),
            ):
                jobs = (lambda action=action: self._restore(action) for action in group)
                for outcome in results(jobs, at_once, breaker=self._breaker, halted=self._stop.is_set):
                    outcomes[outcome.id] = outcome
                    self._listener(ChangeDone(outcome))
                    self._listener(Advanced(Phase.RESTORING, 1))
            self._listener(PhaseDone(Phase.RESTORING))
        self._project.agreed.remember(self._agreed)
        tripped = self._breaker.tripped
        if tripped is not None:
            self._listener(Warned(tripped.sentence))
        waiting = tripped or Problem("interrupted", "the run stopped before it", transient=True)
        listed = [outcomes.get(each.id) or each.outcome(OutcomeKind.NOT_STARTED, waiting) for each in actions]
        return reports.build(
            f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
            listed,
            self._plan.findings,
            moved=self._read,
            seconds=round(time.monotonic() - started, 3),
            interrupted=self._stop.is_set() and any(each.outcome is OutcomeKind.NOT_STARTED for each in listed),
            complete=self._plan.complete,
        )

    def _restore(self, action: Restore) -> Outcome:
        try:
            content = self._content(action) if action.encoding else Sum(action.size, action.crc32c)
            made = self._place(action, content)
        except _UnfitObject as unfit:
            return action.outcome(OutcomeKind.FAILED, Problem(Rejected.code, str(unfit)))
        except _StoppedReading:
            return action.outcome(OutcomeKind.NOT_STARTED, _ON_THE_WAY)
        except (SourceChanged, NotThere) as error:
            return action.outcome(OutcomeKind.STALE, Problem.of(error))
        except (SourceError, StoreError) as error:
            self._breaker.failed(error)
            return action.outcome(OutcomeKind.FAILED, Problem.of(error))
        self._breaker.succeeded()
        with self._lock:
            self._agreed.append(Agreed(action.key, content.size, content.crc32c, action.generation))
        return action.outcome(OutcomeKind.APPLIED if made else OutcomeKind.ALREADY)

    def _content(self, action: Restore) -> Sum:
        """What is packed in an encoded object, once its stored bytes have proved to be the ones meant.

        It is read through first and kept nowhere: nothing is written before it is known how much there is.
        """
        found = measure(self._told(self._body(action, 0)), action.size, action.encoding)
        by_hand = f"fetch it by hand: gcloud storage cp {shlex.quote(action.uri)} FILE"
        if found.stored != Sum(action.size, action.crc32c):
            raise Rejected(f"the bytes that came for {action.path} are not those of its checksum", hint="run again")
        if found.content is None:
            raise _UnfitObject(f"the object {found.why}, so no file is made of it; {by_hand}")
        if not found.content.size:
            raise _UnfitObject("the object holds nothing once it is unpacked, so no file is made of it")
        return found.content

    def _told(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._listener(Advanced(Phase.RESTORING, 0, len(chunk)))
            yield chunk

    def _place(self, action: Restore, content: Sum) -> bool:
        def unpacked(offset: int) -> Iterator[bytes]:
            try:
                yield from content_from(self._body(action, 0), action.size, offset)
            except BadEncoding as error:
                message = f"What came for {action.path} the second time {error}."
                raise Rejected(message, hint="run again") from error

        def told(moved: int) -> None:
            self._listener(Advanced(Phase.RESTORING, 0, moved))

        return self._project.places.place(
            action.path,
            unpacked if action.encoding else lambda offset: self._body(action, offset),
            size=content.size,
            crc32c=content.crc32c,
            generation=action.generation,
            modified_ns=_nanoseconds(action.updated),
            progress=None if action.encoding else told,  # its stored bytes were counted as they were proved
        )

    def _body(self, action: Restore, offset: int) -> Iterator[bytes]:
        encoded = bool(action.encoding)
        reading = self._project.objects.read(action.key, generation=action.generation, offset=offset, encoded=encoded)
        for chunk in reading:
            if self._stop.is_set():
                raise _StoppedReading
            with self._lock:
                self._read += len(chunk)
            yield chunk


def _nanoseconds(updated: str) -> int | None:
    """An RFC 3339 time in nanoseconds since the epoch, or None. It becomes the file's: with a fresh one it would look
    like the newest of several."""
    try:
        then = datetime.datetime.fromisoformat(updated)
    except ValueError:
        return None
    if then.tzinfo is None:
        return None
    return int((then - _EPOCH) / datetime.timedelta(microseconds=1)) * 1000


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
