"""Files that are there whole or not at all, and locks between processes."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from reconcile.adapters.files import LockBusy, beside, create, lock, move_to_free, write_whole
from reconcile.adapters.system import current
from tests.kit.windows import on_each_system  # noqa: F401


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_a_file_that_is_replaced_leaves_nothing_else_behind(tmp_path: Path) -> None:
    for data in (b"old", b"new"):
        write_whole(tmp_path / "a.json", data)
        assert (tmp_path / "a.json").read_bytes() == data
    assert names(tmp_path) == ["a.json"]


def test_a_file_that_cannot_take_its_place_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    with pytest.raises(OSError):
        write_whole(tmp_path / "place", b"new")
    assert names(tmp_path) == ["place"]


def test_what_was_not_moved_is_removed_also_when_the_caller_fails(tmp_path: Path) -> None:
    with contextlib.suppress(ZeroDivisionError), beside(tmp_path / "a", b"data") as fresh:
        assert fresh.read_bytes() == b"data"
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_a_new_file_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        create(tmp_path / "link", b"data")
    assert names(tmp_path) == ["link"]


@pytest.mark.parametrize("by_descriptor", [True, False])
def test_a_name_that_something_has_is_never_taken(tmp_path: Path, *, by_descriptor: bool) -> None:
    create(tmp_path / "new", b"new")
    create(tmp_path / "old", b"old")
    by_descriptor = by_descriptor and current().by_component
    folder = os.open(tmp_path, os.O_RDONLY) if by_descriptor else None
    new, old, free = (
        ("new", "old", "free") if by_descriptor else (tmp_path / "new", tmp_path / "old", tmp_path / "free")
    )
    try:
        with pytest.raises(FileExistsError):
            move_to_free(new, old, folder=folder)
        move_to_free(new, free, folder=folder)
    finally:
        if folder is not None:
            os.close(folder)
    assert (tmp_path / "old").read_bytes() == b"old"
    assert (tmp_path / "free").read_bytes() == b"new"
    assert names(tmp_path) == ["free", "old"]


def test_a_lock_that_is_held_is_busy_and_free_once_it_is_given_back(tmp_path: Path) -> None:
    held = lock(tmp_path / "lock", 0)
    with pytest.raises(LockBusy):
        lock(tmp_path / "lock", 0)
    held.release()
    lock(tmp_path / "lock", 0).release()


def test_a_lock_that_cannot_be_had_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        lock(tmp_path, 0)
