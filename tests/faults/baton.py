"""Several tasks in threads of which one runs at a time: who goes on is drawn at each step, so a seed replays a run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from random import Random

PATIENCE = 60.0
"""Seconds after which a task that nobody wakes is a fault of the simulation itself."""
LONGEST = 20_000


class Killed(BaseException):
    """The process died here. No error: nothing that handles errors may stop it."""


class Stuck(BaseException):
    """The simulation itself does not go on."""


class Task:
    """One thread, and whatever threads it starts and waits for; ``gate`` is shut while it is not its turn."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self.name = name
        self.work = work
        self.gate = threading.Lock()
        self.gate.acquire()


class Baton:
    """Runs tasks one at a time. ``switch`` is how likely another task goes on after a step; ``between`` is called at
    each step, by the task whose turn it is: the place for other hands."""

    def __init__(self, dice: Random, switch: float, between: Callable[[], None] = lambda: None) -> None:
        self._dice = dice
        self._switch = switch
        self._between = between
        self._alive: list[Task] = []
        self._done = threading.Lock()
        self.steps = 0
        self.failure: BaseException | None = None

    def run(self, tasks: dict[str, Callable[[], None]]) -> None:
        """Runs them all to their end. Raises what one of them raised, unless it was only killed."""
        self._alive = [Task(name, work) for name, work in tasks.items()]
        if not self._alive:
            return
        threads = [threading.Thread(target=self._work, args=(task,), daemon=True) for task in self._alive]
        self._done.acquire()
        for thread in threads:
            thread.start()
        self._dice.choice(self._alive).gate.release()
        if not self._done.acquire(timeout=10 * PATIENCE):
            raise Stuck("the tasks did not end")
        for thread in threads:
            thread.join(PATIENCE)
        if self.failure is not None:
            raise self.failure

    def step(self, task: Task) -> None:
        """A point at which anything may happen before this task goes on. Only one thread of a task may be in here."""
        self.check()
        self.steps += 1
        if self.steps > LONGEST:
            raise Stuck("the run takes no end")
        self._between()
        if len(self._alive) > 1 and self._dice.random() < self._switch:
            chosen = self._dice.choice(self._alive)
            if chosen is not task:
                chosen.gate.release()
                if not task.gate.acquire(timeout=PATIENCE):
                    raise Stuck(f"{task.name} was never woken")
        self.check()

    def check(self) -> None:
        """Raises Killed once something has failed: what follows would only hide it."""
        if self.failure is not None:
            raise Killed

    def task(self, name: str) -> Task:
        """The task of this name."""
        return next(task for task in self._alive if task.name == name)

    def _work(self, task: Task) -> None:
        task.gate.acquire()
        try:
            if self.failure is None:
                task.work()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again by run
            self.failure = self.failure or error
        self._alive.remove(task)
        if self._alive:
            self._dice.choice(self._alive).gate.release()
        else:
            self._done.release()
