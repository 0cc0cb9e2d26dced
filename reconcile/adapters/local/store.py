"""The files below the local root: walked in code point order, statted, hashed at most once, opened safely."""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import os
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from reconcile.adapters.descriptors import is_shortage
from reconcile.adapters.disk_names import as_text, native
from reconcile.adapters.local.folder import OpenFolders, open_below
from reconcile.adapters.local.hashing import Hasher
from reconcile.adapters.local.names import Folder, Listing, Prefixes
from reconcile.adapters.local.seen import Miss, Row, identity
from reconcile.adapters.local.settle import FirstLooks
from reconcile.adapters.local.slices import SlicedFile
from reconcile.adapters.local.walking import Walk
from reconcile.adapters.opening import SourceFile, hint, reason, split
from reconcile.adapters.system import current
from reconcile.core.errors import SourceChanged, SourceError
from reconcile.core.names import nfc
from reconcile.core.pattern import Template
from reconcile.core.reach import Selection
from reconcile.core.rows import FileProblem, LocalFile
from reconcile.ports import HashCache

if TYPE_CHECKING:
    from reconcile.adapters.local.apart import WalkProcess

_OF_THE_SYSTEM = (errno.EIO, errno.ENOMEM)
"""Errors that say nothing about whether a file is still the planned one."""


class LocalFiles:
    """The files below ``root``, as a ``FileSource``.

    ``ignore`` holds patterns of what is left out, ``rules`` the templates that claim files; see ``Selection``, which
    may raise PatternError. ``looks`` decides which files have settled: a file that the cache knows as it looks now has,
    any other is UNSETTLED. ``clock`` returns nanoseconds since the epoch, and only decides which hashes are taken
    again. ``on_progress`` is called with the number of bytes just read for hashing, from the ``workers`` threads that
    hash. ``may_lack_root`` is called if the root is missing, and says whether that counts as an empty root. ``settled``
    are paths of files known to be complete, however new they are. With ``holds_incomplete``, certainly incomplete media
    is a problem.
    """

    def __init__(
        self,
        root: Path,
        *,
        ignore: Sequence[str],
        looks: FirstLooks,
        cache: HashCache,
        rules: Sequence[Template] | None = None,
        clock: Callable[[], int] = time.time_ns,
        workers: int = 2,
        on_progress: Callable[[int], None] | None = None,
        may_lack_root: Callable[[], bool] = lambda: False,
        settled: Collection[str] = (),
        holds_incomplete: bool = True,
    ) -> None:
        self._root = current().extended(os.path.abspath(root))
        self._shown = as_text(str(root))
        self._selection = Selection(ignore, rules, ignore_case=current().is_windows)
        self._walk = Walk(self._root, self._selection, cache.get, holds_incomplete=holds_incomplete)
        self._looks = looks
        self._cache = cache
        self._may_lack_root = may_lack_root
        self._settled = frozenset(settled)
        self._had_root = False
        self._apart: tuple[WalkProcess, tuple[int, int]] | None = None
        """The next full walk, if a second process runs it, and the identity of the root before it."""
        sources = None if rules is None else [each.source for each in rules]
        self._job = (os.fsencode(self._root), list(ignore), sources, holds_incomplete)
        self._hasher = Hasher(self._root, cache, clock, workers, on_progress, holds_incomplete=holds_incomplete)

    def walk(self, prefixes: Sequence[str] = ("",)) -> Iterator[LocalFile]:
        """Yields the files below the prefixes, in code point order of the path.

        A folder that is not read (unreadable, a link, an undecodable name) is a row whose path ends in ``/``. Raises
        SourceError if the root is missing, unreadable, or disappears meanwhile.
        """
        within = Prefixes(prefixes)
        if self._apart is not None and within.takes(""):
            apart, before = self._apart
            found = self._seen_by(apart)
        else:
            root = self._root_listing()
            if root.is_gone:
                return
            before, found = self._root_identity(), self._walk.rows(root, within)
        rows = self._settled_rows(found, lambda path: self._observe_from(path, within))
        yield from self._hasher.hashed(rows)
        self._check_root(before)

    def names(self, prefixes: Sequence[str] = ("",)) -> Iterator[str]:
        return self._walk.names(self._root_listing(), Prefixes(prefixes))

    def lookup(self, paths: Iterable[str], *, before: Sequence[str] = (), anew: bool = False) -> Iterator[LocalFile]:
        """Yields the files at these paths; a path below an unread folder has that folder's problem. Raises as
        ``walk``."""
        asked = list(paths)
        later = Prefixes(before)

        def from_path(path: str) -> Iterator[Row]:
            return self._walk.look(self._root_listing(), asked[asked.index(path) :], anew=anew)

        rows = self._walk.look(self._root_listing(), asked, anew=anew)
        return self._hasher.hashed(self._settled_rows(rows, from_path, lambda: self._observe_from("", later)))

    @contextlib.contextmanager
    def presence(self) -> Iterator[Callable[[str], bool]]:
        """Returns a function that says whether something is at a path now, or may be because a folder on the way is not
        read. For paths in their order, each folder is listed once. Raises as ``walk``."""
        before = self._root_identity()
        with OpenFolders(self._root) as folders:
            chain = [self._root_listing()]
            yield lambda path: self._walk.reach(folders, chain, path) is not None
        self._check_root(before)

    def forget(self, path: str) -> None:
        self._cache.drop(path)
        with contextlib.suppress(OSError):
            self._cache.drop(self._as_spelled(path) or "")

    @contextlib.contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """Opens a file, never through a link.

        Raises SourceChanged if it is missing, not a regular file or being written, SourceError if it cannot be read.
        """
        fd = self._open(path)
        try:
            found = current().fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise SourceChanged(f"the local file {path} is not a regular file any more", hint="plan again")
            if current().is_being_written(os.path.join(self._root, *map(native, split(path)))):
                raise SourceChanged(f"a program has the local file {path} open for writing", hint="plan again")
        except BaseException:
            os.close(fd)
            raise
        raw: io.RawIOBase = SourceFile(fd, path)
        if current().lets_go:
            raw.close()
            raw = SlicedFile(found, lambda: self._open_below(path), path)
        with io.BufferedReader(raw) as file:
            yield file

    def _open(self, path: str) -> int:
        if not split(path) or self._selection.excludes(path):
            # A path that a walk leaves out cannot be opened by name either.
            raise SourceChanged(f"the path {path!r} is not one of a local file below the root", hint="plan again")
        try:
            return self._open_below(path)
        except OSError as error:
            if current().is_in_use(error):
                raise SourceChanged(
                    f"another program has the local file {path} open and lets nobody read it",
                    hint="plan again once it is closed",
                ) from error
            if isinstance(error, PermissionError) or is_shortage(error) or error.errno in _OF_THE_SYSTEM:
                raise SourceError(
                    f"the local file {path} cannot be read: {reason(error)}",
                    hint=hint(error, "check the disk, and that this user has the right to read it"),
                ) from error
            raise SourceChanged(
                f"the local file {path} is not there any more, or is reached through a link: {reason(error)}",
                hint="plan again",
            ) from error

    def _open_below(self, path: str) -> int:
        """Opens the file of this name, or else the only one whose name differs just in Unicode form. Raises OSError."""
        try:
            return open_below(self._root, path)
        except FileNotFoundError:
            there = self._as_spelled(path)
            if there is None or there == path:
                raise
            return open_below(self._root, there)

    def _as_spelled(self, path: str) -> str | None:
        """Returns a path as the disk spells it, or None if a part of it is missing or ambiguous."""
        found = ""
        with OpenFolders(self._root) as folders:
            for part in path.split("/"):
                names = self._walk.lister.listing(folders, Folder(found)).names
                alike = [name for name, _ in names if nfc(name.rstrip("/")) == nfc(part)]
                name = part if part in alike else alike[0] if len(alike) == 1 else None
                if name is None:
                    return None
                found += name
        return found

    # -- the second process --

    def walk_apart(self, hashes: Path, command: Sequence[str] | None = None) -> bool:
        """Starts a process for the next full walk, by default with ``apart.command``, and returns whether it could.

        ``hashes`` is the file of the hash cache.
        """
        from reconcile.adapters.local.apart import WalkProcess  # only large trees need it

        self.walk_here()
        try:
            root = self._root_identity()
        except SourceError:  # the walk will report it
            return False
        self._had_root = True
        self._apart = WalkProcess((*self._job, os.fsencode(hashes), root), command), root
        return True

    def walk_here(self) -> None:
        """Ends the second process: the next walk is in this one."""
        apart, self._apart = self._apart, None
        if apart is not None:
            apart[0].close()

    def _seen_by(self, apart: WalkProcess) -> Iterator[Row]:
        """Yields the rows of a full walk by the second process; what it does not reach is walked here."""
        last = ""
        try:
            for row in apart.rows():
                last = row.path
                # What was hashed here meanwhile is known by now.
                yield row if isinstance(row, LocalFile) or row.known else self._walk.known(row.path, row.seen, row.twin)
        finally:
            self.walk_here()
        if not apart.came_to_end:
            yield from (row for row in self._observe_from(last, Prefixes(("",))) if row.path != last)

    # -- the root --

    def _root_listing(self) -> Listing:
        try:
            listing = self._walk.top()
            self._had_root = True
            return listing
        except FileNotFoundError as error:
            # A root that was there a moment ago has not been walked to its end, and does not count as empty.
            if not self._had_root and self._may_lack_root():
                return Listing(Folder(""), [], {}, is_gone=True)
            raise SourceError(
                f"the local root {self._shown} is not there",
                hint="mount its drive, or set root under [local] in the rules file; `reconcile restore` makes it anew",
            ) from error
        except NotADirectoryError as error:
            raise SourceError(
                f"the local root {self._shown} is not a folder", hint="set root under [local] in the rules file"
            ) from error
        except OSError as error:
            raise SourceError(
                f"the local root {self._shown} cannot be read: {reason(error)}",
                hint=hint(error, "give this user the right to read it"),
            ) from error

    def _root_identity(self) -> tuple[int, int]:
        try:
            found = os.stat(self._root)
        except OSError as error:
            raise SourceError(
                f"the local root {self._shown} went away while it was read: {reason(error)}",
                hint=hint(error, "mount its drive and run again"),
            ) from error
        return found.st_dev, found.st_ino

    def _check_root(self, before: tuple[int, int]) -> None:
        """Raises SourceError if this is another root than before: an unmounted drive makes its folders vanish one by
        one, which must not count as absent files."""
        if self._root_identity() != before:
            raise SourceError(
                f"the local root {self._shown} was replaced while it was read", hint="run again once it stays put"
            )

    # -- observing --

    def _settled_rows(
        self,
        rows: Iterator[Row],
        from_path: Callable[[str], Iterator[Row]],
        besides: Callable[[], Iterator[Row]] = lambda: iter(()),
    ) -> Iterator[Row]:
        """Yields the rows, with a problem for each file that has not settled.

        At the first new file, the remaining rows are statted and only new looks are kept; after a single wait, the rows
        from that file on are read again with ``from_path``.
        """
        for row in rows:
            if not self._is_new(row):
                yield row
            elif not self._looks.can_wait:
                yield self._unsettled(row)
            else:
                break
        else:
            return
        for other in itertools.chain(rows, besides()):
            self._is_new(other)
        self._looks.wait()
        for again in from_path(row.path):
            yield self._unsettled(again) if self._is_new(again) else again

    def _is_new(self, row: Row) -> bool:
        """Whether the row is a file that has not settled; its look is noted."""
        if isinstance(row, LocalFile) or row.known is not None or row.path in self._settled:
            return False
        return not self._looks.is_settled(row.path, identity(row.seen))

    def _unsettled(self, row: Row) -> LocalFile:
        assert isinstance(row, Miss)
        return row.problem(FileProblem.UNSETTLED, f"it has not looked the same for {self._looks.settle:g} s yet")

    def _observe_from(self, path: str, prefixes: Prefixes) -> Iterator[Row]:
        return self._walk.rows(self._root_listing(), prefixes, path)
