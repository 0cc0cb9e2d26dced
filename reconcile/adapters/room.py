"""Checks for memory and threads before they are needed, in a process with tight limits.

Google's database client ends the whole process without a message if it gets no memory or thread. So a process with a
limit is made to need less, and room is checked before that client is started. An import that runs out of memory raises
one of many errors and leaves half-initialized modules, on which the next import fails differently. So room is checked
before Google's clients are imported, and an import that failed for lack of memory is not tried again.
"""

from __future__ import annotations

import errno
import mmap
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from reconcile.core.errors import ReconcileError, StoreUnavailable
from reconcile.core.portable import chain

NEEDED = 136 * 1024 * 1024
"""Bytes of address space that Google's database client uses, with its threads."""
IMPORT = 64 * 1024 * 1024
"""Bytes that importing Google's clients takes, with a first request."""
SPARE = 72 * 1024 * 1024
"""Bytes that must be left after another thread of ours: those of the import, which comes later, and some more."""
_BEGIN = 32 * 1024 * 1024
"""Bytes without which no command can work: some libraries end the process if importing them finds no memory."""
_LITTLE = 16 * 1024 * 1024
"""Bytes below which an unforeseen error counts as a lack of memory."""
_RESERVE = 6 * 1024 * 1024
"""Bytes that are reserved for reporting an error."""
THREADS = 8
"""Threads that Google's database client starts."""
_STACK = 1024 * 1024
_M_ARENA_MAX = -8
HINT = "raise the limit (ulimit -v, ulimit -u, the memory and pids of a container), or use a lower --concurrency"
_NO_MEMORY = "the system has no memory left for this process"
_WORDS = ("can't start new thread", "failed to map segment", "cannot allocate memory", "can't create new thread")
_kept: list[mmap.mmap] = []
_imported: set[str] = set()
_given_up: list[str] = []
"""Why Google's clients are no longer imported in this process; empty as long as they may be."""


def is_limited() -> bool:
    """Whether the address space of this process is limited."""
    limited = False
    if sys.platform != "win32":
        import resource

        limited = resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
    return limited


def need_less() -> None:
    """If address space is limited, gives threads small stacks and no memory arenas, which would count although barely
    used."""
    if not is_limited():
        return
    threading.stack_size(_STACK)
    if sys.platform == "linux":
        import ctypes

        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, 1)


def lacks() -> str:
    """Returns what is missing for Google's database client, as the end of a sentence; empty if there is room."""
    if is_limited():
        need_less()
        if lacking := _lacks_memory(NEEDED):
            return lacking
    if not threading.main_thread().is_alive():  # at the end of a program no thread can start, and none is needed
        return ""
    over = threading.Event()
    begun: list[threading.Thread] = []
    try:
        for _ in range(THREADS):
            thread = threading.Thread(target=over.wait, name="room", daemon=True)
            thread.start()
            begun.append(thread)
    except RuntimeError:
        return f"the system allows this process {len(begun)} more threads, of {THREADS}"
    finally:
        over.set()
        for thread in begun:
            thread.join()
    return ""


@contextmanager
def importing(client: str, where: str) -> Iterator[None]:
    """Guards the imports of one of Google's clients; ``client`` is any name for it.

    Raises StoreUnavailable if there is no room for them, or was none before.
    """
    lacking = "" if client in _imported or not is_limited() else _lacks_memory(IMPORT)
    if _given_up or lacking:
        raise StoreUnavailable(f"{where} cannot be asked: {(*_given_up, lacking)[0]}", hint=HINT)
    try:
        yield
    except Exception as error:
        # Other threads may have used the room since it was checked, and freed it by now.
        if not shortage(error) and (not is_limited() or _has(2 * IMPORT)):
            raise
        _given_up.append(_NO_MEMORY)
        raise StoreUnavailable(f"{where} cannot be asked: {_NO_MEMORY}", hint=HINT) from error
    _imported.add(client)


def can_begin() -> bool:
    """Whether there is enough memory to import what a command needs."""
    return not is_limited() or _has(_BEGIN)


def keep() -> None:
    """If address space is limited, reserves memory for reporting an error until ``let_go``."""
    if is_limited() and not _kept and _has(_LITTLE):
        _kept.append(mmap.mmap(-1, _RESERVE))


def let_go() -> None:
    """Frees the memory that ``keep`` reserved."""
    while _kept:
        _kept.pop().close()


def started(thread: threading.Thread, *, first: bool = False) -> bool:
    """Starts a thread if that leaves enough memory for the libraries, whose needs we cannot change; returns whether it
    runs.

    The ``first`` of its kind needs only enough to start. Python waits forever for a thread that finds no memory while
    it starts.
    """
    with suppress(RuntimeError):  # a limit of the system, or an interpreter that is ending
        if not is_limited() or _has(_LITTLE if first else SPARE):
            thread.start()
    return thread.ident is not None


def shortage(error: BaseException) -> str:
    """Returns ``memory`` or ``thread`` if an exception says that the system had none left; else empty.

    Also ``memory`` if next to none is left below a limit.
    """
    for each in chain(error):
        if isinstance(each, MemoryError) or (isinstance(each, OSError) and each.errno == errno.ENOMEM):
            return "memory"
        if isinstance(each, RuntimeError | ImportError | OSError):
            said = str(each).lower()
            if any(words in said for words in _WORDS):
                return "thread" if "thread" in said else "memory"
    return "memory" if is_limited() and not _has(_LITTLE) else ""


def no_room(error: BaseException) -> ReconcileError | None:
    """Returns our error for an exception that ``shortage`` recognizes; None for any other."""
    lacking = shortage(error)
    if not lacking:
        return None
    ours = ReconcileError(f"the system has no {lacking} left for this process", hint=HINT)
    ours.code = "no_room"
    ours.__cause__ = error
    return ours


def _lacks_memory(size: int) -> str:
    return "" if _has(size) else f"the limit of its memory leaves this process less than {size // 2**20} MiB"


def _has(size: int) -> bool:
    try:
        mmap.mmap(-1, size).close()
    except (OSError, MemoryError):
        return False
    return True
