"""Places in a record at any depth: the location of the entries, and the path from the top of a record to one value."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

STEP = " › "
"""Separates the steps of a place wherever people read it."""
_SEPARATORS = re.compile(r"[./:>\[\]$*`\s]+")
_PLAIN_NAME = re.compile(r"[^\W\d][\w-]*")


class Titled(msgspec.Struct, frozen=True):
    """The map of the entries with this key, wherever in their list it is."""

    title: str


Step: TypeAlias = str | int | Titled
"""The name of a field, the number of a list's item, or a map of the entries by its key."""
Way: TypeAlias = tuple[Step, ...]
"""The steps from a record's top to one value."""
Trail: TypeAlias = tuple[str | int, ...]
"""The steps in one version of a record: a map of the entries appears by its number, not by its key."""


class Entries(msgspec.Struct, frozen=True):
    """The location of the array of maps in a record: the names of the fields that lead to it.

    ``key`` is the field of each map whose value tells the maps apart.
    """

    path: tuple[str, ...]
    key: str

    def __str__(self) -> str:
        return shown(self.path)

    @property
    def top(self) -> str:
        return self.path[0]

    def of(self, fields: Mapping[str, Any]) -> Any:
        """Returns the array in these fields; None if there is nothing, and a sentence if another value is in the
        way."""
        value: Any = fields
        for depth, name in enumerate(self.path):
            if value is None:
                return None
            if not isinstance(value, Mapping):
                return f"{shown(self.path[:depth])} is not a map"
            value = value.get(name)
        return value

    def maps(self, listed: Any) -> Iterator[tuple[int, str | None, dict[str, Any]]]:
        """Yields each map in the array with its number and its key; nothing if the array is another value."""
        for at, entry in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(entry, dict):
                yield at, title_of(entry, self.key), entry

    @property
    def names_in_top(self) -> list[str]:
        """The names that the one name would lead along if it was meant as a path; none if it does not look like one."""
        names = [part for part in _SEPARATORS.split(self.top) if part and not part.isdecimal()]
        return [] if len(self.path) > 1 or names == [self.top] else names

    def meant(self, documents: Iterable[Mapping[str, Any]]) -> Entries | None:
        """Returns what a name that looks like a path (``media.assets``, ``assets[0]``) probably meant, or None.

        That is the array at the end of that path, if some document has one there and none has a field of exactly this
        name.
        """
        names = self.names_in_top
        if not names:
            return None
        found: tuple[str, ...] | None = None
        for fields in documents:
            if self.top in fields:
                return None
            found = found or _array_at(fields, names)
        return None if found is None else msgspec.structs.replace(self, path=found)

    def put(self, fields: dict[str, Any], entries: list[Any]) -> None:
        """Puts the array in its place, adding the maps that lead there.

        Raises TypeError if another value is in the place of one of them.
        """
        inner = fields
        for name in self.path[:-1]:
            if inner.get(name) is None:
                inner[name] = {}
            inner = inner[name]
            if not isinstance(inner, dict):
                raise TypeError(name)
        inner[self.path[-1]] = entries


def shown(way: Way) -> str:
    """Returns the whole path in the notation ``assets[primary].frames[0].path``."""
    text = ""
    for step in way:
        match step:
            case int():
                text += f"[{step}]"
            case Titled():
                text += f"[{step.title}]"
            case _ if _PLAIN_NAME.fullmatch(step):
                text += f".{step}" if text else step
            case _:
                text += f'["{step}"]'
    return text


def place_at(way: Way, separator: str = STEP) -> str:
    """Returns a place as people read it: ``primary › frames › 0 › path``; a map of the entries appears by its key."""
    keyed = [at for at, step in enumerate(way) if isinstance(step, Titled)]
    steps = way[keyed[-1] :] if keyed else way
    return separator.join(step.title if isinstance(step, Titled) else str(step) for step in steps)


def title_of(entry: Mapping[str, Any], entry_key: str) -> str | None:
    """Returns the key of a map of the entries, or None if it is not a text."""
    title = entry.get(entry_key)
    return title if isinstance(title, str) else None


def as_found(way: Way, trail: Trail) -> Way:
    """Returns the path to a place that was found at the end of this trail."""
    return tuple(step if isinstance(step, Titled) else at for step, at in zip(way, trail, strict=True))


def copied(value: Any) -> Any:
    """Returns a copy that can be changed in place: maps and lists are copied at every depth, other values shared."""
    if isinstance(value, Mapping):
        return {name: copied(each) for name, each in value.items()}
    return [copied(each) for each in value] if isinstance(value, list) else value


GONE = object()
"""Marks a value that is to be left out."""


def remade(value: Any, make: Callable[[Trail, Any], Any], trail: Trail = ()) -> Any:
    """Returns a copy with each value replaced by ``make``, called with the trail to the value and the value.

    ``GONE`` leaves the value out of its map or list.
    """
    made = make(trail, value)
    if isinstance(made, Mapping):
        members = ((name, remade(each, make, (*trail, name))) for name, each in made.items())
        return {name: each for name, each in members if each is not GONE}
    if isinstance(made, list):
        items = (remade(each, make, (*trail, at)) for at, each in enumerate(made))
        return [each for each in items if each is not GONE]
    return made


def value_at(fields: Mapping[str, Any], trail: Trail) -> Any:
    """Returns the value at the end of a trail. Raises LookupError if there is none."""
    value: Any = fields
    for step in trail:
        if not (isinstance(value, Mapping) if isinstance(step, str) else isinstance(value, list)):
            raise LookupError(step)
        value = value[step]
    return value


class Finder:
    """Finds the text at a path in a record as it is now, whose lists may have been reordered since.

    The same place is chosen if it still holds the text; otherwise the only other place that holds it and is reached by
    the same names. If there are several, none is chosen, because the intended one cannot be known.
    """

    def __init__(self, fields: Mapping[str, Any], entry_key: str) -> None:
        self._fields = fields
        self._entry_key = entry_key
        self._indexes: dict[Way, dict[str, list[Trail]]] = {}

    def exact(self, way: Way, text: str) -> Trail | None:
        """Returns the same place if it holds the text, and no other map with the same key does."""
        found = [trail for trail, value in self._trails(way, anywhere=False) if value == text]
        return found[0] if len(found) == 1 else None

    def find(self, way: Way, text: str) -> Trail | None:
        exact = self.exact(way, text)
        if exact is not None:
            return exact
        held = self.all(way, text)
        return held[0] if len(held) == 1 else None

    def all(self, way: Way, text: str) -> list[Trail]:
        """Returns every place that holds the text and is reached by the same names."""
        return [trail for trail in self._index(way).get(text, ()) if value_at(self._fields, trail) == text]

    def has_become(self, way: Way, text: str, new: str) -> bool:
        """Whether no place holds the text any more, and some place holds the new one."""
        return not self.all(way, text) and bool(self.all(way, new))

    def moved(self, way: Way, trail: Trail, text: str) -> None:
        """Notes that the place now holds this text."""
        index = self._indexes.get(numberless(way))
        if index is not None:
            index[text].append(trail)

    def _index(self, way: Way) -> dict[str, list[Trail]]:
        """Returns texts with their places, collected once for all paths with the same names: a hostile record has
        many."""
        names = numberless(way)
        if names not in self._indexes:
            index: dict[str, list[Trail]] = defaultdict(list)
            for trail, value in self._trails(way, anywhere=True):
                if isinstance(value, str):
                    index[value].append(trail)
            self._indexes[names] = index
        return self._indexes[names]

    def _trails(self, way: Way, *, anywhere: bool) -> Iterator[tuple[Trail, Any]]:
        level: list[tuple[Trail, Any]] = [((), self._fields)]
        for step in way:
            level = [((*trail, at), inner) for trail, value in level for at, inner in self._next(value, step, anywhere)]
        return iter(level)

    def _next(self, value: Any, step: Step, anywhere: bool) -> Iterator[tuple[str | int, Any]]:
        if isinstance(step, str):
            if isinstance(value, Mapping) and step in value:
                yield step, value[step]
        elif isinstance(value, list):
            if isinstance(step, Titled):
                for at, each in enumerate(value):
                    if isinstance(each, Mapping) and title_of(each, self._entry_key) == step.title:
                        yield at, each
            elif anywhere:
                yield from enumerate(value)
            elif 0 <= step < len(value):
                yield step, value[step]


def numberless(way: Way) -> Way:
    """Returns the path with 0 for every number: the same for all places that are reached by the same names."""
    return tuple(0 if isinstance(step, int) else step for step in way)


def _array_at(fields: Mapping[str, Any], names: Iterable[str]) -> tuple[str, ...] | None:
    """Returns the path to the array at the end of these names, in any case, with the document's spelling; else None."""
    value: Any = fields
    path: list[str] = []
    for name in names:
        if not isinstance(value, Mapping):
            return None
        alike = [each for each in value if isinstance(each, str) and each.casefold() == name.casefold()]
        if not alike:
            return None
        path.append(name if name in alike else alike[0])
        value = value[path[-1]]
    return tuple(path) if isinstance(value, list) else None
