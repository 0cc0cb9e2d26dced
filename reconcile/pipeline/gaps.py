"""The parts of the worlds that were not read: nothing in them is known to be absent."""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

import msgspec

from reconcile.core.changes import Code, Finding
from reconcile.core.errors import AccessDenied
from reconcile.core.findings import UNCLAIMED_FOLDER, make
from reconcile.core.rows import FileProblem, LocalFile


class Store(Enum):
    """One of the two stores that may refuse to be read."""

    BUCKET = "the bucket"
    RECORDS = "the records"


class Denied(msgspec.Struct, frozen=True):
    """A part of a store that these credentials may not read: nothing in it is known to be absent.

    ``name`` is a prefix of keys, one key, or a document; an empty one is all of the store. ``narrower`` are the
    prefixes within it that are tried one by one instead.
    """

    store: Store
    name: str
    error: AccessDenied
    narrower: tuple[str, ...] = ()


class Unread(msgspec.Struct, frozen=True):
    """A folder that was not read (no permission, a symlink): nothing below it is known to be absent."""

    folder: LocalFile

    @property
    def hides_ours(self) -> bool:
        """Whether the project's files may be below it: not below a link, nor in a folder in which no rule has any."""
        return (self.folder.problem or FileProblem.UNREADABLE) is FileProblem.UNREADABLE


Gap: TypeAlias = Unread | Denied
"""A part of a world that was not read."""


def told_of(gap: Gap) -> str:
    """What to say of a part that was not read; empty if none of the project's files can be in it."""
    if isinstance(gap, Unread):
        folder = gap.folder
        return f"{folder.path} could not be read: {folder.detail}" if gap.hides_ours else ""
    what = f"{gap.name} in {gap.store.value}" if gap.name else f"nothing of {gap.store.value}"
    return f"{what} may {'not ' if gap.name else ''}be read, so what depends on it is left: {gap.error.sentence}"


def about_unread(folder: LocalFile) -> Finding:
    problem = folder.problem or FileProblem.UNREADABLE
    what = UNCLAIMED_FOLDER if problem is FileProblem.UNCLAIMED else Code(problem.value)
    return make(what, folder.path, None, why=folder.detail)
