"""Writes to standard streams, whose readers may leave early."""

from __future__ import annotations

import errno
import os
import sys
from typing import Literal, TextIO, TypeAlias

from reconcile.core.errors import ReconcileError

Colour: TypeAlias = Literal["auto", "always", "never"]
"""When to use colours. ``auto``: on a terminal, unless ``NO_COLOR`` is set."""
_ELSEWHERE = "write it somewhere else; what was done stays done, and `reconcile status` shows how things stand"


class OutputFailed(ReconcileError):
    """The result could not be written."""

    code = "output"


def refused(error: OSError) -> OutputFailed | None:
    """Returns the error to show if other code met a full disk or a missing reader when it wrote to stdout; else
    None."""
    if error.errno not in (errno.ENOSPC, errno.EPIPE, errno.EDQUOT):
        return None
    return OutputFailed(f"the output cannot be written: {error.strerror}", hint=_ELSEWHERE)


def write(stream: TextIO, text: str) -> None:
    """Writes text. Once the reader has gone (``| head``), the rest is discarded silently.

    Raises OutputFailed if the output cannot be written."""
    try:
        stream.write(text)
    except OSError as error:
        _forget(stream, error)


def put(stream: TextIO, data: bytes) -> None:
    """Writes bytes, past the encoding of the stream. A stream without a buffer for bytes gets them as text. Raises
    OSError."""
    below = getattr(stream, "buffer", None)
    if below is None:
        stream.write(data.decode())
    else:
        stream.flush()
        below.write(data)


def write_bytes(stream: TextIO, data: bytes) -> None:
    """Writes bytes, as ``write`` writes text."""
    try:
        put(stream, data)
    except OSError as error:
        _forget(stream, error)


def flush(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError as error:
        _forget(stream, error)


def silence(stream: TextIO, error: OSError) -> bool:
    """Discards the rest of the output of a stream. Returns whether its reader has left (EPIPE, on Windows EINVAL),
    which unlike a full disk is not an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    return error.errno in (errno.EPIPE, errno.EINVAL)


def _forget(stream: TextIO, error: OSError) -> None:
    # Only progress and notes go to stderr, and a full log disk must not stop the nightly run.
    if not silence(stream, error) and stream is not sys.stderr:
        raise OutputFailed(f"the output cannot be written: {error.strerror}", hint=_ELSEWHERE) from error
