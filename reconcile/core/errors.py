"""The error tree, as users see it too: each class has its exit code and its stable machine code.

ReconcileError
├── UsageError
├── ConfigError
│   └── LocalDatabaseError
├── SourceError
│   └── SourceChanged
├── StoreError
│   ├── StoreUnavailable
│   ├── AccessDenied
│   ├── StoreMissing
│   ├── Rejected
│   ├── PreconditionFailed
│   │   └── NotThere
│   └── Uncertain
├── JournalError
├── StateError
├── SpillError
├── Refused
├── Declined
├── LockHeld
└── Interrupted
"""

from __future__ import annotations

from enum import IntEnum

from reconcile.core.portable import NOTES, Portable


class ExitCode(IntEnum):
    """Exit codes, which a scheduler can rely on."""

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
    """The root of all errors.

    ``message`` is one sentence that says what and where, ``hint`` says what to do next, ``code`` is a name for
    programs, and ``transient`` says whether the same may succeed a little later without any change. It can be pickled.
    """

    code = "error"
    exit_code = ExitCode.FAILED
    transient = False
    _hint = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def hint(self) -> str:
        """What to do next; empty if there is nothing to say. It is also a note, so a traceback shows it."""
        return self._hint

    @hint.setter
    def hint(self, hint: str) -> None:
        others = [note for note in getattr(self, NOTES, ()) if note != f"hint: {self._hint}"]
        setattr(self, NOTES, [f"hint: {hint}", *others] if hint else others)
        self._hint = hint

    @property
    def sentence(self) -> str:
        """The message with the hint, on one line."""
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(ReconcileError):
    """A command line, a call, or a file that it names is wrong."""

    code = "usage"
    exit_code = ExitCode.USAGE


class ConfigError(ReconcileError):
    """The rules file is wrong or missing."""

    code = "config"
    exit_code = ExitCode.CONFIG


class LocalDatabaseError(ConfigError):
    """The pipeline's own JSON database is invalid."""

    code = "local_database"


class SourceError(ReconcileError):
    """The local root, or a file below it, could not be read."""

    code = "local"


class SourceChanged(SourceError):
    """A file is no longer the one that was planned."""

    code = "source_changed"


class StoreError(ReconcileError):
    """A bucket or a database did not do what was requested."""

    code = "store"


class StoreUnavailable(StoreError):
    """The store is down, or was still failing when the retries were used up."""

    code = "unavailable"
    transient = True


class AccessDenied(StoreError):
    """The store answered that these credentials may not do this."""

    code = "denied"


class StoreMissing(StoreError):
    """The bucket or the database does not exist."""

    code = "store_missing"


class Rejected(StoreError):
    """The store refused this value permanently: a wrong checksum, too large, a bad name."""

    code = "rejected"


class PreconditionFailed(StoreError):
    """The store's contents changed since they were read; nothing was written."""

    code = "precondition"


class NotThere(PreconditionFailed):
    """The object or document to be changed or read does not exist."""

    code = "not_there"


class Uncertain(StoreError):
    """The write may or may not have been applied: only reading can tell."""

    code = "uncertain"
    transient = True


class JournalError(ReconcileError):
    """The journal of a run cannot be read, or cannot be written, in which case nothing (more) is changed."""

    code = "journal"


class StateError(ReconcileError):
    """Something in .reconcile/ is not ours: a link, a pipe, another user's file."""

    code = "state"


class SpillError(ReconcileError):
    """A plan outgrew its memory, and the spill folder is full or cannot be used."""

    code = "spill"


class Refused(ReconcileError):
    """A safety limit stopped the run; ``force`` overrides it."""

    code = "refused"
    exit_code = ExitCode.REFUSED


class Declined(ReconcileError):
    """A person answered no at the prompt."""

    code = "declined"
    exit_code = ExitCode.DECLINED


class LockHeld(ReconcileError):
    """Another run holds the project's lock."""

    code = "locked"
    exit_code = ExitCode.LOCKED


class Interrupted(ReconcileError):
    """A signal stopped the run; the next run continues from there."""

    code = "interrupted"
    exit_code = ExitCode.INTERRUPTED


def not_as_planned(where: str, name: str, found: int, expected: int) -> PreconditionFailed:
    """Returns the error for an object whose generation is not the expected one; 0 stands for no object."""
    held, wanted = (f"generation {each}" if each else "nothing" for each in (found, expected))
    kind = PreconditionFailed if found else NotThere
    return kind(f"{where} holds {held} at {name!r} where {wanted} was planned on", hint="plan again")


def as_ours(error: BaseException) -> ReconcileError:
    """Returns the error itself, or a ReconcileError that describes it and has it as its cause."""
    if isinstance(error, ReconcileError):
        return error
    ours = ReconcileError(f"{type(error).__name__}: {error}", hint="see the traceback of the cause")
    ours.__cause__ = error
    return ours


def kind_of(code: str) -> type[ReconcileError]:
    """Returns the error class with this code, or ReconcileError if no class has it."""
    return _KINDS.get(code, ReconcileError)


_KINDS = {
    each.code: each for each in list(vars().values()) if isinstance(each, type) and issubclass(each, ReconcileError)
}
