"""Text on a terminal or in a pipe: colours, widths, and names that can do no harm."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, TextIO, TypeAlias

from reconcile.adapters.system import current
from reconcile.views.streams import Colour, write

if TYPE_CHECKING:
    from rich.console import Console
    from rich.style import Style

MAX_PROSE = 100

Piece: TypeAlias = str | tuple[str, str]
"""Text, or (text, style as rich names it)."""


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

    The lines are the same on a terminal and in a pipe, except for colours, and for prose, which only a terminal wraps.
    """

    def __init__(self, stream: TextIO, colour: Colour = "auto", *, width: int | None = None) -> None:
        """``width`` None is the terminal's own."""
        found = console(stream, colour, width=width)
        self._stream = stream
        self._wraps = found.is_terminal or width is not None
        self._colours = found.color_system is not None and not found.no_color and not found.legacy_windows
        self.width = found.width

    def line(self, *pieces: Piece) -> None:
        write(self._stream, "".join(map(self._render, pieces)) + "\n")

    def verbatim(self, text: str) -> None:
        """Text that is meant for a program, as it is: whoever made it has seen to it that it can do no harm."""
        write(self._stream, text)

    def prose(self, text: str, *, indent: int = 0, style: str = "") -> None:
        """A sentence, wrapped between words on a terminal."""
        for part in self._wrapped(text, indent):
            self.line(" " * indent, (part, style))

    def table(
        self,
        head: Sequence[str] | None,
        rows: Iterable[Sequence[Piece]],
        numbers: Sequence[int] = (),
        widths: Sequence[int] = (),
    ) -> list[int]:
        """Columns as wide as their widest cell; those in ``numbers`` are aligned right. Gives how wide they are, which
        a table without a ``head`` that goes on below takes as ``widths``, the least."""
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
            self.line(*padded)
        return widths or list(least)

    def _render(self, piece: Piece) -> str:
        if isinstance(piece, str):
            return visible(piece)
        text, style = piece
        if not self._colours or not style or not text:
            return visible(text)
        from rich.color import ColorSystem

        return _style(style).render(visible(text), color_system=ColorSystem.STANDARD)

    def _wrapped(self, text: str, indent: int) -> list[str]:
        if not self._wraps:
            return [text]
        width = max(20, min(self.width, MAX_PROSE) - indent)
        return textwrap.wrap(visible(text), width, break_long_words=False, break_on_hyphens=False) or [""]


def _width(piece: Piece) -> int:
    from rich.cells import cell_len

    return cell_len(visible(piece if isinstance(piece, str) else piece[0]))


@lru_cache
def _style(name: str) -> Style:
    from rich.style import Style

    return Style.parse(name)
