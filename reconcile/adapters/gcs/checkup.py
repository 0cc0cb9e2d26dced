"""Reads facts about the bucket and the credentials for ``doctor``; no run needs them."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import msgspec

from reconcile.adapters.gcs.answers import decode
from reconcile.adapters.gcs.failures import of_failed
from reconcile.adapters.gcs.http import GcsClient
from reconcile.adapters.lean_http import Failed
from reconcile.adapters.meter import Meter
from reconcile.adapters.retry import Traffic
from reconcile.adapters.tokens import lacks
from reconcile.core.errors import StoreError
from reconcile.core.names import BucketRoot

DEADLINE = 10.0
_FIELDS = "versioning,softDeletePolicy,billing"


class Versioning(msgspec.Struct, frozen=True):
    enabled: bool = False


class SoftDelete(msgspec.Struct, frozen=True, rename="camel"):
    """How many seconds an overwritten object is kept; 0 if it is not."""

    retention_duration_seconds: int = 0


class Billing(msgspec.Struct, frozen=True, rename="camel"):
    requester_pays: bool = False


class BucketSettings(msgspec.Struct, frozen=True, rename="camel"):
    """The settings of a bucket, in the structure of the API."""

    versioning: Versioning = Versioning()
    soft_delete_policy: SoftDelete = SoftDelete()
    billing: Billing = Billing()


class _Granted(msgspec.Struct):
    permissions: list[str] = []


_BUCKET = msgspec.json.Decoder(BucketSettings, strict=False)
_GRANTED = msgspec.json.Decoder(_Granted, strict=False)


class GcsCheckup:
    """Diagnostic questions about one bucket, at Google (``endpoint`` empty) or another server."""

    def __init__(
        self,
        root: BucketRoot,
        endpoint: str,
        now: Callable[[], float] = time.time,
        user_project: str = "",
        meter: Meter | None = None,
    ) -> None:
        self._now = now
        self._root = root
        self._endpoint = endpoint
        traffic = Traffic(DEADLINE)
        self._client = GcsClient(root.bucket, endpoint, traffic, connections=1, user_project=user_project, meter=meter)

    def close(self) -> None:
        self._client.close()

    def who(self) -> str:
        """Returns a description of the credentials in use. Raises AccessDenied if there are none."""
        if self._endpoint:
            return f"none: {self._endpoint} gets no credentials"
        import google.auth

        try:
            with lacks():
                credentials, project = google.auth.default()
        except Failed as error:
            raise of_failed(error, str(self._root)) from error
        account = getattr(credentials, "service_account_email", None) or getattr(credentials, "account", None)
        kind = {
            "google.oauth2.service_account": "a service account's key",
            "google.oauth2.credentials": "a user's login",
            "google.auth.compute_engine.credentials": "this machine's service account",
            "google.auth.impersonated_credentials": "an impersonated service account",
            "google.auth.identity_pool": "workload identity federation",
        }.get(type(credentials).__module__, type(credentials).__module__)
        of = f" {account}" if account and account != "default" else ""
        return f"{kind}{of}" + (f", project {project}" if project else "")

    def settings(self) -> BucketSettings:
        """Returns the bucket's settings. Raises as an ObjectStore does."""
        path = self._client.objects().removesuffix("/o")
        answer = self._client.retrying(lambda: self._client.once("GET", path, {"fields": _FIELDS}))
        return decode(_BUCKET, answer.content, self._client.where, "a bucket")

    def clock_skew(self) -> float | None:
        """Returns the seconds by which this machine's clock is ahead of the server's, to about a second.

        None if the answer has no time. Raises StoreUnavailable.
        """
        before = self._now()
        answer = self._client.retrying(
            lambda: self._client.once(
                "GET", self._client.objects(), {"maxResults": 1, "fields": "kind"}, accept=(200, 401, 403, 404)
            )
        )
        try:
            theirs = parsedate_to_datetime(answer.headers.get("Date", "")).timestamp()
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
        # The server's time is truncated to whole seconds.
        return (before + self._now()) / 2 - (theirs + 0.5)

    def grants(self, permission: str) -> bool:
        """Whether the credentials have this permission; true if the server cannot say, as emulators cannot."""
        path = f"{self._client.objects().removesuffix('/o')}/iam/testPermissions"
        try:
            answer = self._client.once("GET", path, {"permissions": permission})
            return permission in decode(_GRANTED, answer.content, self._client.where, "permissions").permissions
        except StoreError:
            return True
