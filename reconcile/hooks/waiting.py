"""How a call waits for its hand-over.

A call that may raise or warn waits to the end. One that must not wait long notes its files in the outbox, and leaves
the thread of the hand-over behind if it takes too long. If this process cannot do the work, another one does.
"""

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
from reconcile.hooks.errors import LOGGER, QUEUE, HookOptions
from reconcile.hooks.handover import Handover, settings_of

_log = logging.getLogger(LOGGER)
_GLANCE = 0.2
"""Seconds between two checks for an interrupt, which Python on Windows does not notice during a longer wait."""
_WAITS = "it waits in the outbox, and the next run takes it"
_AGAIN = "call the upsert again: `reconcile apply` leaves a field that names another file as it is"
_TAKEN_UP_ALONE = (
    "it could not be noted; `reconcile apply` uploads the file, but does not know what the call knew about it"
)


def hand_over(call: Call, options: HookOptions) -> Answer:
    """Hands over the files and fields of a call, and returns the result. Raises ConfigError and UsageError if there is
    no project for it, or its rules are invalid."""
    if not call.files and not call.is_upsert:
        return {}, call.wrong
    handover = Handover(call, settings_of(options.project, call.files))
    if call.fields and not handover.title.strip():
        key = handover.settings.entries.key
        _log.warning("the upsert for %s gives no text for %r, so no field is set", call.char_id, key)
    uris: dict[str, str] = {}
    problems: dict[str, ReconcileError] = {}
    if handover.notes or call.is_upsert:
        try:
            uris, problems = _answer(handover, options)
        except Exception as error:  # noqa: BLE001 the errors about other files are to be reported, too
            problems = {handover.first: as_ours(error)}
    if options.on_error != QUEUE and any(note.places for note in handover.notes.values()):
        for problem in problems.values():
            # Without a note no later run knows which file a field is to get.
            if not problem.hint.endswith((_AGAIN, _WAITS)):
                problem.hint = f"{problem.hint}; then {_AGAIN}" if problem.hint else _AGAIN
    return uris, {**handover.refused, **problems}


def _answer(handover: Handover, options: HookOptions) -> Answer:
    """Does the hand-over, here or in another process, and returns its answer. With ``queue`` it is noted first, so that
    what the call knows is not lost whatever happens; otherwise its fields are removed from older notes."""
    outbox, hint, queued = handover.outbox, _WAITS, options.on_error == QUEUE
    try:
        (outbox.add if queued else outbox.overtake)(handover.notes.values())
    except SourceError as error:  # all the more reason to try
        _log.warning("%s", error.sentence)
        hint = _TAKEN_UP_ALONE
    if apart.is_needed():
        try:
            # What the call has been read by stays here: a function may not be picklable.
            return apart.call(hand_over, handover.call, HookOptions(options.name, options.on_error, options.project))
        except OSError as error:
            outbox.add(handover.notes.values())  # whatever ``on_error`` is, because nobody may call again
            told = f"this process cannot do it itself, and no other could be started: {error}"
            raise StoreUnavailable(told, hint=_WAITS) from error
    if not queued:
        return handover.run(patience=options.lock, listener=_listen)
    try:
        if hint == _WAITS and outbox.failed_within(options.rest):
            raise StoreUnavailable("the cloud failed a moment ago")
        return _attempted(handover, options)
    except Exception as error:  # noqa: BLE001 the caller tells whatever it is
        ours = as_ours(error)
        ours.hint = ours.hint if isinstance(ours, UsageError) else hint
        return {}, {handover.first: ours}


def _attempted(handover: Handover, options: HookOptions) -> Answer:
    """Does the hand-over in a thread that is left behind if nothing is heard from it for too long. Even if it ends
    late, the thread notes whether the cloud could be reached, and removes the notes that are done.

    Raises what the hand-over raises, and StoreUnavailable.
    """
    outbox, halt, heard = handover.outbox, threading.Event(), time.monotonic()
    # If the cloud was away a while ago, it probably still is.
    doubted = outbox.failed_within(options.memory)
    patience = min(options.silence, options.doubt) if doubted else options.silence

    def listen(event: Event) -> None:
        nonlocal heard
        heard = time.monotonic()
        _listen(event)

    def work() -> Answer:
        try:
            answer = handover.run(patience=options.lock, listener=listen, stop=halt)
        except ReconcileError as error:
            if error.transient and not halt.is_set():  # else this side broke off
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
            if not doubted:  # else it may just have had too little time
                outbox.failed()
            raise StoreUnavailable(f"nothing was heard for {patience:g} s")
        wait([future], min(left, _GLANCE))
    return future.result()


def _listen(event: Event) -> None:
    if isinstance(event, Warned):
        _log.warning("%s", event.message)
