"""A real folder that is watched: by the system's events and by looking."""

from __future__ import annotations

import mmap
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconcile.adapters.local.hearing import LATE, RECHECK_EVERY, RECHECK_LOST, HeardPaths
from reconcile.adapters.local.watching import POLL_EVERY, FolderWatch, filesystem
from reconcile.core.watching import Poll, Seen
from tests.kit.windows import on_each_system  # noqa: F401

NEVER = threading.Event()


def nobody_writes(path: str) -> bool:
    return False


PATIENCE = 10.0
POSIX = os.name == "posix"
LINUX = sys.platform == "linux"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "output"
    made.mkdir()
    return made


@pytest.fixture
def open_watch(root: Path, clock: Clock) -> Iterator[Callable[..., FolderWatch]]:
    opened: list[FolderWatch] = []

    def make(
        poll: Poll = Poll.AUTO, ignore: tuple[str, ...] = ("*.tmp",), *, holds_incomplete: bool = True
    ) -> FolderWatch:
        mounts = root.parent / "mounts"
        watch = FolderWatch(
            root, ignore=ignore, holds_incomplete=holds_incomplete, poll=poll, clock=clock, mounts=mounts
        )
        opened.append(watch)
        return watch

    yield make
    for each in opened:
        each.close()


def heard(watch: FolderWatch) -> Seen:
    """What is seen next; an event of the system comes within moments."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        seen = watch.wait(0.5, NEVER)
        if seen != Seen():
            return seen
    return Seen()


def looked(watch: FolderWatch, clock: Clock) -> Seen:
    """What the next look at the whole folder sees."""
    clock.now += RECHECK_EVERY + 1
    return watch.wait(0.0, NEVER)


# -- events --


def test_a_file_is_heard_of(root: Path, open_watch: Callable[..., FolderWatch]) -> None:
    watch = open_watch()
    assert watch.wait(0, NEVER) == Seen(armed="by the system's events")
    (root / "[a] b.png").write_bytes(b"x")
    assert heard(watch) == Seen(("[a] b.png",))


def test_a_file_renamed_into_place_is_heard_of_and_temporary_ones_are_not(
    root: Path, open_watch: Callable[..., FolderWatch]
) -> None:
    watch = open_watch()
    watch.wait(0, NEVER)
    (root / "a.png.tmp").write_bytes(b"x")
    (root / ".reconcile").mkdir()
    (root / ".reconcile" / "state.db").write_bytes(b"x")
    os.rename(root / "a.png.tmp", root / "a.png")
    assert heard(watch) == Seen(("a.png",))


def test_a_folder_that_is_moved_in_is_heard_of_and_holds_its_files(
    root: Path, open_watch: Callable[..., FolderWatch]
) -> None:
    watch = open_watch()
    watch.wait(0, NEVER)
    (root.parent / "made" / "deep").mkdir(parents=True)
    (root.parent / "made" / "deep" / "a.mp4").write_bytes(b"x")
    os.rename(root.parent / "made", root / "made")
    assert "made" in heard(watch).paths
    found = watch.look("made")
    assert found is not None
    assert found.folder
    assert watch.below("made") == ["made/deep/a.mp4"]


def test_a_stop_ends_the_waiting(root: Path, open_watch: Callable[..., FolderWatch]) -> None:
    watch = open_watch()
    watch.wait(0, NEVER)
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    started = time.monotonic()
    assert watch.wait(60, stop) == Seen()
    assert time.monotonic() - started < 30


def test_a_root_that_is_made_anew_is_watched_again(root: Path, open_watch: Callable[..., FolderWatch]) -> None:
    watch = open_watch()
    watch.wait(0, NEVER)
    shutil.rmtree(root)
    assert watch.wait(0, NEVER).gone
    assert watch.wait(0, NEVER).gone
    root.mkdir()
    (root / "before.png").write_bytes(b"x")
    assert watch.wait(0, NEVER) == Seen(armed="by the system's events")
    (root / "after.png").write_bytes(b"x")
    assert heard(watch) == Seen(("after.png",))


def test_a_root_that_is_made_anew_at_once_is_noticed(root: Path, open_watch: Callable[..., FolderWatch]) -> None:
    watch = open_watch()
    watch.wait(0, NEVER)
    root.rmdir()
    root.mkdir()
    assert heard(watch).armed == "by the system's events"


def test_another_folder_in_the_roots_place_is_noticed(root: Path, open_watch: Callable[..., FolderWatch]) -> None:
    watch = open_watch()
    watch.wait(0, NEVER)
    os.rename(root, root.parent / "old")
    root.mkdir()
    assert watch.wait(0, NEVER).armed == "by the system's events"


def test_a_root_that_is_not_there_at_first_is_waited_for(root: Path, open_watch: Callable[..., FolderWatch]) -> None:
    root.rmdir()
    watch = open_watch()
    assert watch.wait(0, NEVER) == Seen(gone=True)
    root.write_bytes(b"a file")
    assert watch.wait(0, NEVER) == Seen(gone=True)
    root.unlink()
    root.mkdir()
    assert watch.wait(0, NEVER).armed is not None


def test_what_no_event_told_of_is_found_by_looking(
    root: Path, clock: Clock, open_watch: Callable[..., FolderWatch]
) -> None:
    watch = open_watch()
    watch.wait(0, NEVER)
    (root / "a.png").write_bytes(b"x")
    clock.now += RECHECK_EVERY - 1
    assert heard(watch) == Seen(("a.png",))
    assert looked(watch, clock) == Seen(("a.png",)), "looking does not rely on what was heard"
    assert looked(watch, clock) == Seen()


@pytest.mark.skipif(not LINUX, reason="a write through a mapping, of which Linux gives no event")
@pytest.mark.posix("a file that is being written is asked for there, and not missed")
def test_after_a_change_without_an_event_the_listening_begins_anew_and_looks_are_more_frequent(
    root: Path, clock: Clock, open_watch: Callable[..., FolderWatch]
) -> None:
    (root / "a.png").write_bytes(b"x" * 10)
    watch = open_watch()
    with (root / "a.png").open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        watch.wait(0, NEVER)
        mapped[0:1] = b"y"
        mapped.flush()
        assert looked(watch, clock) == Seen(("a.png",))
        assert watch.wait(0.0, NEVER) == Seen(), "its event may be on its way"
        clock.now += LATE
        assert watch.wait(0.0, NEVER).armed == (
            "by the system's events, restarted, because they missed a file that changed, 'a.png'"
        )
        mapped[0:1] = b"z"
        mapped.flush()
        clock.now += RECHECK_LOST
        assert watch.wait(0.0, NEVER) == Seen(("a.png",))
    (root / "b.png").write_bytes(b"x")
    assert "b.png" in heard(watch).paths


def test_an_event_may_come_before_the_look_or_a_while_after_it(clock: Clock) -> None:
    hearing = HeardPaths(clock)
    hearing.heard(["before.png", "folder"])
    hearing.looked(["before.png", "after.png", "folder/deep/a.png", "never.png"])
    hearing.heard(["after.png"])
    assert hearing.lost(nobody_writes) == []
    clock.now += LATE
    assert hearing.lost(nobody_writes) == ["never.png"]
    assert hearing.lost(nobody_writes) == [], "said once"
    assert hearing.recheck == RECHECK_LOST


def test_what_was_told_of_before_an_earlier_look_is_told_of_no_more(clock: Clock) -> None:
    hearing = HeardPaths(clock)
    hearing.heard(["a.png"])
    hearing.looked(["a.png"])
    hearing.looked(["a.png"])
    clock.now += LATE
    assert hearing.lost(nobody_writes) == ["a.png"]


def test_a_file_that_is_being_written_is_not_missed(clock: Clock) -> None:
    """Windows may tell of it when it is closed, and not before."""
    hearing = HeardPaths(clock)
    hearing.looked(["a.mp4"])
    clock.now += LATE
    assert hearing.lost(lambda path: path == "a.mp4") == []
    assert hearing.recheck == RECHECK_EVERY


@pytest.mark.skipif(not LINUX, reason="other systems refuse such names")
def test_a_name_that_is_not_utf8_does_not_end_the_listening(root: Path, open_watch: Callable[..., FolderWatch]) -> None:
    watch = open_watch()
    watch.wait(0, NEVER)
    with open(os.fsencode(root) + b"/bad\xff.png", "wb") as file:
        file.write(b"x")
    (root / "good.png").write_bytes(b"x")
    assert heard(watch).paths == ("good.png",)
    (root / "later.png").write_bytes(b"x")
    assert heard(watch) == Seen(("later.png",))


@pytest.mark.skipif(not LINUX, reason="other systems refuse such names")
def test_listening_that_fails_again_and_again_gives_way_to_looking(
    root: Path, clock: Clock, open_watch: Callable[..., FolderWatch]
) -> None:
    watch = open_watch()
    watch.wait(0, NEVER)
    told = []
    for number in range(4):
        with open(os.fsencode(root) + b"/bad\xff%d.png" % number, "wb") as file:
            file.write(b"x")
        (root / f"{number}.png").write_bytes(b"x")
        told.append(heard(watch))
    assert [each.armed is None for each in told] == [True, True, True, False]
    assert "again and again" in str(told[-1].armed)
    assert told[-1].paths == ("3.png",)


# -- looking --


@pytest.mark.skipif(not POSIX, reason="Windows asks for a privilege to make links")
def test_links_are_never_followed(root: Path, clock: Clock, open_watch: Callable[..., FolderWatch]) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(b"x")
    (root / "out").symlink_to(outside)
    (root / "loop").symlink_to(root)
    (root / "file.png").symlink_to(outside / "secret.png")
    watch = open_watch()
    assert "links to folders" in str(watch.wait(0, NEVER).armed)
    (outside / "more.png").write_bytes(b"x")
    (root / "own.png").write_bytes(b"x")
    clock.now += POLL_EVERY + 1
    assert watch.wait(0, NEVER) == Seen(("own.png",))
    assert watch.look("file.png") is None
    assert watch.missing_end("out/secret.png") is None
    assert watch.below("") == ["own.png"]


@pytest.mark.skipif(not POSIX, reason="Windows asks for a privilege to make links")
def test_a_link_that_comes_later_ends_the_listening(
    root: Path, clock: Clock, open_watch: Callable[..., FolderWatch]
) -> None:
    watch = open_watch()
    watch.wait(0, NEVER)
    (root / "loop").symlink_to(root)
    looked(watch, clock)
    assert "links to folders" in str(watch.wait(0, NEVER).armed)


def test_looking_finds_what_is_new_and_what_changed(
    root: Path, clock: Clock, open_watch: Callable[..., FolderWatch]
) -> None:
    (root / "sub").mkdir()
    (root / "sub" / "a.png").write_bytes(b"x")
    watch = open_watch(Poll.ALWAYS)
    assert watch.wait(0, NEVER).armed == f"by looking every {POLL_EVERY:g} s: as asked for"
    (root / "sub" / "a.png").write_bytes(b"xy")
    (root / "b.tmp").write_bytes(b"x")
    assert watch.wait(0, NEVER) == Seen()
    clock.now += POLL_EVERY + 1
    assert watch.wait(0, NEVER) == Seen(("sub/a.png",))
    clock.now += POLL_EVERY + 1
    assert watch.wait(0, NEVER) == Seen()


def test_a_folder_that_takes_long_is_looked_at_less_often(
    root: Path, clock: Clock, open_watch: Callable[..., FolderWatch]
) -> None:
    class Slow(Clock):
        def __call__(self) -> float:
            self.now += 1.0
            return self.now

    slow = Slow()
    watch = FolderWatch(root, ignore=(), poll=Poll.ALWAYS, clock=slow)
    watch.wait(0, NEVER)
    (root / "a.png").write_bytes(b"x")
    slow.now += POLL_EVERY + 1
    assert watch.wait(0, NEVER) == Seen()
    slow.now += 15
    assert watch.wait(0, NEVER) == Seen(("a.png",))


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "drvfs", "virtiofs", "fuse.sshfs", "fuse"])
def test_a_network_drive_is_looked_at(kind: str, root: Path, open_watch: Callable[..., FolderWatch]) -> None:
    real = os.path.realpath(root)
    (root.parent / "mounts").write_text(f"/dev/sda / ext4 rw 0 0\nserver {real} {kind} rw 0 0\n", encoding="utf-8")
    assert f"{kind} reports no events" in str(open_watch().wait(0, NEVER).armed)
    assert open_watch(Poll.NEVER).wait(0, NEVER).armed == "by the system's events"


def test_the_mount_that_is_seen_is_the_longest_and_the_last(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_bytes(
        b"/dev/a / ext4 rw 0 0\nx /mnt/my\\040drive nfs rw 0 0\ny /mnt/my\\040drive/sub ext4 rw 0 0\nshort\n"
        b"z /mnt/over nfs rw 0 0\nz /mnt/over xfs rw 0 0\n"
    )
    assert filesystem("/mnt/my drive/output", mounts) == "nfs"
    assert filesystem("/mnt/my drive/sub", mounts) == "ext4"
    assert filesystem("/mnt/my drive2", mounts) == "ext4"
    assert filesystem("/mnt/over/x", mounts) == "xfs"
    assert filesystem("/x", tmp_path / "nothing") is None


LIMITS = {
    "watches": (OSError('OS file watch limit reached. about ["x"]'), "fs.inotify.max_user_watches"),
    "permission": (PermissionError("no"), "may not be read"),
    "other": (OSError(5, "Input/output error"), "Input/output error"),
}


@pytest.mark.parametrize(("error", "told"), LIMITS.values(), ids=LIMITS)
def test_where_the_system_gives_no_events_the_folder_is_looked_at(
    error: OSError, told: str, root: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise error

    # The library is somebody else's, and its limits are the whole machine's.
    monkeypatch.setattr("watchfiles._rust_notify.RustNotify", refuse)
    watch = FolderWatch(root, ignore=(), clock=clock)
    assert told in str(watch.wait(0, NEVER).armed)
    (root / "a.png").write_bytes(b"x")
    clock.now += POLL_EVERY + 1
    assert watch.wait(0, NEVER) == Seen(("a.png",))


# -- files --


@pytest.mark.parametrize("change", ["size", "time", "file"])
def test_a_file_that_changed_looks_another(root: Path, open_watch: Callable[..., FolderWatch], change: str) -> None:
    watch = open_watch()
    file = root / "a.png"
    file.write_bytes(b"x")
    before, times = watch.look("a.png"), file.stat()
    assert watch.look("a.png") == before
    if change == "file":
        (root / "b.png").write_bytes(b"x")
        os.replace(root / "b.png", file)
    elif change == "size":
        file.write_bytes(b"xx")
    os.utime(file, ns=(0, times.st_mtime_ns + (change == "time")))
    assert watch.look("a.png") not in (None, before)


def test_what_is_no_file_has_no_look(open_watch: Callable[..., FolderWatch]) -> None:
    watch = open_watch()
    assert watch.look("nothing.png") is None
    assert watch.look("a\0b") is None


def test_what_a_file_lacks_is_read_from_the_file(root: Path, open_watch: Callable[..., FolderWatch]) -> None:
    watch = open_watch()
    (root / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (root / "empty.txt").write_bytes(b"")
    assert watch.missing_end("a.png") == "has no IEND chunk"
    assert watch.missing_end("empty.txt") == "has no bytes"
    assert watch.missing_end("gone.png") is None
    assert watch.missing_end("../mounts") is None
    assert open_watch(holds_incomplete=False).missing_end("a.png") is None


@pytest.mark.skipif(not POSIX, reason="a named pipe is made otherwise")
def test_a_pipe_is_no_file(root: Path, open_watch: Callable[..., FolderWatch]) -> None:
    os.mkfifo(root / "pipe.png")
    assert open_watch().look("pipe.png") is None
    assert open_watch().below("") == []


@pytest.mark.skipif(not LINUX, reason="open files are counted in /proc")
def test_opening_and_closing_again_and_again_holds_nothing(root: Path, clock: Clock) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    watch = FolderWatch(root, ignore=(), clock=clock)
    before = count()
    for _ in range(50):
        watch.wait(0, NEVER)
        watch.close()
    end = time.monotonic() + PATIENCE
    while count() > before and time.monotonic() < end:  # the library closes them in a thread of its own
        NEVER.wait(0.01)
    assert count() <= before
