"""The read time shared by several reads, so that they see one state of a store."""

from __future__ import annotations


class Moment:
    """One read time for several reads of a store: that of the first answer, unless known from the start.

    ``as_of`` is the time as the store writes it (RFC 3339), empty until an answer says it. A store without history
    leaves it empty.
    """

    def __init__(self, as_of: str = "") -> None:
        self.as_of = as_of
        self.lapsed = False
        """Whether the store refused the time, so that the rest was read as of a later one."""

    def note(self, as_of: str) -> None:
        """Adopts the time of an answer unless one is known."""
        self.as_of = self.as_of or as_of

    def lapse(self, refused: str) -> None:
        """Drops the time that the store refused; the next answer says another."""
        self.lapsed = True
        if self.as_of == refused:
            self.as_of = ""

    @property
    def of_all(self) -> str | None:
        """The single time of everything that was read; None if there is none."""
        return None if self.lapsed else self.as_of or None
