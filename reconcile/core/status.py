"""The status table: one row for each asset type (or character), from set differences and hashes."""

from __future__ import annotations

from enum import Enum

import msgspec

FORMAT = "reconcile.status/1"
NO_CHARACTER = "No character"
"""The label of the row for assets of no character."""


class Sync(Enum):
    """The state of a row."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    MISSING = "missing"
    EMPTY = "empty"


class Tally(msgspec.Struct):
    """Counts of distinct keys: local, in the bucket, named by a record with the right URI, in step, with planned
    changes."""

    local: int = 0
    bucket: int = 0
    records: int = 0
    in_step: int = 0
    to_do: int = 0
    keys: int = 0

    def sync(self) -> Sync:
        """Returns the row's state: complete only if every key is in step, whatever the counts."""
        if self.keys == 0:
            return Sync.COMPLETE if self.local or self.bucket else Sync.EMPTY
        if self.in_step == self.keys:
            return Sync.COMPLETE
        return Sync.MISSING if self.bucket == 0 else Sync.PARTIAL


class StatusRow(msgspec.Struct, frozen=True):
    """A row of the table.

    ``asset_type`` is None in the row for files that no rule claims, and in rows by character. ``attention`` counts its
    errors and warnings that no waiver covers.
    """

    asset_type: str | None
    label: str
    local: int
    bucket: int
    records: int
    in_step: int
    to_do: int
    sync: Sync
    char_id: str | None = None
    attention: int = 0


class StatusTable(msgspec.Struct, frozen=True):
    """The document of ``status --json``.

    Without ``complete``, a part of a store could not be read, and counts may be too low. ``last_good_run`` is when an
    apply of everything, on this machine, last left nothing undone (RFC 3339), or null. ``waived`` findings are accepted
    by the rules file, and ``attention`` counts the other errors and warnings: those of the rows and, in a table by
    type, those about a record as a whole.
    """

    format: str
    rows: tuple[StatusRow, ...]
    complete: bool = True
    last_good_run: str | None = None
    waived: int = 0
    attention: int = 0
