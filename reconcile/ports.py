"""The interfaces to the outside: short Protocols that adapters implement and everything above them uses.

All methods raise only errors of ``reconcile.core.errors``, and may be called from several threads at once. Adapters
retry transient errors (408, 429, 5xx, broken connections) for a bounded time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol

from reconcile.core.errors import JournalError
from reconcile.core.moment import Moment
from reconcile.core.rows import Agreed, Document, Hashed, LocalFile, RemoteObject, Served

if TYPE_CHECKING:
    from reconcile.core.journal import Line, Past, RunStarted

Progress = Callable[[int], None]
"""Called with the number of bytes that were just sent or received; negative if a retry starts over."""


class FileSource(Protocol):
    """The files below the local root. It follows no symlink that leads out, and opens only regular files."""

    def walk(self, prefixes: Sequence[str] = ("",)) -> Iterator[LocalFile]:
        """Every file whose relative path starts with one of the prefixes (plain string prefixes, not folders), once
        each, hashed, in code point order of the path. Ignored names are left out.

        Raises SourceError if the root itself is missing or cannot be read. A folder below it that cannot be read is
        yielded as a LocalFile with ``problem`` UNREADABLE and a path that ends in ``/``.
        """
        ...

    def names(self, prefixes: Sequence[str] = ("",)) -> Iterator[str]:
        """The paths that ``walk`` would yield. No file is read."""
        ...

    def lookup(self, paths: Iterable[str], *, before: Sequence[str] = (), anew: bool = False) -> Iterator[LocalFile]:
        """The files with these exact relative paths, hashed, in the order given; missing ones are left out.

        ``before`` are the prefixes of a walk that follows, so that the wait for new files to settle happens once for
        both. ``anew`` reads every file, even if its hash is remembered.
        """
        ...

    def forget(self, path: str) -> None:
        """Forgets the remembered hash of a file, because different content was found there."""
        ...

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Opens a file below the root for reading: the one with this name, or the only one whose name is the same in
        another Unicode form. Raises SourceChanged if it is missing, is not a regular file, or is behind a symlink that
        leads out of the root."""
        ...


class DesiredObject(NamedTuple):
    """An object as a write is to make it. ``if_generation_match`` is the generation that it replaces, 0 for none."""

    key: str
    size: int
    crc32c: str
    content_type: str
    if_generation_match: int


class ObjectStore(Protocol):
    """The objects of one bucket below one prefix; keys are names below that prefix."""

    def list(self, prefix: str = "", splits: Sequence[str] = ()) -> Iterator[RemoteObject]:
        """Every live object whose key starts with ``prefix``, in code point order of the key. An incomplete listing is
        an error.

        ``splits`` are keys at which the listing may be cut into ranges that are read at the same time; the result is
        the same. Raises StoreUnavailable, AccessDenied, StoreMissing.
        """
        ...

    def between(self, first: str, stop: str, prefix: str = "") -> Iterator[RemoteObject]:
        """The objects from the key ``first`` up to but without ``stop`` (empty: no end), in the same order. With a
        ``prefix``, only those below it are requested. Raises as ``list``."""
        ...

    def get(self, key: str) -> RemoteObject | None:
        """The live object's metadata, or None. Raises StoreUnavailable, AccessDenied, StoreMissing."""
        ...

    def put(self, desired: DesiredObject, body: BinaryIO, *, progress: Progress | None = None) -> RemoteObject:
        """Creates or replaces an object, whole or not at all.

        The planned size and crc32c go with the bytes, and the answer is compared with them.
        A replacement keeps the metadata that people have set on the object (cache control, disposition, language,
        custom time and metadata), except its content encoding: these bytes are plain.
        Raises SourceChanged if the body is not the planned bytes, PreconditionFailed if another generation is
        live, Uncertain if the answer was lost, Rejected, AccessDenied, StoreUnavailable (nothing was written).
        """
        ...

    def md5(self, key: str, *, generation: int) -> str | None:
        """The MD5, in base64, of the object's bytes in this generation; None if it has no MD5 (it was composed), if the
        bytes are encoded, or if there is no such object. Raises as ``get``."""
        ...

    def copy(self, desired: DesiredObject, source: str, *, source_generation: int) -> RemoteObject:
        """Makes an object from the one with the key ``source``, without sending its bytes. No metadata of the source is
        copied. The answer is compared with the planned size and crc32c.

        Raises PreconditionFailed if either has another generation, NotThere if the source is gone, Uncertain if the
        answer was lost, Rejected, AccessDenied, StoreUnavailable (nothing was written).
        """
        ...

    def set_type(
        self, key: str, content_type: str, *, if_generation_match: int, if_metageneration_match: int
    ) -> RemoteObject:
        """Sets the content type of an object, and leaves its bytes and all other metadata.

        Raises PreconditionFailed if it has another generation or metageneration, NotThere if it is gone, Uncertain if
        the answer was lost, Rejected, AccessDenied, StoreUnavailable (nothing was written).
        """
        ...

    def read(
        self, key: str, *, generation: int | None = None, offset: int = 0, encoded: bool = False
    ) -> Iterator[bytes]:
        """The object's bytes as they are stored, from ``offset`` on, in chunks; ``encoded`` if ``get`` gave it a
        content encoding. Raises NotThere, and as ``get``."""
        ...


class RecordReader(Protocol):
    """The documents of one collection, or of a local database, with the update time of each.

    One call reads all documents as of one moment, that of its first answer, as long as the store keeps the past. With
    ``at``, several calls share a moment; a store that keeps no past ignores it.
    """

    def ids(self, prefix: str = "", *, at: Moment | None = None) -> Iterator[str]:
        """The ids that start with ``prefix``, in code point order.

        Raises StoreUnavailable, AccessDenied, StoreMissing.
        """
        ...

    def read(self, ids: Collection[str] | None = None, *, at: Moment | None = None) -> Iterator[Document]:
        """All documents, or those with these ids that exist, in code point order of the id. An incomplete answer is an
        error. Raises as ``ids``."""
        ...


class RecordStore(RecordReader, Protocol):
    """The documents of one collection, with optimistic concurrency by update time."""

    def versions(self, *, at: Moment | None = None) -> Iterator[tuple[str, str]]:
        """The id and the update time of each document, without the document. Raises as ``ids``."""
        ...

    def update(self, document: str, fields: Mapping[str, Any], *, if_update_time: str) -> str:
        """Sets these top-level fields, leaves all others, and returns the new update time.

        Raises PreconditionFailed if the document has another update time, NotThere if it is gone, Uncertain if the
        answer was lost, Rejected, AccessDenied, StoreUnavailable (nothing was written).
        """
        ...

    def create(self, document: str, fields: Mapping[str, Any]) -> str:
        """Creates a document and returns its update time.

        Raises PreconditionFailed if it exists, and as ``update``.
        """
        ...


class HashCache(Protocol):
    """The remembered hashes of local files; losing them costs only speed."""

    def get(self, path: str) -> Hashed | None:
        """The hash that was last stored for the path, or None."""
        ...

    def put(self, path: str, found: Hashed) -> None:
        """Remembers a hash; may be written out later, in a batch."""
        ...

    def drop(self, path: str) -> None:
        """Forgets the path's hash."""
        ...


class AgreedStates(Protocol):
    """The last states in which file and object agreed; without them ``replace = "safe"`` asks instead of acting."""

    def all(self) -> Iterator[Agreed]:
        """All, in code point order of the key."""
        ...

    def of(self, key: str) -> Agreed | None:
        """The state of a key, or None. Cheapest if keys come in order."""
        ...

    def cuts(self, size: int) -> list[str]:
        """Keys, in order, that cut all states into parts of this size."""
        ...

    def holding(self, checksums: Collection[str]) -> Iterator[Agreed]:
        """The states that have one of these crc32c, in any order."""
        ...

    def remember(self, states: Iterable[Agreed]) -> None:
        """Remembers these states, in one transaction."""
        ...


class RunLog(Protocol):
    """The journal of one run, while it is written."""

    def write(self, line: Line, *, durable: bool = False) -> None:
        """Appends a line, which survives the process; a ``durable`` one survives a crash of the machine. Raises
        JournalError."""
        ...

    def close(self) -> None:
        """No more lines."""
        ...


class Journals(Protocol):
    """The journals of all runs: a history, which no later run needs."""

    def begin(self, run: RunStarted) -> RunLog:
        """Starts the journal of a run. Raises JournalError: nothing has been changed yet."""
        ...

    def read(self, run_id: str) -> Past | None:
        """One run, or None. Raises JournalError if it cannot be read."""
        ...

    def runs(self, missed: list[JournalError] | None = None) -> Iterator[Past]:
        """Every run, newest first. One that cannot be read raises JournalError, or is added to ``missed``."""
        ...


LONGEST_URL = 7 * 86_400
"""Seconds: the longest that a V4 signed URL may be valid."""


class UrlSigner(Protocol):
    """Makes URLs with which anyone may read an object for a while. Each is a secret: whoever has it can read the
    object."""

    @property
    def holds_for(self) -> float:
        """Seconds for which a URL is sure to be valid, by the key of the first signature; a longer one may end
        early."""
        ...

    def sign(self, key: str, *, expires: float) -> str:
        """A V4 signed URL for reading the object of this key, for ``expires`` seconds, at most a week.

        Makes no request, except to the signing service of an account without a key. Raises AccessDenied if these
        credentials cannot sign, and StoreUnavailable.
        """
        ...


class UrlReader(Protocol):
    """Reads a URL as a stranger would: with the URL alone."""

    def fetch(self, url: str, *, limit: int | None = None, encoded: bool = False) -> AbstractContextManager[Served]:
        """The answer to the URL, with all of its bytes or only the first ``limit``; an ``encoded`` object is requested
        as it is stored.

        An answer with any status is given back. Raises StoreUnavailable if there is none or it ends early; no message
        holds the URL.
        """
        ...


class SharedFolder(Protocol):
    """A folder for several machines, in a file system or a bucket. Its files are never changed."""

    def sizes(self) -> dict[str, int]:
        """The length in bytes of each file, by name; empty if there is no folder. Raises UsageError and as a store."""
        ...

    def read(self, name: str) -> bytes:
        """A file's content. Raises as ``sizes``, also if the file is not there."""
        ...

    def create(self, name: str, data: bytes) -> None:
        """Writes a file, whole or not at all, and makes the folder first. Raises as ``sizes``, also if the name is
        taken."""
        ...


class FilePlaces(Protocol):
    """Makes files below the local root. Nothing is ever overwritten, and no link is followed."""

    def refusal(self, path: str) -> str | None:
        """Why no file with this relative path can be made on this system, or None."""
        ...

    def ignores(self, path: str) -> bool:
        """Whether a walk would leave out a file with this path."""
        ...

    def rival(self, path: str) -> str | None:
        """What is in the way of a file with this path, in words, or None: a file with the name of one of its folders,
        or a folder with its own name."""
        ...

    def begun(self, path: str, generation: int) -> int:
        """How many bytes of this generation an interrupted run has left beside the path."""
        ...

    def place(
        self,
        path: str,
        body: Callable[[int], Iterator[bytes]],
        *,
        size: int,
        crc32c: str,
        generation: int,
        modified_ns: int | None = None,
        progress: Progress | None = None,
    ) -> bool:
        """Makes the file with exactly these bytes, or not at all; the root and the folders are made first.

        ``body`` gives the bytes from an offset on; bytes that an earlier run left are not requested again. Returns
        False if a file with these bytes was there when they were complete. Raises SourceChanged if something else is
        there, SourceError if it cannot be written, Rejected if the bytes do not have this size and crc32c, and what
        ``body`` raises; the bytes received until then are kept for the next time.
        """
        ...
