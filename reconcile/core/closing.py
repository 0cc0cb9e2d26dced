"""What is closed at the end of its ``with``."""

from __future__ import annotations

from typing import Self


class Closing:
    """A context manager that is itself, and closes."""

    __slots__ = ()

    def close(self) -> None:
        """Lets go of what is held."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
