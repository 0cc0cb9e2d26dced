"""The hash cache as another process reads it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from reconcile.adapters.state.tables import HASH_ROW, HASHES, Column, Window, are_right, hashed
from reconcile.core.rows import Hashed

_BUSY_SECONDS = 2.0


def known_hashes(path: Path) -> Callable[[str], Hashed | None]:
    """Returns the function that returns the hash of a path, or None, from the state file that another process has open.

    It is cheapest in path order. It creates and repairs nothing: faults raise sqlite3.Error, or ValueError for values
    that reconcile never writes, and the other process deals with them.
    """
    db = sqlite3.connect(f"{path.as_uri()}?mode=ro", timeout=_BUSY_SECONDS, uri=True)
    db.text_factory = bytes.decode

    def read(sql: str, values: Sequence[object], columns: Sequence[Column]) -> list[Any]:
        rows = db.execute(sql, values).fetchall()
        if not are_right(rows, columns):
            raise ValueError("the state holds a value that reconcile never writes")
        return rows

    return Window(read, HASHES, HASH_ROW, hashed).get
