"""Jobs on several threads: no more are handed over than have a worker, so that a stop, or an error, starts nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")

_GLANCE = 0.2
"""Seconds: a wait without an end would not hear a second interrupt on every system."""


def results(
    jobs: Iterable[Callable[[], T]], at_once: int, *, halted: Callable[[], bool] = lambda: False
) -> Iterator[T]:
    """The results of the jobs as they come, in no order; none is begun once ``halted`` says so. Raises what a job
    raises, without waiting for the others."""
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="job")
    running: set[Future[T]] = set()
    try:
        for job in jobs:
            if halted():
                break
            running.add(pool.submit(job))
            while len(running) >= at_once:
                done, running = wait(running, _GLANCE, FIRST_COMPLETED)
                for each in done:
                    yield each.result()
        while running:
            done, running = wait(running, _GLANCE, FIRST_COMPLETED)
            for each in done:
                yield each.result()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
