"""The small constants that every stage is handed: the map, the known characters, and what was read whole."""

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
    """Constants of one planning. ``records`` (ids), ``local`` (paths) and ``remote`` (keys) say what was read whole; to
    the key stage each row says that of its own key. Without ``ids_known`` more characters may exist than ``known_ids``.
    ``trace`` are the keys and paths whose facts are wanted; ``lists`` says whether the list of assets is. ``index`` is
    the field of records that gets their asset types; empty if none does.
    """

    asset_map: AssetMap
    bucket: BucketRoot
    collection: str
    entries: Entries
    entry_key: str
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
        """The asset type of the rule that takes the path of this key; None if no rule does."""
        reading = self.asset_map.read_key(key, self.known_ids)
        return None if reading is None else reading.rule.type

    def document(self, char_id: str) -> str:
        """The name of a character's record, as plans write it."""
        return f"{self.collection}/{char_id}"
