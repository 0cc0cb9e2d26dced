"""The hash cache as another process reads it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reconcile.adapters.state.tables import HASH_ROW, HASHES, Column, Window, are_right, hashed
from reconcile.core.rows import Hashed

_BUSY_SECONDS = 2.0


class KnownHashes:
    """The hash cache in the state file that another process has open.

    It creates and repairs nothing: faults raise sqlite3.Error or ValueError, and the other process deals with them.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", timeout=_BUSY_SECONDS, uri=True)
        self._connection.text_factory = bytes.decode
        self._hashes = Window(self._read, HASHES, HASH_ROW, hashed)

    def get(self, path: str) -> Hashed | None:
        """Returns the hash of a path, or None. Cheapest in path order."""
        found = self._hashes.rows.get(path)
        return self._hashes.get(path) if found is None else found

    def _read(self, sql: str, values: Sequence[object], columns: Sequence[Column]) -> list[Any]:
        """Returns the rows. Raises sqlite3.Error, and ValueError for values that reconcile never writes."""
        rows = self._connection.execute(sql, values).fetchall()
        if not are_right(rows, columns):
            raise ValueError("the state holds a value that reconcile never writes")
        return rows
