"""Retries with backoff and jitter: of one call (``Patience``), one store (``Traffic``), and a whole run (``Budget``).

``workers.Breaker`` is the fourth part: it ends a phase of a run if call after call fails despite its retries.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Protocol

DEADLINE = 20.0
"""Seconds without any answer after which a store counts as unavailable."""
RETRIES = 100.0
EARNED = 0.5
"""Retries that an answer earns: a store that keeps failing more than every third request uses up the budget."""
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 8.0
LONGEST_ASKED = 3600.0
"""The maximum seconds for which a store is left alone, even if it asks for more."""
APART = 1.0
"""Seconds between two writes of one object name or one document: Google allows about one per second."""
SPENT = "this run has used up its retries: the stores fail too often; run again later"


class Clock(Protocol):
    """A source of time for retries, in seconds."""

    def monotonic(self) -> float:
        """Returns a reading that never goes back."""

    def sleep(self, seconds: float) -> None: ...


class Failure(Protocol):
    """A failed attempt.

    ``pause`` is how many seconds the store asked to wait, or 0. ``throttled`` says that it gets too many requests,
    ``reached`` that there was a connection.
    """

    pause: float
    throttled: bool
    reached: bool


class Budget:
    """The retries that one run may make at all its stores together: ``retries`` at most. Thread-safe.

    Without it, each call of a long run would retry until its deadline, and a store in trouble would get many times the
    requests of a healthy one.
    """

    def __init__(self, retries: float = RETRIES) -> None:
        self._most = retries
        self._left = retries
        self._lock = threading.Lock()

    def earn(self) -> None:
        """Adds the retries that an answer of a store earns."""
        with self._lock:
            self._left = min(self._most, self._left + EARNED)

    def spend(self) -> bool:
        """Whether one more retry may be made; counts it."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True


class Gate:
    """The pace of all calls to one store: full speed until the store says that it gets too many requests.

    Then no call starts until a pause has passed. After it, calls start at half the rate of the second before, which
    grows by ``GROWTH`` each second until there is no limit again.
    """

    SLOWEST = 10.0
    FASTEST = 1000.0
    GROWTH = 20.0
    LULL = 60.0

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._opens = float("-inf")
        self._rate: float | None = None
        self._since = float("-inf")
        self._halved = float("-inf")
        self._next = float("-inf")
        self._starts: deque[float] = deque(maxlen=int(self.FASTEST))
        self.answered = float("-inf")
        """When the store last answered any call."""
        self._silent: float | None = None
        self._failed = float("-inf")

    def enter(self, within: float) -> float:
        """Waits for this call's turn and returns 0, or returns the seconds until the turn at once.

        The latter if they are more than ``within``, or if no call has been answered for that long.
        """
        turn: float | None = None
        while True:
            with self._lock:
                now = self._clock.monotonic()
                pause = self._opens - now
                silent = self._silent is not None and now >= self._silent + within
                if pause > within or (pause > 0 and silent):
                    return pause
                if pause > 0:
                    turn = None
                else:
                    turn = self._turn(now) if turn is None else turn
                    pause = turn - now
                if pause <= 0:
                    self._starts.append(now)
                    return 0.0
            self._clock.sleep(pause)

    def slow(self, pause: float) -> None:
        """Starts no call for ``pause`` seconds, because the store gets too many requests; halves the rate."""
        with self._lock:
            now = self._clock.monotonic()
            rate = self._rate_at(now)
            # Calls that started before the last halving say nothing about the rate since.
            if now >= self._halved + 1:
                while self._starts and self._starts[0] <= now - 1:
                    self._starts.popleft()
                lately = float(len(self._starts))
                rate = max(self.SLOWEST, (lately if rate is None else min(rate, lately)) / 2)
                self._halved = now
            self._opens = self._next = max(self._opens, now + pause)
            self._rate, self._since = rate, self._opens

    def answer(self) -> None:
        """Notes that the store answered a call."""
        with self._lock:
            self._silent = None
            self.answered = self._clock.monotonic()

    def fail(self) -> float:
        """Notes a failed attempt; returns since when no attempt has been answered.

        ``LULL`` seconds without any attempt end that silence.
        """
        with self._lock:
            now = self._clock.monotonic()
            if self._silent is None or now > self._failed + self.LULL:
                self._silent = now
            self._failed = now
            return self._silent

    def _rate_at(self, now: float) -> float | None:
        """Returns the starts per second; None if unlimited."""
        if self._rate is None:
            return None
        rate = self._rate + self.GROWTH * max(0.0, now - self._since)
        return rate if rate < self.FASTEST else None

    def _turn(self, now: float) -> float:
        rate = self._rate_at(now)
        if rate is None:
            self._rate = None
            return now
        turn = max(now, self._next)
        self._next = turn + 1 / rate
        return turn


class Spacing:
    """Keeps two writes to one name a second apart; remembers only the writes of the last second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._written: dict[str, float] = {}

    def wait(self, name: str) -> None:
        """Waits until the name may be written again."""
        with self._lock:
            pause = self._written.get(name, float("-inf")) + APART - self._clock.monotonic()
        if pause > 0:
            self._clock.sleep(pause)

    def wrote(self, name: str) -> None:
        """Notes that the name was written just now, or may have been."""
        with self._lock:
            now = self._clock.monotonic()
            self._written.pop(name, None)
            self._written[name] = now
            while self._written[oldest := next(iter(self._written))] <= now - APART:
                del self._written[oldest]


class Traffic:
    """What all calls to one store share.

    A call is retried for ``deadline`` seconds; ``on_failure`` is called for each failed attempt that may be repeated.
    """

    def __init__(
        self,
        deadline: float,
        budget: Budget | None = None,
        clock: Clock = time,
        uniform: Callable[[float, float], float] = random.uniform,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self.deadline = deadline
        self.on_failure = on_failure
        self.budget = budget or Budget()
        self.clock = clock
        self.uniform = uniform
        self.gate = Gate(clock)
        self.writes = Spacing(clock)

    def enter(self) -> float:
        """Waits for the turn of an attempt, or returns the seconds until it if they are too many; see
        ``Gate.enter``."""
        return self.gate.enter(self.deadline)

    def answered(self) -> None:
        """Notes an answer of any kind."""
        self.gate.answer()
        self.budget.earn()


class Patience:
    """The retries of one call: pauses that double, with full jitter, until its time or the run's budget is used up.

    Its time is the store's deadline, or ``within`` seconds, from the first attempt on. If a ``body`` was sent to a
    store that was reached, it is from the first failure on, so that a body that took long is sent once more. If the
    store throttles, which shows that it is alive, it is from the last answer to any call on, for up to three times as
    long. Calls that begin while no call is answered share one deadline, which began with that silence: a dead store is
    given up once, not for each call.
    """

    def __init__(self, traffic: Traffic, *, within: float | None = None, body: bool = False) -> None:
        self._traffic = traffic
        self._within = traffic.deadline if within is None else within
        self._body = body
        self._started = traffic.clock.monotonic()
        self._failed: float | None = None
        self._ceiling = FIRST_PAUSE
        self.spent = False
        """Whether retrying ended because the run's budget is used up."""

    def left(self) -> float:
        """Returns the seconds that the next attempt may take: the time left, but enough for an answer."""
        return max(self._within / 10, self._started + self._within - self._traffic.clock.monotonic())

    def again(self, failure: Failure) -> bool:
        """Waits before the next attempt; returns False at once if no retry is left."""
        traffic = self._traffic
        now = traffic.clock.monotonic()
        silent = traffic.gate.fail()
        traffic.on_failure()
        asked = min(failure.pause, LONGEST_ASKED)
        pause = max(traffic.uniform(0, self._ceiling), asked)
        self._ceiling = min(self._ceiling * 2, LONGEST_PAUSE)
        if failure.throttled:
            traffic.gate.slow(pause)
        end = self._end(now, failure)
        if self._started >= silent:
            end = min(end, silent + traffic.deadline)
        if now >= end or now + asked > end:
            return False
        self.spent = not traffic.budget.spend()
        if self.spent:
            return False
        traffic.clock.sleep(min(pause, end - now))
        return True

    def _end(self, now: float, failure: Failure) -> float:
        if self._failed is None:
            self._failed = now if self._body and failure.reached else self._started
        begin = self._failed
        if failure.throttled:
            begin = min(max(begin, self._traffic.gate.answered), begin + 2 * self._within)
        return begin + self._within


def seconds_asked(retry_after: str, date: str = "") -> float:
    """Returns the seconds that a ``Retry-After`` header asks to wait; 0 if it cannot be read.

    It may hold a time, which is compared with the ``Date`` of the same answer, because our own clock may be wrong.
    """
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text), LONGEST_ASKED)
    try:
        asked = (parsedate_to_datetime(text) - parsedate_to_datetime(date)).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0
    return min(max(asked, 0.0), LONGEST_ASKED)
