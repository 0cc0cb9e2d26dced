"""Interrupts: the first asks a run to finish what is in flight, the second stops it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType

_TELLING = 1.0  # seconds for the sentence to be written: a stopped terminal must not keep the process alive
ASKED = "interrupted, finishing what is in flight; press Ctrl-C again to stop at once"


def ending() -> tuple[signal.Signals, ...]:
    """Returns the signals with which other programs ask this one to end."""
    on_windows: signal.Signals | None = getattr(signal, "SIGBREAK", None)
    return (signal.SIGTERM,) if on_windows is None else (signal.SIGTERM, on_windows)


class Stop(threading.Event):
    """An event that the first signal sets which asks a run to end. ``by`` is that signal."""

    by: int | None = None


@contextmanager
def stopping(tell: Callable[[str], None]) -> Iterator[Stop]:
    """Yields an event that the first SIGINT, and any SIGTERM, sets; a second SIGINT raises KeyboardInterrupt. SIGBREAK,
    which Windows sends for Ctrl-Break and with which a process can ask another one to end, is treated like SIGTERM.

    ``tell`` is called at once with the sentence for people, in a thread of its own, because the signal may have arrived
    while the main thread was writing to the same stream.
    """
    stop = Stop()
    wake = threading.Event()

    def interrupted(number: int, _frame: FrameType | None) -> None:
        # A scheduler may send SIGTERM to a process and then to its group, so only a second Ctrl-C aborts.
        # ``by`` is checked, not the event: an event cannot be set while this thread is already setting it.
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
    with suppress(RuntimeError):  # the system has no thread left: an interrupt still works, and is reported at the end
        watcher.start()
    try:
        with handling(dict.fromkeys((signal.SIGINT, *ending()), interrupted)):
            yield stop
    finally:
        wake.set()
        if watcher.ident is None:
            watch()
        else:
            watcher.join(_TELLING)


@contextmanager
def terminable() -> Iterator[None]:
    """Makes SIGTERM raise KeyboardInterrupt, too, so that locks are released and half-written files removed."""
    with handling(dict.fromkeys((signal.SIGINT, *ending()), signal.default_int_handler)):
        yield


def finish() -> None:
    """Ignores signals from now on: the work is done, and an interrupt could only leave half a document, or a second
    one."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, *ending()):
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def handling(handlers: Mapping[signal.Signals, signal._HANDLER]) -> Iterator[None]:
    """Installs these handlers for a while. Does nothing outside the main thread, where Python does not allow it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
