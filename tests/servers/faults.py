"""Scripted faults and the request log: what a test server does wrong, for which call, and when."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Call:
    """One request as the server saw it. ``key`` is the object or document it is about, where there is one."""

    method: str
    path: str
    key: str = ""
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Fault:
    """What goes wrong with the calls that match; the ``skip`` first ones are left alone, then ``times`` are hit.

    Before the call takes effect: ``status`` (an error answer, or the one that ``body`` makes), ``reset`` (the
    connection is cut), ``run`` (the test's own code: another writer, a change of a file). After it took effect:
    ``lost`` (the connection is cut instead of an answer), ``answer`` (an error status instead of the true one). While
    bytes move: ``corrupt`` (the first byte of the body is changed), ``persist`` (only so many bytes of a chunk are
    kept), ``cut`` (the answer ends after so many bytes), ``rewrite`` (the answer's body is another), ``packs`` (a
    gateway packs it with gzip), ``pace`` (seconds before each 64 KiB of the body is read).
    """

    method: str = ""
    path: str = ""
    key: str | None = None
    when: Callable[[Call], bool] | None = None
    skip: int = 0
    times: int = 1
    status: int | None = None
    reason: str = "backendError"
    message: str = "injected"
    body: Callable[[], bytes] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    reset: bool = False
    run: Callable[[], None] | None = None
    lost: bool = False
    answer: int | None = None
    corrupt: bool = False
    persist: int | None = None
    cut: int | None = None
    rewrite: Callable[[bytes], bytes] | None = None
    packs: bool = False
    pace: float = 0.0
    hits: int = 0

    def _matches(self, call: Call) -> bool:
        return (
            self.method in ("", call.method)
            and self.path in call.path
            and self.key in (None, call.key)
            and (self.when is None or self.when(call))
        )

    def take(self, call: Call) -> bool:
        """Whether this call is hit; counts it."""
        if self.times == 0 or not self._matches(call):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        self.hits += 1
        return True


FOREVER = 1 << 30


class Script:
    """The faults of one server and the log of what was asked of it. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._calls: list[Call] = []

    def add(self, fault: Fault) -> Fault:
        """Adds a fault; the first that matches a call is the one that hits it."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Forgets all faults and the log."""
        with self._lock:
            self._faults.clear()
            self._calls.clear()

    def take(self, call: Call) -> Fault:
        """Logs the call and gives the fault that hits it, or one that does nothing."""
        with self._lock:
            self._calls.append(call)
            return next((fault for fault in self._faults if fault.take(call)), Fault())

    def calls(self, method: str = "", path: str = "", key: str | None = None) -> list[Call]:
        """The calls so far, in order, that have this method, this text in the path, and this key."""
        with self._lock:
            return [c for c in self._calls if method in ("", c.method) and path in c.path and key in (None, c.key)]
