"""The options of one run, and the limits that hold unless they say otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from reconcile.adapters.local.settle import Looks
from reconcile.adapters.meter import Witness
from reconcile.core.bandwidth import UNLIMITED, Timetable
from reconcile.core.notes import Note

CONCURRENCY = 8
"""Requests at once, unless a run asks for more."""
RETRIES_A_WORKER = 16
"""What it takes each worker to wait until a store that is down for a while answers again."""
APART_FROM = 10_000
"""Local files from which on it is faster to start a second process for them than to do without."""
MEMORY = 64 * 2**20
"""Bytes that the rows of one planning may take together, unless a run says otherwise."""


class RunOptions(msgspec.Struct, frozen=True):
    """What one run needs of a project, besides the settings.

    ``concurrency`` is how many objects are sent at once; None for as many as go fastest. With
    ``allows_empty`` a local root that held files may hold none, and with ``makes_root`` it need not be there.
    ``keeps_journal`` False writes nothing down. ``notes`` is what the caller knows of files, which are complete,
    however new; the outbox is left as it is. ``looks`` says whether other new files have settled. The rows of one
    planning take about ``memory`` bytes, and the others go to the folder ``spill`` (None: to ``.reconcile/``).
    ``scans`` are the scans of other machines whose files are planned for, in place of the local root's. ``inventory``
    is where the inventory reports of the bucket are (``gs://BUCKET/PREFIX``), the newest of which says which objects
    there are, in place of a listing.
    ``bandwidth`` is how many bytes of files are sent a second. ``wait`` sleeps, in seconds, between two attempts at a
    record. ``witness`` hears of each request. Without ``cache`` a planning takes no short cut. With ``apart`` many
    files may be walked by a second process.
    """

    concurrency: int | None = None
    allows_empty: bool = False
    makes_root: bool = False
    keeps_journal: bool = True
    notes: tuple[Note, ...] = ()
    looks: Looks | None = None
    memory: int = MEMORY
    spill: Path | None = None
    scans: tuple[Path, ...] = ()
    inventory: str | None = None
    bandwidth: Timetable = UNLIMITED
    wait: Callable[[float], None] = time.sleep
    witness: Witness | None = None
    cache: bool = True
    apart: bool = False
