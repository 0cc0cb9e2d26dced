"""Which character ids the stages ask for. If all known ids are too many to be at hand, those that a row's stage may ask
for go along with the row."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from reconcile.core.context import Context
from reconcile.core.notes import NotedMap
from reconcile.core.rows import Document, Row, Stream, World
from reconcile.core.stages import explode_stage


class IdsAlong(frozenset[str]):
    """The known ones of the ids that ``rows`` were found to ask for. To ask for another one raises LookupError: the
    answer is not here."""

    may_be_asked: frozenset[str] = frozenset()

    @classmethod
    def of(cls, known: Iterable[str], asked: Iterable[str]) -> IdsAlong:
        """``known`` are those of ``asked`` that are."""
        made = cls(known)
        made.may_be_asked = frozenset(asked)
        return made

    def __contains__(self, name: object) -> bool:
        if name not in self.may_be_asked:
            raise LookupError(f"nobody looked whether {name!r} is a character")
        return frozenset.__contains__(self, name)


class _Asked(frozenset[str]):
    """Knows no id, and remembers those that it was asked for."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __contains__(self, name: object) -> bool:
        self.names.add(str(name))
        return False


def ids_for(row: Row, context: Context) -> set[str]:
    """Every id of which the stage that this row goes to may ask whether it is known."""
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
    """Every id that decides under which keys a document's references are."""
    asked = _Asked()
    if not context.asset_map.keys_are_paths:
        for _ in explode_stage(document, world, msgspec.structs.replace(context, known_ids=asked)):
            pass
    return asked.names


def _placed(char_id: str, context: Context) -> set[str]:
    """The ids that are asked for if a workflow's calls gave fields of this character's record a file."""
    return context.asset_map.ids_placed(char_id) if isinstance(context.asset_map, NotedMap) else set()
