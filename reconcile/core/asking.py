"""Finds the character ids that the stages look up for a row, which travel with it if all known ids are too many."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from reconcile.core.context import Context
from reconcile.core.notes import NotedMap
from reconcile.core.rows import Document, Row, Stream, World
from reconcile.core.stages import explode_stage


class IdsAlong(frozenset[str]):
    """The known ids among those that ``rows`` were found to look up. Looking up any other raises LookupError."""

    may_be_asked: frozenset[str] = frozenset()

    @classmethod
    def of(cls, known: Iterable[str], asked: Iterable[str]) -> IdsAlong:
        """Returns the set of the ``known`` ids among those ``asked``."""
        made = cls(known)
        made.may_be_asked = frozenset(asked)
        return made

    def __contains__(self, name: object) -> bool:
        if name not in self.may_be_asked:
            raise LookupError(f"nobody looked whether {name!r} is a character")
        return frozenset.__contains__(self, name)


class _Asked(frozenset[str]):
    """A set that contains no id, and records those that are looked up."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __contains__(self, name: object) -> bool:
        self.names.add(str(name))
        return False


def ids_for(row: Row, context: Context) -> set[str]:
    """Returns every id that the stage of this row may look up."""
    asset_map, value = context.asset_map, row.value
    match row.stream:
        case Stream.KEY:
            of_path = set() if value.path is None else asset_map.ids_in(value.path)
            return of_path | asset_map.ids_of(value.key)
        case Stream.REFERENCE:
            return asset_map.ids_of(value.key)
        case Stream.ANSWER:
            return _placed(value.document, context) | (asset_map.ids_of(value.key) if context.index else set())
        case Stream.CLAIM:
            return _placed(value.document, context)
        case Stream.RECORD | Stream.LOCAL_RECORD:
            return _placed(value.id, context)
        case _:
            return set()


def ids_for_exploding(document: Document, world: World, context: Context) -> set[str]:
    """Returns every id that decides under which keys a document's references are."""
    asked = _Asked()
    if not context.asset_map.keys_are_paths:
        for _ in explode_stage(document, world, msgspec.structs.replace(context, known_ids=asked)):
            pass
    return asked.names


def _placed(char_id: str, context: Context) -> set[str]:
    """Returns the ids that are looked up if a workflow's calls assigned files to fields of this character's record."""
    return context.asset_map.ids_placed(char_id) if isinstance(context.asset_map, NotedMap) else set()
