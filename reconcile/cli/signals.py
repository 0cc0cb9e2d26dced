"""Interrupts: the first asks a run to finish what is in flight, the second stops it at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

ASKED = "finishing what is in flight; press Ctrl-C again to stop at once"


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that the first SIGINT, and any SIGTERM, sets; a second SIGINT raises KeyboardInterrupt."""
    stop = threading.Event()

    def interrupted(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            # A scheduler may send SIGTERM to a process and again to its group: only a person's second Ctrl-C aborts.
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        stop.set()
        # sys.stderr may be in the middle of a write in this very thread, and refuses to be entered twice.
        with suppress(OSError):
            os.write(2, f"\n{ASKED}\n".encode())

    with _handling({signal.SIGINT: interrupted, signal.SIGTERM: interrupted}):
        yield stop


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM as KeyboardInterrupt, as SIGINT is, so that locks and half-written files are let go of."""

    def terminated(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handling({signal.SIGTERM: terminated, signal.SIGINT: terminated}):
        yield


def finish() -> None:
    """Lets no signal stop the command any more: its work is done, and half a document, or two, would help nobody."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


@contextmanager
def _handling(handlers: dict[signal.Signals, signal._HANDLER]) -> Iterator[None]:
    """These handlers for a while; Python allows them in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
