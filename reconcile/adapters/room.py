"""The memory and the threads that the system leaves a process, if a limit keeps them short.

Google's database client ends the whole process, without a word, if it finds no room for its threads. So a process with
a limit is made to need less, and is asked for room before that client is begun.

An import that runs out of memory raises one of many errors, and leaves modules half made, over which the next import
stumbles in another way. So room is looked at before Google's clients are imported, and if their import fails for want
of memory, there is no second one.
"""

from __future__ import annotations

import errno
import mmap
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from reconcile.core.errors import ReconcileError, StoreUnavailable

NEEDED = 136 * 1024 * 1024
"""Bytes of address space that Google's database client takes, with its threads."""
IMPORT = 64 * 1024 * 1024
"""Bytes that the import of Google's clients takes, and a first request by them."""
SPARE = 72 * 1024 * 1024
"""Bytes that a further thread of ours must leave: those of the import, which comes after it, and some more."""
_BEGIN = 32 * 1024 * 1024
"""Bytes without which no command comes to anything: some libraries end the process if their import finds no memory."""
_LITTLE = 16 * 1024 * 1024
"""Bytes below which an error that nobody foresaw is taken for a want of memory."""
_RESERVE = 6 * 1024 * 1024
"""Bytes that are kept to tell an error with."""
THREADS = 8
"""Threads that Google's database client begins."""
_STACK = 1024 * 1024
_M_ARENA_MAX = -8
HINT = "raise the limit (ulimit -v, ulimit -u, the memory and pids of a container), or use a lower --concurrency"
_NO_MEMORY = "the system has no memory left for this process"
_WORDS = ("can't start new thread", "failed to map segment", "cannot allocate memory", "can't create new thread")
_kept: list[mmap.mmap] = []
_imported: set[str] = set()
_given_up: list[str] = []
"""Why Google's clients are not imported any more in this process; empty as long as they may be."""


def is_limited() -> bool:
    """Whether the address space of this process has a limit."""
    limited = False
    if sys.platform != "win32":
        import resource

        limited = resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
    return limited


def need_less() -> None:
    """Under a limit of address space: no arena of memory and no large stack for each thread, which are reserved and
    hardly ever used, but count."""
    if not is_limited():
        return
    threading.stack_size(_STACK)
    if sys.platform == "linux":
        import ctypes

        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, 1)


def lacks() -> str:
    """What there is too little of for Google's database client, as the end of a sentence; empty if there is room."""
    if is_limited():
        need_less()
        if lacking := _lacks_memory(NEEDED):
            return lacking
    if not threading.main_thread().is_alive():  # at the end of a program none can be begun, and none is needed
        return ""
    over = threading.Event()
    begun: list[threading.Thread] = []
    try:
        for _ in range(THREADS):
            thread = threading.Thread(target=over.wait, name="room", daemon=True)
            thread.start()
            begun.append(thread)
    except RuntimeError:
        return f"the system gives this process {len(begun)} more threads, of {THREADS}"
    finally:
        over.set()
        for thread in begun:
            thread.join()
    return ""


@contextmanager
def importing(client: str, where: str) -> Iterator[None]:
    """Around the imports of one of Google's clients, of any name, for a store. Raises StoreUnavailable if there is no
    room for them, or was none before."""
    lacking = "" if client in _imported or not is_limited() else _lacks_memory(IMPORT)
    if _given_up or lacking:
        raise StoreUnavailable(f"{where} cannot be asked: {(*_given_up, lacking)[0]}", hint=HINT)
    try:
        yield
    except Exception as error:
        # Other threads may have taken the room since it was looked at, and may have given it back by now.
        if not shortage(error) and (not is_limited() or _has(2 * IMPORT)):
            raise
        _given_up.append(_NO_MEMORY)
        raise StoreUnavailable(f"{where} cannot be asked: {_NO_MEMORY}", hint=HINT) from error
    _imported.add(client)


def can_begin() -> bool:
    """Whether there is memory enough to import what a command needs."""
    return not is_limited() or _has(_BEGIN)


def keep() -> None:
    """Under a limit of address space: takes what an error is told with, until ``let_go``."""
    if is_limited() and not _kept and _has(_LITTLE):
        _kept.append(mmap.mmap(-1, _RESERVE))


def let_go() -> None:
    """Gives back what was kept."""
    while _kept:
        _kept.pop().close()


def has_thread(*, first: bool = False) -> bool:
    """Whether one more thread leaves room for what is not ours to begin, or to do without; the ``first`` of its kind
    need only be able to begin. One that finds no memory while it begins is waited for without end: so does Python."""
    return not is_limited() or _has(_LITTLE if first else SPARE)


def shortage(error: BaseException) -> str:
    """What the system had none left of, in words, if an exception says so, or if next to no memory is left below a
    limit; empty for every other one."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MemoryError) or (isinstance(seen, OSError) and seen.errno == errno.ENOMEM):
            return "memory"
        if isinstance(seen, RuntimeError | ImportError | OSError):
            said = str(seen).lower()
            if any(words in said for words in _WORDS):
                return "thread" if "thread" in said else "memory"
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "memory" if is_limited() and not _has(_LITTLE) else ""


def no_room(error: BaseException) -> ReconcileError | None:
    """The error of ours that tells of such an exception; None for every other one."""
    lacking = shortage(error)
    if not lacking:
        return None
    told = ReconcileError(f"the system has no {lacking} left for this process", hint=HINT)
    told.code = "no_room"
    told.__cause__ = error
    return told


def _lacks_memory(size: int) -> str:
    return "" if _has(size) else f"the limit of its memory leaves this process less than {size // 2**20} MiB"


def _has(size: int) -> bool:
    try:
        mmap.mmap(-1, size).close()
    except (OSError, MemoryError):
        return False
    return True
