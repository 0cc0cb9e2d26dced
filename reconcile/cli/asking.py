"""Asks the person at the terminal, even if the standard streams are redirected."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from reconcile.core.errors import Interrupted, UsageError
from reconcile.views.streams import flush
from reconcile.views.terminal import broken

_YES = ("y", "yes")
_NO = ("", "n", "no")
_NARROW = 80
_LONGEST = 4096  # bytes: the longest line that a terminal delivers


@contextmanager
def person() -> Iterator[Person | None]:
    """Yields the person at the terminal of this process; None if there is no terminal, as under cron, in a container or
    in a service.

    Raises UsageError for a job in the background of its terminal, because a question would stop the process.
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
    """A person at a terminal, which has its own descriptors for reading and writing."""

    def __init__(self, reading: int, writing: int) -> None:
        self.reading = reading
        self._writing = writing

    def confirms(self, question: str, *, about: str = "") -> bool:
        """Asks until the answer is yes or no. An empty answer or the end of the input means no. ``about`` is written
        before the question. Raises Interrupted."""
        flush(sys.stdout)
        flush(sys.stderr)
        try:
            width = os.get_terminal_size(self._writing).columns or _NARROW
        except OSError:  # a console that does not say
            width = _NARROW
        asked = broken(f"{question} [y/N] .", width)[:-1]  # keeps the blank at the end
        before = f"{broken(about, width)}\n" if about else ""
        try:
            self._write(f"\n{before}{asked}".encode("utf-8", "backslashreplace"))
            while True:
                answer = os.read(self.reading, _LONGEST).decode("utf-8", "replace").strip().lower()
                if answer in (*_YES, *_NO):
                    return answer in _YES
                self._write(b"Please answer y for yes, or n for no: ")
        except OSError:  # the terminal has gone
            return False
        except KeyboardInterrupt as error:
            self._write(b"\n")
            raise Interrupted("interrupted at the question; nothing was changed") from error

    def close(self) -> None:
        for fd in {self.reading, self._writing}:
            with contextlib.suppress(OSError):
                os.close(fd)

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._writing, data) :]


def _terminal() -> Person | None:
    """Returns the person at the terminal to which a standard stream is still connected, else at the controlling
    terminal of this process."""
    if sys.platform != "win32":
        for number in (0, 2, 1, None):
            with contextlib.suppress(OSError):
                name = "/dev/tty" if number is None else os.ttyname(number)
                fd = os.open(name, os.O_RDWR | os.O_NOCTTY)
                return Person(fd, fd)
    if os.isatty(0) and os.isatty(2):  # a terminal that has no name here, as in some containers
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
        # For a terminal that is not the controlling one this is an error, and no question there stops the process.
        with contextlib.suppress(OSError):
            behind = os.tcgetpgrp(fd) != os.getpgrp()
    return behind
