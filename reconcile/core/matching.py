"""Matches a path against a template's pieces, in time linear in the path however many captures there are.

A path is read from its end. There, each capture is as short as possible and leaves the most to those before it, so the
first place where the following text fits is final: nothing is tried twice. A capture that appears twice ties two places
together; its values are tried one by one.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec

MAX_VALUES = 4096
"""The maximum number of values tried for captures that appear twice: no real name has as many."""

_END = r"(?=/|\Z)"
"""The end, read backwards, of a folder or file name."""


class Token(msgspec.Struct, frozen=True):
    """A piece of a template: literal text, or a capture (``name``; unnamed ones are ``*0``, ``*1``, …, and ``**0``,
    ``**1``, … for folders)."""

    text: str = ""
    name: str | None = None


Part: TypeAlias = tuple[Token, ...]
"""One folder or file name of a template, or any number of folders."""


def folders_of(part: Part) -> str | None:
    """Returns the name of the ``**`` that a part of a template is; None for a folder or file name."""
    return part[0].name if part and (part[0].name or "").startswith("**") else None


class Matcher:
    """Matches paths that consist of these parts joined by ``/``. ``fixed`` captures must have the given values."""

    def __init__(self, parts: Sequence[Part], fixed: Mapping[str, str] | None = None) -> None:
        self._parts = parts
        self._fixed = dict(fixed or {})
        named = [name for name in names_of(parts) if name not in self._fixed]
        self._names = list(dict.fromkeys(named))
        self._groups = {name: f"g{number}" for number, name in enumerate(self._names)}
        self._twice = [name for name in self._names if named.count(name) > 1]
        levels = range(1, len(self._twice) + 1) if self._twice else [0]
        self._regexes = [re.compile(self._expression(self._twice[:level]), re.DOTALL) for level in levels]

    def takes(self, path: str) -> bool:
        return self._regexes[0].fullmatch(path[::-1]) is not None if not self._twice else self.match(path) is not None

    def match(self, path: str) -> dict[str, str] | None:
        """Returns the captures, earlier ones as long as possible, or None."""
        if not self._twice:
            only = self._regexes[0].fullmatch(path[::-1])
            return None if only is None else {name: only[group][::-1] for name, group in self._groups.items()}
        found = self._search(path, (), iter(range(MAX_VALUES)))
        return max(found, key=lambda each: [len(each[name]) for name in self._names], default=None)

    def _search(self, path: str, given: tuple[str, ...], budget: Iterator[int]) -> Iterator[dict[str, str]]:
        """Yields every match with these values of the first captures that appear twice."""
        if given:
            subject = "".join(f"{value[::-1]}/" for value in given) + path[::-1]
            found = self._regexes[len(given) - 1].fullmatch(subject)
            if found is None:
                return
            if len(given) == len(self._twice):
                yield {name: found.group(group)[::-1] for name, group in self._groups.items()}
                return
        for value in self._values_of(self._twice[len(given)], path.split("/")):
            if next(budget, None) is None:
                return
            yield from self._search(path, (*given, value), budget)

    def _values_of(self, name: str, names: Sequence[str]) -> list[str]:
        """Returns the only folder or file name that the capture can be, or every text as frequent in the path as in the
        template."""
        whole = (Token(name=name),)
        for parts, known in ((self._parts, names), (self._parts[::-1], names[::-1])):
            for part, text in zip(parts, known, strict=False):
                if folders_of(part) is not None:
                    break
                if part == whole:
                    return [text]
        path, often = "/".join(names), list(names_of(self._parts)).count(name)
        spans = ((each, *span) for each in names for span in itertools.combinations(range(len(each) + 1), 2))
        texts = (each[start:end] for each, start, end in spans)
        return [text for text in dict.fromkeys(texts) if path.count(text) >= often]

    def _expression(self, given: Sequence[str]) -> str:
        """Returns the regular expression for a reversed path, after the values of the ``given`` captures.

        ``**`` is in an atomic group with all names up to the next ``**``, so only one of them is retried at a time.
        """
        out = "".join(f"(?P<{self._groups[name]}>[^/]+)/" for name in given)
        slash = close = ""
        for part in reversed(self._parts):
            folders = folders_of(part)
            if folders is None:
                out += slash + self._name(part, given)
                slash = "/"
            elif folders in self._fixed:
                out += re.escape(self._fixed[folders][::-1])
            else:
                out += f"{close}(?>(?P<{self._groups[folders]}>(?:/[^/]+)*?)"
                close = ")"
        return out + r"\Z" + close

    def _name(self, part: Part, given: Sequence[str]) -> str:
        """Returns the expression of one reversed name: each capture is in an atomic group with the text up to the
        next."""
        pieces = [""]
        for token in reversed(part):
            name = token.name
            if name is None:
                pieces[-1] += re.escape(token.text[::-1])
            elif name in self._fixed:
                pieces[-1] += re.escape(self._fixed[name][::-1])
            elif name in given:
                pieces[-1] += f"(?P={self._groups[name]})"
            else:
                group = "?:" if name in self._twice else f"?P<{self._groups[name]}>"
                pieces.append(f"({group}[^/]{'*' if name.startswith('*') else '+'}?)")
        pieces[-1] += _END
        return pieces[0] + "".join(f"(?>{piece})" for piece in pieces[1:])


def names_of(parts: Sequence[Part]) -> Iterator[str]:
    """Yields the captures of these parts in order, with repetitions."""
    return (token.name for part in parts for token in part if token.name is not None)
