"""How much a plan does or a run did, by kind of change, for sentences and for tables by asset type or character."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec

from reconcile.core.changes import Change, Replace, SetField, Upload
from reconcile.views import words
from reconcile.views.terminal import Piece, Terminal

Key = TypeVar("Key")


class Work(msgspec.Struct):
    """Numbers of changes by kind, and the ``bytes`` that are sent for them. Entries of an index do not count as
    fields."""

    uploads: int = 0
    replacements: int = 0
    bytes: int = 0
    copies: int = 0
    types: int = 0
    fields: int = 0
    index: int = 0
    records: int = 0
    values: int = 0

    def add(self, change: Change) -> None:
        """Counts one more change."""
        name = words.LOOKS[type(change)].counted
        if isinstance(change, SetField) and change.is_index:
            name = "index"
        setattr(self, name, getattr(self, name) + 1)
        if isinstance(change, Upload | Replace):
            self.bytes += change.size

    @property
    def any(self) -> bool:
        """Whether there are any changes."""
        return any(getattr(self, name) for name in _NAMES)

    @property
    def in_records(self) -> int:
        """The number of changes to fields, which undo can put back."""
        return self.fields + self.index + self.values

    def parts(self) -> Iterator[str]:
        """Yields ``216 uploads (10.6 MB)``, ``435 fields``, ``4 records``: every count that is not zero; the bytes only
        once."""
        sent = f" ({words.size(self.bytes)})" if self.bytes else ""
        for name, (_, *nouns) in _NAMES.items():
            count = getattr(self, name)
            if count and nouns:
                yield words.many(count, *nouns) + sent
                sent = ""


_NAMES = {
    "uploads": ("uploads", "upload"),
    "replacements": ("replaced", "replacement"),
    "bytes": ("size",),
    "copies": ("copies", "copy in the bucket", "copies in the bucket"),
    "types": ("content types", "content type"),
    "fields": ("fields", "field"),
    "index": ("index", "index entry", "index entries"),
    "records": ("new records", "record"),
    "values": ("local database", "value in the local database", "values in the local database"),
}
"""For each number of ``Work`` the heading of its column, and the noun for what it counts, with its plural if that is
not formed with s."""


def work_of(changes: Iterable[Change]) -> Work:
    """Counts all changes."""
    total = Work()
    for change in changes:
        total.add(change)
    return total


def work_by(changes: Iterable[Change], key: Callable[[Change], Key]) -> dict[Key, Work]:
    """Counts the changes of each key."""
    found: dict[Key, Work] = {}
    for change in changes:
        found.setdefault(key(change), Work()).add(change)
    return found


def show_work(
    terminal: Terminal, head: str, rows: Sequence[tuple[str, Work]], total: Work, attention: Sequence[Piece] = ()
) -> None:
    """Writes a table with a row for each name, and their total if there are several. Columns without any count are left
    out. ``attention`` is the last column, if there is one, with a cell for each row and for the total."""
    names = [name for name in _NAMES if getattr(total, name)]
    table: list[list[Piece]] = [[label, *(_cell(work, name) for name in names)] for label, work in rows]
    if len(rows) > 1:
        table.append([("total", "bold"), *(_cell(total, name) for name in names)])
    for row, cell in zip(table, attention, strict=False):  # a single row has no total
        row.append(cell)
    heads = [head, *(_NAMES[name][0] for name in names), *(["attention"] if attention else [])]
    terminal.table(heads, table, numbers=range(1, len(heads)))


def _cell(work: Work, name: str) -> Piece:
    count = getattr(work, name)
    if not count:
        return ("-", "dim")
    return words.size(count) if name == "bytes" else f"{count:,}"
