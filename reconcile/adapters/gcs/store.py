"""The object store on Google Cloud Storage, or on an emulator of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from operator import lt
from typing import BinaryIO

from reconcile.adapters.gcs.answers import (
    LIST_FIELDS,
    OBJECT_FIELDS,
    Page,
    Resource,
    decode_page,
    decode_resource,
    nonsense,
    number,
)
from reconcile.adapters.gcs.body import Body
from reconcile.adapters.gcs.failures import Transient, of_failed, wait
from reconcile.adapters.gcs.http import GcsClient
from reconcile.adapters.gcs.orders import md5_of, rewrite, set_type
from reconcile.adapters.gcs.packing import accepting, stored
from reconcile.adapters.gcs.upload import ObjectUpload, Sessions
from reconcile.adapters.lean_http import Failed, Reply
from reconcile.adapters.meter import Meter
from reconcile.adapters.retry import DEADLINE, Budget, Clock, Traffic
from reconcile.adapters.workers import Workers, awaited
from reconcile.core.closing import Closing
from reconcile.core.errors import NotThere, Rejected
from reconcile.core.names import BucketRoot, key_problem
from reconcile.core.rows import RemoteObject
from reconcile.ports import DesiredObject, Progress

CONCURRENCY = 8
PAGE_SIZE = 1000
PAGES_AHEAD = 4

_Pages = list[Page]

EMPTY_PAGES = 100
"""Consecutive pages that may be empty without being the last: GCS returns some where many objects were deleted."""


class _Range:
    """A range of a listing, from the name ``first`` (inclusive) to ``stop`` (exclusive), with its reading position.

    Reading it always ends: each page has names after all earlier ones, or is one of a limited number of empty pages.
    """

    def __init__(self, prefix: str, first: str, stop: str, client: GcsClient) -> None:
        self.prefix = prefix
        self.first = first
        self.stop = stop
        self.token: str | None = None
        self._client = client
        self._last = ""
        self._tokens: set[str] = set()
        self._since = 0.0

    def add(self, page: Page) -> None:
        """Accepts the next page. Raises StoreUnavailable for a page that cannot follow."""
        names = [each.name for each in page.items]
        # If the names are in order, checking the first and the last is enough.
        in_order = all(map(lt, [self._last, *names], names))
        for name in [*names[:1], *names[1:][-1:]] if in_order else names:
            self._check(name)
            self._last = name
        token = page.nextPageToken or None
        if page.items or token is None:
            self._tokens = set()
        elif not self._tokens:
            self._since = self._client.traffic.clock.monotonic()
        if token is not None and (token == self.token or token in self._tokens):
            raise nonsense(self._client.where, "with the same page token again and again")
        if token is not None and not page.items:
            self._tokens.add(token)
            waited = self._client.traffic.clock.monotonic() - self._since
            if len(self._tokens) >= EMPTY_PAGES or waited > 3 * self._client.traffic.deadline:
                raise nonsense(self._client.where, f"with {len(self._tokens)} pages of a listing that have no objects")
        self.token = token

    def _check(self, name: str) -> None:
        if not name.startswith(self.prefix) or name < self.first or (self.stop and name >= self.stop):
            raise nonsense(self._client.where, f"with {name!r} in a listing, which was not requested")
        if name <= self._last:
            raise nonsense(self._client.where, f"with {name!r} after {self._last!r} in a listing, which has an order")


class GcsObjectStore(Closing):
    """The objects of a bucket below a prefix. Thread-safe; connects at the first request."""

    def __init__(
        self,
        bucket: str,
        prefix: str,
        endpoint: str,
        *,
        deadline: float = DEADLINE,
        concurrency: int = CONCURRENCY,
        connections: int = 0,
        sessions: Sessions | None = None,
        page_size: int = PAGE_SIZE,
        clock: Clock = time,
        budget: Budget | None = None,
        user_project: str = "",
        on_failure: Callable[[], None] = lambda: None,
        pace: Callable[[int], None] = lambda _size: None,
        meter: Meter | None = None,
    ) -> None:
        """Names a bucket at Google (``endpoint`` empty; application default credentials) or at another server.

        ``deadline`` (seconds) bounds connecting, each wait for an answer, and the retries of a call. ``concurrency`` is
        how many ranges of a listing are read at once; at least twice as many ``connections`` are kept. ``sessions``
        remembers large uploads across processes. ``budget`` is the run's retry budget (default: one for this store).
        Requests are billed to ``user_project``, or else to the bucket's own project. ``on_failure`` is called for each
        failed request that may be retried; ``pace`` waits until that many bytes of a file may be sent. ``meter`` counts
        requests and sent bytes.

        Raises ConfigError for an endpoint that must not be used.
        """
        self._root = BucketRoot(bucket, prefix.strip("/"))
        self._base = f"{self._root.prefix}/" if self._root.prefix else ""
        self._client = GcsClient(
            bucket,
            endpoint,
            Traffic(deadline, budget, clock, on_failure=on_failure),
            connections=max(connections, 2 * concurrency),
            user_project=user_project,
            meter=meter,
        )
        self._sessions = sessions
        self._concurrency = concurrency
        self._page_size = page_size
        self._pace = pace

    def close(self) -> None:
        """Closes the pooled connections; the store may be used again."""
        self._client.close()

    def list(self, prefix: str = "", splits: Sequence[str] = ()) -> Iterator[RemoteObject]:
        """Lists as ``ObjectStore.list``; ranges between ``splits`` are read concurrently, each a few pages ahead."""
        cuts = sorted({split for split in splits if split.startswith(prefix) and split != prefix})
        yield from self._ranges(self._base + prefix, ["", *cuts], [*cuts, ""])

    def between(self, first: str, stop: str, prefix: str = "") -> Iterator[RemoteObject]:
        """Lists a range as ``ObjectStore.between``."""
        return iter(()) if stop and stop <= first else self._ranges(self._base + prefix, [first], [stop])

    def _ranges(self, full: str, starts: Sequence[str], ends: Sequence[str]) -> Iterator[RemoteObject]:
        """Yields the objects in these ranges of keys, whose names all begin with ``full``."""
        ranges = deque(
            _Range(full, start and self._base + start, end and self._base + end, self._client)
            for start, end in zip(starts, ends, strict=True)
        )
        threads = min(self._concurrency, len(ranges))
        workers = Workers(threads, "list")
        running: deque[tuple[_Range, Future[_Pages]]] = deque()
        try:
            while ranges or running:
                while ranges and len(running) < threads:
                    span = ranges.popleft()
                    running.append((span, workers.submit(self._pages, span)))
                span, future = running.popleft()
                pages = awaited(future)
                if span.token:
                    running.appendleft((span, workers.submit(self._pages, span)))
                for page in pages:
                    yield from map(self._row, page.items)
        finally:
            workers.close(wait=False, cancel=True)

    def get(self, key: str) -> RemoteObject | None:
        """Returns an object as ``ObjectStore.get``, in one request."""
        name = self._name(key)
        answer = self._client.seen(name, OBJECT_FIELDS)
        return None if answer is None else self._row(decode_resource(answer, self._client.where, name))

    def put(self, desired: DesiredObject, body: BinaryIO, *, progress: Progress | None = None) -> RemoteObject:
        """Uploads as ``ObjectStore.put``. ``body`` is read from its start, and again for each retry."""
        named = self._named(desired)
        planned = Body(body, named, progress, self._paced)
        return self._row(ObjectUpload(self._client, named, planned, self._sessions).run())

    def md5(self, key: str, *, generation: int) -> str | None:
        """Returns the MD5 as ``ObjectStore.md5``, in one request."""
        return md5_of(self._client, self._name(key), generation)

    def copy(self, desired: DesiredObject, source: str, *, source_generation: int) -> RemoteObject:
        """Copies as ``ObjectStore.copy``, in one request, or several if bytes have to be moved."""
        return self._row(rewrite(self._client, self._name(source), source_generation, self._named(desired)))

    def set_type(
        self, key: str, content_type: str, *, if_generation_match: int, if_metageneration_match: int
    ) -> RemoteObject:
        """Sets the content type as ``ObjectStore.set_type``."""
        name = self._name(key)
        return self._row(set_type(self._client, name, content_type, if_generation_match, if_metageneration_match))

    def read(
        self, key: str, *, generation: int | None = None, offset: int = 0, encoded: bool = False
    ) -> Iterator[bytes]:
        """Yields content as ``ObjectStore.read``. A broken download is resumed at that offset, in the same
        generation."""
        name = self._name(key)
        patience, at = self._client.patience(), offset
        while True:
            try:
                answer = self._open(name, generation, at, encoded=encoded)
                if answer is None:
                    return
                generation = generation or number(answer.headers.get("x-goog-generation", ""))
                for chunk in self._chunks(answer, encoded=encoded):
                    at += len(chunk)
                    patience = self._client.patience()
                    yield chunk
                return
            except Transient as failure:
                if generation is None and at > offset:
                    raise
                wait(patience, failure)

    def _paced(self, size: int) -> None:
        self._pace(size)
        self._client.meter.sent(size)

    def _name(self, key: str) -> str:
        name = self._base + key
        if (problem := key_problem(name)) is not None:
            raise Rejected(f"{self._root} cannot hold {name!r}: {problem}", hint="rename the file")
        return name

    def _named(self, desired: DesiredObject) -> DesiredObject:
        """Returns the same object with its full name in the bucket as the key."""
        return desired._replace(key=self._name(desired.key))

    def _row(self, resource: Resource) -> RemoteObject:
        return resource.row(resource.name[len(self._base) :])

    def _pages(self, span: _Range) -> _Pages:
        """Returns the next few pages of a range."""
        pages: _Pages = []
        while True:
            pages.append(self._page(span))
            span.add(pages[-1])
            if not span.token or len(pages) == PAGES_AHEAD:
                return pages

    def _page(self, span: _Range) -> Page:
        asked: dict[str, str | int | None] = {
            "fields": LIST_FIELDS,
            "maxResults": self._page_size,
            "prefix": span.prefix or None,
            "startOffset": span.first,
            "endOffset": span.stop,
            "pageToken": span.token,
        }
        query = {name: value for name, value in asked.items() if value}
        answer = self._client.retrying(lambda: self._client.once("GET", self._client.objects(), query))
        return decode_page(answer.content, self._client.where)

    def _open(self, name: str, generation: int | None, at: int, *, encoded: bool) -> Reply | None:
        """Returns the answer whose body is the bytes from ``at``, or None if there are none."""
        query: dict[str, str | int] = {"alt": "media"} | ({"generation": generation} if generation else {})
        headers = accepting(encoded=encoded) | ({"Range": f"bytes={at}-"} if at else {})
        accept = (206, 416) if at else (200,)
        path = self._client.object(name, media=True)
        answer = self._client.once(
            "GET", path, query, headers=headers, accept=accept, missing=NotThere, about=name, stream=True
        )
        if answer.status_code == 416:
            answer.close()
            return None
        return answer

    def _chunks(self, answer: Reply, *, encoded: bool) -> Iterator[bytes]:
        """Yields the body as it is stored."""
        try:
            yield from stored(answer, self._client.where, encoded=encoded)
        except Failed as error:
            raise of_failed(error, self._client.where) from error
        finally:
            answer.close()
