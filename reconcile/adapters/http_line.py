"""The line of a session of ``requests``, over which uploads go: answers come at a pace, and have an end.

Imports ``requests``: import this module only where it is used.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from reconcile.adapters.network import certificates, proxy_for
from reconcile.adapters.pace import LONGEST_ANSWER, Response
from reconcile.core.errors import ConfigError
from reconcile.core.portable import Portable

_PIECE = 16 * 1024


class TooLong(Portable, requests.exceptions.RequestException):
    """An answer that is longer than any that was asked for could be."""


class TooSlow(Portable, requests.exceptions.RequestException):
    """An answer that comes, but not within a time that is worth waiting."""


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
    if issubclass(pool.ConnectionCls.response_class, Response):
        return pool
    connection = type(f"Paced{pool.ConnectionCls.__name__}", (pool.ConnectionCls,), {"response_class": Response})
    return type(f"Paced{pool.__name__}", (pool,), {"ConnectionCls": connection})
