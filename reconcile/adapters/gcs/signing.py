"""Signs URLs of objects with a service account's key or through IAM; for an emulator, URLs only look signed."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from reconcile.adapters import refusals, room
from reconcile.adapters.gcs.failures import of_failed
from reconcile.adapters.gcs.http import checked_endpoint
from reconcile.adapters.lean_http import Failed
from reconcile.adapters.retry import DEADLINE
from reconcile.adapters.tokens import Transport, default_credentials, lacks
from reconcile.core.errors import AccessDenied, ConfigError, Rejected, StoreError, StoreUnavailable
from reconcile.core.names import BucketRoot, key_problem
from reconcile.ports import LONGEST_URL

if TYPE_CHECKING:
    from google.auth.credentials import Credentials, Signing
    from google.auth.transport import Request
    from google.cloud.storage import Client

MANAGED = 12 * 3600
"""Seconds for which a signature by IAM is sure to be valid: Google regularly replaces the keys that it signs with."""

# The storage client's default scopes do not cover the signing service.
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_ROLE = "roles/iam.serviceAccountTokenCreator"
_REFUSALS = ("PERMISSION_DENIED", "NOT_FOUND", "SERVICE_DISABLED", "UNAUTHENTICATED")


class Signer:
    """Signs URLs with which anyone may read an object for a while. Each is a secret: whoever has it can read the
    object.

    Credentials are looked for at the first signature unless ``credentials`` are given. ``transport`` replaces the HTTP
    transport of the credentials. URLs of an ``emulator``, which checks no signature and must not get real credentials,
    are signed with a key of this process.
    """

    def __init__(
        self,
        root: BucketRoot,
        emulator: str = "",
        *,
        credentials: Credentials | None = None,
        transport: Request | None = None,
        user_project: str = "",
    ) -> None:
        self._root = root
        self._emulator = emulator.rstrip("/")
        self._credentials = credentials
        self._transport: Any = transport or Transport(DEADLINE)
        self._query = {"userProject": user_project} if user_project else None
        self._lock = threading.Lock()
        self._ready: tuple[Client, Signing] | None = None

    @property
    def holds_for(self) -> float:
        """Seconds for which a URL is sure to be valid, by the key of the first signature; a longer one may expire
        early. Credentials with their own key, and emulators, sign for any time."""
        from google.oauth2.service_account import Credentials as WithKey

        is_own = self._emulator or self._ready is None or isinstance(self._ready[1], WithKey)
        return LONGEST_URL if is_own else MANAGED

    def sign(self, key: str, *, expires: float) -> str:
        """Returns a V4 signed URL for reading the object of this key, for ``expires`` seconds, at most a week.

        Makes no request, except to the signing service for an account without a key. Raises AccessDenied if these
        credentials cannot sign, and StoreUnavailable.
        """
        name = self._root.object_name(key)
        if (problem := key_problem(name)) is not None:
            raise Rejected(f"{self._root} cannot hold {name!r}: {problem}", hint="rename the file")
        if not 1 <= expires <= LONGEST_URL:
            raise Rejected(f"a URL cannot be signed for {expires:g} s", hint="one second to 7 days are possible")
        with room.importing("storage", str(self._root)):
            import google.cloud.storage  # noqa: F401
        try:
            with lacks():
                client, signing = self._connected()
                blob = client.bucket(self._root.bucket).blob(name)
                url: str = blob.generate_signed_url(
                    version="v4",  # the client's default is the outdated v2
                    expiration=datetime.timedelta(seconds=int(expires)),
                    method="GET",
                    query_parameters=self._query,
                    credentials=signing,
                )
        except Failed as error:
            raise self._refused(error) from error
        return url

    def _connected(self) -> tuple[Client, Signing]:
        with self._lock:
            if self._ready is None:
                try:
                    self._ready = self._for_tests() if self._emulator else self._for_google()
                except ValueError as error:
                    message = f"URLs of {self._root} cannot be signed: {error}"
                    raise ConfigError(message, hint="check the environment variables of Google's client") from error
            return self._ready

    def _for_tests(self) -> tuple[Client, Signing]:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.storage import Client

        anonymous = AnonymousCredentials()
        client = Client(project=None, credentials=anonymous, client_options={"api_endpoint": self._emulator})
        key = secrets.token_bytes(32)
        return client, _signing("emulator@localhost", lambda message: hmac.digest(key, message, hashlib.sha256))

    def _for_google(self) -> tuple[Client, Signing]:
        from google.auth.credentials import Signing
        from google.cloud.storage import Client

        credentials: Any = self._credentials or default_credentials([_SCOPE], self._transport)
        client = Client(project=None, credentials=credentials)
        # Google's client also reads an endpoint from the environment, even an empty one, and the URL would point to it.
        if not client.api_endpoint:
            options = {"api_endpoint": f"https://storage.{client.universe_domain}"}
            client = Client(project=None, credentials=credentials, client_options=options)
        checked_endpoint(client.api_endpoint)
        return client, credentials if isinstance(credentials, Signing) else self._keyless(credentials)

    def _keyless(self, credentials: Any) -> Signing:
        """Returns signing credentials for ones without a key, by the signing service of their account.

        Raises AccessDenied if the credentials are not a service account's.
        """
        from google.auth import iam

        if not credentials.valid:
            credentials.refresh(self._transport)
        account = getattr(credentials, "service_account_email", None)
        if not account or "@" not in account:
            raise AccessDenied(
                f"URLs of {self._root} cannot be signed: these credentials have no key and are not a service account's",
                hint="log in as one that may: gcloud auth application-default login"
                f" --impersonate-service-account=ACCOUNT (it needs {_ROLE})",
            )
        remote = iam.Signer(self._transport, credentials, account)

        def sign(message: bytes) -> bytes:
            try:
                signature = bytes(remote.sign(message))
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
                raise _unsigned(f"its answer cannot be read ({type(error).__name__})") from error
            if not signature:
                raise _unsigned("its answer holds no signature")
            return signature

        return _signing(str(account), sign)

    def _refused(self, error: Failed) -> StoreError | ConfigError:
        from google.auth.exceptions import TransportError

        said = str(error.__cause__)
        is_transport = isinstance(error.__cause__, TransportError)
        if not is_transport or not any(word in said for word in ("signBlob", "sign_bytes")):
            return of_failed(error, str(self._root))
        if any(word in said for word in _REFUSALS):
            meaning = None if "has not been used in project" in said else refusals.of_signing(said)
            return AccessDenied(
                f"URLs of {self._root} cannot be signed: the signing service of the account refused it",
                hint=f"grant the account {_ROLE} on itself, and enable iamcredentials.googleapis.com"
                if meaning is None
                else meaning.hint,
            )
        return StoreUnavailable(
            f"URLs of {self._root} could not be signed: the signing service of the account failed", hint="run again"
        )


def _unsigned(why: str) -> StoreUnavailable:
    return StoreUnavailable(f"the signing service of the account does not answer as IAM does: {why}", hint="run again")


def _signing(email: str, sign: Callable[[bytes], bytes]) -> Signing:
    """Returns credentials of the account ``email`` that sign by calling ``sign``."""
    from google.auth.credentials import Signing

    class Caller(Signing):
        signer_email = email
        signer = None

        def sign_bytes(self, message: bytes) -> bytes:
            return sign(message)

    return Caller()
