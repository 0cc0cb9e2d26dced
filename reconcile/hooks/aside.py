"""Threads of the hooks' own for the work of coroutines. Those of the event loop are few, and belong to the program."""

from __future__ import annotations

import atexit
import contextvars
import logging
import os
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, TypeVar

from reconcile.adapters.workers import Workers
from reconcile.core.errors import as_ours
from reconcile.hooks.errors import LOGGER

T = TypeVar("T")

MOST = 32
"""The most threads. A further call waits for one of them."""
_GRACE = 5.0
"""Seconds for which the end of the program waits for work that nobody else waits for."""
_workers, _begun = Workers(MOST, "reconcile-aside"), set[Future[Any]]()


def _forked() -> None:
    """Starts afresh in a fork, which has neither the threads of its parent nor their unfinished work."""
    global _workers, _begun
    _workers, _begun = Workers(MOST, "reconcile-aside"), set()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


async def aside(work: Callable[[], T]) -> T:
    """Does the work in a thread, while the event loop goes on, and returns or raises what it does. A coroutine that is
    cancelled stops waiting at once; the work still goes on to its end, because what a workflow made is to be
    uploaded."""
    import asyncio  # slow to import, and most calls are of plain functions

    try:
        asyncio.get_running_loop()
    except RuntimeError:  # something other than asyncio drives this coroutine
        return work()
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # from now on nobody can cancel it
    _begun.add(future)
    future.add_done_callback(_begun.discard)
    _workers.submit(partial(contextvars.copy_context().run, settle, future, work))
    try:
        return await asyncio.wrap_future(future)
    except (asyncio.CancelledError, GeneratorExit):
        future.add_done_callback(_tell)
        raise


def settle(future: Future[T], work: Callable[[], T]) -> None:
    """Does the work, and sets the future to what it returns or raises."""
    try:
        future.set_result(work())
    except Exception as error:  # noqa: BLE001 it is raised where the future is waited for
        future.set_exception(error)


def _tell(done: Future[Any]) -> None:
    """Logs an error for which nobody waits any more."""
    error = done.exception()
    if error is not None:
        logging.getLogger(LOGGER).warning("%s", as_ours(error).sentence)


@atexit.register
def _see_off() -> None:
    """Lets the work of cancelled coroutines finish, which notes or uploads files."""
    wait(list(_begun), _GRACE)
