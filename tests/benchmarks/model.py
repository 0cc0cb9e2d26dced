"""A model of hours and dollars at sizes that no test reaches: one machine, sixteen shards, and Dataflow.

    python -m tests.benchmarks.model            prints the table that docs/scale.md shows

What goes into it was measured on one machine of two cores, or is the stores' own advice and
list price; each is named below with where it comes from. What comes out is arithmetic: ramps, pages, workers that fail.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from math import ceil

from reconcile.core.ramp import Ramp, Rates

# -- measured: CPU seconds for a million assets, 2 % of them out of step --

COMPARING = 33.0
"""By `python -m tests.benchmarks.many 10000000 --drift 0.0204`."""
READING = 23.0
"""Files, objects and records: the 100,000 of docs/performance.md, without what comparing takes."""
COMPARING_ON_BEAM = 500.0
"""By `many --beam`, on its local runner: the difference of 50,000 and 10,000 assets."""

# -- measured: requests --

PAGE = 0.15
"""Seconds for a page of 1,000 objects from a bucket, or of 300 records."""
RANGES_AT_ONCE = 8
UPLOADS_A_MACHINE = 600.0
"""Small uploads a second that one machine makes."""
RECORDS_A_MACHINE = 250.0
"""Records a second that one machine changes: each is read and written."""

# -- assumed of the work --

ASSETS_A_RECORD = 10
CHANGED = 0.02
"""The part of the assets that a night has to upload, each with a field of its record."""
LOST = 0.05
"""The part of the work of shards and workers that is done again because they were killed."""
WORKERS = 50
"""Of Dataflow, with 4 processors each."""

# -- list prices, US dollars, as in docs/cost.md --

CLASS_A, CLASS_B = 0.005 / 1_000, 0.0004 / 1_000
READ, WRITE = 0.06 / 100_000, 0.18 / 100_000
MACHINE_HOUR = 0.14
"""Of four processors."""
DATAFLOW_HOUR = 0.24
"""The same, with what Dataflow adds."""


@dataclass(frozen=True)
class Night:
    """Hours of planning and of applying, and dollars for the stores and for the machines."""

    planning: float
    applying: float
    stores: float
    machines: float


def seconds_for(operations: float, ramp: Ramp, most: float) -> float:
    """How long so many operations take, at the ramp's rate or ``most`` a second, whichever is less."""
    passed = 0.0
    while operations > 0:
        rate = min(ramp.rate(passed), most)
        step = min(operations / rate, ramp.every - passed % ramp.every)
        operations -= rate * step
        passed += step
    return passed


def night(assets: int, shards: int, *, on_beam: bool) -> Night:
    """A night over so many assets, applied in so many shards, planned by one machine or on Dataflow."""
    rates, records, changed = Rates(), assets / ASSETS_A_RECORD, assets * CHANGED
    touched = min(changed, records)
    readers = WORKERS * 4 if on_beam else RANGES_AT_ONCE
    listing = ceil(assets / 1_000) * PAGE / readers
    reading = seconds_for(records, rates.records, 300 / PAGE * readers)
    seconds = (COMPARING_ON_BEAM + READING) * (1 + LOST) / (WORKERS * 4) if on_beam else COMPARING + READING
    cpu = assets / 1e6 * seconds
    # One machine lists and reads while it compares; workers of Dataflow start first.
    planning = max(listing, reading, cpu) + (240 if on_beam else 1)
    again = 1 + (LOST if shards > 1 else 0)
    uploading = seconds_for(changed * again, rates.object_writes, UPLOADS_A_MACHINE * shards)
    writing = seconds_for(2 * touched * again, rates.records, 2 * RECORDS_A_MACHINE * shards)
    stores = (assets / 1_000 + changed * again) * CLASS_A + changed * CLASS_B
    stores += (records + touched * again) * READ + touched * again * WRITE
    machines = planning / 3600 * (WORKERS * DATAFLOW_HOUR if on_beam else MACHINE_HOUR)
    machines += (uploading + writing) / 3600 * shards * MACHINE_HOUR
    return Night(planning / 3600, (uploading + writing) / 3600, stores, machines)


def table() -> str:
    """The table as Markdown: hours of planning and applying, and dollars, by size and by road."""
    lines = [
        "| assets | one machine | planned by one, 16 shards | Dataflow, 16 shards |",
        "|---|---|---|---|",
    ]
    for assets in (1_000_000, 10_000_000, 100_000_000, 1_000_000_000):
        roads = ((1, False), (16, False), (16, True))
        cells = (_cell(night(assets, shards, on_beam=on_beam)) for shards, on_beam in roads)
        lines.append(f"| {assets:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(found: Night) -> str:
    return f"{found.planning:.1f} + {found.applying:.1f} h, ${found.stores:,.2f} + ${found.machines:,.2f}"


if __name__ == "__main__":
    sys.stdout.write(f"{table()}\n")
