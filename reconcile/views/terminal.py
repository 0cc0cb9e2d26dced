"""Text on a terminal or in a pipe: colours, widths, and names that can do no harm."""

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
"""Lines that a pipe or a file takes for a screenful."""

Piece: TypeAlias = str | tuple[str, str]
"""Text, or (text, style as rich names it)."""

# A command between backticks is a word: broken in two it could not be copied.
_WORD = re.compile(r"(?:`[^`]*`|[^ `]|`)+")


class Glyphs(NamedTuple):
    """Signs that not every stream's encoding has."""

    up: str = "↑"
    to: str = "→"
    of: str = "›"
    left_out: str = "…"
    dot: str = "·"


ASCII = Glyphs("^", "->", ">", "...", "|")


def visible(text: str) -> str:
    """The text with everything that does not print by itself (control and bidi characters, line ends, odd blanks)
    as an escape such as ``\\x1b``, so that a name can neither colour the terminal nor look like another line."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def console(stream: TextIO, colour: Colour = "auto", *, width: int | None = None) -> Console:
    """A rich console that takes nothing in a text for markup, an emoji or something to highlight."""
    from rich.console import Console  # a run with --json shows nothing

    return Console(
        file=stream,
        width=width,
        force_terminal=True if colour == "always" else None,
        color_system=None if colour == "never" else "auto",
        no_color=None if colour == "auto" else colour == "never",
        # Left to rich it would be asked of stdout's console, whichever stream this is.
        legacy_windows=not takes_escapes(stream),
        markup=False,
        highlight=False,
        emoji=False,
    )


def takes_escapes(stream: TextIO) -> bool:
    """Whether the stream's own console, if it is one, obeys escape sequences."""
    try:
        return current().takes_escapes(stream.fileno())
    except (OSError, ValueError):  # it is no file
        return True


class Terminal:
    """Writes lines; every piece of text goes through ``visible``, and nothing is ever cropped.

    The lines are the same on a terminal and in a pipe, except for colours, and except for lines that are wider than
    the terminal, which breaks them between words.
    """

    def __init__(
        self, stream: TextIO, colour: Colour = "auto", *, width: int | None = None, height: int | None = None
    ) -> None:
        """``width`` and ``height`` None are the terminal's own."""
        found = console(stream, colour, width=width)
        self._stream = stream
        self.wraps = found.is_terminal or width is not None
        self._colours = found.color_system is not None and not found.no_color and not found.legacy_windows
        self.width = found.width
        self.height = height or (found.height if stream.isatty() else NO_SCREEN)
        self.written = 0
        """Lines so far."""
        self.glyphs = Glyphs() if _can_write("".join(Glyphs()), stream) else ASCII

    def writing_to(self, stream: TextIO) -> Terminal:
        """A copy of this terminal, with its width and colours, that writes to another program."""
        other = copy(self)
        other._stream = stream
        return other

    def line(self, *pieces: Piece, hang: int | None = None) -> None:
        """One line. What a terminal has no room for goes below it, indented by ``hang`` cells (None: by a little more
        than the line itself)."""
        self._lines([_shown(piece) for piece in pieces], self.width, hang)

    def fits(self, *pieces: Piece) -> bool:
        """Whether these pieces fit on one line."""
        return not self.wraps or sum(map(_width, pieces)) <= self.width

    def verbatim(self, text: str) -> None:
        """Text that is meant for a program, as it is: whoever made it has seen to it that it can do no harm."""
        write(self._stream, text)

    def prose(self, text: str, *, indent: int = 0, hang: int | None = None, style: str = "") -> None:
        """A sentence, on a terminal in lines that are easy to read. The first is indented by ``indent``, the others by
        ``hang`` (None: by the same)."""
        pieces = [(" " * indent, ""), (visible(text), style)]
        self._lines(pieces, min(self.width, MAX_PROSE), indent if hang is None else hang)

    def table(
        self,
        head: Sequence[str] | None,
        rows: Iterable[Sequence[Piece]],
        numbers: Sequence[int] = (),
        widths: Sequence[int] = (),
    ) -> list[int]:
        """Columns as wide as their widest cell; those in ``numbers`` are aligned right. Gives their widths: a table
        that goes on below, without a ``head``, takes them as the least ``widths``. What the terminal has no room for
        goes below the last column."""
        lines: list[Sequence[Piece]] = [] if head is None else [[(cell, "bold") for cell in head]]
        lines += rows
        least = widths or [0] * len(lines[0] if lines else ())
        widths = [max(wide, *(_width(line[column]) for line in lines)) for column, wide in enumerate(least) if lines]
        for line in lines:
            padded: list[Piece] = []
            for column, cell in enumerate(line):
                gap = " " * (widths[column] - _width(cell))
                last = column == len(line) - 1
                padded += [gap, cell] if column in numbers else [cell, "" if last else gap]
                padded.append("" if last else "  ")
            self.line(*padded, hang=sum(widths[:-1]) + 2 * (len(widths) - 1))
        return widths or list(least)

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
    """How many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def broken(text: str, width: int) -> str:
    """The text in lines of this width, broken between words."""
    shown = visible(text)
    return "\n".join(shown[start:end] for start, end in _broken(shown, width, 0))


def _broken(text: str, width: int, hang: int) -> Iterator[tuple[int, int]]:
    """Where the lines begin and end that the text is broken into between words. A word that is wider than a line is
    left whole."""
    start = end = used = 0
    for word in _WORD.finditer(text):
        more = cells(text[end : word.end()])
        # One that no line holds goes where it begins, unless little room is left there.
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
