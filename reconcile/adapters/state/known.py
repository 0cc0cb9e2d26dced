"""The hash cache as a second process reads it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reconcile.adapters.state.tables import HASH_ROW, HASHES, Column, Window, are_right, hashed
from reconcile.core.rows import Hashed

_BUSY_SECONDS = 2.0


class KnownHashes:
    """The hashes in the file of a state that another process has open, as a ``HashCache`` that takes nothing in.

    Nothing is made, set right or forgiven: what goes wrong raises sqlite3.Error or ValueError, and the other process
    sees to it.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", timeout=_BUSY_SECONDS, uri=True)
        self._connection.text_factory = bytes.decode
        self._hashes = Window(self, HASHES, HASH_ROW, hashed)

    def get(self, path: str) -> Hashed | None:
        """Cheapest in path order."""
        found = self._hashes.rows.get(path)
        return self._hashes.get(path) if found is None else found

    def put(self, path: str, found: Hashed) -> None:
        """Nothing is hashed where this is asked."""

    def drop(self, path: str) -> None:
        """See ``put``."""

    def read(self, sql: str, values: Sequence[object], columns: Sequence[Column]) -> list[Any]:
        """The rows. Raises sqlite3.Error, and ValueError for what reconcile never writes."""
        rows = self._connection.execute(sql, values).fetchall()
        if not are_right(rows, columns):
            raise ValueError("the state holds a value that reconcile never writes")
        return rows
