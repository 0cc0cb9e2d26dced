"""Runs jobs on several threads, and starts no more after a stop, an error, or when a store refuses everything."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import msgspec

from reconcile.adapters.descriptors import fitting
from reconcile.adapters.lanes import Lanes
from reconcile.adapters.room import started
from reconcile.core.closing import Closing
from reconcile.core.errors import AccessDenied, ReconcileError, StoreError, StoreMissing, StoreUnavailable, Uncertain
from reconcile.core.report import Problem

T = TypeVar("T")

REFUSALS = 8
"""Consecutive failures after which the rest is not tried."""
REFUSALS_OF_A_STORE = (AccessDenied, StoreUnavailable, StoreMissing, Uncertain)
"""Errors that are about the store rather than about one request."""
_GLANCE = 0.2
"""Seconds: on Windows, Python does not hear Ctrl-C while it waits for a lock without a time-out."""


class Workers(Closing):
    """Up to ``at_once`` threads, started on demand, each with its own files and connections. Thread-safe.

    If the system allows fewer threads, fewer do the work; if it allows none, the caller does. Unlike the standard
    library's, they never keep the interpreter from ending while one of them waits for a dead server, and can be started
    after the main thread has ended, while a workflow's other threads still work.
    """

    def __init__(self, at_once: int, name: str = "job") -> None:
        self.most = fitting(at_once)
        self._name = name
        self._change = threading.Condition()
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._closed = False

    def submit(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Returns the future result of a call that a worker makes. Raises RuntimeError after ``close``."""
        future: Future[T] = Future()
        with self._change:
            if self._closed:
                raise RuntimeError("the workers were sent home")
            self._waiting.append((future, partial(function, *arguments)))
            if self._idle < len(self._waiting) and len(self._threads) < self.most:
                self._hire()
            alone = not self._threads
            self._change.notify()
        while alone and (job := self._next(wait=False)) is not None:
            _do(*job)
        return future

    def close(self, *, wait: bool = True, cancel: bool = False) -> None:
        """Accepts no more work, and ends the threads when theirs is done; ``cancel`` drops what was not started."""
        with self._change:
            self._closed = True
            dropped = list(self._waiting) if cancel else []
            if cancel:
                self._waiting.clear()
            self._change.notify_all()
        for future, _ in dropped:
            future.cancel()
        if wait:
            for thread in self._threads:
                joined(thread)

    def _hire(self) -> None:
        thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
        if started(thread, first=not self._threads):
            self._threads.append(thread)

    def _work(self) -> None:
        while (job := self._next(wait=True)) is not None:
            _do(*job)
            del job  # or what it references would live until the next job comes

    def _next(self, *, wait: bool) -> tuple[Future[Any], Callable[[], Any]] | None:
        with self._change:
            while not self._waiting:
                if self._closed or not wait:
                    return None
                self._idle += 1
                self._change.wait()
                self._idle -= 1
            return self._waiting.popleft()


def awaited(future: Future[T]) -> T:
    """Waits for a call and returns its result, or raises what it raised; Ctrl-C works meanwhile on every system."""
    while not future.done():
        wait([future], _GLANCE)
    return future.result()


def joined(thread: threading.Thread, seconds: float | None = None) -> None:
    """Waits until the thread has ended, at most this many seconds; Ctrl-C works meanwhile on every system."""
    end = None if seconds is None else time.monotonic() + seconds
    while thread.is_alive() and (end is None or time.monotonic() < end):
        thread.join(_GLANCE if end is None else max(0.0, min(_GLANCE, end - time.monotonic())))


def _do(future: Future[Any], work: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 it is raised to the caller that fetches the result
        future.set_exception(error)
    else:
        future.set_result(result)


class Breaker:
    """Counts consecutive failures, and says when to try nothing more. Thread-safe.

    Only errors of the types ``counted`` count. Permission may be missing for only a part of the bucket, and keys come
    in order, so an object's folder is given up after ``REFUSALS`` consecutive denials, and counts as one failure.
    """

    def __init__(self, counted: tuple[type[ReconcileError], ...] = REFUSALS_OF_A_STORE) -> None:
        self._counted = counted
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._denied: Counter[str] = Counter()
        self._last: ReconcileError | None = None

    @property
    def tripped(self) -> Problem | None:
        """Why nothing more is tried; None as long as something may work."""
        last = self._last
        if last is None or self._in_a_row < REFUSALS:
            return None
        who = "the store" if isinstance(last, StoreError) else "this machine"
        why = f"{who} refused {REFUSALS} times in a row, so the rest was not tried; the last time: {last.message}"
        return msgspec.structs.replace(Problem.of(last), message=why)

    def bars(self, key: str) -> Problem | None:
        """Returns why this object must not be tried, or None if it may be."""
        folder = _folder(key)
        if self._denied[folder] < REFUSALS:
            return None
        where = repr(folder) if folder else "the prefix itself"
        return Problem(
            AccessDenied.code, f"{REFUSALS} objects of {where} were denied in a row, so the rest was not tried"
        )

    def succeeded(self, key: str | None = None) -> None:
        """Notes a success; ``key`` if it was an object's. A breaker that has tripped stays tripped."""
        with self._lock:
            if self._in_a_row < REFUSALS:
                self._in_a_row = 0
            if key is not None:
                self._denied.pop(_folder(key), None)

    def failed(self, error: ReconcileError, key: str | None = None) -> None:
        """Notes a failure; ``key`` if it was an object's."""
        if not isinstance(error, self._counted):
            return
        with self._lock:
            self._last = error
            if isinstance(error, AccessDenied) and key is not None:
                folder = _folder(key)
                self._denied[folder] += 1
                if self._denied[folder] > 1:
                    return
            self._in_a_row += 1


def _folder(key: str) -> str:
    return key.rpartition("/")[0]


def results(
    jobs: Iterable[Callable[[], T]],
    at_once: int | Lanes,
    *,
    breaker: Breaker | None = None,
    halted: Callable[[], bool] = lambda: False,
) -> Iterator[T]:
    """Yields the results of the jobs as they complete, unordered.

    No job is started once the breaker has tripped or ``halted`` returns true. Raises what a job raises, without waiting
    for the others.
    """
    lanes = at_once if isinstance(at_once, Lanes) else Lanes(at_once)
    workers = Workers(lanes.most)
    ended: SimpleQueue[Future[T]] = SimpleQueue()
    waiting, running = iter(jobs), 0
    lanes.start()
    try:
        while True:
            while running < min(lanes.at_once, workers.most):  # which may change while no job ends
                stopped = halted() or (breaker is not None and breaker.tripped is not None)
                job = None if stopped else next(waiting, None)
                if job is None:
                    waiting = iter(())
                    break
                workers.submit(job).add_done_callback(ended.put)
                running += 1
            if not running:
                break
            try:
                each = ended.get(timeout=_GLANCE)
            except Empty:
                continue
            running -= 1
            yield each.result()
    except BaseException:
        workers.close(wait=False, cancel=True)
        raise
    workers.close()
