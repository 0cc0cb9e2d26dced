"""Reads a finished call: which character its arguments name, and which files it returned or upserted."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from reconcile.core.errors import ReconcileError, UsageError
from reconcile.core.pattern import CHAR_ID
from reconcile.hooks.errors import LOGGER

Answer: TypeAlias = tuple[dict[str, str], dict[str, ReconcileError]]
"""The result of a call, by the names that the call gave the files: the URIs of those that are in the cloud, and why the
others are not, or why their record is not in step."""


class Call(msgspec.Struct, frozen=True):
    """A finished call of a workflow function: its files, as it named them, and what it knows about them.

    For an upsert, ``asset`` has the texts of the upserted map and ``fields`` pairs of a field and its file; then
    everything of the character is brought in step, not only these files. ``wrong`` has the error about a returned value
    that is not a file.
    """

    files: tuple[str, ...] = ()
    char_id: str | None = None
    asset_type: str | None = None
    asset: dict[str, str] | None = None
    fields: tuple[tuple[str, str], ...] = ()
    wrong: dict[str, ReconcileError] = {}

    @property
    def is_upsert(self) -> bool:
        return self.asset is not None


def arguments(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments of a call by name, including defaults and those in ``*args`` and ``**kwargs``."""
    try:
        signature = inspect.signature(function)
        bound = signature.bind(*args, **kwargs)
    except (TypeError, ValueError):  # a function written in C may have no signature
        return dict(kwargs)
    bound.apply_defaults()
    out: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            out.update(value)
        elif kind is inspect.Parameter.VAR_POSITIONAL:
            out.update({f"{name}[{at}]": each for at, each in enumerate(value)})
        else:
            out[name] = value
    return out


def character(
    given: Mapping[str, Any], chosen: Callable[[Mapping[str, Any]], str | None] | None, function: str
) -> str | None:
    """Returns the character that the call is about, or None if it does not say. Raises UsageError."""
    found = given.get(CHAR_ID) if chosen is None else chosen(given)
    if found is None or (isinstance(found, str) and found.strip()):
        return found
    raise UsageError(
        f"the call of {function} gives {found!r} as the character",
        hint="pass the id as text, or name it with @auto_upload_to_gcs(char_id=lambda arguments: …)",
    )


class Returned:
    """A returned value: the ``paths`` in it as texts, and the shape in which their URIs are added.

    ``wrong`` has the error about a value among the paths that is neither a path nor a gap, if there is one.
    """

    def __init__(self, given: Sequence[Any], function: str, shape: Callable[[list[Any]], Any]) -> None:
        self._given = [(each, _text(each)) for each in given]
        self._shape = shape
        self.paths = tuple(text for _, text in self._given if text)
        strange = [each for each, text in self._given if text is None]
        self.wrong: dict[str, ReconcileError] = (
            {"what was made": _error(function, strange[0], " among its paths")} if strange else {}
        )

    def with_uris(self, uris: Mapping[str, str]) -> Any:
        """Returns the value with a URI next to each path: None for a gap, and for a path that has none."""
        return self._shape([(each, uris.get(text or "")) for each, text in self._given])


def read(value: Any, function: str) -> Returned:
    """Reads what a function returned. A list is several paths, and so is a tuple that holds only paths of existing
    files, or only paths with the same ending. Any other tuple that begins with a path is one file and what belongs to
    it.

    A gap, which is None or an empty text, is a file that was not made, and does not change the shape: in a tuple with
    at least two paths, or before a path, it counts as one of several. Raises UsageError.
    """
    if _text(value) is not None:
        return Returned([value], function, lambda pairs: pairs[0])
    if isinstance(value, list) or (isinstance(value, tuple) and _are_several(list(map(_text, value)))):
        return Returned(value, function, lambda pairs: pairs)
    if isinstance(value, tuple) and _text(value[0]) is not None:
        return Returned(value[:1], function, lambda pairs: (*pairs[0], *value[1:]))
    raise _error(function, value)


def _error(function: str, value: Any, among: str = "") -> UsageError:
    first = f" with {type(value[0]).__name__} first" if isinstance(value, list | tuple) and value else ""
    return UsageError(
        f"{function} returned a value of type {type(value).__name__}{first}{among}, which names no file",
        hint="return a path, a list of paths, a tuple that begins with a path, or None",
    )


def _text(value: Any) -> str | None:
    """Returns a path as text, an empty text for a gap, and None for anything else."""
    text = "" if value is None else os.fspath(value) if isinstance(value, str | os.PathLike) else None
    return text if isinstance(text, str) else None


def _are_several(texts: Sequence[str | None]) -> bool:
    paths = [text for text in texts if text]
    endings = {os.path.splitext(path)[1].lower() for path in paths}
    # They are all there, or would be of one kind: a render that failed changes no shape.
    are_files = all(map(_names_file, paths)) or (len(endings) == 1 and endings != {""})
    if None in texts or not are_files:
        return False
    # A path followed by a gap is one file, of which something is not known.
    return "" not in texts or len(paths) > 1 or len(texts) == 1 or (bool(paths) and not texts[0])


def _names_file(value: Any) -> bool:
    """Whether the value is the path of an existing file."""
    path = _text(value)
    return path is not None and "\0" not in path and os.path.isfile(path)


def upserted(given: Mapping[str, Any], function: str) -> Call:
    """Returns what the call of an upsert hands over. The character is the argument ``char_id``, or else the first text;
    the map is the first mapping. Raises UsageError."""
    char_id = given.get(CHAR_ID, next((value for value in given.values() if isinstance(value, str)), None))
    asset = next((value for value in given.values() if isinstance(value, Mapping)), None)
    if not isinstance(char_id, str) or not char_id.strip() or asset is None:
        raise UsageError(
            f"the call of {function} does not name a character and a map",
            hint='call it as upsert_asset(char_id, {"title": …, field: path})',
        )
    named = {str(name): value for name, value in asset.items()}
    lists = [name for name, held in named.items() if isinstance(held, list | tuple) and any(map(_names_file, held))]
    if lists:
        logging.getLogger(LOGGER).warning(
            "%s was given a list of files for %s; a list sets no field, and the files are uploaded as the rules say",
            function,
            ", ".join(lists),
        )
    fields = tuple((name, os.fspath(held)) for name, held in named.items() if _names_file(held))
    # Another process may do the hand-over, and the other values of the map may not be picklable.
    plain = {name: str.__str__(held) for name, held in named.items() if isinstance(held, str)}
    return Call(tuple(file for _, file in fields), char_id, asset=plain, fields=fields)
