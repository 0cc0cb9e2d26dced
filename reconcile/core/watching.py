"""What a watcher has to do and when: files that change, settle and are taken in batches; retries; the periodic pass.

Pure: it is told the time (seconds of a clock that only goes forward), what was seen to change and how passes ended.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from enum import Enum
from typing import TypeAlias

import msgspec

from reconcile.core.plan import Scope
from reconcile.core.rules import AssetMap, Ownership

EVERY = 3600.0
MAX_WAIT = 30.0
"""Seconds after which files that are ready are taken, even while others are still changing."""
FIRST_RETRY = 5.0
LAST_RETRY = 300.0
LAST_LOCK_RETRY = 60.0
MOST_PATHS = 10_000
"""Files waiting at once; if there are more, the whole project is looked at instead."""
MOST_CHARACTERS = 20
"""Characters of one pass; if there are more, the whole project is looked at instead."""

_QUIET = 0.5
_HELD_FIRST = 5.0
_HELD_LAST = 60.0

Signature: TypeAlias = tuple[int, int, int, int]
"""Size, modification time, change time (ns) and file id: what is compared to see that a file has stopped changing."""


class Poll(Enum):
    """When to look at the folder instead of waiting for the system's events."""

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
    """What came of waiting for a folder. ``armed`` says how it is watched from now on, with the reason; whatever
    happened before is not known. ``gone`` is that the folder is not there."""

    paths: tuple[str, ...] = ()
    armed: str | None = None
    gone: bool = False


class Look(msgspec.Struct, frozen=True):
    """A file as it stands."""

    signature: Signature
    folder: bool = False


class Batch(msgspec.Struct, frozen=True):
    """What one pass is to take. ``whole`` is everything there is."""

    cause: Cause
    whole: bool
    paths: dict[str, Signature]
    char_ids: frozenset[str]

    def with_(self, other: Batch) -> Batch:
        return Batch(
            self.cause,
            self.whole or other.whole,
            {**self.paths, **other.paths},
            self.char_ids | other.char_ids,
        )


class _Waiting(msgspec.Struct):
    """A file that is looked at again when it is ``due``. It settles, or, with a ``delay`` between two looks, it is held
    back because it is incomplete; ``reason`` is what it lacked when it was last held back."""

    due: float
    since: float
    signature: Signature | None = None
    reason: str | None = None
    delay: float = 0.0


class _Retry:
    """What failed, and when it is tried again; ``blocked_until`` is when any other pass may be made."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self.batch: Batch | None = None
        self.at = 0.0
        self.blocked_until = 0.0
        self._jitter = jitter
        self._failures = 0

    def add(self, batch: Batch, now: float, *, alone: bool, longest: float) -> float:
        """Takes up what failed; gives the seconds until it is tried again."""
        self._failures += 1
        # The exponent is bounded, because a number may be too large for a float.
        delay = min(FIRST_RETRY * 2.0 ** min(self._failures - 1, 30), longest)
        delay *= 0.5 + 0.5 * self._jitter()
        both = batch if self.batch is None else self.batch.with_(batch)
        self.batch = both if len(both.paths) <= MOST_PATHS else Batch(both.cause, True, {}, frozenset())
        self.at = now + delay
        self.blocked_until = 0.0 if alone else self.at
        return delay

    def others_went_well(self) -> None:
        """A pass went well, so the stores are there."""
        self.blocked_until = 0.0
        if self.batch is None:
            self._failures = 0


class Agenda:
    """What is pending. Memory is bounded by ``MOST_PATHS``; nothing here reads a clock or a file."""

    def __init__(self, *, settle: float, every: float, now: float, jitter: Callable[[], float]) -> None:
        """``jitter`` gives numbers from 0 to 1."""
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
        """Files that were seen and are not taken yet."""
        again = self._retry.batch.paths if self._retry.batch is not None else {}
        return len({*self._waiting, *self._ready, *again})

    @property
    def held(self) -> int:
        """Files among them that are not complete."""
        return sum(found.delay > 0 for found in self._waiting.values())

    @property
    def is_failing(self) -> bool:
        return self._retry.batch is not None

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits except for the next periodic pass, or for somebody to finish a file."""
        waits = self._is_settling or self._ready or self._char_ids
        return not waits and self._whole is None and self._retry.batch is None

    # -- what happened --

    def touch(self, paths: Iterable[str], now: float) -> int:
        """These files were seen to change; gives how many of them were not pending."""
        new = 0
        for path in paths:
            self._unready(path)
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
        """A file was looked at; None if it has gone. ``missing`` says what it lacks, and is asked when the file has
        settled. Gives the reason for which it is held back, if it is a new one."""
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
        """What to take now, or None if it is not time yet."""
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
        """These files may be there to be taken: a pass left them, or they lie in a new folder."""
        for path in paths:
            self._taken.pop(path, None)
            if path not in self._waiting and path not in self._ready:
                self._waiting[path] = _Waiting(now, now)
        if self._is_full():
            # A pass over everything takes them instead, once they can have settled.
            self._drop()
            self._next_whole = min(self._next_whole, now + self._settle)

    def failed(self, batch: Batch, now: float, *, alone: bool, longest: float = LAST_RETRY) -> float:
        """The pass failed; gives the seconds until it is tried again. ``alone`` if only a part of it failed, so that
        others need not wait."""
        delay = self._retry.add(batch, now, alone=alone, longest=longest)
        if batch.whole:
            self._next_whole = max(self._next_whole, self._retry.at)
        return delay

    def retry_now(self) -> None:
        """What was in the way is not any more."""
        self._retry.at = self._retry.blocked_until = 0.0

    def wait(self, now: float) -> float:
        """Seconds until something is to be done, if nothing happens."""
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

    def _unready(self, path: str) -> None:
        if self._ready.pop(path, None) is not None and not (self._ready or self._char_ids):
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
    """What a pass must look at to take the batch, within ``limit``; None if nothing in it is anybody's."""
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
    """The character whose file it is, as a set; empty for a file that no rule takes, None if it is not sure."""
    reading = asset_map.read(path, known)
    if reading is None:
        return frozenset()
    if reading.ownership is Ownership.KNOWN and reading.char_id is not None:
        return frozenset({reading.char_id})
    named = asset_map.character_in_name(path) if reading.ownership is Ownership.UNKNOWN else None
    return None if named is None else frozenset({named})
