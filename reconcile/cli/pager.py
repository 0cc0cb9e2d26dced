"""Shows a long result one screen at a time, in the pager that the user has chosen."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TextIO

from reconcile.adapters.children import ended
from reconcile.cli.signals import handling
from reconcile.views.streams import Colour, flush, silence
from reconcile.views.terminal import Terminal

_LESS = "FRX"
"""As git sets it: a result that fits on the screen is not paged, colours work, and the text stays on the screen."""


@contextmanager
def paged(stream: TextIO, colour: Colour = "auto", environ: Mapping[str, str] = os.environ) -> Iterator[Terminal]:
    """Yields a terminal that writes to the pager if the stream is a terminal and there is a pager, else to the
    stream."""
    plain = Terminal(stream, colour)
    command = pager(environ) if stream.isatty() else []
    if not command:
        yield plain
        return
    flush(stream)
    try:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, env={"LESS": _LESS, **environ})
    except OSError:
        yield plain
        return
    assert child.stdin is not None
    into = io.TextIOWrapper(child.stdin, encoding="utf-8", errors="backslashreplace")
    with handling({signal.SIGINT: signal.SIG_IGN}):  # Ctrl-C is for the pager
        try:
            yield plain.writing_to(into)
        finally:
            try:
                into.close()
            except OSError as error:  # the pager was quit before the end
                silence(into, error)
            ended(child)


def pager(environ: Mapping[str, str], system: str = sys.platform) -> Sequence[str]:
    """Returns the command in ``PAGER``, by default less. Empty if that is empty, ``cat``, or not installed."""
    command = shlex.split(environ.get("PAGER", "less"), posix=system != "win32")
    if not command or command == ["cat"] or shutil.which(command[0], path=environ.get("PATH")) is None:
        return []
    return command
