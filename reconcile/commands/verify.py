"""The proof that what the records name can be read: every reference resolves to an object with the bytes meant.

    read        the records, and (without ``cloud_only``) the local database that URIs are put into
    list / get  the objects that they name
    compare     each with its local file, else with the last agreed state, else with nothing but its own checksum
    fetch       ``deep`` all bytes, ``urls`` through a signed URL

Nothing is changed anywhere. Bytes are hashed as they come and never kept. That an encoded object holds the content of
its local file is remembered on this machine: a listing does not tell.
"""

from __future__ import annotations

import datetime
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec

from reconcile.adapters.workers import Breaker, results
from reconcile.commands.measuring import measure
from reconcile.core.changes import Code, Finding
from reconcile.core.context import Context
from reconcile.core.digest import Comparison, compare, compare_object
from reconcile.core.encoding import can_unpack, most_unpacked
from reconcile.core.errors import NotThere, StoreError, StoreMissing, UsageError
from reconcile.core.events import Advanced, Listener, Phase, PhaseDone, PhaseStarted, Warned, silent
from reconcile.core.findings import (
    LOST_OBJECT,
    NAMED_EMPTY,
    NAMED_ENCODED,
    OTHER_THAN_AGREED,
    OTHER_THAN_LOCAL,
    UNCOMPARED,
    WITHOUT_CHECKSUM,
    Form,
    make,
    worst_first,
)
from reconcile.core.media import DEFAULT, content_type
from reconcile.core.names import spelling, spellings
from reconcile.core.plan import Scope
from reconcile.core.proof import (
    CERTIFICATE_FORMAT,
    FORMAT,
    Against,
    Certificate,
    Check,
    Mode,
    Proved,
    Reference,
    Suspect,
    Verification,
    holds,
    is_askable,
    named_by,
    proved,
)
from reconcile.core.rows import Agreed, Coverage, Document, FileProblem, LocalFile, RemoteObject, Served, World
from reconcile.core.stages.record import place_of
from reconcile.pipeline.roster import Roster, gone, open_records, read_roster
from reconcile.project import Project
from reconcile.version import VERSION

CONCURRENCY = 8
GETS = 1000
"""Objects that are asked for one by one; more are listed with all others."""
_PATHS = (Code.LOCAL_PATH, Code.LOCAL_PATH_ELSEWHERE, Code.OUTSIDE_ROOT)
URL_LIVES = 600.0
FIRST_BYTES = 1024
AGAIN = 3

Complaint: TypeAlias = Callable[[Reference, str], Finding]
"""What to say of a reference and its place in the record."""


class Proof(msgspec.Struct, frozen=True):
    """A verification, and the certificates of what it found, one for each character; none of some asset types only."""

    verification: Verification
    certificates: tuple[Certificate, ...]


class _Verdict(msgspec.Struct, frozen=True):
    """What was found of one key, in words that hold for each reference to it."""

    found: RemoteObject | None
    checked: tuple[Check, ...] = ()
    against: Against | None = None
    complaints: tuple[Complaint, ...] = ()


class _Look:
    """One object while it is looked at: ``size`` and ``crc32c`` of what a reader of its URL gets, as far as known."""

    def __init__(self, found: RemoteObject) -> None:
        self.found = found
        self.size = None if found.encoding else found.size
        self.crc32c = None if found.encoding else found.crc32c
        self.unpacked_on_the_way = False
        self.checked = [Check.METADATA]
        self.complaints: list[Complaint] = []


class _Meant(msgspec.Struct, frozen=True):
    """Which bytes are meant at a key."""

    file: LocalFile | None
    agreed: Agreed | None


def verify(
    project: Project,
    scope: Scope | None = None,
    *,
    mode: Mode | None = None,
    concurrency: int = CONCURRENCY,
    listener: Listener = silent,
) -> Proof:
    """Proves the references of the records in scope. Raises StoreError, SourceError and ConfigError if a world
    cannot be read at all, and UsageError for a scope that names nothing, or for URLs of a store that has none."""
    return _Proving(project, scope or Scope(), mode or Mode(), concurrency, listener).run()


class _Proving:
    """One proof, from the records to the certificates."""

    def __init__(self, project: Project, scope: Scope, mode: Mode, concurrency: int, listener: Listener) -> None:
        self._project = project
        self._scope = scope
        self._mode = mode
        self._concurrency = concurrency
        self._listener = listener
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._read = 0
        self._unpacked: list[Agreed] = []
        self._breaker = Breaker(counted=(StoreError,))
        self._unread: dict[str, str] = {}
        self._now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def run(self) -> Proof:
        if self._mode.urls:
            self._project.signer.sign("-", expires=URL_LIVES)  # who cannot sign shall know before anything is read
        roster, context = open_records(self._project, self._scope, self._listener, self._roster)
        self._scope = roster.scope
        named = _Named(roster, context)
        self._listener(PhaseStarted(Phase.LISTING))
        objects = self._objects(named.keys, context)
        meant = self._meant(named.references, context)
        self._listener(PhaseDone(Phase.LISTING))
        verdicts = self._verdicts(sorted({each.key for each in named.references}), objects, meant)
        self._project.agreed.remember(self._unpacked)
        for warning in self._project.state.warnings:
            self._listener(Warned(warning))
        return self._result(named, objects, verdicts, context)

    # -- reading --

    def _roster(self) -> Roster:
        """The records in scope; without a local file also means without the local database, which is one."""
        if not self._mode.cloud_only:
            return read_roster(self._project, self._scope, self._listener)
        wanted = self._scope.char_ids
        asked = [each for char_id in wanted for each in spellings(char_id)]
        documents = tuple(self._counted(self._project.records.read(asked or None)))
        known = frozenset(document.id for document in documents)
        for char_id in wanted:
            if spelling(char_id, known) is None:
                raise UsageError(f"no record names the character {char_id!r}", hint="see `reconcile status`")
        scope = msgspec.structs.replace(self._scope, char_ids=tuple(spelling(each, known) or each for each in wanted))
        chosen = tuple(document for document in documents if scope.takes_character(document.id))
        return Roster(chosen, (), known, Coverage(), scope)

    def _counted(self, documents: Iterable[Document]) -> Iterator[Document]:
        for document in documents:
            self._listener(Advanced(Phase.RECORDS, 1))
            yield document

    def _objects(self, keys: frozenset[str], context: Context) -> dict[str, RemoteObject]:
        """The objects of these keys that are there."""
        askable = sorted(key for key in keys if is_askable(key, context))
        if len(askable) > GETS and not (self._scope.char_ids or self._scope.asset_types):
            splits = [prefix for prefix in context.asset_map.key_prefixes(()) if prefix]
            listed = self._project.objects.list("", splits)
            return {found.key: found for found in listed if found.key in keys}
        jobs = (lambda key=key: self._ask(key) for key in askable)
        return {found.key: found for found in results(jobs, self._concurrency) if found is not None}

    def _ask(self, key: str) -> RemoteObject | None:
        try:
            found = self._project.objects.get(key)
        except StoreError as error:
            self._failed(error)
            self._unread[key] = error.sentence
            return None
        self._breaker.succeeded()
        return found

    def _meant(self, references: Sequence[Reference], context: Context) -> dict[str, _Meant]:
        keys = {each.key for each in references}
        agreed = {state.key: state for state in self._project.agreed.all() if state.key in keys}
        files: dict[str, LocalFile] = {}
        if not self._mode.cloud_only:
            paths = {key: context.asset_map.path_for(key, context.known_ids) for key in keys}
            wanted = {path: key for key, path in paths.items() if path is not None}
            for file in self._project.files.lookup(sorted(wanted), anew=self._mode.deep):
                files[wanted[file.path]] = file
                self._listener(Advanced(Phase.LISTING, 1))
            if self._project.root_is_gone:
                self._listener(Warned(gone(self._project.settings.root)))
        return {key: _Meant(files.get(key), agreed.get(key)) for key in keys}

    # -- judging --

    def _verdicts(
        self, keys: Sequence[str], objects: dict[str, RemoteObject], meant: dict[str, _Meant]
    ) -> dict[str, _Verdict]:
        sizes = [found.size for key in keys if (found := objects.get(key)) is not None] if self._mode.deep else []
        self._listener(PhaseStarted(Phase.PROVING, len(keys), sum(sizes) if self._mode.deep else None))
        verdicts: dict[str, _Verdict] = {}
        jobs = (lambda key=key: (key, self._judge(key, objects.get(key), meant[key])) for key in keys)
        for key, verdict in results(jobs, self._concurrency):
            verdicts[key] = verdict
            self._listener(Advanced(Phase.PROVING, 1))
        self._listener(PhaseDone(Phase.PROVING))
        return verdicts

    def _judge(self, key: str, found: RemoteObject | None, meant: _Meant) -> _Verdict:
        why = self._unread.get(key)
        for _ in range(AGAIN):
            if why is not None:
                return _Verdict(found, complaints=(_says(Code.UNREADABLE_OBJECT, why=why),))
            if found is None:
                return _Verdict(None, complaints=(_says(LOST_OBJECT),))
            try:
                return self._judge_once(found, meant)
            except NotThere:  # replaced, or taken away, since it was listed
                found = self._ask(key)
                why = self._unread.get(key)
            except StoreError as error:
                self._failed(error)
                why = error.sentence
        return _Verdict(found, complaints=(_says(Code.UNREADABLE_OBJECT, why=why or "it is replaced all the time"),))

    def _failed(self, error: StoreError) -> None:
        """Counts a failure. Raises it if the store is taken to be down, or is not there."""
        self._breaker.failed(error)
        if self._breaker.tripped is not None or isinstance(error, StoreMissing):
            raise error

    def _judge_once(self, found: RemoteObject, meant: _Meant) -> _Verdict:
        if not found.size:
            return _Verdict(found, (Check.METADATA,), None, (_says(NAMED_EMPTY),))
        look = _Look(found)
        if self._mode.urls:
            self._look_through_url(look)
        elif self._mode.deep:
            encoded = bool(found.encoding)
            body = self._project.objects.read(found.key, generation=found.generation, encoded=encoded)
            self._hash(look, body, found.encoding)
        if len(look.checked) > 1:
            self._breaker.succeeded()
        against, wrong = _held_against(look, meant)
        if found.encoding and against is Against.LOCAL and look.size is not None and look.crc32c and not wrong:
            with self._lock:
                self._unpacked.append(Agreed(found.key, look.size, look.crc32c, found.generation))
        return _Verdict(found, tuple(look.checked), against, (*look.complaints, *wrong))

    def _hash(self, look: _Look, body: Iterable[bytes], encoding: str) -> None:
        """Holds the bytes as they come against the object's own checksum, unless they came unpacked; without a checksum
        they have theirs."""
        found = look.found
        most = found.size if encoding == found.encoding else most_unpacked(found.size)
        measured = measure(self._told(body, most), found.size, encoding)
        stored, content = measured.stored, measured.content
        with self._lock:
            self._read += stored.size
        look.checked.append(Check.DEEP)
        as_stored = encoding == found.encoding
        look.unpacked_on_the_way = not as_stored
        if as_stored and compare(stored.size, stored.crc32c, found.size, found.crc32c) is Comparison.DIFFERENT:
            why = f"{stored.size} bytes of {found.size}, crc32c {stored.crc32c}, not {found.crc32c}"
            look.complaints.append(_says(Code.DAMAGED_OBJECT, why=why))
        elif content is None:
            look.complaints.append(_says(NAMED_ENCODED, why=f"it {measured.why}"))
        elif not content.size:
            look.complaints.append(_says(NAMED_EMPTY))
        else:
            look.size, look.crc32c = content.size, content.crc32c

    def _told(self, body: Iterable[bytes], most: int) -> Iterator[bytes]:
        """The body as it comes, until there is more of it than there may be: it need not have an end."""
        for chunk in body:
            self._listener(Advanced(Phase.PROVING, 0, len(chunk)))
            yield chunk
            most -= len(chunk)
            if most < 0:
                return

    def _look_through_url(self, look: _Look) -> None:
        found = look.found
        url = self._project.signer.sign(found.key, expires=URL_LIVES)
        limit = None if self._mode.deep or not found.size else FIRST_BYTES
        with self._project.url_reader.fetch(url, limit=limit, encoded=bool(found.encoding)) as served:
            look.checked.append(Check.URL)
            if served.status not in (200, 206):
                look.complaints.append(_says(Code.URL_REFUSED, why=f"it answers {served.status}"))
                return
            right = content_type(found.key)
            if right != DEFAULT and _essence(served.content_type) != _essence(right):
                look.complaints.append(
                    _says(Code.WRONG_CONTENT_TYPE, found=served.content_type or "(nothing)", right=right)
                )
            if self._mode.deep:
                self._hash(look, served.body, served.encoding)
                return
            count, as_stored = sum(map(len, _first(served))), served.encoding == found.encoding
            if count != min(found.size, FIRST_BYTES) if as_stored else not count:
                look.complaints.append(
                    _says(Code.DAMAGED_OBJECT, why=f"the first {FIRST_BYTES} bytes of {found.size} came as {count}")
                )

    # -- telling --

    def _result(
        self, named: _Named, objects: dict[str, RemoteObject], verdicts: dict[str, _Verdict], context: Context
    ) -> Proof:
        lines: dict[str, list[Proved]] = defaultdict(list)
        problems: dict[str, list[Finding]] = defaultdict(list)
        for found in named.problems(objects, self._unread):
            problems[found.char_id or ""].append(found)
        for reference in named.references:
            verdict = verdicts[reference.key]
            where = place_of(reference.slot, context)
            said = tuple(complain(reference, where) for complain in verdict.complaints)
            problems[reference.char_id] += said
            lines[reference.char_id].append(
                proved(reference, verdict.found, verdict.checked, verdict.against, ok=holds(said))
            )
        everything = [problem for char_id in sorted(problems) for problem in problems[char_id]]
        refs = [line for listed in lines.values() for line in listed]
        paths = sum(problem.code in _PATHS for problem in everything)
        verification = Verification(
            format=FORMAT,
            tool=f"reconcile {VERSION}",
            created=self._now,
            bucket=str(context.bucket),
            records=str(self._project.settings.records),
            stores=self._project.stores,
            scope=self._scope,
            mode=self._mode,
            documents=len(named.documents),
            objects=len(verdicts),
            checked=len(refs) + paths,
            ok=sum(line.ok for line in refs),
            bytes=self._read,
            seconds=round(time.monotonic() - self._started, 3),
            complete=all(problem.code is not Code.UNREADABLE_OBJECT for problem in everything),
            problems=tuple(sorted(everything, key=worst_first)),
        )
        # What was proved of a part of a record says nothing about the record.
        certified = () if self._scope.asset_types else named.documents
        certificates = [self._certificate(document, lines, problems, context) for document in certified]
        return Proof(verification, tuple(certificates))

    def _certificate(
        self,
        document: Document,
        lines: dict[str, list[Proved]],
        problems: dict[str, list[Finding]],
        context: Context,
    ) -> Certificate:
        said = tuple(problems.get(document.id, ()))
        return Certificate(
            format=CERTIFICATE_FORMAT,
            tool=f"reconcile {VERSION}",
            char_id=document.id,
            created=self._now,
            holds=holds(said),
            bucket=str(context.bucket),
            records=str(self._project.settings.records),
            stores=self._project.stores,
            mode=self._mode,
            document=context.document(document.id),
            update_time=document.update_time,
            references=tuple(lines.get(document.id, ())),
            problems=said,
        ).sealed()


class _Named:
    """What all records in scope name: references to prove, and what is wrong with the rest."""

    def __init__(self, roster: Roster, context: Context) -> None:
        self.documents = roster.documents
        self.references: list[Reference] = []
        self._suspects: list[Suspect] = []
        self._problems: list[Finding] = []
        local = roster.local_documents if context.rewrite_local_db else ()
        for world, documents in ((World.RECORDS, roster.documents), (World.LOCAL_DB, local)):
            for document in documents:
                self._take(document, world, context)
        self.keys = frozenset(
            [each.key for each in self.references] + [key for each in self._suspects for key in each.keys]
        )

    def _take(self, document: Document, world: World, context: Context) -> None:
        for each in named_by(document, world, context):
            match each:
                case Reference():
                    self.references.append(each)
                case Suspect():
                    self._suspects.append(each)
                case Finding():
                    self._problems.append(each)

    def problems(self, objects: Mapping[str, RemoteObject], unread: Mapping[str, str]) -> Iterator[Finding]:
        """What is wrong beside the references; texts that no object answers to are somebody's words."""
        yield from self._problems
        for each in self._suspects:
            if any(key in objects for key in each.keys):
                yield each.finding
            elif (why := next((unread[key] for key in each.keys if key in unread), None)) is not None:
                message = f"{each.finding.message}, if an object of that name is there: {why}"
                yield msgspec.structs.replace(each.finding, code=Code.UNREADABLE_OBJECT, message=message)


def _held_against(look: _Look, meant: _Meant) -> tuple[Against | None, tuple[Complaint, ...]]:
    """What says which bytes are meant, and what is wrong with those that are there."""
    file, agreed, found = meant.file, meant.agreed, look.found
    if found.encoding and look.size is None and look.complaints:
        return None, ()  # it was read, and could not be unpacked
    unknown = (
        _says(WITHOUT_CHECKSUM)
        if not found.encoding
        else _says(NAMED_ENCODED, why="its content is not known until it is unpacked")
    )
    has = f"{found.size if look.size is None else look.size}, {look.crc32c}"
    if file is not None and file.problem is None:
        same = _compared(file.size, file.crc32c, look, agreed)
        why = f"the local file has {file.size} bytes, crc32c {file.crc32c}, the object {has}"
        return _said(Against.LOCAL, same, unknown, _says(OTHER_THAN_LOCAL, why=why))
    aside: tuple[Complaint, ...] = ()
    if file is not None and file.problem in (
        FileProblem.UNREADABLE,
        FileProblem.UNSETTLED,
        FileProblem.INCOMPLETE,
    ):
        aside = (_says(UNCOMPARED._replace(code=Code(file.problem.value)), why=file.detail),)
    if agreed is not None:
        same = _compared(agreed.size, agreed.crc32c, look, agreed)
        why = (
            f"when file and object last agreed it had {agreed.size} bytes, crc32c {agreed.crc32c} (generation"
            f" {agreed.generation}), now {has} (generation {found.generation})"
        )
        against, complaints = _said(Against.AGREED, same, unknown, _says(OTHER_THAN_AGREED, why=why))
        return against, (*aside, *complaints)
    if found.crc32c is None:
        return None, (*aside, _says(WITHOUT_CHECKSUM))
    if found.encoding and not can_unpack(found.encoding):
        return None, (*aside, _says(NAMED_ENCODED, why=f'"{found.encoding}", which cannot be unpacked here'))
    if look.unpacked_on_the_way:
        return None, (
            *aside,
            _says(NAMED_ENCODED, why="it came unpacked, so its checksum does not say whether it is sound"),
        )
    return Against.OBJECT, aside


def _compared(size: int, crc32c: str | None, look: _Look, agreed: Agreed | None) -> Comparison:
    """A content against what a reader gets; against what is remembered of an encoded object that was not unpacked."""
    if look.size is None:
        return compare_object(size, crc32c, look.found, agreed)
    return compare(size, crc32c, look.size, look.crc32c)


def _said(
    against: Against, same: Comparison, unknown: Complaint, different: Complaint
) -> tuple[Against | None, tuple[Complaint, ...]]:
    match same:
        case Comparison.SAME:
            return against, ()
        case Comparison.DIFFERENT:
            return against, (different,)
        case Comparison.UNKNOWN:
            return None, (unknown,)


def _says(what: Code | Form, **values: str) -> Complaint:
    return lambda each, where: make(what, each.document, each.char_id, place=where, uri=each.uri, **values)


def _essence(content_type: str) -> str:
    """The media type without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def _first(served: Served) -> Iterator[bytes]:
    """The first bytes of what is served, whatever more a server sends."""
    left = FIRST_BYTES
    for chunk in served.body:
        yield chunk[:left]
        left -= len(chunk)
        if left <= 0:
            return
