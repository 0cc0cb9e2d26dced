"""Asks the person at the terminal, wherever the standard streams are redirected."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from reconcile.core.errors import UsageError
from reconcile.views.streams import flush
from reconcile.views.terminal import visible

_YES = ("y", "yes")
_LONGEST = 4096  # bytes of a line, which is what a terminal gives at the most


@contextmanager
def person() -> Iterator[Person | None]:
    """The person at this process's terminal; None if there is no terminal, as under cron, in a container or with
    a service.

    Raises UsageError for a job in the background of its terminal: a question there stops the process unanswered.
    """
    found = _console() if sys.platform == "win32" else _terminal()
    if found is None:
        yield None
        return
    try:
        if _is_in_background(found.reading):
            raise UsageError(
                "this is a job in the background of its terminal, where nobody can answer a question; nothing was"
                " changed",
                hint="bring it to the foreground, or go ahead without a question: --yes",
            )
        yield found
    finally:
        found.close()


class Person:
    """A person at a terminal, which is read from and written to by descriptors of its own."""

    def __init__(self, reading: int, writing: int) -> None:
        self.reading = reading
        self._writing = writing

    def confirms(self, question: str, *, about: str = "") -> bool:
        """Asks; only ``y`` and ``yes`` are a yes, and the end of the input is a no. ``about`` is said before."""
        flush(sys.stdout)
        flush(sys.stderr)
        before = f"{visible(about)}\n" if about else ""
        try:
            self._write(f"\n{before}{visible(question)} [y/N] ".encode("utf-8", "backslashreplace"))
            answer = os.read(self.reading, _LONGEST)
        except OSError:  # the terminal has gone
            return False
        return answer.decode("utf-8", "replace").strip().lower() in _YES

    def close(self) -> None:
        for fd in {self.reading, self._writing}:
            with contextlib.suppress(OSError):
                os.close(fd)

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._writing, data) :]


def _terminal() -> Person | None:
    """The terminal that a standard stream is still connected to, else the one that this process belongs to."""
    if sys.platform != "win32":
        for number in (0, 2, 1, None):
            with contextlib.suppress(OSError):
                name = "/dev/tty" if number is None else os.ttyname(number)
                fd = os.open(name, os.O_RDWR | os.O_NOCTTY)
                return Person(fd, fd)
    if os.isatty(0) and os.isatty(2):  # one that has no name here, as in some containers
        return Person(os.dup(0), os.dup(2))
    return None


def _console() -> Person | None:
    try:
        reading = os.open("CONIN$", os.O_RDWR)
    except OSError:
        return None
    try:
        return Person(reading, os.open("CONOUT$", os.O_RDWR))
    except OSError:
        os.close(reading)
        return None


def _is_in_background(fd: int) -> bool:
    behind = False
    if sys.platform != "win32":
        # Another terminal than the one that this process belongs to is an error: nothing there stops it.
        with contextlib.suppress(OSError):
            behind = os.tcgetpgrp(fd) != os.getpgrp()
    return behind
