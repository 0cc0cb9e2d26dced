"""Reading a URL as a stranger would: no credentials, no cookies, no redirects, and nothing said of the URL itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconcile.adapters.gcs.failures import TOO_MANY_REQUESTS, TRANSIENT_STATUS, Transient, foreign, translate, wait
from reconcile.adapters.gcs.packing import accepting, packing, raw, unpacking
from reconcile.adapters.network import GOOGLE
from reconcile.adapters.retry import Clock, Patience, Traffic, seconds_asked
from reconcile.core.rows import Served

if TYPE_CHECKING:
    import requests

DEADLINE = 20.0


class HttpReader:
    """A ``UrlReader``. ``deadline`` (seconds) bounds connecting, each wait for an answer, and the retries of a call."""

    def __init__(self, *, connections: int, deadline: float = DEADLINE, clock: Clock = time) -> None:
        self._connections = connections
        self._deadline = deadline
        self._traffic = Traffic(deadline, clock=clock)
        self._lock = threading.Lock()
        self._session: requests.Session | None = None

    def close(self) -> None:
        """Closes the connections that are kept."""
        with self._lock:
            if self._session is not None:
                self._session.close()
                self._session = None

    @contextmanager
    def fetch(self, url: str, *, limit: int | None = None, encoded: bool = False) -> Iterator[Served]:
        """See ``UrlReader.fetch``. Transient answers are asked for again; a body that breaks is not."""
        reach = {} if limit is None else {"Range": f"bytes=0-{limit - 1}"}
        answer = self._answer(url, accepting(encoded=encoded) | reach)
        packed = packing(answer)
        unpacks = bool(packed) and not encoded and answer.status_code == 200  # of a part nothing can be unpacked
        try:
            yield Served(
                answer.status_code,
                answer.headers.get("Content-Type", ""),
                self._body(answer, unpacks=unpacks),
                "" if unpacks else packed,
            )
        finally:
            answer.close()

    def _answer(self, url: str, headers: dict[str, str]) -> requests.Response:
        patience = Patience(self._traffic)
        where = _host(url)
        while True:
            try:
                self._traffic.enter()
                answer = self._once(url, headers, where)
                self._traffic.answered()
                return answer
            except Transient as failure:
                wait(patience, failure)

    def _once(self, url: str, headers: dict[str, str], where: str) -> requests.Response:
        try:
            answer = self._connected().get(
                url,
                headers=headers,
                timeout=(self._deadline, self._deadline),
                allow_redirects=False,
                stream=True,
            )
        except foreign() as error:
            raise translate(error, where, url) from None
        if answer.status_code in TRANSIENT_STATUS:
            status = answer.status_code
            pause = seconds_asked(answer.headers.get("Retry-After", ""), answer.headers.get("Date", ""))
            answer.close()
            throttled = status == TOO_MANY_REQUESTS
            message = f"{where} answered {status} to a signed URL"
            raise Transient(message, hint="run again later", pause=pause, throttled=throttled)
        return answer

    def _body(self, answer: requests.Response, *, unpacks: bool) -> Iterator[bytes]:
        try:
            yield from unpacking(answer, _host(answer.url)) if unpacks else raw(answer)
        except foreign() as error:
            raise translate(error, _host(answer.url), answer.url) from None

    def _connected(self) -> requests.Session:
        from requests import Session
        from requests.cookies import RequestsCookieJar

        from reconcile.adapters.http_line import fit_out

        with self._lock:
            if self._session is None:
                session = Session()
                fit_out(session, GOOGLE, connections=self._connections, deadline=self._deadline)
                session.cookies = RequestsCookieJar()
                self._session = session
            return self._session


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
