"""Observations as flat frozen rows: files, objects, documents, and what was fully read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, StrEnum
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec.structs import astuple

from reconcile.core.names import may_be_respelt
from reconcile.core.rules import Many
from reconcile.core.way import STEP, Titled, Trail, Way, place_at


class FileProblem(Enum):
    """Why a local file is not used in this run; UNCLAIMED is an unreadable folder in which no rule can match
    anything."""

    UNSETTLED = "unsettled_file"
    UNREADABLE = "unreadable_file"
    SYMLINK = "symlink_skipped"
    EMPTY = "empty_file"
    UNDECODABLE = "undecodable_name"
    TOO_LARGE = "too_large"
    UNCLAIMED = "unclaimed_file"
    INCOMPLETE = "incomplete_file"


class LocalFile(msgspec.Struct, frozen=True, gc=False):
    """A file below the local root.

    ``path`` is relative to the root, with ``/`` on every system; ``crc32c`` is None exactly if there is a ``problem``.
    ``twin`` is another local path that differs only in case or Unicode form.
    """

    path: str
    size: int
    mtime_ns: int
    crc32c: str | None = None
    problem: FileProblem | None = None
    detail: str = ""
    twin: str | None = None


Signature: TypeAlias = tuple[int, int, int, int]
"""Size, modification time, change time (ns) and file id; a file has changed if one of them differs."""


class Hashed(NamedTuple):
    """The remembered content of a file: its look, its crc32c, and what it certainly lacks ("" for nothing).

    ``doubted_since`` is when (ns since the epoch) this content was first hashed, if that was so soon after the file's
    last change that a later one may have left no trace; 0 if there is no doubt.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    crc32c: str
    lacks: str = ""
    doubted_since: int = 0

    @property
    def look(self) -> Signature:
        return self[:4]


class RemoteObject(msgspec.Struct, frozen=True, gc=False):
    """A live object, as of one answer. ``key`` is its name below the bucket prefix.

    ``updated`` (RFC 3339) is for people and ``many = "newest"``: clocks of different stores are never compared. With an
    ``encoding`` (as ``encoding_of`` spells it), ``size`` and ``crc32c`` are those of the compressed bytes.
    ``metageneration`` is 0 if unknown.
    """

    key: str
    size: int
    generation: int
    crc32c: str | None = None
    content_type: str | None = None
    updated: str = ""
    encoding: str = ""
    metageneration: int = 0


class Served(msgspec.Struct, frozen=True):
    """The answer of a URL: its status, content type and content encoding, and its body, which can be read once.

    With an ``encoding``, the body is compressed.
    """

    status: int
    content_type: str
    body: Iterator[bytes]
    encoding: str = ""


class Agreed(msgspec.Struct, frozen=True, gc=False):
    """The last state in which a local file and its object had the same content.

    ``size`` and ``crc32c`` are those of the content, even if the object is encoded.
    """

    key: str
    size: int
    crc32c: str
    generation: int


class Document(msgspec.Struct, frozen=True):
    """A record as read.

    Values are plain Python (str, int, float, bool, None, list, dict), or opaque ones of the store's own client, which
    are written back unchanged. ``update_time`` is a token for ``update``.
    """

    id: str
    fields: Mapping[str, Any]
    update_time: str
    stored_as: str | None = None

    @property
    def own_id(self) -> str:
        """The id in its own store: ``id`` may be another document's spelling of the same name."""
        return self.id if self.stored_as is None else self.stored_as


class Coverage(msgspec.Struct, frozen=True):
    """What was fully read, so that anything not seen there is absent.

    That is each of ``names``, and every name below ``prefixes`` (the empty one is everything) except those below
    ``unreadable``. The ``unreadable`` ones in ``failed`` hide files of ours; the others are links, which are left
    alone.
    """

    prefixes: tuple[str, ...] = ("",)
    unreadable: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()

    def covers(self, name: str) -> bool:
        """Whether this name, if not seen, is known to be absent."""
        if name in self.names:
            return True
        if self.unreadable and name.startswith(self.unreadable):
            return False
        return name.startswith(self.prefixes)

    def hides(self, name: str) -> bool:
        """Whether this name is in a place of ours that could not be read."""
        return bool(self.failed) and name not in self.names and name.startswith(self.failed)


class World(Enum):
    """One of the two places of records: the record store, or the pipeline's own JSON database."""

    RECORDS = "records"
    LOCAL_DB = "local_db"


class Slot(msgspec.Struct, frozen=True, gc=False):
    """A place in a document: map number ``position`` with key ``entry``, its ``field``, and the item of a list.

    Any other place is at the end of ``at``; outside the maps of the entries, ``position`` is None and ``field`` the
    document's own. ``is_name``: the text is the name at the end of the path, or a map's key.
    """

    position: int | None
    entry: str | None
    field: str
    item: int | None = None
    at: Way = ()
    is_name: bool = False

    @property
    def place(self) -> str:
        """Where in its record it is, as findings write it."""
        if self.at:
            return place_at(self.at)
        which = self.entry if self.entry is not None else f"#{self.position}"
        return STEP.join((which, self.field, *(() if self.item is None else (str(self.item),))))

    @property
    def trail(self) -> Trail:
        """The path with the map's number in place of its key."""
        return tuple(self.position or 0 if isinstance(step, Titled) else step for step in self.at)


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """One key that one text of one document could mean; rank 0 is the best reading.

    ``exact``: the text is exactly the key's URI; ``windows``: case may differ; ``sure``: a known root or a URI proves
    it, whatever the rules.
    """

    key: str
    world: World
    document: str
    slot: Slot
    rank: int
    exact: bool
    windows: bool
    sure: bool
    damaged: bool = False

    @property
    def is_strict(self) -> bool:
        """Whether the text means this key or nothing: no key in another spelling can be meant."""
        return self.exact and not may_be_respelt(self.key)


class Outlook(Enum):
    """What will be at a key once this plan is applied.

    ``NEVER``: nothing, because the local file is not uploaded. ``BLOCKED``: unknown yet (in conflict, being written,
    unreadable).
    """

    THERE = "there"
    ABSENT = "absent"
    NEVER = "never"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"


class Answer(msgspec.Struct, frozen=True, gc=False):
    """The answer to a candidate: the existing key, and what will be there after this plan."""

    world: World
    document: str
    slot: Slot
    rank: int
    key: str
    spelling: int
    damaged: bool
    exact: bool
    outlook: Outlook
    crc32c: str | None
    asset_type: str | None


class Claim(msgspec.Struct, frozen=True, gc=False):
    """A key that belongs in a field of a character's record, by the rule of this type.

    ``modified`` orders claims of one kind: the time of the local file (ns), or of an object without one (RFC 3339).
    """

    document: str
    entry: str
    field: str
    key: str
    asset_type: str
    many: Many
    outlook: Outlook
    crc32c: str | None
    local: bool
    modified: int | str


class Source(msgspec.Struct, frozen=True, gc=False, order=True):
    """An object that may be copied from: its key, its content and its generation."""

    key: str
    size: int
    crc32c: str
    generation: int

    @property
    def content(self) -> str:
        """A text that is the same for objects of equal size and checksum."""
        return content_name(self.size, self.crc32c)


def content_name(size: int, crc32c: str) -> str:
    """Returns a size and a checksum as one text, to group by."""
    return f"{crc32c} {size}"


class KeyTally(msgspec.Struct, frozen=True, gc=False):
    """One key for the status table.

    ``right``: the object needs nothing; ``pending``: a later stage may still change or report something about it;
    ``wanted`` is false for an orphan.
    """

    key: str
    asset_type: str | None
    char_id: str | None
    local: bool
    bucket: bool
    named: bool
    right: bool
    wanted: bool
    pending: bool


class KeyRow(msgspec.Struct, frozen=True, gc=False):
    """The observations of one exact key; ``path`` is the local path that has this key.

    A side without a value is absent only if that side is ``known``, that is, was read.
    """

    key: str
    path: str | None
    local: LocalFile | None = None
    remote: RemoteObject | None = None
    agreed: Agreed | None = None
    local_known: bool = False
    remote_known: bool = False

    @property
    def exists(self) -> bool:
        """Whether anything is at this key, locally or in the bucket."""
        return self.local is not None or self.remote is not None

    @property
    def is_absent(self) -> bool:
        """Whether it is known that nothing is at this key."""
        return self.local_known and self.remote_known and not self.exists

    def joined(self, other: KeyRow) -> KeyRow:
        """Returns this row with what only another one of the same key has."""
        return KeyRow(*(ours or theirs for ours, theirs in zip(astuple(self), astuple(other), strict=True)))


class Stream(StrEnum):
    """The kind of a row, which decides what its key is."""

    KEY = "key"  # a ``KeyRow``, whole or one side of it, by folded key
    REFERENCE = "reference"  # a ``Candidate``, by folded key
    RECORD = "record"  # a ``Document`` of the records, by character
    LOCAL_RECORD = "local_record"  # a ``Document`` of the pipeline's own database, by character
    ANSWER = "answer"  # an ``Answer``, by character
    CLAIM = "claim"  # a ``Claim``, by character
    CHANGE = "change"  # a change of the plan, by its id
    FINDING = "finding"  # a finding of the plan, by its subject
    KNOWN = "known"  # a known character id, under a key whose rows look it up
    TALLY = "tally"  # a ``KeyTally``, by key
    MARK = "mark"  # a ``Mark``, by key
    AGREED = "agreed"  # an ``Agreed`` to remember, by key
    SOURCE = "source"  # a ``Source``, by its content
    FACTS = "facts"  # the ``KeyFacts`` of a traced key or a conflict, by key
    LISTED = "listed"  # the ``Listed`` assets at a key, if they are wanted, by key


class Row(NamedTuple):
    """One flat row on its way between two stages. A key may contain lone surrogates, as file names do."""

    stream: Stream
    key: str
    value: Any


Group: TypeAlias = Mapping[Stream, Sequence[Any]]
"""The values of all rows of one key, by stream, unordered."""


class KeyFacts(KeyRow, frozen=True):
    """Everything known about one traced key, or one in conflict, with the texts that could mean it and its outlook."""

    candidates: tuple[Candidate, ...] = ()
    outlook: Outlook = Outlook.ABSENT
