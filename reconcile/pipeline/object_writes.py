"""Objects written as planned: under a precondition, and what is uncertain is settled by reading."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from reconcile.core.changes import ContentChange, Copy, SetMetadata
from reconcile.core.digest import Comparison, compare_object
from reconcile.core.errors import AccessDenied, PreconditionFailed, Rejected, SourceChanged, Uncertain
from reconcile.core.media import content_type
from reconcile.core.report import OutcomeKind
from reconcile.core.rows import Agreed
from reconcile.ports import AgreedStates
from reconcile.project import OpenProject

_REMEMBERED_TOGETHER = 32
"""Objects."""
_REMEMBERED_AFTER = 1.0
"""Seconds."""
_CHUNK = 1024 * 1024
"""Bytes."""


class Written(NamedTuple):
    """How an object came to hold the planned bytes, with its generation and the bytes that were sent."""

    kind: OutcomeKind
    generation: int
    moved: int


def write(project: OpenProject, change: ContentChange, progress: Callable[[int], None]) -> Written:
    """Uploads a file, or copies an object that holds the same; ``progress`` gets the bytes that are sent, as a count.
    If the world moved, or no answer came, and the object holds the planned bytes, whoever put them there, all is well.

    Raises SourceChanged, SourceError, and StoreError.
    """
    path = project.asset_map.path_of(change.key, change.asset_type)
    try:
        if path is None:
            raise SourceChanged(f"no rule leads from {change.key!r} back to a local file")
        if isinstance(change, Copy) and (copied := _copied(project, change, path)) is not None:
            return copied
        with project.files.open(path) as body:
            sent = project.objects.put(
                change.key,
                body,
                size=change.size,
                crc32c=change.crc32c,
                content_type=content_type(change.key),
                if_generation_match=change.if_generation_match,
                progress=progress,
            )
    except (PreconditionFailed, SourceChanged, Uncertain) as error:
        if isinstance(error, SourceChanged) and path is not None:
            # What is remembered is not what it holds, so the next plan reads it, whatever its look says.
            project.files.forget(path)
        found = project.objects.get(change.key)
        if found is None or compare_object(change.size, change.crc32c, found) is not Comparison.SAME:
            raise
        return Written(OutcomeKind.ALREADY, found.generation, 0)
    return Written(OutcomeKind.APPLIED, sent.generation, change.size)


def _copied(project: OpenProject, change: Copy, path: str) -> Written | None:
    """Copies the source if its MD5 is the local file's. None if that is not so, or if the source has moved or may not
    be copied: then the file is to be sent. Raises SourceChanged, SourceError, and StoreError."""
    objects, source = project.objects, project.bucket.key(change.source) or ""
    try:
        known = objects.md5(source, generation=change.source_generation)
        if known is None or known != _md5(project, path):
            return None
        made = objects.copy(
            change.key,
            source,
            source_generation=change.source_generation,
            size=change.size,
            crc32c=change.crc32c,
            content_type=content_type(change.key),
            if_generation_match=change.if_generation_match,
        )
    except PreconditionFailed:
        if objects.get(change.key) is not None:
            raise
        return None
    except (AccessDenied, Rejected):
        return None
    return Written(OutcomeKind.APPLIED, made.generation, 0)


def _md5(project: OpenProject, path: str) -> str:
    with project.files.open(path) as body:
        found = hashlib.md5(usedforsecurity=False)
        while chunk := body.read(_CHUNK):
            found.update(chunk)
    return base64.b64encode(found.digest()).decode()


def retype(project: OpenProject, change: SetMetadata) -> OutcomeKind:
    """Sets the content type of an object. If the world moved, or no answer told, and the same bytes have the type that
    is meant, whoever set it, all is well. Raises StoreError."""
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


class Arrivals:
    """What this run has put into the bucket, or found there as planned. Safe for several threads.

    It is remembered as agreed, a few objects at a time: what a killed run put there since the last time is not, so a
    file that is rendered anew before the next run is told as a conflict then, and not replaced.
    """

    def __init__(self, agreed: AgreedStates, expected: Iterable[ContentChange]) -> None:
        self.expected = frozenset(change.key for change in expected)
        self.moved = 0
        """Bytes."""
        self._agreed = agreed
        self._lock = threading.Lock()
        self._found: dict[str, Agreed] = {}
        self._copied: set[str] = set()
        self._due: list[Agreed] = []
        self._remembered_at = time.monotonic()

    def of(self, key: str) -> Agreed | None:
        return self._found.get(key)

    def is_copied(self, key: str) -> bool:
        """Whether this run made the object of another one."""
        return key in self._copied

    def add(self, change: ContentChange, written: Written) -> None:
        found = Agreed(change.key, change.size, change.crc32c, written.generation)
        with self._lock:
            self.moved += written.moved
            if isinstance(change, Copy) and written.kind is OutcomeKind.APPLIED and not written.moved:
                self._copied.add(change.key)
            self._found[change.key] = found
            self._due.append(found)
            late = time.monotonic() - self._remembered_at > _REMEMBERED_AFTER
            is_time = late or len(self._due) >= _REMEMBERED_TOGETHER
        if is_time:
            self.remember()

    def remember(self) -> None:
        with self._lock:
            due, self._due, self._remembered_at = self._due, [], time.monotonic()
        if due:
            self._agreed.remember(due)
