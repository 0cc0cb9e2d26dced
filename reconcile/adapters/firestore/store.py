"""The record store in Firestore.

It returns whole pages or an error, writes under the update time as a precondition, and settles lost replies by reading.
It reads over the JSON API; Google's client is imported only for the first write.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from math import ceil
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from reconcile.adapters import room
from reconcile.adapters.firestore.calls import CallFailed, Collected, Nonsense
from reconcile.adapters.firestore.failures import (
    ABOUT_THE_DOCUMENT,
    ABOUT_THE_MOMENT,
    MAY_STILL_LAND,
    TRANSIENT,
    error_of,
    maybe_applied,
    nonsense,
)
from reconcile.adapters.firestore.paging import NAMES_PAGE, PAGE, next_page, span_of
from reconcile.adapters.firestore.rest import CollectionReader
from reconcile.adapters.meter import Meter
from reconcile.adapters.network import grpc_advice, is_this_machine
from reconcile.adapters.retry import DEADLINE, Budget, Clock, Patience, Traffic
from reconcile.core.closing import Closing
from reconcile.core.document_rules import MAX_DOCUMENT_BYTES, check_id, id_problem
from reconcile.core.errors import (
    ConfigError,
    NotThere,
    PreconditionFailed,
    Rejected,
    StoreError,
    StoreUnavailable,
    Uncertain,
)
from reconcile.core.moment import Moment
from reconcile.core.rows import Document

if TYPE_CHECKING:
    from reconcile.adapters.firestore.wire import CollectionWriter

T = TypeVar("T")

_MESSAGE_LIMIT = 4 * MAX_DOCUMENT_BYTES


class FirestoreRecordStore(Closing):
    """The documents of one collection of a Firestore database; thread-safe."""

    def __init__(
        self,
        reads: CollectionReader,
        open_writes: Callable[[], CollectionWriter],
        place: str,
        traffic: Traffic,
        meter: Meter | None = None,
    ) -> None:
        self._meter = meter or Meter()
        self._reads = reads
        self._open_writes = open_writes
        self._writes: CollectionWriter | None = None
        self._lock = threading.Lock()
        self._place = place
        self._traffic = traffic
        self._written = False
        """Whether the server has ever answered a write."""

    @classmethod
    def open(
        cls,
        project: str,
        database: str,
        collection: str,
        endpoint: str,
        *,
        deadline: float = DEADLINE,
        clock: Clock = time,
        budget: Budget | None = None,
        meter: Meter | None = None,
    ) -> FirestoreRecordStore:
        """Returns the store for a collection at Google (``endpoint`` empty) or at an emulator on this machine
        (``host:port``).

        It makes no call yet and looks for no credentials. ``deadline`` is how many seconds the store may go without an
        answer; ``budget`` is the run's retry budget (default: a new one); ``meter`` counts documents and sees each
        request.

        Raises ConfigError for an invalid endpoint or collection. Calls raise AccessDenied if there are no credentials;
        writes raise StoreUnavailable if the system has no room to load Google's client.
        """
        _check_endpoint(endpoint)
        if collection.count("/") % 2 or not all(collection.split("/")):
            raise ConfigError(
                f"{collection!r} is not a path of a Firestore collection",
                hint="write records.uri as firestore://PROJECT/DATABASE/COLLECTION",
            )
        shown = f"firestore://{project}/{database}/{collection}" + (f" at {endpoint}" if endpoint else "")
        place = Collected.of(project, database, collection)
        emulator = "" if endpoint else os.environ.get("FIRESTORE_EMULATOR_HOST", "")  # as Google's client finds it
        base = f"http://{endpoint or emulator}" if endpoint or emulator else ""
        meter = meter or Meter()
        reads = CollectionReader(place, base, deadline=deadline, owner=bool(emulator), watch=meter.other)

        def open_writes() -> CollectionWriter:
            with room.importing("firestore", shown):
                from reconcile.adapters.firestore.wire import CollectionWriter, connect

            return CollectionWriter(connect(project, database, endpoint), place)

        return cls(reads, open_writes, shown, Traffic(deadline, budget, clock), meter)

    def close(self) -> None:
        self._reads.close()
        with self._lock:
            if self._writes is not None:
                self._writes.close()
                self._writes = None

    def ids(self, prefix: str = "", *, at: Moment | None = None) -> Iterator[str]:
        """Yields ids as the port says; it requests only names."""
        return (found.id for found in self._pages(prefix, at or Moment(), whole=False))

    def versions(self, *, at: Moment | None = None) -> Iterator[tuple[str, str]]:
        """Yields ids and update times as the port says; it requests only names, which come with their update times."""
        return ((found.id, found.update_time) for found in self._pages("", at or Moment(), whole=False))

    def read(self, ids: Collection[str] | None = None, *, at: Moment | None = None) -> Iterator[Document]:
        """Yields documents as the port says."""
        at = at or Moment()
        return self._pages("", at, whole=True) if ids is None else self._named(ids, at)

    def update(self, document: str, fields: Mapping[str, Any], *, if_update_time: str) -> str:
        """Updates a document as the port says; Firestore keeps the update time if nothing changes."""
        return self._write(document, fields, if_update_time)

    def create(self, document: str, fields: Mapping[str, Any]) -> str:
        """Creates a document as the port says."""
        return self._write(document, fields, None)

    # -- reading ------------------------------------------------------------------------------------------------

    def _pages(self, prefix: str, at: Moment, *, whole: bool) -> Iterator[Document]:
        """Yields every document whose id starts with the prefix. What a page brought before it broke off counts, and
        the next page continues from there; only a page that ended cleanly can be the last."""
        size = PAGE if whole else NAMES_PAGE
        span = span_of(prefix)
        patience = Patience(self._traffic)
        while span is not None:
            came: list[int] = []
            sent = at.as_of
            call = self._reads.query(span, size, patience.left(), at, whole=whole, on_bytes=came.append)
            page, failure = self._ask(call)
            yield from (found for found in page if found.id.startswith(prefix))
            if page:
                last = page[-1].id
                is_beyond = last > prefix and not last.startswith(prefix)
                span = None if is_beyond else span._replace(start=last, after=True)
                patience = Patience(self._traffic)
            if failure is not None:
                self._bear(failure, patience, at, sent)
            elif len(page) < size:
                return
            elif whole:
                size = next_page(len(page), sum(came))

    def _named(self, ids: Collection[str], at: Moment) -> Iterator[Document]:
        names = sorted({name for name in ids if id_problem(name) is None})
        for first in range(0, len(names), PAGE):
            found = self._get(names[first : first + PAGE], None, self._traffic.deadline, at)
            yield from (each for _, each in sorted(found.items()) if each is not None)

    def _get(
        self, names: Collection[str], fields: Collection[str] | None, within: float, at: Moment
    ) -> dict[str, Document | None]:
        """Returns an answer for each name; names that a broken call has answered are not requested again."""
        answers: dict[str, Document | None] = {}
        patience = Patience(self._traffic, within=within)
        while missing := [name for name in names if name not in answers]:
            sent = at.as_of
            some, failure = self._ask(self._reads.get(missing, fields, patience.left(), at))
            answers.update(some)
            if some:
                patience = Patience(self._traffic, within=within)
            if failure is not None:
                self._bear(failure, patience, at, sent)
            elif not some:
                raise nonsense(self._place, "with neither a document nor its absence")
        return answers

    def _bear(self, failure: CallFailed, patience: Patience, at: Moment, sent: str) -> None:
        """Waits before the next attempt, or raises the error that the failure means. If the read time ``sent`` may be
        too old, the next attempt reads the present: it fails in the same way if that was not the reason."""
        if sent and failure.code in ABOUT_THE_MOMENT:
            at.lapse(sent)
        elif failure.code not in TRANSIENT or not patience.again(failure):
            raise self._error(failure, spent=patience.spent) from failure

    def _ask(self, answers: Iterator[T]) -> tuple[list[T], CallFailed | None]:
        """Makes a call when its turn has come; returns the answers until it ended or failed, and the failure. Raises
        StoreUnavailable for answers that Firestore would never give."""
        collected: list[T] = []
        failure = None
        try:
            self._enter()
            for answer in answers:
                collected.append(answer)  # noqa: PERF402  # what came before a failure counts
        except CallFailed as error:
            failure = error
        except Nonsense as error:
            raise nonsense(self._place, str(error)) from error
        # A read that finds nothing is billed like one that finds a document.
        self._meter.read(max(1, len(collected)) if failure is None else len(collected))
        self._note_answer(failure)
        return collected, failure

    def _enter(self) -> None:
        """Waits for the turn of an attempt. Raises CallFailed if the server requested too long a pause."""
        shut = self._traffic.enter()
        if shut:
            raise CallFailed("RESOURCE_EXHAUSTED", f"it asked to be left alone for {ceil(shut)} s", shut)

    def _note_answer(self, failure: CallFailed | None) -> None:
        if failure is None or failure.code not in TRANSIENT:
            self._traffic.answered()

    # -- writing ------------------------------------------------------------------------------------------------

    def _wire(self) -> CollectionWriter:
        """Returns Google's client, opened for the first write. Raises AccessDenied without credentials, and
        StoreUnavailable if the system has no room to load it."""
        with self._lock:
            if self._writes is None:
                lacking = room.lacks()
                if lacking:
                    raise StoreUnavailable(f"{self._place} cannot be asked: {lacking}", hint=room.HINT)
                try:
                    self._writes = self._open_writes()
                except CallFailed as error:
                    raise self._error(error) from error
            return self._writes

    def _write(self, document: str, fields: Mapping[str, Any], if_update_time: str | None) -> str:
        """Commits until an answer is certain; each attempt has the same precondition, so at most one is applied."""
        wanted, request = self._request(document, fields, if_update_time)
        patience = Patience(self._traffic)
        doubt = False
        while True:
            try:
                return self._commit(document, request, patience)
            except CallFailed as error:
                failure = error
            doubt = doubt or maybe_applied(failure)
            if failure.code not in TRANSIENT | ABOUT_THE_DOCUMENT:
                raise self._error(failure, document) from failure
            if doubt or failure.code in ABOUT_THE_DOCUMENT:
                settled = self._settle(document, wanted, if_update_time, failure, doubt=doubt)
                if settled is not None:
                    return settled
            if not patience.again(failure):
                self._give_up(document, failure, spent=patience.spent)

    def _commit(self, document: str, request: Any, patience: Patience) -> str:
        """Makes one attempt, once the document may be written again; returns its new update time. Raises CallFailed."""
        self._traffic.writes.wait(document)
        self._enter()
        wire, ended = self._wire(), self._meter.write(self._name(document))
        try:
            written = wire.commit(request, min(self._traffic.deadline / 2, patience.left()))
        except CallFailed as failure:
            ended(failure.code, reached=failure.reached)
            self._note_answer(failure)
            self._written = self._written or failure.code not in TRANSIENT
            if maybe_applied(failure):
                self._traffic.writes.wrote(document)
            raise
        ended("OK")
        self._note_answer(None)
        self._written = True
        self._traffic.writes.wrote(document)
        return written

    def _request(
        self, document: str, fields: Mapping[str, Any], if_update_time: str | None
    ) -> tuple[dict[str, Any], Any]:
        check_id(document)
        wire = self._wire()
        from reconcile.adapters.firestore.messages import encode_fields

        try:
            wanted = encode_fields(fields)
        except (ValueError, TypeError) as error:
            raise Rejected(
                f"{self._name(document)} cannot be written: {error}", hint="correct the value, then run again"
            ) from error
        try:
            request = wire.write(document, wanted, if_update_time)
        except ValueError as error:
            raise PreconditionFailed(
                f"{if_update_time!r} is not an update time of {self._name(document)}", hint="plan again"
            ) from error
        if request.ByteSize() > _MESSAGE_LIMIT:
            raise Rejected(
                f"{self._name(document)} would be larger than a document may be ({MAX_DOCUMENT_BYTES:,} bytes)",
                hint="move some of its fields to another document",
            )
        return wanted, request

    def _settle(
        self, document: str, wanted: Mapping[str, Any], seen: str | None, failure: CallFailed, *, doubt: bool
    ) -> str | None:
        """Decides by the document about a commit without a clear answer. Returns its update time if it holds what was
        wanted, None if a retry is safe; raises otherwise. ``doubt``: some attempt may have been applied."""
        from reconcile.adapters.firestore.messages import encode_fields, same_fields

        found = self._look(document, None if seen is None else list(wanted), doubt=doubt)
        if found is not None and doubt and same_fields(encode_fields(found.fields), wanted):
            return found.update_time
        untouched = found is None if seen is None else found is not None and found.update_time == seen
        if untouched and failure.code in TRANSIENT:
            return None
        if untouched and failure.code == "FAILED_PRECONDITION" and not doubt:
            raise self._error(failure, document) from failure  # not because of the precondition, which holds
        if found is None:
            raise NotThere(f"{self._name(document)} is not there any more", hint="plan again") from failure
        if doubt:
            raise Uncertain(
                f"the reply to a write of {self._name(document)} was lost, and the document was changed since",
                hint="plan again to see what it holds",
            ) from failure
        moved = "is there already" if seen is None else "was written since it was read"
        raise PreconditionFailed(f"{self._name(document)} {moved}", hint="plan again") from failure

    def _look(self, document: str, fields: Collection[str] | None, *, doubt: bool) -> Document | None:
        try:
            return self._get([document], fields, self._traffic.deadline / 2, Moment())[document]
        except StoreError as error:
            if not doubt:
                raise
            raise Uncertain(
                f"the reply to a write of {self._name(document)} was lost, and it cannot be read: {error.message}",
                hint="plan again when the database answers",
            ) from error

    def _give_up(self, document: str, failure: CallFailed, *, spent: bool) -> NoReturn:
        # The document was read over HTTP before, which may take another route than gRPC if there is a proxy.
        advice = "" if self._written or failure.throttled else grpc_advice(self._reads.host)
        if failure.code in MAY_STILL_LAND:
            hint = "plan again to see what it holds"
            raise Uncertain(
                f"no answer said whether {self._name(document)} was written ({failure})",
                hint="; ".join(filter(None, (hint, advice))),
            ) from failure
        raise self._error(failure, document, spent=spent, advice=advice) from failure

    def _name(self, document: str) -> str:
        return f"{self._place}/{document}"

    def _error(self, failure: CallFailed, document: str = "", *, spent: bool = False, advice: str = "") -> StoreError:
        return error_of(failure, self._place, self._reads.host, document, spent=spent, advice=advice)


def _check_endpoint(endpoint: str) -> None:
    """Raises ConfigError unless the endpoint is on this machine: it is spoken to unencrypted, without credentials."""
    if not endpoint:
        return
    host, colon, port = endpoint.rpartition(":")
    if not colon or not port.isdecimal() or "/" in host:
        raise ConfigError(
            f"records.endpoint is {endpoint!r}, which is not host:port",
            hint='write an emulator as "127.0.0.1:8080", without http://; leave it empty for Google',
        )
    if not is_this_machine(host.strip("[]")):
        raise ConfigError(
            f"records.endpoint is {endpoint!r}, another machine, which would be spoken to in clear",
            hint="leave it empty for Google, and set FIRESTORE_EMULATOR_HOST for an emulator elsewhere",
        )
