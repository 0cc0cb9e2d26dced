"""Single changes of a plan, as people read them: what each is made to, how large that is, its values, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, TypeAlias, TypeVar, assert_never

import msgspec

from reconcile.core.changes import (
    Change,
    Copy,
    CreateRecord,
    Replace,
    RewriteLocalDb,
    SetField,
    SetMetadata,
    Upload,
    document_id,
)
from reconcile.core.restoration import Restore
from reconcile.core.status import NO_CHARACTER
from reconcile.views import words

VALUES = {"was": "red", "now": "green"}

Labels: TypeAlias = Mapping[str, str]
"""How asset types are called, in the order of the rules."""
Pairs: TypeAlias = tuple[tuple[str, str], ...]
Action = TypeVar("Action", bound=Change | Restore)


def label(labels: Labels, asset_type: str | None) -> str:
    """The label of an asset type; one that the rules no longer know goes by its type."""
    return "No rule" if asset_type is None else labels.get(asset_type, asset_type)


def by_character(actions: Iterable[Action]) -> Iterator[tuple[str, list[Action]]]:
    """Actions by character, nobody's last; within one in the order of execution."""
    ordered = sorted(actions, key=lambda action: (action.char_id is None, action.char_id or ""))
    for char_id, group in groupby(ordered, key=lambda action: action.char_id):
        yield char_id or NO_CHARACTER, list(group)


def details(change: Change) -> tuple[str, str, Pairs]:
    """What a change is made to, how large that is, and its values: those of a new record by field, else ``was`` and
    ``now``."""
    match change:
        case Upload():
            return change.key, words.size(change.size), ()
        case Replace():
            return change.key, f"{words.size(change.old_size)} becomes {words.size(change.size)}", ()
        case Copy():
            return change.key, words.size(change.size), (("from", change.source),)
        case SetMetadata():
            return change.key, "", (("was", change.old or texts(None)[0]), ("now", change.content_type))
        case CreateRecord():
            return change.document, "", tuple((name, text_of(value)) for name, value in change.fields.items())
        case SetField() | RewriteLocalDb():
            place = words.place(change.entry, change.field, change.position, change.way)
            where = f"{document_id(change.document)} › {place}"
            pairs = (("was", change.old), ("now", change.new))
            return where, "", tuple((name, text) for name, value in pairs for text in texts(value))
        case _:
            assert_never(change)


def text_of(value: Any) -> str:
    """A text as it is, any other value of a record as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()


def texts(value: Any) -> list[str]:
    """One line for each text; an empty field is said to be one."""
    if value is None:
        return ["(nothing)"]
    if isinstance(value, list):
        return [item if isinstance(item, str) else repr(item) for item in value] or ["(an empty list)"]
    return [value if isinstance(value, str) else repr(value)]
