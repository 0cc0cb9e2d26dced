"""The SQLite files in PROJECT/.reconcile: opened if they are ours, replaced if damaged, in memory if unusable."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from reconcile.adapters.files import remove, replace
from reconcile.adapters.state.folder import StateFolder
from reconcile.adapters.state.tables import BUSY_SECONDS, Column, are_right
from reconcile.core.portable import Portable

DATABASE = "state.db"
BESIDE = ("-journal", "-wal", "-shm")
_APPLICATION_ID = 0x5265636F  # "Reco", which distinguishes our file from other SQLite databases
_VERSION = 2
_FIRST_VERSION = 1

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
"""

# The first version's hashes lack columns; the rest of its file is still good.
_FROM_FIRST_VERSION = f"DROP TABLE IF EXISTS hashes; {_HASHES}"

_LONGEST_VALUE = 1 << 20  # bytes: a longer value is not ours and would be loaded into memory


class Layout(NamedTuple):
    """The layout of a state file: its name, its tables, the SQL that creates them, its version, and the SQL that
    upgrades the first version."""

    name: str
    tables: tuple[str, ...]
    schema: str
    version: int = _FIRST_VERSION
    upgrade: str = ""


STATE = Layout(DATABASE, ("hashes", "agreed", "sessions", "facts"), _SCHEMA, _VERSION, _FROM_FIRST_VERSION)


class _Foreign(Portable, sqlite3.DatabaseError):
    """Raised if the file contains something that this program never writes."""


class StateDatabase:
    """A SQLite file of a project's state; thread-safe.

    Opening it raises StateError if something that is not ours has its name. Otherwise, disk errors raise nothing: a
    damaged or foreign file is set aside, and if the folder cannot be written, the state lives as long as the process.
    ``warnings`` has a sentence for each of these. ``on_replaced`` is called, under ``lock``, when the file was
    replaced, so that rows read before are no longer in it.
    """

    def __init__(self, project: Path, on_replaced: Callable[[], None] = lambda: None, layout: Layout = STATE) -> None:
        self._layout = layout
        self._folder = StateFolder(project)
        self.path = self._folder.path / layout.name
        self._on_replaced = on_replaced
        self.lock = threading.RLock()
        self._writable = True
        self.warnings: list[str] = []
        self.connection = self._connect()

    def _connect(self) -> sqlite3.Connection:
        try:
            self._folder.make()
            try:
                return _open_database(self._folder, self._layout)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError) and not _is_damage(error):
                    raise
                return self._replace_database(error)
        except (OSError, sqlite3.Error) as error:
            self._warn(
                f"The state in {self._folder.path} cannot be used, so nothing is remembered after this run", error
            )
            return _in_memory(self._layout)

    def _replace_database(self, error: Exception) -> sqlite3.Connection:
        aside = self.path.with_name(f"{self._layout.name}.damaged")
        replace(self.path, aside)
        for suffix in BESIDE:
            # SQLite would replay a leftover journal into the new file.
            with contextlib.suppress(FileNotFoundError):
                remove(self.path.with_name(self._layout.name + suffix))
        self._warn(f"The state file {self.path} was set aside as {aside.name} and is started afresh", error)
        return _open_database(self._folder, self._layout)

    def read(self, sql: str, values: Sequence[object], columns: Sequence[Column]) -> list[Any]:
        """Returns the rows; none if a value fails the check of its column, which means that the file is damaged."""
        with self.lock:
            try:
                rows = self.connection.execute(sql, values).fetchall()
                if not are_right(rows, columns):
                    raise _Foreign("it holds a value that reconcile never writes")
                return rows
            except (sqlite3.Error, UnicodeDecodeError) as error:
                self._recover(error)
                return []

    def write(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        with self.lock:
            if not self._writable:
                return
            try:
                with self.connection:
                    self.connection.execute("BEGIN IMMEDIATE")
                    self.connection.executemany(sql, rows)
            except sqlite3.Error as error:
                self._recover(error)

    def _recover(self, error: sqlite3.Error | UnicodeDecodeError) -> None:
        """Replaces a damaged file; stops writing if the disk is full or read-only."""
        if _is_damage(error):
            self.connection.close()
            self._on_replaced()
            try:
                self.connection = self._replace_database(error)
            except (OSError, sqlite3.Error) as again:
                self.connection = _in_memory(self._layout)
                self._warn(f"The state file {self.path} is damaged, so this run is not remembered", again)
        elif _primary(error) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            self._writable = False
            self._warn(f"The state in {self._folder.path} cannot be written, so this run is not remembered", error)

    def _warn(self, sentence: str, error: Exception) -> None:
        self.warnings.append(f"{sentence}: {error}")


def _open_database(folder: StateFolder, layout: Layout) -> sqlite3.Connection:
    # SQLite opens files by name, including a leftover journal, so whatever has these names is checked first.
    path, *_ = [folder.plain(layout.name + suffix) for suffix in ("", *BESIDE)]
    # The mode is set at creation: SQLite gives its journal the mode of the database.
    with contextlib.suppress(FileExistsError):
        os.close(folder.create(layout.name))
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _prepare(db, layout)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, layout: Layout) -> None:
    """Creates the tables in an empty file; raises sqlite3.DatabaseError for a file that is not ours."""
    db.text_factory = bytes.decode
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
    # A rollback journal, not WAL: WAL needs memory shared between processes, which network drives lack.
    db.execute("PRAGMA journal_mode = TRUNCATE")
    db.execute("PRAGMA synchronous = NORMAL")
    marks = f"PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {layout.version};"
    if _marks(db) == (0, 0) and not db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
        db.executescript(f"BEGIN IMMEDIATE;{layout.schema}{marks}COMMIT;")
    if layout.upgrade and _marks(db) == (_APPLICATION_ID, _FIRST_VERSION):
        db.executescript(f"BEGIN IMMEDIATE;{layout.upgrade}{marks}COMMIT;")
    if _marks(db) != (_APPLICATION_ID, layout.version):
        raise sqlite3.DatabaseError("it was not written by this version of reconcile")
    for table in layout.tables:
        db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()


def _marks(db: sqlite3.Connection) -> tuple[int, int]:
    return db.execute("PRAGMA application_id").fetchone()[0], db.execute("PRAGMA user_version").fetchone()[0]


def _in_memory(layout: Layout) -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    _prepare(db, layout)
    return db


def _is_damage(error: sqlite3.Error | UnicodeDecodeError) -> bool:
    if isinstance(error, _Foreign | UnicodeDecodeError):
        return True
    return _primary(error) in (
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_TOOBIG,
    )


def _primary(error: Exception) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
