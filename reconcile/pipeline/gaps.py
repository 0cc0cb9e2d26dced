"""How much of the worlds was read, and the parts that were not read: nothing in those counts as missing."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import ClassVar, TypeAlias

import msgspec

from reconcile.core.changes import Code, Finding
from reconcile.core.errors import AccessDenied
from reconcile.core.findings import UNCLAIMED_FOLDER, make
from reconcile.core.plan import Scope
from reconcile.core.rows import Coverage, FileProblem, LocalFile
from reconcile.core.rules import AssetMap, minimal_prefixes
from reconcile.project import OpenProject


class Store(Enum):
    """One of the two stores that may refuse to be read."""

    BUCKET = "the bucket"
    RECORDS = "the records"


class Denied(msgspec.Struct, frozen=True):
    """A part of a store that these credentials may not read: nothing in it counts as missing.

    ``name`` is a prefix of keys, one key, or a document; empty for the whole store. ``narrower`` are the prefixes
    within it that are tried one by one instead.
    """

    store: Store
    name: str
    error: AccessDenied
    narrower: tuple[str, ...] = ()
    hides_ours: ClassVar[bool] = True
    """Anything of the project may be in it."""


class Unread(msgspec.Struct, frozen=True):
    """A folder that was not read, such as a symlink: nothing below it counts as missing."""

    folder: LocalFile

    @property
    def hides_ours(self) -> bool:
        """Whether it may hold files of the project. A link never does, nor does a folder that no rule reaches."""
        return (self.folder.problem or FileProblem.UNREADABLE) is FileProblem.UNREADABLE


Gap: TypeAlias = Unread | Denied
"""A part of a world that was not read."""


def warning_of(gap: Gap) -> str:
    """Returns the warning about a part that was not read and may hold files of the project."""
    if isinstance(gap, Unread):
        return f"{gap.folder.path} could not be read: {gap.folder.detail}"
    what = f"{gap.name} in {gap.store.value}" if gap.name else f"nothing of {gap.store.value}"
    return f"{what} may {'not ' if gap.name else ''}be read, so what depends on it is left: {gap.error.sentence}"


def finding_of(gap: Gap, project: OpenProject) -> Finding:
    """Returns the finding about a part that was not read."""
    if isinstance(gap, Unread):
        problem = gap.folder.problem or FileProblem.UNREADABLE
        what = UNCLAIMED_FOLDER if problem is FileProblem.UNCLAIMED else Code(problem.value)
        return make(what, gap.folder.path, None, why=gap.folder.detail)
    name, char_id = gap.name, None
    if gap.store is Store.BUCKET:
        subject = project.bucket.uri(name) if name else str(project.bucket)
    else:
        subject = f"{project.settings.records.collection}/{name}" if name else project.stores.records
        char_id = name or None
    return make(Code.UNREADABLE_SCOPE, subject, char_id, why=gap.error.sentence)


class Extent:
    """The extent to which files and objects were read, and the ``gaps``: no key in those counts as missing."""

    def __init__(self, asset_map: AssetMap, scope: Scope) -> None:
        whole = not scope.char_ids and not scope.asset_types
        types = _rivals(asset_map, scope.asset_types)
        self.local = Coverage(("",) if whole else asset_map.path_prefixes(scope.char_ids, types))
        self.remote = Coverage(("",) if whole else asset_map.key_prefixes(scope.char_ids, types))
        self.gaps: list[Gap] = []
        self.unread: list[Gap] = []
        """Parts that were found unreadable and are not among the ``gaps`` yet."""
        self.listed = False
        """Whether anything in the bucket could be listed."""

    def note_gaps(self) -> None:
        """Moves the ``unread`` parts to the gaps, and out of what counts as read. To be called before the first key in
        them is judged."""
        while self.unread:
            gap = self.unread.pop(0)
            self.gaps.append(gap)
            if isinstance(gap, Unread):
                local, path = self.local, gap.folder.path
                failed = (path,) if gap.hides_ours else ()
                self.local = msgspec.structs.replace(
                    local, unreadable=(*local.unreadable, path), failed=(*local.failed, *failed)
                )

    def leave_unknown(self, refused: Denied) -> None:
        """Makes everything below this prefix unknown from now on, except the narrower parts that can be listed."""
        remote, name = self.remote, refused.name
        if refused.narrower:
            prefixes = minimal_prefixes((*(each for each in remote.prefixes if each != name), *refused.narrower))
            self.remote = msgspec.structs.replace(remote, prefixes=prefixes)
        else:
            unreadable, failed = (*remote.unreadable, name), (*remote.failed, name)
            self.remote = msgspec.structs.replace(remote, unreadable=unreadable, failed=failed)
        self.unread.append(refused)


def _rivals(asset_map: AssetMap, asset_types: Sequence[str]) -> tuple[str, ...]:
    """Returns these types, and those whose files claim the same fields."""
    fields = {rule.field for rule in asset_map.rules if rule.type in asset_types and rule.field is not None}
    return tuple(rule.type for rule in asset_map.rules if rule.type in asset_types or rule.field in fields)
