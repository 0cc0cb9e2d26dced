"""The line to an HTTP server: what comes too slowly has not come, and an answer has an end.

A time-out of the system bounds one wait for a byte. Here it bounds the head of an answer, and each ``FLOOR`` bytes of
its body, so that a server that sends a byte now and then does not hold a run for ever. Imports Google's HTTP client:
import this module only where it is used.
"""

from __future__ import annotations

import http.client
import io
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from reconcile.adapters.network import certificates, proxy_for
from reconcile.core.errors import ConfigError
from reconcile.core.portable import Portable

FLOOR = 16 * 1024
"""Bytes of a body that must come within the time-out of one wait, unless it ends before."""
LONGEST_ANSWER = 32 * 1024 * 1024
"""Bytes that an answer may have that is held in memory: the longest page of a listing has a quarter of it."""
_LINE = 64 * 1024
_LINES = 1024 * 1024
_PIECE = 16 * 1024


class TooLong(Portable, requests.exceptions.RequestException):
    """An answer that is longer than any that was asked for could be."""


class TooSlow(Portable, requests.exceptions.RequestException):
    """An answer that comes, but not within a time that is worth waiting."""


class Paced(io.RawIOBase):
    """The bytes that come through a socket. ``limit`` (seconds) is how long they may be waited for: in all, or for each
    ``FLOOR`` bytes once ``renewed`` was called. Time that the reader spends elsewhere does not count."""

    def __init__(
        self, raw: Any, limit: float, set_timeout: Callable[[float], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._raw = raw
        self._limit = limit
        self._set_timeout = set_timeout
        self._clock = clock
        self._waited = 0.0
        self._came = 0
        self._renews = False

    def renewed(self) -> None:
        """From now on the time counts anew for each ``FLOOR`` bytes."""
        self._renews = True
        self._waited, self._came = 0.0, 0

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        found: int = self._raw.fileno()
        return found

    def readinto(self, buffer: Any, /) -> int | None:
        """Raises TimeoutError if the bytes come too slowly."""
        left = self._limit - self._waited
        if left <= 0:
            raise TimeoutError(f"less than {FLOOR:,} bytes came in {self._limit:g} s")
        self._set_timeout(left)
        began = self._clock()
        count: int | None = self._raw.readinto(buffer)
        self._waited += self._clock() - began
        self._came += count or 0
        if self._renews and self._came >= FLOOR:
            self._waited, self._came = 0.0, 0
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Reader(io.BufferedReader):
    """Lines of bounded length, and a bounded number of them in a row."""

    _lines = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(_LINE if size is None or size < 0 else size)
        self._lines += len(line)
        if self._lines > _LINES:
            raise http.client.HTTPException("its headers have no end")
        return line

    def read(self, size: int | None = -1, /) -> bytes:
        self._lines = 0
        return super().read(size)


class _Response(http.client.HTTPResponse):
    """An answer whose head comes within the socket's time-out, and its body at a pace."""

    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        limit = sock.gettimeout()
        self._paced = Paced(
            sock.makefile("rb", buffering=0), float("inf") if limit is None else limit, _setter(sock, limit)
        )
        self.fp.close()
        self.fp = _Reader(self._paced)

    def begin(self) -> None:
        super().begin()
        self._paced.renewed()

    def _safe_read(self, amt: int) -> bytes:
        if amt < 0:
            raise http.client.HTTPException("a part of it has a negative length")
        found: bytes = super()._safe_read(amt)  # type: ignore[misc]
        return found


def _setter(sock: Any, limit: float | None) -> Callable[[float], None]:
    return (lambda _left: None) if limit is None else sock.settimeout


class Line(HTTPAdapter):
    """A transport of a session. ``deadline`` (seconds) is the time-out of requests that bring none; ``connections`` are
    kept. An answer that is not streamed comes whole, at most ``LONGEST_ANSWER`` bytes of it, and in three time-outs."""

    def __init__(self, *, connections: int, deadline: float) -> None:
        self._deadline = deadline
        super().__init__(pool_connections=4, pool_maxsize=connections)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        _pace(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        _pace(manager)
        return manager

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, stream: bool = False, timeout: Any = None, **options: Any
    ) -> requests.Response:
        if not isinstance(timeout, tuple):
            timeout = (self._deadline, self._deadline)
        response = super().send(request, stream=stream, timeout=timeout, **options)
        if not stream:
            whole(response, within=3 * timeout[1])
        return response


def whole(response: requests.Response, *, within: float, most: int = LONGEST_ANSWER) -> None:
    """Reads the body of an answer, which is its ``content`` then. Raises TooLong past ``most`` bytes, TooSlow after so
    many seconds, and what requests raises."""
    try:
        response._content = _read(response, within, most)
    except BaseException:
        response.close()
        raise


def _read(response: requests.Response, within: float, most: int) -> bytes:
    began, size = time.monotonic(), 0
    pieces: list[bytes] = []
    for piece in response.iter_content(_PIECE):
        size += len(piece)
        if size > most:
            raise TooLong(f"its answer has more than {most:,} bytes", request=response.request)
        if time.monotonic() - began > within:
            raise TooSlow(f"its answer was not whole after {within:g} s", request=response.request)
        pieces.append(piece)
    return b"".join(pieces)


def fit_out(session: requests.Session, base: str, *, connections: int, deadline: float) -> None:
    """Makes a session ready to ask ``base``: by lines as above, with the proxies and certificates of the environment,
    read once and not for each request; but no .netrc, whose entry for the host would stand in the place of a token.
    Raises ConfigError for a proxy that cannot be used."""
    proxy = proxy_for(base)
    if proxy is not None and (problem := proxy.problem()) is not None:
        raise ConfigError(f"{base} cannot be asked: {problem.message}", hint=problem.hint)
    for scheme in ("https://", "http://"):
        session.mount(scheme, Line(connections=connections, deadline=deadline))
    surroundings = session.merge_environment_settings(base, {}, None, None, None)
    session.proxies, session.verify = dict(surroundings["proxies"]), certificates(surroundings["verify"])
    session.trust_env = False


def fit_out_tokens(session: requests.Session, *, deadline: float) -> None:
    """The same for a session that fetches tokens, whose servers are others than the bucket's: it reads the proxies of
    the environment for each."""
    for scheme in ("https://", "http://"):
        session.mount(scheme, Line(connections=1, deadline=deadline))
    session.verify = certificates(session.verify)


def _pace(manager: Any) -> None:
    pools = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _paced(pool) for scheme, pool in pools.items()}


@cache
def _paced(pool: Any) -> Any:
    """The class of connection pools whose connections read answers as above."""
    if issubclass(pool.ConnectionCls.response_class, _Response):
        return pool
    connection = type(f"Paced{pool.ConnectionCls.__name__}", (pool.ConnectionCls,), {"response_class": _Response})
    return type(f"Paced{pool.__name__}", (pool,), {"ConnectionCls": connection})
