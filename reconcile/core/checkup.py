"""The result of `doctor`: each thing that a run needs, what was tried, the answer, and what to do about it."""

from __future__ import annotations

from enum import Enum

import msgspec

FORMAT = "reconcile.doctor/1"


class Health(Enum):
    """The health of one thing. With a warning, runs work, but something that they are used for will not."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


class Check(msgspec.Struct, frozen=True):
    """One check. ``mend`` is a command, a role or a step; empty if nothing is wrong."""

    name: str
    health: Health
    tried: str
    found: str
    mend: str = ""


class Checkup(msgspec.Struct, frozen=True):
    """The document of ``doctor --json``. ``healthy`` is true if nothing failed."""

    format: str
    healthy: bool
    checks: tuple[Check, ...]
