"""The events of a long run; the views turn them into lines and bars."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import TypeAlias, TypeVar

import msgspec

from reconcile.core.report import Outcome

T = TypeVar("T")


class Phase(Enum):
    """A stretch of work that a person waits for: its title, and the noun for what it counts."""

    RECORDS = ("Reading records", "record")
    LISTING = ("Listing files and objects", "name")
    UPLOADS = ("Uploading", "file")
    WRITING = ("Writing records", "record")
    PROVING = ("Checking objects", "object")
    RESTORING = ("Restoring", "file")

    def __init__(self, title: str, noun: str) -> None:
        self.title = title
        self.noun = noun


class PhaseStarted(msgspec.Struct, frozen=True):
    """A phase begins; totals are None if they are not known in advance."""

    phase: Phase
    total: int | None = None
    total_bytes: int | None = None


class Advanced(msgspec.Struct, frozen=True):
    """Progress in a phase: items done, and bytes (negative if a retry starts over), of the file ``key`` if known."""

    phase: Phase
    count: int = 0
    size: int = 0
    key: str = ""


class Moving(msgspec.Struct, frozen=True):
    """A file of ``size`` bytes starts being sent or fetched; it is identified by its ``key`` until its change is
    done."""

    key: str
    size: int


class PhaseDone(msgspec.Struct, frozen=True):
    """A phase ended."""

    phase: Phase


class Waiting(msgspec.Struct, frozen=True):
    """``count`` new files may still be being written; they are checked again after ``seconds``."""

    count: int
    seconds: float


class Unanswered(msgspec.Struct, frozen=True):
    """A store has not answered a request for ``seconds``."""

    store: str
    seconds: float


class ChangeDone(msgspec.Struct, frozen=True):
    """One change has its outcome."""

    outcome: Outcome


class Warned(msgspec.Struct, frozen=True):
    """A warning that deserves a line on stderr now."""

    message: str


Event: TypeAlias = PhaseStarted | Moving | Advanced | PhaseDone | Waiting | Unanswered | ChangeDone | Warned
Listener: TypeAlias = Callable[[Event], None]


def silent(_event: Event) -> None:
    """Ignores an event."""


def counted(rows: Iterable[T], phase: Phase, listener: Listener) -> Iterator[T]:
    """Yields the rows as they come, reporting each as progress of the phase."""
    for row in rows:
        listener(Advanced(phase, 1))
        yield row
