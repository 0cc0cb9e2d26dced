"""The doors to the outside: one short Protocol for each world. Adapters implement them; everything above uses them.

All methods raise only errors of ``reconcile.core.errors`` and are safe to call from several threads at once.
Retries of transient errors (408, 429, 5xx, connection), bounded in time, happen behind the door.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from reconcile.core.errors import JournalError
from reconcile.core.moment import Moment
from reconcile.core.rows import Agreed, Document, Hashed, LocalFile, RemoteObject, Served

if TYPE_CHECKING:
    from reconcile.core.journal import Line, Past, RunStarted

Progress = Callable[[int], None]
"""Called with the number of bytes that have just been moved; negative if a retry starts over."""


class FileSource(Protocol):
    """The files below the local root; it never follows a symlink out of it and opens regular files only."""

    def walk(self, prefixes: Sequence[str] = ("",)) -> Iterator[LocalFile]:
        """Every file whose relative path starts with one of the prefixes (plain string prefixes, not folders),
        once, in code point order of the path, hashed. Ignored names are left out.

        Raises SourceError if the root itself is not there or cannot be read. A folder below it that cannot be
        read is yielded as a LocalFile with ``problem`` UNREADABLE and a path that ends in ``/``.
        """
        ...

    def names(self, prefixes: Sequence[str] = ("",)) -> Iterator[str]:
        """The paths that ``walk`` would yield, unread and unhashed."""
        ...

    def lookup(self, paths: Iterable[str], *, before: Sequence[str] = (), anew: bool = False) -> Iterator[LocalFile]:
        """The same for exact relative paths, in the order given; those that are not there are left out.

        ``before`` are the prefixes of a walk that follows, so that what is new is waited for once. ``anew`` reads every
        file, whatever is remembered of it.
        """
        ...

    def forget(self, path: str) -> None:
        """Forgets what is remembered of a file's content, because other content was found there."""
        ...

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Opens a file below the root for reading: the one of this name, or the only one whose name is the same in
        another Unicode form. Raises SourceChanged if it is not there, is not a regular file, or would be reached
        through a symlink that leads out of the root."""
        ...


class ObjectStore(Protocol):
    """The objects of one bucket below one prefix; keys are names below that prefix."""

    def list(self, prefix: str = "", splits: Sequence[str] = ()) -> Iterator[RemoteObject]:
        """Every live object whose key starts with ``prefix``, in code point order of the key, complete or an error.

        ``splits`` are keys at which the range may be cut to be listed at once; they change nothing in the answer.
        Raises StoreUnavailable, AccessDenied, StoreMissing.
        """
        ...

    def between(self, first: str, stop: str, prefix: str = "") -> Iterator[RemoteObject]:
        """Those whose key is ``first``, or comes after it, and comes before ``stop`` (empty: no end), in the same
        order. With a ``prefix`` those below it alone, which is all that is asked for. Raises as ``list``."""
        ...

    def get(self, key: str) -> RemoteObject | None:
        """The live object's metadata, or None. Raises StoreUnavailable, AccessDenied, StoreMissing."""
        ...

    def put(
        self,
        key: str,
        body: BinaryIO,
        *,
        size: int,
        crc32c: str,
        content_type: str,
        if_generation_match: int,
        progress: Progress | None = None,
    ) -> RemoteObject:
        """Creates (``if_generation_match`` 0) or replaces (the generation seen) an object, whole or not at all.

        The planned size and crc32c go with the bytes, and the answer is held against them.
        A replacement keeps what people have said of the object (cache control, disposition, language, custom time and
        metadata), except its content encoding: these bytes are plain.
        Raises SourceChanged if the body is not the planned bytes, PreconditionFailed if another generation is
        live, Uncertain if no answer told, Rejected, AccessDenied, StoreUnavailable (nothing was written).
        """
        ...

    def md5(self, key: str, *, generation: int) -> str | None:
        """The MD5, in base64, of the object's bytes in this generation; None if it has none (it was composed), if they
        are encoded, or if it is not there. Raises as ``get``."""
        ...

    def copy(
        self,
        key: str,
        source: str,
        *,
        source_generation: int,
        size: int,
        crc32c: str,
        content_type: str,
        if_generation_match: int,
    ) -> RemoteObject:
        """Makes an object from another one, the key ``source``, without its bytes being sent; nothing that is said of
        the source is copied. The answer is held against the size and crc32c.

        Raises PreconditionFailed if another generation is live of either, NotThere if the source is gone, Uncertain if
        no answer told, Rejected, AccessDenied, StoreUnavailable (nothing was written).
        """
        ...

    def set_type(
        self, key: str, content_type: str, *, if_generation_match: int, if_metageneration_match: int
    ) -> RemoteObject:
        """Sets the content type of an object, and leaves its bytes and all other metadata.

        Raises PreconditionFailed if it has another generation or metageneration, NotThere if it is gone, Uncertain if
        no answer told, Rejected, AccessDenied, StoreUnavailable (nothing was written).
        """
        ...

    def read(
        self, key: str, *, generation: int | None = None, offset: int = 0, encoded: bool = False
    ) -> Iterator[bytes]:
        """The object's bytes as they are stored, from ``offset``, in chunks; ``encoded`` if ``get`` told of an
        encoding. Raises NotThere, and as ``get``."""
        ...


class RecordReader(Protocol):
    """The documents of one collection, or of a local database, with the update time of each.

    What one call reads is of one moment, that of its first answer, for as long as the store keeps the past. With ``at``
    several calls share a moment; a store that keeps no past ignores it.
    """

    def ids(self, prefix: str = "", *, at: Moment | None = None) -> Iterator[str]:
        """The ids that start with ``prefix``, in code point order.

        Raises StoreUnavailable, AccessDenied, StoreMissing.
        """
        ...

    def read(self, ids: Collection[str] | None = None, *, at: Moment | None = None) -> Iterator[Document]:
        """All documents whole, or those with these ids that exist, in code point order of the id, complete or an error.
        Raises as ``ids``."""
        ...


class RecordStore(RecordReader, Protocol):
    """The documents of one collection, with optimistic concurrency by update time."""

    def versions(self, *, at: Moment | None = None) -> Iterator[tuple[str, str]]:
        """The id and the update time of each document, without the document. Raises as ``ids``."""
        ...

    def update(self, document: str, fields: Mapping[str, Any], *, if_update_time: str) -> str:
        """Sets these top-level fields, leaves every other as it is, and returns the new update time.

        Raises PreconditionFailed if the update time is another, NotThere if the document is gone, Uncertain
        if no answer told, Rejected, AccessDenied, StoreUnavailable (nothing was written).
        """
        ...

    def create(self, document: str, fields: Mapping[str, Any]) -> str:
        """Creates a document and returns its update time.

        Raises PreconditionFailed if it exists, and as ``update``.
        """
        ...


class HashCache(Protocol):
    """What the local adapter remembers of files already hashed; losing it costs only speed."""

    def get(self, path: str) -> Hashed | None:
        """What was last stored for the path, or None."""
        ...

    def put(self, path: str, found: Hashed) -> None:
        """Remembers a hash; may be written out later, in a batch."""
        ...

    def drop(self, path: str) -> None:
        """Forgets the path's hash."""
        ...


class AgreedStates(Protocol):
    """The last states in which both sides agreed; losing them makes ``replace = "safe"`` ask instead of act."""

    def all(self) -> Iterator[Agreed]:
        """All, in code point order of the key."""
        ...

    def of(self, key: str) -> Agreed | None:
        """That of a key, or None. Cheapest if keys are asked for in order."""
        ...

    def cuts(self, size: int) -> list[str]:
        """Keys that cut all that is remembered into parts of so many, in order."""
        ...

    def holding(self, checksums: Collection[str]) -> Iterator[Agreed]:
        """Those that have one of these crc32c, in any order."""
        ...

    def remember(self, states: Iterable[Agreed]) -> None:
        """Remembers these, in one transaction."""
        ...


class RunLog(Protocol):
    """The journal of one run, while it is written."""

    def write(self, line: Line, *, durable: bool = False) -> None:
        """Appends a line, which outlives the process; a ``durable`` one outlives the machine. Raises JournalError."""
        ...

    def close(self) -> None:
        """No more lines."""
        ...


class Journals(Protocol):
    """What runs wrote down about themselves: a history, which no later run needs."""

    def begin(self, run: RunStarted) -> RunLog:
        """Starts the journal of a run. Raises JournalError: nothing has been changed yet."""
        ...

    def read(self, run_id: str) -> Past | None:
        """One run, or None. Raises JournalError if it cannot be read."""
        ...

    def runs(self, missed: list[JournalError] | None = None) -> Iterator[Past]:
        """Every run, newest first. What cannot be read raises JournalError, or is added to ``missed``."""
        ...


LONGEST_URL = 7 * 86_400
"""Seconds: the longest that a V4 signed URL may hold."""


class UrlSigner(Protocol):
    """Makes URLs with which anyone may read an object for a while. Each is a secret: whoever has it can read."""

    @property
    def holds_for(self) -> float:
        """The seconds for which a URL of the first signature's key holds for sure; a longer one may end early."""
        ...

    def sign(self, key: str, *, expires: float) -> str:
        """A V4 signed URL for reading the object of this key, for ``expires`` seconds, at most a week.

        Makes no request, except for a keyless account, whose signing service is asked. Raises AccessDenied if these
        credentials cannot sign, and StoreUnavailable.
        """
        ...


class UrlReader(Protocol):
    """Reads a URL as a stranger would: with the URL alone."""

    def fetch(self, url: str, *, limit: int | None = None, encoded: bool = False) -> AbstractContextManager[Served]:
        """What the URL gives, all of its bytes or just the first ``limit``; an ``encoded`` object is asked for as it is
        stored.

        Any answer is one, whatever its status. Raises StoreUnavailable if none comes or if it ends early; a
        message never holds the URL.
        """
        ...


class SharedFolder(Protocol):
    """A folder for several machines, in a file system or a bucket. What is in it stays as it was written."""

    def sizes(self) -> dict[str, int]:
        """The length in bytes of each file, by name; empty if there is no folder. Raises UsageError and as a store."""
        ...

    def read(self, name: str) -> bytes:
        """A file's content. Raises as ``sizes``, also if the file is not there."""
        ...

    def create(self, name: str, data: bytes) -> None:
        """Writes a file, whole or not at all, and the folder with it. Raises as ``sizes``, also if the name is
        taken."""
        ...


class FilePlaces(Protocol):
    """The places of files below the local root. Nothing that is there is ever overwritten, and no link is followed."""

    def refusal(self, path: str) -> str | None:
        """Why no file of this relative path can be made on this system, or None."""
        ...

    def ignores(self, path: str) -> bool:
        """Whether the walk would leave a file of this path out."""
        ...

    def rival(self, path: str) -> str | None:
        """What is there and leaves no room for a file of this path, in words, or None: a file that has the name of one
        of its folders, or a folder that has its own name."""
        ...

    def begun(self, path: str, generation: int) -> int:
        """How many bytes of this generation an interrupted run left beside the path."""
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
        """Makes the file, whole and with just these bytes, or not at all; the root and the folders with it.

        ``body`` gives the bytes from an offset on, and what is there of them already is kept. False if a file with
        these bytes stood there when they were complete. Raises SourceChanged if something else stands there,
        SourceError if it cannot be written, Rejected if the bytes are not the ones meant, and what ``body``
        raises: then what has come is kept for the next time.
        """
        ...
