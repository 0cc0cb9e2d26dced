"""Jobs on several threads: no more are handed over than have a worker, so that a stop, or an error, starts nothing."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from typing import Any, Self, TypeVar

from reconcile.adapters.descriptors import fitting
from reconcile.adapters.room import has_thread

T = TypeVar("T")

_GLANCE = 0.2
"""Seconds: a wait without an end would not hear a second interrupt on every system."""


class Workers:
    """Up to so many threads, begun as they are needed. Safe for several threads.

    Those of the standard library keep the interpreter from ending while one of them waits for a dead server, and cannot
    be had once the main thread has ended, when a workflow's other threads may still be at work. These do neither. If
    the system gives no further thread there are fewer, and if it gives none the caller does the work. There are no more
    than may have their files and connections open (``descriptors.fitting``).
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
        """The result to be of a call, which a worker makes. Raises RuntimeError after ``close``."""
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
        """Takes no more, and lets go of the threads when the work is done; ``cancel`` drops what was not begun."""
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
                thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _hire(self) -> None:
        if self._threads and not has_thread():
            return
        thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # a limit of the system, or an interpreter that is ending
            return
        self._threads.append(thread)

    def _work(self) -> None:
        while (job := self._next(wait=True)) is not None:
            _do(*job)
            del job  # what it holds is not to live until the next one comes

    def _next(self, *, wait: bool) -> tuple[Future[Any], Callable[[], Any]] | None:
        with self._change:
            while not self._waiting:
                if self._closed or not wait:
                    return None
                self._idle += 1
                self._change.wait()
                self._idle -= 1
            return self._waiting.popleft()


def _do(future: Future[Any], work: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 it is raised where the result is asked for
        future.set_exception(error)
    else:
        future.set_result(result)


def results(
    jobs: Iterable[Callable[[], T]], at_once: int, *, halted: Callable[[], bool] = lambda: False
) -> Iterator[T]:
    """The results of the jobs as they come, in no order; none is begun once ``halted`` says so. Raises what a job
    raises, without waiting for the others."""
    workers = Workers(at_once)
    running: set[Future[T]] = set()
    try:
        for job in jobs:
            if halted():
                break
            running.add(workers.submit(job))
            while len(running) >= workers.most:
                done, running = wait(running, _GLANCE, FIRST_COMPLETED)
                for each in done:
                    yield each.result()
        while running:
            done, running = wait(running, _GLANCE, FIRST_COMPLETED)
            for each in done:
                yield each.result()
    except BaseException:
        workers.close(wait=False, cancel=True)
        raise
    workers.close()
