"""How a file that was lost is made again: whole, verified, over nothing, through no link."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconcile.adapters.local.writing import LocalPlaces
from reconcile.core.errors import NotThere, Rejected, SourceChanged, SourceError, StoreUnavailable
from tests.kit.fakes import digest
from tests.kit.windows import on_each_system  # noqa: F401

posix_only = pytest.mark.posix("Windows gives links to administrators only")

GENERATION = 7


def test_what_is_open_for_reading_only_cannot_be_flushed_in_these_tests(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    with (tmp_path / "a").open("rb") as file, pytest.raises(OSError, match="Bad file descriptor"):
        os.fsync(file.fileno())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "a" / "output"


def body(data: bytes, asked: list[int] | None = None, *, chunk: int = 3) -> Callable[[int], Iterator[bytes]]:
    """What a store gives of these bytes from an offset on."""

    def read(offset: int) -> Iterator[bytes]:
        if asked is not None:
            asked.append(offset)
        rest = data[offset:]
        return iter([rest[at : at + chunk] for at in range(0, len(rest), chunk)])

    return read


def place(
    root: Path, path: str, data: bytes, source: Callable[[int], Iterator[bytes]] | None = None, **more: Any
) -> bool:
    options = {"size": len(data), "crc32c": digest(data), "generation": GENERATION} | more
    return LocalPlaces(root).place(path, source or body(data), **options)


def broken(data: bytes, error: Exception) -> Callable[[int], Iterator[bytes]]:
    def read(offset: int) -> Iterator[bytes]:
        yield data[offset:]
        raise error

    return read


def below(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_file_is_made_with_its_folders_and_the_root(root: Path) -> None:
    moved: list[int] = []
    assert place(
        root, "remixes/x y/[kpop]_é.mp4", b"0123456789", modified_ns=1_700_000_000_123_456_000, progress=moved.append
    )

    assert below(root) == {"remixes/x y/[kpop]_é.mp4": b"0123456789"}
    found = (root / "remixes/x y/[kpop]_é.mp4").stat()
    assert found.st_nlink == 1
    assert found.st_mtime_ns // 1_000_000 == 1_700_000_000_123
    assert sum(moved) == 10


def test_an_empty_object_is_an_empty_file(root: Path) -> None:
    assert place(root, "empty.png", b"")
    assert below(root) == {"empty.png": b""}


def test_it_goes_on_where_it_broke(root: Path) -> None:
    data = bytes(range(200))
    with pytest.raises(StoreUnavailable):
        place(root, "x.mp4", data, broken(data[:70], StoreUnavailable("gone")))
    assert not (root / "x.mp4").exists()
    assert LocalPlaces(root).begun("x.mp4", GENERATION) == 70
    asked: list[int] = []
    moved: list[int] = []
    assert place(root, "x.mp4", data, body(data, asked), progress=moved.append)

    assert asked == [70]
    assert sum(moved) == 200
    assert below(root) == {"x.mp4": data}


def test_what_came_of_another_generation_is_not_used_and_goes(root: Path) -> None:
    old, new = b"old" * 50, b"new" * 50
    with pytest.raises(StoreUnavailable):
        place(root, "x.mp4", old, broken(old[:70], StoreUnavailable("gone")))
    with pytest.raises(StoreUnavailable):
        place(root, "y.mp4", old, broken(old[:70], StoreUnavailable("gone")))
    asked: list[int] = []
    assert LocalPlaces(root).begun("x.mp4", 8) == 0
    assert place(root, "x.mp4", new, body(new, asked), generation=8)

    assert asked == [0]
    assert (root / "x.mp4").read_bytes() == new
    assert LocalPlaces(root).begun("x.mp4", GENERATION) == 0
    assert LocalPlaces(root).begun("y.mp4", GENERATION) == 70


@pytest.mark.parametrize("kept", [b"wrong bytes", b"0123456789 and more", b"9876543210"])
def test_a_part_that_somebody_spoilt_starts_over(root: Path, kept: bytes) -> None:
    data = b"0123456789"
    with pytest.raises(StoreUnavailable):
        place(root, "x.mp4", data, broken(b"0", StoreUnavailable("gone")))
    (part,) = root.iterdir()
    part.write_bytes(kept)
    moved: list[int] = []
    assert place(root, "x.mp4", data, progress=moved.append)

    assert below(root) == {"x.mp4": data}
    assert sum(moved) == 10


@pytest.mark.parametrize("come", [b"0123456780", b"012345678", b"0123456789+", b""])
def test_bytes_that_are_not_the_ones_meant_never_take_the_place(root: Path, come: bytes) -> None:
    with pytest.raises(Rejected, match="checksum"):
        place(root, "x.mp4", b"0123456789", body(come))
    assert below(root) == {}


def test_nothing_is_overwritten(root: Path) -> None:
    root.mkdir(parents=True)
    (root / "x.mp4").write_bytes(b"mine")
    with pytest.raises(SourceChanged, match=r"x\.mp4"):
        place(root, "x.mp4", b"theirs")
    assert below(root) == {"x.mp4": b"mine"}
    assert place(root, "x.mp4", b"mine") is False
    assert below(root) == {"x.mp4": b"mine"}


def test_a_folder_in_its_place_stays(root: Path) -> None:
    (root / "x.mp4").mkdir(parents=True)
    with pytest.raises(SourceChanged):
        place(root, "x.mp4", b"theirs")
    assert [path.name for path in root.iterdir()] == ["x.mp4"]


def test_a_file_where_a_folder_is_needed_stays(root: Path) -> None:
    root.mkdir(parents=True)
    (root / "characters").write_bytes(b"mine")
    with pytest.raises(SourceError, match=r"characters/rem\.png"):
        place(root, "characters/rem.png", b"theirs")
    assert below(root) == {"characters": b"mine"}


@posix_only
def test_no_link_is_followed(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root.mkdir(parents=True)
    (root / "characters").symlink_to(outside)
    with pytest.raises(SourceError):
        place(root, "characters/rem.png", b"x")
    (root / "x.mp4").symlink_to(outside / "stolen")
    with pytest.raises(SourceChanged):
        place(root, "x.mp4", b"x")
    assert list(outside.iterdir()) == []
    assert (root / "x.mp4").is_symlink()


@posix_only
def test_a_link_in_the_place_of_the_part_is_not_followed(root: Path, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_bytes(b"precious")
    with pytest.raises(StoreUnavailable):
        place(root, "x.mp4", b"0123", broken(b"0", StoreUnavailable("gone")))
    (part,) = root.iterdir()
    part.unlink()
    part.symlink_to(target)
    with pytest.raises(SourceError):
        place(root, "x.mp4", b"0123")
    assert target.read_bytes() == b"precious"
    assert LocalPlaces(root).begun("x.mp4", GENERATION) == 0


@posix_only
def test_the_root_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "drive").mkdir()
    root.parent.mkdir()
    root.symlink_to(tmp_path / "drive")
    assert place(root, "a/x.mp4", b"0123")
    assert below(tmp_path / "drive") == {"a/x.mp4": b"0123"}


@pytest.mark.skipif(not hasattr(os, "link"), reason="no hard links here")
def test_a_part_that_is_also_somebodys_file_is_not_written_to(root: Path) -> None:
    """Killed between the two steps of a move, a run leaves one file with two names."""
    data = b"0123456789"
    with pytest.raises(StoreUnavailable):
        place(root, "x.mp4", data, broken(data[:4], StoreUnavailable("gone")))
    (part,) = root.iterdir()
    os.link(part, root / "kept.mp4")
    assert place(root, "x.mp4", data)
    assert below(root) == {"kept.mp4": data[:4], "x.mp4": data}


def test_a_generation_that_is_gone_leaves_nothing(root: Path) -> None:
    with pytest.raises(NotThere):
        place(root, "x.mp4", b"0123456789", broken(b"01234", NotThere("replaced")))
    assert below(root) == {}


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a//b", "a/./b", "a/../b", "", "a/", "a\0b", "a/" + "x" * 256])
def test_a_name_that_leads_elsewhere_is_refused(root: Path, path: str) -> None:
    places = LocalPlaces(root)
    assert places.refusal(path) is not None
    with pytest.raises(SourceError):
        place(root, path, b"x")
    assert not root.exists()


def test_a_long_name_has_a_part_too(root: Path) -> None:
    name = "é" * 125 + ".mp4"
    with pytest.raises(StoreUnavailable):
        place(root, name, b"0123", broken(b"01", StoreUnavailable("gone")))
    assert LocalPlaces(root).begun(name, 2**62) == 0
    assert place(root, name, b"0123")
    assert below(root) == {name: b"0123"}


@pytest.mark.parametrize(("path", "ignored"), [("a.tmp", True), ("a.tmp/b", True), ("a/tmp", False)])
def test_what_the_walk_ignores_is_known(root: Path, path: str, ignored: bool) -> None:
    assert LocalPlaces(root, ignore=("*.tmp",)).ignores(path) is ignored


def test_many_files_of_one_folder_at_once(root: Path) -> None:
    places = LocalPlaces(root)
    failed: list[BaseException] = []

    def make(number: int) -> None:
        data = str(number).encode() * 1000
        try:
            for name in (f"a/b/{number}", "a/shared"):
                same = data if name != "a/shared" else b"shared"
                places.place(name, body(same), size=len(same), crc32c=digest(same), generation=1)
        except BaseException as error:  # noqa: BLE001 - told in the main thread
            failed.append(error)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert below(root) == {f"a/b/{n}": str(n).encode() * 1000 for n in range(16)} | {"a/shared": b"shared"}


def test_a_full_disk_is_told_by_its_reason(root: Path) -> None:
    def full(_offset: int) -> Iterator[bytes]:
        yield b"01"
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(SourceError, match="No space left"):
        place(root, "x.mp4", b"0123", full)


def half(_start: int) -> Iterator[bytes]:
    """The body of an object whose download breaks."""
    yield b"half"
    raise StoreUnavailable("gone")


@pytest.mark.parametrize("name", ["m.png", "mika.png", "mika_dance_01.png", 120 * "m" + ".png", 60 * "\u00e9" + ".png"])
def test_the_name_of_a_part_is_never_longer_than_the_files(root: Path, name: str) -> None:
    places = LocalPlaces(root)
    with pytest.raises(StoreUnavailable):
        places.place(f"d/{name}", half, size=8, crc32c=digest(b"halfhalf"), generation=7)
    (part,) = (root / "d").iterdir()
    assert len(os.fsencode(part.name)) <= len(os.fsencode(name))
    assert places.begun(f"d/{name}", 7) == 4
    assert places.place(f"d/{name}", lambda _: iter([b"half"]), size=8, crc32c=digest(b"halfhalf"), generation=7)
    assert [each.name for each in (root / "d").iterdir()] == [name]


def test_parts_of_older_generations_and_of_older_versions_are_removed(root: Path) -> None:
    (root / "d").mkdir(parents=True)
    named = hashlib.sha256(b"d/mika_dance.mp4").hexdigest()[:12]
    former = root / "d" / f".mika_dance.mp4.{named}.5.restore.part"
    others = root / "d" / ".other.mp4.0123456789ab.5.restore.part"
    for left in (former, others):
        left.write_bytes(b"left")
    with pytest.raises(StoreUnavailable):
        LocalPlaces(root).place("d/mika_dance.mp4", half, size=8, crc32c=digest(b"halfhalf"), generation=6)
    assert len(list((root / "d").iterdir())) == 3
    LocalPlaces(root).place("d/mika_dance.mp4", lambda _: iter([b"w"]), size=1, crc32c=digest(b"w"), generation=7)
    assert sorted(each.name for each in (root / "d").iterdir()) == [others.name, "mika_dance.mp4"]
