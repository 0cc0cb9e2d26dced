"""When to stop trying: a store that refuses everything ends a run early, with one sentence instead of ten thousand."""

from __future__ import annotations

import threading
from collections import Counter

import msgspec

from reconcile.core.changes import Change, is_object
from reconcile.core.errors import AccessDenied, ReconcileError, StoreMissing, StoreUnavailable, Uncertain
from reconcile.core.report import Problem

REFUSALS = 8
"""Failures in a row, with no success between, after which a store counts as refusing everything."""


class Breaker:
    """Counts the refusals of one phase of a run; safe for several threads.

    Permission may be lacking for a part of the bucket alone, and keys come in order: so a folder is not tried on after
    so many in a row that may not be written, and counts as one refusal among those that end the phase.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._denied: Counter[str] = Counter()
        self._last: Problem | None = None

    @property
    def tripped(self) -> Problem | None:
        """Why nothing more is tried; None as long as something may work."""
        last = self._last
        if last is None or self._in_a_row < REFUSALS:
            return None
        why = f"the store refused {REFUSALS} times in a row, so the rest was not tried; the last time: {last.message}"
        return msgspec.structs.replace(last, message=why)

    def bars(self, change: Change) -> Problem | None:
        """Why this change is not tried; None if it is to be."""
        folder = _folder(change)
        if folder is None or self._denied[folder] < REFUSALS:
            return None
        where = repr(folder) if folder else "the prefix itself"
        return Problem(
            AccessDenied.code, f"{REFUSALS} objects of {where} were denied in a row, so the rest was not tried"
        )

    def succeeded(self, change: Change) -> None:
        """A change was made."""
        with self._lock:
            self._in_a_row = 0
            self._denied.pop(_folder(change) or "", None)

    def failed(self, change: Change, error: ReconcileError) -> None:
        """A change failed; only a refusal counts."""
        if not isinstance(error, AccessDenied | StoreUnavailable | StoreMissing | Uncertain):
            return
        with self._lock:
            self._last = Problem.of(error)
            folder = _folder(change)
            if isinstance(error, AccessDenied) and folder is not None:
                self._denied[folder] += 1
                if self._denied[folder] > 1:
                    return
            self._in_a_row += 1


def _folder(change: Change) -> str | None:
    """The folder of an object; None for what is no object."""
    return change.key.rpartition("/")[0] if is_object(change) else None
