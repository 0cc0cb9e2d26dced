"""Workers: threads that hold no interpreter back, and the caller's own where there is no other."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from reconcile.adapters.workers import Workers, awaited, joined, results
from reconcile.pipeline.engine import Prefetch


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_no_more_work_at_once_than_there_are_workers() -> None:
    gate, lock, running, most = threading.Barrier(3), threading.Lock(), 0, 0

    def job(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        gate.wait(30)
        with lock:
            running -= 1
        return number

    with Workers(3) as workers:
        futures = [workers.submit(job, number) for number in range(12)]
        assert [future.result(30) for future in futures] == list(range(12))
    assert most == 3


def test_an_error_is_raised_where_the_result_is_asked_for_and_costs_no_worker() -> None:
    with Workers(1) as workers:
        failed = workers.submit(int, "x")
        with pytest.raises(ValueError, match="invalid literal"):
            failed.result(30)
        assert workers.submit(int, "7").result(30) == 7


def test_closed_workers_finish_what_they_have_and_take_no_more() -> None:
    workers, gate = Workers(1), threading.Event()
    first, second = workers.submit(gate.wait, 30), workers.submit(int, "7")
    workers.close(wait=False)
    with pytest.raises(RuntimeError, match="sent home"):
        workers.submit(int, "8")
    gate.set()
    assert (first.result(30), second.result(30)) == (True, 7)


def test_what_is_cancelled_before_it_began_is_not_done() -> None:
    workers, began, gate = Workers(1), threading.Event(), threading.Event()

    def held() -> bool:
        began.set()
        return gate.wait(30)

    first, second = workers.submit(held), workers.submit(int, "7")
    assert began.wait(30)
    workers.close(wait=False, cancel=True)
    gate.set()
    assert first.result(30)
    assert second.cancelled()


def test_a_worker_that_waits_does_not_keep_the_interpreter_from_ending() -> None:
    python(
        "import threading; from reconcile.adapters.workers import Workers; Workers(2).submit(threading.Event().wait)"
    )


@pytest.mark.parametrize("imported", ["", "import concurrent.futures.thread"])
def test_workers_can_be_had_when_the_main_thread_has_ended(imported: str) -> None:
    code = f"""
import threading
from reconcile.adapters.workers import results
{imported}
def late():
    threading.main_thread().join()
    print(sorted(results([lambda n=n: n for n in range(9)], 3)))
threading.Thread(target=late).start()
"""
    assert python(code).strip() == str(list(range(9)))


NO_THREADS = """
import threading
def refuse(*arguments, **options): raise RuntimeError("can't start new thread")
threading._start_new_thread = threading._start_joinable_thread = refuse  # as the system does at its limit
"""


@pytest.mark.parametrize(
    ("work", "answer"),
    [
        (
            "from reconcile.adapters.workers import results; "
            "print(sorted(results([lambda n=n: n for n in range(9)], 3)))",
            range(9),
        ),
        ("from reconcile.pipeline.engine import Prefetch; print(list(Prefetch(lambda: range(9))))", range(9)),
    ],
)
def test_where_there_is_no_thread_the_caller_does_the_work(work: str, answer: range) -> None:
    assert python(NO_THREADS + work).strip() == str(list(answer))


def test_results_come_until_somebody_says_halt() -> None:
    done: list[int] = []

    def job(number: int) -> Callable[[], int]:
        def work() -> int:
            done.append(number)
            return number

        return work

    assert sorted(results([job(n) for n in range(5)], 2, halted=lambda: len(done) >= 2)) == sorted(done)
    assert 2 <= len(done) < 5


def test_what_is_read_ahead_comes_in_order() -> None:
    assert list(Prefetch(lambda: iter(range(1000)))) == list(range(1000))


def test_no_wait_for_a_result_is_one_that_windows_hears_no_interrupt_in() -> None:
    class Asked(Future[int]):
        def result(self, timeout: float | None = None) -> int:
            assert self.done() or timeout is not None
            return super().result(timeout)

    future = Asked()
    threading.Timer(0.05, future.set_result, [7]).start()
    assert awaited(future) == 7


def test_no_wait_for_a_thread_is_one_that_windows_hears_no_interrupt_in() -> None:
    class Asked(threading.Thread):
        def join(self, timeout: float | None = None) -> None:
            assert timeout is not None
            super().join(timeout)

    end = threading.Event()
    thread = Asked(target=end.wait, args=[30], daemon=True)
    thread.start()
    joined(thread, 0.01)
    assert thread.is_alive()
    threading.Timer(0.05, end.set).start()
    joined(thread)
    assert not thread.is_alive()
