"""Proves that what the records name can be read: every reference leads to an object with the intended bytes.

    read        the records, and (without ``cloud_only``) a local database into which URIs are written
    list / get  the objects that they name
    compare     each with its local file, else with the last agreed state, else only with its own checksum
    fetch       ``deep`` all bytes, ``urls`` through a signed URL

``examining`` looks at one object. No store is changed. This machine remembers which encoded objects hold the content of
their local files, because a listing does not show that.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from reconcile.adapters.workers import Breaker, results
from reconcile.commands.examining import URL_LIVES, Examined, Examiner, says
from reconcile.core.changes import Code, Finding
from reconcile.core.context import Context
from reconcile.core.errors import NotThere, StoreError, StoreMissing, UsageError
from reconcile.core.events import Listener, Phase, PhaseDone, PhaseStarted, Warned, counted, silent
from reconcile.core.findings import LOST_OBJECT, worst_first
from reconcile.core.names import key_problem, spelling, spellings
from reconcile.core.plan import Scope
from reconcile.core.proof import (
    CERTIFICATE_FORMAT,
    FORMAT,
    Certificate,
    Mode,
    Proved,
    Reference,
    Suspect,
    Verification,
    holds,
    named_by,
)
from reconcile.core.rows import Agreed, Coverage, Document, LocalFile, RemoteObject, World
from reconcile.pipeline.account import now
from reconcile.pipeline.roster import Roster, open_records, read_roster, warn_if_root_is_gone
from reconcile.project import OpenProject

GETS = 1000
"""The most objects that are requested one by one. If there are more, the bucket is listed."""
AGAIN = 3
_PATHS = (Code.LOCAL_PATH, Code.LOCAL_PATH_ELSEWHERE, Code.OUTSIDE_ROOT)


class Proof(msgspec.Struct, frozen=True):
    """A verification, and a certificate for each character; none if the scope is limited to asset types or paths."""

    verification: Verification
    certificates: tuple[Certificate, ...]


def verify(
    project: OpenProject, scope: Scope | None = None, *, mode: Mode | None = None, listener: Listener = silent
) -> Proof:
    """Proves the references of the records in scope. Raises StoreError, SourceError and ConfigError if a world
    cannot be read at all, and UsageError for a scope that names nothing, or for URLs of a store that has none."""
    return _Proving(project, scope or Scope(), mode or Mode(), listener).run()


class _Proving:
    """One proof, from the records to the certificates."""

    def __init__(self, project: OpenProject, scope: Scope, mode: Mode, listener: Listener) -> None:
        self._project = project
        self._scope = scope
        self._mode = mode
        self._lanes = project.lanes
        self._listener = listener
        self._started = time.monotonic()
        self._created = now()
        self._examiner = Examiner(project, mode, listener)
        self._breaker = Breaker(counted=(StoreError,))
        self._unread: dict[str, str] = {}

    def run(self) -> Proof:
        if self._mode.urls:
            self._project.signer.sign("-", expires=URL_LIVES)  # fails before anything is read if it cannot sign
        roster, context = open_records(self._project, self._scope, self._listener, self._roster)
        named = [
            each
            for world, document in roster.by_world()
            if world is World.RECORDS or context.rewrite_local_db
            for each in named_by(document, world, context)
        ]
        references = [each for each in named if isinstance(each, Reference)]
        suspects = [each for each in named if isinstance(each, Suspect)]
        keys = {each.key for each in references}
        self._listener(PhaseStarted(Phase.LISTING))
        objects = self._objects(keys.union(*(each.keys for each in suspects)), context)
        agreed = {state.key: state for state in self._project.agreed.all() if state.key in keys}
        files = {} if self._mode.cloud_only else self._files(keys, context)
        self._listener(PhaseDone(Phase.LISTING))
        verdicts = self._verdicts(sorted(keys), objects, files, agreed)
        self._project.agreed.remember(self._examiner.unpacked)
        for warning in self._project.state.warnings:
            self._listener(Warned(warning))
        others = [*(each for each in named if isinstance(each, Finding)), *self._paths_among(suspects, objects)]
        return self._certified(tuple(roster.documents), references, others, verdicts, context)

    # -- reading --

    def _roster(self) -> Roster:
        """Reads the records in scope. With ``cloud_only`` the local database is not read, because it is a local
        file."""
        if not self._mode.cloud_only:
            return read_roster(self._project, self._scope, self._listener)
        wanted = self._scope.char_ids
        asked = [each for char_id in wanted for each in spellings(char_id)]
        documents = tuple(counted(self._project.records.read(asked or None), Phase.RECORDS, self._listener))
        known = frozenset(document.id for document in documents)
        for char_id in wanted:
            if spelling(char_id, known) is None:
                raise UsageError(f"no record names the character {char_id!r}", hint="see `reconcile status`")
        scope = msgspec.structs.replace(self._scope, char_ids=tuple(spelling(each, known) or each for each in wanted))
        chosen = tuple(document for document in documents if scope.takes_character(document.id))
        return Roster(chosen, (), known, Coverage(), scope)

    def _objects(self, keys: set[str], context: Context) -> dict[str, RemoteObject]:
        askable = sorted(key for key in keys if key_problem(context.bucket.object_name(key)) is None)
        if len(askable) > GETS and not (self._scope.char_ids or self._scope.asset_types):
            splits = [prefix for prefix in context.asset_map.key_prefixes(()) if prefix]
            listed = self._project.objects.list("", splits)
            return {found.key: found for found in listed if found.key in keys}
        jobs = (lambda key=key: self._ask(key) for key in askable)
        return {found.key: found for found in results(jobs, self._lanes) if found is not None}

    def _ask(self, key: str) -> RemoteObject | None:
        try:
            found = self._project.objects.get(key)
        except StoreError as error:
            self._failed(error)
            self._unread[key] = error.sentence
            return None
        self._breaker.succeeded()
        self._lanes.finished()
        return found

    def _files(self, keys: set[str], context: Context) -> dict[str, LocalFile]:
        paths = {key: context.asset_map.path_for(key, context.known_ids) for key in keys}
        wanted = {path: key for key, path in paths.items() if path is not None}
        found = self._project.files.lookup(sorted(wanted), anew=self._mode.deep)
        files = {wanted[each.path]: each for each in counted(found, Phase.LISTING, self._listener)}
        warn_if_root_is_gone(self._project, self._listener)
        return files

    # -- judging --

    def _verdicts(
        self,
        keys: Sequence[str],
        objects: dict[str, RemoteObject],
        files: Mapping[str, LocalFile],
        agreed: Mapping[str, Agreed],
    ) -> dict[str, Examined]:
        size = sum(found.size for key in keys if (found := objects.get(key)) is not None) if self._mode.deep else None
        self._listener(PhaseStarted(Phase.PROVING, len(keys), size))
        jobs = (
            lambda key=key: (key, self._judge(key, objects.get(key), files.get(key), agreed.get(key))) for key in keys
        )
        verdicts = dict(counted(results(jobs, self._lanes), Phase.PROVING, self._listener))
        self._listener(PhaseDone(Phase.PROVING))
        return verdicts

    def _judge(self, key: str, found: RemoteObject | None, file: LocalFile | None, agreed: Agreed | None) -> Examined:
        why = self._unread.get(key)
        for _ in range(AGAIN):
            if why is not None:
                return Examined(found, (says(Code.UNREADABLE_OBJECT, why=why),))
            if found is None:
                return Examined(None, (says(LOST_OBJECT),))
            try:
                verdict = self._examiner.examine(found, file, agreed)
                if len(verdict.checked) > 1:
                    self._breaker.succeeded()
                    self._lanes.finished()
                return verdict
            except NotThere:  # replaced or removed since it was listed
                found = self._ask(key)
                why = self._unread.get(key)
            except StoreError as error:
                self._failed(error)
                why = error.sentence
        return Examined(found, (says(Code.UNREADABLE_OBJECT, why=why or "it is replaced all the time"),))

    def _failed(self, error: StoreError) -> None:
        """Counts a failure. Raises it if the store seems to be down, or does not exist."""
        self._breaker.failed(error)
        if self._breaker.tripped is not None or isinstance(error, StoreMissing):
            raise error

    # -- the result --

    def _paths_among(self, suspects: Iterable[Suspect], objects: Mapping[str, RemoteObject]) -> Iterator[Finding]:
        """Yields the problems with those texts that are paths. A text that names no object counts as prose."""
        for each in suspects:
            if any(key in objects for key in each.keys):
                yield each.finding
            elif (why := next((self._unread[key] for key in each.keys if key in self._unread), None)) is not None:
                message = f"{each.finding.message}, if an object of that name is there: {why}"
                yield msgspec.structs.replace(each.finding, code=Code.UNREADABLE_OBJECT, message=message)

    def _certified(
        self,
        documents: Sequence[Document],
        references: Iterable[Reference],
        others: Iterable[Finding],
        verdicts: Mapping[str, Examined],
        context: Context,
    ) -> Proof:
        """Makes the verification and the certificates. ``others`` are the problems that are not about references."""
        lines: dict[str, list[Proved]] = defaultdict(list)
        problems: dict[str, list[Finding]] = defaultdict(list)
        for found in others:
            problems[found.char_id or ""].append(found)
        for reference in references:
            verdict = verdicts[reference.key]
            said = tuple(complain(reference) for complain in verdict.complaints)
            problems[reference.char_id] += said
            lines[reference.char_id].append(_proved(reference, verdict, ok=holds(said)))
        everything = [problem for char_id in sorted(problems) for problem in problems[char_id]]
        refs = [line for listed in lines.values() for line in listed]
        common: dict[str, Any] = {
            "tool": self._project.origin.tool,
            "created": self._created,
            "bucket": str(context.bucket),
            "records": str(self._project.settings.records),
            "stores": self._project.stores,
            "mode": self._mode,
        }
        verification = Verification(
            format=FORMAT,
            scope=context.scope,
            documents=len(documents),
            objects=len(verdicts),
            checked=len(refs) + sum(problem.code in _PATHS for problem in everything),
            ok=sum(line.ok for line in refs),
            bytes=self._examiner.read,
            seconds=round(time.monotonic() - self._started, 3),
            complete=all(problem.code is not Code.UNREADABLE_OBJECT for problem in everything),
            problems=tuple(sorted(everything, key=worst_first)),
            **common,
        )
        # A proof about a part of a record says nothing about the whole record.
        certified = () if context.scope.asset_types or context.scope.paths else documents
        certificates = tuple(
            Certificate(
                format=CERTIFICATE_FORMAT,
                char_id=document.id,
                holds=holds(tuple(problems[document.id])),
                document=context.document(document.id),
                update_time=document.update_time,
                references=tuple(lines[document.id]),
                problems=tuple(problems[document.id]),
                **common,
            ).sealed()
            for document in certified
        )
        return Proof(verification, certificates)


def _proved(reference: Reference, verdict: Examined, *, ok: bool) -> Proved:
    slot, found = reference.slot, verdict.found
    return Proved(
        entry=slot.entry,
        field=slot.field,
        position=slot.position,
        item=slot.item,
        world=reference.world,
        uri=reference.uri,
        ok=ok,
        size=None if found is None else found.size,
        crc32c=None if found is None else found.crc32c,
        generation=None if found is None else found.generation,
        content_type=None if found is None else found.content_type,
        checked=verdict.checked,
        against=verdict.against,
        at=slot.at or msgspec.UNSET,
    )
