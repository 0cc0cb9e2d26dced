"""Reads one Firestore collection over its JSON API: single calls without retries, decoded by msgspec."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from reconcile.adapters import refusals
from reconcile.adapters.firestore.calls import (
    LONGEST,
    CallFailed,
    Collected,
    Nonsense,
    Span,
    field_path,
    rank,
)
from reconcile.adapters.firestore.json_rows import Rows
from reconcile.adapters.firestore.values import decode_document, moment
from reconcile.adapters.lean_http import Failed, FailureKind, Http, Reply
from reconcile.adapters.meter import Watch, unheard
from reconcile.adapters.network import Fault, proxy_for
from reconcile.adapters.retry import LONGEST_ASKED, seconds_asked
from reconcile.adapters.tokens import UNIVERSE, AuthorizedHttp
from reconcile.core.moment import Moment
from reconcile.core.rows import Document

SCOPES = ("https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/datastore")
_KEPT = 8
_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""The meaning of an HTTP status that comes without one of Google's own."""
_FAILED = {
    FailureKind.SLOW: "DEADLINE_EXCEEDED",
    FailureKind.NO_URL: "INVALID_ARGUMENT",
    FailureKind.NO_CREDENTIALS: "NO_CREDENTIALS",
    FailureKind.UNAUTHORIZED: "UNAUTHENTICATED",
    FailureKind.UNREADABLE: "UNAUTHENTICATED",
}
"""The meaning of a request that got no answer; of all others, that the server is unavailable."""
_CODES = frozenset({*_STATUS.values(), "UNKNOWN", "ALREADY_EXISTS", "OUT_OF_RANGE", "DATA_LOSS"})


class _Document(msgspec.Struct, gc=False):
    name: str
    fields: msgspec.Raw = msgspec.Raw(b"{}")
    updateTime: str = ""  # noqa: N815 - the API's own spelling


class _Error(msgspec.Struct):
    code: int = 0
    message: str = ""
    status: str = ""
    details: list[dict[str, Any]] = []


class _Row(msgspec.Struct, gc=False):
    """One row of an answer: a ``document`` of a query, or one that was asked for by name and ``found`` or
    ``missing``."""

    document: _Document | None = None
    found: _Document | None = None
    missing: str = ""
    readTime: str = ""  # noqa: N815
    error: _Error | None = None


class _Refused(msgspec.Struct):
    error: _Error


_ROWS = Rows(_Row)
_REFUSED: msgspec.json.Decoder[_Refused | list[_Refused]] = msgspec.json.Decoder(_Refused | list[_Refused])
_ENCODE = msgspec.json.Encoder()


class CollectionReader:
    """The documents of one collection at the server ``base``, or at Google if it is empty; thread-safe.

    ``owner`` sends the token that makes an emulator ignore its security rules. ``deadline`` (seconds) bounds each wait
    for a token server; ``watch`` sees each request.
    """

    def __init__(
        self, place: Collected, base: str, *, deadline: float, owner: bool = False, watch: Watch = unheard
    ) -> None:
        self._place = place
        self._base = base
        http = Http(deadline=deadline, connections=_KEPT, watch=watch)
        self._http = http if base else AuthorizedHttp(http, SCOPES, deadline, watch)
        self._headers = {"Content-Type": "application/json", "Accept-Encoding": "gzip"}
        if owner:
            self._headers["Authorization"] = "Bearer owner"

    @property
    def host(self) -> str:
        """The host name of the server, without the port."""
        return urlsplit(self._base).hostname or f"firestore.{UNIVERSE}"

    def close(self) -> None:
        """Closes the pooled connections."""
        self._http.close()

    def query(
        self,
        span: Span,
        limit: int,
        timeout: float,
        at: Moment,
        *,
        whole: bool,
        on_bytes: Callable[[int], None] = lambda _: None,
    ) -> Iterator[Document]:
        """Yields at most ``limit`` documents of the span, in order, as of the moment if that is known.

        With ``whole``, documents have all fields, otherwise none, only their names and update times. ``on_bytes`` is
        called with the size in bytes of each piece of the answer, decompressed.

        Raises CallFailed, perhaps after some documents, and Nonsense for documents that were not requested.
        """
        query: dict[str, Any] = {
            "from": [{"collectionId": self._place.collection}],
            "orderBy": [{"field": {"fieldPath": "__name__"}, "direction": "ASCENDING"}],
            "limit": limit,
        }
        if not whole:
            query["select"] = {"fields": [{"fieldPath": "__name__"}]}
        if span.start is not None:
            query["startAt"] = self._cursor(span.start, before=not span.after)
        if span.end is not None:
            query["endAt"] = self._cursor(span.end, before=True)
        before = None if span.start is None else rank(span.start)
        follows = span.after
        asked = {"structuredQuery": query}
        for row in self._rows(f"{self._place.parent}:runQuery", asked, timeout, at, on_bytes):
            if row.document is None:
                continue
            found = self._found(row.document)
            here = rank(found.id)
            if before is not None and (here <= before if follows else here < before):
                raise Nonsense(f"with {found.id!r} where the documents behind {span.start!r} were asked for, in order")
            if span.end is not None and here >= rank(span.end):
                raise Nonsense(f"with {found.id!r} where the documents before {span.end!r} were asked for")
            if limit <= 0:
                raise Nonsense("with more documents than were asked for")
            before, follows, limit = here, True, limit - 1
            yield found

    def get(
        self, ids: Collection[str], fields: Iterable[str] | None, timeout: float, at: Moment
    ) -> Iterator[tuple[str, Document | None]]:
        """Yields each id once, in any order, with its document or None, as of the moment if that is known.

        ``fields`` limits the fields that are read; None means all. Raises CallFailed, perhaps after some answers,
        and Nonsense for documents that were not requested.
        """
        waiting = set(ids)
        asked: dict[str, Any] = {"documents": [self._place.prefix + name for name in ids]}
        if fields is not None:
            asked["mask"] = {"fieldPaths": [field_path(name) for name in fields]}
        for row in self._rows(f"{self._place.database}/documents:batchGet", asked, timeout, at):
            found = None if row.found is None else self._found(row.found)
            if found is None and not row.missing:
                continue
            name = row.missing.removeprefix(self._place.prefix) if found is None else found.id
            if name not in waiting:
                raise Nonsense(f"about {name!r}, which was not requested or is answered already")
            waiting.remove(name)
            yield name, found

    def _rows(
        self,
        path: str,
        asked: dict[str, Any],
        timeout: float,
        at: Moment,
        on_bytes: Callable[[int], None] = lambda _: None,
    ) -> Iterator[_Row]:
        """Yields the rows of the answer to a call, within ``timeout`` seconds in all."""
        end = time.monotonic() + timeout
        read_at = ""
        answer = self._ask(path, {**asked, "readTime": at.as_of} if at.as_of else asked, timeout)
        try:
            for row in _ROWS.read(_counted(answer.pieces(end), on_bytes)):
                if row.error is not None:
                    raise _refusal(row.error, 0, 0.0)
                read_at = row.readTime or read_at
                yield row
        except Failed as error:
            raise _broken(error) from error
        finally:
            answer.close()
            with suppress(ValueError):  # the last row's time: the rows before it read the same at that time
                moment(read_at)
                at.note(read_at)

    def _ask(self, path: str, asked: Any, timeout: float) -> Reply:
        """Sends a request and returns the reply to it. Raises CallFailed or Nonsense."""
        body = _ENCODE.encode(asked)
        try:
            url = f"{self._server()}/v1/{quote(path, safe='/:()')}?prettyPrint=false"
            answer = self._http.ask("POST", url, self._headers, body, wait=timeout, stream=True)
            if answer.status_code == 200:
                return answer
            content = answer.whole(timeout)
        except Failed as error:
            raise _broken(error) from error
        raise self._refused(answer, content)

    def _server(self) -> str:
        """Returns the server's address, which is looked up once. Raises Failed."""
        if not self._base and isinstance(self._http, AuthorizedHttp):
            self._base = self._http.at_google("firestore").url  # several threads may find the same
        return self._base

    def _refused(self, answer: Reply, content: bytes) -> CallFailed | Nonsense:
        pause = seconds_asked(answer.headers.get("Retry-After", ""), answer.headers.get("Date", ""))
        status = answer.status_code
        with suppress(ValueError, RecursionError):
            found = _REFUSED.decode(content)
            if found:
                return _refusal((found[0] if isinstance(found, list) else found).error, status, pause)
        proxy = proxy_for(self._base) if status == 407 else None
        if proxy is not None:
            fault = proxy.answered(status, self.host)
            return CallFailed("PERMISSION_DENIED", fault.message, fault=fault, unsent=True)
        if status not in _STATUS:
            return Nonsense(f"{status} ({refusals.one_line(answer.reason or '')})")
        said, _ = refusals.error_in(content)
        return CallFailed(_STATUS[status], said or answer.reason or f"status {status}", pause)

    def _cursor(self, document: str, *, before: bool) -> dict[str, Any]:
        return {"values": [{"referenceValue": self._place.prefix + document}], "before": before}

    def _found(self, document: _Document) -> Document:
        own = self._place.id_of(document.name)
        try:
            updated = moment(document.updateTime)
        except ValueError as error:
            raise Nonsense(f"with an update time of {own!r} that is not one: {error}") from error
        try:
            return Document(own, decode_document(document.fields), updated)
        except (ValueError, RecursionError) as error:
            raise Nonsense(f"with a value in {own!r} that is not one: {error}") from error


def _counted(pieces: Iterator[bytes], on_bytes: Callable[[int], None]) -> Iterator[bytes]:
    for piece in pieces:
        on_bytes(len(piece))
        yield piece


def _broken(error: Failed) -> CallFailed:
    """Returns the failed call that a failed request stands for."""
    code = _FAILED.get(error.how, "UNAVAILABLE")
    if error.fault is not None:  # the code says whether a retry may change it
        code = "UNAVAILABLE" if error.fault.kind is Fault.PASSING else "PERMISSION_DENIED"
    no_token = error.how in (FailureKind.UNAUTHORIZED, FailureKind.NO_TOKEN, FailureKind.UNREADABLE)
    return CallFailed(code, error.why, fault=error.fault, unsent=not error.reached, no_token=no_token)


def _refusal(error: _Error, status: int, pause: float) -> CallFailed:
    """Returns the failed call that one of Google's error bodies describes, with the reasons in its details."""
    code = error.status if error.status in _CODES else _STATUS.get(error.code or status, "UNKNOWN")
    for detail in error.details:
        pause = pause or _seconds(detail.get("retryDelay"))
    return CallFailed(code, error.message[:LONGEST], pause, refusals.reasons_in(error.details))


def _seconds(delay: Any) -> float:
    """Returns the seconds of a duration in JSON, such as ``7.5s``; 0 for anything else."""
    try:
        return min(max(0.0, float(str(delay).removesuffix("s"))), LONGEST_ASKED) if delay else 0.0
    except ValueError:
        return 0.0
