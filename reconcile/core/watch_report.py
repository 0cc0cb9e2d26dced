"""The output of a watcher: its events, its health file, and the findings that remain from pass to pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from enum import Enum

import msgspec

from reconcile.core.changes import Finding, Severity
from reconcile.core.findings import worst_first
from reconcile.core.report import Counts
from reconcile.core.size import many
from reconcile.core.watching import Cause

FORMAT = "reconcile.watch/1"
HEALTH_FORMAT = "reconcile.watch-health/1"


class EventKind(Enum):
    """The kinds of a watcher's events."""

    STARTED = "started"
    WATCHING = "watching"
    CHANGED = "changed"
    WAITING = "waiting"
    PASS_STARTED = "pass_started"
    APPLYING = "applying"
    APPLIED = "applied"
    PLANNED = "planned"
    FAILED = "failed"
    RECOVERED = "recovered"
    WARNING = "warning"
    IDLE = "idle"
    STOPPED = "stopped"


class WatchEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event of a watcher. ``message`` is a sentence for people; the other fields are present if meaningful.

    ``bytes`` are to be uploaded (``applying``, ``planned``) or were (``applied``); ``retry_in`` is in seconds.
    """

    format: str
    event: EventKind
    time: str
    message: str
    code: str | None = None
    cause: Cause | None = None
    paths: tuple[str, ...] = ()
    count: int | None = None
    char_ids: tuple[str, ...] = ()
    run_id: str | None = None
    counts: Counts | None = None
    bytes: int | None = None
    seconds: float | None = None
    retry_in: float | None = None


class WatchState(Enum):
    """What a watcher is doing."""

    STARTING = "starting"
    PASS = "pass"
    IDLE = "idle"
    WAITING = "waiting"
    FAILING = "failing"
    STOPPED = "stopped"


class WatchHealth(msgspec.Struct, frozen=True):
    """The health of a watcher, in ``.reconcile/watch-health.json``.

    Times are RFC 3339; ``heard`` is when it last gave a sign of life, ``last_good_pass`` is null before the first one,
    and ``last_error`` is the last pass's, if it failed.
    """

    format: str
    pid: int
    host: str
    since: str
    heard: str
    state: WatchState
    last_good_pass: str | None
    last_error: str | None
    pending: int
    incomplete: int


def still_open(
    before: Iterable[Finding], findings: Iterable[Finding], char_ids: Collection[str]
) -> tuple[Finding, ...]:
    """Returns the errors and warnings that still exist, the most severe first: those of ``before`` and those of a pass
    over ``char_ids``, or over everything if that is empty."""
    found = [finding for finding in findings if finding.severity is not Severity.INFO and not finding.is_waived]
    if char_ids:
        again = {finding.subject for finding in found}
        found += [each for each in before if each.char_id not in char_ids and each.subject not in again]
    return tuple(sorted(found, key=worst_first))


def news(before: Iterable[Finding], findings: Sequence[Finding]) -> str | None:
    """Returns a sentence about the open findings, if there are any and they are others than ``before``."""
    known = set(map(_mark, before))
    if not findings or set(map(_mark, findings)) == known:
        return None
    new = [finding for finding in findings if _mark(finding) not in known]
    counts = Counter(finding.severity.value for finding in findings)
    counted = ", ".join(many(count, name) for name, count in counts.items())
    which, shown = ("new", new) if 0 < len(new) < len(findings) else ("the first", findings)
    return f"{counted}; {which}: {shown[0].subject}: {shown[0].message}; see `reconcile plan`"


def _mark(finding: Finding) -> tuple[str, str, str]:
    """Returns a finding's identity, without the character, which one pass may know and another may not."""
    return finding.code.value, finding.subject, finding.message
