"""Linux's step that gives two files each other's names."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

_NO_SUCH_STEP = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


def exchange(one: Path, other: Path) -> bool:
    """Gives two files each other's names. False, with nothing changed, if the system or the drive has no such step.
    Raises OSError."""
    number = errno.ENOSYS
    if sys.platform == "linux":
        import ctypes

        rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
        if rename is not None:
            here, exchanging = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
            # Python itself tells of every rename; whoever listens hears of this one too.
            sys.audit("os.rename", os.fspath(one), os.fspath(other), -1, -1)
            if rename(here, os.fsencode(one), here, os.fsencode(other), exchanging) == 0:
                return True
            number = ctypes.get_errno()
    if number in _NO_SUCH_STEP:
        return False
    raise OSError(number, os.strerror(number), os.fspath(other))
