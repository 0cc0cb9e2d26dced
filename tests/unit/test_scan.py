"""A scan of a machine's files: written, read back, and refused when it is not whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.adapters.scanned import ScannedFiles, open_scan
from reconcile.adapters.shared_folder import DiskFolder
from reconcile.core import scan as scans
from reconcile.core.errors import SourceChanged, UsageError
from reconcile.core.headed import dump_head
from reconcile.core.names import is_below
from reconcile.core.rows import FileProblem, LocalFile
from reconcile.core.scan import HEAD, Scan

PATHS = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=8).filter(is_below)
FILES = st.builds(
    LocalFile,
    PATHS,
    st.integers(0, 2**45),
    st.integers(0, 2**62),
    st.none() | st.just("mnG7TA=="),
    st.none() | st.sampled_from(list(FileProblem)),
    st.text(max_size=5),
    st.none() | st.text(max_size=5),
)


def write(folder: Path, name: str, *files: LocalFile) -> DiskFolder:
    """A scan of these files, as this machine's."""
    made = DiskFolder(folder)
    shards = []
    for shard, data in scans.shards_of(sorted(files, key=lambda file: file.path)):
        made.create(shard.name, data)
        shards.append(shard)
    made.create(HEAD, dump_head(Scan(scans.FORMAT, "reconcile", "2026-11-28", name, "/srv", tuple(shards))))
    return made


def file(path: str, crc32c: str = "mnG7TA==") -> LocalFile:
    return LocalFile(path, 3, 5, crc32c)


@given(FILES)
def test_what_is_written_is_read_back(found: LocalFile) -> None:
    ((shard, data),) = scans.shards_of([found])
    assert list(scans.read_shard(shard, data, "it")) == [found]


@given(st.just("") | PATHS)
def test_a_name_that_is_not_valid_unicode_comes_back_as_it_was(text: str) -> None:
    found = LocalFile(f"{text}\udcff", 0, 0, problem=FileProblem.UNDECODABLE)
    ((shard, data),) = scans.shards_of([found])
    assert list(scans.read_shard(shard, data, "it")) == [found]


def test_many_files_are_in_several_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    made = list(scans.shards_of(file(f"{number:06}") for number in range(scans.FILES_A_SHARD + 1)))
    assert [(shard.name, shard.files) for shard, _ in made] == [
        ("files-0000.jsonl", scans.FILES_A_SHARD),
        ("files-0001.jsonl", 1),
    ]


def test_the_files_of_several_machines_are_one_listing_in_order(tmp_path: Path) -> None:
    one = write(tmp_path / "one", "one", file("a"), file("c"))
    two = write(tmp_path / "two", "two", file("b"), file("c"))
    files = ScannedFiles([one, two])
    assert [each.path for each in files.walk()] == ["a", "b", "c"]
    assert [each.path for each in files.walk(("b", "c"))] == ["b", "c"]
    assert [each.path for each in files.lookup(["c", "x", "a"])] == ["c", "a"]
    assert files.machines({"a", "b", "c", "x"}) == {"a": "one", "b": "two", "c": "one"}


def test_one_path_with_different_content_on_two_machines_is_not_uploaded(tmp_path: Path) -> None:
    one = write(tmp_path / "one", "one", file("a"))
    two = write(tmp_path / "two", "two", file("a", "AAAAAA=="))
    (found,) = ScannedFiles([one, two]).walk()
    assert found.problem is FileProblem.UNREADABLE
    assert "2 machines" in found.detail


def test_two_scans_of_one_machine_are_refused(tmp_path: Path) -> None:
    folders = [write(tmp_path / name, "render", file("a")) for name in ("one", "two")]
    with pytest.raises(UsageError, match="two scans are of the machine render"):
        ScannedFiles(folders)


@pytest.mark.parametrize("name", ["../../x", "a/b", "", ".", "a\nb", "x" * 64])
def test_a_name_that_would_lead_out_of_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    """It becomes part of the names of files when a plan is saved."""
    with pytest.raises(UsageError, match="not a valid name of a machine"):
        open_scan(write(tmp_path / "one", name, file("a")))


def test_a_file_of_a_scan_is_not_opened(tmp_path: Path) -> None:
    files = ScannedFiles([write(tmp_path / "one", "one", file("a"))])
    with pytest.raises(SourceChanged, match="another machine"):
        files.open("a")


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../../x", "a//b", "./a", "", "/", "a/./b", "..", "../", "a\0b"]
)
def test_a_path_that_leads_out_of_a_root_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(UsageError, match="is not a file below a root"):
        list(ScannedFiles([write(tmp_path / "one", "one", file(path))]).walk())


def test_a_file_of_less_than_no_bytes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a file below a root"):
        list(ScannedFiles([write(tmp_path / "one", "one", LocalFile("a", -1, 0))]).walk())


def test_a_scan_in_another_order_is_refused_as_its_files_would_be_missed(tmp_path: Path) -> None:
    made = DiskFolder(tmp_path / "one")
    ((shard, data),) = scans.shards_of([file("b"), file("a")])
    made.create(shard.name, data)
    made.create(HEAD, dump_head(Scan(scans.FORMAT, "reconcile", "2026-11-28", "one", "/srv", (shard,))))
    with pytest.raises(UsageError, match="is not in order"):
        list(ScannedFiles([made]).walk())


def test_a_scan_of_another_format_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "one", "one", file("a"))
    place = tmp_path / "one" / HEAD
    place.write_bytes(place.read_bytes().replace(b"scan/1", b"scan/2"))
    with pytest.raises(UsageError, match=r"this version reads 'reconcile.scan/1'"):
        open_scan(folder)


def test_a_scan_of_no_files_is_one(tmp_path: Path) -> None:
    assert list(ScannedFiles([write(tmp_path / "one", "one")]).walk()) == []


def test_a_scan_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "one", "one", file("a"))
    place = tmp_path / "one" / "files-0000.jsonl"
    data = place.read_bytes()
    place.write_bytes(data[:-1])
    with pytest.raises(UsageError, match="files-0000"):
        open_scan(folder)
    place.write_bytes(data.replace(b"mnG7", b"mnG8"))
    with pytest.raises(UsageError, match="is not the file"):
        list(ScannedFiles([folder]).walk())
    place.unlink()
    with pytest.raises(UsageError, match="files-0000"):
        open_scan(folder)
    (tmp_path / "one" / HEAD).unlink()
    with pytest.raises(UsageError, match="holds no scan"):
        open_scan(folder)
