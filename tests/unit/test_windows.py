"""The rules of Windows over files that other programs have open, held by a simulation; see ``tests.kit.windows``."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import pytest
from crc32c import crc32c

from reconcile.__main__ import main
from reconcile.adapters import files
from reconcile.adapters.jsondb.store import JsonDatabase
from reconcile.adapters.jsondb.swap import Exchange, exchange
from reconcile.adapters.local.ahead import AT_ONCE
from reconcile.adapters.local.settle import Looks
from reconcile.adapters.local.slices import SLICE
from reconcile.adapters.local.store import LocalFiles
from reconcile.adapters.local.watching import FolderWatch
from reconcile.adapters.local.writing import LocalPlaces
from reconcile.adapters.opening import leads_elsewhere
from reconcile.adapters.posix import System
from reconcile.adapters.state.folder import StateFolder
from reconcile.adapters.state.health import HealthFile, is_place_free
from reconcile.core.digest import encode_crc32c
from reconcile.core.errors import ExitCode, SourceChanged
from reconcile.core.rows import FileProblem, LocalFile
from reconcile.hooks.handover import below_root
from reconcile.views.json import show, show_line
from reconcile.views.progress import shows_bars
from reconcile.views.terminal import Terminal, console
from tests.kit.small_project import make_project, open_objects
from tests.kit.tree import Cache
from tests.kit.windows import FakeWindows, Scanner, rules

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the simulation asks Linux who has a file open")

HELD = 0.03
"""Seconds for which a scanner holds a file."""


@pytest.fixture(autouse=True)
def windows(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWindows]:
    with rules(monkeypatch) as system:
        yield system


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "output"
    folder.mkdir()
    return folder


def source(root: Path, cache: Cache | None = None) -> LocalFiles:
    return LocalFiles(root, ignore=(), looks=Looks(0), cache=Cache() if cache is None else cache)


def put(root: Path, name: str, body: bytes = b"body") -> Path:
    file = root / name
    file.write_bytes(body)
    os.utime(file, (1_700_000_000, 1_700_000_000))
    return file


def only(rows: Iterator[LocalFile]) -> LocalFile:
    [row] = rows
    return row


# -- reading --


def test_a_file_that_somebody_writes_has_not_settled_although_its_time_stands_still(root: Path) -> None:
    file = put(root, "a.mp3")
    with file.open("ab") as writer:
        before = os.stat(file).st_mtime_ns
        writer.write(b"half")
        writer.flush()
        assert os.stat(file).st_mtime_ns == before
        row = only(source(root).walk())
        assert (row.problem, row.detail) == (FileProblem.UNSETTLED, "a program has it open for writing")
        with pytest.raises(SourceChanged, match="open for writing"), source(root).open("a.mp3"):
            pass
    assert only(source(root).walk()).problem is None


def test_a_file_that_nobody_may_read_is_in_use_and_not_a_matter_of_rights(root: Path, windows: FakeWindows) -> None:
    found = put(root, "a.png").stat()
    windows.handles.refusing_readers.add((found.st_dev, found.st_ino))
    row = only(source(root).walk())
    assert (row.problem, row.detail) == (FileProblem.UNSETTLED, "another program has it open and lets nobody read it")
    with pytest.raises(SourceChanged, match="lets nobody read it"), source(root).open("a.png"):
        pass


def test_a_right_that_is_lacking_stays_a_matter_of_rights(root: Path, windows: FakeWindows) -> None:
    put(root, "a.png")

    def denied(path: str, *, deny_writers: bool = False) -> int:
        error = PermissionError(13, "Access is denied", path)
        error.winerror = 5  # type: ignore[attr-defined]
        raise error

    windows.calls.open_shared = denied  # type: ignore[method-assign]
    row = only(source(root).walk())
    assert (row.problem, row.detail) == (FileProblem.UNREADABLE, "Access is denied")


def test_a_file_that_is_uploaded_is_replaced_renamed_and_removed_at_will(root: Path) -> None:
    for act in ("replace", "rename", "remove"):
        file = put(root, "a.png", os.urandom(2 * SLICE + 5))
        with source(root).open("a.png") as body:
            assert len(body.read(SLICE)) == SLICE
            if act == "replace":
                os.replace(put(root, "b.png", b"other"), file)
            elif act == "rename":
                os.rename(file, root / "c.png")
            else:
                os.unlink(file)
            with pytest.raises(SourceChanged, match="changed while it was read"):
                body.read()
    assert {path.name for path in root.iterdir()} == {"c.png"}


@pytest.mark.parametrize("act", ["replace", "rename", "remove", "write"])
@pytest.mark.parametrize("at", [1, SLICE + 1, 2 * SLICE + 5])
def test_a_large_file_that_is_hashed_is_replaced_renamed_and_removed_at_will(root: Path, act: str, at: int) -> None:
    file = put(root, "a.bin", os.urandom(2 * SLICE + 5))
    other = put(root.parent, "other", os.urandom(2 * SLICE + 5))
    read, acted = 0, False

    def workflow(count: int) -> None:
        nonlocal read, acted
        read += count
        if read < at or acted:
            return
        acted = True
        if act == "replace":
            os.replace(other, file)
        elif act == "rename":
            os.rename(file, root.parent / "c.bin")
        elif act == "remove":
            os.unlink(file)
        else:
            with file.open("r+b") as body:
                body.seek(-1, os.SEEK_END)
                body.write(b"x")

    row = only(LocalFiles(root, ignore=(), looks=Looks(0), cache=Cache(), on_progress=workflow).walk())
    assert acted
    assert (row.problem, row.detail) == (FileProblem.UNSETTLED, "it changed while it was hashed")


@pytest.mark.parametrize("act", ["rename", "remove", "write"])
def test_a_small_file_that_is_open_to_be_hashed_is_renamed_removed_and_written_at_will(root: Path, act: str) -> None:
    file = put(root, "a.png", b"body")
    acted = []

    def workflow(_: int) -> None:
        if act == "rename":
            os.rename(file, root.parent / "c.png")
        elif act == "remove":
            os.unlink(file)
        else:
            file.write_bytes(b"other")
        acted.append(act)

    row = only(LocalFiles(root, ignore=(), looks=Looks(0), cache=Cache(), on_progress=workflow).walk())
    assert acted == [act]
    assert (row.problem, row.detail) == (FileProblem.UNSETTLED, "it changed while it was hashed")


@pytest.mark.parametrize("size", [SLICE - 1, SLICE, SLICE + 1, 2 * SLICE + 3])
def test_a_file_that_nobody_touches_has_the_same_hash_in_slices(root: Path, size: int) -> None:
    data = os.urandom(size)
    put(root, "a.bin", data)
    assert only(source(root).walk()).crc32c == encode_crc32c(crc32c(data))


@pytest.mark.parametrize("size", [0, 1, SLICE - 1, SLICE, SLICE + 1, 2 * SLICE + 3])
def test_a_file_that_nobody_touches_is_read_to_its_end(root: Path, size: int) -> None:
    data = os.urandom(size)
    put(root, "a.bin", data)
    with source(root).open("a.bin") as body:
        assert body.read() == data
        assert (body.seek(-1, os.SEEK_END) if size else 0) == max(0, size - 1)
        assert body.read() == data[-1:]
        assert body.seek(0) == 0
        assert body.read(10) == data[:10]


def test_content_that_changed_under_an_old_time_is_hashed_again(root: Path) -> None:
    """The time of change tells, which is not what Python calls so on Windows."""
    file, cache = put(root, "a.png", b"old!"), Cache()

    def walk() -> LocalFile:  # an hour later, when no hash is doubted for its file's youth
        later = time.time_ns() + 3_600_000_000_000
        return only(LocalFiles(root, ignore=(), looks=Looks(0), cache=cache, clock=lambda: later).walk())

    before = walk()
    stamp = file.stat()
    file.write_bytes(b"new!")
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert file.stat().st_ctime_ns == stamp.st_ctime_ns
    assert cache["a.png"].doubted_since == 0
    assert walk().crc32c != before.crc32c


@pytest.mark.parametrize("name", ["aux.png", "con.mp4", "name.", "a "])
def test_a_name_that_windows_cannot_open_is_a_problem_and_not_a_plan(root: Path, name: str) -> None:
    put(root, name)
    for row in (only(source(root).walk()), only(source(root).lookup([name]))):
        assert (row.path, row.problem) == (name, FileProblem.UNREADABLE)
        assert "rename the file" in row.detail


@pytest.mark.parametrize(("name", "fits"), [("漢" * 100 + ".png", True), ("😀" * 127, True), ("😀" * 128, False)])
def test_names_are_as_long_as_the_disk_counts_them(root: Path, name: str, *, fits: bool) -> None:
    assert (LocalPlaces(root).refusal(name) is None) is fits


# -- writing --


@contextlib.contextmanager
def open_for_a_while(path: Path, windows: FakeWindows, steps: int = 5) -> Iterator[None]:
    """A scanner that lets go after a few tries."""
    found = path.stat()
    windows.handles.refusing[(found.st_dev, found.st_ino)] = steps
    yield
    assert windows.handles.refusing.pop((found.st_dev, found.st_ino)) == 0, "the step was not tried again"


def test_a_step_waits_until_a_scanner_lets_go(tmp_path: Path, windows: FakeWindows) -> None:
    place, fresh = put(tmp_path, "place"), put(tmp_path, "fresh", b"new")
    with open_for_a_while(place, windows):
        files.replace(fresh, place)
    assert place.read_bytes() == b"new"
    with open_for_a_while(place, windows):
        files.move_to_free(place, tmp_path / "free")
    with open_for_a_while(tmp_path / "free", windows):
        files.remove(tmp_path / "free")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_held_for_good_is_refused_at_last(tmp_path: Path, windows: FakeWindows) -> None:
    place, fresh = put(tmp_path, "place"), put(tmp_path, "fresh", b"new")
    with place.open("rb"), pytest.raises(PermissionError) as failure:
        files.replace(fresh, place)
    assert windows.is_in_use(failure.value)
    assert place.read_bytes() == b"body"


def test_what_a_scanner_holds_when_its_place_is_taken_is_left_to_the_next_run(root: Path, windows: FakeWindows) -> None:
    """The bytes that were made beside a file which another run has put there meanwhile."""
    data = b"body"

    def body(_: int) -> Iterator[bytes]:
        put(root, "a.png", data)
        [part] = root.glob(".r-*")
        found = part.stat()
        windows.handles.refusing[(found.st_dev, found.st_ino)] = 1_000
        yield data

    places, meant = LocalPlaces(root), encode_crc32c(crc32c(data))
    assert not places.place("a.png", body, size=len(data), crc32c=meant, generation=1)
    assert len(list(root.glob(".r-*"))) == 1
    windows.handles.refusing.clear()
    os.unlink(root / "a.png")
    assert LocalPlaces(root).place("a.png", lambda _: iter([data]), size=len(data), crc32c=meant, generation=1)
    assert [path.name for path in root.iterdir()] == ["a.png"]


def test_a_note_is_replaced_while_it_is_read(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.make()
    with Scanner(tmp_path, HELD):
        for number in range(20):
            folder.write("note", b"%d" % number)
            assert folder.read("note", 10) == b"%d" % number


def test_a_lock_file_stays_so_that_a_watcher_that_was_killed_is_noticed(tmp_path: Path) -> None:
    health = HealthFile(tmp_path)
    health.open()
    assert not is_place_free(tmp_path)
    health.close()
    assert [is_place_free(tmp_path) for _ in range(3)] == [True, True, True]
    with filelock.FileLock(tmp_path / "x.lock"):
        pass
    assert not (tmp_path / "x.lock").exists(), "the simulation takes a lock file away that is not told to stay"


def test_the_state_folder_has_the_rights_of_the_folder_above(tmp_path: Path) -> None:
    """Less would be an access list for its maker alone, which shuts out colleagues, and the same person after an
    elevated run."""
    StateFolder(tmp_path).lock("lock", 0).release()
    there = (tmp_path / ".reconcile").stat().st_mode
    (tmp_path / "usual").mkdir()
    assert there == (tmp_path / "usual").stat().st_mode
    assert (tmp_path / ".reconcile" / "lock").stat().st_mode & 0o044


@pytest.mark.parametrize(
    ("tag", "is_link"),
    [
        pytest.param(0xA0000003, True, id="a junction"),
        pytest.param(0xA000000C, True, id="a symbolic link"),
        pytest.param(0x80000013, False, id="deduplicated"),
        pytest.param(0x80000017, False, id="compressed by the system"),
        pytest.param(0x9000001A, False, id="kept by OneDrive"),
        pytest.param(0, False, id="none"),
    ],
)
def test_a_reparse_point_is_a_link_only_if_it_stands_for_another_place(tag: int, *, is_link: bool) -> None:
    class Found:
        st_reparse_tag = tag

    assert leads_elsewhere(Found()) is is_link  # type: ignore[arg-type]


# -- the local database --


def test_a_state_folder_of_an_elevated_run_is_named_with_its_owner_and_what_to_do(
    tmp_path: Path, windows: FakeWindows, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_project(tmp_path / "studio")
    folder = project / ".reconcile"
    folder.mkdir()
    windows.denied = folder
    whose = f"{folder} belongs to BUILTIN\\Administrators"
    do = f"as administrator, `icacls {folder} /reset /T` gives it the rights of the folder above it"
    assert main(["-C", str(project), "apply", "--yes"]) == ExitCode.FAILED
    assert f"{whose}: {do}; --no-journal works without one" in " ".join(capsys.readouterr().err.split())
    assert main(["-C", str(project), "doctor"]) == ExitCode.FAILED
    assert f"{whose}: {do}; without it there is no lock" in " ".join(capsys.readouterr().out.split())


def test_what_the_workflow_writes_at_the_last_moment_is_kept(tmp_path: Path) -> None:
    real = put(tmp_path, "characters.json", b"old")
    theirs = [b"theirs"]

    def swap(one: Path, other: Path) -> bool:
        if theirs:
            put(tmp_path, real.name, theirs.pop())
        return exchange(one, other)

    trade = Exchange(real, swap)
    files.create(trade.part, b"ours")
    assert not trade.put(b"ours", b"old")
    assert real.read_bytes() == b"theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["characters.json"]


@pytest.mark.parametrize("at", ["before the file is back", "before the old one has its name"])
def test_an_exchange_that_was_killed_between_its_names_is_ended_by_the_next(tmp_path: Path, at: str) -> None:
    real = tmp_path / "characters.json"
    put(tmp_path, ".characters.json.out", b'{"a": {"assets": []}}')
    if at != "before the file is back":
        put(tmp_path, real.name, b'{"a": {"assets": []}, "b": {}}')
    Exchange(real, exchange).settle()
    assert real.exists()
    names = {path.name for path in tmp_path.iterdir()} - {real.name}
    assert all(name.startswith("characters.json.kept-") for name in names), names
    assert len(names) == (at != "before the file is back")


def test_a_drive_without_that_step_is_written_all_the_same(tmp_path: Path, windows: FakeWindows) -> None:
    windows.calls.has_replace_file = False
    path = put(tmp_path, "characters.json", b'{"a": {"name": "Ai"}}')
    store = JsonDatabase(path, "assets", wait=lambda _: None, patience=0)
    store.update("a", {"name": "Aj"}, if_update_time=next(iter(store.read())).update_time)
    assert next(iter(store.read())).fields == {"name": "Aj"}
    assert {each.name for each in tmp_path.iterdir()} <= {path.name, f".{path.name}.lock"}


# -- what workflow code hands over --


def test_a_file_of_a_call_has_the_name_that_it_has_on_the_disk(root: Path, windows: FakeWindows) -> None:
    (root / "characters").mkdir()
    put(root / "characters", "ai.png")
    assert below_root(root, str(root / "Characters" / "AI.png")) == "characters/ai.png"
    assert windows.plain("\\\\?\\C:\\oo\\a.png") == "C:\\oo\\a.png"
    assert windows.plain("\\\\?\\UNC\\nas\\share\\a.png") == "\\\\nas\\share\\a.png"
    assert below_root(root, f"\\\\?\\{root}/characters/ai.png") == "characters/ai.png"


# -- what is said --


class Pipe(io.TextIOWrapper):
    """A stream that is not a terminal."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="cp437")

    @property
    def written(self) -> bytes:
        self.flush()
        return self.buffer.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("text", ["レム.mp4", "😀", "é\u2028\u202e", "plain"])
def test_json_for_a_pipe_holds_no_letter_that_powershell_would_change(text: str) -> None:
    pipe = Pipe()
    show(pipe, {"path": text})
    show_line(pipe, {"path": text})
    assert pipe.written.isascii()
    whole, line = pipe.written.decode().rsplit("\n", 2)[:2]
    assert json.loads(whole) == json.loads(line) == {"path": text}


class Console(Pipe):
    """A console by a descriptor of its own."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return True


def test_whether_a_bar_can_move_is_asked_of_the_console_that_it_is_on(
    windows: FakeWindows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not of stdout, which may be a file."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    new, old = Console(101), Console(102)
    windows.calls.old_consoles.add(102)
    assert shows_bars(new)
    assert not shows_bars(old)
    assert not console(new).legacy_windows
    for stream, coloured in ((new, True), (old, False)):
        Terminal(stream).line(("word", "red"))
        assert (b"\x1b" in stream.written) is coloured
    assert not console(Pipe()).legacy_windows


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("C:\\oo\\.venv\\Scripts\\reconcile.exe", "C:\\oo\\.venv\\Scripts\\reconcile.exe"),
        ("two words", '"two words"'),
        ("it's [kpop]_x.mp4", '"it\'s [kpop]_x.mp4"'),
        ("", '""'),
    ],
)
def test_a_word_is_quoted_as_cmd_and_powershell_both_take_it(word: str, said: str, windows: FakeWindows) -> None:
    assert windows.quoted(word) == said


def test_the_demo_names_the_program_as_it_is_called_on_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scripts = tmp_path / ".venv" / "Scripts"
    scripts.mkdir(parents=True)
    put(scripts, "reconcile.exe")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", str(scripts / "python.exe"))
    assert main(["demo", "demo"]) == ExitCode.OK
    program = os.path.join(".venv", "Scripts", "reconcile.exe")
    assert capsys.readouterr().out.splitlines()[-1] == f"Try: {program} -C demo status"


def test_a_file_that_is_kept_in_the_cloud_is_named_and_not_fetched(root: Path, windows: FakeWindows) -> None:
    put(root, "a.mp4")
    windows.elsewhere = True
    row = only(source(root).walk())
    assert row.problem is FileProblem.UNREADABLE
    assert "kept in the cloud" in row.detail


def test_doctor_says_how_many_files_are_kept_in_the_cloud_only(
    tmp_path: Path, windows: FakeWindows, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_project(tmp_path / "studio")
    windows.elsewhere = True
    assert main(["-C", str(project), "doctor", "--json"]) == ExitCode.OK
    checks = {each["name"]: each for each in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["root"]["health"] == "warning"
    count = sum(path.is_file() for path in (project / "output").rglob("*"))
    assert f"{count} of {count} files are kept in the cloud only" in checks["root"]["found"]
    assert "Always keep on this device" in checks["root"]["mend"]


def test_a_file_that_was_moved_to_the_cloud_is_still_known(root: Path, windows: FakeWindows) -> None:
    put(root, "a.mp4")
    cache = Cache()
    before = only(source(root, cache).walk())
    windows.elsewhere = True
    assert only(source(root, cache).walk()) == before


def test_a_drive_of_another_machine_is_looked_at_instead_of_listened_to(root: Path, windows: FakeWindows) -> None:
    windows.calls.remote = True
    watch = FolderWatch(root, ignore=())
    try:
        seen = watch.wait(0, threading.Event())
    finally:
        watch.close()
    assert seen.armed is not None
    assert seen.armed.startswith("by looking every")


def test_a_watched_folder_that_a_remote_drive_numbers_anew_is_still_the_same(
    root: Path, windows: FakeWindows, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, numbers = os.stat, itertools.count(1_000_000)

    def numbered(path: Any, **more: Any) -> os.stat_result:
        found = look(path, **more)
        return os.stat_result((found.st_mode, next(numbers), *found[2:])) if path == root else found

    monkeypatch.setattr(os, "stat", numbered)
    windows.calls.remote = True
    watch = FolderWatch(root, ignore=())
    try:
        armed = [watch.wait(0, threading.Event()).armed for _ in range(3)]
    finally:
        watch.close()
    assert armed[0] is not None
    assert armed[1:] == [None, None]


def test_a_number_that_a_remote_drive_gives_anew_tells_nothing(root: Path, windows: FakeWindows) -> None:
    windows.calls.remote = True
    put(root, "a.png")
    assert windows.lstat(str(root / "a.png")).st_ino == 0
    cache = Cache()
    first = only(source(root, cache).walk())
    assert cache["a.png"].inode == 0
    assert only(source(root, cache).walk()) == first


def test_files_on_another_machine_are_looked_at_several_at_a_time(root: Path, windows: FakeWindows) -> None:
    """And the rows come in the order of their paths all the same."""
    many = [f"{number:04}.png" for number in range(4 * AT_ONCE)]
    for folder in ("", "b/", "b/c/"):
        (root / folder).mkdir(exist_ok=True)
        for name in many:
            put(root, f"{folder}{name}", folder.encode() + name.encode())
    put(root / "b", "last.png")
    together, threads = threading.Barrier(AT_ONCE), set()

    def look(name: str) -> os.stat_result:
        threads.add(threading.current_thread().name)
        if os.path.basename(name) in many:
            together.wait(60)
        return System.lstat(windows, name)

    windows.calls.remote = True
    windows.lstat = look  # type: ignore[method-assign]
    found = [row.path for row in source(root).walk()]
    assert found == sorted([*(f"{folder}{name}" for folder in ("", "b/", "b/c/") for name in many), "b/last.png"])
    assert len(threads) >= AT_ONCE


def test_what_a_look_ahead_finds_out_is_said_of_its_file_alone(root: Path, windows: FakeWindows) -> None:
    for name in ("a.png", "gone.png", "mine.png", "z.png"):
        put(root, name)
    look = windows.lstat

    def refused(path: str) -> os.stat_result:
        if path.endswith("gone.png"):
            raise FileNotFoundError(2, "gone")
        if path.endswith("mine.png"):
            raise PermissionError(13, "Access is denied")
        return look(path)

    windows.calls.remote = True
    windows.lstat = refused  # type: ignore[method-assign]
    rows = list(source(root).walk())
    assert [(row.path, row.problem) for row in rows] == [
        ("a.png", None),
        ("mine.png", FileProblem.UNREADABLE),
        ("z.png", None),
    ]


def test_a_walk_that_is_left_leaves_no_thread_behind(root: Path, windows: FakeWindows) -> None:
    for number in range(4 * AT_ONCE):
        put(root, f"{number:04}.png")
    windows.calls.remote = True
    names = source(root).names()
    assert next(names) == "0000.png"
    names.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("look")]


@pytest.mark.parametrize("number", [1175, 1176, 1177])
def test_a_replace_that_another_program_prevents_is_tried_again(
    tmp_path: Path, windows: FakeWindows, number: int
) -> None:
    """Also if that step left the file under its third name."""
    path = put(tmp_path, "characters.json", b'{"a": {"name": "Ai"}}')
    store = JsonDatabase(path, "assets", wait=lambda _: None, patience=0)
    step, left = windows.calls.replace_file, [number]

    def prevented(place: str, fresh: str, backup: str) -> None:
        if left:
            if left.pop() == 1177:
                os.rename(place, backup)
            error = OSError(22, "Unable to remove the file to be replaced", place)
            error.winerror = number  # type: ignore[attr-defined]
            raise error
        step(place, fresh, backup)

    windows.calls.replace_file = prevented  # type: ignore[method-assign]
    store.update("a", {"name": "Aj"}, if_update_time=next(iter(store.read())).update_time)
    assert next(iter(store.read())).fields == {"name": "Aj"}
    assert {each.name for each in tmp_path.iterdir()} <= {path.name, f".{path.name}.lock"}


# -- a workflow that is run --


def test_a_workflow_is_waited_for_in_slices_between_which_an_interrupt_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, wait, slices = make_project(tmp_path / "studio"), subprocess.Popen.wait, []

    def waited(child: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        slices.append(timeout)
        return wait(child, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", waited)
    assert main(["-C", str(project), "run", "--quiet", "--", sys.executable, "-c", "raise SystemExit(3)"]) == 3
    assert slices
    assert all(timeout is not None and timeout < 1 for timeout in slices)


def test_a_workflow_is_run_and_what_it_made_is_applied(tmp_path: Path) -> None:
    project = make_project(tmp_path / "studio")
    made = "import pathlib; pathlib.Path('output/characters/rem_cosplay.png').write_bytes(b'new')"
    here = os.getcwd()
    os.chdir(project)
    try:
        assert main(["run", "--quiet", "--", sys.executable, "-c", made]) == 0
        assert main(["run", "--quiet", "--", sys.executable, "-c", "raise SystemExit(7)"]) == 7
    finally:
        os.chdir(here)
    objects = open_objects(project)
    assert objects.get("characters/rem_cosplay.png") is not None
    objects.close()


def test_a_process_without_standard_streams_does_its_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As under pythonw, and with some services."""
    project = make_project(tmp_path / "studio")
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert main(["-C", str(project), "plan", "--detailed-exitcode"]) == ExitCode.DIFFERENCES
    assert main(["-C", str(project), "apply", "--yes"]) == ExitCode.OK
