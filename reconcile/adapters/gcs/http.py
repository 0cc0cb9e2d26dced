"""Requests to the JSON API of Cloud Storage, one attempt at a time, errors as ours.

Reads go over our own HTTP; what writes goes over the session of Google's client, which is imported for the first write.
"""

from __future__ import annotations

import os
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
    import_client,
    of_failed,
    of_lack,
    of_the_way,
    translate,
    wait,
)
from reconcile.adapters.lean_http import Failed, Http, Reply
from reconcile.adapters.network import GOOGLE
from reconcile.adapters.retry import Budget, Clock, Patience, Traffic, seconds_asked
from reconcile.adapters.tokens import UNIVERSE, NoToken, Tokens
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
    from email.message import Message

    import requests

T = TypeVar("T")

SCOPES = tuple(
    f"https://www.googleapis.com/auth/devstorage.{each}" for each in ("full_control", "read_only", "read_write")
)


class Door:
    """The way to one bucket. Connects at the first request, for reads and for writes apart."""

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
        self.traffic = Traffic(deadline, budget, clock)
        self._endpoint = checked_endpoint(endpoint)
        self._connections = connections
        self._lock = threading.RLock()
        self._session: requests.Session | None = None
        self._base, anonymous = _server(self._endpoint)
        self._http = Http(deadline=deadline, connections=connections)
        self._tokens = None if anonymous else Tokens(SCOPES, deadline=deadline)
        self._checked = False

    @property
    def deadline(self) -> float:
        """Seconds that a call keeps trying, and that each wait for an answer may take."""
        return self.traffic.deadline

    @property
    def clock(self) -> Clock:
        """The clock of all waits."""
        return self.traffic.clock

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
        self._http.close()
        if self._tokens is not None:
            self._tokens.close()

    def objects(self, *, upload: bool = False) -> str:
        """The URL path of the bucket's objects."""
        return f"{'/upload' if upload else ''}/storage/v1/b/{quote(self.bucket, safe='')}/o"

    def object(self, name: str, *, media: bool = False) -> str:
        """The URL path of one object, or of its bytes."""
        return f"{'/download' if media else ''}{self.objects()}/{quote(name, safe='')}"

    def is_mine(self, url: str) -> bool:
        """Whether an absolute URL leads to the server that gets our credentials."""
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

    def get(
        self,
        path: str,
        query: Mapping[str, str | int] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        accept: Iterable[int] = (200,),
        missing: type[StoreError] = StoreMissing,
        about: str = "",
        stream: bool = False,
    ) -> Reply:
        """One attempt to read. Returns an answer whose status is in ``accept`` and raises the error that any other is,
        ``missing`` for a 404. One that is no ``stream`` has come whole."""
        self._check()
        self._enter()
        sent = {"Accept-Encoding": "gzip", **(headers or {})}
        try:
            url = self._url(path, query)
            if self._tokens is None:
                answer = self._http.ask("GET", url, sent, stream=stream)
            else:
                answer = self._tokens.ask(self._http, "GET", url, sent, stream=stream)
            if answer.status_code not in accept:
                content = answer.whole(self.deadline)
                self._refuse(answer.status_code, answer.reason, answer.headers, content, missing, about)
        except Failed as error:
            raise of_failed(error, self.where, self._base) from error
        except NoToken as error:
            raise of_lack(error, self.where) from error
        self.traffic.answered()
        return answer

    def once(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        data: Iterable[bytes] | bytes | None = None,
        accept: Iterable[int] = (200,),
        about: str = "",
    ) -> requests.Response:
        """One attempt to write. ``path`` may be the absolute URL of an upload session, which is a secret and is never
        shown.

        Returns an answer whose status is in ``accept``, whole, and raises the error that any other is. The first
        time-out bounds the connect and the sending of each block of a body, never a whole body, however slow the line;
        the second one the wait for an answer, longer if a large object is put together.
        """
        session = self._connected()
        self._enter()
        secret = "://" in path
        url = self._url(path, query)
        answer_wait = self.deadline if data is None or isinstance(data, bytes) else 3 * self.deadline
        try:
            response = session.request(
                method,
                url,
                data=data,
                headers={"Accept-Encoding": "gzip", **(headers or {})},
                timeout=(self.deadline, answer_wait),
                allow_redirects=False,
            )
            if response.status_code not in accept:
                self._refuse(
                    response.status_code, response.reason, response.headers, response.content, StoreMissing, about
                )
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

    def _url(self, path: str, query: Mapping[str, str | int] | None) -> str:
        url = path if "://" in path else f"{self._base}{path}"
        asked = {**(query or {}), **({} if "userProject=" in url else self._charged)}
        if asked:
            url += f"{'&' if '?' in url else '?'}{urlencode(asked, quote_via=quote)}"
        return url

    def _enter(self) -> None:
        """Waits for the turn of an attempt."""
        shut = self.traffic.enter()
        if shut:
            hint = "run again later"
            raise Transient(f"{self.where} asked to be left alone for {ceil(shut)} s", hint=hint, pause=shut)

    def _connected(self) -> requests.Session:
        with self._lock:
            if self._session is None:
                self._check()
                self._session = self._connect()
            return self._session

    def _check(self) -> None:
        """Before the first request. Raises ConfigError for a server that is not to be asked."""
        with self._lock:
            if not self._checked:
                self._find_server()
                self._checked = True

    def _find_server(self) -> None:
        if not self._base.startswith(("http://", "https://")):
            raise ConfigError(f"the storage endpoint {self._base!r} has no scheme", hint=f"write http://{self._base}")
        if self._tokens is not None:
            # The environment may name a server too, and the token would be sent there.
            checked_endpoint(self._base)
            try:
                server = self._tokens.at_google("storage")
            except NoToken as error:
                raise of_lack(error, self.where) from error
            if server.universe != UNIVERSE:
                raise ConfigError(
                    f"the credentials for {self.where} are of another universe than Google's, {server.universe!r}",
                    hint=f"use credentials of {UNIVERSE}",
                )
            if self._base == GOOGLE and server.url != GOOGLE:
                self._base = server.url
            if server.certificate is not None:
                self._http = Http(deadline=self.deadline, connections=self._connections, certificate=server.certificate)

    def _connect(self) -> requests.Session:
        import_client(self.where)
        from reconcile.adapters.http_line import fit_out, fit_out_tokens

        try:
            client = self._client()
        except foreign() as error:
            raise translate(error, self.where) from error
        except ValueError as error:
            message = f"the storage client cannot be set up for {self.where}: {error}"
            raise ConfigError(message, hint="check the environment variables of Google's client") from error
        session: requests.Session = client._http
        fit_out(session, self._base, connections=self._connections, deadline=self.deadline)
        tokens: requests.Session | None = getattr(session, "_auth_request_session", None)
        if tokens is not None:
            fit_out_tokens(tokens, deadline=self.deadline)
        return session

    def _client(self) -> Any:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.storage import Client

        if not self._endpoint:
            return Client(project=None)
        # Never a user's credentials to a server that only the rules file vouches for.
        anonymous = AnonymousCredentials()  # type: ignore[no-untyped-call]
        return Client(project=None, credentials=anonymous, client_options={"api_endpoint": self._endpoint})

    def _refuse(
        self,
        status: int,
        reason: str | None,
        headers: Mapping[str, str] | Message,
        content: bytes,
        missing: type[StoreError],
        about: str,
    ) -> NoReturn:
        said, reasons = refusals.told(content)
        said = said or refusals.one_line(reason or "") or "no reason given"
        what = f"{self.where} answered {status} ({said})" + (f" about {about!r}" if about else "")
        if status in TRANSIENT_STATUS or reasons & TRANSIENT_REASONS:
            doubt = Doubt.ANSWERED if status >= 500 else Doubt.NONE
            pause = seconds_asked(headers.get("Retry-After", ""), headers.get("Date", ""))
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


def _server(endpoint: str) -> tuple[str, bool]:
    """The server as Google's client chooses it, and whether it gets no credentials."""
    if endpoint:
        return endpoint, True
    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
    other = os.environ.get("API_ENDPOINT_OVERRIDE", "")
    return (emulator or other or GOOGLE).rstrip("/"), bool(emulator)


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
