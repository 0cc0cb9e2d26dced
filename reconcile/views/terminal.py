"""Writes text to a terminal or a pipe: colours, widths, and names made harmless."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TextIO, TypeAlias

from reconcile.adapters.system import current
from reconcile.views.streams import Colour, write

if TYPE_CHECKING:
    from rich.console import Console
    from rich.style import Style

MAX_PROSE = 100
NO_SCREEN = 60
"""Lines that count as a screenful in a pipe or a file."""

Piece: TypeAlias = str | tuple[str, str]
"""Text, or a pair of text and a style, as rich names it."""

# A command in backticks is one word: if it were broken it could not be copied.
_WORD = re.compile(r"(?:`[^`]*`|[^ `]|`)+")


class Glyphs(NamedTuple):
    """Signs that some encodings do not have."""

    up: str = "↑"
    to: str = "→"
    of: str = "›"
    left_out: str = "…"
    dot: str = "·"


ASCII = Glyphs("^", "->", ">", "...", "|")


def visible(text: str) -> str:
    """Returns the text with everything that is not printable (control and bidi characters, line ends, odd blanks) as an
    escape such as ``\\x1b``, so that a name can neither colour the terminal nor look like another line."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def console(stream: TextIO, colour: Colour = "auto", *, width: int | None = None) -> Console:
    """Returns a rich console that treats nothing in a text as markup or an emoji, and highlights nothing."""
    from rich.console import Console  # slow to import, and not needed with --json

    return Console(
        file=stream,
        width=width,
        force_terminal=True if colour == "always" else None,
        color_system=None if colour == "never" else "auto",
        no_color=None if colour == "auto" else colour == "never",
        # By default rich would ask the console of stdout, whichever stream this is.
        legacy_windows=not takes_escapes(stream),
        markup=False,
        highlight=False,
        emoji=False,
    )


def takes_escapes(stream: TextIO) -> bool:
    """Whether the console of the stream interprets escape sequences. True for what is not a console."""
    try:
        return current().takes_escapes(stream.fileno())
    except (OSError, ValueError):  # it is no file
        return True


class Terminal:
    """Writes lines; every piece of text goes through ``visible``, and nothing is ever cropped.

    The lines are the same on a terminal and in a pipe, except for colours, and for lines wider than the terminal, which
    are broken between words.
    """

    def __init__(
        self, stream: TextIO, colour: Colour = "auto", *, width: int | None = None, height: int | None = None
    ) -> None:
        """If ``width`` or ``height`` is None, that of the terminal is used."""
        found = console(stream, colour, width=width)
        self._stream = stream
        self.wraps = found.is_terminal or width is not None
        self._colours = found.color_system is not None and not found.no_color and not found.legacy_windows
        self.width = found.width
        self.height = height or (found.height if stream.isatty() else NO_SCREEN)
        self.written = 0
        """Lines written so far."""
        self.glyphs = Glyphs() if _can_write("".join(Glyphs()), stream) else ASCII

    def writing_to(self, stream: TextIO) -> Terminal:
        """Returns a copy of this terminal, with its width and colours, that writes to another program."""
        other = copy(self)
        other._stream = stream
        return other

    def line(self, *pieces: Piece, hang: int | None = None) -> None:
        """Writes one line. What does not fit goes below it, indented by ``hang`` cells (None: by a little more than the
        line itself)."""
        self._lines([_shown(piece) for piece in pieces], self.width, hang)

    def fits(self, *pieces: Piece) -> bool:
        """Whether these pieces fit on one line."""
        return not self.wraps or sum(map(_width, pieces)) <= self.width

    def verbatim(self, text: str) -> None:
        """Writes text for a program as it is. The caller has made sure that it is harmless."""
        write(self._stream, text)

    def prose(self, text: str, *, indent: int = 0, hang: int | None = None, style: str = "") -> None:
        """Writes a sentence; on a terminal, in lines that are easy to read. The first line is indented by ``indent``,
        the others by ``hang`` (None: by the same)."""
        pieces = [(" " * indent, ""), (visible(text), style)]
        self._lines(pieces, min(self.width, MAX_PROSE), indent if hang is None else hang)

    def table(
        self,
        head: Sequence[str] | None,
        rows: Iterable[Sequence[Piece]],
        numbers: Sequence[int] = (),
        widths: Sequence[int] = (),
    ) -> list[int]:
        """Writes columns as wide as their widest cell; those in ``numbers`` are aligned right. What does not fit goes
        below the last column. Returns the widths; a table that continues this one, without a ``head``, is given them as
        the least ``widths``. One without a ``head`` has rows."""
        lines: list[Sequence[Piece]] = [] if head is None else [[(cell, "bold") for cell in head]]
        lines += rows
        least = widths or [0] * len(lines[0])
        widths = [max(wide, *(_width(line[column]) for line in lines)) for column, wide in enumerate(least)]
        for line in lines:
            padded: list[Piece] = []
            for column, cell in enumerate(line):
                gap = " " * (widths[column] - _width(cell))
                last = column == len(line) - 1
                padded += [gap, cell] if column in numbers else [cell, "" if last else gap]
                padded.append("" if last else "  ")
            self.line(*padded, hang=sum(widths[:-1]) + 2 * (len(widths) - 1))
        return widths

    def _lines(self, pieces: Sequence[tuple[str, str]], width: int, hang: int | None) -> None:
        text = "".join(piece for piece, _ in pieces)
        if not self.wraps or cells(text) <= width:
            self._write(pieces)
            return
        hang = min(len(text) - len(text.lstrip(" ")) + 4 if hang is None else hang, width // 2)
        for number, (start, end) in enumerate(_broken(text, width, hang)):
            self._write([(" " * hang, ""), *_cut(pieces, start, end)] if number else _cut(pieces, start, end))

    def _write(self, pieces: Iterable[tuple[str, str]]) -> None:
        self.written += 1
        write(self._stream, "".join(self._coloured(text, style) for text, style in pieces) + "\n")

    def _coloured(self, text: str, style: str) -> str:
        if not self._colours or not style or not text:
            return text
        from rich.color import ColorSystem

        return _style(style).render(text, color_system=ColorSystem.STANDARD)


def cells(text: str) -> int:
    """Returns the number of terminal columns that the text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def broken(text: str, width: int) -> str:
    """Returns the text in lines of this width, broken between words."""
    shown = visible(text)
    return "\n".join(shown[start:end] for start, end in _broken(shown, width, 0))


def _broken(text: str, width: int, hang: int) -> Iterator[tuple[int, int]]:
    """Yields the beginning and the end of each line when the text is broken between words. A word that is wider than a
    line is left whole."""
    start = end = used = 0
    for word in _WORD.finditer(text):
        more = cells(text[end : word.end()])
        # A word too wide for any line is not moved to the next one, unless little room is left here.
        helps = hang + cells(word.group()) <= width or used > width // 2
        if end and used + more > width and helps:
            yield start, end
            start, used, more = word.start(), hang, cells(word.group())
        used, end = used + more, word.end()
    yield start, end


def _cut(pieces: Iterable[tuple[str, str]], start: int, end: int) -> Iterator[tuple[str, str]]:
    at = 0
    for text, style in pieces:
        yield text[max(start - at, 0) : max(end - at, 0)], style
        at += len(text)


def _can_write(text: str, stream: TextIO) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _shown(piece: Piece) -> tuple[str, str]:
    return (visible(piece), "") if isinstance(piece, str) else (visible(piece[0]), piece[1])


def _width(piece: Piece) -> int:
    return cells(_shown(piece)[0])


@lru_cache
def _style(name: str) -> Style:
    from rich.style import Style

    return Style.parse(name)
