"""Tokens for requests to Google: those of ``google.auth``, fetched over our own HTTP.

``google.auth`` is imported when the first token is needed. Its transport, which imports ``requests``, never is.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple

from reconcile.adapters.lean_http import Failed, FailureKind, Http, Reply, Streamed, words
from reconcile.adapters.meter import Watch, unheard
from reconcile.adapters.network import fault_here
from reconcile.adapters.room import shortage
from reconcile.core.portable import chain

UNIVERSE = "googleapis.com"
_REFRESHES = 2
"""How often a request that was answered with 401 is repeated with a new token."""

NOBODY = "nobody has logged in on this machine"
_NOWHERE = (
    "default credentials were not found"  # the beginning of google.auth's long message after it has looked everywhere
)


class Server(NamedTuple):
    """The server of a Google service. ``universe`` is the domain of all its services, which differs in a few separate
    clouds."""

    universe: str
    url: str


class AuthorizedHttp:
    """An ``Http`` whose requests have a token of the application default credentials, which are looked up when first
    needed. Thread-safe.

    ``deadline`` (seconds) bounds each wait for a token server; ``watch`` sees each request to one.
    """

    def __init__(self, http: Http, scopes: Sequence[str], deadline: float, watch: Watch) -> None:
        self._http = http
        self._scopes = tuple(scopes)
        self._request = Transport(deadline, watch)
        self._lock = threading.Lock()
        self._credentials: Any = None

    def close(self) -> None:
        """Closes the pooled connections."""
        self._http.close()
        self._request.close()

    def at_google(self, service: str) -> Server:
        """Returns the server of a service, such as ``storage``.

        Requests will show this device's certificate if the organization requires one. Raises Failed.
        """
        with self._lock, lacks():
            universe = str(self._found().universe_domain or UNIVERSE)
            from google.auth.transport import mtls

            shown = mtls.should_use_client_cert() and mtls.has_default_client_cert_source()
            if shown:
                self._http.certificate = _certificate(mtls.default_client_cert_source())
        when = os.environ.get("GOOGLE_API_USE_MTLS_ENDPOINT", "auto")
        own = when == "always" or (when == "auto" and shown)
        return Server(universe, f"https://{service}{'.mtls' if own else ''}.{universe}")

    def ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Streamed | None = None, **options: Any
    ) -> Reply:
        """Sends a request as ``Http.ask``, and again with a new token if the server does not accept the first.

        Raises Failed, also if there is no token, and ConfigError.
        """
        left = _REFRESHES
        while True:
            answer = self._http.ask(method, url, {**headers, **self._headers(method, url)}, body, **options)
            if answer.status_code != 401 or not left:
                return answer
            answer.close()
            left -= 1
            with self._lock, lacks():
                self._found().refresh(self._request)

    def _headers(self, method: str, url: str) -> dict[str, str]:
        found: dict[str, str] = {}
        with self._lock, lacks():
            self._found().before_request(self._request, method, url, found)
        if not all(value.isascii() and value.isprintable() for value in found.values()):
            # http.client would refuse it with a message that repeats the token.
            raise Failed(FailureKind.UNREADABLE, "a token holds characters that no header has", reached=False)
        return found

    def _found(self) -> Any:
        if self._credentials is None:
            self._credentials = default_credentials(self._scopes, self._request)
        return self._credentials


class Transport:
    """A ``google.auth.transport.Request`` over our own HTTP. ``deadline`` (seconds) bounds each wait for an answer."""

    def __init__(self, deadline: float, watch: Watch = unheard) -> None:
        self._http = Http(deadline=deadline, connections=1, watch=watch)

    def close(self) -> None:
        """Closes the pooled connections."""
        self._http.close()

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_options: Any,
    ) -> Any:
        """Returns the answer to one request, a ``google.auth.transport.Response``. Raises TransportError."""
        from google.auth.exceptions import TransportError

        data = body.encode() if isinstance(body, str) else body
        try:
            answer = self._http.ask(method, url, headers, data, wait=timeout)
        except Failed as error:
            raise TransportError(error) from error
        lower = {name.lower(): value for name, value in answer.headers.items()}
        return SimpleNamespace(status=answer.status_code, headers=lower, data=answer.content)


def _certificate(source: Callable[[], tuple[bytes, bytes]]) -> Callable[[], tuple[bytes, bytes]]:
    """Returns the same source, except that it raises Failed if the certificate cannot be read."""

    def certificate() -> tuple[bytes, bytes]:
        try:
            with lacks():
                return source()
        except Failed as error:
            why = f"the certificate of this device cannot be read: {error.why}"
            raise Failed(error.how, why, reached=False) from error

    return certificate


@contextmanager
def lacks() -> Iterator[None]:
    """Turns the errors of ``google.auth`` into Failed, except a lack of memory."""
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        if shortage(error):
            raise
        raise _lack(error) from error
    except Exception as error:
        from google.auth.exceptions import GoogleAuthError

        if not isinstance(error, GoogleAuthError):
            raise
        raise _lack(error) from error


def _lack(error: Exception) -> Failed:
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError

    how, why, fault = FailureKind.NO_TOKEN, words(error), None
    match error:
        case DefaultCredentialsError():
            how, why = FailureKind.NO_CREDENTIALS, NOBODY if _NOWHERE in str(error) else str(error)
        case GoogleAuthError():
            fault = next((each.fault for each in chain(error) if isinstance(each, Failed)), None)
            if not (isinstance(error, TransportError) or error.retryable):
                how = FailureKind.UNAUTHORIZED
        case OSError():
            fault = fault_here(error)
        case _:
            how, why = FailureKind.UNREADABLE, f"an answer cannot be read ({type(error).__name__})"
    return Failed(how, why, fault, reached=False)


def default_credentials(scopes: Sequence[str], request: Any) -> Any:
    """Returns the credentials that ``google.auth.default`` finds, in its order. Raises what that function raises.

    That function would import ``requests`` for some kinds, and run gcloud to find a project that is not needed.
    """
    import google.auth
    from google.auth import _cloud_sdk, credentials, environment_vars

    named = os.environ.get(environment_vars.CREDENTIALS)
    logged_in = _cloud_sdk.get_application_default_credentials_path()
    if named or os.path.isfile(logged_in):
        with warnings.catch_warnings():
            # It warns about files that somebody else provides; this one is named by the user's environment.
            warnings.simplefilter("ignore", DeprecationWarning)
            found, _ = google.auth.load_credentials_from_file(named or logged_in, request=request)
    else:
        found = _of_this_machine(request)
    return credentials.with_scopes_if_required(found, scopes)


def _of_this_machine(request: Any) -> Any:
    """Returns the credentials of a machine at Google, for which ``google.auth`` would import ``requests``."""
    if os.environ.get("NO_GCE_CHECK") != "true":
        from google.auth import compute_engine
        from google.auth.compute_engine import _metadata

        if _metadata.is_on_gce(request=request):
            return compute_engine.Credentials().with_quota_project_from_environment()
    from google.auth import _default, exceptions

    raise exceptions.DefaultCredentialsError(_default._CLOUD_SDK_MISSING_CREDENTIALS)
