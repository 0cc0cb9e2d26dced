"""The base class of objects that are closed at the end of a ``with`` block."""

from __future__ import annotations

from typing import Self


class Closing:
    """A context manager that returns itself, and closes itself at the end."""

    __slots__ = ()

    def close(self) -> None:
        """Releases the resources."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
