"""Decides what a watcher does and when: files that change, settle and are taken in batches; retries; periodic passes.

It reads no clock and no file: callers pass in the time (seconds of a monotonic clock), what has changed, and how passes
ended.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from enum import Enum

import msgspec

from reconcile.core.plan import Scope
from reconcile.core.rows import Signature
from reconcile.core.rules import AssetMap

MAX_WAIT = 30.0
"""Seconds after which ready files are taken even if others are still changing."""
FIRST_RETRY = 5.0
LAST_RETRY = 300.0
LAST_LOCK_RETRY = 60.0
MOST_PATHS = 10_000
"""The maximum number of waiting files; beyond it, the next pass covers the whole project."""
MOST_CHARACTERS = 20
"""The maximum number of characters in one pass; beyond it, the pass covers the whole project."""

_QUIET = 0.5
_HELD_FIRST = 5.0
_HELD_LAST = 60.0


class Poll(Enum):
    """Whether to scan the folder regularly instead of waiting for the system's events."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Cause(Enum):
    """Why a pass is made."""

    START = "start"
    FILES = "files"
    LOCAL_DATABASE = "local_database"
    RULES = "rules"
    FOLDER = "folder"
    PERIODIC = "periodic"
    RETRY = "retry"


class Seen(msgspec.Struct, frozen=True):
    """What was seen while waiting for a folder to change.

    ``armed`` says how the folder is watched from now on, and why; what happened before that is unknown. ``gone`` means
    that the folder is missing.
    """

    paths: tuple[str, ...] = ()
    armed: str | None = None
    gone: bool = False


class Look(msgspec.Struct, frozen=True):
    """The present look of a file or folder."""

    signature: Signature
    folder: bool = False


class Batch(msgspec.Struct, frozen=True):
    """The subject of one pass: these files and characters, or everything if it is ``whole``."""

    cause: Cause
    whole: bool
    paths: dict[str, Signature]
    char_ids: frozenset[str]

    def with_(self, other: Batch) -> Batch:
        return Batch(
            self.cause, self.whole or other.whole, {**self.paths, **other.paths}, self.char_ids | other.char_ids
        )


class _Waiting(msgspec.Struct):
    """A file that is checked again when it is ``due``.

    It is settling or, with a ``delay`` between two checks, held back because it is incomplete; ``reason`` is what it
    lacked when it was last held back.
    """

    due: float
    since: float
    signature: Signature | None = None
    reason: str | None = None
    delay: float = 0.0


class _Retry:
    """What failed, and when it is retried; before ``blocked_until``, no other pass is made."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self.batch: Batch | None = None
        self.at = 0.0
        self.blocked_until = 0.0
        self._jitter = jitter
        self._failures = 0

    def add(self, batch: Batch, now: float, *, alone: bool, longest: float) -> float:
        """Adds a failed pass; returns the seconds until it is retried."""
        self._failures += 1
        # The exponent is bounded: the power could be too large for a float.
        delay = min(FIRST_RETRY * 2.0 ** min(self._failures - 1, 30), longest)
        delay *= 0.5 + 0.5 * self._jitter()
        both = batch if self.batch is None else self.batch.with_(batch)
        self.batch = both if len(both.paths) <= MOST_PATHS else Batch(both.cause, True, {}, frozenset())
        self.at = now + delay
        self.blocked_until = 0.0 if alone else self.at
        return delay

    def others_went_well(self) -> None:
        """Notes that a pass succeeded, so the stores can be reached."""
        self.blocked_until = 0.0
        if self.batch is None:
            self._failures = 0


class Agenda:
    """The pending work of a watcher. Its memory is bounded by ``MOST_PATHS``."""

    def __init__(self, *, settle: float, every: float, now: float, jitter: Callable[[], float]) -> None:
        """``jitter`` returns random numbers from 0 to 1."""
        self._settle = max(settle, _QUIET)
        self._every = every
        self._waiting: dict[str, _Waiting] = {}
        self._ready: dict[str, Signature] = {}
        self._char_ids: set[str] = set()
        self._since: float | None = None
        self._taken: dict[str, Signature] = {}
        self._whole: Cause | None = None
        self._next_whole = now + every
        self._retry = _Retry(jitter)

    @property
    def pending(self) -> int:
        """The number of files that have changed and are not taken yet."""
        again = self._retry.batch.paths if self._retry.batch is not None else {}
        return len({*self._waiting, *self._ready, *again})

    @property
    def held(self) -> int:
        """The number of files held back because they are incomplete."""
        return sum(found.delay > 0 for found in self._waiting.values())

    @property
    def is_failing(self) -> bool:
        return self._retry.batch is not None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is due before the next periodic pass, except files that somebody has to finish."""
        waits = self._is_settling or self._ready or self._char_ids
        return not waits and self._whole is None and self._retry.batch is None

    # -- what happened --

    def touch(self, paths: Iterable[str], now: float) -> int:
        """Adds files that have changed; returns how many of them were not pending."""
        new = 0
        for path in paths:
            if self._ready.pop(path, None) is not None and not (self._ready or self._char_ids):
                self._since = None
            found = self._waiting.get(path)
            new += found is None
            if found is None or found.delay:
                self._waiting[path] = _Waiting(now, now, reason=found.reason if found else None)
            else:
                found.due = found.since = now
        if self._is_full():
            self._drop()
            self.ask(Cause.FILES)
        return new

    def ask(self, cause: Cause) -> None:
        if self._whole is None:
            self._whole = cause

    def ask_for(self, char_ids: Iterable[str], now: float) -> None:
        self._char_ids.update(char_ids)
        if self._char_ids:
            self._note_ready(now)

    # -- looking at files --

    def to_look_at(self, now: float) -> list[str]:
        return [path for path, found in self._waiting.items() if found.due <= now]

    def looked(self, path: str, look: Look | None, now: float, missing: Callable[[], str | None]) -> str | None:
        """Records the present look of a file, None if it is gone. Returns why it is held back, if that is new.

        ``missing`` returns what the file lacks, and is called once it has settled.
        """
        found = self._waiting.pop(path, None) or _Waiting(now, now)
        if look is None:
            return None
        since = found.since if found.signature == look.signature else now
        due = since + self._settle
        if due > now:
            self._waiting[path] = _Waiting(due, since, look.signature, found.reason)
            return None
        if look.folder or self._taken.get(path) == look.signature:
            return None
        reason = missing()
        if reason is None:
            self._ready[path] = look.signature
            self._note_ready(now)
            return None
        delay = min(2 * found.delay, _HELD_LAST) or _HELD_FIRST
        self._waiting[path] = _Waiting(now + delay, -math.inf, look.signature, reason, delay)
        return None if found.reason == reason else reason

    # -- passes --

    def batch(self, now: float) -> Batch | None:
        """Returns what to process now, or None if nothing is due."""
        if now < self._retry.blocked_until:
            return None
        if self._retry.batch is not None and now >= self._retry.at:
            return self._take(Cause.RETRY)
        if self._whole is None and now >= self._next_whole:
            self._whole = Cause.PERIODIC
        if self._whole is not None:
            return self._take(self._whole)
        if self._since is None or (self._is_settling and now < self._since + MAX_WAIT):
            return None
        return self._take(Cause.FILES if self._ready else Cause.LOCAL_DATABASE)

    def done(self, batch: Batch, now: float) -> None:
        if batch.whole:
            self._next_whole = now + self._every
        if batch.whole or len(self._taken) + len(batch.paths) > MOST_PATHS:
            self._taken.clear()
        self._taken.update(batch.paths)
        self._retry.others_went_well()

    def look_again(self, paths: Iterable[str], now: float) -> None:
        """Adds files that a pass left out, or that are in a new folder."""
        for path in paths:
            self._taken.pop(path, None)
            if path not in self._waiting and path not in self._ready:
                self._waiting[path] = _Waiting(now, now)
        if self._is_full():
            # A pass over everything processes them instead, when they have had time to settle.
            self._drop()
            self._next_whole = min(self._next_whole, now + self._settle)

    def failed(self, batch: Batch, now: float, *, alone: bool, longest: float = LAST_RETRY) -> float:
        """Records a failed pass; returns the seconds until it is retried.

        ``alone`` means that other passes need not wait, because only a part of it failed.
        """
        delay = self._retry.add(batch, now, alone=alone, longest=longest)
        if batch.whole:
            self._next_whole = max(self._next_whole, self._retry.at)
        return delay

    def retry_now(self) -> None:
        """Retries failed passes at once, because the cause may be gone."""
        self._retry.at = self._retry.blocked_until = 0.0

    def wait(self, now: float) -> float:
        """Returns the seconds until something is due, if nothing changes."""
        times = [found.due for found in self._waiting.values()]
        passes = [self._next_whole]
        if self._retry.batch is not None:
            passes.append(self._retry.at)
        if self._whole is not None:
            passes.append(now)
        if self._since is not None:
            passes.append(self._since + MAX_WAIT if self._is_settling else now)
        times.append(max(min(passes), self._retry.blocked_until))
        return max(0.0, min(times) - now)

    @property
    def _is_settling(self) -> bool:
        return any(not found.delay for found in self._waiting.values())

    def _is_full(self) -> bool:
        return len(self._waiting) + len(self._ready) > MOST_PATHS

    def _drop(self) -> None:
        self._waiting.clear()
        self._ready.clear()
        self._since = None

    def _note_ready(self, now: float) -> None:
        if self._since is None:
            self._since = now

    def _take(self, cause: Cause) -> Batch:
        taken = Batch(cause, self._whole is not None, self._ready, frozenset(self._char_ids))
        if self._retry.batch is not None and (cause is Cause.RETRY or taken.whole):
            taken = taken.with_(self._retry.batch)
            self._retry.batch = None
        self._ready, self._char_ids, self._since, self._whole = {}, set(), None, None
        return taken


def scope_of(batch: Batch, asset_map: AssetMap, known: Collection[str], limit: Scope) -> Scope | None:
    """Returns the scope of a pass for the batch, within ``limit``; None if no rule matches any of it."""
    if limit != Scope() or batch.whole:
        return limit
    char_ids = set(batch.char_ids)
    for path in batch.paths:
        owner = owner_of(path, asset_map, known)
        if owner is None:
            return limit
        char_ids |= owner
    if len(char_ids) > MOST_CHARACTERS:
        return limit
    return Scope(tuple(sorted(char_ids))) if char_ids else None


def owner_of(path: str, asset_map: AssetMap, known: Collection[str]) -> frozenset[str] | None:
    """Returns the character who owns a file, as a set; empty if no rule matches the file, None if it is uncertain."""
    reading = asset_map.read(path, known)
    if reading is None:
        return frozenset()
    owner = reading.char_id if reading.characters else asset_map.character_in_name(path)
    return None if owner is None else frozenset({owner})
