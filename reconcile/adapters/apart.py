"""Makes calls in another process when Google's clients cannot work in this one.

That is so in a child forked after gRPC was loaded: gRPC's threads do not exist in the child, and locks that they held
stay held, so a call may never return. It is also so while the interpreter is ending: a thread may outlive the main one,
and ``atexit`` functions run after it. By then, Python 3.11 cannot import modules that register for the end of the
threads, as gRPC does through ``concurrent.futures``, and Python 3.12 and newer start no thread for an ``atexit``
function.
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

from reconcile.adapters.children import is_python
from reconcile.core.errors import StoreUnavailable, as_ours

T = TypeVar("T")

_CODE = (
    "import json, sys; sys.path[:] = json.loads(sys.stdin.buffer.readline());"
    " from reconcile.adapters.apart import serve; serve()"
)
_lacks_grpc = False


def _forked() -> None:
    global _lacks_grpc
    _lacks_grpc = _lacks_grpc or "grpc" in sys.modules


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def is_needed() -> bool:
    """Whether this process cannot do what the stores' clients need."""
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
    """Calls a function of a module in a process with the same folder, environment and search path; returns its result.

    Raises what the function raises, StoreUnavailable if the process did not answer, and OSError if no such process can
    be started.
    """
    if not is_python():
        raise OSError(f"{os.path.basename(sys.executable or '') or 'this program'} is not a Python interpreter")
    # Reads and writes without threads, which may be impossible; the other side answers once it has read everything.
    with subprocess.Popen([sys.executable, "-c", _CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        with contextlib.suppress(BrokenPipeError), child.stdin as pipe:
            pipe.write(json.dumps(sys.path).encode() + b"\n" + pickle.dumps((function, arguments)))
        output = child.stdout.read()
    try:
        answer = pickle.loads(base64.b64decode(output.rpartition(b"\n")[2], validate=True))
    except Exception as error:
        raise StoreUnavailable(f"the process that was to hand it over ended with {child.returncode}") from error
    if isinstance(answer, BaseException):
        raise answer
    return answer  # type: ignore[no-any-return]


def serve() -> None:
    """Runs the other side: makes the call that arrives on stdin and writes its result or error to stdout."""
    out = os.dup(1)
    with contextlib.suppress(OSError):
        os.dup2(2, 1)  # anything printed must not mix with the answer
    function, arguments = pickle.load(sys.stdin.buffer)
    try:
        answer = function(*arguments)
    except Exception as error:  # noqa: BLE001 - it is raised in the calling process
        answer = as_ours(error)
    with os.fdopen(out, "wb") as pipe:
        pipe.write(b"\n" + base64.b64encode(pickle.dumps(answer)))
