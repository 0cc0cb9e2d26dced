"""The template language of the asset map: ``match(path)`` gives captures, ``format(captures)`` gives the path back.

A template is literal but for ``{name}`` (part of one folder or file name, at least one character), ``*`` (the same,
unnamed, possibly empty) and ``**`` (a whole part of the path: any number of folders, none included). Templates and
paths are compared in their composed Unicode form, so captures come composed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property

import msgspec

from reconcile.core.names import nfc
from reconcile.core.portable import Portable

CHAR_ID = "char_id"
BOUNDARIES = "_-. "
_TOKEN = re.compile(r"\{([^{}/]*)\}|\*|[{}]")
_NAME = re.compile(r"[a-z_][a-z0-9_]*\Z")


class PatternError(Portable, ValueError):
    """The template cannot be one; the text says why and what would be right."""


class Token(msgspec.Struct, frozen=True):
    """One piece of a folder or file name: literal text, or a capture (``name``; unnamed ones are ``*0``, ``*1``, …)."""

    text: str = ""
    name: str | None = None


Segment = tuple[Token, ...] | None
"""The tokens of one folder or file name, or None for ``**``."""


class Template:
    """A parsed template. Equal templates have equal ``source``."""

    def __init__(self, source: str) -> None:
        """Raises PatternError."""
        self.source = nfc(source)
        self.segments: tuple[Segment, ...] = _parse(self.source)

    def __repr__(self) -> str:
        return f"Template({self.source!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and other.source == self.source

    def __hash__(self) -> int:
        return hash(self.source)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every capture in order of first appearance; unnamed ones as ``*N`` and ``**N``."""
        return tuple(dict.fromkeys(self._captures()))

    @cached_property
    def literal_prefix(self) -> str:
        """The text that every match begins with."""
        return self.prefix({})

    def prefix(self, captures: Mapping[str, str]) -> str:
        """The text that every match with these captures begins with."""
        done = ""
        for position, segment in enumerate(self.segments):
            if segment is None:
                return done
            for token in segment:
                if token.name is not None and token.name not in captures:
                    return done
                done += token.text if token.name is None else captures[token.name]
            if position < len(self.segments) - 1:
                done += "/"
        return done

    def match(self, path: str, fixed: Mapping[str, str] | None = None) -> dict[str, str] | None:
        """The captures, earlier ones as long as can be, or None. ``fixed`` captures must have just these values."""
        regex = self._regex if not fixed else self._compile(fixed)
        found = regex.fullmatch(nfc(path))
        if found is None:
            return None
        captures = {name: found.group(group) for name, group in self._groups.items() if name not in (fixed or {})}
        return {**(fixed or {}), **captures}

    def takes(self, path: str) -> bool:
        """Whether the path matches at all, whatever its captures."""
        return self._regex.fullmatch(nfc(path)) is not None

    def format(self, captures: Mapping[str, str]) -> str:
        """The path with these captures; ``**N`` holds folders with their ``/``. Raises KeyError for a missing one."""
        parts: list[str] = []
        stars = 0
        last = len(self.segments) - 1
        for position, segment in enumerate(self.segments):
            if segment is None:
                parts.append(captures[f"**{stars}"])
                stars += 1
            else:
                text = "".join(token.text if token.name is None else captures[token.name] for token in segment)
                parts.append(text if position == last else f"{text}/")
        return "".join(parts)

    def readings(self, path: str, name: str = CHAR_ID) -> Iterator[tuple[str, int, int]]:
        """Every (value, start, end) that ``name`` could have in this path, longest first, between two boundaries.

        Boundaries are the ends of a folder or file name and the characters ``_``, ``-``, ``.`` and space; a value also
        begins where the template's own text before it ends. The value is only a possibility: ``match_span`` tells
        whether the rest of the path fits. Start and end count in the composed path.
        """
        path = nfc(path)
        prefix = self.literal_prefix
        if name not in self.names or not path.startswith(prefix):
            return
        fixed = self.names[0] == name
        spans = {
            (start, end)
            for start in ([len(prefix)] if fixed else _starts(path, len(prefix), self._texts_before(name)))
            for end in _ends(path, start)
            if end > start
        }
        for start, end in sorted(spans, key=lambda span: (span[0] - span[1], span[0])):
            yield path[start:end], start, end

    def match_span(self, path: str, start: int, end: int, name: str = CHAR_ID) -> dict[str, str] | None:
        """The captures with ``{name}`` at ``path[start:end]`` (composed), or None if the rest does not fit."""
        path = nfc(path)
        value = path[start:end]
        if self._halves is None or name != CHAR_ID:
            return self.match(path, {name: value})
        left = self._halves[0].fullmatch(path, 0, start)
        right = left and self._halves[1].fullmatch(path, end)
        if not left or not right:
            return None
        found = {**left.groupdict(), name: value, **right.groupdict()}
        return {known: found[self._groups[known]] if known != name else value for known in self.names}

    def samples(self) -> list[str]:
        """A few paths that match, with values no literal would have: what the lint tries other rules on."""
        out = []
        for star, folders in (("", ""), ("qz1", "qz2/"), ("_qz3", "qz4/qz5/"), ("", "qz6/")):
            captures = {
                name: folders if name.startswith("**") else star if name.startswith("*") else f"qz{number}n"
                for number, name in enumerate(self.names)
            }
            out.append(self.format(captures))
        return list(dict.fromkeys(out))

    def follows_without_boundary(self, name: str) -> bool:
        """Whether literal text that is no boundary stands right behind ``{name}``, so that no id could end there."""
        for segment in self.segments:
            for token, after in zip(segment or (), (segment or ())[1:], strict=False):
                if token.name == name and after.name is None and after.text[0] not in BOUNDARIES:
                    return True
        return False

    def is_whole_name(self, name: str) -> bool:
        """Whether ``{name}`` is a whole folder name, or a whole file name but for its ending: the name says the id."""
        last = self.segments[-1] or ()
        ending = len(last) == 2 and last[0].name == name and last[1].name is None and last[1].text.startswith(".")
        return ending or any(segment == (Token(name=name),) for segment in self.segments)

    def _captures(self) -> Iterator[str]:
        stars = 0
        for segment in self.segments:
            if segment is None:
                yield f"**{stars}"
                stars += 1
            else:
                yield from (token.name for token in segment if token.name is not None)

    def _texts_before(self, name: str) -> set[str]:
        """The literal texts that stand right before ``{name}`` in a folder or file name."""
        pairs = (pair for segment in self.segments for pair in zip(segment or (), (segment or ())[1:], strict=False))
        return {before.text for before, token in pairs if token.name == name and before.name is None}

    @cached_property
    def _groups(self) -> dict[str, str]:
        return {name: f"g{number}" for number, name in enumerate(self.names)}

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        return self._compile({})

    def _compile(self, fixed: Mapping[str, str]) -> re.Pattern[str]:
        out: list[str] = []
        seen: set[str] = set()
        stars = 0
        last = len(self.segments) - 1
        for position, segment in enumerate(self.segments):
            if segment is None:
                name = f"**{stars}"
                folders = rf"(?P<{self._groups[name]}>(?:[^/]+/)*)"
                out.append(re.escape(fixed[name]) if name in fixed else folders)
                stars += 1
                continue
            out.extend(self._piece(token, fixed, seen) for token in segment)
            if position < last:
                out.append("/")
        return re.compile("".join(out), re.DOTALL)

    def _piece(self, token: Token, fixed: Mapping[str, str], seen: set[str]) -> str:
        if token.name is None:
            return re.escape(token.text)
        if token.name in fixed:
            return re.escape(fixed[token.name])
        group = self._groups[token.name]
        if token.name in seen:
            return f"(?P={group})"
        seen.add(token.name)
        return f"(?P<{group}>[^/]*)" if token.name.startswith("*") else f"(?P<{group}>[^/]+)"

    @cached_property
    def _halves(self) -> tuple[re.Pattern[str], re.Pattern[str]] | None:
        """What stands before and behind ``{char_id}``, or None where a capture stands twice and ties them together."""
        named = list(self._captures())
        if CHAR_ID not in named or len(set(named)) != len(named):
            return None
        left, right = self._regex.pattern.split(f"(?P<{self._groups[CHAR_ID]}>[^/]+)")
        return re.compile(left, re.DOTALL), re.compile(right, re.DOTALL)


def _starts(path: str, first: int, before: set[str]) -> Iterator[int]:
    yield first
    yield from (at + 1 for at in range(first, len(path)) if path[at] == "/" or path[at] in BOUNDARIES)
    for text in before:
        yield from (at for at in range(first, len(path)) if path.endswith(text, first, at))


def _ends(path: str, start: int) -> Iterator[int]:
    for at in range(start, len(path)):
        if path[at] == "/":
            yield at
            return
        if path[at] in BOUNDARIES:
            yield at
    yield len(path)


def _parse(source: str) -> tuple[Segment, ...]:
    if not source:
        raise PatternError("the template is empty")
    if "\\" in source:
        raise PatternError("folders are separated by '/', also on Windows; write it without '\\'")
    parts = source.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise PatternError("a path below the root has no empty part, no '.', no '..' and no '/' at either end")
    segments: list[Segment] = []
    stars = 0
    for part in parts:
        if part == "**":
            segments.append(None)
            continue
        if "**" in part:
            raise PatternError(f"'**' stands for whole folders; in {part!r} write '*' or give '**' a part of its own")
        tokens, stars = _tokens(part, stars)
        segments.append(tokens)
    if segments[-1] is None:
        raise PatternError("the last part names the file; write '**/*' for every file in every folder")
    return tuple(segments)


def _tokens(part: str, stars: int) -> tuple[tuple[Token, ...], int]:
    tokens: list[Token] = []
    at = 0
    for found in _TOKEN.finditer(part):
        if found.start() > at:
            tokens.append(Token(text=part[at : found.start()]))
        if found.group() == "*":
            tokens.append(Token(name=f"*{stars}"))
            stars += 1
        else:
            tokens.append(Token(name=_checked(found, part)))
        at = found.end()
    if at < len(part):
        tokens.append(Token(text=part[at:]))
    return tuple(tokens), stars


def _checked(found: re.Match[str], part: str) -> str:
    name = found.group(1)
    if name is None:
        raise PatternError(f"a single {found.group()!r} in {part!r}; a capture is written {{name}}")
    if not _NAME.match(name):
        raise PatternError(f"{{{name}}} in {part!r}: a capture's name is lower-case letters, digits and '_'")
    return name
