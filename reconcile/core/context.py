"""The constants of a planning that every stage receives: the asset map, the known characters, and what was fully
read."""

from __future__ import annotations

from enum import Enum

import msgspec

from reconcile.core.names import BucketRoot
from reconcile.core.paths import RootForms
from reconcile.core.plan import Scope
from reconcile.core.rows import Coverage
from reconcile.core.rules import AssetMap
from reconcile.core.way import Entries


class Replacing(Enum):
    """What to do if the object of a path has different content."""

    SAFE = "safe"
    LOCAL = "local"
    NEVER = "never"


class Typing(Enum):
    """What to do with an object whose content type is generic."""

    FIX = "fix"
    REPORT = "report"


class Context(msgspec.Struct, frozen=True):
    """The constants of one planning.

    ``records`` (ids), ``local`` (paths) and ``remote`` (keys) say what was fully read; in the key stage, each row says
    that for its own key. Without ``ids_known``, more characters than ``known_ids`` may exist. ``trace`` are the keys
    and paths whose facts are wanted; ``lists`` says whether the list of assets is. ``index`` is the field of records
    that receives their asset types; empty for none.
    """

    asset_map: AssetMap
    bucket: BucketRoot
    collection: str
    entries: Entries
    roots: tuple[RootForms, ...] = ()
    known_ids: frozenset[str] = frozenset()
    ids_known: bool = True
    local: Coverage = Coverage()
    remote: Coverage = Coverage()
    records: Coverage = Coverage()
    replacing: Replacing = Replacing.SAFE
    content_types: Typing = Typing.FIX
    create_records: bool = True
    rewrite_local_db: bool = False
    scope: Scope = Scope()
    trace: frozenset[str] = frozenset()
    lists: bool = False
    index: str = ""

    def takes_key(self, key: str) -> bool:
        """Whether the asset of this key is in scope."""
        return not self.scope.paths or self.scope.takes_name(key, self.asset_map.path_for(key, self.known_ids))

    def takes(self, key: str, asset_type: str | None) -> bool:
        """Whether an asset of this key and type is in scope."""
        return self.scope.takes_type(asset_type) and self.takes_key(key)

    def type_of(self, key: str) -> str | None:
        """Returns the asset type of the rule that claims the path of this key, or None if no rule does."""
        reading = self.asset_map.read_key(key, self.known_ids)
        return None if reading is None else reading.rule.type

    def document(self, char_id: str) -> str:
        """Returns the name of a character's record as plans write it."""
        return f"{self.collection}/{char_id}"
