"""Interrupts: the first asks a run to finish what is in flight, the second stops it at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType

_TELLING = 1.0  # seconds for the sentence to be written; a terminal that is stopped must not keep the process
ASKED = "interrupted, finishing what is in flight; press Ctrl-C again to stop at once"


def _tell(sentence: str) -> None:
    with suppress(OSError):
        os.write(2, f"{sentence}\n".encode())


def ending() -> tuple[signal.Signals, ...]:
    """The signals by which other programs ask this one to end."""
    on_windows: signal.Signals | None = getattr(signal, "SIGBREAK", None)
    return (signal.SIGTERM,) if on_windows is None else (signal.SIGTERM, on_windows)


class Stop(threading.Event):
    """Set by the first signal that asks a run to end; ``by`` is that signal."""

    by: int | None = None


@contextmanager
def stopping(tell: Callable[[str], None] = _tell) -> Iterator[Stop]:
    """An event that the first SIGINT, and any SIGTERM, sets; a second SIGINT raises KeyboardInterrupt. SIGBREAK, by
    which Windows says Ctrl-Break and one process may ask another to end, is taken for SIGTERM, here and below.

    ``tell`` is called with the sentence for people, at once, from a thread of its own: the signal may have come while
    the main thread writes to the very stream that the sentence goes to.
    """
    stop = Stop()
    wake = threading.Event()

    def interrupted(number: int, _frame: FrameType | None) -> None:
        # A scheduler may send SIGTERM to a process and again to its group: only a person's second Ctrl-C aborts.
        # ``by`` and not the event is asked: an event cannot be set while this thread is already setting it.
        if stop.by is not None:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        stop.by = number
        stop.set()
        wake.set()

    def watch() -> None:
        wake.wait()
        if stop.by is not None:
            tell(ASKED)

    watcher = threading.Thread(target=watch, name="interrupt", daemon=True)
    try:
        watcher.start()
        watched = True
    except RuntimeError:  # the system gives no further thread: an interrupt is still heard, and said at the end
        watched = False
    try:
        with handling(dict.fromkeys((signal.SIGINT, *ending()), interrupted)):
            yield stop
    finally:
        wake.set()
        if watched:
            watcher.join(_TELLING)
        else:
            watch()


@contextmanager
def terminable() -> Iterator[None]:
    """Raises KeyboardInterrupt for SIGTERM too, so that locks are released and half-written files removed."""

    def terminated(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with handling(dict.fromkeys((signal.SIGINT, *ending()), terminated)):
        yield


def finish() -> None:
    """Ignores signals from now on: the work is done, and an interrupt could only leave half a document, or two."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, *ending()):
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def handling(handlers: Mapping[signal.Signals, signal._HANDLER]) -> Iterator[None]:
    """Installs these handlers for a while; Python allows that in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
