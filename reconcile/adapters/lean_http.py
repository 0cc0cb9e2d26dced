"""HTTP requests with pooled connections, bounded answers, and one error for all failures.

Built on the standard library because every run pays for its imports: importing ``requests`` or Google's clients takes
longer than the reads of most runs. Proxies and certificates are those that ``requests`` would use.
"""

from __future__ import annotations

import http.client
import math
import os
import ssl
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import cached_property
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from reconcile.adapters.dialing import Connection, Route, dropped, is_socks, login, show, undialed
from reconcile.adapters.meter import OnEnd, Watch, unheard
from reconcile.adapters.network import WayFault, fault_here, fault_of_proxy, proxy_for, said_by
from reconcile.adapters.pace import LONGEST_ANSWER
from reconcile.adapters.refusals import one_line
from reconcile.core.encoding import GZIP, BadEncoding, encoding_of, unpacked
from reconcile.core.errors import ConfigError
from reconcile.core.portable import Portable
from reconcile.version import VERSION

PIECE = 256 * 1024
_STOPPED = "stopped"
"""The outcome of a request that this side gave up: its body could not be read, or the process is ending."""
_KEPT_FOR = 60.0
"""Seconds that an idle connection is kept: a firewall may silently drop it, and the next request would then wait for
its time-out."""


class Streamed(Protocol):
    """A body that is sent while it is read. It starts over each time it is iterated."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[bytes]: ...


class FailureKind(Enum):
    """The ways in which a request fails."""

    SILENT = "silent"
    """No answer, or one that broke off."""
    SLOW = "slow"
    """No answer in time."""
    TLS = "tls"
    """No encrypted connection."""
    TOO_LONG = "too long"
    """An answer that is longer than any expected one."""
    NO_URL = "no url"
    """The URL is invalid."""
    NO_CREDENTIALS = "no credentials"
    """There are no credentials."""
    UNAUTHORIZED = "unauthorized"
    """There are credentials, but the token server does not accept them."""
    NO_TOKEN = "no token"
    """The token server does not answer, which may pass."""
    UNREADABLE = "unreadable"
    """What a token server, or the device's certificate, says cannot be read."""


class Failed(Portable, Exception):
    """A failed request: ``why`` in words, and the ``fault`` on the way to the server if known.

    ``reached`` says that there was a connection.
    """

    def __init__(self, how: FailureKind, why: str, fault: WayFault | None = None, *, reached: bool = True) -> None:
        super().__init__(why)
        self.how = how
        self.why = why
        self.fault = fault
        self.reached = reached


class Reply:
    """The answer to one request. Close it unless it is read to its end."""

    def __init__(self, response: http.client.HTTPResponse, give_back: Callable[[bool], None], ended: OnEnd) -> None:
        self._response = response
        self._give_back: Callable[[bool], None] | None = give_back
        self._ended = ended
        self.status_code = response.status
        self.reason = response.reason
        self.headers = response.headers
        self._content: bytes | None = None

    def read(self, size: int = PIECE) -> bytes:
        """Returns up to ``size`` bytes of the body, still compressed if it is; empty at its end. Raises Failed."""
        if self._give_back is None:
            return b""
        try:
            piece = self._response.read1(size)
            if not piece and self._response.length:  # ``read1`` ends quietly even if the connection broke
                raise http.client.IncompleteRead(b"", self._response.length)
        except BaseException as error:
            self._end(reusable=False, how=", and broke off")
            if isinstance(error, OSError | http.client.HTTPException | ValueError):
                raise _failed(error) from error
            raise
        if not piece:
            # A provisional answer, such as 103, is followed by another one.
            self._end(reusable=not self._response.will_close and self.status_code >= http.HTTPStatus.OK)
        return piece

    def pieces(self, until: float = math.inf) -> Iterator[bytes]:
        """Yields the decompressed body in pieces of bounded size. Raises Failed, also after ``until`` (monotonic
        clock)."""
        packed = _timed(iter(self.read, b""), until)
        if encoding_of(self.headers.get("Content-Encoding")) != GZIP:
            return packed
        return _timed(self._unpacked(packed), until)  # compressed bytes may expand to nothing, or to very much

    def whole(self, within: float) -> bytes:
        """Returns the whole body, and keeps it as ``content``. Raises Failed, also if it exceeds ``LONGEST_ANSWER``
        bytes or ``within`` seconds."""
        if self._content is None:
            size = 0
            pieces: list[bytes] = []
            try:
                for piece in self.pieces(time.monotonic() + within):
                    size += len(piece)
                    if size > LONGEST_ANSWER:
                        raise Failed(FailureKind.TOO_LONG, f"its answer has more than {LONGEST_ANSWER:,} bytes")
                    pieces.append(piece)
            finally:
                self.close()
            self._content = b"".join(pieces)
        return self._content

    @property
    def content(self) -> bytes:
        """The body of an answer that was read whole."""
        return self._content or b""

    def close(self) -> None:
        """Ends the answer; what was not read is lost."""
        self._end(reusable=False)

    def _end(self, *, reusable: bool, how: str = "") -> None:
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            self._response.close()
            give_back(reusable)
            self._ended(f"{self.status_code}{how}")

    def _unpacked(self, packed: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from unpacked(packed, sys.maxsize)
        except BadEncoding as error:
            raise Failed(FailureKind.SILENT, f"its answer {error}") from error


def _timed(pieces: Iterator[bytes], until: float) -> Iterator[bytes]:
    for piece in pieces:
        if time.monotonic() > until:
            raise Failed(FailureKind.SLOW, "its answer was not whole in time")
        yield piece


class _Request(NamedTuple):
    """One request. ``limit`` (seconds) bounds connecting and the sending of each block, ``patience`` the wait for the
    answer."""

    method: str
    target: str
    body: bytes | Streamed | None
    headers: dict[str, str]
    limit: float
    patience: float

    def on(self, connection: Connection) -> http.client.HTTPResponse:
        connection.timeout = self.limit
        if connection.sock is not None:
            connection.sock.settimeout(self.limit)
        cut_short = False
        try:
            connection.request(self.method, self.target, self.body, self.headers)
        except BrokenPipeError:  # a server that refuses a body may answer and hang up before it has received all
            cut_short = True
        if connection.sock is not None:
            connection.sock.settimeout(self.patience)
        response = connection.getresponse()
        response.will_close = response.will_close or cut_short
        return response

    @property
    def may_be_repeated(self) -> bool:
        """Whether the server may receive it twice without harm: only streamed bodies create objects."""
        return self.body is None or isinstance(self.body, bytes)


class Http:
    """An HTTP client for any servers, which keeps up to ``connections`` for each. Thread-safe.

    ``deadline`` (seconds) bounds connecting and each wait for an answer. Redirects are not followed. ``watch`` sees
    each request.
    """

    def __init__(
        self,
        *,
        deadline: float,
        connections: int,
        clock: Callable[[], float] = time.monotonic,
        watch: Watch = unheard,
    ) -> None:
        self._deadline = deadline
        self._watch = watch
        self._clock = clock
        self.certificate: Callable[[], tuple[bytes, bytes]] | None = None
        """Returns a certificate and its key, as PEM, for servers that request one; set before the first request."""
        self._connections = connections
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._routes: dict[tuple[str, str], Route] = {}
        self._idle: dict[Route, list[Connection]] = {}
        weakref.finalize(self, _close, self._idle)

    def close(self) -> None:
        """Closes the pooled connections."""
        with self._lock:
            _close(self._idle)

    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | Streamed | None = None,
        *,
        wait: float | None = None,
        patience: float | None = None,
        stream: bool = False,
    ) -> Reply:
        """Sends one request, and once more if a kept connection turns out to be closed and no body is streamed.

        ``wait`` (seconds, default: the deadline) bounds connecting and the sending of each block of a body,
        ``patience`` (default: ``wait``) the wait for the answer. An answer that is not a ``stream`` is read whole,
        within three times as long. Raises Failed, and ConfigError for an unusable proxy.
        """
        limit = self._deadline if wait is None else wait
        route, target, private = self._way(url)
        sent = {"User-Agent": f"reconcile/{VERSION}", **private, **(headers or {})}
        request = _Request(method, target, body, sent, limit, limit if patience is None else patience)
        if not request.may_be_repeated:
            sent["Content-Length"] = str(len(body or b""))
        ended = self._watch(method, url)
        try:
            connection, response = self._sent(request, route)
        except Failed as error:
            ended(error.how.value, reached=error.reached)
            raise
        except BaseException:
            ended(_STOPPED)
            raise
        answer = Reply(response, lambda reusable: self._back(route, connection, reusable=reusable), ended)
        if not stream:
            answer.whole(3 * request.patience)
        return answer

    def _sent(self, request: _Request, route: Route) -> tuple[Connection, http.client.HTTPResponse]:
        """Sends a request; returns the connection and the head of the answer. Raises Failed."""
        connection = self._take(route, request.limit)
        try:
            try:
                return connection, request.on(connection)
            except ConnectionError:
                if connection.idle_since is None or not request.may_be_repeated:
                    raise
                # The server closed the kept connection while the request was on its way.
                connection.close()
                connection = self._connected(route, request.limit)
                return connection, request.on(connection)
        except BaseException as error:
            connection.close()
            if isinstance(error, OSError | http.client.HTTPException | ValueError):
                raise _failed(error) from error
            raise

    def _way(self, url: str) -> tuple[Route, str, dict[str, str]]:
        """Returns the route to a URL, the target for the request line, and the headers for a proxy on the way."""
        try:
            parts = urlsplit(url)
            route = self._route(parts.scheme, parts.netloc)
        except ValueError as error:
            raise Failed(FailureKind.NO_URL, str(error)) from error
        target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        if route.proxy is None or route.scheme == "https" or is_socks(route.proxy):
            return route, target, {}
        return route, f"http://{parts.netloc}{target}", login(route.proxy)

    def _route(self, scheme: str, netloc: str) -> Route:
        with self._lock:
            known = self._routes.get((scheme, netloc))
        if known is not None:
            return known
        parts = urlsplit(f"{scheme}://{netloc}")
        if scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{scheme}://{netloc.rpartition('@')[2]} is not a URL of a server")
        parts.hostname.encode("idna")
        proxy = proxy_for(f"{scheme}://{netloc}")
        if proxy is not None and (problem := proxy.problem()) is not None:
            raise ConfigError(
                f"{scheme}://{netloc.rpartition('@')[2]} cannot be asked: {problem.message}", hint=problem.hint
            )
        route = Route(scheme, parts.hostname, parts.port or (443 if scheme == "https" else 80), proxy)
        with self._lock:
            return self._routes.setdefault((scheme, netloc), route)

    def _take(self, route: Route, limit: float) -> Connection:
        """Returns a kept connection that is still open, or a new one. Raises Failed."""
        while True:
            with self._lock:
                if self._process != os.getpid():  # after a fork: the parent process uses the same connections
                    _close(self._idle)
                    self._process = os.getpid()
                idle = self._idle.get(route)
                kept = idle.pop() if idle else None
            if kept is None:
                return self._connected(route, limit)
            if self._clock() - (kept.idle_since or 0.0) <= _KEPT_FOR and not dropped(kept.sock):
                return kept
            kept.close()

    def _back(self, route: Route, connection: Connection, *, reusable: bool) -> None:
        connection.idle_since = self._clock()
        with self._lock:
            idle = self._idle.setdefault(route, [])
            if reusable and connection.sock is not None and len(idle) < self._connections:
                idle.append(connection)
                return
        connection.close()

    def _connected(self, route: Route, limit: float) -> Connection:
        try:
            connection = undialed(route, limit, lambda: self._trust)
            connection.connect()
        except (OSError, http.client.HTTPException, ValueError) as error:
            if route.proxy is not None and not isinstance(error, ssl.SSLError) and fault_here(error) is None:
                fault = fault_of_proxy(route.proxy, error, route.host)
                raise Failed(FailureKind.SILENT, fault.message, fault, reached=False) from error
            raise _failed(error, reached=False) from error
        return connection

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        """The certificates that encrypted connections trust. Raises OSError."""
        import certifi

        named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        openssl = os.environ.get("SSL_CERT_FILE", "")
        place = named or (openssl if os.path.isfile(openssl) else certifi.where())
        if not os.path.exists(place):
            raise OSError(f"Could not find a suitable TLS CA certificate bundle, invalid path: {place}")
        is_folder = os.path.isdir(place)
        context = ssl.create_default_context(cafile=None if is_folder else place, capath=place if is_folder else None)
        context.set_alpn_protocols(["http/1.1"])
        if self.certificate is not None:
            show(context, *self.certificate())
        return context


def _close(idle: dict[Route, list[Connection]]) -> None:
    while idle:
        for connection in idle.popitem()[1]:
            connection.close()


def _failed(error: Exception, *, reached: bool = True) -> Failed:
    """Returns the failure for an exception of a connection."""
    fault, why = fault_here(error), words(error)
    match error:
        case http.client.IncompleteRead():
            return Failed(FailureKind.SILENT, "its answer breaks off", fault)
        case ssl.SSLError() if not isinstance(error, TimeoutError):
            return Failed(FailureKind.TLS, why, fault, reached=reached)
        case TimeoutError():
            return Failed(FailureKind.SLOW, why, fault, reached=reached)
        case http.client.InvalidURL() | UnicodeError():  # its text may repeat the URL, which may be a secret
            return Failed(FailureKind.NO_URL, "it holds characters that no URL has", reached=False)
        case _:
            return Failed(FailureKind.SILENT, why, fault, reached=reached)


def words(error: BaseException) -> str:
    """Returns the message of the innermost cause, as one line."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return one_line(said_by(error))
