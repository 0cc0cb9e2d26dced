"""Hashes local files: each is read once, and its hash counts if the file did not change meanwhile.

On a system where nobody can replace an open file, a large file is closed while the part just read is hashed. For a
while, a file's content can change without its times: within the resolution of its clock, and while a program writes to
a memory-mapped file (half a minute on Linux). So a hash taken soon after the file's last change is doubted: a later run
takes it again.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial

from reconcile.adapters.local.folder import OpenFolders
from reconcile.adapters.local.seen import Miss, Row, identity, with_content
from reconcile.adapters.local.slices import SLICE, SlicedFile, times
from reconcile.adapters.opening import READ_FILE, reason
from reconcile.adapters.system import current
from reconcile.adapters.workers import Workers, awaited
from reconcile.core.digest import encode_crc32c
from reconcile.core.errors import SourceChanged, SourceError
from reconcile.core.media_complete import missing_end
from reconcile.core.rows import FileProblem, Hashed, LocalFile
from reconcile.ports import HashCache

_BUFFER_BYTES = 256 * 1024
_CHUNK_ROWS = 64
_CHUNK_BYTES = 4 * 1024 * 1024
_THREAD_BYTES = 1024 * 1024
_PATIENCE = 0.05  # seconds for a chunk of small files; a tenth of it is usual
_DOUBTED_NS = 60_000_000_000


class Hasher:
    """Hashes the files below ``root`` that the cache lacks.

    ``clock`` returns nanoseconds since the epoch. ``on_progress`` is called with the number of bytes just read, from
    any of the threads. With ``holds_incomplete``, certainly incomplete media is a problem.
    """

    def __init__(
        self,
        root: str,
        cache: HashCache,
        clock: Callable[[], int],
        workers: int,
        on_progress: Callable[[int], None] | None,
        *,
        holds_incomplete: bool,
    ) -> None:
        self._root = root
        self._cache = cache
        self._clock = clock
        self._holds_incomplete = holds_incomplete
        self._workers = workers
        self._on_progress = on_progress
        self._buffers = threading.local()

    def hashed(self, rows: Iterator[Row]) -> Iterator[LocalFile]:
        """Yields the files of these rows in order, without those that have vanished.

        Handing a small cached file to a thread costs more than hashing it here. So threads hash only large files until
        a chunk of small ones shows that the disk or the network is slow; from then on they hash everything, at most a
        few chunks ahead.
        """
        stop = threading.Event()
        pool: Workers | None = None
        ahead: deque[Future[list[LocalFile]]] = deque()
        waits = False
        try:
            while True:
                begun: list[Row] = []
                if not ahead:  # rows that need no hashing do not wait
                    for row in rows:
                        if isinstance(row, Miss):
                            begun.append(row)
                            break
                        yield row
                chunk, pending = _chunk(begun, rows)
                if not chunk:
                    break
                if pending >= _THREAD_BYTES or (waits and pending):
                    pool = pool or Workers(self._workers, "hash")
                    ahead.append(pool.submit(self._hash_chunk, chunk, stop))
                else:
                    started = time.perf_counter()
                    ahead.append(Future())
                    ahead[-1].set_result(self._hash_chunk(chunk, stop))
                    waits = waits or time.perf_counter() - started > _PATIENCE
                while ahead and (ahead[0].done() or len(ahead) > 2 * self._workers):
                    yield from awaited(ahead.popleft())
            while ahead:
                yield from awaited(ahead.popleft())
        finally:
            stop.set()
            if pool:
                pool.close(cancel=True)

    def _hash_chunk(self, chunk: list[Row], stop: threading.Event) -> list[LocalFile]:
        with OpenFolders(self._root) as folders:
            files = (row if isinstance(row, LocalFile) else self._hash(folders, row, stop) for row in chunk)
            return [file for file in files if file]

    def _hash(self, folders: OpenFolders, miss: Miss, stop: threading.Event) -> LocalFile | None:
        above, slash, name = miss.path.rpartition("/")
        try:
            folder = folders.at(above + slash)
            fd = folder.open(name, READ_FILE)
        except FileNotFoundError:
            return None
        except OSError as error:
            if current().is_in_use(error):
                return miss.problem(FileProblem.UNSETTLED, "another program has it open and lets nobody read it")
            return miss.problem(FileProblem.UNREADABLE, reason(error))
        # While a program has it open for writing, its content may change without its times.
        if folder.is_being_written(name):
            os.close(fd)
            return miss.problem(FileProblem.UNSETTLED, "a program has it open for writing")
        try:
            return self._hash_open(fd, lambda: folder.open(name, READ_FILE), miss, stop)
        except OSError as error:
            if current().is_windows and isinstance(error, PermissionError):  # no missing right: it was opened
                return miss.problem(FileProblem.UNSETTLED, "another program has locked a part of it")
            return miss.problem(FileProblem.UNREADABLE, reason(error))

    def _hash_open(self, fd: int, reopen: Callable[[], int], miss: Miss, stop: threading.Event) -> LocalFile | None:
        """Hashes an open file and closes it. Raises OSError."""
        started = self._clock()
        system = current()
        with contextlib.ExitStack() as held:
            file: io.RawIOBase = held.enter_context(io.FileIO(fd))
            before = system.fstat(fd)
            if not _is_same(miss.seen, before):
                return miss.problem(FileProblem.UNSETTLED, "it was replaced while it was checked")
            sliced = system.lets_go and before.st_size > SLICE
            if sliced:
                held.close()
                file = SlicedFile(before, reopen, miss.path)
            try:
                count, value = self._checksum(file, before.st_size, stop)
                if sliced:
                    fd = held.enter_context(_reopened(reopen)).fileno()
            except SourceChanged:
                return miss.problem(FileProblem.UNSETTLED, "it changed while it was hashed")
            except SourceError as error:
                raise error.__cause__ or error from None
            if count is None:
                return None
            lacks = missing_end(miss.path, count, partial(read_at, fd)) if count else None
            after = system.fstat(fd)
        if count != before.st_size or times(before) != times(after):
            return miss.problem(FileProblem.UNSETTLED, "it changed while it was hashed")
        crc32c = encode_crc32c(value)
        found = Hashed(*identity(miss.seen), crc32c, lacks or "", _doubted_since(started, miss, crc32c))
        self._cache.put(miss.path, found)
        return with_content(miss.path, found, miss.twin, holds_incomplete=self._holds_incomplete)

    def _checksum(self, file: io.RawIOBase, size: int, stop: threading.Event) -> tuple[int | None, int]:
        """Returns the number of bytes read and their crc32c, or (None, 0) if ``stop`` was set meanwhile."""
        from crc32c import crc32c  # importing takes a tenth of a second, which a run with a warm cache must not pay

        buffer: memoryview | None = getattr(self._buffers, "view", None)
        if buffer is None:
            buffer = self._buffers.view = memoryview(bytearray(_BUFFER_BYTES))
        count = value = 0
        while count < size and (n := file.readinto(buffer)):
            value = crc32c(buffer[:n], value)
            count += n
            if self._on_progress:
                self._on_progress(n)
            if stop.is_set():
                return None, 0
        return count, value


def _reopened(reopen: Callable[[], int]) -> io.FileIO:
    try:
        return io.FileIO(reopen())
    except OSError as error:
        raise SourceChanged(reason(error)) from error


def _is_same(seen: os.stat_result, opened: os.stat_result) -> bool:
    """Whether the open file is the one that was seen, unchanged.

    On Windows the two calls may return different ids for one file and volume, so only size and times are compared
    there.
    """
    if current().is_windows:
        return times(seen) == times(opened)
    return seen.st_dev == opened.st_dev and identity(seen) == identity(opened)


def _doubted_since(started: int, miss: Miss, crc32c: str) -> int:
    """Returns since when this hash is doubted, or 0 if any later change would show in the file's times.

    That is so if the file was hashed long after its last change by its own times; or, if those are not in our past
    (they are another machine's), long after the same hash was first taken.
    """
    if started - max(miss.seen.st_mtime_ns, miss.seen.st_ctime_ns) > _DOUBTED_NS:
        return 0
    known = miss.known
    if known is None or known.crc32c != crc32c or known.doubted_since > started:
        return started
    return 0 if started - known.doubted_since > _DOUBTED_NS else known.doubted_since


def read_at(fd: int, offset: int, count: int) -> bytes:
    """Returns up to ``count`` bytes of an open file from an offset on."""
    os.lseek(fd, offset, os.SEEK_SET)
    return os.read(fd, count)


def _chunk(begun: list[Row], rows: Iterator[Row]) -> tuple[list[Row], int]:
    """Adds rows until there are enough for a thread; returns them, and how many of their bytes are to be hashed."""
    pending = sum(row.seen.st_size for row in begun if isinstance(row, Miss))
    while len(begun) < _CHUNK_ROWS and pending < _CHUNK_BYTES and (row := next(rows, None)) is not None:
        begun.append(row)
        if isinstance(row, Miss):
            pending += row.seen.st_size
    return begun, pending
