"""The words for the values of plans, findings and reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from msgspec import Struct

from reconcile.core.changes import (
    Copy,
    CreateRecord,
    Finding,
    Reason,
    Replace,
    RewriteLocalDb,
    SetField,
    SetMetadata,
    Severity,
    Upload,
)
from reconcile.core.report import OutcomeKind, Status
from reconcile.core.rows import Outlook, World
from reconcile.core.size import decimal
from reconcile.core.size import many as many
from reconcile.core.way import Way, place_at

size = decimal

REASONS = {
    Reason.MISSING_IN_BUCKET: "not in the bucket yet",
    Reason.CONTENT_DIFFERS: "the bucket has different content",
    Reason.GENERIC_TYPE: "its content type says nothing of what it is",
    Reason.LOCAL_PATH: "holds a local path",
    Reason.UNTRACKED: "the record does not name this file yet",
    Reason.DANGLING: "names something that is not there",
    Reason.DAMAGED_PATH: "holds a local path whose escapes became control characters",
    Reason.MISSING_RECORD: "in the local database, without a record",
    Reason.INDEX: "an asset type for queries",
    Reason.UNDO: "as it was before the run",
}


class ChangeLook(NamedTuple):
    """The appearance of a kind of change: its sign and style on a terminal, the meaning of the sign, its look and name
    on the page, and the field of ``Work`` that counts it."""

    sign: str
    style: str
    meaning: str
    look: str
    name: str
    counted: str


LOOKS: dict[type[Struct], ChangeLook] = {
    Upload: ChangeLook("↑", "green", "upload", "new", "Upload", "uploads"),
    Replace: ChangeLook("!", "bold red", "replace what the bucket has", "replace", "Replace", "replacements"),
    Copy: ChangeLook("=", "green", "copy in the bucket", "new", "Copy", "copies"),
    SetMetadata: ChangeLook("*", "yellow", "set the content type", "set", "Set content type", "types"),
    SetField: ChangeLook("~", "yellow", "set the field", "set", "Set field", "fields"),
    RewriteLocalDb: ChangeLook("~", "yellow", "set the field", "set", "Rewrite in the local database", "values"),
    CreateRecord: ChangeLook("+", "green", "create the record", "new", "Create record", "records"),
}
"""Every kind of change, in the order of the legend."""

OUTCOMES = {kind: kind.value.replace("_", " ") for kind in OutcomeKind} | {OutcomeKind.ALREADY: "already done"}

STATUSES = {
    Status.SUCCESS: "Done",
    Status.PARTIAL: "Done in part",
    Status.FAILED: "Failed",
    Status.STALE: "Stale in part",
    Status.INTERRUPTED: "Interrupted",
}

WORLDS = {World.RECORDS: "record", World.LOCAL_DB: "local database"}

OUTLOOKS = {
    Outlook.THERE: "its object is in the bucket, or will be after this plan",
    Outlook.ABSENT: "it will not be in the bucket",
    Outlook.NEVER: "its file is there, but is not uploaded, and the bucket does not have it",
    Outlook.BLOCKED: "something is in its way, so no record is pointed at it",
    Outlook.UNKNOWN: "what is in the bucket could not be read, so nothing is decided",
}


def took(seconds: float) -> str:
    """Returns a length of time as ``1.2 s``, ``4m10s`` or ``1h02m``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, left = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{left:02}s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours}h{minutes:02}m"


def ago(when: str, now: datetime) -> str:
    """Returns how long ago a time was, in the largest unit: ``2 h ago``. Returns the time itself if it is in the future
    or not RFC 3339."""
    try:
        seconds = (now - datetime.fromisoformat(when)).total_seconds()
    except (TypeError, ValueError):
        return when
    if seconds < 0:
        return when
    for size_of, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size_of * (2 if unit == "d" else 1):
            return f"{int(seconds // size_of):,} {unit} ago"
    return f"{int(seconds)} s ago"


def needed(findings: Sequence[Finding]) -> str:
    """Returns a text such as ``2 errors and 1 warning need you``. Notes do not count."""
    counts = Counter(finding.severity for finding in findings)
    parts = [many(counts[each], each.value) for each in (Severity.ERROR, Severity.WARNING) if counts[each]]
    return f"{' and '.join(parts)} {'needs' if sum(counts.values()) == 1 else 'need'} you"


def place(entry: str | None, field: str, position: int | None = None, way: Way = (), *, of: str = "›") -> str:
    """Returns a place in a document: ``primary › anime_image``. A map without a key is named by its number, any other
    place by the way to it."""
    if way:
        return place_at(way, f" {of} ")
    if entry is None:
        return f"#{position} {of} {field}" if position is not None else f"? {of} {field}"
    return f"{entry} {of} {field}"
