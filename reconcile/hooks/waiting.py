"""How a call waits for its hand-over: to the end if it may raise or warn; by way of the outbox, in a thread that it can
leave behind, if it may not be kept waiting; in another process if this one cannot do it."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable

from reconcile.core.errors import ReconcileError, SourceError, StoreUnavailable, UsageError
from reconcile.core.events import Event, Warned
from reconcile.hooks import apart
from reconcile.hooks.calls import Call
from reconcile.hooks.errors import LOGGER, QUEUE, TAKEN_UP, Manner, NotUploaded, as_ours
from reconcile.hooks.handover import Handover, settings_of

_GLANCE = 0.2
"""Seconds between two looks for an interrupt, which Windows' Python does not hear in a longer wait."""
_WAITS = "it waits in the outbox, and the next run takes it"
_AGAIN = "call the upsert again: `reconcile apply` leaves a field that names another file as it is"
_TAKEN_UP_ALONE = "it could not be noted; `reconcile apply` takes the file, and does not know what the call knew of it"


def hand_over(call: Call, manner: Manner, wrong: UsageError | None = None) -> dict[str, str]:
    """The URIs of the files by name. ``wrong`` is what is wrong with the call apart from them: it is raised when they
    have been handed over. Raises NotUploaded, and any other ReconcileError if nothing was tried."""
    if wrong is not None:
        return _beside("what was made", wrong, lambda: hand_over(call, manner))
    if not call.files and call.asset is None:
        return {}
    handover = Handover(call, settings_of(manner.project, call.files))
    if call.fields and handover.title is None:
        key = handover.settings.entry_key
        _log().warning("the upsert for %s gives no text for %r, so no field is set", call.char_id, key)
    work = functools.partial(_queued if manner.on_error == QUEUE else _direct, handover, manner)
    return work() if handover.refused is None else _beside(*handover.refused, work)


def _beside(file: str, error: ReconcileError, work: Callable[[], dict[str, str]]) -> dict[str, str]:
    """Hands the other files over, then raises what is wrong with one; what is wrong with those too is logged."""
    uris: dict[str, str] = {}
    try:
        uris = work()
    except ReconcileError as other:
        _log().warning("%s", other.sentence)
        uris = other.uris if isinstance(other, NotUploaded) else {}
    raise NotUploaded(error, file, uris) from error


def _direct(handover: Handover, manner: Manner) -> dict[str, str]:
    try:
        # What waits in the outbox for the same fields is older than this call, whatever becomes of it.
        handover.outbox.overtake(handover.notes.values())
    except SourceError as error:
        _log().warning("%s", error.sentence)
    try:
        if apart.is_needed():
            return _apart(handover, manner)
        return handover.run(patience=manner.lock, listener=_listen)
    except ReconcileError as error:
        failure = error if isinstance(error, NotUploaded) else NotUploaded(error, handover.first, {})
        # Without a note no later run knows which file a field was given.
        if handover.call.fields and not failure.hint.endswith((_AGAIN, _WAITS)):
            failure.hint = _AGAIN if failure.hint == TAKEN_UP else f"{failure.hint}; then {_AGAIN}"
        raise failure from failure.__cause__


def _apart(handover: Handover, manner: Manner) -> dict[str, str]:
    """The hand-over by another process. If there is none the files are noted, whatever the call would do otherwise:
    nobody is left who could call again. Raises NotUploaded."""
    try:
        return apart.call(hand_over, handover.call, manner)
    except OSError as error:
        handover.outbox.add(handover.notes.values())
        told = f"this process cannot do it itself, and no other could be started: {error}"
        raise NotUploaded(StoreUnavailable(told, hint=_WAITS), handover.first, {}) from error


def _queued(handover: Handover, manner: Manner) -> dict[str, str]:
    """Notes the files first, so that nothing that happens later loses what the call knows of them."""
    outbox, hint = handover.outbox, _WAITS
    try:
        outbox.add(handover.notes.values())
    except SourceError as error:  # all the more reason to try
        _log().warning("%s", error.sentence)
        hint = _TAKEN_UP_ALONE
    if apart.is_needed():
        return _apart(handover, manner)
    if hint == _WAITS and outbox.failed_within(manner.rest):
        raise NotUploaded(StoreUnavailable("the cloud failed a moment ago", hint=hint), handover.first, {})
    # Whoever waits for a cloud that was away a while ago waits in vain more often than not.
    doubted = outbox.failed_within(manner.memory)
    attempt = _Attempt(handover, manner.lock, hint)
    try:
        attempt.start()
    except RuntimeError as error:
        none = StoreUnavailable(f"no thread can be had: {error}", hint=hint)
        raise NotUploaded(none, handover.first, {}) from error
    return attempt.result(min(manner.silence, manner.doubt) if doubted else manner.silence, doubted=doubted)


class _Attempt(threading.Thread):
    """A hand-over that nobody has to wait for to the end; also if it ends late, it clears the outbox behind it."""

    def __init__(self, handover: Handover, patience: float, hint: str) -> None:
        super().__init__(name="reconcile-hand-over", daemon=True)
        self._handover = handover
        self._patience = patience
        self._hint = hint
        self._heard = time.monotonic()
        self._over = threading.Event()
        self._halt = threading.Event()
        self._ended: dict[str, str] | Exception = StoreUnavailable("it has not ended")

    def result(self, patience: float, *, doubted: bool) -> dict[str, str]:
        """The URIs of the files; waits until nothing has been heard for ``patience`` seconds. A silence is remembered
        as a failure, but not if the cloud was ``doubted`` and had less time than it may need. Raises NotUploaded."""
        while not self._over.is_set():
            left = self._heard + patience - time.monotonic()
            if left <= 0:
                self._halt.set()
                if not doubted:
                    self._handover.outbox.failed()
                silent = StoreUnavailable(f"nothing was heard for {patience:g} s", hint=self._hint)
                raise NotUploaded(silent, self._handover.first, {})
            self._over.wait(min(left, _GLANCE))
        if isinstance(self._ended, dict):
            return self._ended
        error = as_ours(self._ended)
        if isinstance(error, NotUploaded):
            raise error from error.__cause__
        if not isinstance(error, UsageError):
            error.hint = self._hint
        raise NotUploaded(error, self._handover.first, {}) from error

    def run(self) -> None:
        try:
            self._ended = self._handover.run(patience=self._patience, listener=self._hear, stop=self._halt)
        except Exception as error:  # noqa: BLE001 it is told when the result is asked for
            self._ended = error
        try:
            self._remember()
        finally:
            self._over.set()

    def _hear(self, event: Event) -> None:
        self._heard = time.monotonic()
        _listen(event)

    def _remember(self) -> None:
        """Remembers whether the cloud could be reached."""
        outbox = self._handover.outbox
        if isinstance(self._ended, ReconcileError) and self._ended.transient:
            if not self._halt.is_set():  # else it was this side that broke off, and that is remembered already
                outbox.failed()
        elif isinstance(self._ended, dict | NotUploaded):
            outbox.mended()


def _listen(event: Event) -> None:
    if isinstance(event, Warned):
        _log().warning("%s", event.message)


def _log() -> logging.Logger:
    return logging.getLogger(LOGGER)
