"""The options of one run, and the default limits."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from reconcile.adapters.local.settle import FirstLooks
from reconcile.adapters.meter import RequestListener
from reconcile.core.bandwidth import UNLIMITED, Timetable
from reconcile.core.notes import Note

CONCURRENCY = 8
"""Concurrent requests, unless a run sets another number."""
RETRIES_A_WORKER = 16
"""Enough retries for each worker to wait until a store recovers from an outage."""
APART_FROM = 10_000
"""The number of local files from which on a second process to walk them is worth its start."""
MEMORY = 64 * 2**20
"""Bytes that the rows of one planning may use together, by default."""


class RunOptions(msgspec.Struct, frozen=True):
    """The options of a run, besides the project's settings.

    ``concurrency`` is how many objects are sent at once; None means as many as go fastest. ``allows_empty`` accepts a
    local root that lost all its files, ``makes_root`` a missing one. ``keeps_journal`` False writes no journal.
    ``notes`` are the caller's notes on files, which are complete, however new; the outbox is left as it is. ``looks``
    decides whether other new files have settled. The rows of one planning use about ``memory`` bytes, and the rest is
    spilled to the folder ``spill`` (None: to ``.reconcile/``).

    ``scans`` are the scans of other machines whose files are planned instead of the local root's. ``inventory`` is the
    location of the bucket's inventory reports (``gs://BUCKET/PREFIX``), the newest of which replaces the listing of
    objects.

    ``bandwidth`` limits the bytes of files sent per second. ``wait`` sleeps, in seconds, between two attempts at a
    record. ``witness`` hears of each request. Without ``cache``, a planning takes no shortcut. With ``apart``, many
    files may be walked by a second process.
    """

    concurrency: int | None = None
    allows_empty: bool = False
    makes_root: bool = False
    keeps_journal: bool = True
    notes: tuple[Note, ...] = ()
    looks: FirstLooks | None = None
    memory: int = MEMORY
    spill: Path | None = None
    scans: tuple[Path, ...] = ()
    inventory: str | None = None
    bandwidth: Timetable = UNLIMITED
    wait: Callable[[float], None] = time.sleep
    witness: RequestListener | None = None
    cache: bool = True
    apart: bool = False
