"""What a run uses of the stores that Google bills: requests by class, documents, bytes; and the time they take."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Literal

import msgspec
from msgspec.structs import astuple

from reconcile.core.changes import Change, ContentChange, Copy, CreateRecord, Replace, SetField, SetMetadata, Upload
from reconcile.core.time_left import RestEstimate

CHUNK = 8 * 1024 * 1024
"""Bytes of a file that one request may send; a larger file is sent in chunks of this size."""
RUNS = 8
"""The number of past runs of one size that are remembered."""


class Usage(msgspec.Struct, frozen=True):
    """The use of the stores, past or expected.

    ``class_a``, ``class_b`` and ``free`` are requests to the bucket by the classes of its price list; failed and
    repeated requests count too. ``bytes`` are those of files that were sent. A store in a local folder uses nothing.
    """

    class_a: int = 0
    class_b: int = 0
    free: int = 0
    document_reads: int = 0
    document_writes: int = 0
    bytes: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: Usage) -> Usage:
        return Usage(*(one - two for one, two in zip(astuple(self), astuple(other), strict=True)))

    def __bool__(self) -> bool:
        return any(astuple(self))

    @property
    def requests(self) -> int:
        """All requests to both stores; a document counts as one."""
        return self.class_a + self.class_b + self.free + self.document_reads + self.document_writes


class Estimate(msgspec.Struct, frozen=True):
    """The use of making a plan (``looking``), the expected use of its changes (``applying``) and its duration.

    ``seconds`` is at the speed of the last runs; null if there were none, or they do not allow an estimate.
    """

    looking: Usage = Usage()
    applying: Usage = Usage()
    seconds: float | None = None


class Used(msgspec.Struct, frozen=True):
    """What a run used: to read the stores before its first change (nothing for a saved plan), and to make its
    changes."""

    looking: Usage = Usage()
    applying: Usage = Usage()

    def __add__(self, other: Used) -> Used:
        return Used(self.looking + other.looking, self.applying + other.applying)


class Pace(msgspec.Struct, frozen=True):
    """The speed of one run: its requests, the bytes that it sent, and its seconds."""

    requests: int
    bytes: int
    seconds: float

    @property
    def size(self) -> int:
        """The size of the run: the number of digits of its requests.

        A small run says little about a large one, which makes many requests at once.
        """
        return len(str(self.requests))


def request_class(method: str, path: str) -> Literal["class_a", "class_b", "free"]:
    """Returns the class of a request to the JSON API of Cloud Storage, by its method and its URL's path.

    A resumable upload is one operation, however many requests it takes: the one that begins it counts.
    """
    if method in ("PUT", "DELETE"):
        return "free"
    below = path.removeprefix("/storage/v1/b/").split("/")
    is_listing = len(below) == 2 and below[1] == "o" and not path.startswith(below[0])
    return "class_b" if method in ("GET", "HEAD") and not is_listing else "class_a"


def of_changes(actions: Sequence[Change], *, bucket: bool = True, records: bool = True) -> Usage:
    """Returns the use of these changes if nothing fails and nobody else writes.

    ``bucket`` and ``records`` say whether that store is reached over the network.
    """
    asked = _of_objects(actions) if bucket else Usage()
    if not records:
        return asked
    # A new record takes one write; a changed one is read and written once, however many fields change.
    created = sum(isinstance(change, CreateRecord) for change in actions)
    changed = len({change.document for change in actions if isinstance(change, SetField)})
    return asked + Usage(document_reads=changed, document_writes=created + changed)


def _of_objects(actions: Sequence[Change]) -> Usage:
    written = {change.key for change in actions if isinstance(change, ContentChange)}
    class_a, class_b, free, moved = 0, 0, 0, 0
    for change in actions:
        match change:
            case Upload() | Replace():
                class_a += 1
                class_b += isinstance(change, Replace)  # metadata that users set on the old object is read, and kept
                free += ceil(change.size / CHUNK) if change.size > CHUNK else 0
                moved += change.size
            case Copy():
                class_a += 1
                class_b += 1  # the MD5 of its source
            case SetMetadata():
                class_a += 1
            case _:
                # An object that the run does not write itself is checked before a record points at it.
                class_b += sum(need.key not in written for need in change.needs)
    return Usage(class_a, class_b, free, bytes=moved)


def seconds_for(asked: Usage, paces: Sequence[Pace]) -> float | None:
    """Returns the expected seconds at the pace of the past runs nearest in size; None if they do not allow an estimate.

    Each request takes some time and each byte some more: both are fitted to the runs, so that neither a run of many
    small files nor one of a few large ones misleads.
    """
    known = [each for each in paces if each.requests > 0 and each.seconds > 0 and (each.bytes or not asked.bytes)]
    if not known or not asked.requests:
        return None
    own = Pace(asked.requests, 0, 0.0).size
    nearest = min((each.size for each in known), key=lambda size: (abs(size - own), -size))
    fit = RestEstimate()
    for each in (each for each in known if each.size == nearest):
        fit.add(each.requests, each.bytes, each.seconds)
    return fit.left(asked.requests, asked.bytes)


def remembered(paces: Sequence[Pace], pace: Pace) -> list[Pace]:
    """Returns the paces with a new one, oldest first, keeping the last ``RUNS`` of each size.

    So small runs do not displace large ones. The smallest runs, one for each call of a decorated function, are no
    longer added once that many are known.
    """
    alike = [at for at, each in enumerate(paces) if each.size == pace.size]
    if pace.size == 1 and len(alike) >= RUNS:
        return list(paces)
    dropped = frozenset(alike[: 1 - RUNS])
    return [*(each for at, each in enumerate(paces) if at not in dropped), pace]
