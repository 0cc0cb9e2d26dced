"""The limit of open files and connections: how many workers it allows, and what to say when it is reached."""

from __future__ import annotations

import errno
import os
import sys

from reconcile.core.portable import chain

KEPT_FREE = 32
"""Descriptors that are always needed: terminal, state, lock, journal, the connection to the records."""
EACH = 4
"""Descriptors that one worker uses at most: a file, the folders above it, a connection."""
HINT = "use a lower --concurrency, close other programs' files, or raise the limit, such as `ulimit -n 4096`"
_SHORTAGES = (errno.EMFILE, errno.ENFILE)


def limit() -> int | None:
    """Returns how many files and connections this process may have open; None if unlimited."""
    most: int | None = None
    if sys.platform != "win32":
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = None if soft == resource.RLIM_INFINITY else soft
    return most


def fitting(at_once: int) -> int:
    """Returns how many of these workers the limit allows; at least one."""
    most = limit()
    return at_once if most is None else max(1, min(at_once, (most - KEPT_FREE) // EACH))


def is_shortage(error: BaseException) -> bool:
    """Whether an error, or a cause of it, is a lack of file descriptors, which says nothing about the file or
    server."""
    return any(isinstance(each, OSError) and each.errno in _SHORTAGES for each in chain(error))


def shortage(error: BaseException) -> str:
    """Returns which limit was reached, for a sentence."""
    most = limit()
    if most is None or any(isinstance(each, OSError) and each.errno == errno.ENFILE for each in chain(error)):
        return os.strerror(errno.ENFILE)
    return f"too many open files (this process may have {most})"
