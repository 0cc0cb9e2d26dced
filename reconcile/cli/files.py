"""Files that a command writes for its user: whole or not at all, and never in the place of something else."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from reconcile.core.errors import UsageError

PRIVATE = 0o600
SHARED = 0o666
"""Less what the umask takes away, as for any file that a program makes."""


def check_target(out: Path) -> None:
    """Raises UsageError where ``--out`` cannot be written, before anything is read."""
    if not out.name or out.is_dir():
        raise UsageError(f"--out {str(out)!r} names no file", hint="name the file to write")
    if not out.parent.is_dir():
        raise UsageError(f"--out {str(out)!r}: there is no folder {str(out.parent)!r}", hint="make it, or name another")
    if out.exists() and not out.is_file():
        # A new file would take the place of a device or a pipe.
        raise UsageError(f"--out {str(out)!r} is no ordinary file", hint="name another file")


def write_whole(out: Path, data: bytes, mode: int = SHARED) -> None:
    """Writes a new file beside its place and moves it there, so that a reader sees the old one or the new one.

    Raises UsageError where it cannot be written; what was there is then still there.
    """
    # The name is new and cannot be guessed: in a folder that others write to, nobody can put a link in its place.
    beside = out.with_name(f".{secrets.token_hex(8)}.new")
    try:
        try:
            _write(beside, data, mode)
            beside.replace(out)
        except BaseException:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(
            f"{str(out)!r} cannot be written: {error.strerror}", hint="name another file with --out"
        ) from error


def _write(path: Path, data: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)
