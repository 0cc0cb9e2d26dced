"""A model of hours and dollars at sizes that no test reaches: one machine, sixteen shards, and Dataflow.

    python -m tests.benchmarks.model            prints the tables that docs/scale.md shows

What goes into it was measured on one machine of two cores, or is the stores' own advice and
list price; each is named below with where it comes from. What comes out is arithmetic: ramps, pages, workers that fail.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, expm1, inf, log, log1p, log10
from typing import NamedTuple

from reconcile.core.ramp import FASTEST, Ramp, Rates

# -- measured: CPU seconds for a million assets, 2 % of them out of step --

COMPARING = 33.0
"""By `python -m tests.benchmarks.many 10000000 --drift 0.0204`."""
READING = 15.0 + 2.3 + 2.1
"""The files, by the 100,000 of docs/decisions/walk.md; objects and records, by
`python -m tests.benchmarks.reading 10000000`."""
COMPARING_ON_BEAM = 500.0
"""By `many --beam`, on its local runner: the difference of 50,000 and 10,000 assets."""

# -- measured: requests --

PAGE = 0.15
"""Seconds for a page of 1,000 objects from a bucket, or of 300 records."""
RANGES_AT_ONCE = 8
LANES = 32
"""Requests for records at once on Beam, as `reconcile/pipeline/beam_sources.py` has it."""
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


def seconds_for(ramp: Ramp, operations: float, most: float = inf) -> float:
    """How long this many operations take, at the ramp's rate or at ``most`` (above 0) a second, whichever is less.
    Raises ValueError for a number of operations or a rate that has no end."""
    if not 0 <= operations < inf or not most > 0:
        raise ValueError(f"{operations} operations at {most} a second")
    growth = log(ramp.factor)
    if not growth or ramp.start >= most:
        return operations / min(ramp.start, most)
    filled = log1p(operations * (ramp.factor - 1) / ramp.start / ramp.every) / growth
    # After so many steps the rate no longer grows, or the operations end before the next one.
    steps = int(min(filled, max(0, ceil(log(min(most, FASTEST) / ramp.start) / growth))))
    before = ramp.start * ramp.every * expm1(steps * growth) / (ramp.factor - 1)
    return steps * ramp.every + max(0.0, operations - before) / min(ramp.rate((steps + 0.5) * ramp.every), most)


def night(assets: int, shards: int, *, on_beam: bool, changed: float = CHANGED) -> Night:
    """A night over this many assets, of which the part ``changed`` is to be uploaded, applied in this many shards,
    planned by one machine or on Dataflow."""
    rates, records, uploads = Rates(), assets / ASSETS_A_RECORD, assets * changed
    touched = min(uploads, records)
    readers = WORKERS * 4 if on_beam else RANGES_AT_ONCE
    listing = ceil(assets / 1_000) * PAGE / readers
    # Workers on Beam read the records as the ramp allows. One machine is not held to it: it has few requests at once.
    most = 300 / PAGE * (LANES if on_beam else readers)
    reading = seconds_for(rates.records, records, most) if on_beam else records / most
    seconds = (COMPARING_ON_BEAM + READING) * (1 + LOST) / (WORKERS * 4) if on_beam else COMPARING + READING
    cpu = assets / 1e6 * seconds
    # One machine lists and reads while it compares; workers of Dataflow start first.
    planning = max(listing, reading, cpu) + (240 if on_beam else 1)
    again = 1 + (LOST if shards > 1 else 0)
    uploading = seconds_for(rates.object_writes, uploads * again, UPLOADS_A_MACHINE * shards)
    writing = seconds_for(rates.records, 2 * touched * again, 2 * RECORDS_A_MACHINE * shards)
    stores = (assets / 1_000 + uploads * again) * CLASS_A + uploads * CLASS_B
    stores += (records + touched * again) * READ + touched * again * WRITE
    machines = planning / 3600 * (WORKERS * DATAFLOW_HOUR if on_beam else MACHINE_HOUR)
    machines += (uploading + writing) / 3600 * shards * MACHINE_HOUR
    return Night(planning / 3600, (uploading + writing) / 3600, stores, machines)


WAYS = ((1, False), (16, False), (16, True))
"""The shards, and whether Dataflow plans."""
HOURS = 8.0
"""Of a night."""
_HEAD = "| {} | one machine | planned by one, 16 shards | Dataflow, 16 shards |\n|---|---|---|---|"


def table() -> str:
    """Hours of planning and applying, and dollars, by size and by way, as Markdown."""
    lines = [_HEAD.format("assets")]
    for assets in (1_000_000, 10_000_000, 100_000_000, 1_000_000_000):
        cells = (_cell(night(assets, shards, on_beam=on_beam)) for shards, on_beam in WAYS)
        lines.append(f"| {assets:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def limits() -> str:
    """How many assets a night is long enough for, by way, as Markdown; and from how many on another way is quicker."""
    lines = [_HEAD.format(f"in {HOURS:g} hours, up to")]
    for what, changed in ((f"a night, {CHANGED:.0%} to upload", CHANGED), ("a first migration, all to upload", 1.0)):
        most = (_most(_Fits(shards, on_beam, changed)) for shards, on_beam in WAYS)
        lines.append(f"| {what} | {' | '.join(f'{_rounded(each):,} assets' for each in most)} |")
    lines.append(f"\nDataflow plans faster than one machine from {_rounded(_most(_plans_faster)):,} assets on.")
    return "\n".join(lines)


def curve() -> str:
    """The hours of a night by size, drawn with both axes logarithmic: one machine (1), planned by one and applied by 16
    (s), and Dataflow (D). The last of several at one place is shown."""
    marks = [f"{hours:g} h".ljust(_DECADE) for hours in (0.1, 1, 10, 100)]
    lines = [" " * 15 + "".join(marks).rstrip()]
    for assets in (digit * 10**power for power in range(6, 10) for digit in (1, 2, 5) if digit * 10**power <= 10**9):
        row = [" "] * (4 * _DECADE)
        for (shards, on_beam), mark in reversed(tuple(zip(WAYS, "1sD", strict=True))):
            found = night(assets, shards, on_beam=on_beam)
            hours = found.planning + found.applying
            row[max(0, round(_DECADE * log10(hours / 0.1)))] = mark
        lines.append(f"{assets:>13,}  {''.join(row).rstrip()}")
    return "\n".join(lines)


_DECADE = 16
"""Columns from one power of ten to the next."""


class _Fits(NamedTuple):
    """Whether a night is long enough."""

    shards: int
    on_beam: bool
    changed: float

    def __call__(self, assets: int) -> bool:
        found = night(assets, self.shards, on_beam=self.on_beam, changed=self.changed)
        return found.planning + found.applying <= HOURS


def _plans_faster(assets: int) -> bool:
    """Whether one machine plans no slower than Dataflow."""
    return night(assets, 1, on_beam=False).planning <= night(assets, 1, on_beam=True).planning


def _most(holds: Callable[[int], bool]) -> int:
    """The most assets for which this holds, which it does for few."""
    low, high = 1, 10**12
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _rounded(number: int) -> int:
    """The first two digits of a number, and noughts."""
    unit = 10 ** max(0, len(str(number)) - 2)
    return number // unit * unit


def _cell(found: Night) -> str:
    return f"{found.planning:.1f} + {found.applying:.1f} h, ${found.stores:,.2f} + ${found.machines:,.2f}"


if __name__ == "__main__":
    sys.stdout.write(f"{table()}\n\n{curve()}\n\n{limits()}\n")
