"""Work that is done elsewhere than in the thread that asks for it: aside, in a thread of the hooks' own, or apart, in
another process.

Coroutines wait for threads of the hooks' own, since those of the event loop are the program's, and few.

Another process does what Google's clients cannot do in this one. That is so in a child that was forked after gRPC was
loaded: gRPC's threads are not in the child, and what they held stays held, so a call there may never return. It is so
too while the interpreter is ending. A thread may outlive the main one, and ``atexit`` functions run after it. By then
Python 3.11 lets no module be imported that registers itself for the end of the threads, as gRPC does through
``concurrent.futures``, and Python 3.12 and newer start no thread for an ``atexit`` function.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import contextvars
import json
import logging
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, TypeVar

from reconcile.adapters.workers import Workers
from reconcile.core.errors import StoreUnavailable, as_ours
from reconcile.hooks.errors import LOGGER

T = TypeVar("T")

MOST = 32
"""Threads aside; one more call waits for one of them."""
_GRACE = 5.0
"""Seconds that the end of the program waits for what nobody else waits for."""
_PYTHONS = ("python", "pypy", "graalpy")
_CODE = (
    "import json, sys; sys.path[:] = json.loads(sys.stdin.buffer.readline());"
    " from reconcile.hooks.apart import serve; serve()"
)


_workers, _begun, _lacks_grpc = Workers(MOST, "reconcile-aside"), set[Future[Any]](), False


def _forked() -> None:
    """A fork has none of its parent's threads, and nothing of what they have not done yet."""
    global _workers, _begun, _lacks_grpc
    _workers, _begun = Workers(MOST, "reconcile-aside"), set()
    _lacks_grpc = _lacks_grpc or "grpc" in sys.modules


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


# -- in a thread --


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


# -- in a process --


def is_needed() -> bool:
    """Whether this process cannot do what the clients of the stores need."""
    if _lacks_grpc:
        return True
    try:
        import concurrent.futures.thread  # noqa: F401

        if not threading.main_thread().is_alive():
            thread = threading.Thread(target=int)
            thread.start()
            thread.join()
    except RuntimeError:
        return True
    return False


def call(function: Callable[..., T], *arguments: Any) -> T:
    """What the function of a module gives, or raises, in a process with this one's folder, environment and search path.

    Raises StoreUnavailable if it did not answer, and OSError if no such process can be started.
    """
    # Reads and writes without a thread: there may be none, and the other side answers when it has read everything.
    with subprocess.Popen([_python(), "-c", _CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        with contextlib.suppress(BrokenPipeError), child.stdin as pipe:
            pipe.write(json.dumps(sys.path).encode() + b"\n" + pickle.dumps((function, arguments)))
        told = child.stdout.read()
    try:
        answer = pickle.loads(base64.b64decode(told.rpartition(b"\n")[2], validate=True))
    except Exception as error:
        raise StoreUnavailable(f"the process that was to hand it over ended with {child.returncode}") from error
    if isinstance(answer, BaseException):
        raise answer
    return answer  # type: ignore[no-any-return]


def _python() -> str:
    """This interpreter's program. Raises OSError if that is another program with Python inside."""
    name = os.path.basename(sys.executable or "").lower()
    if getattr(sys, "frozen", False) or not name.startswith(_PYTHONS):
        raise OSError(f"{name or 'this program'} is not a Python interpreter")
    return sys.executable


def serve() -> None:
    """The other side: makes the one call that comes on stdin, and writes what became of it to stdout."""
    out = os.dup(1)
    with contextlib.suppress(OSError):
        os.dup2(2, 1)  # what anybody prints is not the answer
    function, arguments = pickle.load(sys.stdin.buffer)
    try:
        answer = function(*arguments)
    except Exception as error:  # noqa: BLE001 it is raised on the side that asked
        answer = as_ours(error)
    with os.fdopen(out, "wb") as pipe:
        pipe.write(b"\n" + base64.b64encode(pickle.dumps(answer)))
