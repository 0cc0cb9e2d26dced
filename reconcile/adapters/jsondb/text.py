"""JSON text edited in place: only the characters of the values that change are replaced, in the style of the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

_DECODER = json.JSONDecoder()
_BLANKS = re.compile(r"[ \t\r\n]*")
_INDENT = re.compile(r"[ \t]*")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Member(NamedTuple):
    """A member of an object, or an element of an array (with an empty key), and where it stands in the text."""

    key: str
    key_start: int
    key_end: int
    start: int
    end: int
    value: Any


class Container(NamedTuple):
    """The members of the object or array whose text is from ``start`` to ``end``, duplicates included."""

    start: int
    end: int
    members: list[Member]


class TextEdit(NamedTuple):
    """Characters ``start`` to ``end`` become ``text``."""

    start: int
    end: int
    text: str


class Style(NamedTuple):
    """How a file writes JSON: ``indent`` is one level's blanks, or None if all is on one line."""

    newline: str
    indent: str | None
    comma: str
    colon: str
    ascii: bool


def skip_blanks(text: str, at: int) -> int:
    """The place of the first character from ``at`` on that is not white space."""
    found = _BLANKS.match(text, at)
    return found.end() if found else at


def container(text: str, at: int) -> Container:
    """The object or array that starts at ``at``. Accepts what ``json.loads`` accepts and raises what it raises."""
    is_object = text[at] == "{"
    close = "}" if is_object else "]"
    members: list[Member] = []
    here = skip_blanks(text, at + 1)
    if text[here : here + 1] == close:
        return Container(at, here + 1, members)
    while True:
        member = _member(text, here) if is_object else _element(text, here)
        members.append(member)
        here = skip_blanks(text, member.end)
        mark = text[here : here + 1]
        if mark == close:
            return Container(at, here + 1, members)
        if mark != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, here)
        here = skip_blanks(text, here + 1)


def _member(text: str, at: int) -> Member:
    if text[at : at + 1] != '"':
        raise json.JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
    key, key_end = _DECODER.raw_decode(text, at)
    here = skip_blanks(text, key_end)
    if text[here : here + 1] != ":":
        raise json.JSONDecodeError("Expecting ':' delimiter", text, here)
    element = _element(text, skip_blanks(text, here + 1))
    return Member(key, at, key_end, element.start, element.end, element.value)


def _element(text: str, at: int) -> Member:
    value, end = _DECODER.raw_decode(text, at)
    return Member("", at, at, at, end, value)


def same(old: object, new: object) -> bool:
    """Whether two JSON values are written alike: 1, 1.0 and true differ, NaN does not differ from itself."""
    if type(old) is not type(new):
        return False
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(same(value, new[key]) for key, value in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(same, old, new))
    return repr(old) == repr(new)


def style_of(text: str, top: Container) -> Style:
    """The style in which the file is written, as far as it shows; else that of ``json.dump``."""
    lead = _lead(text, top)
    inner = next((container(text, m.start) for m in top.members if isinstance(m.value, dict) and m.value), None)
    places = [one for one in (inner, top) if one]
    colons = [text[m.key_end : m.start] for one in places for m in one.members[:1] if text[one.start] == "{"]
    commas = [text[one.members[0].end : one.members[1].key_start] for one in places if len(one.members) > 1]
    colon = colons[0] if colons else ": "
    return Style(
        newline="\r\n" if "\r\n" in text else "\n",
        indent=lead.rpartition("\n")[2] if "\n" in lead else None,
        comma=next((comma for comma in commas if "\n" not in comma), "," + colon[1:]),
        colon=colon,
        ascii=text[top.start :].isascii(),
    )


def edits(text: str, at: int, old: Any, new: Any, style: Style) -> Iterator[TextEdit]:
    """What makes the value at ``at``, which reads as ``old``, read as ``new``: the deepest values that differ."""
    if same(old, new):
        return
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() <= new.keys():
        here = container(text, at)
        for key, member in {member.key: member for member in here.members}.items():
            yield from edits(text, member.start, member.value, new[key], style)
        yield from insertion(text, here, [(key, value) for key, value in new.items() if key not in old], style)
    elif isinstance(old, list) and isinstance(new, list) and len(old) <= len(new):
        here = container(text, at)
        for member, value in zip(here.members, new, strict=False):
            yield from edits(text, member.start, member.value, value, style)
        yield from insertion(text, here, [("", value) for value in new[len(old) :]], style)
    else:
        _, end = _DECODER.raw_decode(text, at)
        multiline = "\n" in text[at:end] if _is_filled(old) else style.indent is not None
        yield TextEdit(at, end, _render(new, style, _line_indent(text, at), multiline))


def insertion(text: str, here: Container, added: Sequence[tuple[str, Any]], style: Style) -> Iterator[TextEdit]:
    """What appends members (or elements, whose key is empty) to a container, as those before them are written."""
    if not added:
        return
    is_object = text[here.start] == "{"
    if not here.members:
        value = dict(added) if is_object else [value for _, value in added]
        yield TextEdit(
            here.start, here.end, _render(value, style, _line_indent(text, here.start), style.indent is not None)
        )
        return
    last = here.members[-1]
    gap = _gap(text, here, style)
    base = gap.rpartition("\n")[2] if "\n" in gap else _line_indent(text, last.key_start)
    multiline = _is_multiline(text, here, style)
    colon = text[last.key_end : last.start]
    appended = [
        gap + (_dumps(key, style) + colon if is_object else "") + _render(value, style, base, multiline)
        for key, value in added
    ]
    yield TextEdit(last.end, last.end, "".join(appended))


def splice(text: str, changes: Iterable[TextEdit], start: int = 0, end: int | None = None) -> str:
    """Characters ``start`` to ``end`` of the text after the edits, which lie between them and do not overlap."""
    parts = []
    here = start
    for edit in sorted(changes):
        parts += [text[here : edit.start], edit.text]
        here = edit.end
    return "".join([*parts, text[here:end]])


def _lead(text: str, here: Container) -> str:
    return text[here.start + 1 : here.members[0].key_start] if here.members else ""


def _gap(text: str, here: Container, style: Style) -> str:
    """What stands between two members: the comma and the blanks round it."""
    if len(here.members) > 1:
        return text[here.members[-2].end : here.members[-1].key_start]
    lead = _lead(text, here)
    return "," + lead if "\n" in lead else style.comma


def _is_multiline(text: str, here: Container, style: Style) -> bool:
    """Whether a container in this one is spread over lines: as the nearest one beside it is, or as it is itself."""
    for member in reversed(here.members):
        if _is_filled(member.value):
            return "\n" in text[member.start : member.end]
    return style.indent is not None and "\n" in _lead(text, here)


def _is_filled(value: object) -> bool:
    return isinstance(value, dict | list) and bool(value)


def _line_indent(text: str, at: int) -> str:
    found = _INDENT.match(text, text.rfind("\n", 0, at) + 1)
    return found.group() if found else ""


def _render(value: Any, style: Style, base: str, multiline: bool) -> str:
    if not multiline:
        return _dumps(value, style)
    indent = style.indent if style.indent is not None else "  "
    written = json.dumps(value, indent=indent, separators=(",", style.colon), ensure_ascii=style.ascii)
    # No string holds a bare line end, so every one is between values.
    return _encodable(written.replace("\n", style.newline + base))


def _dumps(value: Any, style: Style) -> str:
    return _encodable(json.dumps(value, separators=(style.comma, style.colon), ensure_ascii=style.ascii))


def _encodable(written: str) -> str:
    """Half of a surrogate pair has no UTF-8: it stays an escape whatever the style."""
    return _SURROGATE.sub(lambda found: f"\\u{ord(found.group()):04x}", written)
