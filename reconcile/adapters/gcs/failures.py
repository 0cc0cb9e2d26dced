"""Turns failed requests into our errors, and retries those that may succeed later."""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import IntEnum
from typing import TypeVar

from reconcile.adapters import network, refusals
from reconcile.adapters.lean_http import Failed, FailureKind, Reply
from reconcile.adapters.network import GOOGLE
from reconcile.adapters.retry import SPENT, Patience, seconds_asked
from reconcile.core.errors import AccessDenied, ConfigError, StoreError, StoreUnavailable

_TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_TRANSIENT_REASONS = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"})

T = TypeVar("T")


class Doubt(IntEnum):
    """Whether a failed write may have been applied nevertheless."""

    NONE = 0
    ANSWERED = 1
    LOST = 2


class Transient(StoreUnavailable):
    """A failure after which a retry may succeed.

    ``pause`` is how many seconds the server asked to wait, or 0. ``throttled`` says that it gets too many requests,
    ``reached`` that there was a connection.
    """

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


def retrying(patience: Patience, attempt: Callable[[], T]) -> T:
    """Returns the result of the first attempt without a transient failure; raises the last failure if no retry is
    left."""
    while True:
        try:
            return attempt()
        except Transient as failure:
            wait(patience, failure)


def wait(patience: Patience, failure: Transient) -> None:
    """Waits before the next attempt of a call, or raises the failure if no retry is left."""
    if not patience.again(failure):
        if patience.spent:
            failure.hint = SPENT
        raise failure


def of_status(answer: Reply, message: str, reasons: Collection[str] = ()) -> Transient | None:
    """Returns the failure for an answer whose status, or one of the ``reasons`` in its body, is transient; else
    None."""
    status, limited = answer.status_code, not _TRANSIENT_REASONS.isdisjoint(reasons)
    if status not in _TRANSIENT_STATUS and not limited:
        return None
    pause = seconds_asked(answer.headers.get("Retry-After", ""), answer.headers.get("Date", ""))
    return Transient(
        message,
        hint=f"it asks to wait {pause:.0f} s; run again later" if pause else "run again later",
        doubt=Doubt.ANSWERED if status >= 500 else Doubt.NONE,
        pause=pause,
        throttled=status == 429 or pause > 0 or limited,
    )


def of_the_way(fault: network.WayFault, where: str) -> StoreError | ConfigError:
    """Returns our error for a fault on the way to a server."""
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
    """Returns our error for a failed request to the server at ``url``."""
    if error.fault is not None:
        return of_the_way(error.fault, where)
    proxy = network.proxy_for(url)
    again = network.AGAIN + (f"; it goes by {proxy}" if proxy else "")
    match error.how:
        case FailureKind.NO_URL:
            return ConfigError(
                f"the endpoint of {where} is not a URL that can be asked: {error.why}", hint="correct it"
            )
        case FailureKind.TLS:
            return Transient(f"{where} could not be reached over TLS: {error.why}", hint=again, doubt=Doubt.LOST)
        case FailureKind.TOO_LONG:
            return StoreUnavailable(f"{where} does not answer as GCS does: {error.why}", hint="check the endpoint")
        case FailureKind.SILENT | FailureKind.SLOW:
            doubt = Doubt.LOST if error.reached else Doubt.NONE
            return Transient(f"{where} does not answer: {error.why}", hint=again, doubt=doubt, reached=error.reached)
        case FailureKind.NO_CREDENTIALS | FailureKind.UNAUTHORIZED:
            return AccessDenied(f"there are no valid credentials for {where}: {error.why}", hint=refusals.LOGIN)
        case FailureKind.NO_TOKEN:
            message = f"no credentials could be fetched for {where}: {error.why}"
            return Transient(message, hint=network.AGAIN, reached=False)
        case FailureKind.UNREADABLE:
            return StoreUnavailable(f"{where} could not be asked: {error.why}", hint=network.AGAIN)
