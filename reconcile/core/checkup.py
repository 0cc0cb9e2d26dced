"""What `doctor` found: each thing a run needs, what was tried, what came back, and what to do about it."""

from __future__ import annotations

from enum import Enum

import msgspec

FORMAT = "reconcile.doctor/1"


class Health(Enum):
    """How one thing is. A warning lets runs work, but something that they are used for will not."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


class Check(msgspec.Struct, frozen=True):
    """One thing. ``mend`` is a command, a role or a step; empty if nothing is wrong."""

    name: str
    health: Health
    tried: str
    found: str
    mend: str = ""


class Checkup(msgspec.Struct, frozen=True):
    """``doctor --json``. ``healthy`` is true if nothing failed."""

    format: str
    healthy: bool
    checks: tuple[Check, ...]


class BucketFacts(msgspec.Struct, frozen=True):
    """What a bucket says of itself. ``soft_delete`` is how many seconds an overwritten object is kept."""

    versioning: bool
    soft_delete: int
    requester_pays: bool
