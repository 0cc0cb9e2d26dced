"""Local files looked up by name, and opened: the one that is meant, and never through a link."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconcile.adapters import opening as local_open
from reconcile.adapters.local.settle import FirstLooks
from reconcile.adapters.local.store import LocalFiles
from reconcile.adapters.posix import System
from reconcile.adapters.system import current, using
from reconcile.adapters.windows import Windows
from reconcile.core.errors import SourceChanged, SourceError
from tests.kit.tree import Cache, Tree, posix
from tests.kit.windows import FakeCalls, Handles, on_each_system  # noqa: F401


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "output")


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


class ByPath(System):
    """A system that opens nothing relative to an open folder."""

    by_component = False


@pytest.fixture(params=("as this system does", "by path"))
def opener(request: pytest.FixtureRequest) -> Iterator[str]:
    """Both ways to open a file below the root, whichever this system would take."""
    with contextlib.ExitStack() as stack:
        if request.param == "by path" and os.name == "posix":
            stack.enter_context(using(ByPath()))
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
    source = LocalFiles(link, ignore=(), looks=FirstLooks(0), cache=Cache())
    assert [row.path for row in source.walk()] == ["d/a.png"]
    with source.open("d/a.png") as file:
        assert file.read() == b"body"


@pytest.mark.posix("the file that stands for a bad disk is Linux'")
@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file whose reading fails")
@pytest.mark.parametrize("read", [lambda file: file.read(), lambda file: file.read(9)])
def test_a_disk_that_fails_while_a_file_is_read_is_a_source_error(read: Callable[[object], bytes]) -> None:
    source = LocalFiles(Path("/proc/self"), ignore=(), looks=FirstLooks(0), cache=Cache())
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
