"""Reads a URL as a stranger would: no credentials, cookies or redirects; no message repeats the URL."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from reconcile.adapters.gcs.failures import of_failed, of_status, retrying
from reconcile.adapters.gcs.packing import accepting, packing, raw, unpacking
from reconcile.adapters.lean_http import Failed, Http, Reply
from reconcile.adapters.meter import Watch, unheard
from reconcile.adapters.retry import DEADLINE, Clock, Patience, Traffic
from reconcile.core.closing import Closing
from reconcile.core.rows import Served


class HttpReader(Closing):
    """Reads URLs. ``deadline`` (seconds) bounds connecting, each wait for an answer, and the retries of a call;
    ``watch`` sees each request."""

    def __init__(
        self, *, connections: int, deadline: float = DEADLINE, clock: Clock = time, watch: Watch = unheard
    ) -> None:
        self._http = Http(deadline=deadline, connections=connections, watch=watch)
        self._traffic = Traffic(deadline, clock=clock)

    def close(self) -> None:
        self._http.close()

    @contextmanager
    def fetch(self, url: str, *, limit: int | None = None, encoded: bool = False) -> Iterator[Served]:
        """Yields the answer to the URL, with all of its content or only the first ``limit`` bytes.

        An ``encoded`` object is requested as it is stored. An answer with any status is yielded. Raises
        StoreUnavailable if no answer comes or it ends early. Transient failures are retried; a body that breaks off is
        not.
        """
        headers = accepting(encoded=encoded) | ({} if limit is None else {"Range": f"bytes=0-{limit - 1}"})
        parts = urlsplit(url)
        where = f"{parts.scheme}://{parts.netloc}"
        answer = retrying(Patience(self._traffic), lambda: self._once(url, headers, where))
        packed = packing(answer)
        unpacks = bool(packed) and not encoded and answer.status_code == 200  # a part cannot be decompressed
        try:
            yield Served(
                answer.status_code,
                answer.headers.get("Content-Type", ""),
                self._body(answer, where, unpacks=unpacks),
                "" if unpacks else packed,
            )
        finally:
            answer.close()

    def _once(self, url: str, headers: dict[str, str], where: str) -> Reply:
        self._traffic.enter()
        try:
            answer = self._http.ask("GET", url, headers, stream=True)
        except Failed as error:
            raise of_failed(error, where, url) from None
        transient = of_status(answer, f"{where} answered {answer.status_code} to a signed URL")
        if transient is not None:
            answer.close()
            raise transient
        self._traffic.answered()
        return answer

    def _body(self, answer: Reply, where: str, *, unpacks: bool) -> Iterator[bytes]:
        try:
            yield from unpacking(answer, where) if unpacks else raw(answer)
        except Failed as error:
            raise of_failed(error, where, where) from None
