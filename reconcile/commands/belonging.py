"""Decides to which character an object belongs, and its asset type, by its name and the records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from reconcile.core.context import Context
from reconcile.core.plan import Scope
from reconcile.core.rows import Candidate


class Belonging(NamedTuple):
    """The character of an object, its asset type if a rule matches it, and whether a record names it."""

    char_id: str | None
    asset_type: str | None
    named: bool

    @property
    def rank(self) -> int:
        """The rank among clashing objects: the lowest is kept."""
        return 0 if self.named else 1 if self.asset_type is not None else 2

    @property
    def is_nobodys(self) -> bool:
        """Whether no rule matches it and no record names it."""
        return not self.named and self.asset_type is None

    def is_in(self, scope: Scope) -> bool:
        """Whether it is in a scope. A record that names it counts, because only records in scope were read."""
        return (self.named or scope.takes_character(self.char_id)) and scope.takes_type(self.asset_type)


def owners(references: Iterable[Candidate], context: Context) -> dict[str, str]:
    """Returns the keys that the records in scope certainly name, each with the first record that names it."""
    found: dict[str, str] = {}
    types, rules = context.scope.asset_types, context.asset_map.rules
    fields = {rule.field for rule in rules if rule.type in types}
    for each in references:
        if each.sure and (not types or (not each.slot.at and each.slot.field in fields)):
            found.setdefault(each.key, each.document)
    return found


def belonging(key: str, path: str | None, context: Context, named: Mapping[str, str]) -> Belonging:
    """Returns what the object of this key and local path belongs to. ``named`` is the result of ``owners``."""
    reading = None if path is None else context.asset_map.read(path, context.known_ids)
    owner = named.get(key)
    if reading is None:
        return Belonging(owner, None, owner is not None)
    return Belonging(reading.char_id or owner, reading.rule.type, owner is not None)
