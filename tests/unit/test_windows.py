"""The rules of Windows over files that other programs have open, held by a simulation; see ``tests.kit.windows``."""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crc32c import crc32c

from reconcile.__main__ import main
from reconcile.adapters.local.ahead import AT_ONCE
from reconcile.adapters.local.settle import FirstLooks
from reconcile.adapters.local.slices import SLICE
from reconcile.adapters.local.store import LocalFiles
from reconcile.adapters.local.watching import FolderWatch
from reconcile.adapters.local.writing import LocalPlaces
from reconcile.adapters.posix import System
from reconcile.core.digest import encode_crc32c
from reconcile.core.errors import ExitCode, SourceChanged
from reconcile.core.rows import FileProblem, LocalFile
from tests.kit.json_records import JsonRecords
from tests.kit.small_project import make_project
from tests.kit.tree import Cache, put
from tests.kit.windows import FakeWindows, rules

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the simulation asks Linux who has a file open")


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
    return LocalFiles(root, ignore=(), looks=FirstLooks(0), cache=Cache() if cache is None else cache)


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

    row = only(LocalFiles(root, ignore=(), looks=FirstLooks(0), cache=Cache(), on_progress=workflow).walk())
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

    row = only(LocalFiles(root, ignore=(), looks=FirstLooks(0), cache=Cache(), on_progress=workflow).walk())
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
        return only(LocalFiles(root, ignore=(), looks=FirstLooks(0), cache=cache, clock=lambda: later).walk())

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
    store = JsonRecords(path, "assets", wait=lambda _: None, patience=0)
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
