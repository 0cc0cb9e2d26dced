"""What a long run says while it works; the views turn events into lines and bars."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import TypeAlias, TypeVar

import msgspec

from reconcile.core.report import Outcome

T = TypeVar("T")


class Phase(Enum):
    """A stretch of work that a person waits for."""

    RECORDS = "reading records"
    LISTING = "listing files and objects"
    UPLOADS = "uploading"
    WRITING = "writing records"
    PROVING = "checking objects"
    RESTORING = "restoring files"


class PhaseStarted(msgspec.Struct, frozen=True):
    """A phase begins; totals are None if they are not known beforehand."""

    phase: Phase
    total: int | None = None
    total_bytes: int | None = None


class Advanced(msgspec.Struct, frozen=True):
    """Progress in a phase: items done, and bytes (negative if a retry starts over), of the file ``key`` if that is
    known."""

    phase: Phase
    count: int = 0
    size: int = 0
    key: str = ""


class Moving(msgspec.Struct, frozen=True):
    """A file of ``size`` bytes begins to be sent or fetched; it goes by its ``key`` until its change is done."""

    key: str
    size: int


class PhaseDone(msgspec.Struct, frozen=True):
    """A phase ended."""

    phase: Phase


class Waiting(msgspec.Struct, frozen=True):
    """``count`` files are new and may still be being written; they are looked at again after ``seconds``."""

    count: int
    seconds: float


class Unanswered(msgspec.Struct, frozen=True):
    """A store has been asked, and has not answered for ``seconds``."""

    store: str
    seconds: float


class ChangeDone(msgspec.Struct, frozen=True):
    """One change has its outcome."""

    outcome: Outcome


class Warned(msgspec.Struct, frozen=True):
    """Something that is worth a line on stderr now."""

    message: str


Event: TypeAlias = PhaseStarted | Moving | Advanced | PhaseDone | Waiting | Unanswered | ChangeDone | Warned
Listener: TypeAlias = Callable[[Event], None]


def silent(_event: Event) -> None:
    """Listens to nothing."""


def counted(rows: Iterable[T], phase: Phase, listener: Listener) -> Iterator[T]:
    """The rows as they come, each of them reported as progress of the phase."""
    for row in rows:
        listener(Advanced(phase, 1))
        yield row
