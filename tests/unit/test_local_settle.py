"""When a file counts as settled, which hashes are taken once more, and what is held back; times are a test's own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from reconcile.adapters.local.settle import FirstLooks
from reconcile.adapters.local.store import LocalFiles
from reconcile.adapters.system import current
from reconcile.commands.demo_media import mp4, png
from reconcile.core.rows import FileProblem, LocalFile
from tests.kit.tree import SECOND, Cache
from tests.kit.windows import on_each_system  # noqa: F401

SETTLE = 2.0
MINUTE = 60 * SECOND


class Folder:
    """A root that is read by runs, between which and in whose waits time passes and things happen."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.root.mkdir()
        self.now = 1000.0
        self.wall = time.time_ns()
        self.cache = Cache()
        self.waits: list[float] = []
        self.told: list[tuple[int, float]] = []
        self.read: list[int] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def put(self, path: str, body: bytes = b"body", *, ahead: float = -3600.0) -> Path:
        """A file whose own time is so many seconds ahead of our clock."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as stream:
            stream.write(body)
        stamp = self.wall + int(ahead * SECOND)
        os.utime(file, ns=(stamp, stamp))
        return file

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds
        self.meanwhile()

    def looks(self, settle: float = SETTLE, *, waits: bool = True) -> FirstLooks:
        sleep = self.sleep if waits else None
        told = lambda count, seconds: self.told.append((count, seconds))  # noqa: E731
        return FirstLooks(settle, clock=lambda: self.now, sleep=sleep, on_wait=told)

    def source(self, looks: FirstLooks | None = None, **options: object) -> LocalFiles:
        """What one run reads with."""
        return LocalFiles(
            self.root,
            ignore=(),
            looks=looks or self.looks(),
            cache=self.cache,
            clock=lambda: self.wall,
            on_progress=self.read.append,
            **options,  # type: ignore[arg-type]
        )

    def run(self, **options: object) -> dict[str, FileProblem | None]:
        """One run's reading of everything."""
        self.waits.clear()
        self.read.clear()
        return {row.path: row.problem for row in self.source(**options).walk()}  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "output")


# -- two looks --


@pytest.mark.parametrize("ahead", [-1e9, -3600.0, -1.0, 0.0, 1.0, 300.0, 3600.0, 1e8])
def test_a_file_that_is_written_to_is_not_taken_whatever_its_own_time_says(folder: Folder, ahead: float) -> None:
    folder.put("a.mp4", ahead=ahead)
    folder.put("b.mp4", ahead=ahead)
    folder.meanwhile = lambda: folder.put("a.mp4", b" and more", ahead=ahead)
    assert folder.run() == {"a.mp4": FileProblem.UNSETTLED, "b.mp4": None}
    folder.meanwhile = lambda: None
    assert folder.run() == {"a.mp4": None, "b.mp4": None}


@pytest.mark.parametrize("change", ["size", "time", "file"])
def test_whatever_of_its_look_changes_a_file_has_not_settled(folder: Folder, change: str) -> None:
    file = folder.put("a.mp4")

    def act() -> None:
        times = file.stat()
        if change == "size":
            file.write_bytes(b"other body")
        elif change == "file":
            (folder.root / "b").write_bytes(b"body")
            os.replace(folder.root / "b", file)
        os.utime(file, ns=(0, times.st_mtime_ns + (change == "time")))

    folder.meanwhile = act
    assert folder.run() == {"a.mp4": FileProblem.UNSETTLED}


def test_a_run_waits_once_for_all_that_is_new(folder: Folder) -> None:
    for name in ("a", "d/b", "d/e/c", "z"):
        folder.put(name)
    assert set(folder.run().values()) == {None}
    assert (folder.waits, folder.told) == ([SETTLE], [(4, SETTLE)])


def test_a_run_with_nothing_new_waits_not_at_all(folder: Folder) -> None:
    folder.put("a")
    folder.wall += 2 * MINUTE
    folder.run()
    assert folder.run() == {"a": None}
    assert (folder.waits, folder.read) == ([], [])


def test_without_a_settling_time_nothing_is_waited_for(folder: Folder) -> None:
    folder.put("a")
    assert folder.run(looks=folder.looks(0)) == {"a": None}
    assert folder.waits == []


def test_what_comes_while_a_run_waits_is_left_to_the_next(folder: Folder) -> None:
    folder.put("a")
    folder.meanwhile = lambda: folder.put("b")
    assert folder.run() == {"a": None, "b": FileProblem.UNSETTLED}
    assert folder.waits == [SETTLE]


def test_what_goes_while_a_run_waits_is_not_there(folder: Folder) -> None:
    for name in ("a", "b", "c"):
        folder.put(name)
    folder.meanwhile = (folder.root / "b").unlink
    assert folder.run() == {"a": None, "c": None}


def test_order_holds_where_new_files_lie_among_known_ones(folder: Folder) -> None:
    for name in ("a", "b/x", "b/y", "c", "d/e/f", "d-e", "g"):
        folder.put(name)
    folder.run()
    for name in ("b/xx", "d/e/a", "d/f", "e", "b.png"):
        folder.put(name)
    paths = list(folder.run())
    assert paths == sorted(paths)
    assert len(paths) == len(set(paths)) == 12
    assert folder.waits == [SETTLE]


def test_a_file_that_is_known_to_be_whole_is_not_waited_for(folder: Folder) -> None:
    folder.put("mine", ahead=0.0)
    folder.put("other", ahead=0.0)
    options = {"looks": folder.looks(waits=False), "settled": ["mine"]}
    assert folder.run(**options) == {"mine": None, "other": FileProblem.UNSETTLED}
    assert folder.waits == []


def test_an_empty_file_is_looked_at_twice_like_any_other(folder: Folder) -> None:
    folder.put("a", b"")
    folder.meanwhile = lambda: folder.put("a", b"begun")
    assert folder.run() == {"a": FileProblem.UNSETTLED}
    folder.meanwhile = lambda: None
    os.truncate(folder.root / "a", 0)
    assert folder.run() == {"a": FileProblem.EMPTY}
    assert folder.run() == {"a": FileProblem.EMPTY}
    assert folder.waits == [], "its look is known"


def test_a_lookup_and_the_walk_behind_it_share_one_wait(folder: Folder) -> None:
    for name in ("in/a", "named", "out/b"):
        folder.put(name)
    source = folder.source()
    assert [row.problem for row in source.lookup(["named", "none"], before=["in/"])] == [None]
    assert {row.path: row.problem for row in source.walk(["in/"])} == {"in/a": None}
    assert folder.waits == [SETTLE]
    assert [row.problem for row in source.walk(["out/"])] == [FileProblem.UNSETTLED], "one wait a run"


def test_passes_that_do_not_wait_remember_what_earlier_ones_saw(folder: Folder) -> None:
    folder.put("a")
    looks = folder.looks(waits=False)
    assert folder.run(looks=looks) == {"a": FileProblem.UNSETTLED}
    folder.now += SETTLE - 0.1
    assert folder.run(looks=looks) == {"a": FileProblem.UNSETTLED}
    folder.now += 0.1
    assert folder.run(looks=looks) == {"a": None}


def test_what_had_settled_and_was_not_taken_is_forgotten(folder: Folder) -> None:
    looks = folder.looks(waits=False)
    assert not looks.is_settled("a", (1, 2, 3, 4))
    folder.now += 1
    assert not looks.is_settled("b", (1, 2, 3, 4))
    folder.now += 1
    looks.prune(folder.now)
    folder.now += 1
    assert looks.is_settled("b", (1, 2, 3, 4))
    assert not looks.is_settled("a", (1, 2, 3, 4))


# -- a change that moves no time --


def scribble(file: Path) -> None:
    """What a store through a mapping does for a while: other content, and no time moved. The time of change cannot be
    set, so this file system's is taken along in the cache."""
    with file.open("r+b") as body:
        body.write(b"B")


def moved(folder: Folder, path: str) -> None:
    """The cache comes to hold the file as it looks now, as if no time had moved."""
    found = current().lstat(str(folder.root / path))
    old = folder.cache[path]
    folder.cache[path] = old._replace(mtime_ns=found.st_mtime_ns, ctime_ns=found.st_ctime_ns)


def rows(source: LocalFiles) -> dict[str, LocalFile]:
    return {row.path: row for row in source.walk()}


@pytest.mark.parametrize("ahead", [0.0, -50.0, 300.0, 3600.0])
def test_a_hash_that_was_taken_soon_after_a_change_is_taken_once_more(folder: Folder, ahead: float) -> None:
    file = folder.put("a.mp4", ahead=ahead)
    first = rows(folder.source())["a.mp4"]
    scribble(file)
    moved(folder, "a.mp4")
    folder.wall += 2 * MINUTE
    again = rows(folder.source())["a.mp4"]
    assert again.crc32c not in (None, first.crc32c)
    assert folder.waits == [SETTLE], "the look is known, so the second run waits for nothing"


@pytest.mark.parametrize("ahead", [0.0, 3600.0, 1e8])
def test_the_second_hash_is_believed_for_good(folder: Folder, ahead: float) -> None:
    folder.put("a.mp4", ahead=ahead)
    folder.run()
    folder.wall += 2 * MINUTE
    assert folder.run() == {"a.mp4": None}
    assert folder.read == [4]
    for _ in range(3):
        folder.wall += MINUTE
        folder.run()
        assert folder.read == []


def test_a_hash_that_was_taken_long_after_the_change_is_believed_at_once(folder: Folder) -> None:
    folder.put("a.mp4")
    folder.wall += 2 * MINUTE
    folder.run()
    folder.run()
    assert folder.read == []


def test_runs_that_follow_at_once_believe_no_hash_that_is_doubted(folder: Folder) -> None:
    folder.put("a.mp4", ahead=0.0)
    for _ in range(3):
        folder.wall += 10 * SECOND
        folder.run()
        assert folder.read == [4]
    folder.wall += 10 * SECOND + MINUTE
    folder.run()
    assert folder.read == [4]
    folder.run()
    assert folder.read == []


def test_a_clock_that_was_set_back_does_not_leave_a_file_in_doubt_for_ever(folder: Folder) -> None:
    folder.put("a.mp4", ahead=1e6)
    folder.run()
    folder.wall -= 10_000 * SECOND
    folder.run()
    folder.wall += 2 * MINUTE
    folder.run()
    assert folder.read == [4]
    folder.run()
    assert folder.read == []


def test_what_is_asked_for_anew_is_read_whatever_is_remembered(folder: Folder) -> None:
    folder.put("a.mp4", ahead=1e6)
    folder.run()
    folder.wall += 2 * MINUTE
    folder.run()
    folder.cache["a.mp4"] = folder.cache["a.mp4"]._replace(crc32c="AAAAAA==")
    [believed] = folder.source().lookup(["a.mp4"])
    [found] = folder.source().lookup(["a.mp4"], anew=True)
    assert (believed.crc32c, found.crc32c != "AAAAAA==") == ("AAAAAA==", True)
    [after] = folder.source().lookup(["a.mp4"])
    assert after == found


def test_what_is_forgotten_is_read_again(folder: Folder) -> None:
    folder.put("a.mp4")
    folder.wall += 2 * MINUTE
    folder.run()
    folder.source().forget("a.mp4")
    folder.run()
    assert folder.read == [4]


# -- media that surely is incomplete --


HALVES = {"a.mp4": mp4(1)[:-40], "b.png": png(1)[:-12], "c.jpg": b"\xff\xd8\xff\xda\x00\x04ab" + bytes(9)}


def test_media_that_surely_is_incomplete_is_a_problem_and_read_once(folder: Folder) -> None:
    for name, body in HALVES.items():
        folder.put(name, body)
    folder.put("whole.png", png(1))
    folder.wall += 2 * MINUTE
    for read in (4, 0):
        assert folder.run() == {**dict.fromkeys(HALVES, FileProblem.INCOMPLETE), "whole.png": None}
        assert len(folder.read) == read
    assert [row.detail for row in folder.source().lookup(["b.png"])] == ["it has no IEND chunk"]
    assert {row.crc32c for row in folder.source().lookup(list(HALVES))} == {None}


def test_where_the_rules_say_so_it_is_taken_as_it_is(folder: Folder) -> None:
    for name, body in HALVES.items():
        folder.put(name, body)
    assert folder.run(holds_incomplete=False) == dict.fromkeys(HALVES)
    assert folder.run(holds_incomplete=True) == dict.fromkeys(HALVES, FileProblem.INCOMPLETE), "what is cached says it"


def test_what_gets_its_end_is_taken(folder: Folder) -> None:
    folder.put("b.png", HALVES["b.png"])
    folder.run()
    folder.put("b.png", png(1)[-12:])
    assert folder.run() == {"b.png": None}
