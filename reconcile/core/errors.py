"""The error tree. Each class carries its exit code and its stable machine code.

ReconcileError
├── UsageError              64  the command line, or a file named on it, is wrong
├── ConfigError             78  the rules file is wrong
│   └── LocalDatabaseError  78  the pipeline's own JSON database is wrong
├── SourceError              1  the local root, or a file below it, could not be read
│   └── SourceChanged           a file is no longer the one that was planned
├── StoreError               1  a bucket or a database did not do what was asked
│   ├── StoreUnavailable        down, or still failing when the retries ran out
│   ├── AccessDenied            it answered that we may not
│   ├── StoreMissing            the bucket, or the database, is not there
│   ├── Rejected                it refused this value for good (bad checksum, too large, bad name)
│   ├── PreconditionFailed      the world moved since it was read; nothing was written
│   │   └── NotThere            what was to be changed does not exist
│   └── Uncertain               the write may or may not have been applied: settle it by reading
├── JournalError             1  the journal of a run cannot be written, so nothing (more) is changed; or cannot be read
├── StateError               1  what is in .reconcile/ is not ours: a link, a pipe, another user's
├── SpillError               1  a plan outgrew its memory, and the folder for that is full or cannot be used
├── Refused                  4  a safety limit; --force goes past it
├── Declined                 5  answered no at the prompt
├── LockHeld                75  another run holds the lock
└── Interrupted            130
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

from reconcile.core.portable import Portable


class ExitCode(IntEnum):
    """What a scheduler can rely on."""

    OK = 0
    FAILED = 1
    DIFFERENCES = 2
    STALE = 3
    REFUSED = 4
    DECLINED = 5
    FINDINGS = 6
    USAGE = 64
    LOCKED = 75
    CONFIG = 78
    INTERRUPTED = 130


class ReconcileError(Portable, Exception):
    """One sentence that says what and where; ``hint`` says what to do next. Goes through pickle whole."""

    code = "error"
    exit_code = ExitCode.FAILED
    transient = False
    """Whether the same may succeed a little later, with nothing changed."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def sentence(self) -> str:
        """The message with the hint, on one line."""
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(ReconcileError):
    code = "usage"
    exit_code = ExitCode.USAGE


class ConfigError(ReconcileError):
    code = "config"
    exit_code = ExitCode.CONFIG


class LocalDatabaseError(ConfigError):
    code = "local_database"


class SourceError(ReconcileError):
    code = "local"


class SourceChanged(SourceError):
    code = "source_changed"


class StoreError(ReconcileError):
    code = "store"


class StoreUnavailable(StoreError):
    code = "unavailable"
    transient = True


class AccessDenied(StoreError):
    code = "denied"


class StoreMissing(StoreError):
    code = "store_missing"


class Rejected(StoreError):
    code = "rejected"


class PreconditionFailed(StoreError):
    code = "precondition"


class NotThere(PreconditionFailed):
    code = "not_there"


class Uncertain(StoreError):
    code = "uncertain"
    transient = True


class JournalError(ReconcileError):
    code = "journal"


class StateError(ReconcileError):
    code = "state"


class SpillError(ReconcileError):
    code = "spill"


class Refused(ReconcileError):
    code = "refused"
    exit_code = ExitCode.REFUSED


class Declined(ReconcileError):
    code = "declined"
    exit_code = ExitCode.DECLINED


class LockHeld(ReconcileError):
    code = "locked"
    exit_code = ExitCode.LOCKED


class Interrupted(ReconcileError):
    code = "interrupted"
    exit_code = ExitCode.INTERRUPTED


def kind_of(code: str) -> type[ReconcileError]:
    """The class of error that has this code; ReconcileError itself if no class has it."""
    return next((kind for kind in _family(ReconcileError) if kind.code == code), ReconcileError)


def _family(kind: type[ReconcileError]) -> Iterator[type[ReconcileError]]:
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == __name__:
            yield from _family(below)
