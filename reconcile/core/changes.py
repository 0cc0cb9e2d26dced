"""The closed set of changes that a plan can contain, and of findings that it can report."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, TypeAlias

import msgspec

from reconcile.core.way import Way


class Reason(Enum):
    """Why a change is planned; for people, never for logic."""

    MISSING_IN_BUCKET = "missing_in_bucket"
    CONTENT_DIFFERS = "content_differs"
    GENERIC_TYPE = "generic_type"
    LOCAL_PATH = "local_path"
    UNTRACKED = "untracked"
    DANGLING = "dangling"
    DAMAGED_PATH = "damaged_path"
    MISSING_RECORD = "missing_record"
    INDEX = "index"
    UNDO = "undo"


class Severity(Enum):
    """How serious a finding is: ``error`` needs a person, ``warning`` deserves attention, ``info`` is only noted."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """The sort order; 0 is the most severe."""
        return list(Severity).index(self)


class Code(Enum):
    """The kind of a finding. docs/findings.md says what to do about each."""

    UNCLAIMED_FILE = "unclaimed_file"
    UNKNOWN_CHARACTER = "unknown_character"
    AMBIGUOUS_CHARACTER = "ambiguous_character"
    AMBIGUOUS_FIELD = "ambiguous_field"
    MISSING_RECORD = "missing_record"
    MISSING_ASSET = "missing_asset"
    CONTENT_CONFLICT = "content_conflict"
    UNVERIFIABLE = "unverifiable"
    ORPHAN_OBJECT = "orphan_object"
    OUTSIDE_ROOT = "outside_root"
    FOREIGN_URI = "foreign_uri"
    UNSETTLED_FILE = "unsettled_file"
    INCOMPLETE_FILE = "incomplete_file"
    ROOT_EMPTIED = "root_emptied"
    UNREADABLE_FILE = "unreadable_file"
    SYMLINK_SKIPPED = "symlink_skipped"
    EMPTY_FILE = "empty_file"
    UNDECODABLE_NAME = "undecodable_name"
    TOO_LARGE = "too_large"
    NAME_COLLISION = "name_collision"
    MALFORMED_RECORD = "malformed_record"
    LOCAL_PATH = "local_path"
    DAMAGED_OBJECT = "damaged_object"
    UNREADABLE_OBJECT = "unreadable_object"
    WRONG_CONTENT_TYPE = "wrong_content_type"
    URL_REFUSED = "url_refused"
    CHANGED_SINCE = "changed_since"
    RECORD_STAYS = "record_stays"
    UNREADABLE_SCOPE = "unreadable_scope"
    DATABASE_DIFFERS = "database_differs"
    DATABASE_KEPT = "database_kept"
    LOCAL_PATH_ELSEWHERE = "local_path_elsewhere"
    OTHER_SPELLING = "other_spelling"
    ENCODED_OBJECT = "encoded_object"
    EMPTY_OBJECT = "empty_object"
    WAIVER_EXPIRED = "waiver_expired"
    FOREIGN_INDEX = "foreign_index"
    OBJECTS_STAY = "objects_stay"


class Finding(msgspec.Struct, frozen=True):
    """Something that a person should know. ``subject`` is a path, a URI or a document.

    ``waived`` is the reason for which a waiver in the rules file accepts it.
    """

    code: Code
    severity: Severity
    subject: str
    char_id: str | None
    message: str
    hint: str
    waived: str | msgspec.UnsetType = msgspec.UNSET

    @property
    def is_waived(self) -> bool:
        """Whether a waiver accepts it: it is shown and counted separately, and fails no run."""
        return isinstance(self.waived, str)


class Need(msgspec.Struct, frozen=True):
    """An object that must be in the bucket before a field is written; without a crc32c, any content will do."""

    key: str
    crc32c: str | None


class _OfObject(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    key: str
    char_id: str | None
    asset_type: str | None
    reason: Reason
    uri: str
    size: int
    crc32c: str


class Upload(_OfObject, frozen=True, kw_only=True, tag_field="kind", tag="upload"):
    """Creates an object if it is still absent (``if_generation_match`` 0). ``size`` is in bytes."""

    if_generation_match: int = 0


class Replace(_OfObject, frozen=True, kw_only=True, tag_field="kind", tag="replace"):
    """Replaces the content of an object if its live generation is still the one that was compared."""

    if_generation_match: int
    old_size: int
    old_crc32c: str | None


class Copy(_OfObject, frozen=True, kw_only=True, tag_field="kind", tag="copy"):
    """Creates an object if it is still absent, by copying another object of ours with the same content.

    ``source`` (a URI) must still be of its generation and have the MD5 of the local file. Otherwise the file is
    uploaded, which is why the change has the id of that upload.
    """

    source: str
    source_generation: int
    if_generation_match: int = 0


class SetMetadata(_OfObject, frozen=True, kw_only=True, tag_field="kind", tag="set_metadata"):
    """Sets the content type of an object if its live generation and metageneration are still those that were seen.

    ``old`` is the type before, None for none. Its content, of this ``size`` and ``crc32c``, stays.
    """

    content_type: str
    old: str | None
    if_generation_match: int
    if_metageneration_match: int


class _OfField(msgspec.Struct, frozen=True, kw_only=True):
    """Changes one value in a record if it still is ``old``.

    Without ``at``, it is a field of a map of the entries. With ``at``, the path from the record's top, it is the text
    at the end of that path. If the path leads to the record's index, one type is added to an array or removed.

    ``entry`` is the map's key, None for a map without one. ``position`` is where the map was, to distinguish maps that
    are otherwise alike; None if the record has no such map, which is then appended. With ``at``, ``field`` is the field
    of the map or of the record that the path goes through.
    """

    # First, because a plan's fingerprint covers its changes as they are written.
    at: Way | msgspec.UnsetType = msgspec.UNSET
    id: str
    key: str
    char_id: str | None
    asset_type: str | None
    reason: Reason
    document: str
    entry: str | None
    field: str
    old: Any
    new: Any
    needs: tuple[Need, ...]
    position: int | None = None

    @property
    def way(self) -> Way:
        """``at``; empty for a field of a map."""
        return () if self.at is msgspec.UNSET else self.at

    @property
    def is_index(self) -> bool:
        """Whether it changes a record's index: only the types that it adds or removes, not the whole array."""
        return len(self.way) == 1 and (isinstance(self.new, list) or isinstance(self.old, list))


class SetField(_OfField, frozen=True, kw_only=True, tag_field="kind", tag="set_field"):
    """Sets a field, or a text, of a record.

    ``update_time`` is when the record that the plan saw was last written, for people: apply reads it again.
    """

    update_time: str = ""


class CreateRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="create_record"):
    """Creates a record if it is still absent, with every value whose object exists."""

    id: str
    key: str | None = None
    char_id: str | None
    asset_type: str | None = None
    reason: Reason
    document: str
    fields: dict[str, Any]
    needs: tuple[Need, ...]


class RewriteLocalDb(_OfField, frozen=True, kw_only=True, tag_field="kind", tag="rewrite_local_db"):
    """Replaces a local path with a gs:// URI in the pipeline's own JSON database."""


ContentChange: TypeAlias = Upload | Replace | Copy
"""The changes that write the content of an object."""
ObjectChange: TypeAlias = ContentChange | SetMetadata
"""The changes to an object in the bucket; all others are to a record."""
FieldChange: TypeAlias = SetField | RewriteLocalDb
Change: TypeAlias = Upload | Replace | Copy | SetMetadata | CreateRecord | SetField | RewriteLocalDb
"""In the order in which a plan makes them."""


def keys_about(change: Change) -> frozenset[str]:
    """Returns the keys that the change is about: its own, and those of the objects that it needs."""
    needed = () if isinstance(change, ObjectChange) else (need.key for need in change.needs)
    return frozenset(key for key in (change.key, *needed) if key is not None)


def kind_of(change: Change) -> str:
    """Returns the change's kind as the plan file writes it."""
    return str(type(change).__struct_config__.tag)


def change_id(kind: str, *parts: Any) -> str:
    """Returns an id that is the same for the same change in every run."""
    return hashlib.sha256(canonical([kind, *parts])).hexdigest()[:16]


def canonical(value: Any) -> bytes:
    """Returns the canonical JSON text of a value.

    Opaque values of a store's own client, which a list in a record may contain besides its paths, appear as their repr.
    """
    return msgspec.json.encode(value, order="deterministic", enc_hook=repr)


def texts_in(value: Any) -> Iterator[str]:
    """Yields every text in a value, except the keys of maps."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from texts_in(item)


def document_id(document: str) -> str:
    """Returns the id at the end of ``collection/id``."""
    return document.rpartition("/")[2]
