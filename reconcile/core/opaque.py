"""A store's value that Python has no equal of."""

from __future__ import annotations


class Opaque:
    """A value that only its store understands, in the one text that it has. It goes back as it came."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return self.text == other.text if isinstance(other, Opaque) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return self.text
