"""The names in a folder: in code point order, without ignored ones, each with the names that fold to the same."""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from operator import itemgetter
from typing import NamedTuple

import msgspec

from reconcile.adapters.descriptors import is_shortage
from reconcile.adapters.disk_names import as_text
from reconcile.adapters.local.folder import OpenFolder, OpenFolders
from reconcile.adapters.opening import leads_elsewhere
from reconcile.adapters.system import current
from reconcile.core.names import fold, is_unicode
from reconcile.core.reach import Selection
from reconcile.core.rules import minimal_prefixes


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A name in a folder; bytes that are not UTF-8 are lone surrogates. A link to a folder is both a link and a folder;
    a Windows junction or mount point is a link, too."""

    name: str
    is_folder: bool
    is_link: bool


class Folder(NamedTuple):
    """A folder to list. ``rel`` is "" or ends in ``/``; ``rivals`` are the folders whose path folds to the same."""

    rel: str
    rivals: tuple[Folder, ...] = ()


class Listing(NamedTuple):
    """A folder's names in code point order, folders as ``name/``.

    ``alike`` maps a path to those that fold to the same. ``is_gone`` means that the folder is missing and counts as
    empty.
    """

    folder: Folder
    names: list[tuple[str, Entry]]
    alike: dict[str, list[Folder]]
    is_gone: bool = False

    def entry(self, name: str) -> Entry | None:
        """Returns the entry of exactly this name (a folder's with its slash), or None."""
        at = bisect_left(self.names, name, key=itemgetter(0))
        return self.names[at][1] if at < len(self.names) and self.names[at][0] == name else None

    def twin(self, path: str) -> str | None:
        """Returns the first other path that differs only in case or Unicode form, or None."""
        others = self.alike.get(path)
        return min(other.rel for other in others) if others else None

    def below(self, path: str) -> Folder:
        """Returns the folder of this listing at ``path``."""
        return Folder(path, tuple(self.alike.get(path, ()))) if self.alike else Folder(path)


class Lister:
    """Lists folders, without the names that a selection excludes."""

    def __init__(self, selection: Selection) -> None:
        self.selection = selection

    def listing(self, folders: OpenFolders, folder: Folder, within: Prefixes | None = None) -> Listing:
        """Returns the folder's listing. Raises OSError, also for a link on the way.

        If only paths ``within`` these prefixes are wanted, names that neither match nor fold like a match may be left
        out.
        """
        starts = within.starts(folder.rel) if within is not None else None
        names = self._names(folders, folder, starts)
        return Listing(folder, names, self._alike(folders, folder, names, starts))

    def entries(self, folder: OpenFolder, rel: str, starts: tuple[str, ...] | None = None) -> list[Entry]:
        """Returns the entries of an open folder, unordered. Raises OSError.

        Of the ASCII names, only those that begin, in lower case, with one of ``starts`` if given.
        """
        leaves_out, may_lead = self.selection.leaves_out, current().is_windows
        found = []
        with folder.entries() as entries:
            for each in entries:
                name = each.name
                if not name.isascii():
                    name = as_text(name)
                elif starts is not None and not name.lower().startswith(starts):
                    continue
                link = each.is_symlink() or (may_lead and leads_elsewhere(each.stat(follow_symlinks=False)))
                is_folder = _leads_to_folder(each) if link else each.is_dir(follow_symlinks=False)
                if not leaves_out(rel, name, is_folder=is_folder):
                    found.append(Entry(name, is_folder, link))
        return found

    def _names(self, folders: OpenFolders, folder: Folder, starts: tuple[str, ...] | None) -> list[tuple[str, Entry]]:
        names = []
        odd = []
        for entry in self.entries(folders.at(folder.rel), folder.rel, starts):
            name = entry.name
            if name.isascii() or is_unicode(name):
                names.append((f"{name}/" if entry.is_folder else name, entry))
            else:
                odd.append((escaped(name), "/" if entry.is_folder else "", entry))
        if odd:
            _add_escaped(names, odd)
        names.sort(key=itemgetter(0))
        return names

    def _alike(
        self, folders: OpenFolders, folder: Folder, names: list[tuple[str, Entry]], starts: tuple[str, ...] | None
    ) -> dict[str, list[Folder]]:
        """Maps each path to the others that fold to the same.

        Two paths fold alike if all their parts do, so the names of a folder and of its rivals are compared.
        """
        if not folder.rivals:
            if len(names) < 2:
                return {}
            folded = {name.lower() if name.isascii() else fold(name) for name, _ in names}
            if len(folded) == len(names):
                return {}
        groups: dict[str, list[Folder]] = defaultdict(list)
        for place in (folder, *folder.rivals):
            for name, entry in names if place is folder else self._names_if_readable(folders, place, starts):
                if not (entry.is_folder and entry.is_link):
                    groups[fold(name)].append(Folder(place.rel + name))
        return {own.rel: [one for one in group if one is not own] for group in groups.values() for own in group}

    def _names_if_readable(
        self, folders: OpenFolders, folder: Folder, starts: tuple[str, ...] | None
    ) -> list[tuple[str, Entry]]:
        try:
            return self._names(folders, folder, starts)
        except OSError as error:
            if is_shortage(error):
                raise
            return []


class Prefixes:
    """String prefixes, none of which is a prefix of another, so one binary search finds a match."""

    def __init__(self, prefixes: Iterable[str]) -> None:
        self._kept = minimal_prefixes(prefixes)

    def takes(self, path: str) -> bool:
        at = bisect_right(self._kept, path)
        return at > 0 and path.startswith(self._kept[at - 1])

    def reaches(self, folder: str) -> bool:
        """Whether a path below the folder (given with its slash) can start with one of the prefixes."""
        if self.takes(folder):
            return True
        at = bisect_left(self._kept, folder)
        return at < len(self._kept) and self._kept[at].startswith(folder)

    def starts(self, folder: str) -> tuple[str, ...] | None:
        """Returns lower-case beginnings, or None if there are none; an ASCII name in the folder that has none of them
        is neither wanted nor folds like a wanted name.

        A wanted name begins with the rest of a prefix after the folder. If that is ASCII, an ASCII name that folds like
        the wanted one also begins with it, in lower case: a letter with an accent never folds to ASCII.
        """
        if self.takes(folder):
            return None
        found = [each[len(folder) :].partition("/")[0] for each in self._kept if each.startswith(folder)]
        return tuple(map(str.lower, found)) if all(map(str.isascii, found)) else None


def escaped(name: str) -> str:
    """Returns the name with a backslash escape for each byte that is not UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def link_detail(folder: OpenFolder, name: str) -> str:
    """Returns why a link is not uploaded, for people."""
    try:
        target = escaped(folder.target(name))
    except OSError:
        return "it is a link, and links are not followed"
    return f"it is a link to {target}, and links are not followed"


def _leads_to_folder(link: os.DirEntry[str]) -> bool:
    try:
        return link.is_dir()
    except OSError:  # a link to itself, or to a place that this user may not read
        return False


def _add_escaped(names: list[tuple[str, Entry]], odd: list[tuple[str, str, Entry]]) -> None:
    """Adds the undecodable names, escaped so that they equal no other entry."""
    taken = {name.rstrip("/") for name, _ in names}
    for name, slash, entry in sorted(odd, key=itemgetter(0)):
        while name in taken:
            name += "\\"
        taken.add(name)
        names.append((name + slash, entry))
