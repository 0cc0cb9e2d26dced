"""Hashing files: what is read, what is remembered, and what is never believed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from reconcile.adapters.local.settle import FirstLooks
from reconcile.adapters.local.store import LocalFiles
from reconcile.core.rows import FileProblem
from tests.kit.tree import Cache, Tree, crc, posix
from tests.kit.windows import FakeCalls, Handles, on_each_system  # noqa: F401


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "output")


# -- hashing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 5_000_000])
def test_a_file_of_any_size_is_hashed(tree: Tree, size: int) -> None:
    body = os.urandom(size)
    tree.put("a.mp4", body)
    read: list[int] = []
    [found] = tree.source(on_progress=read.append).walk()
    assert (found.crc32c, sum(read), max(read) <= 256 * 1024) == (crc(body), size, True)


def test_order_holds_when_small_and_large_files_are_hashed_at_once(tree: Tree) -> None:
    bodies = {f"{number:04}": os.urandom(3_000_000 if number % 37 == 0 else 50) for number in range(400)}
    for path, body in bodies.items():
        tree.put(path, body)
    for name in list(bodies)[::3]:
        assert list(tree.source().lookup([name]))  # a third of them is in the cache
    assert [(row.path, row.crc32c) for row in tree.walk()] == [(path, crc(body)) for path, body in bodies.items()]


def test_what_is_cached_is_not_read_again(tree: Tree) -> None:
    tree.put("a.png")
    first = tree.walk()
    read: list[int] = []
    assert list(tree.source(on_progress=read.append).walk()) == first
    assert read == []


@pytest.mark.parametrize("change", ["bytes", "size", "mtime", "inode"])
def test_what_has_changed_is_read_again(tree: Tree, change: str) -> None:
    file = tree.put("a.png", b"old")
    before = file.stat()
    tree.walk()
    if change == "inode":
        fresh = tree.put("b.png", b"new")
        os.utime(fresh, ns=(before.st_atime_ns, before.st_mtime_ns))
        os.replace(fresh, file)
    else:
        file.write_bytes(b"newer" if change == "size" else b"new")
        if change != "mtime":
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    [found] = tree.walk()
    assert found.crc32c == crc(file.read_bytes())


def test_a_file_id_of_64_bits_is_cached(tree: Tree) -> None:
    tree.put("a.png")
    tree.walk()
    assert 0 <= tree.cache["a.png"].inode < 2**63


def grow(file: Path) -> None:
    with file.open("ab") as body:
        body.write(b"more")


def shrink(file: Path) -> None:
    os.truncate(file, 300_000)


def rewrite(file: Path) -> None:
    file.write_bytes(os.urandom(file.stat().st_size))


def scribble(file: Path) -> None:
    """Other bytes with the old time: only the time of change tells."""
    times = file.stat()
    with file.open("r+b") as body:
        body.write(b"other")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


@posix
@pytest.mark.parametrize("change", [grow, shrink, rewrite, scribble])
def test_a_file_that_changes_while_it_is_hashed_is_left_for_the_next_run(
    tree: Tree, change: Callable[[Path], None]
) -> None:
    file = tree.put("a.mp4", os.urandom(1_000_000))
    changes = [change]
    [found] = tree.source(on_progress=lambda _: changes.pop()(file) if changes else None).walk()
    assert (found.problem, found.crc32c, changes) == (FileProblem.UNSETTLED, None, [])
    assert "changed while it was hashed" in found.detail
    assert tree.cache == {}


@posix
def test_what_happens_between_the_listing_and_the_hashing(tree: Tree, tmp_path: Path) -> None:
    """The first file's hashing changes the others, which are listed already and are hashed after it."""
    (tmp_path / "secret").write_bytes(b"secret")
    for path in ("a", "changed", "fifo", "gone", "kept", "link", "replaced"):
        tree.put(path, b"listed")

    def change(_: int) -> None:
        if not (tree.root / "gone").exists():
            return
        (tree.root / "gone").unlink()
        (tree.root / "changed").write_bytes(b"other bytes")
        for name in ("fifo", "link"):
            (tree.root / name).unlink()
        os.mkfifo(tree.root / "fifo")
        (tree.root / "link").symlink_to(tmp_path / "secret")
        (tmp_path / "fresh").write_bytes(b"listed")
        os.replace(tmp_path / "fresh", tree.root / "replaced")

    rows = {row.path: row for row in tree.source(on_progress=change).walk()}
    assert {path: row.problem for path, row in rows.items()} == {
        "a": None,
        "changed": FileProblem.UNSETTLED,
        "fifo": FileProblem.UNSETTLED,
        "kept": None,
        "link": FileProblem.UNREADABLE,
        "replaced": FileProblem.UNSETTLED,
    }
    assert {row.crc32c for row in rows.values() if row.problem} == {None}


@posix
def test_a_folder_that_vanishes_or_turns_into_a_file(tree: Tree) -> None:
    for number in range(70):
        tree.put(f"a/{number:02}")
    tree.put("b/x")
    tree.put("c/x")
    rows = tree.source().walk()
    next(rows)
    shutil.rmtree(tree.root / "b")
    shutil.rmtree(tree.root / "c")
    tree.put("c")
    assert [(row.path, row.problem) for row in rows][-1] == ("c/", FileProblem.UNREADABLE)


def test_a_walk_that_is_given_up_stops_reading(tree: Tree) -> None:
    tree.put("a.mp4", b"\0" * 5_000_000)
    os.truncate(tree.put("b.mp4"), 2**30)
    read: list[int] = []
    rows = tree.source(on_progress=read.append).walk()
    assert next(rows).path == "a.mp4"
    rows.close()  # type: ignore[attr-defined]
    assert sum(read) < 2**30


@pytest.mark.skipif(not Path("/sys/kernel/fscaps").exists(), reason="needs a file shorter than it says")
def test_a_file_shorter_than_it_says_is_not_believed() -> None:
    [found] = LocalFiles(Path("/sys/kernel"), ignore=(), looks=FirstLooks(0), cache=Cache()).lookup(["fscaps"])
    assert (found.problem, found.crc32c) == (FileProblem.UNSETTLED, None)


def test_two_walks_at_once_do_not_disturb_each_other(tree: Tree) -> None:
    for number in range(30):
        tree.put(f"{number:02}", os.urandom(1_100_000))
    source = tree.source()
    for one, other in zip(source.walk(), source.walk(), strict=True):
        assert one == other
        assert one.crc32c == crc((tree.root / one.path).read_bytes())
