"""Compares an object that a record names with the intended content: by its metadata, by all of its bytes, or through a
signed URL.

Bytes are hashed as they arrive and never kept.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import msgspec

from reconcile.commands.measuring import measure
from reconcile.core.changes import Code, Finding
from reconcile.core.digest import Comparison, compare, compare_object
from reconcile.core.encoding import can_unpack, most_unpacked
from reconcile.core.events import Advanced, Listener, Phase
from reconcile.core.findings import (
    NAMED_EMPTY,
    NAMED_ENCODED,
    OTHER_THAN_AGREED,
    OTHER_THAN_LOCAL,
    UNCOMPARED,
    WITHOUT_CHECKSUM,
    Form,
    make,
)
from reconcile.core.media import wrong_type
from reconcile.core.proof import Against, Mode, ProofMethod, Reference
from reconcile.core.rows import Agreed, FileProblem, LocalFile, RemoteObject
from reconcile.project import OpenProject

URL_LIVES = 600.0
"""Seconds for which a signed URL is valid."""
FIRST_BYTES = 1024

_LOOKED_AT = (ProofMethod.METADATA,)
Complaint: TypeAlias = Callable[[Reference], Finding]
"""Makes the finding about a reference in a record."""


class Examined(msgspec.Struct):
    """The result for one key, which applies to each reference to the key. ``size`` and ``crc32c`` are those of what a
    reader of its URL gets, None if unknown."""

    found: RemoteObject | None
    complaints: tuple[Complaint, ...] = ()
    checked: tuple[ProofMethod, ...] = ()
    against: Against | None = None
    size: int | None = None
    crc32c: str | None = None
    unpacked_on_the_way: bool = False


class Examiner:
    """Examines objects. Safe for several threads. ``read`` counts the bytes that arrived, and ``unpacked`` has the
    encoded objects that turned out to hold the content of their local files."""

    def __init__(self, project: OpenProject, mode: Mode, listener: Listener) -> None:
        self._project = project
        self._mode = mode
        self._listener = listener
        self._lock = threading.Lock()
        self.read = 0
        self.unpacked: list[Agreed] = []

    def examine(self, found: RemoteObject, file: LocalFile | None, agreed: Agreed | None) -> Examined:
        """Examines an object, whose intended content is that of the local file, or else the last agreed one. Raises
        NotThere if it was replaced meanwhile, and StoreError."""
        look = Examined(found, checked=_LOOKED_AT)
        if not found.size:
            look.complaints += (says(NAMED_EMPTY),)
            return look
        if not found.encoding:
            look.size, look.crc32c = found.size, found.crc32c
        if self._mode.urls:
            self._look_through_url(look, found)
        elif self._mode.deep:
            encoded = bool(found.encoding)
            body = self._project.objects.read(found.key, generation=found.generation, encoded=encoded)
            self._hash(look, found, body, found.encoding)
        look.against, wrong = _held_against(look, found, file, agreed)
        if found.encoding and look.against is Against.LOCAL and look.size is not None and look.crc32c and not wrong:
            self.unpacked.append(Agreed(found.key, look.size, look.crc32c, found.generation))
        look.complaints += wrong
        return look

    def _hash(self, look: Examined, found: RemoteObject, body: Iterable[bytes], encoding: str) -> None:
        """Hashes the bytes as they arrive. Compares them with the checksum of the object unless they came unpacked."""
        most = found.size if encoding == found.encoding else most_unpacked(found.size)
        measured = measure(self._told(body, most), found.size, encoding)
        stored, content = measured.stored, measured.content
        with self._lock:
            self.read += stored.size
        look.checked += (ProofMethod.DEEP,)
        as_stored = encoding == found.encoding
        look.unpacked_on_the_way = not as_stored
        if as_stored and compare(stored.size, stored.crc32c, found.size, found.crc32c) is Comparison.DIFFERENT:
            why = f"{stored.size} bytes of {found.size}, crc32c {stored.crc32c}, not {found.crc32c}"
            look.complaints += (says(Code.DAMAGED_OBJECT, why=why),)
        elif content is None:
            look.complaints += (says(NAMED_ENCODED, why=f"it {measured.why}"),)
        elif not content.size:
            look.complaints += (says(NAMED_EMPTY),)
        else:
            look.size, look.crc32c = content.size, content.crc32c

    def _told(self, body: Iterable[bytes], most: int) -> Iterator[bytes]:
        """Yields the body and reports progress. Stops soon after ``most`` bytes, because a server may send without
        end."""
        for chunk in body:
            self._project.lanes.moved(len(chunk))
            self._listener(Advanced(Phase.PROVING, 0, len(chunk)))
            yield chunk
            most -= len(chunk)
            if most < 0:
                return

    def _look_through_url(self, look: Examined, found: RemoteObject) -> None:
        url = self._project.signer.sign(found.key, expires=URL_LIVES)
        limit = None if self._mode.deep else FIRST_BYTES
        with self._project.url_reader.fetch(url, limit=limit, encoded=bool(found.encoding)) as served:
            look.checked += (ProofMethod.URL,)
            if served.status not in (200, 206):
                look.complaints += (says(Code.URL_REFUSED, why=f"it answers {served.status}"),)
                return
            right = wrong_type(found.key, served.content_type)
            if right is not None:
                look.complaints += (
                    says(Code.WRONG_CONTENT_TYPE, found=served.content_type or "(nothing)", right=right),
                )
            if self._mode.deep:
                self._hash(look, found, served.body, served.encoding)
                return
            count, as_stored = 0, served.encoding == found.encoding
            for chunk in served.body:
                count = min(count + len(chunk), FIRST_BYTES)
                if count == FIRST_BYTES:
                    break  # even if the server sends more
            if count != min(found.size, FIRST_BYTES) if as_stored else not count:
                look.complaints += (
                    says(Code.DAMAGED_OBJECT, why=f"the first {FIRST_BYTES} bytes of {found.size} came as {count}"),
                )


def _held_against(
    look: Examined, found: RemoteObject, file: LocalFile | None, agreed: Agreed | None
) -> tuple[Against | None, tuple[Complaint, ...]]:
    """Returns what the object was compared with, if anything, and what is wrong with it."""
    if found.encoding and look.size is None and look.complaints:
        return None, ()  # it was read but could not be unpacked
    aside: tuple[Complaint, ...] = ()
    if file is not None and file.problem in (FileProblem.UNREADABLE, FileProblem.UNSETTLED, FileProblem.INCOMPLETE):
        aside = (says(UNCOMPARED._replace(code=Code(file.problem.value)), why=file.detail),)
    has = f"{found.size if look.size is None else look.size}, {look.crc32c}"
    content: LocalFile | Agreed
    if file is not None and file.problem is None:
        content, against = file, Against.LOCAL
        why = f"the local file has {file.size} bytes, crc32c {file.crc32c}, the object {has}"
        different = says(OTHER_THAN_LOCAL, why=why)
    elif agreed is not None:
        content, against = agreed, Against.AGREED
        why = (
            f"when file and object last agreed it had {agreed.size} bytes, crc32c {agreed.crc32c} (generation"
            f" {agreed.generation}), now {has} (generation {found.generation})"
        )
        different = says(OTHER_THAN_AGREED, why=why)
    elif found.crc32c is None:
        return None, (*aside, says(WITHOUT_CHECKSUM))
    elif found.encoding and not can_unpack(found.encoding):
        return None, (*aside, says(NAMED_ENCODED, why=f'"{found.encoding}", which cannot be unpacked here'))
    elif look.unpacked_on_the_way:
        why = "it came unpacked, so its checksum does not say whether it is sound"
        return None, (*aside, says(NAMED_ENCODED, why=why))
    else:
        return Against.OBJECT, aside
    # An encoded object that was not unpacked is compared with what is remembered, others with what a reader gets.
    if look.size is None:
        same = compare_object(content.size, content.crc32c, found, agreed)
    else:
        same = compare(content.size, content.crc32c, look.size, look.crc32c)
    match same:
        case Comparison.SAME:
            return against, aside
        case Comparison.DIFFERENT:
            return against, (*aside, different)
        case Comparison.UNKNOWN:
            why = "its content is not known until it is unpacked"
            return None, (*aside, says(NAMED_ENCODED, why=why) if found.encoding else says(WITHOUT_CHECKSUM))


def says(what: Code | Form, **values: str) -> Complaint:
    """Returns a complaint that applies to every reference to the object."""
    return lambda each: make(what, each.document, each.char_id, place=each.slot.place, uri=each.uri, **values)
