"""Proves that what the records name can be read: every reference leads to an object with the intended bytes.

    read        the records, and (without ``cloud_only``) a local database into which URIs are written
    list / get  the objects that they name
    compare     each with its local file, else with the last agreed state, else only with its own checksum
    fetch       ``deep`` all bytes, ``urls`` through a signed URL

``examining`` looks at one object, ``certifying`` makes the result. No store is changed. This machine remembers which
encoded objects hold the content of their local files, because a listing does not show that.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from reconcile.adapters.workers import Breaker, results
from reconcile.commands.certifying import AllNamed, Proof, certify
from reconcile.commands.examining import URL_LIVES, Examined, Examiner, Meant, says
from reconcile.core.changes import Code
from reconcile.core.context import Context
from reconcile.core.errors import NotThere, StoreError, StoreMissing, UsageError
from reconcile.core.events import Listener, Phase, PhaseDone, PhaseStarted, Warned, counted, silent
from reconcile.core.findings import LOST_OBJECT
from reconcile.core.names import key_problem, spelling, spellings
from reconcile.core.plan import Scope
from reconcile.core.proof import Mode, Reference
from reconcile.core.rows import Coverage, LocalFile, RemoteObject
from reconcile.pipeline.account import now
from reconcile.pipeline.roster import Roster, open_records, read_roster, warn_if_root_is_gone
from reconcile.project import OpenProject

GETS = 1000
"""The most objects that are requested one by one. If there are more, the bucket is listed."""
AGAIN = 3


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
        self._scope = roster.scope
        named = AllNamed(roster, context)
        self._listener(PhaseStarted(Phase.LISTING))
        objects = self._objects(named.keys, context)
        meant = self._meant(named.references, context)
        self._listener(PhaseDone(Phase.LISTING))
        verdicts = self._verdicts(sorted({each.key for each in named.references}), objects, meant)
        self._project.agreed.remember(self._examiner.unpacked)
        for warning in self._project.state.warnings:
            self._listener(Warned(warning))
        return certify(
            self._project,
            context,
            self._mode,
            named,
            verdicts,
            named.problems(objects, self._unread),
            created=self._created,
            read=self._examiner.read,
            seconds=round(time.monotonic() - self._started, 3),
        )

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

    def _objects(self, keys: frozenset[str], context: Context) -> dict[str, RemoteObject]:
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

    def _meant(self, references: Sequence[Reference], context: Context) -> dict[str, Meant]:
        keys = {each.key for each in references}
        agreed = {state.key: state for state in self._project.agreed.all() if state.key in keys}
        files: dict[str, LocalFile] = {}
        if not self._mode.cloud_only:
            paths = {key: context.asset_map.path_for(key, context.known_ids) for key in keys}
            wanted = {path: key for key, path in paths.items() if path is not None}
            found = self._project.files.lookup(sorted(wanted), anew=self._mode.deep)
            files = {wanted[each.path]: each for each in counted(found, Phase.LISTING, self._listener)}
            warn_if_root_is_gone(self._project, self._listener)
        return {key: Meant(files.get(key), agreed.get(key)) for key in keys}

    # -- judging --

    def _verdicts(
        self, keys: Sequence[str], objects: dict[str, RemoteObject], meant: dict[str, Meant]
    ) -> dict[str, Examined]:
        size = sum(found.size for key in keys if (found := objects.get(key)) is not None) if self._mode.deep else None
        self._listener(PhaseStarted(Phase.PROVING, len(keys), size))
        jobs = (lambda key=key: (key, self._judge(key, objects.get(key), meant[key])) for key in keys)
        verdicts = dict(counted(results(jobs, self._lanes), Phase.PROVING, self._listener))
        self._listener(PhaseDone(Phase.PROVING))
        return verdicts

    def _judge(self, key: str, found: RemoteObject | None, meant: Meant) -> Examined:
        why = self._unread.get(key)
        for _ in range(AGAIN):
            if why is not None:
                return Examined(found, complaints=(says(Code.UNREADABLE_OBJECT, why=why),))
            if found is None:
                return Examined(None, complaints=(says(LOST_OBJECT),))
            try:
                verdict = self._examiner.examine(found, meant)
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
        return Examined(found, complaints=(says(Code.UNREADABLE_OBJECT, why=why or "it is replaced all the time"),))

    def _failed(self, error: StoreError) -> None:
        """Counts a failure. Raises it if the store seems to be down, or does not exist."""
        self._breaker.failed(error)
        if self._breaker.tripped is not None or isinstance(error, StoreMissing):
            raise error
