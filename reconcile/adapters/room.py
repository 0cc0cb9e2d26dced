"""The room that the system leaves a process: memory and threads, when a limit keeps them short.

Google's database client ends the whole process, without a word, if it finds no room for its threads. So a process with
a limit is made to need less, and is asked for room before that client is begun.
"""

from __future__ import annotations

import errno
import mmap
import sys
import threading

NEEDED = 136 * 1024 * 1024
"""Bytes of address space that Google's database client takes, with its threads."""
SPARE = 48 * 1024 * 1024
"""Bytes that a further thread of ours must leave."""
THREADS = 8
"""Threads that Google's database client begins."""
_STACK = 1024 * 1024
_M_ARENA_MAX = -8
HINT = "raise the limit (ulimit -v, ulimit -u, the memory and pids of a container), or use a lower --concurrency"
_WORDS = ("can't start new thread", "failed to map segment", "cannot allocate memory", "can't create new thread")


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
        if not _has(NEEDED):
            return f"the limit of its memory leaves this process less than {NEEDED // 2**20} MiB"
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


def has_thread() -> bool:
    """Whether one more thread leaves room for what is not ours to begin, or to do without."""
    return not is_limited() or _has(SPARE)


def shortage(error: BaseException) -> str:
    """What the system had none left of, in words, if an exception says so; empty for every other one."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MemoryError) or (isinstance(seen, OSError) and seen.errno == errno.ENOMEM):
            return "memory"
        if isinstance(seen, RuntimeError | ImportError | OSError):
            said = str(seen).lower()
            if any(words in said for words in _WORDS):
                return "thread" if "thread" in said else "memory"
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return ""


def _has(size: int) -> bool:
    try:
        mmap.mmap(-1, size).close()
    except (OSError, MemoryError):
        return False
    return True
