"""The JSON database of the workflows: read whole, and rewritten by replacing the file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from reconcile.adapters.files import stamp_of, sync_folder
from reconcile.adapters.jsondb.file import BOM, bounded, check_writable, explained, locked, read_whole, write_beside
from reconcile.adapters.jsondb.swap import Exchange, Swap, exchange
from reconcile.adapters.jsondb.text import Member, TextEdit, edits, members_of, same, skip_blanks, splice
from reconcile.core.errors import (
    LocalDatabaseError,
    NotThere,
    PreconditionFailed,
    Rejected,
    StoreError,
    StoreUnavailable,
)
from reconcile.core.moment import Moment
from reconcile.core.names import is_unicode
from reconcile.core.rows import Document

_SHAPES = 'it must be {"id": {…}, …} or [{"id": "…", …}, …], with char_id for id if you like, and nothing round it'
_ID_KEYS = ("char_id", "id")
# Pauses while a file is being written: about a second after its last change.
_WAITS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.25)
# A file that keeps changing is waited for half a minute.
_MOST_READS = 600

Changes = Mapping[str, tuple[Mapping[str, Any], str]]

MAX_DEPTH = 100
"""Levels of lists and maps in a document; Firestore allows 20."""


class _Table(NamedTuple):
    """The file as it was read. ``id_key`` is the key of the documents' ids; empty if the file is an object."""

    raw: bytes
    text: str
    id_key: str
    documents: dict[str, Member]
    is_ascii: bool


class JsonDatabase:
    """The documents of a JSON file, with a digest of each document's content in place of an update time.

    ``entries`` is the field that leads to the maps. Documents are changed and never created: the workflow decides which
    exist. Reads are complete or an error: a half-written file is read again until about a second after its last change.
    A write changes the values that differ and no other character, and is applied only if the file is unchanged since it
    was read and nobody is writing it.
    """

    def __init__(
        self,
        path: Path,
        entries: str,
        *,
        wait: Callable[[float], None] = time.sleep,
        patience: float = 10.0,
        swap: Swap = exchange,
    ) -> None:
        """``wait`` sleeps between two attempts; ``patience`` is how many seconds to wait for another run; ``swap``
        exchanges two files."""
        self._path = path
        self._entries = entries
        self._wait = wait
        self._patience = patience
        self._swap = swap

    def ids(self, prefix: str = "", *, at: Moment | None = None) -> Iterator[str]:  # noqa: ARG002
        """Yields the ids with the prefix, sorted. Raises LocalDatabaseError."""
        yield from sorted(one for one in self._load().documents if one.startswith(prefix))

    def read(self, ids: Collection[str] | None = None, *, at: Moment | None = None) -> Iterator[Document]:  # noqa: ARG002
        """Yields the documents, sorted by id. Raises LocalDatabaseError."""
        documents = self._load().documents
        for one in sorted(documents if ids is None else documents.keys() & set(ids)):
            value = documents[one].value
            with bounded(self._path):
                token = _token(value)
            yield Document(one, value, token)

    # -- reading --

    def _load(self) -> _Table:
        with bounded(self._path):
            stamp, still = None, 0
            for _ in range(_MOST_READS):
                try:
                    return self._parse(read_whole(self._path))
                except (OSError, ValueError) as error:
                    before, stamp = stamp, stamp_of(self._path)
                    still = still + 1 if stamp == before else 0
                    if still == len(_WAITS):
                        raise explained(self._path, error) from error
                self._wait(_WAITS[still])
        raise LocalDatabaseError(
            f"the local database {self._path} is written all the time, so it could not be read",
            hint="run again when the workflow has ended",
        )

    def _parse(self, raw: bytes) -> _Table:
        text = raw.decode("utf-8")
        at = skip_blanks(text, 1 if text.startswith(BOM) else 0)
        if text[at : at + 1] not in ("{", "["):
            json.JSONDecoder().raw_decode(text, at)
            raise self._misshapen("is neither an object nor an array")
        members, end = members_of(text, at)
        rest = skip_blanks(text, end)
        if rest < len(text):
            raise json.JSONDecodeError("Extra data", text, rest)
        id_key = "" if text[at] == "{" else _id_key(members)
        return _Table(raw, text, id_key, self._documents(members, id_key), text[at:].isascii())

    def _documents(self, members: Sequence[Member], id_key: str) -> dict[str, Member]:
        documents: dict[str, Member] = {}
        for number, member in enumerate(members, 1):
            if _is_deeper(member.value, MAX_DEPTH):
                raise self._misshapen(
                    f"nests more than {MAX_DEPTH} levels deep in {member.key or f'element {number}'!r}"
                )
            one = self._id(member.key, member.value, id_key, number)
            if one in documents:
                raise LocalDatabaseError(
                    f"the local database {self._path} has two documents {one!r}", hint="keep one of them"
                )
            if not id_key and self._is_wrapper(member.value, len(members) == 1):
                raise self._misshapen(f"has its documents one level down, in {one!r}")
            documents[one] = member
        return documents

    def _id(self, key: str, value: object, id_key: str, number: int) -> str:
        place = f"element {number}" if id_key else f"the member {key!r}"
        if not isinstance(value, dict):
            raise self._misshapen(f"has something other than a map at {place}")
        one = value.get(id_key) if id_key else key
        if not isinstance(one, str) or not one:
            raise self._misshapen(f"has no text for an id at {place}")
        if not is_unicode(one):
            raise self._misshapen(f"has an id that is not valid Unicode at {place}")
        return one

    def _is_wrapper(self, value: dict[str, Any], is_alone: bool) -> bool:
        """Whether this "document" is really a map of documents.

        It is if it contains only maps, and is the only one, or its maps have the entries that it lacks.
        """
        inner = list(value.values())
        if not inner or self._entries in value or not all(isinstance(one, dict) for one in inner):
            return False
        return is_alone or any(self._entries in one for one in inner)

    def _misshapen(self, what: str) -> LocalDatabaseError:
        return LocalDatabaseError(f"the local database {self._path} {what}", hint=_SHAPES)

    # -- writing --

    def update_many(self, changes: Changes) -> dict[str, str | StoreError]:
        """Sets top-level fields of several documents in one write: ``{id: (fields, if_update_time)}``.

        Returns for each document its new token, or the error that kept it alone from being written: PreconditionFailed
        if its content differs, NotThere if it is gone, Rejected if it would not be read back as given. Raises
        StoreUnavailable and LocalDatabaseError if nothing was written.
        """
        with locked(self._real_path(), self._patience), bounded(self._path):
            with contextlib.suppress(OSError):
                Exchange(self._real_path(), self._swap).settle()
            for wait in (0.0, *_WAITS, *_WAITS):
                self._wait(wait)
                table = self._load()
                made: list[TextEdit] = []
                outcomes: dict[str, str | StoreError] = {}
                for document, (fields, token) in changes.items():
                    try:
                        edited, outcomes[document] = self._edited(table, document, fields, token)
                        made += edited
                    except StoreError as error:
                        outcomes[document] = error
                if not made or self._replace(table.raw, splice(table.text, made).encode()):
                    return outcomes
        raise StoreUnavailable(
            f"the local database {self._path} is written, or held open, all the time, so it was left alone",
            hint="run again when the workflow has ended",
        )

    def _edited(
        self, table: _Table, document: str, fields: Mapping[str, Any], token: str
    ) -> tuple[list[TextEdit], str]:
        """Returns the edits that set the fields of a document, and its new token."""
        if document not in table.documents:
            raise NotThere(f"{self._path} has no document {document!r} any more", hint="plan again")
        place = table.documents[document]
        if _token(place.value) != token:
            raise PreconditionFailed(f"the document {document!r} of {self._path} was changed", hint="plan again")
        if table.id_key and fields.get(table.id_key, document) != document:
            raise _inexact(document)
        made = list(edits(table.text, place.start, place.value, {**place.value, **fields}, is_ascii=table.is_ascii))
        value = json.loads(splice(table.text, made, place.start, place.end))
        if not all(name in value and same(value[name], field) for name, field in fields.items()):
            raise _inexact(document)
        return made, _token(value)

    def _replace(self, old: bytes, new: bytes) -> bool:
        """Replaces the file if it still has the old content; returns whether it did."""
        real = self._real_path()
        trade = Exchange(real, self._swap)
        try:
            check_writable(real, real.stat())
            write_beside(trade.part, new, real)
            done = trade.put(new, old)
        except FileNotFoundError:
            return False  # some writers remove the old file first
        except OSError as error:
            raise LocalDatabaseError(
                f"the local database {self._path} cannot be written: {error.strerror or error}",
                hint="free space on its disk, or give this user the right to write in its folder and to its group",
            ) from error
        finally:
            with contextlib.suppress(OSError):
                trade.settle()
        sync_folder(real.parent)
        return done

    def _real_path(self) -> Path:
        """Returns the path with links resolved, so that a link to the file stays a link."""
        return Path(os.path.realpath(self._path))


def _id_key(members: Sequence[Member]) -> str:
    """Returns the key of the ids: the first of the usual ones that every element has."""
    maps = [member.value for member in members if isinstance(member.value, dict)]
    return next((key for key in _ID_KEYS if maps and all(key in one for one in maps)), "id")


def _is_deeper(value: object, levels: int) -> bool:
    """Whether lists and maps nest deeper; checked level by level, because recursion could exhaust Python's stack."""
    level = [value]
    for _ in range(levels):
        level = [item for each in level for item in _items(each)]
        if not level:
            return False
    return True


def _items(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _token(value: dict[str, Any]) -> str:
    """Returns a digest of a document's content that ignores layout and the order of keys."""
    written = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()


def _inexact(document: str) -> Rejected:
    return Rejected(f"the fields of {document!r} would not be read back as they are", hint="correct it by hand")
