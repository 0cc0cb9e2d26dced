"""Requests to the JSON API of Cloud Storage, with failures as our errors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from typing import NoReturn, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from reconcile.adapters import network, refusals
from reconcile.adapters.gcs.failures import Doubt, Transient, of_failed, of_status, of_the_way, retrying
from reconcile.adapters.lean_http import Failed, Http, Reply, Streamed
from reconcile.adapters.meter import Meter
from reconcile.adapters.network import GOOGLE
from reconcile.adapters.retry import Patience, Traffic
from reconcile.adapters.tokens import UNIVERSE, AuthorizedHttp
from reconcile.core.errors import (
    AccessDenied,
    ConfigError,
    NotThere,
    PreconditionFailed,
    Rejected,
    StoreError,
    StoreMissing,
    StoreUnavailable,
    Uncertain,
)

T = TypeVar("T")

SCOPES = tuple(
    f"https://www.googleapis.com/auth/devstorage.{each}" for each in ("full_control", "read_only", "read_write")
)
JSON = {"Content-Type": "application/json; charset=UTF-8"}


class GcsClient:
    """The client of one bucket, which connects at the first request; thread-safe."""

    def __init__(
        self,
        bucket: str,
        endpoint: str,
        traffic: Traffic,
        *,
        connections: int,
        user_project: str = "",
        meter: Meter | None = None,
    ) -> None:
        self.bucket = bucket
        self.traffic = traffic
        self.meter = meter or Meter()
        self._charged = {"userProject": user_project} if user_project else {}
        self._base, anonymous = _server(checked_endpoint(endpoint))
        http = Http(deadline=traffic.deadline, connections=connections, watch=self.meter.bucket)
        self._http = http if anonymous else AuthorizedHttp(http, SCOPES, traffic.deadline, self.meter.other)
        self._checked = False

    @property
    def where(self) -> str:
        """The bucket, with the server unless it is Google's, for messages."""
        return f"gs://{self.bucket}" + (f" at {self._base}" if self._base != GOOGLE else "")

    def close(self) -> None:
        """Closes the pooled connections."""
        self._http.close()

    def objects(self, *, upload: bool = False) -> str:
        """Returns the URL path of the bucket's objects."""
        return f"{'/upload' if upload else ''}/storage/v1/b/{quote(self.bucket, safe='')}/o"

    def object(self, name: str, *, media: bool = False) -> str:
        """Returns the URL path of one object, or with ``media`` of its content."""
        return f"{'/download' if media else ''}{self.objects()}/{quote(name, safe='')}"

    def is_mine(self, url: str) -> bool:
        """Whether an absolute URL leads to the server that gets our credentials."""
        return url.startswith(f"{self._base}/")

    def at_home(self, url: str) -> str:
        """Returns the URL with its host replaced by the server that gets our credentials.

        A proxy or an emulator may name itself differently from the endpoint, and no other server may get the content.
        """
        base = urlsplit(self._base)
        return urlsplit(url)._replace(scheme=base.scheme, netloc=base.netloc).geturl()

    def patience(self, *, within: float | None = None, body: bool = False) -> Patience:
        """Returns the patience of one call, limited to ``within`` seconds if given; ``body`` if the call sends one."""
        return Patience(self.traffic, within=within, body=body)

    def retrying(self, attempt: Callable[[], T], patience: Patience | None = None) -> T:
        """Returns the result of the first attempt that succeeds; see ``failures.retrying``."""
        return retrying(patience or self.patience(), attempt)

    def seen(self, name: str, fields: str, patience: Patience | None = None, **query: str | int) -> bytes | None:
        """Returns the answer to a request for these fields of an object, or None if there is no such object."""
        path, asked = self.object(name), {"fields": fields, **query}
        try:
            return self.retrying(lambda: self.once("GET", path, asked, missing=NotThere, about=name), patience).content
        except NotThere:
            return None

    def once(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | Streamed | None = None,
        accept: Iterable[int] = (200,),
        missing: type[StoreError] = StoreMissing,
        about: str = "",
        stream: bool = False,
    ) -> Reply:
        """Makes one attempt and returns the answer if its status is in ``accept``, read whole unless it is a
        ``stream``.

        ``path`` may be the absolute URL of an upload session, which is a secret and never shown. Any other status
        raises the error that it means; 404 raises ``missing``. The deadline bounds the sending of each block of a body,
        never of the whole body, so that a slow line can send any size. The wait for an answer to a streamed body is
        three times as long, because GCS assembles a large object first.
        """
        try:
            self._check()
            shut = self.traffic.enter()
            if shut:
                hint = "run again later"
                raise Transient(f"{self.where} asked to be left alone for {ceil(shut)} s", hint=hint, pause=shut)
            sent = {"Accept-Encoding": "gzip", **(headers or {})}
            url = self._url(path, query)
            patience = self.traffic.deadline * (1 if data is None or isinstance(data, bytes) else 3)
            answer = self._http.ask(method, url, sent, data, patience=patience, stream=stream)
            if answer.status_code not in accept:
                self._refuse(answer, answer.whole(self.traffic.deadline), missing, about)
        except Failed as error:
            raise of_failed(error, self.where, self._base) from (None if "://" in path else error)
        self.traffic.answered()
        return answer

    def _url(self, path: str, query: Mapping[str, str | int] | None) -> str:
        url = path if "://" in path else f"{self._base}{path}"
        asked = {**(query or {}), **({} if "userProject=" in url else self._charged)}
        if asked:
            url += f"{'&' if '?' in url else '?'}{urlencode(asked, quote_via=quote)}"
        return url

    def _check(self) -> None:
        """Chooses the server before the first request. Raises ConfigError for one that must not be used, and Failed."""
        if self._checked:
            return
        if not self._base.startswith(("http://", "https://")):
            raise ConfigError(f"the storage endpoint {self._base!r} has no scheme", hint=f"write http://{self._base}")
        if isinstance(self._http, AuthorizedHttp):
            # The environment may also name a server, and that server would get the token.
            checked_endpoint(self._base)
            server = self._http.at_google("storage")
            if server.universe != UNIVERSE:
                raise ConfigError(
                    f"the credentials for {self.where} are of another universe than Google's, {server.universe!r}",
                    hint=f"use credentials of {UNIVERSE}",
                )
            if self._base == GOOGLE:
                self._base = server.url
        self._checked = True  # several threads may find the same

    def _refuse(self, answer: Reply, content: bytes, missing: type[StoreError], about: str) -> NoReturn:
        status = answer.status_code
        said, reasons = refusals.error_in(content)
        said = said or refusals.one_line(answer.reason or "") or "no reason given"
        what = f"{self.where} answered {status} ({said})" + (f" about {about!r}" if about else "")
        if (transient := of_status(answer, what, reasons)) is not None:
            raise transient
        self.traffic.answered()
        meaning = refusals.of_bucket(reasons, said)
        if meaning is not None and (status in (400, 401, 403) or (status == 412 and meaning.kind is Rejected)):
            raise meaning.kind(what, hint=meaning.hint)
        if status == 401:
            raise AccessDenied(what, hint=refusals.LOGIN)
        if status == 403:
            bucket = f"gs://{self.bucket}"
            grant = f"gcloud storage buckets add-iam-policy-binding {bucket} --member=ACCOUNT"
            role = "roles/storage.objectUser"
            raise AccessDenied(what, hint=f"grant {role} on {bucket}: {grant} --role={role}")
        if status == 404:
            if missing is StoreMissing or "bucket does not exist" in said:
                raise StoreMissing(what, hint=f"create gs://{self.bucket}, or correct [bucket] uri in the rules")
            raise missing(what, hint="plan again")
        if status == 407 and (proxy := network.proxy_for(self._base)) is not None:
            raise of_the_way(proxy.answered(status, urlsplit(self._base).hostname or ""), self.where)
        if status == 412:
            raise PreconditionFailed(what, hint="plan again")
        raise Rejected(what, hint="repeating does not help")


class Write:
    """One write of an object, over all its attempts.

    ``doubt`` says whether a failed attempt may have been applied; ``done`` is the verb for messages, such as "copied".
    """

    def __init__(self, client: GcsClient, name: str, done: str) -> None:
        self.client = client
        self.name = name
        self.doubt = Doubt.NONE
        self._done = done

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Wraps one attempt, which begins when the name may be written again."""
        writes = self.client.traffic.writes
        writes.wait(self.name)
        try:
            yield
        except Transient as failure:
            self.doubt = max(self.doubt, failure.doubt)
            if failure.doubt:
                writes.wrote(self.name)
            raise
        writes.wrote(self.name)

    def read(self, decode: Callable[[], T]) -> T:
        """Returns the decoded answer. An unreadable answer counts as lost: the write may have been applied."""
        try:
            return decode()
        except StoreUnavailable as error:
            self.doubt = Doubt.LOST
            raise Transient(error.message, hint=error.hint, doubt=Doubt.LOST) from error

    def uncertain(self) -> Uncertain:
        """Returns the error of a write whose answer was lost."""
        message = f"{self.client.where} may or may not have {self._done} {self.name!r}: the answer was lost"
        return Uncertain(message, hint="run again: the next plan reads what is there")


def _server(endpoint: str) -> tuple[str, bool]:
    """Returns the server, chosen as Google's client chooses it, and whether it must get no credentials."""
    if endpoint:
        return endpoint, True
    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
    other = os.environ.get("API_ENDPOINT_OVERRIDE", "")
    return (emulator or other or GOOGLE).rstrip("/"), bool(emulator)


def checked_endpoint(endpoint: str) -> str:
    """Returns the endpoint without a trailing slash.

    Raises ConfigError if it is not a URL, or uses plain http to another machine: the media, and the session URIs with
    which anyone can finish an upload, could then be read in transit.
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
