"""Whoever writes a record or names a file: nothing outside the root is opened, nothing of it is uploaded."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from pathlib import Path

import pytest
from crc32c import crc32c

from reconcile.adapters.local.settle import FirstLooks
from reconcile.adapters.local.store import LocalFiles
from reconcile.core.digest import encode_crc32c
from tests.kit.small_project import make_project, open_records, write
from tests.security.attack import bucket, forge, records, run, saved_plan, snapshot

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links need rights there that a user has not")

SECRET = b"root:x:0:0:the secret:/root:/bin/sh\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "studio")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the project whose files have names that the rules take."""
    folder = tmp_path / "outside" / "characters"
    folder.mkdir(parents=True)
    for name in ("evil.png", "ai_hoshino.png"):
        (folder / name).write_bytes(SECRET)
        os.utime(folder / name, (1, 1))
    return folder


def name_in_record(project: Path, text: str) -> None:
    store = open_records(project)
    store.put("evil", {"assets": [{"title": "primary", "anime_image": text, "icon": [text], "note": text}]})
    store.close()


@pytest.mark.parametrize(
    "text",
    [
        "/etc/passwd",
        "file:///etc/passwd",
        "//etc/passwd",
        "../../../../../../etc/passwd",
        "characters/../../../../../../etc/passwd",
        "output/../../secrets.png",
        r"C:\oo\bar\output\..\..\Windows\win.ini",
        r"\\.\PhysicalDrive0",
        r"\\evil\share\x.png",
        "/dev/zero",
        "/proc/self/environ",
        "characters/NUL.png",
        "characters/ai_hoshino.png\0.txt",
        "/etc/passwd\n",
        "$HOME/.ssh/id_rsa",
        "~/.ssh/id_rsa",
        "|cat /etc/passwd",
    ],
)
def test_a_record_that_names_a_file_elsewhere_opens_and_uploads_nothing(project: Path, text: str) -> None:
    name_in_record(project, text)
    planned = run(project, "plan", "--json")
    assert planned.code == 0
    assert all(action["char_id"] != "evil" for action in planned.document["actions"])
    assert run(project, "apply", "--yes", "--quiet").code == 0
    assert records(project)["evil"] == [{"title": "primary", "anime_image": text, "icon": [text], "note": text}]
    assert set(bucket(project)) == {
        "characters/ai_hoshino.png",
        "characters/rem.png",
        "remixes/ai_hoshino_x/result/[kpop]_x.mp4",
    }


def test_a_path_outside_every_root_is_a_finding(project: Path) -> None:
    name_in_record(project, "/etc/passwd")
    found = [each for each in run(project, "plan", "--json").document["findings"] if each["char_id"] == "evil"]
    assert {each["code"] for each in found} == {"outside_root"}
    assert {each["subject"] for each in found} == {"characters/evil"}


@pytest.mark.parametrize("what", ["file", "folder", "chain"])
def test_a_link_out_of_the_root_is_told_and_not_followed(project: Path, outside: Path, what: str) -> None:
    root = project / "output"
    if what == "file":
        (root / "characters" / "evil.png").symlink_to(outside / "evil.png")
    else:
        shutil.rmtree(root / "characters")
        between = root / "between"
        between.symlink_to(outside)
        (root / "characters").symlink_to(between if what == "chain" else outside)
    planned = run(project, "plan", "--json")
    assert "symlink_skipped" in {each["code"] for each in planned.document["findings"]}
    run(project, "apply", "--yes", "--quiet")
    assert SECRET not in bucket(project).values()


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_link_put_there_between_plan_and_apply_is_not_followed(project: Path, outside: Path, what: str) -> None:
    saved_plan(project)
    place = project / "output" / "characters"
    if what == "file":
        (place / "ai_hoshino.png").unlink()
        (place / "ai_hoshino.png").symlink_to(outside / "ai_hoshino.png")
    else:
        shutil.rmtree(place)
        place.symlink_to(outside)
    applied = run(project, "apply", "plan.json", "--yes", "--json")
    outcomes = {each["key"]: each["outcome"] for each in applied.document["outcomes"] if each["kind"] == "upload"}
    assert applied.code == 3
    assert outcomes["characters/ai_hoshino.png"] == "stale"
    assert "characters/ai_hoshino.png" not in bucket(project)
    assert records(project)["ai_hoshino"][0]["anime_image"].startswith("C:")


def test_the_bytes_behind_such_a_link_are_not_sent_even_where_they_are_the_planned_ones(
    project: Path, outside: Path
) -> None:
    """Equal size and checksum: what keeps it out is that no link is followed, not that the bytes differ."""
    shutil.copy(project / "output" / "characters" / "ai_hoshino.png", outside / "ai_hoshino.png")
    saved_plan(project)
    shutil.rmtree(project / "output" / "characters")
    (project / "output" / "characters").symlink_to(outside)
    assert run(project, "apply", "plan.json", "--yes", "--json").code == 3
    assert "characters/ai_hoshino.png" not in bucket(project)


def test_a_pipe_in_a_files_place_makes_no_run_wait(project: Path) -> None:
    saved_plan(project)
    (project / "output" / "characters" / "ai_hoshino.png").unlink()
    os.mkfifo(project / "output" / "characters" / "ai_hoshino.png")
    assert run(project, "apply", "plan.json", "--yes", "--quiet").code == 3
    assert run(project, "plan", "--quiet").code == 1


def test_an_ignored_file_is_not_to_be_had_by_naming_it_in_a_plan(project: Path) -> None:
    """A rule matches the file; what keeps it here is that ``ignore`` does, too."""
    write(project, "characters/diary.png", b"diary")
    [stolen] = [change for change in saved_plan(project).actions if change.key == "characters/diary.png"]
    rules = project / "rules" / "asset_map.toml"
    rules.write_text(rules.read_text(encoding="utf-8").replace('"*.tmp"', '"*.tmp", "diary*"'), encoding="utf-8")
    forged = forge(project, lambda change: [change, stolen] if change.key == "characters/ai_hoshino.png" else [change])
    assert forged.code == 3
    assert "characters/diary.png" not in bucket(project)


def test_nothing_that_is_local_changes(project: Path, outside: Path) -> None:
    (project / "output" / "characters" / "evil.png").symlink_to(outside / "evil.png")
    before = snapshot(project / "output")
    run(project, "apply", "--yes", "--quiet")
    assert snapshot(project / "output") == before


def test_a_folder_and_a_link_that_take_turns_never_let_an_outside_file_be_hashed(project: Path, outside: Path) -> None:
    """The walk may see the folder and hash a moment later, when the link stands in its place."""
    folder, aside = project / "output" / "characters", project / "output" / "aside"
    link = project / "output" / "link"
    own = {path.name for path in (project / "output").rglob("*") if path.is_file() and path.stat().st_size}
    os.symlink(outside, link)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            folder.rename(aside)
            link.rename(folder)
            folder.rename(link)
            aside.rename(folder)

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        rows = []
        for _ in range(300):
            source = LocalFiles(project / "output", ignore=(), looks=FirstLooks(0), cache=_NothingKnown())
            rows += list(source.walk())
            rows += list(source.lookup(["characters/evil.png", "characters/ai_hoshino.png"]))
    finally:
        stop.set()
        swapping.join()
    hashed = {row.path.rpartition("/")[2]: row.crc32c for row in rows if row.crc32c is not None}
    assert hashed.keys() == own
    assert encode_crc32c(crc32c(SECRET)) not in hashed.values()


class _NothingKnown:
    """A hash cache that keeps nothing."""

    def get(self, _path: str) -> None:
        return None

    def put(self, *_: object) -> None:
        return None

    def drop(self, _path: str) -> None:
        return None
