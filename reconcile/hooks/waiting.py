"""One hand-over: at once where the call may raise or warn; by way of the outbox where it may not be kept waiting."""

from __future__ import annotations

import logging
import threading
import time

import msgspec

from reconcile.adapters.outbox import Outbox
from reconcile.core.errors import (
    ReconcileError,
    SourceError,
    StoreUnavailable,
    UsageError,
)
from reconcile.core.events import Event, Warned
from reconcile.core.notes import Note
from reconcile.hooks import apart
from reconcile.hooks.errors import LOGGER, QUEUE, TAKEN_UP, Manner, NotUploaded
from reconcile.hooks.handover import Delivery, Order, deliver, narrowed, notes_of, open_project, title_of
from reconcile.project import Project

_WAITS = "it waits in the outbox, and the next run takes it"
_TAKEN_UP_ALONE = "it could not be noted; `reconcile apply` takes the file, and does not know what the call knew of it"


def hand_over(order: Order, manner: Manner, wrong: UsageError | None = None) -> dict[str, str]:
    """The URIs of the files by name. ``wrong`` is what is wrong with the call apart from them, and told when they were
    handed over. Raises NotUploaded, and any other ReconcileError where nothing was tried."""
    if wrong is not None:
        return _handed_over_beside(order, manner, wrong)
    if not order.files and order.asset is None:
        return {}
    with open_project(manner.project, order.files) as project:
        named, (order, problem) = order.named, narrowed(project, order)
        if named and title_of(project, order) is None:
            _log().warning(
                "the upsert for %s gives no text for %r, so no field is set", order.char_id, project.settings.entry_key
            )
        if problem is None:
            return _delivered(project, order, manner)
        file, error = problem
        try:
            uris = _delivered(project, order, manner)
        except NotUploaded as other:
            _log().warning("%s", other.sentence)
            uris = other.uris
    raise NotUploaded(error, file, uris) from error


def _handed_over_beside(order: Order, manner: Manner, wrong: UsageError) -> dict[str, str]:
    uris: dict[str, str] = {}
    try:
        uris = hand_over(order, manner)
    except ReconcileError as error:
        _log().warning("%s", error.sentence)
        uris = error.uris if isinstance(error, NotUploaded) else {}
    raise NotUploaded(wrong, "what was made", uris) from wrong


def _delivered(project: Project, order: Order, manner: Manner) -> dict[str, str]:
    if manner.on_error == QUEUE:
        return _queued(project, order, manner)
    _overtake(project, order)
    try:
        if apart.is_ending():
            return _apart(project, order, manner)
        return _judged(deliver(project, order, patience=manner.lock, listener=_listen))
    except NotUploaded as error:
        raise _again(error, order) from error.__cause__
    except ReconcileError as error:
        raise _again(NotUploaded(error, _first(order), {}), order) from error


def _overtake(project: Project, order: Order) -> None:
    """What waits in the outbox for the same fields is older than this call, whatever becomes of it."""
    try:
        project.outbox.overtake(notes_of(project, order))
    except SourceError as error:
        _log().warning("%s", error.sentence)


def _again(error: NotUploaded, order: Order) -> NotUploaded:
    """The error, of an upsert with what to do besides: no later run knows which file a field was given."""
    if order.named:
        mend = "" if error.hint == TAKEN_UP else f"{error.hint}; then "
        error.hint = f"{mend}call the upsert again: `reconcile apply` leaves a field that names another file as it is"
    return error


def _log() -> logging.Logger:
    return logging.getLogger(LOGGER)


def _judged(delivery: Delivery) -> dict[str, str]:
    for finding in delivery.findings:
        _log().info("%s: %s", finding.subject, finding.message)
    if delivery.problem is None:
        return delivery.uris
    file, error = delivery.problem
    raise NotUploaded(error, file, delivery.uris) from error


def _listen(event: Event) -> None:
    if isinstance(event, Warned):
        _log().warning("%s", event.message)


def _first(order: Order) -> str:
    return order.files[0] if order.files else f"what belongs to {order.char_id}"


# -- by way of the outbox --


def _queued(project: Project, order: Order, manner: Manner) -> dict[str, str]:
    """Notes the files first, so that nothing that happens later loses what the call knows of them."""
    notes = notes_of(project, order)
    outbox = project.outbox
    hint = _WAITS
    try:
        outbox.add(notes)
    except SourceError as error:  # all the more reason to try
        _log().warning("%s", error.sentence)
        hint = _TAKEN_UP_ALONE
    if apart.is_ending():
        return _apart(project, order, manner)
    if hint == _WAITS and outbox.failed_within(manner.rest):
        raise NotUploaded(StoreUnavailable("the cloud failed a moment ago", hint=hint), _first(order), {})
    # Whoever waits for a cloud that was away a while ago waits in vain more often than not.
    doubted = outbox.failed_within(manner.memory)
    attempt = _Attempt(order, notes, outbox, manner, hint)
    try:
        attempt.start()
    except RuntimeError as error:
        raise NotUploaded(StoreUnavailable(f"no thread can be had: {error}", hint=hint), _first(order), {}) from error
    return attempt.result(min(manner.silence, manner.doubt) if doubted else manner.silence, doubted=doubted)


def _apart(project: Project, order: Order, manner: Manner) -> dict[str, str]:
    """The hand-over by another process. Where there is none the files are noted, whatever the call would do otherwise:
    nobody is left who could call again. Raises NotUploaded, and StoreUnavailable."""
    # Of the map that was upserted a hand-over reads its title alone, and the rest need not go through pickle.
    asset = None if order.asset is None else {name: held for name, held in order.asset.items() if type(held) is str}
    try:
        return apart.call(hand_over, msgspec.structs.replace(order, asset=asset), manner)
    except OSError as error:
        project.outbox.add(notes_of(project, order))
        told = f"the interpreter is ending, and no process could be started: {error}"
        raise StoreUnavailable(told, hint=_WAITS) from error


class _Attempt(threading.Thread):
    """A hand-over that nobody has to wait for to the end; also when it comes late, it clears the outbox behind it."""

    def __init__(self, order: Order, notes: tuple[Note, ...], outbox: Outbox, manner: Manner, hint: str) -> None:
        super().__init__(name="reconcile-hand-over", daemon=True)
        self._order = order
        self._notes = notes
        self._outbox = outbox
        self._manner = manner
        self._hint = hint
        self._heard = time.monotonic()
        self._over = threading.Event()
        self._halt = threading.Event()
        self._delivery: Delivery | None = None
        self._error: Exception | None = None

    def result(self, patience: float, *, doubted: bool) -> dict[str, str]:
        """The URIs of the files; waits as long as something is heard every so many seconds. A silence is remembered as
        a failure, but not where the cloud was ``doubted`` and had less time than it may need. Raises NotUploaded."""
        while not self._over.is_set():
            left = self._heard + patience - time.monotonic()
            if left <= 0:
                self._halt.set()
                if not doubted:
                    self._outbox.failed()
                silent = StoreUnavailable(f"nothing was heard for {patience:g} s", hint=self._hint)
                raise NotUploaded(silent, _first(self._order), {})
            self._over.wait(left)
        if self._delivery is not None:
            return _judged(self._delivery)
        error = self._error
        told = error if isinstance(error, ReconcileError) else ReconcileError(f"{type(error).__name__}: {error}")
        told = type(told)(told.message, hint=told.hint if _is_permanent(told) else self._hint)
        raise NotUploaded(told, _first(self._order), {}) from error

    def run(self) -> None:
        try:
            with open_project(self._manner.project, self._order.files) as project:
                self._delivery = deliver(
                    project, self._order, patience=self._manner.lock, listener=self._hear, stop=self._halt
                )
            self._note(None if self._delivery.problem is None else self._delivery.problem[1])
        except Exception as error:  # noqa: BLE001 it is told where the result is asked for
            self._error = error
            self._note(error)
        finally:
            self._over.set()

    def _hear(self, event: Event) -> None:
        self._heard = time.monotonic()
        _listen(event)

    def _note(self, error: Exception | None) -> None:
        delivery = self._delivery
        if delivery is None:
            self._outbox.remove(self._notes if _is_permanent(error) else ())
        else:
            self._outbox.remove(self._notes if delivery.settled else delivery.refused)
        if isinstance(error, ReconcileError) and error.transient:
            if not self._halt.is_set():  # else it was this side that broke off, and that is remembered already
                self._outbox.failed()
        elif delivery is not None:
            self._outbox.mended()


def _is_permanent(error: Exception | None) -> bool:
    """Whether a note would do no good: the call and the rules contradict each other."""
    return isinstance(error, UsageError)
