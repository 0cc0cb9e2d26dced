"""The log file of a scheduled job: appended to, and rotated when large, with a few older files kept."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TextIO

from reconcile.adapters.files import SHARED, replace
from reconcile.adapters.system import current
from reconcile.core.errors import UsageError

LARGE = 1024 * 1024
"""Bytes from which the next run starts a new file."""
KEPT = 9
"""The number of older files that are kept; ``nightly.log.1`` is the newest of them."""

_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def open_log(path: Path) -> TextIO:
    """Opens the log for appending in UTF-8, after rotating a large one. Raises UsageError."""
    if path.suffix != ".log":
        raise UsageError(
            f"--log-file {str(path)!r} does not end in .log",
            hint="name it so: it is appended to, and no file of your work can then be meant",
        )
    try:
        _put_aside(path)
        if path.is_symlink():
            raise OSError("it is a link")
        fd = current().open(path, _APPEND, SHARED)
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise _unwritable(path, "it is not a regular file")
    return open(fd, "a", buffering=1, encoding="utf-8", errors="backslashreplace")


def _put_aside(path: Path) -> None:
    """Rotates a large log to number 1, and each older one to the next number, up to the first free number.

    A log that another program has open on Windows is appended to instead. Number 1 then stays free, so no older log is
    lost however often this is tried.
    """
    try:
        if path.lstat().st_size < LARGE:
            return
        places = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, KEPT + 1))]
        free = next((number for number, place in enumerate(places) if not os.path.lexists(place)), KEPT)
        for number in range(free, 0, -1):
            replace(places[number - 1], places[number])
    except OSError:
        return


def _unwritable(path: Path, why: str) -> UsageError:
    return UsageError(f"--log-file {str(path)!r} cannot be written: {why}", hint="name another file")
