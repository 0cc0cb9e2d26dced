"""What a decorated function returned: which files it names, and how their URIs are put beside them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import Enum
from typing import Any

from reconcile.core.errors import UsageError


class Shape(Enum):
    """One path; several; or a tuple of which only the first is a path."""

    ONE = "one"
    SEVERAL = "several"
    FIRST = "first"


class Returned:
    """A value that a function returned, and the paths in it as texts."""

    def __init__(self, value: Any, shape: Shape, given: tuple[Any, ...]) -> None:
        self._value = value
        self._shape = shape
        self._given = given
        self.paths = tuple(os.fspath(each) for each in given)

    def with_uris(self, uris: Mapping[str, str]) -> Any:
        """The value with the URI beside each path; None where a path has none."""
        pairs = [(each, uris.get(path)) for each, path in zip(self._given, self.paths, strict=True)]
        match self._shape:
            case Shape.ONE:
                return pairs[0]
            case Shape.SEVERAL:
                return pairs
            case Shape.FIRST:
                return (*pairs[0], *self._value[1:])


def read(value: Any, function: str) -> Returned:
    """Reads what a function returned. A list is several paths. So is a tuple of nothing but paths of files that are
    there, or that end alike; any other tuple that begins with a path is one file, and what belongs to it. Raises
    UsageError."""
    if _is_path(value):
        return Returned(value, Shape.ONE, (value,))
    if isinstance(value, list | tuple):
        if all(map(_is_path, value)) and (isinstance(value, list) or _are_files(value)):
            return Returned(value, Shape.SEVERAL, tuple(value))
        if isinstance(value, tuple) and _is_path(value[0]):
            return Returned(value, Shape.FIRST, (value[0],))
    raise UsageError(
        f"{function} returned {_described(value)}, which names no file",
        hint="return a path, a list of paths, a tuple that begins with a path, or None",
    )


def _is_path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike) and isinstance(os.fspath(value), str)


def _are_files(paths: tuple[Any, ...]) -> bool:
    """Whether they are all there, or would be of one kind: a render that failed changes no shape."""
    suffixes = {os.path.splitext(os.fspath(path))[1].lower() for path in paths}
    return all(map(_is_file, paths)) or (len(suffixes) == 1 and suffixes != {""})


def _is_file(path: Any) -> bool:
    return "\0" not in os.fspath(path) and os.path.isfile(path)


def _described(value: Any) -> str:
    held = f" with {type(value[0]).__name__} first" if isinstance(value, list | tuple) and value else ""
    return f"a value of type {type(value).__name__}{held}"
