"""PROJECT/.reconcile: hash cache, agreed states, upload sessions and small facts. Losing it loses speed only."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from reconcile.adapters.state.folder import StateFolder
from reconcile.core.digest import is_crc32c
from reconcile.core.portable import Portable
from reconcile.core.rows import Agreed, Hashed

_DATABASE = "state.db"
_BESIDE = ("-journal", "-wal", "-shm")
_APPLICATION_ID = 0x5265636F  # "Reco", which tells our file from any other SQLite database
_VERSION = 2
_FIRST_VERSION = 1
_LARGEST = 2**63 - 1
_FIRST_WINDOW = 16
_LAST_WINDOW = 4096
_BATCH = 20_000
_BATCH_SECONDS = 5.0  # a killed run hashes no more than this again
_PAGE = 1000
_BUSY_SECONDS = 2.0
_SESSION_SECONDS = 6 * 86400  # a session lives for a week at the most; the last day is not worth a try

_HASHES = """
CREATE TABLE IF NOT EXISTS hashes (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER,
                                   inode INTEGER, crc32c TEXT, lacks TEXT, doubted_since INTEGER) WITHOUT ROWID;
"""
_SCHEMA = f"""
{_HASHES}
CREATE TABLE IF NOT EXISTS agreed (key TEXT PRIMARY KEY, size INTEGER, crc32c TEXT, generation INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sessions (key TEXT, crc32c TEXT, size INTEGER, uri TEXT, created INTEGER,
                                     PRIMARY KEY (key, crc32c, size)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_VERSION};
"""

# The first version's hashes do not say what they need to; what else it remembers holds.
_FROM_FIRST_VERSION = f"DROP TABLE IF EXISTS hashes; {_HASHES} PRAGMA user_version = {_VERSION};"

_LONGEST_VALUE = 1 << 20  # bytes: what is longer is not of ours, and would be read into memory


class _Foreign(Portable, sqlite3.DatabaseError):
    """The file holds what this program never writes."""


class State:
    """What the tool remembers of a project between runs; a ``HashCache`` and an ``AgreedStates``.

    Opening it raises StateError for what is there and not ours. Nothing else here raises because of the disk: a file
    that is damaged or of another program is set aside, and if the folder cannot be written the state lives as long
    as the process. ``warnings`` says so, one sentence each.
    Safe to use from several threads; a context manager that writes what is pending when it ends.
    """

    def __init__(self, project: Path) -> None:
        self._folder = StateFolder(project)
        self._path = self._folder.path / _DATABASE
        self._lock = threading.RLock()
        self._warnings: list[str] = []
        self._writable = True
        self._pending: dict[str, Hashed] = {}
        self._flushed = time.monotonic()
        self._window = _Window()
        self._db = self._connect()
        self.sessions = UploadSessions(self)

    @classmethod
    def open(cls, project: Path) -> State:
        """Opens the state of the project folder, and makes PROJECT/.reconcile if it is missing."""
        return cls(project)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What went wrong so far, for people."""
        return tuple(self._warnings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Writes what is pending and closes the file."""
        with self._lock:
            self.flush()
            self._db.close()

    # -- the hash cache --

    def get(self, path: str) -> Hashed | None:
        """What was last stored for the path, or None. Cheapest in path order."""
        with self._lock:
            if path in self._pending:
                return self._pending[path]
            if not self._window.covers(path):
                limit = self._window.next_size(path)
                rows = self._read(
                    "SELECT path, size, mtime_ns, ctime_ns, inode, crc32c, lacks, doubted_since FROM hashes"
                    " WHERE path >= ? ORDER BY path LIMIT ?",
                    (path, limit),
                    _HASH_ROW,
                )
                self._window.fill(path, rows, limit)
            return self._window.rows.get(path)

    def put(self, path: str, found: Hashed) -> None:
        """Remembers a hash; written in batches and at the close."""
        if max(found.look) > _LARGEST:
            return  # a time past the year 2262, which the database has no number for
        with self._lock:
            self._pending[path] = found
            if len(self._pending) >= _BATCH or time.monotonic() - self._flushed > _BATCH_SECONDS:
                self.flush()

    def drop(self, path: str) -> None:
        """Forgets a hash, on disk when this returns."""
        with self._lock:
            self._pending.pop(path, None)
            self._window.rows.pop(path, None)
            self._write("DELETE FROM hashes WHERE path = ?", [(path,)])

    def flush(self) -> None:
        """Writes the pending hashes in one transaction."""
        with self._lock:
            rows = [(path, *entry) for path, entry in self._pending.items()]
            if rows:
                self._write("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
                self._window.rows.update(self._pending)
            self._pending.clear()
            self._flushed = time.monotonic()

    # -- the agreed states --

    def all(self) -> Iterator[Agreed]:
        """All agreed states, in code point order of the key; ends early if the file cannot be read on."""
        after = ""
        while True:
            page = self._read(
                "SELECT key, size, crc32c, generation FROM agreed WHERE key > ? ORDER BY key LIMIT ?",
                (after, _PAGE),
                _AGREED_ROW,
            )
            yield from (Agreed(*row) for row in page)
            if len(page) < _PAGE:
                return
            after = page[-1][0]

    def remember(self, states: Iterable[Agreed]) -> None:
        """Remembers these, in one transaction."""
        rows = [(state.key, state.size, state.crc32c, state.generation) for state in states]
        self._write("INSERT OR REPLACE INTO agreed VALUES (?, ?, ?, ?)", rows)

    # -- small facts --

    def remember_fact(self, name: str, value: int | str) -> None:
        """Remembers a number or a text under a name."""
        self._write("INSERT OR REPLACE INTO facts VALUES (?, ?)", [(name, value)])

    def fact(self, name: str) -> int | str | None:
        """What was last remembered under the name, or None."""
        found: list[tuple[int | str]] = self._read("SELECT value FROM facts WHERE name = ?", (name,), (_is_fact,))
        return found[0][0] if found else None

    # -- the file --

    def _connect(self) -> sqlite3.Connection:
        try:
            self._folder.make()
            try:
                return _open_database(self._folder)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError) and not _is_damage(error):
                    raise
                return self._replace_database(error)
        except (OSError, sqlite3.Error) as error:
            self._warn(
                f"The state in {self._folder.path} cannot be used, so nothing is remembered after this run", error
            )
            return _in_memory()

    def _replace_database(self, error: sqlite3.Error) -> sqlite3.Connection:
        aside = self._path.with_name(f"{_DATABASE}.damaged")
        os.replace(self._path, aside)
        for suffix in _BESIDE:
            # A journal left behind would be played into the new file.
            self._path.with_name(_DATABASE + suffix).unlink(missing_ok=True)
        self._warn(f"The state file {self._path} was set aside as {aside.name} and is started afresh", error)
        return _open_database(self._folder)

    def _read(self, sql: str, values: Sequence[object], columns: Sequence[Callable[[object], bool]]) -> list[Any]:
        """The rows, whose values all are as ``columns`` says; else the file is damaged."""
        with self._lock:
            try:
                rows = self._db.execute(sql, values).fetchall()
                if not all(is_right(value) for row in rows for is_right, value in zip(columns, row, strict=True)):
                    raise _Foreign("it holds a value that reconcile never writes")
                return rows
            except sqlite3.Error as error:
                self._recover(error)
                return []

    def _write(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        with self._lock:
            if not self._writable:
                return
            try:
                with self._db:
                    self._db.execute("BEGIN IMMEDIATE")
                    self._db.executemany(sql, rows)
            except sqlite3.Error as error:
                self._recover(error)

    def _recover(self, error: sqlite3.Error) -> None:
        """Goes on without what cannot be used: a damaged file is replaced, a full or read-only disk not written."""
        if _is_damage(error):
            self._db.close()
            self._window = _Window()
            try:
                self._db = self._replace_database(error)
            except (OSError, sqlite3.Error) as again:
                self._db = _in_memory()
                self._warn(f"The state file {self._path} is damaged, so this run is not remembered", again)
        elif not _is_busy(error):
            self._writable = False
            self._warn(f"The state in {self._folder.path} cannot be written, so this run is not remembered", error)

    def _warn(self, sentence: str, error: Exception) -> None:
        self._warnings.append(f"{sentence}: {error}.")


class UploadSessions:
    """The URIs of resumable upload sessions, which outlive the process. Each is a secret: who has it can upload."""

    def __init__(self, state: State, clock: Callable[[], float] = time.time) -> None:
        self._state = state
        self._clock = clock

    def get(self, key: str, crc32c: str, size: int) -> str | None:
        """The session in which these bytes were being uploaded to the key, or None."""
        oldest = int(self._clock()) - _SESSION_SECONDS
        found: list[tuple[str]] = self._state._read(
            "SELECT uri FROM sessions WHERE key = ? AND crc32c = ? AND size = ? AND created >= ?",
            (key, crc32c, size, oldest),
            (_is_text,),
        )
        return found[0][0] if found else None

    def put(self, key: str, crc32c: str, size: int, uri: str) -> None:
        """Remembers a session, on disk when this returns, and forgets those that have expired."""
        now = int(self._clock())
        self._state._write("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?)", [(key, crc32c, size, uri, now)])
        self._state._write("DELETE FROM sessions WHERE created < ?", [(now - _SESSION_SECONDS,)])

    def drop(self, key: str, crc32c: str, size: int) -> None:
        """Forgets a session that is finished or gone."""
        self._state._write("DELETE FROM sessions WHERE key = ? AND crc32c = ? AND size = ?", [(key, crc32c, size)])


class _Window:
    """The rows of the cache from ``low`` to ``high``. It grows while it is asked in order, as a walk does, and
    starts small again after a jump, so that neither a walk nor a single look-up reads much more than it needs."""

    def __init__(self) -> None:
        self.rows: dict[str, Hashed] = {}
        self._low = ""
        self._high: str | None = ""
        self._size = _FIRST_WINDOW

    def covers(self, path: str) -> bool:
        """Whether the rows tell if the path is cached."""
        return bool(self._low) and self._low <= path and (self._high is None or path <= self._high)

    def next_size(self, path: str) -> int:
        """How many rows to read from the path on."""
        in_order = self._low and self._high is not None and path > self._high
        self._size = min(2 * self._size, _LAST_WINDOW) if in_order else _FIRST_WINDOW
        return self._size

    def fill(self, path: str, rows: list[tuple[Any, ...]], limit: int) -> None:
        """Takes the rows from the path on; fewer than ``limit`` are all there are."""
        self.rows = {row[0]: Hashed._make(row[1:]) for row in rows}
        self._low = path
        self._high = rows[-1][0] if len(rows) == limit else None


def _open_database(folder: StateFolder) -> sqlite3.Connection:
    # SQLite opens files by their names, so what has them is looked at before: a journal left behind is played back.
    path, *_ = [folder.plain(_DATABASE + suffix) for suffix in ("", *_BESIDE)]
    # The mode is set when the file is made: SQLite gives its journal the mode of the database.
    with contextlib.suppress(FileExistsError):
        os.close(folder.create(_DATABASE))
    db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _prepare(db)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection) -> None:
    """Makes the tables in an empty file, and refuses one that is not ours."""
    db.text_factory = _decoded
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
    # A rollback journal, not WAL: WAL needs memory shared between processes, which a network drive does not give.
    db.execute("PRAGMA journal_mode = TRUNCATE")
    db.execute("PRAGMA synchronous = NORMAL")
    if _marks(db) == (0, 0) and not db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
        db.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}COMMIT;")
    if _marks(db) == (_APPLICATION_ID, _FIRST_VERSION):
        db.executescript(f"BEGIN IMMEDIATE;{_FROM_FIRST_VERSION}COMMIT;")
    if _marks(db) != (_APPLICATION_ID, _VERSION):
        raise sqlite3.DatabaseError("it was not written by this version of reconcile")
    for table in ("hashes", "agreed", "sessions", "facts"):
        db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()


def _marks(db: sqlite3.Connection) -> tuple[int, int]:
    return db.execute("PRAGMA application_id").fetchone()[0], db.execute("PRAGMA user_version").fetchone()[0]


def _in_memory() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    _prepare(db)
    return db


def _decoded(data: bytes) -> str | None:
    """A text of the database; None, which no column may have, if it is not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    return isinstance(value, int)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value >= 0


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and is_crc32c(value)


def _is_fact(value: object) -> bool:
    return isinstance(value, str | int)


_HASH_ROW = (_is_text, _is_count, _is_number, _is_number, _is_number, _is_digest, _is_text, _is_count)
_AGREED_ROW = (_is_text, _is_count, _is_digest, _is_count)


def _is_damage(error: sqlite3.Error) -> bool:
    return isinstance(error, _Foreign) or _primary(error) in (
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_TOOBIG,
    )


def _is_busy(error: sqlite3.Error) -> bool:
    return _primary(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _primary(error: sqlite3.Error) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
