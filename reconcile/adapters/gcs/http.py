"""Requests to the JSON API of Cloud Storage: an authorised session, one attempt at a time, errors as ours."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from reconcile.adapters import network, refusals
from reconcile.adapters.gcs.failures import (
    TOO_MANY_REQUESTS,
    TRANSIENT_REASONS,
    TRANSIENT_STATUS,
    Doubt,
    Transient,
    foreign,
    of_the_way,
    translate,
    wait,
)
from reconcile.adapters.network import GOOGLE
from reconcile.adapters.retry import Budget, Clock, Patience, Traffic, seconds_asked
from reconcile.core.errors import (
    AccessDenied,
    ConfigError,
    PreconditionFailed,
    Rejected,
    StoreError,
    StoreMissing,
    StoreUnavailable,
)

if TYPE_CHECKING:
    import requests

T = TypeVar("T")


class Door:
    """The way to one bucket. Connects at the first request, so that nobody pays for the client's import before."""

    def __init__(
        self,
        bucket: str,
        endpoint: str,
        *,
        deadline: float,
        connections: int,
        clock: Clock = time,
        budget: Budget | None = None,
        user_project: str = "",
    ) -> None:
        self.bucket = bucket
        self._charged = {"userProject": user_project} if user_project else {}
        self.deadline = deadline
        self.clock = clock
        self.traffic = Traffic(deadline, budget, clock)
        self._endpoint = checked_endpoint(endpoint)
        self._connections = connections
        self._lock = threading.Lock()
        self._session: requests.Session | None = None
        self._base = self._endpoint or GOOGLE

    @property
    def where(self) -> str:
        """The bucket, and the server if it is not Google's, for messages."""
        return f"gs://{self.bucket}" + (f" at {self._base}" if self._base != GOOGLE else "")

    def close(self) -> None:
        """Closes the connections that are kept."""
        with self._lock:
            if self._session is not None:
                self._session.close()
                self._session = None

    def objects(self, *, upload: bool = False) -> str:
        """The URL path of the bucket's objects."""
        return f"{'/upload' if upload else ''}/storage/v1/b/{quote(self.bucket, safe='')}/o"

    def object(self, name: str, *, media: bool = False) -> str:
        """The URL path of one object, or of its bytes."""
        return f"{'/download' if media else ''}{self.objects()}/{quote(name, safe='')}"

    def is_mine(self, url: str) -> bool:
        """Whether an absolute URL leads to the server that gets our credentials."""
        self._connected()
        return url.startswith(f"{self._base}/")

    def at_home(self, url: str) -> str:
        """The same path and query at the server that gets our credentials, whatever host the URL names: a proxy or an
        emulator may call itself otherwise than the endpoint does, and no other server is to have the bytes."""
        base = urlsplit(self._base)
        return urlsplit(url)._replace(scheme=base.scheme, netloc=base.netloc).geturl()

    def patience(self, *, within: float | None = None, body: bool = False) -> Patience:
        """The retries of one call for ``within`` seconds; ``body`` if it sends one."""
        return Patience(self.traffic, within=within, body=body)

    def retrying(self, attempt: Callable[[], T], patience: Patience | None = None) -> T:
        """The answer of the first attempt that is not a transient failure."""
        patience = patience or self.patience()
        while True:
            try:
                return attempt()
            except Transient as failure:
                wait(patience, failure)

    @contextmanager
    def writing(self, name: str) -> Iterator[None]:
        """Around an attempt to write an object: waits until the name may be written again."""
        try:
            self.traffic.writes.wait(name)
            yield
        except Transient as failure:
            if failure.doubt:
                self.traffic.writes.wrote(name)
            raise
        self.traffic.writes.wrote(name)

    def once(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        data: Iterable[bytes] | bytes | None = None,
        accept: Iterable[int] = (200,),
        missing: type[StoreError] = StoreMissing,
        about: str = "",
        stream: bool = False,
    ) -> requests.Response:
        """One attempt. ``path`` may be the absolute URL of an upload session, which is a secret and is never shown.

        Returns an answer whose status is in ``accept`` and raises the error that any other is, ``missing`` for a 404.
        One that is no ``stream`` has come whole. The first time-out bounds the connect and the sending of each block of
        a body, never a whole body, however slow the line; the second one the wait for an answer, longer if a large
        object is put together.
        """
        session = self._connected()
        self._enter()
        secret = "://" in path
        url = path if secret else f"{self._base}{path}"
        asked = {**(query or {}), **({} if "userProject=" in url else self._charged)}
        if asked:
            url += f"{'&' if '?' in url else '?'}{urlencode(asked, quote_via=quote)}"
        answer_wait = self.deadline if data is None or isinstance(data, bytes) else 3 * self.deadline
        try:
            response = session.request(
                method,
                url,
                data=data,
                headers={"Accept-Encoding": "gzip", **(headers or {})},
                timeout=(self.deadline, answer_wait),
                allow_redirects=False,
                stream=stream,
            )
            if response.status_code not in accept:
                self._refuse(response, missing, about)
        except foreign() as error:
            raise translate(error, self.where, self._base) from (None if secret else error)
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            # Google's client and requests read the answers of token servers, and headers, with less care.
            why = f"an answer cannot be read ({type(error).__name__})"
            raise StoreUnavailable(f"{self.where} could not be asked: {why}", hint=network.AGAIN) from (
                None if secret else error
            )
        self.traffic.answered()
        return response

    def _enter(self) -> None:
        """Waits for the turn of an attempt."""
        shut = self.traffic.enter()
        if shut:
            hint = "run again later"
            raise Transient(f"{self.where} asked to be left alone for {ceil(shut)} s", hint=hint, pause=shut)

    def _connected(self) -> requests.Session:
        with self._lock:
            if self._session is None:
                self._session, self._base = self._connect()
            return self._session

    def _connect(self) -> tuple[requests.Session, str]:
        from google.auth.credentials import AnonymousCredentials

        from reconcile.adapters.http_line import fit_out, fit_out_tokens

        try:
            client = self._client()
        except foreign() as error:
            raise translate(error, self.where) from error
        except ValueError as error:
            message = f"the storage client cannot be set up for {self.where}: {error}"
            raise ConfigError(message, hint="check the environment variables of Google's client") from error
        base: str = client.api_endpoint.rstrip("/")
        if not base.startswith(("http://", "https://")):
            raise ConfigError(f"the storage endpoint {base!r} has no scheme", hint=f"write http://{base}")
        if not isinstance(client._credentials, AnonymousCredentials):
            # Google's client takes an endpoint from the environment too, and would send the token there.
            checked_endpoint(base)
        session: requests.Session = client._http
        fit_out(session, base, connections=self._connections, deadline=self.deadline)
        tokens: requests.Session | None = getattr(session, "_auth_request_session", None)
        if tokens is not None:
            fit_out_tokens(tokens, deadline=self.deadline)
        return session, base

    def _client(self) -> Any:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.storage import Client

        if not self._endpoint:
            return Client(project=None)
        # Never a user's credentials to a server that only the rules file vouches for.
        anonymous = AnonymousCredentials()  # type: ignore[no-untyped-call]
        return Client(project=None, credentials=anonymous, client_options={"api_endpoint": self._endpoint})

    def _refuse(self, response: requests.Response, missing: type[StoreError], about: str) -> NoReturn:
        from reconcile.adapters.http_line import whole

        status = response.status_code
        whole(response, within=self.deadline)
        said, reasons = refusals.told(response.content)
        said = said or refusals.one_line(response.reason or "") or "no reason given"
        what = f"{self.where} answered {status} ({said})" + (f" about {about!r}" if about else "")
        if status in TRANSIENT_STATUS or reasons & TRANSIENT_REASONS:
            doubt = Doubt.ANSWERED if status >= 500 else Doubt.NONE
            pause = seconds_asked(response.headers.get("Retry-After", ""), response.headers.get("Date", ""))
            hint = f"it asks to wait {pause:.0f} s; run again later" if pause else "run again later"
            throttled = status == TOO_MANY_REQUESTS or pause > 0 or bool(reasons & TRANSIENT_REASONS)
            raise Transient(what, hint=hint, doubt=doubt, pause=pause, throttled=throttled)
        self.traffic.answered()
        meaning = refusals.of_bucket(reasons, said)
        if meaning is not None and (status in (400, 401, 403) or (status == 412 and meaning.kind is Rejected)):
            raise meaning.kind(what, hint=meaning.hint)
        if status == 401:
            raise AccessDenied(what, hint=refusals.LOGIN)
        if status == 403:
            raise AccessDenied(what, hint=self._role())
        if status == 404:
            if missing is StoreMissing or "bucket does not exist" in said:
                raise StoreMissing(what, hint=f"create gs://{self.bucket}, or correct [bucket] uri in the rules")
            raise missing(what, hint="plan again")
        if status == 407 and (proxy := network.proxy_for(self._base)) is not None:
            raise of_the_way(proxy.answered(status, urlsplit(self._base).hostname or ""), self.where)
        if status == 412:
            raise PreconditionFailed(what, hint="plan again")
        raise Rejected(what, hint="repeating does not help")

    def _role(self) -> str:
        bucket = f"gs://{self.bucket}"
        grant = f"gcloud storage buckets add-iam-policy-binding {bucket} --member=ACCOUNT"
        return f"grant roles/storage.objectUser on {bucket}: {grant} --role=roles/storage.objectUser"


def checked_endpoint(endpoint: str) -> str:
    """The endpoint without a closing slash. Raises ConfigError for no URL, and for plain http to another machine.

    What is sent there (the media, and the session URIs that let anyone finish an upload) would be readable on the way.
    """
    if not endpoint:
        return ""
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"the bucket's endpoint {endpoint!r} is not a URL", hint='write it as "http://127.0.0.1:4443"'
        )
    if parts.scheme == "http" and not network.is_this_machine(parts.hostname):
        raise ConfigError(
            f"the bucket's endpoint {endpoint!r} is another machine and would be reached without encryption",
            hint="use https://, or a tunnel that ends on 127.0.0.1",
        )
    return endpoint.rstrip("/")
