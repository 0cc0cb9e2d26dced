"""Counts the requests of a run to the stores, and reports each one to a listener if there is one."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias
from urllib.parse import urlsplit

from reconcile.core.cost import Usage, request_class
from reconcile.core.ramp import Rates, Turn
from reconcile.core.shown_url import shown_url

BUCKET, RECORDS = "bucket", "records"
"""The names of the two stores in ``silences``; any other host appears under its own name."""
_OF_DOCUMENTS = "/documents"
OF_A_RECORD = 2
"""Operations that writing a record counts as, because the record is read just before."""


class OnEnd(Protocol):
    """The callback for the end of a request, called once.

    It gets the status, or one word for how the request failed, and whether it can have reached the server.
    """

    def __call__(self, outcome: str, *, reached: bool = True) -> None: ...


Watch: TypeAlias = Callable[[str, str], OnEnd]
"""Called when a request begins, with its method and URL."""


class Asked(NamedTuple):
    """A finished request. ``where`` is its URL without secrets, or the document.

    ``outcome`` is the status, or one word for how it failed. ``attempt`` is 1, or one more than that of the failed
    attempt at the same thing just before; ``waited`` is the seconds between the two.
    """

    method: str
    where: str
    outcome: str
    seconds: float
    attempt: int = 1
    waited: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether the request is likely to be repeated: it got no answer, or the server has not done it."""
        status = int(self.outcome) if self.outcome.isdecimal() else 500
        return self.outcome != "OK" and (status >= 500 or status in (401, 408, 429))


class RequestListener(Protocol):
    """A listener to all requests, called from several threads."""

    def heard(self, asked: Asked) -> None:
        """Receives a finished request."""

    def ended(self) -> None:
        """Called when the project is closed: no request follows."""


def _turns(rates: Rates) -> dict[str, tuple[Turn, threading.Lock]]:
    """The next turn of each kind of request."""
    return {kind: (Turn(getattr(rates, kind)), threading.Lock()) for kind in rates.__struct_fields__}


class Meter:
    """Counts the requests of one run; thread-safe. ``witness`` hears of each.

    With ``rates``, each request waits for its turn.
    """

    def __init__(
        self,
        witness: RequestListener | None = None,
        clock: Callable[[], float] = time.perf_counter,
        rates: Rates | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._witness = witness
        self._sleep = sleep
        self._turns = {} if rates is None else _turns(rates)
        self._clock = clock
        self._lock = threading.Lock()
        self._total = Usage()
        self._taken = Usage()
        self._last = threading.local()
        self._asking: Counter[str] = Counter()
        self._silent: dict[str, float] = {}
        """When each store began to leave requests unanswered, or to answer only with failures."""

    def share(self, rates: Rates, count: int) -> None:
        """Limits this run from now on to its share of the rates, which ``count`` runs share."""
        self._turns = _turns(Rates(*(getattr(rates, kind).shared(count) for kind in rates.__struct_fields__)))

    def total(self) -> Usage:
        """Returns all usage so far."""
        with self._lock:
            return self._total

    def take(self) -> Usage:
        """Returns the usage since the last call."""
        with self._lock:
            since, self._taken = self._total - self._taken, self._total
            return since

    def silences(self) -> dict[str, float]:
        """Returns the stores that have not answered a request yet, or whose last answer was a failure, with the seconds
        since each last answered or received bytes."""
        with self._lock:
            now = self._clock()
            return {store: now - since for store, since in self._silent.items()}

    def bucket(self, method: str, url: str) -> OnEnd:
        """Watches a request to the bucket, which counts by its class."""
        self._wait("object_reads" if method == "GET" else "object_writes")
        usage = Usage(**{request_class(method, urlsplit(url).path): 1})
        return self._watched(method, url, usage, BUCKET)

    def other(self, method: str, url: str) -> OnEnd:
        """Watches a request that costs nothing by itself: for a token, or for documents, which are counted on
        arrival."""
        return self._watched(method, url, Usage(), RECORDS if _OF_DOCUMENTS in url else urlsplit(url).netloc)

    def write(self, document: str) -> OnEnd:
        """Watches a request that writes one document."""
        self._wait("records", operations=OF_A_RECORD)
        return self._watched("Commit", document, Usage(document_writes=1), RECORDS)

    def read(self, documents: int) -> None:
        """Counts documents that the database returned or reported missing."""
        self._add(Usage(document_reads=documents))

    def sent(self, size: int) -> None:
        """Counts bytes of a file that were sent."""
        self._add(Usage(bytes=size))
        with self._lock:
            if BUCKET in self._silent:
                self._silent[BUCKET] = self._clock()

    def _wait(self, kind: str, operations: int = 1) -> None:
        """Waits for this request's turn, after earlier ones of its kind."""
        if self._turns:
            turn, lock = self._turns[kind]
            with lock:
                while pause := turn.take(self._clock(), operations):
                    self._sleep(pause)

    def _add(self, usage: Usage) -> None:
        with self._lock:
            self._total += usage

    def _watched(self, method: str, where: str, usage: Usage, store: str) -> OnEnd:
        began = self._clock()
        with self._lock:
            self._asking[store] += 1
            self._silent.setdefault(store, began)

        def ended(outcome: str, *, reached: bool = True) -> None:
            if reached:
                self._add(usage)
            asked = Asked(method, where, outcome, self._clock() - began)
            with self._lock:
                self._asking[store] -= 1
                if not asked.failed and self._asking[store]:
                    self._silent[store] = self._clock()
                elif not asked.failed:
                    self._silent.pop(store, None)
            if self._witness is not None:
                self._tell(self._witness, asked, began)

        return ended

    def _tell(self, to: RequestListener, asked: Asked, began: float) -> None:
        # Attempts at one thing follow each other in one thread, which remembers its last request if that failed.
        thing = (asked.method, asked.where)
        failed, attempt, ended = getattr(self._last, "failed", (None, 0, 0.0))
        if thing == failed:
            asked = asked._replace(attempt=attempt + 1, waited=max(0.0, began - ended))
        self._last.failed = (thing if asked.failed else None, asked.attempt, began + asked.seconds)
        to.heard(asked._replace(where=shown_url(asked.where)))


def unheard(_method: str, _url: str) -> OnEnd:
    """A ``Watch`` that does nothing."""
    return lambda _outcome, *, reached=True: None  # noqa: ARG005
