"""Names that .reconcile/ remembers, for shell completion; reading them changes and creates nothing."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from reconcile.adapters.state.database import BESIDE, DATABASE
from reconcile.adapters.state.folder import StateFolder
from reconcile.core.errors import StateError

CHARACTERS = "characters"
"""The name of the fact with the ids seen when everything was last read, one per line."""
MOST_CHARACTERS = 512 * 1024
"""Bytes of ids that are remembered: tens of thousands of ids, more than anybody reads."""
MOST = 1000
"""The maximum number of names suggested for one word."""
_SECONDS = 0.2  # to wait for a writing process: somebody has pressed a key
_LAST = "\U0010ffff"
_WHERE = (("agreed", "key"), ("hashes", "path"))


class Recall:
    """The names that the last runs of a project remembered; none if the file has any fault."""

    def __init__(self, project: Path) -> None:
        self._folder = StateFolder(project)

    def characters(self) -> list[str]:
        """Returns the ids seen when everything was last read, sorted."""
        return self._answer(lambda db: [each for text in _fact(db, CHARACTERS) for each in text.splitlines()])

    def names(self, begun: str) -> list[str]:
        """Returns the continuations, up to the next slash, of the keys and paths that begin like this; sorted."""
        return self._answer(lambda db: sorted({each for column in _WHERE for each in _next(db, *column, begun)}))[:MOST]

    def _answer(self, question: Callable[[sqlite3.Connection], list[str]]) -> list[str]:
        try:
            path, *_ = [self._folder.plain(DATABASE + suffix) for suffix in ("", *BESIDE)]
            with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", timeout=_SECONDS, uri=True)) as db:
                return question(db)
        except (OSError, StateError, ValueError, sqlite3.Error):
            return []


def _fact(db: sqlite3.Connection, name: str) -> list[str]:
    return [str(value) for (value,) in db.execute("SELECT value FROM facts WHERE name = ?", (name,))]


def _next(db: sqlite3.Connection, table: str, column: str, begun: str) -> Iterator[str]:
    """Yields the continuations of a word, with one look-up each, however many names share it."""
    query = f"SELECT {column} FROM {table} WHERE {column} >= ? AND {column} < ? ORDER BY {column} LIMIT 1"
    at = begun
    for _ in range(MOST):
        found = db.execute(query, (at, begun + _LAST)).fetchone()
        if found is None:
            return
        head, slash, _ = str(found[0])[len(begun) :].partition("/")
        yield begun + head + slash
        at = begun + head + ("0" if slash else "\0")  # "0" is the character after the slash
