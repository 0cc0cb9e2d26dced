"""How a call waits for its hand-over: to the end, if it may raise or warn; with the outbox, and a thread that it can
leave behind, if it must not be kept waiting; for another process, if this one cannot do it."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future, wait

from reconcile.adapters import apart
from reconcile.core.errors import ReconcileError, SourceError, StoreUnavailable, UsageError, as_ours
from reconcile.core.events import Event, Warned
from reconcile.hooks.aside import settle
from reconcile.hooks.calls import Answer, Call
from reconcile.hooks.errors import LOGGER, QUEUE, Manner
from reconcile.hooks.handover import Handover, settings_of

_log = logging.getLogger(LOGGER)
_GLANCE = 0.2
"""Seconds between two looks for an interrupt, which Windows' Python does not hear in a longer wait."""
_WAITS = "it waits in the outbox, and the next run takes it"
_AGAIN = "call the upsert again: `reconcile apply` leaves a field that names another file as it is"
_TAKEN_UP_ALONE = "it could not be noted; `reconcile apply` takes the file, and does not know what the call knew of it"


def hand_over(call: Call, manner: Manner) -> Answer:
    """What became of the files and fields of a call. Raises ConfigError and UsageError if its project has none, or
    wrong, rules."""
    if not call.files and not call.is_upsert:
        return {}, {}
    handover = Handover(call, settings_of(manner.project, call.files))
    if call.fields and not handover.title.strip():
        key = handover.settings.entry_key
        _log.warning("the upsert for %s gives no text for %r, so no field is set", call.char_id, key)
    uris: dict[str, str] = {}
    problems: dict[str, ReconcileError] = {}
    if handover.notes or call.is_upsert:
        try:
            uris, problems = _answer(handover, manner)
        except Exception as error:  # noqa: BLE001 what is wrong with other files is to be told too
            problems = {handover.first: as_ours(error)}
    if manner.on_error != QUEUE and any(note.places for note in handover.notes.values()):
        for problem in problems.values():
            # Without a note no later run knows which file a field was given.
            if not problem.hint.endswith((_AGAIN, _WAITS)):
                problem.hint = f"{problem.hint}; then {_AGAIN}" if problem.hint else _AGAIN
    return uris, {**handover.refused, **problems}


def _answer(handover: Handover, manner: Manner) -> Answer:
    """What the hand-over gives, here or by another process. A queued one is noted first, so that nothing that happens
    later loses what the call knows; for any other, what waits in the outbox for the same fields is older than it."""
    outbox, hint, queued = handover.outbox, _WAITS, manner.on_error == QUEUE
    try:
        (outbox.add if queued else outbox.overtake)(handover.notes.values())
    except SourceError as error:  # all the more reason to try
        _log.warning("%s", error.sentence)
        hint = _TAKEN_UP_ALONE
    if apart.is_needed():
        try:
            return apart.call(hand_over, handover.call, manner)
        except OSError as error:
            outbox.add(handover.notes.values())  # whatever its manner is: nobody is left who could call again
            told = f"this process cannot do it itself, and no other could be started: {error}"
            raise StoreUnavailable(told, hint=_WAITS) from error
    if not queued:
        return handover.run(patience=manner.lock, listener=_listen)
    try:
        if hint == _WAITS and outbox.failed_within(manner.rest):
            raise StoreUnavailable("the cloud failed a moment ago")
        return _attempted(handover, manner)
    except UsageError:
        raise
    except Exception as error:
        ours = as_ours(error)
        ours.hint = hint
        raise ours from error


def _attempted(handover: Handover, manner: Manner) -> Answer:
    """The hand-over in a thread that is left behind when nothing has been heard of it for too long. It remembers
    whether the cloud could be reached, and clears the outbox behind it, also if it ends late.

    Raises what the hand-over raises, and StoreUnavailable.
    """
    outbox, halt, heard = handover.outbox, threading.Event(), time.monotonic()
    # Whoever waits for a cloud that was away a while ago waits in vain more often than not.
    doubted = outbox.failed_within(manner.memory)
    patience = min(manner.silence, manner.doubt) if doubted else manner.silence

    def listen(event: Event) -> None:
        nonlocal heard
        heard = time.monotonic()
        _listen(event)

    def work() -> Answer:
        try:
            answer = handover.run(patience=manner.lock, listener=listen, stop=halt)
        except ReconcileError as error:
            if error.transient and not halt.is_set():  # else it was this side that broke off
                outbox.failed()
            raise
        if not any(problem.transient for problem in answer[1].values()):
            outbox.mended()
        elif not halt.is_set():
            outbox.failed()
        return answer

    future: Future[Answer] = Future()
    threading.Thread(target=settle, args=(future, work), name="reconcile-hand-over", daemon=True).start()
    while not future.done():
        left = heard + patience - time.monotonic()
        if left <= 0:
            halt.set()
            if not doubted:  # else it had less time than it may need
                outbox.failed()
            raise StoreUnavailable(f"nothing was heard for {patience:g} s")
        wait([future], min(left, _GLANCE))
    return future.result()


def _listen(event: Event) -> None:
    if isinstance(event, Warned):
        _log.warning("%s", event.message)
