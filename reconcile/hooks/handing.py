"""One hand-over: at once where the call may raise or warn; by way of the outbox where it may not be kept waiting."""

from __future__ import annotations

import logging
import threading
import time

from reconcile.adapters.outbox import Outbox
from reconcile.core.errors import PreconditionFailed, ReconcileError, StoreError, StoreUnavailable, UsageError
from reconcile.core.events import Event, Warned
from reconcile.core.notes import Note
from reconcile.hooks.delivery import Delivery, Order, deliver, narrowed, notes_of, open_project
from reconcile.hooks.failure import NotUploaded
from reconcile.hooks.manner import LOGGER, QUEUE, Manner
from reconcile.project import Project

_WAITS = "it waits in the outbox, and the next run takes it"


def hand_over(order: Order, manner: Manner) -> dict[str, str]:
    """The URIs of the files by name. Raises NotUploaded, and any other ReconcileError where nothing was tried."""
    if not order.files and order.asset is None:
        return {}
    with open_project(manner.project, order.files) as project:
        order = narrowed(project, order)
        if manner.on_error == QUEUE:
            return _queued(project, order, manner)
        try:
            delivery = deliver(project, order, patience=manner.lock, listener=_listen)
        except ReconcileError as error:
            raise NotUploaded(error, _first(order), {}) from error
    return _judged(delivery)


def _judged(delivery: Delivery) -> dict[str, str]:
    logger = logging.getLogger(LOGGER)
    for finding in delivery.findings:
        logger.info("%s: %s", finding.subject, finding.message)
    if delivery.problem is None:
        return delivery.uris
    file, error = delivery.problem
    raise NotUploaded(error, file, delivery.uris) from error


def _listen(event: Event) -> None:
    if isinstance(event, Warned):
        logging.getLogger(LOGGER).warning("%s", event.message)


def _first(order: Order) -> str:
    return order.files[0] if order.files else f"what belongs to {order.char_id}"


# -- by way of the outbox --


def _queued(project: Project, order: Order, manner: Manner) -> dict[str, str]:
    """Notes the files first, so that nothing that happens later loses what the call knows of them."""
    notes = notes_of(project, order)
    outbox = project.outbox
    outbox.add(notes)
    if outbox.failed_within(manner.rest):
        raise NotUploaded(StoreUnavailable("the cloud failed a moment ago", hint=_WAITS), _first(order), {})
    # Whoever waits for a cloud that was away a while ago waits in vain more often than not.
    patience = min(manner.silence, manner.doubt) if outbox.has_failed else manner.silence
    attempt = _Attempt(order, notes, outbox, manner)
    attempt.start()
    return attempt.result(patience)


class _Attempt(threading.Thread):
    """A hand-over that nobody has to wait for to the end; also when it comes late, it clears the outbox behind it."""

    def __init__(self, order: Order, notes: tuple[Note, ...], outbox: Outbox, manner: Manner) -> None:
        super().__init__(name="reconcile-hand-over", daemon=True)
        self._order = order
        self._notes = notes
        self._outbox = outbox
        self._manner = manner
        self._heard = time.monotonic()
        self._over = threading.Event()
        self._halt = threading.Event()
        self._delivery: Delivery | None = None
        self._error: Exception | None = None

    def result(self, patience: float) -> dict[str, str]:
        """The URIs of the files; waits as long as something is heard every so many seconds. Raises NotUploaded."""
        while not self._over.is_set():
            left = self._heard + patience - time.monotonic()
            if left <= 0:
                self._halt.set()
                self._outbox.failed()
                silent = StoreUnavailable(f"nothing was heard for {patience:g} s", hint=_WAITS)
                raise NotUploaded(silent, _first(self._order), {})
            self._over.wait(left)
        if self._delivery is not None:
            return _judged(self._delivery)
        error = self._error
        told = error if isinstance(error, ReconcileError) else ReconcileError(f"{type(error).__name__}: {error}")
        told = type(told)(told.message, hint=told.hint if _is_permanent(told) else _WAITS)
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
        if _is_permanent(error) or (self._delivery is not None and self._delivery.settled):
            self._outbox.remove(self._notes)
        if isinstance(error, StoreError) and not isinstance(error, PreconditionFailed):
            self._outbox.failed()
        elif error is None:
            self._outbox.mended()


def _is_permanent(error: Exception | None) -> bool:
    """Whether a note would do no good: the call and the rules contradict each other."""
    return isinstance(error, UsageError)
