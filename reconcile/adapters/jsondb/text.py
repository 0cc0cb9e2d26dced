"""Edits JSON text in place: only the characters of changed values are replaced."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

_DECODER = json.JSONDecoder()
_BLANKS = re.compile(r"[ \t\r\n]*")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Member(NamedTuple):
    """A member of an object, or an element of an array (with an empty key): its value, and its position in the text."""

    key: str
    start: int
    end: int
    value: Any


class TextEdit(NamedTuple):
    """An edit: characters ``start`` to ``end`` become ``text``."""

    start: int
    end: int
    text: str


def skip_blanks(text: str, at: int) -> int:
    """Returns the position of the first character from ``at`` on that is not white space."""
    found = _BLANKS.match(text, at)
    return found.end() if found else at


def members_of(text: str, at: int) -> tuple[list[Member], int]:
    """Returns the members of the object or array at ``at``, duplicates included, and the position of its end.

    Accepts what ``json.loads`` accepts, and raises what it raises.
    """
    is_object = text[at] == "{"
    close = "}" if is_object else "]"
    members: list[Member] = []
    here = skip_blanks(text, at + 1)
    if text[here : here + 1] == close:
        return members, here + 1
    while True:
        member = _member(text, here) if is_object else _element(text, here)
        members.append(member)
        here = skip_blanks(text, member.end)
        mark = text[here : here + 1]
        if mark == close:
            return members, here + 1
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
    return _element(text, skip_blanks(text, here + 1))._replace(key=key)


def _element(text: str, at: int) -> Member:
    value, end = _DECODER.raw_decode(text, at)
    return Member("", at, end, value)


def same(old: object, new: object) -> bool:
    """Whether two JSON values are written alike: 1, 1.0 and true differ, NaN equals itself."""
    if type(old) is not type(new):
        return False
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(same(value, new[key]) for key, value in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(same, old, new))
    return repr(old) == repr(new)


def edits(text: str, at: int, old: Any, new: Any, *, is_ascii: bool) -> Iterator[TextEdit]:
    """Yields the edits that change the value at ``at`` from ``old`` to ``new``: the deepest values that differ.

    With ``is_ascii``, other characters are escaped. An object that gains or loses a key, and an array of another
    length, are rewritten on one line: runs only replace one string by another.
    """
    if same(old, new):
        return
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        members, _ = members_of(text, at)
        # If a key occurs twice, the last one counts.
        for key, member in {member.key: member for member in members}.items():
            yield from edits(text, member.start, member.value, new[key], is_ascii=is_ascii)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        members, _ = members_of(text, at)
        for member, value in zip(members, new, strict=True):
            yield from edits(text, member.start, member.value, value, is_ascii=is_ascii)
    else:
        _, end = _DECODER.raw_decode(text, at)
        written = json.dumps(new, ensure_ascii=is_ascii)
        # Half of a surrogate pair has no UTF-8, so it stays an escape.
        yield TextEdit(at, end, _SURROGATE.sub(lambda found: f"\\u{ord(found.group()):04x}", written))


def splice(text: str, changes: Iterable[TextEdit], start: int = 0, end: int | None = None) -> str:
    """Returns characters ``start`` to ``end`` of the text after the edits, which lie between them and do not
    overlap."""
    parts = []
    here = start
    for edit in sorted(changes):
        parts += [text[here : edit.start], edit.text]
        here = edit.end
    return "".join([*parts, text[here:end]])
