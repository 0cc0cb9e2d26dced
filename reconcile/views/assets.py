"""The changes of a plan, one line for each asset with its upload and its fields, by character and in columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from reconcile.core.changes import (
    Change,
    Copy,
    CreateRecord,
    FieldChange,
    ObjectChange,
    Reason,
    Replace,
    RewriteLocalDb,
    SetField,
    SetMetadata,
    Upload,
    document_id,
    texts_in,
)
from reconcile.views import words
from reconcile.views.changes import VALUES, Labels, Pairs, by_character, details, label, texts
from reconcile.views.terminal import Glyphs, Piece, Terminal, cells, visible
from reconcile.views.work import work_of

_INDEX, _RECORD = "Index", "New record"
_NARROWEST = 16
"""The fewest cells that a name gets before its line is broken in two."""
_WIDEST = 72
"""The width, in cells, up to which names are padded in a pipe."""
_SAME_PATH = (Reason.LOCAL_PATH, Reason.DAMAGED_PATH)
_TOLD = (Reason.DANGLING, Reason.DAMAGED_PATH, Reason.GENERIC_TYPE)
"""The reasons that neither the signs nor the values show."""


class Line(msgspec.Struct, frozen=True):
    """A line about one asset, a new record, or the index of a record. ``kinds`` are the kinds of the changes that it
    sums up; ``values`` are shown below it, on lines of their own."""

    kinds: tuple[type, ...]
    label: str
    name: str
    size: str
    places: tuple[str, ...]
    remark: str
    values: Pairs


def lines(actions: Iterable[Change], labels: Labels, glyphs: Glyphs, *, full: bool) -> list[Line]:
    """Makes the lines of the changes of one character, in the order of the rules; those about the record itself are
    last.

    The old and the new value of a field are shown as values if ``full``, or if the line does not show them already: if
    the old one is neither empty nor the same path, or the new one is not the URI of the asset.
    """
    groups: dict[tuple[int, str], list[Change]] = {}
    order = {asset_type: number for number, asset_type in enumerate(labels)}
    for action in actions:
        if isinstance(action, CreateRecord):
            place = (len(order) + 1, action.document)
        elif not isinstance(action, ObjectChange) and action.is_index:
            place = (len(order) + 2, action.document)
        else:
            place = (order.get(action.asset_type or "", len(order)), action.key)
        groups.setdefault(place, []).append(action)
    return [_line(groups[place], labels, glyphs, full=full) for place in sorted(groups)]


def _line(changes: Sequence[Change], labels: Labels, glyphs: Glyphs, *, full: bool) -> Line:
    first = changes[0]
    if isinstance(first, CreateRecord):
        held = details(first)[2] if full else ()
        return Line((CreateRecord,), _RECORD, document_id(first.document), "", (), ", ".join(first.fields), held)
    values = tuple(pair for change in changes for pair in _values(change, full=full))
    fields = [change for change in changes if isinstance(change, SetField | RewriteLocalDb)]
    if fields and fields[0].is_index:
        return _of_index(fields, glyphs, full=full)
    sizes = [details(change)[1] for change in changes if isinstance(change, ObjectChange)]
    reasons = [words.REASONS[change.reason] for change in changes if change.reason in _TOLD]
    return Line(
        kinds=tuple(dict.fromkeys(map(type, changes))),
        label=label(labels, first.asset_type),
        name=first.key or "",
        size=next(filter(None, sizes), ""),
        places=tuple(_places(fields, glyphs)),
        remark="; ".join(dict.fromkeys(reasons)) if values else "",
        values=values,
    )


def _of_index(fields: Sequence[FieldChange], glyphs: Glyphs, *, full: bool) -> Line:
    types = {
        "adds": sorted(text for each in fields for text in _without(each.new, each.old)),
        "drops": sorted(text for each in fields for text in _without(each.old, each.new)),
    }
    told = ", ".join(f"{what} {words.many(len(names), 'type')}" for what, names in types.items() if names)
    values = tuple((what, ", ".join(names)) for what, names in types.items() if names and full)
    return Line((SetField,), _INDEX, "", "", tuple(_places(fields[:1], glyphs)), told, values)


def _without(values: Any, others: Any) -> list[str]:
    return [each for each in texts_in(values or []) if each not in (others or [])]


def _places(fields: Iterable[FieldChange], glyphs: Glyphs) -> Iterator[str]:
    """Yields each place once, and says if the local database has it, too."""
    worlds: dict[str, list[type]] = {}
    for each in fields:
        place = words.place(each.entry, each.field, each.position, each.way, of=glyphs.of)
        worlds.setdefault(f"{document_id(each.document)} {glyphs.of} {place}", []).append(type(each))
    for place, kinds in worlds.items():
        if SetField not in kinds:
            yield f"local database {glyphs.of} {place}"
        else:
            yield f"{place} (local database too)" if RewriteLocalDb in kinds else place


def _values(change: Change, *, full: bool) -> Iterator[tuple[str, str]]:
    match change:
        case Copy() | SetMetadata():
            yield from details(change)[2]
        case SetField() | RewriteLocalDb():
            keys = [change.key, *(need.key for need in change.needs)]
            named = list(texts_in(change.new))
            is_plain = bool(named) and all(any(text.endswith(f"/{key}") for key in keys) for text in named)
            is_said = is_plain and (change.old in (None, "", []) or change.reason in _SAME_PATH)
            if full or not is_said:
                yield from (("was", text) for text in texts(change.old))
            if full or not is_plain:
                yield from (("now", text) for text in texts(change.new))
        case _:  # the line shows everything
            return


# -- on a terminal --


def show_lines(terminal: Terminal, actions: Iterable[Change], labels: Labels, *, full: bool) -> None:
    """Writes every asset, by character, with a legend before the first, and a hint after the last if paths were
    shortened."""
    of_each = by_character(actions)
    groups = [(name, listed, lines(listed, labels, terminal.glyphs, full=full)) for name, listed in of_each]
    every = [line for _, _, those in groups for line in those]
    show_legend(terminal, every)
    wide = max((cells(visible(line.label)) for line in every), default=0)
    shortened = False
    for name, listed, those in groups:
        terminal.line()
        terminal.line((name, "bold"), (f"  {', '.join(work_of(listed).parts())}", "dim"))
        shortened |= _Columns(terminal, name, those, wide, full=full).show()
    if shortened:
        terminal.line()
        terminal.line(("Folders are left out for want of room; --full shows each path whole.", "dim"))


def height(actions: Iterable[Change], labels: Labels) -> int:
    """Returns the number of lines, if none is broken."""
    groups = [lines(listed, labels, Glyphs(), full=False) for _, listed in by_character(actions)]
    return sum(2 + sum(1 + len(line.values) for line in those) for those in groups)


def show_legend(terminal: Terminal, shown: Iterable[Line]) -> None:
    """Writes what the signs of these lines mean."""
    kinds = {SetField if kind is RewriteLocalDb else kind for line in shown for kind in line.kinds}
    pieces: list[Piece] = []
    for kind, look in words.LOOKS.items():
        if kind in kinds:
            pieces += ["  " if pieces else "", (sign(kind, terminal.glyphs), look.style), (f" {look.meaning}", "dim")]
    terminal.line(*pieces)


def sign(kind: type, glyphs: Glyphs) -> str:
    """Returns the sign of a kind of change."""
    return glyphs.up if kind is Upload else words.LOOKS[kind].sign


class _Columns:
    """The lines of one character, in columns where they fit."""

    def __init__(self, terminal: Terminal, whose: str, those: Sequence[Line], wide: int, *, full: bool) -> None:
        """``wide`` is the width of the labels of all characters."""
        self._terminal = terminal
        self._whose = f"{whose} {terminal.glyphs.of} "
        self._lines = those
        self._label = wide
        self._fixed = 2 + 2 + 1 + wide + 2
        self._size = max(cells(line.size) for line in those)
        self._briefly = False
        self._room = self._left()
        if terminal.wraps and self._room < max(_wide(line.name.rpartition("/")[2]) for line in those):
            # The heading already names the record.
            self._briefly = not full
            self._room = self._left()
        names = [line.name for line in those]
        self._names = names if full else _shorter(names, max(self._room, _NARROWEST), terminal.glyphs)
        self._name = max((_wide(name) for name in self._names if _wide(name) <= self._room), default=0)

    def show(self) -> bool:
        """Writes the lines. Returns whether a path was shortened."""
        shortened = [self._show(line, name) for line, name in zip(self._lines, self._names, strict=True)]
        return any(shortened)

    def _left(self) -> int:
        """Returns the cells that are left for a name."""
        if not self._terminal.wraps:
            return _WIDEST
        tails = max((self._tail_width(line) for line in self._lines if line.name), default=0)
        return self._terminal.width - self._fixed - tails - (self._size + 2 if self._size else 0)

    def _show(self, line: Line, name: str) -> bool:
        terminal, indent = self._terminal, " " * self._fixed
        kind = line.label + " " * (self._label - _wide(line.label))
        first: list[Piece] = ["  ", *_signs(line, terminal.glyphs), f" {kind}  "]
        size, tail = (line.size, "cyan"), self._tail(line)
        gap = " " * (self._name - _wide(name)) + " " * (self._size - cells(line.size) + 2 if self._size else 0)
        if terminal.fits(*first, name, gap, size, *tail):
            sized: list[Piece] = [gap, size] if line.size or tail else []
            terminal.line(*first, (name, "bold"), *sized, *tail)
        else:
            name, is_one = self._alone(line, name)
            sized = ["  ", size] if line.size else []
            if not (is_one or terminal.fits(*first, name, *sized)):
                sized, tail = [], [*([size] if line.size else []), *tail]
            terminal.line(*first, (name, "bold"), *sized, *(tail if is_one else []), hang=self._fixed)
            for text, style in [] if is_one else tail:
                terminal.line(indent, (text.lstrip(), style), hang=self._fixed + 2)
        for what, value in line.values:
            terminal.line(indent, (f"{what}  ", "dim"), (value, VALUES.get(what, "")), hang=self._fixed + 5)
        return name != line.name

    def _alone(self, line: Line, name: str) -> tuple[str, bool]:
        """Returns the name, shortened to fit on a line out of the columns, and whether the places fit on it, too."""
        if not self._terminal.wraps:
            return name, True
        whole = self._terminal.width - self._fixed - (cells(line.size) + 2 if line.size else 0)
        for room, is_one in ((whole - self._tail_width(line), True), (whole, False)):
            # A name that was left whole although it is too long would look like another if it were shortened.
            short = name if name == line.name else _elided(line.name, room, self._terminal.glyphs)
            if _wide(short) <= room:
                return short, is_one
        return name, False

    def _tail_width(self, line: Line) -> int:
        return sum(_wide(text) for text, _ in self._tail(line))

    def _tail(self, line: Line) -> list[tuple[str, str]]:
        places = [place.removeprefix(self._whose) if self._briefly else place for place in line.places]
        tail = [(f"  {self._terminal.glyphs.to} {', '.join(places)}", "yellow")] if places else []
        return [*tail, (f"  {line.remark}", "dim")] if line.remark else tail


def _signs(line: Line, glyphs: Glyphs) -> Iterator[Piece]:
    """Yields the signs with which a line begins: one of what is done to the object, one of what to the record."""
    for group in ((Upload, Replace, Copy, SetMetadata), (SetField, CreateRecord, RewriteLocalDb)):
        kind = next((each for each in line.kinds if each in group), None)
        yield " " if kind is None else (sign(kind, glyphs), words.LOOKS[kind].style)


def _wide(text: str) -> int:
    return cells(visible(text))


def _shorter(names: Sequence[str], room: int, glyphs: Glyphs) -> list[str]:
    """Returns the paths, without folders in their middle if they are too long. No two look alike."""
    short = [_elided(name, room, glyphs) for name in names]
    counts = Counter(short)
    return [each if counts[each] == 1 else name for each, name in zip(short, names, strict=True)]


def _elided(name: str, room: int, glyphs: Glyphs) -> str:
    """Returns the path with as many of its folders as fit, and at least its last name."""
    if _wide(name) <= room or "/" not in name:
        return name
    *folders, last = name.split("/")
    shorter = ["/".join([*folders[:count], glyphs.left_out, last]) for count in range(len(folders) - 1, 0, -1)]
    return next((each for each in shorter if _wide(each) <= room), last)
