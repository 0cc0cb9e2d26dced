"""How many files and connections this process may have open: what fits, and what to say when there are no more."""

from __future__ import annotations

import errno
import os
import sys

from reconcile.core.portable import chain

KEPT_FREE = 32
"""For what is open whatever is at work: the terminal, the state, the lock, the journal, the records' connection."""
EACH = 4
"""What one worker has open at most: a file, the folders on the way to it, a connection."""
HINT = "use a lower --concurrency, close other programs' files, or raise the limit, such as `ulimit -n 4096`"
_SHORTAGES = (errno.EMFILE, errno.ENFILE)


def limit() -> int | None:
    """How many files this process may have open, connections too; None if the system has no such limit."""
    most: int | None = None
    if sys.platform != "win32":
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = None if soft == resource.RLIM_INFINITY else soft
    return most


def fitting(at_once: int) -> int:
    """As many of these workers as the limit allows, one at least."""
    most = limit()
    return at_once if most is None else max(1, min(at_once, (most - KEPT_FREE) // EACH))


def is_shortage(error: BaseException) -> bool:
    """Whether file descriptors ran out, or an error came of that: it says nothing of the file or the server."""
    return any(isinstance(each, OSError) and each.errno in _SHORTAGES for each in chain(error))


def shortage(error: BaseException) -> str:
    """Which limit was met, for a sentence."""
    most = limit()
    if most is None or any(isinstance(each, OSError) and each.errno == errno.ENFILE for each in chain(error)):
        return os.strerror(errno.ENFILE)
    return f"too many open files (this process may have {most})"
