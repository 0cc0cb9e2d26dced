"""What came of a request that failed: the exceptions of the HTTP and auth libraries as errors of ours."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from reconcile.adapters import network, refusals, room
from reconcile.adapters.lean_http import Failed, How
from reconcile.adapters.network import GOOGLE
from reconcile.adapters.retry import SPENT, Patience
from reconcile.adapters.tokens import Lack, NoToken
from reconcile.core.errors import AccessDenied, ConfigError, ReconcileError, StoreError, StoreUnavailable

TOO_MANY_REQUESTS = 429
TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})
TRANSIENT_REASONS = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"})


class Doubt(IntEnum):
    """Whether a write that failed may have been applied all the same."""

    NONE = 0
    ANSWERED = 1
    LOST = 2


class Transient(StoreUnavailable):
    """A failure that may pass by itself. ``pause`` is what the server asked to wait, in seconds; ``throttled`` if it
    said that there are too many requests; ``reached`` if there was a connection."""

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        doubt: Doubt = Doubt.NONE,
        reached: bool = True,
        pause: float = 0.0,
        throttled: bool = False,
    ) -> None:
        super().__init__(message, hint=hint)
        self.doubt = doubt
        self.reached = reached
        self.pause = pause
        self.throttled = throttled


def wait(patience: Patience, failure: Transient) -> None:
    """Waits before the next attempt of a call, or raises the failure if there is to be none."""
    if not patience.again(failure):
        if patience.spent:
            failure.hint = SPENT
        raise failure


def import_client(where: str) -> None:
    """Imports Google's storage client, and what is used with it. Raises StoreUnavailable if there is no room for it."""
    with room.importing("storage", where):
        import google.cloud.storage  # noqa: F401

        from reconcile.adapters import http_line  # noqa: F401

        foreign()


def foreign() -> tuple[type[Exception], ...]:
    """The exceptions of the HTTP and auth libraries, and the system's own below them."""
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError
    from urllib3.exceptions import HTTPError, ProxySchemeUnsupported

    return (OSError, HTTPError, ProxySchemeUnsupported, GoogleAuthError, GoogleAPIError)


def of_the_way(fault: network.WayFault, where: str) -> StoreError | ConfigError:
    """The error of ours that a fault of the way to a server means."""
    message = f"{where} could not be reached: {fault.message}"
    match fault.kind:
        case network.Fault.SETTING:
            return ConfigError(message, hint=fault.hint)
        case network.Fault.REFUSED:
            return AccessDenied(message, hint=fault.hint)
        case network.Fault.LASTING:
            return StoreUnavailable(message, hint=fault.hint)
        case network.Fault.PASSING:
            return Transient(message, hint=fault.hint, reached=False)


def of_failed(error: Failed, where: str, url: str = GOOGLE) -> StoreError | ConfigError:
    """The error of ours that a read which came to nothing means; ``url`` is the server that was asked."""
    if error.fault is not None:
        return of_the_way(error.fault, where)
    again = _again(url)
    match error.how:
        case How.NO_URL:
            return _no_url(where, error.why)
        case How.TLS:
            return Transient(f"{where} could not be reached over TLS: {error.why}", hint=again, doubt=Doubt.LOST)
        case How.TOO_LONG:
            return _no_gcs(where, error.why)
        case How.SILENT | How.SLOW:
            doubt = Doubt.LOST if error.reached else Doubt.NONE
            return Transient(f"{where} does not answer: {error.why}", hint=again, doubt=doubt, reached=error.reached)


def of_lack(error: NoToken, where: str) -> StoreError | ConfigError:
    """The error of ours that the lack of a token for a read means."""
    if error.fault is not None:
        return of_the_way(error.fault, where)
    match error.lack:
        case Lack.MISSING | Lack.REFUSED:
            return _no_credentials(where, error.why)
        case Lack.PASSING:
            return _no_token(where, error.why, network.AGAIN)
        case Lack.UNREADABLE:
            return StoreUnavailable(f"{where} could not be asked: {error.why}", hint=network.AGAIN)


def _again(url: str) -> str:
    proxy = network.proxy_for(url)
    return network.AGAIN + (f"; it goes by {proxy}" if proxy else "")


def _no_url(where: str, why: str) -> ConfigError:
    return ConfigError(f"the endpoint of {where} is not a URL that can be asked: {why}", hint="correct it")


def _no_gcs(where: str, why: str) -> StoreUnavailable:
    return StoreUnavailable(f"{where} does not answer as GCS does: {why}", hint="check the endpoint")


def _no_credentials(where: str, why: str) -> AccessDenied:
    return AccessDenied(f"there are no valid credentials for {where}: {why}", hint=refusals.LOGIN)


def _no_token(where: str, why: str, again: str) -> Transient:
    return Transient(f"no credentials could be fetched for {where}: {why}", hint=again, reached=False)


def translate(error: Exception, where: str, url: str = GOOGLE) -> StoreError | ConfigError:
    """The error of ours that an exception of ``foreign()`` means; ``url`` is the server that was asked."""
    from google.auth.exceptions import GoogleAuthError, TransportError
    from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema, RequestException, SSLError
    from urllib3.exceptions import HTTPError, LocationValueError

    from reconcile.adapters.http_line import TooLong

    fault = network.fault_of(error, url)
    if fault is not None:
        return of_the_way(fault, where)
    why, again = _why(error), _again(url)
    match error:
        case InvalidSchema() | InvalidURL() | MissingSchema() | LocationValueError():
            return _no_url(where, why)
        case SSLError():
            return Transient(f"{where} could not be reached over TLS: {why}", hint=again, doubt=Doubt.LOST)
        case TooLong():
            return _no_gcs(where, why)
        case TransportError():
            return _no_token(where, why, again)
        case GoogleAuthError() if error.retryable:
            return _no_token(where, why, again)
        case GoogleAuthError():
            return _no_credentials(where, why)
        case RequestException() | HTTPError():
            reached = not _never_connected(error)
            doubt = Doubt.LOST if reached else Doubt.NONE
            return Transient(f"{where} does not answer: {why}", hint=again, doubt=doubt, reached=reached)
        case _:
            return StoreUnavailable(f"{where} could not be used: {why}", hint=again)


def _never_connected(error: Exception) -> bool:
    from requests.exceptions import ConnectTimeout
    from urllib3.exceptions import NewConnectionError

    inner: Any = error.args[0] if error.args else None
    return isinstance(error, ConnectTimeout) or isinstance(getattr(inner, "reason", inner), NewConnectionError)


def _why(error: BaseException) -> str:
    """What the innermost cause says: the outer ones repeat the URL, which may be an upload session's."""
    while (inner := error.__cause__ or error.__context__) is not None and not isinstance(inner, ReconcileError):
        error = inner
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return refusals.one_line(str(said).split("\n", 1)[0])
