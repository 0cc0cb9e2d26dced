"""A file that is there whole or not at all, and is never written through a link."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

PRIVATE = 0o600

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)


def write_whole(place: Path, data: bytes, mode: int = PRIVATE, *, folder: int | None = None) -> None:
    """Writes a new file beside its place and moves it there, so that a reader sees the old one or the new one.

    Its bytes are on disk when this returns. ``folder`` is the open folder of the place, where the system can use one.

    Raises OSError where it cannot be written; what was there is then still there.
    """
    # The name is new and cannot be guessed: in a folder that others write to, nobody can put a link in its place.
    beside = place.with_name(f".{secrets.token_hex(8)}.new")
    fresh, final = (beside, place) if folder is None else (Path(beside.name), Path(place.name))
    try:
        fd = os.open(fresh, NEW, mode, dir_fd=folder)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        os.replace(fresh, final, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(fresh, dir_fd=folder)
        raise
