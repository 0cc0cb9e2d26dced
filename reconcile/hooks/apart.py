"""Work that is done in a process of its own when Google's clients cannot be used in this one.

That is so while the interpreter is ending, and in a child that was forked after gRPC was loaded: gRPC's threads are not
in the child, and what they held stays held, so a call there may never return (gRPC promises nothing after a fork).

A thread may outlive the main one, and ``atexit`` functions run after it. By then Python 3.11 lets no module be imported
that registers itself for the end of the threads, as gRPC does through ``concurrent.futures``, and Python 3.12 and newer
start no thread for an ``atexit`` function. A new process can do all of it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from reconcile.core.errors import StoreUnavailable
from reconcile.hooks.errors import as_ours

T = TypeVar("T")

_CODE = (
    "import json, sys; sys.path[:] = json.loads(sys.stdin.buffer.readline());"
    " from reconcile.hooks.apart import serve; serve()"
)
_PYTHONS = ("python", "pypy", "graalpy")


_forked_with_grpc = False


def _note_fork() -> None:
    global _forked_with_grpc
    _forked_with_grpc = _forked_with_grpc or "grpc" in sys.modules


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def is_needed() -> bool:
    """Whether this process cannot do what the clients of the stores need."""
    if _forked_with_grpc:
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
    answer = _answer(pickle.dumps((function, arguments)))
    if isinstance(answer, BaseException):
        raise answer
    return answer  # type: ignore[no-any-return]


def _answer(asked: bytes) -> Any:
    # Reads and writes without a thread: there may be none, and the other side answers when it has read everything.
    with subprocess.Popen([_python(), "-c", _CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        with contextlib.suppress(BrokenPipeError), child.stdin as pipe:
            pipe.write(json.dumps(sys.path).encode() + b"\n" + asked)
        told = child.stdout.read()
    try:
        return pickle.loads(base64.b64decode(told.rpartition(b"\n")[2], validate=True))
    except Exception as error:
        raise StoreUnavailable(f"the process that was to hand it over ended with {child.returncode}") from error


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
