"""Names that .reconcile/ remembers, for shell completion: read without changing or making anything."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from reconcile.adapters.state.database import BESIDE, DATABASE
from reconcile.adapters.state.folder import StateFolder
from reconcile.core.errors import StateError

CHARACTERS = "characters"
"""The fact that holds the ids of the last look at everything, one on a line."""
MOST_CHARACTERS = 512 * 1024
"""Bytes of ids that are remembered: tens of thousands of ids, more than anybody reads."""
MOST = 1000
"""Names that are suggested for one word at most."""
_SECONDS = 0.2  # to wait for a process that writes: somebody has pressed a key
_LAST = "\U0010ffff"
_WHERE = (("agreed", "key"), ("hashes", "path"))


class Recall:
    """The names that the last runs of a project remembered; none if anything is wrong with the file."""

    def __init__(self, project: Path) -> None:
        self._folder = StateFolder(project)

    def characters(self) -> list[str]:
        """The ids that the last look at everything knew, sorted."""
        return self._answer(lambda db: [each for text in _fact(db, CHARACTERS) for each in text.splitlines()])

    def names(self, begun: str) -> list[str]:
        """How a key or a path that begins like this goes on, up to the next slash; sorted."""
        return self._answer(lambda db: sorted({each for of in _WHERE for each in _next(db, *of, begun)}))[:MOST]

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
    """The continuations of a word. Each takes one look-up, however many names are below it."""
    query = f"SELECT {column} FROM {table} WHERE {column} >= ? AND {column} < ? ORDER BY {column} LIMIT 1"
    at = begun
    for _ in range(MOST):
        found = db.execute(query, (at, begun + _LAST)).fetchone()
        if found is None:
            return
        head, slash, _ = str(found[0])[len(begun) :].partition("/")
        yield begun + head + slash
        at = begun + head + ("0" if slash else "\0")  # "0" comes right behind the slash
