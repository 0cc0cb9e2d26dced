"""The names in one folder: in code point order, ignored ones left out, each with the others that fold to the same."""

from __future__ import annotations

import fnmatch
import os
import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import NamedTuple

from reconcile.adapters.local_open import WINDOWS, is_text
from reconcile.core.names import fold

_NAME_SURROGATE = 0x20000000

ALWAYS_IGNORED = (".reconcile", ".*.restore.part")
"""Our own: the state, and what an interrupted restore left."""

Entry = os.DirEntry[str]


class Folder(NamedTuple):
    """A folder to list. ``rel`` is "" or ends in ``/``; ``rivals`` are the folders whose path folds to the same."""

    full: str
    rel: str
    rivals: tuple[Folder, ...] = ()


class Listing(NamedTuple):
    """A folder's names in code point order, folders as ``name/``; ``alike`` maps a path to those that fold alike.

    ``is_gone`` where the folder is not there, and was taken for an empty one.
    """

    folder: Folder
    names: list[tuple[str, Entry]]
    alike: dict[str, list[Folder]]
    is_gone: bool = False

    def entry(self, name: str) -> Entry | None:
        """The entry of just this name (a folder's with its slash), or None."""
        at = bisect_left(self.names, name, key=itemgetter(0))
        return self.names[at][1] if at < len(self.names) and self.names[at][0] == name else None

    def twin(self, path: str) -> str | None:
        """The first other path that differs only in case or Unicode form."""
        others = self.alike.get(path) if self.alike else None
        return min(other.rel for other in others) if others else None

    def below(self, path: str, entry: Entry) -> Folder:
        """The folder of this listing at ``path``."""
        return Folder(entry.path, path, tuple(self.alike.get(path, ())))


class Lister:
    """Lists folders; ``ignore`` holds globs for the names, of files and folders, that are left out."""

    def __init__(self, ignore: Sequence[str]) -> None:
        flags = re.IGNORECASE if WINDOWS else 0
        globs = "|".join(f"(?:{fnmatch.translate(glob)})" for glob in ignore)
        self._ignored: Callable[[str], object] = re.compile(globs, flags).match

    def ignores(self, name: str) -> bool:
        """Whether a file or folder of this name is left out."""
        return bool(self._ignored(name))

    def listing(self, folder: Folder) -> Listing:
        """The folder's listing. Raises OSError."""
        names = self._names(folder)
        return Listing(folder, names, self._alike(folder, names))

    def _names(self, folder: Folder) -> list[tuple[str, Entry]]:
        names = []
        odd = []
        with os.scandir(folder.full) as entries:
            for entry in entries:
                name = entry.name
                if self._ignored(name):
                    continue
                slash = "/" if _is_folder(entry) else ""
                if name.isascii() or is_text(name):
                    names.append((name + slash, entry))
                else:
                    odd.append((escaped(name), slash, entry))
        if odd:
            _add_escaped(names, odd)
        names.sort(key=itemgetter(0))
        return names

    def _alike(self, folder: Folder, names: list[tuple[str, Entry]]) -> dict[str, list[Folder]]:
        """Two paths fold alike where all their parts do: so names are compared in a folder and its rivals."""
        if not folder.rivals and len({fold(name) for name, _ in names}) == len(names):
            return {}
        groups: dict[str, list[Folder]] = defaultdict(list)
        for place in (folder, *folder.rivals):
            for name, entry in names if place is folder else self._names_if_readable(place):
                if not (name.endswith("/") and is_link(entry)):
                    groups[fold(name)].append(Folder(entry.path, place.rel + name))
        return {own.rel: [one for one in group if one is not own] for group in groups.values() for own in group}

    def _names_if_readable(self, folder: Folder) -> list[tuple[str, Entry]]:
        try:
            return self._names(folder)
        except OSError:
            return []


class Prefixes:
    """Plain string prefixes, none of them a prefix of another, so that one binary search answers."""

    def __init__(self, prefixes: Iterable[str]) -> None:
        kept: list[str] = []
        for prefix in sorted(prefixes):
            if not kept or not prefix.startswith(kept[-1]):
                kept.append(prefix)
        self._kept = kept

    def takes(self, path: str) -> bool:
        """Whether the path starts with one of the prefixes."""
        at = bisect_right(self._kept, path)
        return at > 0 and path.startswith(self._kept[at - 1])

    def reaches(self, folder: str) -> bool:
        """Whether a path below the folder (given with its slash) can start with one of the prefixes."""
        if self.takes(folder):
            return True
        at = bisect_left(self._kept, folder)
        return at < len(self._kept) and self._kept[at].startswith(folder)


def escaped(name: str) -> str:
    """The name with a backslash escape for each byte that is not UTF-8."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def is_link(entry: Entry) -> bool:
    """Whether the entry stands for a place elsewhere: a symlink, or a Windows junction or mount point."""
    if entry.is_symlink():
        return True
    if not WINDOWS:
        return False
    return bool(getattr(entry.stat(follow_symlinks=False), "st_reparse_tag", 0) & _NAME_SURROGATE)


def link_detail(entry: Entry) -> str:
    """Why a link is not taken, for people."""
    try:
        target = escaped(os.readlink(entry.path))
    except OSError:
        return "it is a link, and links are not followed"
    return f"it is a link to {target}, and links are not followed"


def _is_folder(entry: Entry) -> bool:
    """Whether the entry is a folder, or a link to one."""
    if not entry.is_symlink():
        return entry.is_dir(follow_symlinks=False)
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or to where this user may not look
        return False


def _add_escaped(names: list[tuple[str, Entry]], odd: list[tuple[str, str, Entry]]) -> None:
    """Adds the undecodable names under escaped ones that no other entry has."""
    taken = {name.rstrip("/") for name, _ in names}
    for name, slash, entry in sorted(odd, key=itemgetter(0)):
        while name in taken:
            name += "\\"
        taken.add(name)
        names.append((name + slash, entry))
