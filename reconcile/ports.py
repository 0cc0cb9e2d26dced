"""The interfaces to the outside: short Protocols that adapters implement and all other code uses.

All methods raise only errors of ``reconcile.core.errors``, and may be called from several threads at once. Adapters
retry transient errors (408, 429, 5xx, broken connections) for a bounded time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol

from reconcile.core.errors import JournalError
from reconcile.core.moment import Moment
from reconcile.core.rows import Agreed, Document, Hashed, LocalFile, RemoteObject

if TYPE_CHECKING:
    from reconcile.core.journal import JournaledRun, Line, RunStarted

Progress = Callable[[int], None]
"""Called with the number of bytes that were just sent or received; negative if a retry starts over."""


class FileSource(Protocol):
    """The files below the local root. Links that lead out of it are not followed, and only regular files are opened."""

    def walk(self, prefixes: Sequence[str] = ("",)) -> Iterator[LocalFile]:
        """Yields every file whose relative path starts with one of the prefixes, once, hashed, in code point order of
        the path.

        Prefixes are plain string prefixes, not folders. Ignored names are left out. A folder that cannot be read is
        yielded as a LocalFile with ``problem`` UNREADABLE and a path that ends in ``/``. Raises SourceError if the root
        itself is missing or cannot be read.
        """

    def names(self, prefixes: Sequence[str] = ("",)) -> Iterator[str]:
        """Yields the paths that ``walk`` would yield. No file is read."""

    def lookup(self, paths: Iterable[str], *, before: Sequence[str] = (), anew: bool = False) -> Iterator[LocalFile]:
        """Yields the files with these exact relative paths, hashed, in the given order; missing ones are left out.

        ``before`` are the prefixes of a walk that follows, so that both wait only once for new files to settle.
        ``anew`` reads every file, even if its hash is remembered.
        """

    def forget(self, path: str) -> None:
        """Forgets the remembered hash of a file, because different content was found there."""

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Opens a file below the root for reading: the one with this name, or the only one with it in another Unicode
        form.

        Raises SourceChanged if it is missing, is not a regular file, or is behind a symlink that leads out of the root.
        """


class DesiredObject(NamedTuple):
    """An object that a write should create. ``if_generation_match`` is the generation that it replaces, 0 for none."""

    key: str
    size: int
    crc32c: str
    content_type: str
    if_generation_match: int


class ObjectStore(Protocol):
    """The objects of one bucket below one prefix; keys are names below that prefix."""

    def list(self, prefix: str = "", splits: Sequence[str] = ()) -> Iterator[RemoteObject]:
        """Yields every live object whose key starts with ``prefix``, in code point order of the key.

        An incomplete listing is an error. ``splits`` are keys at which the listing may be cut into ranges that are read
        concurrently; the result is the same. Raises StoreUnavailable, AccessDenied, StoreMissing.
        """

    def between(self, first: str, stop: str, prefix: str = "") -> Iterator[RemoteObject]:
        """Yields the objects from the key ``first`` (inclusive) to ``stop`` (exclusive; empty: no end), in the same
        order.

        With a ``prefix``, only those below it are requested. Raises as ``list``.
        """

    def get(self, key: str) -> RemoteObject | None:
        """Returns the live object's metadata, or None. Raises StoreUnavailable, AccessDenied, StoreMissing."""

    def put(self, desired: DesiredObject, body: BinaryIO, *, progress: Progress | None = None) -> RemoteObject:
        """Creates or replaces an object atomically.

        The planned size and crc32c are sent with the content, and the answer is compared with them. A replacement keeps
        the metadata that users set on the object (cache control, disposition, language, custom time and metadata),
        except its content encoding: the new content has none.

        Raises SourceChanged if the body is not the planned content, PreconditionFailed if another generation is live,
        Uncertain if the answer was lost, Rejected, AccessDenied, StoreUnavailable (nothing was written).
        """

    def md5(self, key: str, *, generation: int) -> str | None:
        """Returns the base64 MD5 of the object's content in this generation.

        None if it has no MD5 (it was composed), if the content is encoded, or if there is no such object. Raises as
        ``get``.
        """

    def copy(self, desired: DesiredObject, source: str, *, source_generation: int) -> RemoteObject:
        """Creates an object from the one with the key ``source``, without sending its content.

        No metadata of the source is copied. The answer is compared with the planned size and crc32c. Raises
        PreconditionFailed if either has another generation, NotThere if the source is gone, Uncertain if the answer was
        lost, Rejected, AccessDenied, StoreUnavailable (nothing was written).
        """

    def set_type(
        self, key: str, content_type: str, *, if_generation_match: int, if_metageneration_match: int
    ) -> RemoteObject:
        """Sets the content type of an object; its content and all other metadata stay.

        Raises PreconditionFailed if it has another generation or metageneration, NotThere if it is gone, Uncertain if
        the answer was lost, Rejected, AccessDenied, StoreUnavailable (nothing was written).
        """

    def read(
        self, key: str, *, generation: int | None = None, offset: int = 0, encoded: bool = False
    ) -> Iterator[bytes]:
        """Yields the object's content as stored, from ``offset`` on, in chunks.

        Set ``encoded`` if ``get`` returned a content encoding. Raises NotThere, and as ``get``.
        """


class RecordReader(Protocol):
    """The documents of one collection, or of a local database, with their update times.

    One call reads all documents as of one moment, that of its first answer, as long as the store keeps the past. With
    ``at``, several calls share a moment; a store without history ignores it.
    """

    def ids(self, prefix: str = "", *, at: Moment | None = None) -> Iterator[str]:
        """Yields the ids that start with ``prefix``, in code point order.

        Raises StoreUnavailable, AccessDenied, StoreMissing.
        """

    def read(self, ids: Collection[str] | None = None, *, at: Moment | None = None) -> Iterator[Document]:
        """Yields all documents, or those with these ids that exist, in code point order of the id.

        An incomplete answer is an error. Raises as ``ids``.
        """


class RecordStore(RecordReader, Protocol):
    """The documents of one collection, with optimistic concurrency by update time."""

    def versions(self, *, at: Moment | None = None) -> Iterator[tuple[str, str]]:
        """Yields the id and the update time of each document, without its fields. Raises as ``ids``."""

    def update(self, document: str, fields: Mapping[str, Any], *, if_update_time: str) -> str:
        """Sets these top-level fields, leaves all others, and returns the new update time.

        Raises PreconditionFailed if the document has another update time, NotThere if it is gone, Uncertain if the
        answer was lost, Rejected, AccessDenied, StoreUnavailable (nothing was written).
        """

    def create(self, document: str, fields: Mapping[str, Any]) -> str:
        """Creates a document and returns its update time.

        Raises PreconditionFailed if it exists, and as ``update``.
        """


class HashCache(Protocol):
    """The remembered hashes of local files; losing them costs only speed."""

    def get(self, path: str) -> Hashed | None:
        """Returns the hash that was last stored for the path, or None."""

    def put(self, path: str, found: Hashed) -> None:
        """Remembers a hash; may be written out later, in a batch."""

    def drop(self, path: str) -> None:
        """Forgets the path's hash."""


class AgreedStates(Protocol):
    """The last states in which file and object agreed; without them ``replace = "safe"`` asks instead of acting."""

    def all(self) -> Iterator[Agreed]:
        """Yields all states in code point order of the key."""

    def of(self, key: str) -> Agreed | None:
        """Returns the state of a key, or None. Cheapest if keys come in order."""

    def cuts(self, size: int) -> list[str]:
        """Returns keys, in order, that divide all states into parts of this size."""

    def holding(self, checksums: Collection[str]) -> Iterator[Agreed]:
        """Yields the states that have one of these crc32c values, unordered."""

    def remember(self, states: Iterable[Agreed]) -> None:
        """Remembers these states, in one transaction."""


class RunLog(Protocol):
    """The journal of one run, while it is written."""

    def write(self, line: Line, *, durable: bool = False) -> None:
        """Appends a line, which survives the process; a ``durable`` one also survives a crash of the machine.

        Raises JournalError.
        """

    def close(self) -> None:
        """Closes the journal; no more lines follow."""


class Journals(Protocol):
    """The journals of all runs: a history that no later run depends on."""

    def begin(self, run: RunStarted) -> RunLog:
        """Starts the journal of a run. Raises JournalError, in which case nothing has been changed yet."""

    def read(self, run_id: str) -> JournaledRun | None:
        """Returns one run, or None. Raises JournalError if it cannot be read."""

    def runs(self, missed: list[JournalError] | None = None) -> Iterator[JournaledRun]:
        """Yields every run, newest first. One that cannot be read raises JournalError, or is added to ``missed``."""


LONGEST_URL = 7 * 86_400
"""Seconds: the maximum validity of a V4 signed URL."""


class SharedFolder(Protocol):
    """A folder shared by several machines, in a file system or a bucket. Its files are never changed."""

    def sizes(self) -> dict[str, int]:
        """Returns the length in bytes of each file, by name; empty if there is no folder. Raises UsageError and as a
        store."""

    def read(self, name: str) -> bytes:
        """Returns a file's content. Raises as ``sizes``, also if the file is missing."""

    def create(self, name: str, data: bytes) -> None:
        """Creates a file atomically, with its folder if missing. Raises as ``sizes``, also if the name is taken."""
