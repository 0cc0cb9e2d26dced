"""The state of a project: hash cache, agreed states, upload sessions, small facts. Losing it costs only time."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import starmap
from pathlib import Path

import msgspec

from reconcile.adapters.state.database import StateDatabase
from reconcile.adapters.state.recall import CHARACTERS, MOST_CHARACTERS
from reconcile.adapters.state.tables import AGREED_ROW, HASH_ROW, HASHES, Window, all_of, are_texts, hashed
from reconcile.core.closing import Closing
from reconcile.core.names import is_unicode
from reconcile.core.rows import Agreed, Hashed

_LARGEST = 2**63 - 1
_BATCH = 20_000
_BATCH_SECONDS = 5.0  # seconds of hashing that a killed run loses at most
_PAGE = 1000
_AGREED = "SELECT key, size, crc32c, generation FROM agreed"
_ASKED_TOGETHER = 500  # SQLite allows at least 999 values in a query
_SESSION_SECONDS = 6 * 86400  # a session lives for a week at most; its last day is not worth an attempt


class State(Closing):
    """The memory of a project between runs, as a ``HashCache`` and an ``AgreedStates``; thread-safe.

    Opening it raises StateError if its file is not ours. Otherwise, disk errors raise nothing: see ``StateDatabase``.
    """

    def __init__(self, project: Path) -> None:
        """Opens the state of a project folder; creates PROJECT/.reconcile if it is missing."""
        self._database = StateDatabase(project, self._forget_windows)
        self._lock = self._database.lock
        self._pending: dict[str, Hashed] = {}
        self._flushed = time.monotonic()
        self._hashes = Window(self._database.read, HASHES, HASH_ROW, hashed)
        agreed = f"{_AGREED} WHERE key >= ? ORDER BY key LIMIT ?"
        self._agreed = Window(self._database.read, agreed, AGREED_ROW, lambda row: Agreed(*row))
        self.sessions = UploadSessions(self._database)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The problems so far, for people."""
        return tuple(self._database.warnings)

    @property
    def path(self) -> Path:
        """The path of the file, which may not exist."""
        return self._database.path

    def close(self) -> None:
        """Writes pending rows and closes the file."""
        with self._lock:
            self.flush()
            self._database.connection.close()

    # -- the hash cache --

    def _forget_windows(self) -> None:
        self._hashes.clear()
        self._agreed.clear()

    def get(self, path: str) -> Hashed | None:
        """Returns the hash of a path, or None. Cheapest in path order."""
        if not self._pending and (found := self._hashes.rows.get(path)) is not None:
            return found  # without the lock: a row enters the window before it stops being pending
        with self._lock:
            return self._pending.get(path) or self._hashes.get(path)

    def put(self, path: str, found: Hashed) -> None:
        """Remembers a hash; written in batches and on close."""
        if max(found.look) > _LARGEST:
            return  # a time after the year 2262, too large for the database
        with self._lock:
            self._pending[path] = found
            if len(self._pending) >= _BATCH or time.monotonic() - self._flushed > _BATCH_SECONDS:
                self.flush()

    def drop(self, path: str) -> None:
        """Forgets a hash; it is off the disk on return."""
        with self._lock:
            self._pending.pop(path, None)
            self._hashes.rows.pop(path, None)
            self._database.write("DELETE FROM hashes WHERE path = ?", [(path,)])

    def flush(self) -> None:
        with self._lock:
            rows = [(path, *entry) for path, entry in self._pending.items()]
            if rows:
                self._database.write("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
                self._hashes.rows.update(self._pending)
            self._pending.clear()
            self._flushed = time.monotonic()

    # -- the agreed states --

    def all(self) -> Iterator[Agreed]:
        """Yields all agreed states in code point order of the key; ends early if the file becomes unreadable."""
        after = ""
        while page := self._database.read(f"{_AGREED} WHERE key > ? ORDER BY key LIMIT ?", (after, _PAGE), AGREED_ROW):
            yield from starmap(Agreed, page)
            after = page[-1][0]

    def of(self, key: str) -> Agreed | None:
        """Returns the agreed state of a key, or None. Cheapest in key order."""
        if (found := self._agreed.rows.get(key)) is not None or not is_unicode(key):
            return found
        with self._lock:
            return self._agreed.get(key)

    def cuts(self, size: int) -> list[str]:
        """Returns the keys, in order, that divide all agreed states into parts of ``size``."""
        found: list[str] = []
        query = "SELECT key FROM agreed WHERE key > ? ORDER BY key LIMIT 1 OFFSET ?"
        while last := self._database.read(query, (found[-1] if found else "", size - 1), (are_texts,)):
            found.append(last[0][0])
        return found

    def holding(self, checksums: Collection[str]) -> Iterator[Agreed]:
        # Many checksums in one query, because each query reads all states.
        wanted = sorted(checksums)
        for at in range(0, len(wanted), _ASKED_TOGETHER):
            some = wanted[at : at + _ASKED_TOGETHER]
            places = ",".join("?" * len(some))
            query = f"{_AGREED} WHERE crc32c IN ({places})"
            yield from starmap(Agreed, self._database.read(query, some, AGREED_ROW))

    def remember(self, states: Iterable[Agreed]) -> None:
        new = list(states)
        rows = [*map(msgspec.structs.astuple, new)]
        with self._lock:
            self._database.write("INSERT OR REPLACE INTO agreed VALUES (?, ?, ?, ?)", rows)
            self._agreed.rows.update((state.key, state) for state in new if self._agreed.covers(state.key))

    # -- small facts --

    def remember_fact(self, name: str, value: int | str) -> None:
        self._database.write("INSERT OR REPLACE INTO facts VALUES (?, ?)", [(name, value)])

    def fact(self, name: str) -> int | str | None:
        found: list[tuple[int | str]] = self._database.read(
            "SELECT value FROM facts WHERE name = ?", (name,), (all_of(str, int),)
        )
        return found[0][0] if found else None

    def remember_characters(self, ids: Iterable[str]) -> None:
        """Remembers the ids of characters for ``Recall``; none if there are too many."""
        text = "\n".join(sorted(each for each in ids if each.isprintable()))
        text = text if len(text.encode("utf-8", "surrogatepass")) <= MOST_CHARACTERS else ""
        if text != self.fact(CHARACTERS):
            self.remember_fact(CHARACTERS, text)


class UploadSessions:
    """The URIs of resumable upload sessions, which outlive the process. Each is a secret: whoever has it can upload."""

    def __init__(self, database: StateDatabase, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def get(self, key: str, crc32c: str, size: int) -> str | None:
        """Returns the session in which this content was being uploaded to the key, or None."""
        oldest = int(self._clock()) - _SESSION_SECONDS
        found: list[tuple[str]] = self._database.read(
            "SELECT uri FROM sessions WHERE key = ? AND crc32c = ? AND size = ? AND created >= ?",
            (key, crc32c, size, oldest),
            (are_texts,),
        )
        return found[0][0] if found else None

    def put(self, key: str, crc32c: str, size: int, uri: str) -> None:
        """Remembers a session, which is on disk on return, and forgets expired ones."""
        now = int(self._clock())
        self._database.write("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?)", [(key, crc32c, size, uri, now)])
        self._database.write("DELETE FROM sessions WHERE created < ?", [(now - _SESSION_SECONDS,)])

    def drop(self, key: str, crc32c: str, size: int) -> None:
        """Forgets a session that has ended."""
        self._database.write("DELETE FROM sessions WHERE key = ? AND crc32c = ? AND size = ?", [(key, crc32c, size)])
