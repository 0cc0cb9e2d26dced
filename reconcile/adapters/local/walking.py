"""The walk: what is at each path below a root, in code point order, from the disk and the hash cache."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, TypeVar

from reconcile.adapters.local.folder import OpenFolder, OpenFolders
from reconcile.adapters.local.names import Entry, Folder, Lister, Listing, Prefixes, link_detail
from reconcile.adapters.local.seen import Miss, Row, is_same, with_content
from reconcile.adapters.opening import components, is_windows_trick, reason
from reconcile.adapters.system import current
from reconcile.core.names import MAX_OBJECT_BYTES, is_unicode
from reconcile.core.reach import Selection
from reconcile.core.rows import FileProblem, Hashed, LocalFile

if TYPE_CHECKING:
    from reconcile.adapters.local.ahead import Ahead, Look, Names

T = TypeVar("T")

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISCHR, "a character device"),
)
_UNDECODABLE_FOLDER = "the folder's name is not UTF-8, so nothing in it has a key; rename it"


class Walk:
    """Rows for the files below ``root`` (an absolute path); a file that the cache knows as it looks now needs no
    hashing. ``remembered`` returns the cache's entry for a path.

    With ``holds_incomplete``, certainly incomplete media is a problem.
    """

    def __init__(
        self, root: str, selection: Selection, remembered: Callable[[str], Hashed | None], *, holds_incomplete: bool
    ) -> None:
        self._root = root
        self._selection = selection
        self.lister = Lister(selection)
        self._remembered = remembered
        self._holds_incomplete = holds_incomplete

    def top(self) -> Listing:
        """Returns the listing of the root. Raises OSError."""
        with OpenFolders(self._root) as folders:
            return self.lister.listing(folders, Folder(""))

    def rows(self, root: Listing, prefixes: Prefixes, start: str = "") -> Iterator[Row]:
        """Yields what is at the paths with one of the prefixes, below the root of this listing, from ``start`` on."""
        return self._found(root, prefixes, self._file, start, is_far=not current().gives_events(self._root))

    def names(self, root: Listing, prefixes: Prefixes) -> Iterator[str]:
        """Yields the paths of the rows."""
        rows = self._found(root, prefixes, lambda _folders, _listing, path, *_: path)
        return (row if isinstance(row, str) else row.path for row in rows)

    def _found(
        self,
        root: Listing,
        prefixes: Prefixes,
        build: Callable[[OpenFolders, Listing, str, Entry, Look | None], T | None],
        start: str = "",
        *,
        is_far: bool = False,
    ) -> Iterator[T | LocalFile]:
        """Yields what ``build`` returns for each file, from ``start`` on; earlier folders are not read.

        Depth first with an explicit stack: the tree may be deeper than Python's.
        """
        whole = not start and prefixes.takes("")

        def is_wanted(path: str) -> bool:
            return whole or (path >= start and prefixes.takes(path))

        def names_of(listing: Listing) -> Names:
            return iter(listing.names) if ahead is None else ahead.names(listing, is_wanted)

        with OpenFolders(self._root) as folders, _ahead(folders) if is_far else nullcontext() as ahead:
            stack = [(root, names_of(root))]
            while stack:
                listing, names = stack[-1]
                above = listing.folder.rel
                for name, entry in names:
                    path = above + name
                    if not entry.is_folder:
                        look = None if ahead is None else ahead.look(path)
                        if (whole or is_wanted(path)) and (row := build(folders, listing, path, entry, look)):
                            yield row
                    elif whole or (prefixes.reaches(path) and (path >= start or start.startswith(path))):
                        below = self._enter(folders, listing, path, entry, None if whole else prefixes)
                        if isinstance(below, Listing):
                            stack.append((below, names_of(below)))
                            break
                        if below:
                            yield below
                else:
                    stack.pop()

    def look(self, root: Listing, paths: Iterable[str], *, anew: bool = False) -> Iterator[Row]:
        """Yields what is at these paths; with ``anew``, it is hashed even if the cache knows it."""
        chain = [root]
        with OpenFolders(self._root) as folders:
            for path in filter(components, paths):
                found = self.reach(folders, chain, path)
                row = self._file(folders, chain[-1], path, found, anew=anew) if isinstance(found, Entry) else found
                if row:
                    yield row

    def reach(self, folders: OpenFolders, chain: list[Listing], path: str) -> Entry | LocalFile | None:
        """Returns what is at one path by name in the listings, which respect case on every system: its entry, or the
        row that says why a folder on the way is not read, or None. ``chain`` begins with the listing of the root, and
        keeps the folders on the way for the next path."""
        while not path.startswith(chain[-1].folder.rel):
            chain.pop()
        while True:
            listing = chain[-1]
            head, slash, _ = path[len(listing.folder.rel) :].partition("/")
            entry = listing.entry(head + slash)
            if entry is None or not slash:
                return entry
            below = self._enter(folders, listing, listing.folder.rel + head + slash, entry)
            if not isinstance(below, Listing):
                return LocalFile(path, 0, 0, problem=below.problem, detail=below.detail) if below else None
            chain.append(below)

    def _enter(
        self, folders: OpenFolders, listing: Listing, path: str, entry: Entry, within: Prefixes | None = None
    ) -> Listing | LocalFile | None:
        """Returns the folder's listing, or the row that says why there is none, or None if it has vanished."""
        if not is_unicode(entry.name):
            return LocalFile(path, 0, 0, problem=FileProblem.UNDECODABLE, detail=_UNDECODABLE_FOLDER)
        try:
            if entry.is_link:
                return self._link(folders, listing, path, entry)
            return self.lister.listing(folders, listing.below(path), within)
        except FileNotFoundError:
            return None
        except OSError as error:
            if _is_link_now(folders, listing, entry):
                return self._link(folders, listing, path, entry)
            problem = FileProblem.UNREADABLE if self._selection.reaches(path) else FileProblem.UNCLAIMED
            return LocalFile(path, 0, 0, problem=problem, detail=f"the folder cannot be listed: {reason(error)}")

    def _link(self, folders: OpenFolders, listing: Listing, path: str, entry: Entry) -> LocalFile:
        detail = link_detail(folders.at(listing.folder.rel), entry.name)
        return LocalFile(path, 0, 0, problem=FileProblem.SYMLINK, detail=detail)

    def _file(
        self,
        folders: OpenFolders,
        listing: Listing,
        path: str,
        entry: Entry,
        look: Look | None = None,
        *,
        anew: bool = False,
    ) -> Row | None:
        try:
            folder = folders.at(listing.folder.rel)
            seen = folder.stat(entry.name) if look is None else look()
        except FileNotFoundError:
            return None
        except OSError as error:
            return LocalFile(path, 0, 0, problem=FileProblem.UNREADABLE, detail=reason(error))
        twin = listing.twin(path) if listing.alike else None
        if (why := _trouble(folder, entry, seen)) is not None:
            return LocalFile(path, seen.st_size, seen.st_mtime_ns, None, *why, twin)
        return self.known(path, seen, twin, anew=anew)

    def known(self, path: str, seen: os.stat_result, twin: str | None, *, anew: bool = False) -> Row:
        """Returns the row of a regular file that looks like this, from the cache's entry."""
        cached = self._remembered(path)
        if cached is None or not is_same(cached, seen):
            miss = Miss(path, seen, twin)
            if current().is_elsewhere(seen):
                detail = "its content is kept in the cloud only; have it kept on this disk too"
                return miss.problem(FileProblem.UNREADABLE, detail)
            return miss
        if cached.doubted_since or anew:
            return Miss(path, seen, twin, cached)
        return with_content(path, cached, twin, holds_incomplete=self._holds_incomplete)


def _ahead(folders: OpenFolders) -> Ahead:
    from reconcile.adapters.local.ahead import Ahead  # most drives are local, and threads take long to import

    return Ahead(folders)


def _is_link_now(folders: OpenFolders, listing: Listing, entry: Entry) -> bool:
    """Whether a link has replaced what was a folder when it was listed."""
    try:
        return stat.S_ISLNK(folders.at(listing.folder.rel).stat(entry.name).st_mode)
    except OSError:
        return False


def _trouble(folder: OpenFolder, entry: Entry, seen: os.stat_result) -> tuple[FileProblem, str] | None:
    """Returns why the entry of an open folder, with this status, cannot be uploaded; None if it can."""
    name, mode = entry.name, seen.st_mode
    is_usual = stat.S_IFMT(mode) == stat.S_IFREG and not entry.is_link and name.isascii()
    if is_usual and seen.st_size <= MAX_OBJECT_BYTES and not current().is_windows:
        return None
    if not is_unicode(name):
        return FileProblem.UNDECODABLE, "the name is not UTF-8; rename the file"
    if current().is_windows and is_windows_trick(name):
        return FileProblem.UNREADABLE, "Windows takes this name for a device or another place; rename the file"
    if entry.is_link or stat.S_ISLNK(mode):
        return FileProblem.SYMLINK, link_detail(folder, name)
    if not stat.S_ISREG(mode):
        kind = next((words for test, words in _KINDS if test(mode)), "of another kind")
        return FileProblem.UNREADABLE, f"it is {kind}, not a regular file"
    if seen.st_size > MAX_OBJECT_BYTES:
        return FileProblem.TOO_LARGE, f"it has {seen.st_size:,} bytes"
    return None
