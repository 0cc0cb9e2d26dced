"""Writes objects as planned, under preconditions; a write whose outcome is uncertain is settled by reading."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from reconcile.adapters.files import md5_of
from reconcile.core.changes import Change, ContentChange, Copy, SetMetadata
from reconcile.core.digest import Comparison, compare_object
from reconcile.core.errors import AccessDenied, PreconditionFailed, Rejected, SourceChanged, Uncertain
from reconcile.core.media import content_type
from reconcile.core.report import OutcomeKind
from reconcile.core.rows import Agreed
from reconcile.ports import AgreedStates, DesiredObject
from reconcile.project import OpenProject

_REMEMBERED_TOGETHER = 32
"""Objects after which they are remembered."""
_REMEMBERED_AFTER = 1.0
"""Seconds after which they are remembered."""


class Written(NamedTuple):
    """A successful write: how the object came to hold the planned bytes, its generation and checksum, the bytes sent
    (``moved``), and whether it was ``copied`` from another one."""

    kind: OutcomeKind
    generation: int
    crc32c: str
    moved: int = 0
    copied: bool = False


def write(project: OpenProject, change: ContentChange, progress: Callable[[int], None]) -> Written:
    """Uploads a file, or copies an object with the same content. ``progress`` is called with numbers of bytes sent. If
    the object holds the planned bytes although it or the file has changed, or the answer was lost, that is success.

    Raises SourceChanged, SourceError, and StoreError.
    """
    path = project.asset_map.path_of(change.key, change.asset_type)
    try:
        if path is None:
            raise SourceChanged(f"no rule leads from {change.key!r} back to a local file")
        if isinstance(change, Copy) and (copied := _copied(project, change, path)) is not None:
            return copied
        with project.files.open(path) as body:
            sent = project.objects.put(_desired(change), body, progress=progress)
    except (PreconditionFailed, SourceChanged, Uncertain) as error:
        if isinstance(error, SourceChanged) and path is not None:
            # Its remembered hash is wrong, so the next plan must read it even if its size and times are unchanged.
            project.files.forget(path)
        found = project.objects.get(change.key)
        if found is None or compare_object(change.size, change.crc32c, found) is not Comparison.SAME:
            raise
        return Written(OutcomeKind.ALREADY, found.generation, change.crc32c)
    return Written(OutcomeKind.APPLIED, sent.generation, change.crc32c, moved=change.size)


def _desired(change: ContentChange) -> DesiredObject:
    type_ = content_type(change.key)
    return DesiredObject(change.key, change.size, change.crc32c, type_, change.if_generation_match)


def _copied(project: OpenProject, change: Copy, path: str) -> Written | None:
    """Copies the source if it has the MD5 of the local file. Returns None if it does not, has changed, or may not be
    copied, so that the file has to be sent. Raises SourceChanged, SourceError, and StoreError."""
    objects, source = project.objects, project.bucket.key(change.source) or ""
    try:
        known = objects.md5(source, generation=change.source_generation)
        if known is None:
            return None
        with project.files.open(path) as body:
            if known != md5_of(body):
                return None
        made = objects.copy(_desired(change), source, source_generation=change.source_generation)
    except PreconditionFailed:
        if objects.get(change.key) is not None:
            raise
        return None
    except (AccessDenied, Rejected):
        return None
    return Written(OutcomeKind.APPLIED, made.generation, change.crc32c, copied=True)


def retype(project: OpenProject, change: SetMetadata) -> OutcomeKind:
    """Sets the content type of an object. If the object has changed or the answer was lost, but the same bytes have the
    intended type, that is success. Raises StoreError."""
    try:
        project.objects.set_type(
            change.key,
            change.content_type,
            if_generation_match=change.if_generation_match,
            if_metageneration_match=change.if_metageneration_match,
        )
    except (PreconditionFailed, Uncertain):
        found = project.objects.get(change.key)
        if found is None or (found.generation, found.content_type) != (change.if_generation_match, change.content_type):
            raise
        return OutcomeKind.ALREADY
    return OutcomeKind.APPLIED


class WrittenObjects:
    """The objects that this run has written, or found as planned. Safe for several threads.

    They are remembered as agreed, a few at a time. A killed run does not remember the last few; if one of those files
    is rendered again before the next run, that run reports a conflict and does not replace the object.
    """

    def __init__(self, agreed: AgreedStates, actions: Iterable[Change]) -> None:
        self.expected = frozenset(change.key for change in actions if isinstance(change, ContentChange))
        self.moved = 0
        """Bytes sent."""
        self._agreed = agreed
        self._lock = threading.Lock()
        self._written: dict[str, Written] = {}
        self._due: list[Agreed] = []
        self._remembered_at = time.monotonic()

    def of(self, key: str) -> Written | None:
        return self._written.get(key)

    def add(self, change: ContentChange, written: Written) -> None:
        with self._lock:
            self.moved += written.moved
            self._written[change.key] = written
            self._due.append(Agreed(change.key, change.size, change.crc32c, written.generation))
            late = time.monotonic() - self._remembered_at > _REMEMBERED_AFTER
            is_time = late or len(self._due) >= _REMEMBERED_TOGETHER
        if is_time:
            self.remember()

    def remember(self) -> None:
        with self._lock:
            due, self._due, self._remembered_at = self._due, [], time.monotonic()
        if due:
            self._agreed.remember(due)
