"""Threads of the hooks' own, in which the work is done that coroutines wait for: those of the event loop are the
program's, and few."""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import logging
import os
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from reconcile.adapters.workers import Workers
from reconcile.core.errors import ReconcileError
from reconcile.hooks.errors import LOGGER

T = TypeVar("T")

MOST = 32
"""Threads at most; one more call waits for one of them."""
_hired: dict[int, Workers] = {}
"""The threads by process: a fork has none of its parent's."""
_begun: dict[int, set[Future[Any]]] = {}
"""What these have to do and have not done yet."""
_GRACE = 5.0
"""Seconds that the end of the program waits for it."""


async def aside(work: Callable[[], T]) -> T:
    """What the work gives, or raises; the event loop goes on meanwhile. A coroutine that is cancelled stops waiting at
    once, and the work goes on to its end: what a workflow made is handed over all the same."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # it is not asyncio that drives this coroutine
        return work()
    waiting: asyncio.Future[T] = loop.create_future()

    def told(done: Future[T]) -> None:
        try:
            loop.call_soon_threadsafe(_settle, waiting, done)
        except RuntimeError:  # the loop is closed by now
            _tell(done)

    begun = _begun.setdefault(os.getpid(), set())
    future = _hired.setdefault(os.getpid(), Workers(MOST, "reconcile-aside")).submit(_within_context(work))
    begun.add(future)
    future.add_done_callback(begun.discard)
    future.add_done_callback(told)
    return await waiting


@atexit.register
def _see_off() -> None:
    """Lets the work of cancelled coroutines end, for which nobody waits: it notes a file, or uploads one."""
    wait(list(_begun.get(os.getpid(), ())), _GRACE)


def _within_context(work: Callable[[], T]) -> Callable[[], T]:
    context = contextvars.copy_context()
    return lambda: context.run(work)


def _settle(waiting: asyncio.Future[Any], done: Future[Any]) -> None:
    if waiting.done():
        _tell(done)
        return
    error = done.exception()
    if error is not None:
        waiting.set_exception(error)
    else:
        waiting.set_result(done.result())


def _tell(done: Future[Any]) -> None:
    """Logs what went wrong when nobody waits for it any more."""
    error = done.exception()
    if error is not None:
        sentence = error.sentence if isinstance(error, ReconcileError) else f"{type(error).__name__}: {error}"
        logging.getLogger(LOGGER).warning("%s", sentence)
