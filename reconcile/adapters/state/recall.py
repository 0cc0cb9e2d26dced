"""What .reconcile/ remembers of names, read without changing or making anything: for a shell that completes a word."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from reconcile.adapters.state.database import BESIDE, DATABASE
from reconcile.adapters.state.folder import StateFolder
from reconcile.core.errors import StateError

CHARACTERS = "characters"
"""The fact that has the ids of a look at everything, a line each."""
MOST_CHARACTERS = 512 * 1024
"""Bytes of ids that are remembered: some tens of thousands, which is more than anybody looks through."""
MOST = 1000
"""Names that are given for one word."""
_SECONDS = 0.2  # for another process that writes: a key was pressed, and somebody waits
_LAST = "\U0010ffff"
_WHERE = (("agreed", "key"), ("hashes", "path"))


class Recall:
    """The names that the last runs of a project left behind. Whatever is wrong with the file, there are none."""

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
    """One look-up for each name that is given, however many are below it."""
    query = f"SELECT {column} FROM {table} WHERE {column} >= ? AND {column} < ? ORDER BY {column} LIMIT 1"
    at = begun
    for _ in range(MOST):
        found = db.execute(query, (at, begun + _LAST)).fetchone()
        if found is None:
            return
        head, slash, _ = str(found[0])[len(begun) :].partition("/")
        yield begun + head + slash
        at = begun + head + ("0" if slash else "\0")  # "0" comes right behind the slash
