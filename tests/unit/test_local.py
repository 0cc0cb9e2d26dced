"""The files below the root: which rows there are, in what order, with what problem, and what is never opened."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import crc32c
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.adapters import opening as local_open
from reconcile.adapters.local.settle import Looks
from reconcile.adapters.local.store import LocalFiles
from reconcile.adapters.posix import System
from reconcile.adapters.system import current, using
from reconcile.adapters.windows import Windows
from reconcile.core.digest import encode_crc32c
from reconcile.core.errors import SourceChanged, SourceError
from reconcile.core.names import fold
from reconcile.core.pattern import Template
from reconcile.core.rows import FileProblem, Hashed, LocalFile
from tests.kit.windows import FakeCalls, Handles, on_each_system  # noqa: F401

posix = pytest.mark.posix("POSIX names, links and modes")
SECOND = 10**9
HOUR = 3600 * SECOND
IGNORE = ("*.tmp", "*.part", ".DS_Store", "Thumbs.db", "desktop.ini")
NFC, NFD = "caf\u00e9.png", "cafe\u0301.png"
HOSTILE = (
    "[kpop]_x.mp4", ":star:.png", "new\nline.png", "tab\t.png", "\u202egnp.exe", "a" * 255, "é" * 127, "レム.mp4",
    "😀.png", "%2e%2e.png", "a b  c.png", " lead", "trail ", "#?&=.png", "-rf", "~", "$HOME", "*", "back\\slash.png",
    "'\"`.png", "\x7f.png", "\ue000", "...", "..a", "a.", "con", "\u2028", "ａ.png",
)  # fmt: skip
HOSTILE_EVERYWHERE = ("[kpop]_x.mp4", "a b  c.png", "レム.mp4", "😀.png", "%2e%2e.png")
NAMES = [
    name if name in HOSTILE_EVERYWHERE else pytest.param(name, marks=pytest.mark.posix("Windows has no such name"))
    for name in HOSTILE
    if not name.startswith(".")
]


class Cache(dict[str, Hashed]):
    """A hash cache in memory."""

    def get(self, path: str) -> Hashed | None:  # type: ignore[override]
        return super().get(path)

    def put(self, path: str, found: Hashed) -> None:
        self[path] = found

    def drop(self, path: str) -> None:
        self.pop(path, None)


def an_hour_on() -> int:
    """A clock at which every file of a test is old."""
    return time.time_ns() + HOUR


class Tree:
    """A root with files in it, and the source that reads it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cache = Cache()
        self.root.mkdir(exist_ok=True)

    def put(self, path: str, body: bytes | None = None) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(path.encode() if body is None else body)
        return file

    def source(
        self,
        *,
        looks: Looks | None = None,
        clock: Callable[[], int] = an_hour_on,
        on_progress: Callable[[int], None] | None = None,
        settled: Collection[str] = (),
        holds_incomplete: bool = True,
    ) -> LocalFiles:
        return LocalFiles(
            self.root,
            ignore=IGNORE,
            looks=looks or Looks(0),
            cache=self.cache,
            clock=clock,
            on_progress=on_progress,
            settled=settled,
            holds_incomplete=holds_incomplete,
        )

    def walk(self, *prefixes: str) -> list[LocalFile]:
        return list(self.source().walk(prefixes or ("",)))

    def paths(self, *prefixes: str) -> list[str]:
        return [file.path for file in self.walk(*prefixes)]

    def problems(self) -> dict[str, FileProblem | None]:
        return {file.path: file.problem for file in self.walk()}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "output")


def crc(body: bytes) -> str:
    return encode_crc32c(crc32c.crc32c(body))


# -- order and prefixes -----------------------------------------------------------------------------------------


def test_a_row_for_each_file_with_its_facts(tree: Tree) -> None:
    file = tree.put("characters/rem.png", b"123456789")
    [found] = tree.walk()
    assert found == LocalFile("characters/rem.png", 9, file.stat().st_mtime_ns, "4waSgw==")


def test_an_empty_root_has_no_files(tree: Tree) -> None:
    (tree.root / "empty" / "below").mkdir(parents=True)
    assert tree.walk() == []


def test_order_is_by_code_point_of_the_whole_path(tree: Tree) -> None:
    for path in ("a/b", "a.b", "a-b/c", "a0", "ab", "a/b.c/d", "a/b-c", "B", "é", "\ue000", "😀"):
        tree.put(path) if path != "a/b" else tree.put("a/b!")
    paths = tree.paths()
    assert paths == sorted(paths)
    assert len(paths) == 11


names = st.sampled_from(["a", "b", "a.b", "a-b", "a0", "A", "é", "😀", "\ue000", "a b", "!"])
trees = st.sets(st.lists(names, min_size=1, max_size=4).map("/".join), max_size=12)


def without_clashes(paths: set[str]) -> list[str]:
    """Those that can be files at once: none is a folder of another."""
    return [path for path in sorted(paths) if not any(other.startswith(path + "/") for other in paths)]


@settings(max_examples=60, deadline=None)
@given(paths=trees.map(without_clashes), prefixes=st.lists(st.text("ab./-A", max_size=4), max_size=4))
def test_a_walk_gives_just_the_paths_with_a_prefix_in_order(paths: list[str], prefixes: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tree = Tree(Path(folder))
        for path in paths:
            tree.put(path)
        on_disk = [path for path in paths if path in {file.path for file in tree.walk()}]
        found = [file.path for file in tree.source().walk(prefixes)]
        rows = list(tree.source().lookup(paths))
    assert found == sorted(path for path in on_disk if path.startswith(tuple(prefixes)))
    assert [row.path for row in rows] == on_disk
    if sys.platform == "linux":
        assert on_disk == paths
        assert all(row.twin == first_twin(row.path, paths) for row in rows)


def first_twin(path: str, paths: list[str]) -> str | None:
    return min((other for other in paths if other != path and fold(other) == fold(path)), default=None)


def test_a_prefix_is_a_string_and_not_a_folder(tree: Tree) -> None:
    for path in (
        "dances/dance_rem_1.mp4",
        "dances/dance_rem_2/x.mp4",
        "dances/dance_ram.mp4",
        "dance",
        "remixes/rem/a",
    ):
        tree.put(path)
    assert tree.paths("dances/dance_rem") == ["dances/dance_rem_1.mp4", "dances/dance_rem_2/x.mp4"]
    assert tree.paths("dances/dance_rem", "remixes/rem/a", "dances/dance_rem_2", "nowhere/") == [
        "dances/dance_rem_1.mp4",
        "dances/dance_rem_2/x.mp4",
        "remixes/rem/a",
    ]
    assert tree.paths("remixes/rem") == ["remixes/rem/a"]
    assert list(tree.source().walk([])) == []


@posix
def test_folders_out_of_reach_of_the_prefixes_are_not_entered(ordinary: Tree) -> None:
    ordinary.put("closed/a")
    ordinary.put("open/a")
    (ordinary.root / "closed").chmod(0)
    assert ordinary.paths("open") == ["open/a"]
    assert ordinary.paths("") == ["closed/", "open/a"]


def test_many_prefixes_of_which_some_begin_alike(tree: Tree) -> None:
    wanted = [f"remixes/c{number:03}_x/a.mp4" for number in range(0, 300, 3)]
    for number in range(300):
        tree.put(f"remixes/c{number:03}_x/a.mp4")
    prefixes = [f"remixes/c{number:03}_" for number in range(0, 300, 3)]
    assert tree.paths(*prefixes, *prefixes, "remixes/c003_x/a") == wanted


# -- names ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:12])
def test_a_hostile_name_is_a_name(tree: Tree, name: str) -> None:
    tree.put(f"d/{name}", b"body")
    [found] = tree.walk()
    if sys.platform != "darwin":
        assert found.path == f"d/{name}"
    assert found.crc32c == crc(b"body")
    assert list(tree.source().lookup([found.path])) == [found]
    with tree.source().open(found.path) as file:
        assert file.read() == b"body"


@pytest.mark.posix("a path there has 32,767 letters at the most")
def test_a_folder_may_be_deeper_than_pythons_stack(tree: Tree) -> None:
    deep = "/".join("d" * 900)
    tree.put(f"{deep}/x", b"1")
    [found] = tree.walk()
    assert (found.path, found.crc32c) == (f"{deep}/x", crc(b"1"))
    assert list(tree.source().lookup([found.path])) == [found]


@posix
def test_a_path_longer_than_the_system_takes_is_walked(tree: Tree) -> None:
    tree.put("a.png")
    here = os.open(tree.root, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=here)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    with open(os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=here), "wb") as file:
        file.write(b"deep")
    os.close(here)
    first, second = tree.walk()
    assert (first.path, second.path, second.crc32c) == ("a.png", 20 * f"{'d' * 250}/" + "x", crc(b"deep"))


@pytest.mark.posix("only Linux takes any bytes for a name")
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes any bytes for a name")
def test_a_name_that_is_not_utf_8_is_told_and_not_taken(tree: Tree) -> None:
    root = os.fsencode(tree.root)
    for name in (b"\xff.png", rb"\xff.png", b"caf\xe9"):
        Path(os.fsdecode(root + b"/" + name)).write_bytes(b"1")
    os.mkdir(root + b"/d\xe9")
    Path(os.fsdecode(root + b"/d\xe9/x")).write_bytes(b"1")
    rows = tree.walk()
    assert [(row.path, row.problem) for row in rows] == [
        ("\\xff.png", None),
        ("\\xff.png\\", FileProblem.UNDECODABLE),
        ("caf\\xe9", FileProblem.UNDECODABLE),
        ("d\\xe9/", FileProblem.UNDECODABLE),
    ]
    assert all(row.path.encode() and row.detail.isprintable() for row in rows)
    assert [row.crc32c for row in rows] == [crc(b"1"), None, None, None]
    with pytest.raises(SourceChanged), tree.source().open("\udcff.png"):
        pass


def test_ignored_names_are_left_out_wherever_they_are(tree: Tree) -> None:
    for path in (
        "a.tmp",
        "d.part/x",
        "d/.DS_Store",
        "d/Thumbs.db",
        ".reconcile/state.db",
        "d/.reconcile/x",
        "d/a.tmp.png",
    ):
        tree.put(path)
    assert tree.paths() == ["d/a.tmp.png"]
    assert list(tree.source().lookup(["a.tmp", "d.part/x", ".reconcile/state.db"])) == []


@posix
def test_ignored_names_differ_in_case(tree: Tree) -> None:
    tree.put("A.TMP")
    assert tree.paths() == ["A.TMP"]


@pytest.mark.posix("the other systems take twins for one name")
@pytest.mark.skipif(sys.platform != "linux", reason="the other systems take twins for one name")
def test_twins_are_told_on_both_sides(tree: Tree) -> None:
    for path in ("d/a.png", "d/A.png", "d/b.png", NFC, NFD, "x/ß", "x/SS", "x/ss", "up/File", "up/file/x"):
        tree.put(path)
    twins = {file.path: file.twin for file in tree.walk() if file.twin}
    assert twins == {
        "d/a.png": "d/A.png", "d/A.png": "d/a.png", NFC: NFD, NFD: NFC,
        "x/ß": "x/SS", "x/SS": "x/ss", "x/ss": "x/SS",
    }  # fmt: skip


@pytest.mark.posix("the other systems take twins for one name")
@pytest.mark.skipif(sys.platform != "linux", reason="the other systems take twins for one name")
def test_twins_below_folders_that_are_twins(tree: Tree) -> None:
    for path in (
        "Dances/a.mp4",
        "dances/A.mp4",
        "dances/b.mp4",
        "Dances/Sub/x",
        "dances/sub/X",
        "dances/SUB/y",
        "other/a.mp4",
    ):
        tree.put(path)
    wanted = {
        "Dances/a.mp4": "dances/A.mp4", "dances/A.mp4": "Dances/a.mp4",
        "Dances/Sub/x": "dances/sub/X", "dances/sub/X": "Dances/Sub/x",
    }  # fmt: skip
    assert {file.path: file.twin for file in tree.walk() if file.twin} == wanted
    # A scope that holds one of the two tells of the other, as the whole does.
    assert {file.path: file.twin for file in tree.walk("dances/") if file.twin} == {
        path: twin for path, twin in wanted.items() if path.startswith("dances/")
    }
    assert [row.twin for row in tree.source().lookup(["dances/sub/X"])] == ["Dances/Sub/x"]


@pytest.mark.posix("the other systems take twins for one name")
@pytest.mark.skipif(sys.platform != "linux", reason="the other systems take twins for one name")
def test_what_is_ignored_or_a_link_to_a_folder_is_nobodys_twin(tree: Tree) -> None:
    tree.put("x/a.tmp")
    tree.put("x/A.TMP")
    tree.put("y/a")
    (tree.root / "Y").symlink_to("y")
    assert [file.twin for file in tree.walk()] == [None, None, None]


# -- problems ---------------------------------------------------------------------------------------------------


def test_an_empty_file(tree: Tree) -> None:
    tree.put("a.png", b"")
    assert tree.problems() == {"a.png": FileProblem.EMPTY}


@posix
def test_links_are_told_and_never_followed(tree: Tree, tmp_path: Path) -> None:
    tree.put("d/a.png")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("secret")
    for name, target in {
        "file_in": "d/a.png", "file_out": secret / "key", "folder_in": "d", "folder_out": secret, "up": "..",
        "self": "self", "broken": "nowhere",
    }.items():  # fmt: skip
        (tree.root / name).symlink_to(target)
    rows = tree.walk()
    links = {"broken", "file_in", "file_out", "folder_in/", "folder_out/", "self", "up/"}
    assert {row.path for row in rows if row.problem is FileProblem.SYMLINK} == links
    assert {row.path for row in rows} == links | {"d/a.png"}
    assert {row.crc32c for row in rows if row.problem} == {None}
    assert (
        next(row.detail for row in rows if row.path == "file_in")
        == "it is a link to d/a.png, and links are not followed"
    )


@posix
def test_a_link_in_the_way_of_a_prefix_is_told(tree: Tree) -> None:
    tree.put("d/a.png")
    (tree.root / "link").symlink_to("d")
    assert tree.paths("link/a") == ["link/"]
    assert [(row.path, row.problem) for row in tree.source().lookup(["link/a.png", "link"])] == [
        ("link/a.png", FileProblem.SYMLINK)
    ]


@posix
def test_what_is_no_regular_file_is_told_and_never_opened(tree: Tree) -> None:
    os.mkfifo(tree.root / "fifo.png")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(tree.root)  # a socket's path may not be longer than 100 bytes
        server.bind("socket.png")
        os.chdir(here)
        rows = tree.walk()
    assert [(row.path, row.problem) for row in rows] == [
        ("fifo.png", FileProblem.UNREADABLE),
        ("socket.png", FileProblem.UNREADABLE),
    ]
    assert ["named pipe" in rows[0].detail, "socket" in rows[1].detail] == [True, True]


@pytest.fixture
def ordinary() -> Iterator[Tree]:
    """A tree of a user whom modes hold back, as they do not hold back root."""
    folder = Path(tempfile.mkdtemp())
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    try:
        yield Tree(folder / "output")
    finally:
        if is_root:
            os.seteuid(0)
        for found, _, _ in os.walk(folder, topdown=True):
            os.chmod(found, 0o700)
        shutil.rmtree(folder)


@posix
def test_what_cannot_be_read_is_told(ordinary: Tree) -> None:
    for path in ("a.png", "closed/x.png", "hidden/x.png", "z.png"):
        ordinary.put(path)
    (ordinary.root / "a.png").chmod(0)
    (ordinary.root / "closed").chmod(0o300)
    (ordinary.root / "hidden").chmod(0o600)
    rows = ordinary.walk()
    assert [(row.path, row.problem) for row in rows] == [
        ("a.png", FileProblem.UNREADABLE),
        ("closed/", FileProblem.UNREADABLE),
        ("hidden/x.png", FileProblem.UNREADABLE),
        ("z.png", None),
    ]
    assert all("ermission" in row.detail for row in rows[:3])
    assert [row.problem for row in ordinary.source().lookup(["closed/x.png", "closed/none"])] == [
        FileProblem.UNREADABLE,
        FileProblem.UNREADABLE,
    ]
    with pytest.raises(SourceError, match=r"a\.png cannot be read") as failure, ordinary.source().open("a.png"):
        pass
    assert not isinstance(failure.value, SourceChanged)


@posix
def test_a_root_that_cannot_be_read_is_an_error(ordinary: Tree) -> None:
    ordinary.root.chmod(0)
    with pytest.raises(SourceError, match="cannot be read") as failure:
        ordinary.walk()
    assert failure.value.hint


def test_a_root_that_is_not_there_is_an_error(tree: Tree) -> None:
    tree.root.rmdir()
    for read in (tree.walk, lambda: tree.source().lookup(["a"])):
        with pytest.raises(SourceError, match="is not there") as failure:
            read()
        assert "[local]" in failure.value.hint
    tree.root.write_bytes(b"")
    with pytest.raises(SourceError, match="is not a folder"):
        tree.walk()


def test_a_root_that_goes_away_is_an_error_and_not_an_empty_tree(tree: Tree) -> None:
    for number in range(200):
        tree.put(f"a/{number:03}")
        tree.put(f"b/{number:03}")
    rows = tree.source().walk()
    next(rows)
    shutil.rmtree(tree.root)
    with pytest.raises(SourceError, match="went away"):
        list(rows)
    tree.put("a/1")
    rows = tree.source().walk()
    next(rows)
    tree.root.rename(tree.root.with_name("old"))
    tree.root.mkdir()
    with pytest.raises(SourceError, match="replaced"):
        list(rows)


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
    [found] = LocalFiles(Path("/sys/kernel"), ignore=(), looks=Looks(0), cache=Cache()).lookup(["fscaps"])
    assert (found.problem, found.crc32c) == (FileProblem.UNSETTLED, None)


def test_two_walks_at_once_do_not_disturb_each_other(tree: Tree) -> None:
    for number in range(30):
        tree.put(f"{number:02}", os.urandom(1_100_000))
    source = tree.source()
    for one, other in zip(source.walk(), source.walk(), strict=True):
        assert one == other
        assert one.crc32c == crc((tree.root / one.path).read_bytes())


# -- looking up -------------------------------------------------------------------------------------------------


def test_a_lookup_gives_the_rows_of_a_walk_in_the_order_asked(tree: Tree) -> None:
    for path in ("a/x.png", "a/y.png", "b.png", "c/d/e.png"):
        tree.put(path)
    tree.put("empty", b"")
    rows = {row.path: row for row in tree.walk()}
    asked = [
        "c/d/e.png",
        "b.png",
        "none",
        "a/y.png",
        "a/x.png",
        "a/y.png",
        "empty",
        "a",
        "a/",
        "c/d/none",
        "b.png/x",
        "c/none/x",
    ]
    assert list(tree.source().lookup(asked)) == [rows[path] for path in asked if path in rows]


ESCAPES = (
    "", "/", ".", "..", "../secret", "a/../b.png", "./b.png", "a//x.png", "a/./x.png", "/etc/passwd", "b.png/", "a/..",
    "\0", "a\0", "b.png\0", "\udcff", "..\\secret", "a\\..\\..\\secret", "C:\\b.png", "C:b.png", "\\\\host\\share",
)  # fmt: skip


@pytest.mark.parametrize("path", ESCAPES, ids=ascii)
def test_a_path_that_is_no_path_below_the_root_is_neither_found_nor_opened(
    tree: Tree, tmp_path: Path, path: str
) -> None:
    tree.put("a/x.png")
    tree.put("b.png")
    (tmp_path / "secret").write_bytes(b"secret")
    absolute = str(tmp_path / "secret")
    assert list(tree.source().lookup([path, absolute])) == []
    for wrong in (path, absolute):
        with pytest.raises(SourceChanged) as failure, tree.source().open(wrong):
            pass
        assert failure.value.hint


def test_a_lookup_tells_case_on_every_system(tree: Tree) -> None:
    tree.put("Dances/Rem.mp4")
    assert list(tree.source().lookup(["dances/Rem.mp4", "Dances/rem.mp4", "Dances/Rem.MP4"])) == []


# -- opening ----------------------------------------------------------------------------------------------------


@pytest.fixture(params=("as this system does", "by path"))
def opener(request: pytest.FixtureRequest) -> Iterator[str]:
    """Both ways to open a file below the root, whichever this system would take."""
    with contextlib.ExitStack() as stack:
        if request.param == "by path" and os.name == "posix":
            stack.enter_context(using(System(by_component=False)))
        yield str(request.param)


def test_a_file_is_opened_for_reading(tree: Tree, opener: str) -> None:
    tree.put("a/b/x.png", b"0123456789")
    with tree.source().open("a/b/x.png") as file:
        assert (file.read(4), file.read(), file.seek(1), file.read(2), file.seekable()) == (
            b"0123",
            b"456789",
            1,
            b"12",
            True,
        )
    assert file.closed


@pytest.mark.parametrize("path", ["none", "a/none", "b.png/x", "a", "none/x"])
def test_what_is_not_there_is_a_changed_source(tree: Tree, opener: str, path: str) -> None:
    tree.put("a/x.png")
    tree.put("b.png")
    with pytest.raises((SourceChanged, SourceError), match="local file") as failure, tree.source().open(path):
        pass
    assert os.name == "nt" or isinstance(failure.value, SourceChanged)


@posix
def test_nothing_is_opened_through_a_link(tree: Tree, tmp_path: Path, opener: str) -> None:
    tree.put("d/a.png")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a.png").write_bytes(b"secret")
    (tree.root / "link.png").symlink_to(tmp_path / "secret" / "a.png")
    (tree.root / "inside.png").symlink_to("d/a.png")
    (tree.root / "out").symlink_to(tmp_path / "secret")
    (tree.root / "in").symlink_to("d")
    for path in ("link.png", "inside.png", "out/a.png", "in/a.png"):
        with pytest.raises(SourceChanged), tree.source().open(path):
            pass


@posix
def test_a_pipe_is_neither_opened_nor_waited_for(tree: Tree, opener: str) -> None:
    os.mkfifo(tree.root / "a.png")
    with pytest.raises(SourceChanged, match="not a regular file"), tree.source().open("a.png"):
        pass


@posix
def test_a_root_that_is_a_link_is_the_users_own_choice(tree: Tree, tmp_path: Path, opener: str) -> None:
    tree.put("d/a.png", b"body")
    link = tmp_path / "link"
    link.symlink_to(tree.root)
    source = LocalFiles(link, ignore=(), looks=Looks(0), cache=Cache())
    assert [row.path for row in source.walk()] == ["d/a.png"]
    with source.open("d/a.png") as file:
        assert file.read() == b"body"


@pytest.mark.posix("the file that stands for a bad disk is Linux'")
@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file whose reading fails")
@pytest.mark.parametrize("read", [lambda file: file.read(), lambda file: file.read(9)])
def test_a_disk_that_fails_while_a_file_is_read_is_a_source_error(read: Callable[[object], bytes]) -> None:
    source = LocalFiles(Path("/proc/self"), ignore=(), looks=Looks(0), cache=Cache())
    with source.open("mem") as file, pytest.raises(SourceError, match="mem could not be read") as failure:
        read(file)
    assert isinstance(failure.value.__cause__, OSError)
    assert failure.value.__cause__.errno == errno.EIO


@pytest.mark.parametrize(
    ("part", "is_trick"),
    [("a.png", False), ("con", True), ("NUL.txt", True), ("com1", True), ("com1.png", True), ("LPT²", True),
     ("console", False), ("com10", False), ("a\\b", True), ("c:", True), ("a.png:stream", True), ("a.", True),
     ("a ", True), ("a b", False), ("aux .c", True)],
)  # fmt: skip
def test_names_that_windows_takes_for_another_place(part: str, is_trick: bool) -> None:
    assert local_open.is_windows_trick(part) is is_trick


def test_a_long_path_takes_the_form_that_windows_has_for_it() -> None:
    windows = Windows(FakeCalls(Handles()))
    for path, form in [
        (r"C:\oo\output", r"\\?\C:\oo\output"),
        (r"\\nas\share\output", r"\\?\UNC\nas\share\output"),
    ]:
        assert (windows.extended(path), windows.extended(form)) == (form, form)
        assert (windows.plain(path), windows.plain(form)) == (path, path)


def test_names_that_windows_takes_for_another_place_are_not_reached_there() -> None:
    if not current().is_windows:
        assert local_open.split("nul/b.png") == ["nul", "b.png"]
        return
    assert local_open.split("a/b.png") == ["a", "b.png"]
    assert local_open.split("a/b.png:stream") == local_open.split("a\\b.png") == local_open.split("nul/b.png") == []


# -- what no rule can reach -------------------------------------------------------------------------------------


RULES = (Template("characters/{char_id}.png"), Template(".thumbs/{char_id}.png"))


def test_what_programs_leave_is_neither_walked_nor_looked_up_nor_opened(tree: Tree) -> None:
    for path in ("characters/._mika.png", "characters/.AppleDouble/mika.png", ".thumbs/mika.png", ".cache/mika.png"):
        tree.put(path)
    source = LocalFiles(tree.root, ignore=(), looks=Looks(0), cache=Cache(), rules=RULES)
    assert [file.path for file in source.walk()] == [".thumbs/mika.png"]
    assert list(source.lookup(["characters/._mika.png", ".cache/mika.png"])) == []
    with pytest.raises(SourceChanged), source.open("characters/._mika.png"):
        pass


@posix
def test_a_folder_that_no_rule_can_reach_need_not_be_readable(ordinary: Tree) -> None:
    ordinary.put("private/a")
    ordinary.put("characters/closed/a")
    ordinary.put("lost+found/a")
    for name in ("private", "characters", "lost+found"):
        (ordinary.root / name).chmod(0)
    source = LocalFiles(ordinary.root, ignore=(), looks=Looks(0), cache=Cache(), rules=RULES)
    assert [(file.path, file.problem) for file in source.walk()] == [
        ("characters/", FileProblem.UNREADABLE),
        ("private/", FileProblem.UNCLAIMED),
    ]
    [below] = source.lookup(["private/a"])
    assert below.problem is FileProblem.UNCLAIMED


@posix
def test_a_file_larger_than_an_object_can_be_is_not_hashed(tree: Tree) -> None:
    for path, size in (("a.mkv", 5 * 2**40 + 1), ("b.bin", 1)):
        with tree.put(path, b"").open("r+b") as file:
            try:
                file.truncate(size)
            except OSError:
                pytest.skip("this file system takes no file of that size")
    hashed: list[int] = []
    found = {file.path: file.problem for file in tree.source(on_progress=hashed.append).walk()}
    assert (found, sum(hashed)) == ({"a.mkv": FileProblem.TOO_LARGE, "b.bin": None}, 1)


@posix
def test_a_tree_deeper_than_the_number_of_descriptors_is_walked(tree: Tree) -> None:
    import resource

    deep = "/".join("d" for _ in range(60))
    tree.put(f"{deep}/x")
    tree.put("d/y")
    tree.put("e")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = len(os.listdir("/dev/fd")) + 12
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(held, limits[0]), limits[1]))
    try:
        assert tree.paths() == [f"{deep}/x", "d/y", "e"]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
