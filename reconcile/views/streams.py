"""Writing to standard streams, whose readers may leave early."""

from __future__ import annotations

import errno
import os
import sys
from typing import Literal, TextIO, TypeAlias

from reconcile.core.errors import ReconcileError

Colour: TypeAlias = Literal["auto", "always", "never"]
"""When to colour: ``auto`` is on a terminal without ``NO_COLOR``."""
_ELSEWHERE = "write it somewhere else; what was done stays done, and `reconcile status` shows how things stand"


class OutputFailed(ReconcileError):
    """The result was there, but could not be written."""

    code = "output"


def refused(error: OSError) -> OutputFailed | None:
    """The error to show if other code met a full disk, or no reader, while it wrote to stdout itself; else None."""
    if error.errno not in (errno.ENOSPC, errno.EPIPE, errno.EDQUOT):
        return None
    return OutputFailed(f"the output cannot be written: {error.strerror}", hint=_ELSEWHERE)


def write(stream: TextIO, text: str) -> None:
    """Writes, unless the reader has gone (``| head``): then the rest goes nowhere, quietly.

    Raises OutputFailed if the output cannot be written."""
    try:
        stream.write(text)
    except OSError as error:
        _forget(stream, error)


def write_bytes(stream: TextIO, data: bytes) -> None:
    """The same for bytes that no encoding may change; a stream without bytes below it gets them as text."""
    below = getattr(stream, "buffer", None)
    if below is None:
        write(stream, data.decode())
        return
    try:
        stream.flush()
        below.write(data)
    except OSError as error:
        _forget(stream, error)


def flush(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError as error:
        _forget(stream, error)


def silence(stream: TextIO, error: OSError) -> bool:
    """Discards the rest of a stream's output. Gives whether its reader has left (EPIPE, on Windows EINVAL), which is
    not an error, unlike a full disk."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    return error.errno in (errno.EPIPE, errno.EINVAL)


def _forget(stream: TextIO, error: OSError) -> None:
    # What goes to stderr is progress and notes: a full log disk must not stop the night's work.
    if not silence(stream, error) and stream is not sys.stderr:
        raise OutputFailed(f"the output cannot be written: {error.strerror}", hint=_ELSEWHERE) from error
