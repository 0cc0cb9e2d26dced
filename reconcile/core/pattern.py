"""The template language of the asset map: ``match(path)`` returns captures, ``format(captures)`` the path.

A template is literal except for ``{name}`` (part of one folder or file name, at least one character), ``*`` (the same,
unnamed, possibly empty) and ``**`` (a whole part of the path: any number of folders, including none). Templates and
paths are compared in composed Unicode form, so captures are composed.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from functools import cached_property

from reconcile.core.matching import Matcher, Part, Token, folders_of, names_of
from reconcile.core.names import nfc
from reconcile.core.portable import Portable

CHAR_ID = "char_id"
BOUNDARIES = "_-. "
_BOUNDARY = re.compile(f"[{re.escape(BOUNDARIES)}]")
_TOKEN = re.compile(r"\{([^{}/]*)\}|\*|[{}]")
_NAME = re.compile(r"[a-z_][a-z0-9_]*\Z")


class PatternError(Portable, ValueError):
    """Raised for an invalid template; the text says why, and what would be right."""


class Template:
    """A parsed template. Equal templates have equal ``source``."""

    def __init__(self, source: str) -> None:
        """Parses ``source``. Raises PatternError."""
        self.source = nfc(source)
        self.parts: tuple[Part, ...] = _parse(self.source)

    def __repr__(self) -> str:
        return f"Template({self.source!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and other.source == self.source

    def __hash__(self) -> int:
        return hash(self.source)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The captures in order of first appearance; unnamed ones as ``*N`` and ``**N``."""
        return tuple(dict.fromkeys(names_of(self.parts)))

    @cached_property
    def literal_prefix(self) -> str:
        return self.prefix({})

    @cached_property
    def literal_suffix(self) -> str:
        """The text that every match ends with."""
        known = itertools.takewhile(lambda token: token.name is None, reversed(self._line))
        return "".join(token.text for token in reversed(list(known)))

    def prefix(self, captures: Mapping[str, str]) -> str:
        """Returns the text that every match with these captures begins with."""
        known = itertools.takewhile(lambda token: token.name is None or token.name in captures, self._line)
        return "".join(token.text if token.name is None else captures[token.name] for token in known)

    def match(self, path: str, fixed: Mapping[str, str] | None = None) -> dict[str, str] | None:
        """Returns the captures, earlier ones as long as possible, or None. ``fixed`` captures must have these
        values."""
        matcher = Matcher(self.parts, fixed) if fixed else self._matcher
        found = matcher.match(nfc(path))
        return None if found is None else {**(fixed or {}), **found}

    def takes(self, path: str) -> bool:
        """Whether the path matches, whatever its captures."""
        composed = nfc(path)
        # The literal ends are checked first: most rules accept none of the paths that are tested.
        start, end = self.literal_prefix, self.literal_suffix
        if not composed.startswith(start) or not composed.endswith(end):
            return False
        if self.has_id_alone:
            return (
                len(composed) > len(start) + len(end) and composed.find("/", len(start), len(composed) - len(end)) < 0
            )
        return self._matcher.takes(composed)

    @property
    def ties_places(self) -> bool:
        """Whether a capture appears twice, so that the text after it does not depend on this place alone."""
        return len(set(names_of(self.parts))) != len(list(names_of(self.parts)))

    @cached_property
    def has_id_alone(self) -> bool:
        """Whether everything except a single ``{char_id}`` is literal and a boundary follows it, so matches have one
        reading."""
        behind = self.literal_suffix[:1]
        return self.names == (CHAR_ID,) and not self.ties_places and (not behind or behind in (*BOUNDARIES, "/"))

    def takes_behind_id(self, rest: str) -> bool:
        """Whether this ASCII text can follow ``{char_id}``, in a template without repeated captures."""
        return self._halves is not None and self._halves[1].takes(rest)

    def format(self, captures: Mapping[str, str]) -> str:
        """Returns the path with these captures; ``**N`` contains folders with their ``/``. Raises KeyError for a
        missing one."""
        return "".join(token.text if token.name is None else captures[token.name] for token in self._line)

    def readings(self, path: str) -> Iterator[tuple[str, int, int]]:
        """Yields every (value, start, end) that ``{char_id}`` could have in this path, longest first, between
        boundaries.

        Boundaries are the ends of a folder or file name and the characters ``_``, ``-``, ``.`` and space; a value also
        begins where the template's own text before it ends. A value is only a possibility: ``match_span`` decides
        whether the rest of the path fits. Start and end are positions in the composed path.
        """
        path = nfc(path)
        prefix = self.literal_prefix
        if CHAR_ID not in self.names or not path.startswith(prefix):
            return
        if self.names[0] == CHAR_ID:
            start = len(prefix)
            yield from ((path[start:end], start, end) for end in reversed(_ends(path, start)))
            return
        spans = {(start, end) for start in self._starts(path) for end in _ends(path, start)}
        for start, end in sorted(spans, key=lambda span: (span[0] - span[1], span[0])):
            yield path[start:end], start, end

    def match_span(self, path: str, start: int, end: int) -> dict[str, str] | None:
        """Returns the captures with ``{char_id}`` at ``path[start:end]`` (composed), or None if the rest does not
        fit."""
        path = nfc(path)
        value = path[start:end]
        if self._halves is None:
            return self.match(path, {CHAR_ID: value})
        if len(path) - end < len(self.literal_suffix):
            return None
        before, behind = self._halves
        if self.names[0] == CHAR_ID:  # only literal text precedes it
            right = behind.match(path[end:]) if path[:start] == self.literal_prefix else None
            return None if right is None else {CHAR_ID: value, **right}
        left = before.match(path[:start])
        right = None if left is None else behind.match(path[end:])
        if left is None or right is None:
            return None
        found = {**left, CHAR_ID: value, **right}
        return {known: found[known] for known in self.names}

    def samples(self) -> list[str]:
        """Returns a few matching paths with values that no literal has, for the lint to test other rules with."""
        out = []
        for star, folders in (("", ""), ("qz1", "qz2/"), ("_qz3", "qz4/qz5/"), ("", "qz6/")):
            captures = {
                name: folders if name.startswith("**") else star if name.startswith("*") else f"qz{number}n"
                for number, name in enumerate(self.names)
            }
            out.append(self.format(captures))
        return list(dict.fromkeys(out))

    def follows_without_boundary(self, name: str) -> bool:
        """Whether literal text that is not a boundary directly follows ``{name}``, so that no id could end there."""
        pairs = self._neighbours()
        return any(
            token.name == name and after.name is None and after.text[0] not in BOUNDARIES for token, after in pairs
        )

    def is_whole_name(self, name: str) -> bool:
        """Whether ``{name}`` is a whole folder name, or a whole file name without its extension: the name says the
        id."""
        last = self.parts[-1]
        ending = len(last) == 2 and last[0].name == name and last[1].name is None and last[1].text.startswith(".")
        return ending or any(part == (Token(name=name),) for part in self.parts)

    def _neighbours(self) -> Iterator[tuple[Token, Token]]:
        """Yields the adjacent pairs of tokens in a folder or file name."""
        return itertools.chain.from_iterable(map(itertools.pairwise, self.parts))

    def _starts(self, path: str) -> Iterator[int]:
        first = len(self.literal_prefix)
        before = {left.text for left, token in self._neighbours() if token.name == CHAR_ID and left.name is None}
        yield first
        yield from (at + 1 for at in range(first, len(path)) if path[at] == "/" or path[at] in BOUNDARIES)
        for text in before:
            yield from (at for at in range(first, len(path)) if path.endswith(text, first, at))

    @cached_property
    def _line(self) -> tuple[Token, ...]:
        """The tokens of all parts with the separators. A ``**`` contains the ``/`` of its folders."""
        line: list[Token] = []
        for part in self.parts:
            line += part if folders_of(part) is not None else (*part, Token(text="/"))
        return tuple(line[:-1])

    @cached_property
    def _matcher(self) -> Matcher:
        return Matcher(self.parts)

    @cached_property
    def _halves(self) -> tuple[Matcher, Matcher] | None:
        """The matchers of the text before and after ``{char_id}``; None if a repeated capture ties them together."""
        if CHAR_ID not in self.names or self.ties_places:
            return None
        own = Token(name=CHAR_ID)
        at = next(number for number, part in enumerate(self.parts) if own in part)
        tokens = self.parts[at]
        place = tokens.index(own)
        before, behind = (*self.parts[:at], tokens[:place]), (tokens[place + 1 :], *self.parts[at + 1 :])
        return Matcher(before), Matcher(behind)


def _ends(path: str, start: int) -> list[int]:
    """Returns where a value that begins here may end, the nearest first."""
    last = path.find("/", start)
    last = len(path) if last < 0 else last
    ends = [*(found.start() for found in _BOUNDARY.finditer(path, start, last)), last]
    return [end for end in ends if end > start]


def _parse(source: str) -> tuple[Part, ...]:
    if not source:
        raise PatternError("the template is empty")
    if "\\" in source:
        raise PatternError("folders are separated by '/', also on Windows; write it without '\\'")
    parts = source.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise PatternError("a path below the root has no empty part, no '.', no '..' and no '/' at either end")
    parsed: list[Part] = []
    folders, stars = itertools.count(), itertools.count()
    for part in parts:
        if part == "**":
            parsed.append((Token(name=f"**{next(folders)}"),))
        elif "**" in part:
            raise PatternError(f"'**' stands for whole folders; in {part!r} write '*' or give '**' a part of its own")
        else:
            parsed.append(_tokens(part, stars))
    if parts[-1] == "**":
        raise PatternError("the last part names the file; write '**/*' for every file in every folder")
    return tuple(parsed)


def _tokens(part: str, stars: Iterator[int]) -> Part:
    """Returns the tokens of a folder or file name; ``stars`` numbers those without a name."""
    tokens: list[Token] = []
    at = 0
    for found in _TOKEN.finditer(part):
        if found.start() > at:
            tokens.append(Token(text=part[at : found.start()]))
        tokens.append(Token(name=f"*{next(stars)}" if found.group() == "*" else _checked(found, part)))
        at = found.end()
    if at < len(part):
        tokens.append(Token(text=part[at:]))
    return tuple(tokens)


def _checked(found: re.Match[str], part: str) -> str:
    name = found.group(1)
    if name is None:
        raise PatternError(f"a single {found.group()!r} in {part!r}; a capture is written {{name}}")
    if not _NAME.match(name):
        raise PatternError(f"{{{name}}} in {part!r}: a capture's name is lower-case letters, digits and '_'")
    return name
