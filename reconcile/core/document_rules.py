"""Firestore's limits for a document: ids, field names, values, nesting and size. Pure rules that touch no store."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from reconcile.core.errors import Rejected
from reconcile.core.names import is_unicode

MAX_NAME_BYTES = 1_500
MAX_DOCUMENT_BYTES = 1_048_576
MAX_TEXT_BYTES = 1_048_487
MAX_DEPTH = 20

_RESERVED = re.compile(r"__.*__", re.DOTALL)
_NAME_OVERHEAD = 16
_DOCUMENT_OVERHEAD = 32


def id_problem(document: str) -> str | None:
    """Returns why this cannot be the id of a document, as the end of a sentence; None if it can."""
    if not document:
        return "it is empty"
    if "/" in document:
        return "it holds a slash"
    if document in {".", ".."} or _RESERVED.fullmatch(document):
        return "the name is reserved"
    return _text_problem(document)


def may_start_id(prefix: str) -> bool:
    return id_problem(prefix) is None or id_problem(f"{prefix}x") is None


def check_id(document: str) -> None:
    """Raises Rejected if this cannot be the id of a document."""
    problem = id_problem(document)
    if problem is not None:
        raise Rejected(f"{document[:80]!r} cannot be the id of a document: {problem}", hint="rename the character")


def prefix_end(prefix: str) -> str | None:
    """Returns the least text above all texts that start with ``prefix``, in code point order; None if there is none."""
    for cut in range(len(prefix), 0, -1):
        successor = ord(prefix[cut - 1]) + 1
        if successor == 0xD800:  # surrogates are not characters
            successor = 0xE000
        if successor <= 0x10FFFF:
            return prefix[: cut - 1] + chr(successor)
    return None


def check_document(path: str, fields: Mapping[str, Any]) -> None:
    """Raises Rejected, naming the field, if a document of plain values at ``collection/id`` breaks a limit."""
    problem = document_problem(path, fields)
    if problem is not None:
        raise Rejected(f"the document {path} cannot be written: {problem}", hint="change the value and try again")


def document_problem(path: str, fields: Mapping[str, Any]) -> str | None:
    """Returns why a document at ``collection/id`` cannot have these plain fields, as the end of a sentence, or None."""
    unfit = next(_of_map(fields, "", depth=0), None)
    return size_problem(path, size_of(fields)) if unfit is None else unfit


def size_problem(path: str, values: int) -> str | None:
    """Returns why a document whose fields have this size in bytes is too large, or None."""
    names = sum(len(part.encode()) + 1 for part in path.split("/"))
    size = _NAME_OVERHEAD + names + _DOCUMENT_OVERHEAD + values
    if size <= MAX_DOCUMENT_BYTES:
        return None
    return f"it would have {size:,} bytes, and {MAX_DOCUMENT_BYTES:,} is the most"


def size_of(value: Any) -> int:
    """Returns the bytes that a value takes in a document. A store's own values, which only it can measure, count as
    0."""
    match value:
        case str():
            return len(value.encode("utf-8", "surrogatepass")) + 1
        case Mapping():
            return sum(size_of(name) + size_of(each) for name, each in value.items())
        case list():
            return sum(map(size_of, value))
        case None | bool():
            return 1
        case int() | float():
            return 8
        case _:
            return 0


def _text_problem(text: str) -> str | None:
    if not is_unicode(text):
        return "it is not valid Unicode"
    return f"it is longer than {MAX_NAME_BYTES:,} bytes" if len(text.encode()) > MAX_NAME_BYTES else None


def _of_map(fields: Mapping[Any, Any], above: str, depth: int) -> Iterator[str]:
    """Yields the problems of a map in the field ``above``."""
    if depth > MAX_DEPTH:
        yield _in(above, f"values nest deeper than {MAX_DEPTH} levels")
        return
    for name, value in fields.items():
        if not isinstance(name, str) or not name:
            yield _in(above, "a field name is empty or no text")
            return
        field = f"{above}.{name}" if above else name
        problem = "the field name is reserved" if _RESERVED.fullmatch(name) else _text_problem(field)
        if problem is not None:
            yield _in(field, problem)
        yield from _of_value(value, field, depth + 1, in_array=False)


def _of_value(value: Any, field: str, depth: int, *, in_array: bool) -> Iterator[str]:
    match value:
        case None | bool() | float():
            return
        case int():
            if not -(2**63) <= value < 2**63:
                yield _in(field, "the number needs more than 64 bits")
        case str():
            if not is_unicode(value):
                yield _in(field, "the text is not valid Unicode")
            elif len(value.encode()) > MAX_TEXT_BYTES:
                yield _in(field, f"the text is longer than {MAX_TEXT_BYTES:,} bytes")
        case Mapping():
            yield from _of_map(value, field, depth)
        case list():
            if in_array:
                yield _in(field, "an array cannot hold an array")
                return
            for each in value:
                yield from _of_value(each, field, depth + 1, in_array=True)
        case _:
            yield _in(field, f"a {type(value).__name__} is not a plain value")


def _in(field: str, why: str) -> str:
    return f"in {field[:80]!r}, {why}"
