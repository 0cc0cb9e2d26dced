"""Single changes of a plan as text: what is changed, its size, and the values."""

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
"""The label of each asset type, in the order of the rules."""
Pairs: TypeAlias = tuple[tuple[str, str], ...]
Action = TypeVar("Action", bound=Change | Restore)


def label(labels: Labels, asset_type: str | None) -> str:
    """Returns the label of an asset type; the type itself if the rules no longer have it."""
    return "No rule" if asset_type is None else labels.get(asset_type, asset_type)


def by_character(actions: Iterable[Action]) -> Iterator[tuple[str, list[Action]]]:
    """Yields the actions by character, those without one last; within each in the order of execution."""
    ordered = sorted(actions, key=lambda action: (action.char_id is None, action.char_id or ""))
    for char_id, group in groupby(ordered, key=lambda action: action.char_id):
        yield char_id or NO_CHARACTER, list(group)


def details(change: Change) -> tuple[str, str, Pairs]:
    """Returns what a change is made to, the size of that, and the values: by field for a new record, otherwise ``was``
    and ``now``."""
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
    """Returns a text as it is, and any other value of a record as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()


def texts(value: Any) -> list[str]:
    """Returns one line for each text. An empty field or list has a line that says so."""
    if value is None:
        return ["(nothing)"]
    if isinstance(value, list):
        return [item if isinstance(item, str) else repr(item) for item in value] or ["(an empty list)"]
    return [value if isinstance(value, str) else repr(value)]
