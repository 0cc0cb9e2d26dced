"""The files below the root: which rows there are, in what order, with what problem, and what is never opened."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.adapters.local.settle import FirstLooks
from reconcile.adapters.local.store import LocalFiles
from reconcile.core.errors import SourceChanged, SourceError
from reconcile.core.names import fold
from reconcile.core.pattern import Template
from reconcile.core.rows import FileProblem, LocalFile
from tests.kit.tree import NAMES, Cache, Tree, crc, posix
from tests.kit.windows import FakeCalls, Handles, on_each_system  # noqa: F401

NFC, NFD = "caf\u00e9.png", "cafe\u0301.png"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "output")


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


# -- what no rule can reach -------------------------------------------------------------------------------------


RULES = (Template("characters/{char_id}.png"), Template(".thumbs/{char_id}.png"))


def test_what_programs_leave_is_neither_walked_nor_looked_up_nor_opened(tree: Tree) -> None:
    for path in ("characters/._mika.png", "characters/.AppleDouble/mika.png", ".thumbs/mika.png", ".cache/mika.png"):
        tree.put(path)
    source = LocalFiles(tree.root, ignore=(), looks=FirstLooks(0), cache=Cache(), rules=RULES)
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
    source = LocalFiles(ordinary.root, ignore=(), looks=FirstLooks(0), cache=Cache(), rules=RULES)
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
