"""The moment as of which documents are read, so that several readings see one state of a store."""

from __future__ import annotations


class Moment:
    """One moment for several readings of a store: that of the first answer, unless it is known from the start.

    ``as_of`` is the moment as the store writes it (RFC 3339), and empty until an answer says it. A store that keeps no
    past leaves it empty.
    """

    def __init__(self, as_of: str = "") -> None:
        self.as_of = as_of
        self.lapsed = False
        """Whether the store refused the moment, so that the rest was read as of a later one."""

    def note(self, as_of: str) -> None:
        """Takes the moment of an answer, if there is none yet."""
        self.as_of = self.as_of or as_of

    def lapse(self, refused: str) -> None:
        """Gives up the moment that the store refused: the next answer says another."""
        self.lapsed = True
        if self.as_of == refused:
            self.as_of = ""

    @property
    def of_all(self) -> str | None:
        """The one moment of all that was read; None if there is none."""
        return None if self.lapsed else self.as_of or None
