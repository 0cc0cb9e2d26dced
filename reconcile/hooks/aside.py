"""Work in threads of the hooks' own, for which coroutines wait: those of the event loop are the program's, and few."""

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
"""Threads aside; one more call waits for one of them."""
_GRACE = 5.0
"""Seconds that the end of the program waits for what nobody else waits for."""
_workers, _begun = Workers(MOST, "reconcile-aside"), set[Future[Any]]()


def _forked() -> None:
    """A fork has none of its parent's threads, and nothing of what they have not done yet."""
    global _workers, _begun
    _workers, _begun = Workers(MOST, "reconcile-aside"), set()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


async def aside(work: Callable[[], T]) -> T:
    """What the work gives, or raises; the event loop goes on meanwhile. A coroutine that is cancelled stops waiting at
    once, and the work goes on to its end: what a workflow made is handed over all the same."""
    import asyncio  # which takes long, and most calls are of plain functions

    try:
        asyncio.get_running_loop()
    except RuntimeError:  # it is not asyncio that drives this coroutine
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
    """Does the work, and gives the future what it gives or raises."""
    try:
        future.set_result(work())
    except Exception as error:  # noqa: BLE001 it is raised where it is waited for
        future.set_exception(error)


def _tell(done: Future[Any]) -> None:
    """Logs what went wrong when nobody waits for it any more."""
    error = done.exception()
    if error is not None:
        logging.getLogger(LOGGER).warning("%s", as_ours(error).sentence)


@atexit.register
def _see_off() -> None:
    """Lets the work of cancelled coroutines end: it notes a file, or uploads one."""
    wait(list(_begun), _GRACE)
