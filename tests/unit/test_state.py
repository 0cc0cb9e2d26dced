"""The project's state: what it remembers, that trouble with the disk never reaches a plan, and the lock."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from reconcile.adapters.state.lock import ProjectLock
from reconcile.adapters.state.store import State, UploadSessions
from reconcile.adapters.system import current
from reconcile.core.errors import ExitCode, LockHeld
from reconcile.core.rows import Agreed, Hashed
from reconcile.ports import AgreedStates, HashCache
from tests.kit.windows import on_each_system  # noqa: F401

HASH = Hashed(10, 2, 3, 4, "AAAAAA==")
ODD = ("[kpop]_x.mp4", ":star:", "new\nline", "\u202ertl", "é", "e\u0301", "レム/😀.png", "a" * 3000, "\x00", " ")


def database(project: Path) -> Path:
    return project / ".reconcile" / "state.db"


def filled(project: Path, paths: Iterator[str] | list[str]) -> None:
    with State(project) as state:
        for path in paths:
            state.put(path, HASH)
        assert state.warnings == ()


# -- the folder -------------------------------------------------------------------------------------------------


def test_the_folder_is_the_users_own_and_ignores_itself(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        state.sessions.put("k", "AAAAAA==", 1, "https://secret")
        assert state.warnings == ()
    folder = tmp_path / ".reconcile"
    assert (folder / ".gitignore").read_text() == "*\n"
    if not current().is_windows:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(one.stat().st_mode) for one in folder.glob("state.db*")} == {0o600}


def test_it_is_the_ports_that_it_says(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        cache: HashCache = state
        agreed: AgreedStates = state
        assert (cache.get("a"), list(agreed.all())) == (None, [])


# -- the hash cache ---------------------------------------------------------------------------------------------


def test_a_hash_is_remembered_at_once_and_by_the_next_run(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        state.put("a", HASH)
        assert state.get("a") == HASH
    with State(tmp_path) as state:
        assert (state.get("a"), state.get("A"), state.get("")) == (HASH, None, None)


@pytest.mark.parametrize("step", [1, -1])
def test_every_path_is_found_in_any_order(tmp_path: Path, step: int) -> None:
    paths = sorted([*ODD, *(f"d/{number:05}" for number in range(9000))])
    filled(tmp_path, paths[::2])
    with State(tmp_path) as state:
        found = [path for path in paths[::step] if state.get(path) == HASH]
    assert found == paths[::2][::step]


def test_a_walk_reads_the_cache_in_few_queries(tmp_path: Path) -> None:
    paths = [f"d/{number:05}" for number in range(10_000)]
    filled(tmp_path, paths)
    with State(tmp_path) as state:
        queries: list[str] = []
        state._database.connection.set_trace_callback(queries.append)
        assert all(state.get(path) for path in paths)
        assert len(queries) < 15


def test_what_a_window_shows_is_what_was_last_stored(tmp_path: Path) -> None:
    filled(tmp_path, ["a", "b", "c"])
    newer = Hashed(11, 2, 3, 4, "BBBBBB==", "has no IEND chunk", 7)
    with State(tmp_path) as state:
        assert state.get("a") == HASH
        state.put("b", newer)
        state.put("bb", newer)
        state.flush()
        assert [state.get(path) for path in ("a", "b", "bb", "c")] == [HASH, newer, newer, HASH]


def test_a_number_that_the_database_cannot_hold_is_not_remembered(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        state.put("a", Hashed(1, 2**63, 3, 4, "AAAAAA=="))
        state.put("b", Hashed(1, 2**63 - 1, -5, 2**63 - 1, "AAAAAA=="))
    with State(tmp_path) as state:
        assert (state.get("a"), state.get("b")) == (None, Hashed(1, 2**63 - 1, -5, 2**63 - 1, "AAAAAA=="))


def test_threads_do_not_disturb_each_other(tmp_path: Path) -> None:
    wrong: list[str] = []

    def work(name: str, state: State) -> None:
        for number in range(500):
            state.put(f"{name}/{number}", Hashed(number, 2, 3, 4, name))
            if state.get(f"{name}/{number}") != Hashed(number, 2, 3, 4, name):
                wrong.append(name)
        state.remember([Agreed(name, 1, "AAAAAA==", 1)])

    with State(tmp_path) as state:
        threads = [threading.Thread(target=work, args=(name, state)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [one.key for one in state.all()] == list("abcd")
    assert wrong == []


# -- agreed states, facts, sessions -----------------------------------------------------------------------------


def test_agreed_states_come_in_code_point_order_over_many_pages(tmp_path: Path) -> None:
    keys = sorted([*ODD, *(f"k{number:05}" for number in range(2500))])
    with State(tmp_path) as state:
        state.remember(Agreed(key, 1, "AAAAAA==", 7) for key in reversed(keys))
    with State(tmp_path) as state:
        assert [one.key for one in state.all()] == keys


def test_the_last_agreed_state_counts_and_may_be_written_while_they_are_read(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        state.remember(Agreed(f"k{number:04}", 1, "AAAAAA==", 1) for number in range(2000))
        for number, one in enumerate(state.all()):
            if number % 400 == 0:
                state.remember([Agreed(one.key, 2, "BBBBBB==", 2)])
        assert [one.key for one in state.all() if one.generation == 2] == [f"k{n:04}" for n in range(0, 2000, 400)]


def test_an_agreed_state_is_looked_up_by_its_key_in_any_order_and_as_it_was_last_remembered(tmp_path: Path) -> None:
    keys = sorted([*ODD, *(f"k{number:05}" for number in range(2500))])
    with State(tmp_path) as state:
        state.remember(Agreed(key, 1, "AAAAAA==", 7) for key in keys)
    with State(tmp_path) as state:
        assert [state.of(key) for key in keys] == [Agreed(key, 1, "AAAAAA==", 7) for key in keys]
        assert [state.of(key) for key in ("k00000x", "k02499x", "a", "\ud800", "k00001")] == [
            *(None, None, None, None),
            Agreed("k00001", 1, "AAAAAA==", 7),
        ]
        state.remember([Agreed("k00001", 2, "BBBBBB==", 8), Agreed("k00001x", 3, "BBBBBB==", 9)])
        assert [state.of(key) for key in ("k00001", "k00001x")] == [
            Agreed("k00001", 2, "BBBBBB==", 8),
            Agreed("k00001x", 3, "BBBBBB==", 9),
        ]


def test_looking_up_agreed_states_in_order_asks_seldom(tmp_path: Path) -> None:
    keys = [f"k{number:05}" for number in range(5000)]
    with State(tmp_path) as state:
        state.remember(Agreed(key, 1, "AAAAAA==", 7) for key in keys)
    queries: list[str] = []
    with State(tmp_path) as state:
        state._database.connection.set_trace_callback(queries.append)
        assert all(state.of(key) for key in keys)
        assert len(queries) < 15


def test_what_is_agreed_is_cut_into_parts_of_one_size(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        assert state.cuts(3) == []
        state.remember(Agreed(key, 1, "AAAAAA==", 7) for key in "ghabcdef")
        assert [state.cuts(size) for size in (3, 8, 9)] == [["c", "f"], ["h"], []]


def test_facts(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        state.remember_fact("files", 121)
        state.remember_fact("root", "output")
        state.remember_fact("files", 122)
    with State(tmp_path) as state:
        assert (state.fact("files"), state.fact("root"), state.fact("none")) == (122, "output", None)


def test_a_session_belongs_to_its_bytes_and_outlives_the_process(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        state.sessions.put("k", "AAAAAA==", 5, "https://one")
        state.sessions.put("k", "AAAAAA==", 5, "https://two")
        # What another process sees now is what a kill at this instant leaves.
        other = State(tmp_path)
        assert other.sessions.get("k", "AAAAAA==", 5) == "https://two"
        assert other.sessions.get("k", "BBBBBB==", 5) is None
        assert other.sessions.get("k", "AAAAAA==", 6) is None
        other.sessions.drop("k", "AAAAAA==", 5)
        other.close()
        assert state.sessions.get("k", "AAAAAA==", 5) is None


def test_a_session_that_has_expired_is_forgotten(tmp_path: Path) -> None:
    now = 1_000_000_000.0
    with State(tmp_path) as state:
        sessions = UploadSessions(state._database, clock=lambda: now)
        sessions.put("old", "AAAAAA==", 5, "https://old")
        now += 7 * 86400
        assert sessions.get("old", "AAAAAA==", 5) is None
        sessions.put("new", "AAAAAA==", 5, "https://new")
        now -= 7 * 86400
        assert (sessions.get("old", "AAAAAA==", 5), sessions.get("new", "AAAAAA==", 5)) == (None, "https://new")


# -- trouble ----------------------------------------------------------------------------------------------------


def alien(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE hashes (x)")
    db.close()


def without_table(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("DROP TABLE facts")
    db.close()


def with_other_columns(path: Path) -> None:
    db = sqlite3.connect(path)
    db.executescript("DROP TABLE hashes; CREATE TABLE hashes (x);")
    db.close()


def of_the_future(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def scribbled(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[:4096] + os.urandom(len(raw) - 4096))


def text(path: Path) -> None:
    path.write_text("{}" * 5000)


def not_utf8(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("UPDATE hashes SET crc32c = CAST(x'ff4141' AS TEXT) WHERE path = '00007'")
    db.commit()
    db.close()


def no_digest(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("UPDATE hashes SET crc32c = 'AAAAAA=' WHERE path = '00007'")
    db.commit()
    db.close()


DAMAGES = [alien, without_table, with_other_columns, of_the_future, torn, scribbled, text, not_utf8, no_digest]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_alien_file_is_set_aside_with_a_warning(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    filled(tmp_path, [f"{number:05}" for number in range(3000)])
    if damage is alien:
        database(tmp_path).unlink()
    damage(database(tmp_path))
    with State(tmp_path) as state:
        assert state.get("00001") is None
        state.put("a", HASH)
        state.flush()
        state.remember([Agreed("k", 1, "AAAAAA==", 1)])
        assert [one.key for one in state.all()] == ["k"]
        assert len(state.warnings) == 1
        assert "state.db.damaged" in state.warnings[0]
    assert database(tmp_path).with_name("state.db.damaged").exists()
    with State(tmp_path) as state:
        assert (state.get("a"), state.warnings) == (HASH, ())


def test_two_first_runs_at_once_are_no_trouble(tmp_path: Path) -> None:
    states: list[State] = []
    threads = [threading.Thread(target=lambda: states.append(State(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [state.warnings for state in states] == [()] * 8
    for state in states:
        state.close()


def test_an_empty_file_is_a_state_without_memory(tmp_path: Path) -> None:
    database(tmp_path).parent.mkdir()
    database(tmp_path).touch()
    with State(tmp_path) as state:
        assert (state.get("a"), state.warnings) == (None, ())


@pytest.mark.parametrize("obstacle", ["file", "folder", "missing"])
def test_a_place_that_cannot_be_written_costs_the_memory_and_nothing_else(tmp_path: Path, obstacle: str) -> None:
    project = tmp_path / "project"
    if obstacle != "missing":
        project.mkdir()
    if obstacle == "file":
        (project / ".reconcile").write_text("not a folder")
    elif obstacle == "folder":
        database(project).mkdir(parents=True)
    with State(project) as state:
        state.put("a", HASH)
        state.remember([Agreed("k", 1, "AAAAAA==", 1)])
        state.sessions.put("k", "AAAAAA==", 1, "https://one")
        assert (state.get("a"), [one.key for one in state.all()]) == (HASH, ["k"])
        assert state.sessions.get("k", "AAAAAA==", 1) == "https://one"
        assert len(state.warnings) == 1
    assert project.exists() is (obstacle != "missing")


def test_a_disk_that_is_full_costs_the_memory_and_nothing_else(tmp_path: Path) -> None:
    filled(tmp_path, ["a"])
    with State(tmp_path) as state:
        [(pages,)] = state._database.connection.execute("PRAGMA page_count").fetchall()
        state._database.connection.execute(f"PRAGMA max_page_count = {pages}")
        state.remember(Agreed(f"{number:09}", 1, "AAAAAA==", 1) for number in range(10_000))
        state.remember(Agreed(f"{number:09}", 1, "AAAAAA==", 1) for number in range(10_000))
        state.put("b", HASH)
        assert state.get("a") == HASH
        assert len(state.warnings) == 1
        assert "full" in state.warnings[0]


def test_a_file_that_cannot_be_written_is_still_read(tmp_path: Path) -> None:
    filled(tmp_path, ["a"])
    with State(tmp_path) as state:
        state._database.connection.execute("PRAGMA query_only = 1")
        state.put("b", HASH)
        state.flush()
        assert state.get("a") == HASH
        assert len(state.warnings) == 1


def test_another_process_that_writes_for_long_is_not_waited_for_long(tmp_path: Path) -> None:
    filled(tmp_path, ["a"])
    other = sqlite3.connect(database(tmp_path), isolation_level=None)
    with State(tmp_path) as state:
        state._database.connection.execute("PRAGMA busy_timeout = 10")
        other.execute("BEGIN IMMEDIATE")
        state.remember_fact("files", 1)
        assert (state.get("a"), state.fact("files"), state.warnings) == (HASH, None, ())
        other.execute("ROLLBACK")
        state.remember_fact("files", 2)
        assert state.fact("files") == 2
    other.close()


@pytest.mark.posix("needs SIGKILL")
def test_a_run_killed_in_the_middle_of_a_write_leaves_a_sound_file(tmp_path: Path) -> None:
    writer = (
        "import sys, pathlib\n"
        "from reconcile.adapters.state.store import State; from reconcile.core.rows import Agreed\n"
        "state = State(pathlib.Path(sys.argv[1])); print('up', flush=True)\n"
        "for turn in range(10**9): state.remember(Agreed(f'{turn % 50}/{n}', turn, 'AAAAAA==', 1) for n in range(99))"
    )
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", writer, str(tmp_path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            written = False
            while not written:
                with State(tmp_path) as state:
                    written = any(True for _ in state.all())
            process.send_signal(signal.SIGKILL)
        with State(tmp_path) as state:
            turns = [one.size for one in state.all()]
            assert (len(turns) % 99, state.warnings) == (0, ())


# -- the lock ---------------------------------------------------------------------------------------------------

HOLDER = (
    "import sys, pathlib; from reconcile.adapters.state.lock import ProjectLock\n"
    "lock = ProjectLock(pathlib.Path(sys.argv[2])).acquire(); print('held', flush=True); sys.stdin.read()"
)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the lock until its stdin ends."""
    arguments = [sys.executable, "-c", HOLDER, "apply", str(tmp_path)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_the_lock_says_who_holds_it(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    with pytest.raises(LockHeld) as failure:
        ProjectLock(tmp_path).acquire()
    for part in (str(tmp_path), f"process {holder.pid}", "apply", "since 20"):
        assert part in failure.value.message
    assert (failure.value.exit_code, bool(failure.value.hint)) == (ExitCode.LOCKED, True)


@pytest.mark.parametrize("torn", [b"", b'{"pid": 1, "ho', b"\xff\xfe", b"[]", b'{"pid": "x"}', None])
def test_a_note_that_is_torn_or_missing_is_no_trouble(
    tmp_path: Path, holder: subprocess.Popen[bytes], torn: bytes | None
) -> None:
    note = tmp_path / ".reconcile" / "lock.json"
    note.unlink()
    if torn is not None:
        note.write_bytes(torn)
    with pytest.raises(LockHeld, match=r"^another run holds the lock of "):
        ProjectLock(tmp_path).acquire()


def test_the_lock_dies_with_its_process(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    holder.kill()
    holder.wait()
    with ProjectLock(tmp_path).acquire(wait=5) as lock:
        found = lock.holder()
        assert found is not None
        assert found.pid == os.getpid()


def test_a_lock_is_waited_for(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    assert holder.stdin is not None
    end = threading.Timer(0.2, holder.stdin.close)
    end.start()
    with ProjectLock(tmp_path).acquire(wait=20):
        end.join()


def test_a_second_lock_of_this_process_is_another_run(tmp_path: Path) -> None:
    with ProjectLock(tmp_path).acquire(), pytest.raises(LockHeld):
        ProjectLock(tmp_path).acquire()
    with ProjectLock(tmp_path).acquire() as lock:
        lock.close()
        ProjectLock(tmp_path).acquire().close()
    assert not (tmp_path / ".reconcile" / "lock.json").exists()


def test_the_note_keeps_a_workflows_arguments_to_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for argv, command in [
        (["/usr/bin/reconcile", "apply", "--char-id", "rem"], "reconcile apply"),
        (["/x/reconcile/__main__.py", "plan"], "reconcile plan"),
        (["audio_pipeline.py", "--api-key=secret"], "audio_pipeline.py"),
        (["audio_pipeline.py", "s3cret"], "audio_pipeline.py"),
        ([""], "python"),
    ]:
        monkeypatch.setattr(sys, "argv", argv)
        with ProjectLock(tmp_path).acquire():
            assert json.loads((tmp_path / ".reconcile" / "lock.json").read_text())["command"] == command


def test_a_folder_that_cannot_be_locked_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / ".reconcile").write_text("not a folder")
    with ProjectLock(tmp_path).acquire() as lock:
        assert "cannot be locked" in lock.warning
    lock.close()


def test_what_is_dropped_is_forgotten_wherever_it_was_kept(tmp_path: Path) -> None:
    filled(tmp_path, ["a", "b"])
    with State(tmp_path) as state:
        assert state.get("a") == HASH  # from now on in the window
        state.put("c", HASH)
        for path in ("a", "c", "none"):
            state.drop(path)
        assert [state.get(path) for path in ("a", "b", "c")] == [None, HASH, None]
    with State(tmp_path) as state:
        assert [state.get(path) for path in ("a", "b", "c")] == [None, HASH, None]


def test_the_first_versions_state_goes_over_and_only_its_hashes_are_taken_anew(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        state.remember([Agreed("k", 1, "AAAAAA==", 1)])
        state.remember_fact("files", 3)
    with closing(sqlite3.connect(database(tmp_path))) as db:
        db.executescript(
            "DROP TABLE hashes; PRAGMA user_version = 1;"
            "CREATE TABLE hashes (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER,"
            " inode INTEGER, crc32c TEXT) WITHOUT ROWID; INSERT INTO hashes VALUES ('a', 10, 2, 3, 4, 'AAAAAA==');"
        )
    with State(tmp_path) as state:
        assert (state.get("a"), state.fact("files"), [one.key for one in state.all()]) == (None, 3, ["k"])
        state.put("a", HASH)
        assert state.warnings == ()
    with State(tmp_path) as state:
        assert state.get("a") == HASH
