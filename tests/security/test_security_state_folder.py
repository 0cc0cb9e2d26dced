"""A project folder from elsewhere: nothing in its .reconcile is opened through a link, or where it is another's."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reconcile.__main__ import main
from reconcile.adapters.state.folder import StateFolder
from reconcile.adapters.state.health import read_health, take_place, write_health
from reconcile.adapters.state.lock import ProjectLock
from reconcile.adapters.state.outbox import Outbox
from reconcile.adapters.state.store import State
from reconcile.core.errors import StateError
from reconcile.core.notes import Note
from reconcile.core.watch_report import WatchHealth, WatchState
from tests.kit.small_project import make_project, write

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links need rights there that a user has not")

PRECIOUS = b"precious, and nobody else's\n"
COMMANDS = (["plan"], ["apply", "--yes"], ["history"], ["undo", "last", "--yes"], ["status"], ["verify"])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "studio")


@pytest.fixture
def state(project: Path) -> Path:
    folder = project / ".reconcile"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    file = tmp_path / "victim"
    file.write_bytes(PRECIOUS)
    file.chmod(0o644)
    return file


def is_untouched(victim: Path) -> bool:
    return victim.read_bytes() == PRECIOUS and victim.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command[0]))
def test_a_state_folder_that_is_a_link_is_refused_by_every_command(
    command: list[str], project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    (project / ".reconcile").symlink_to(elsewhere)
    assert main(["-C", str(project), *command]) == 1
    assert ".reconcile' cannot be read or written safely: it is a link" in capsys.readouterr().err
    assert (list(elsewhere.iterdir()), elsewhere.stat().st_mode & 0o777) == ([], 0o755)


@pytest.mark.parametrize("name", ["state.db", "state.db-journal", "state.db-wal", "state.db-shm", "lock"])
@pytest.mark.parametrize("leads", ["to a file", "to nothing"])
def test_a_link_in_the_place_of_a_file_is_named_and_not_followed(
    name: str, leads: str, project: Path, state: Path, victim: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = victim if leads == "to a file" else victim.with_name("not there")
    (state / name).symlink_to(target)
    assert main(["-C", str(project), "apply", "--yes"]) == 1
    told = capsys.readouterr().err
    assert f"{name}' cannot be read or written safely: it is a link" in told
    assert "bug" not in told
    assert is_untouched(victim)
    assert not victim.with_name("not there").exists()


@pytest.mark.parametrize("name", ["journal", "outbox"])
def test_a_link_in_the_place_of_a_folder_is_named_and_not_followed(
    name: str, project: Path, state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (state / name).symlink_to(elsewhere)
    assert main(["-C", str(project), "apply", "--yes"]) == 1
    assert f"{name}' cannot be read or written safely: it is a link" in capsys.readouterr().err
    assert list(elsewhere.iterdir()) == []
    if name == "outbox":
        with pytest.raises(StateError):
            Outbox(project).add([Note("a.png")])
        assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("leads", ["to a file", "to nothing"])
def test_what_is_written_whole_takes_a_links_place(leads: str, project: Path, state: Path, victim: Path) -> None:
    target = victim if leads == "to a file" else victim.with_name("not there")
    for name in ("lock.json", "watch-health.json", "watch-health.json.new", ".gitignore"):
        (state / name).symlink_to(target)
    with ProjectLock(project).acquire() as lock:
        holder = lock.holder()
        assert holder is not None
        assert holder.pid == os.getpid()
    with take_place(project):
        write_health(project, WatchHealth("f", 1, "h", "s", "s", next(iter(WatchState)), None, None, 0, 0))
    assert read_health(project) is not None
    assert main(["-C", str(project), "apply", "--yes", "--quiet"]) == 0
    assert is_untouched(victim)
    assert not victim.with_name("not there").exists()


def test_a_link_in_the_place_of_what_is_read_is_not_read(state: Path, project: Path, victim: Path) -> None:
    (state / "watch-health.json").symlink_to(victim)
    (state / "lock.json").symlink_to(victim)
    with pytest.raises(StateError, match="is a link"):
        read_health(project)
    assert ProjectLock(project).holder() is None


@pytest.mark.parametrize("name", ["state.db", "state.db-journal", "lock", "outbox.lock"])
def test_a_second_name_of_a_file_elsewhere_is_not_written_behind(
    name: str, project: Path, state: Path, victim: Path
) -> None:
    os.link(victim, state / name)
    assert main(["-C", str(project), "apply", "--yes", "--quiet"]) == 0
    Outbox(project).add([Note("a.png")])
    assert is_untouched(victim)
    assert not (state / name).exists() or not (state / name).samefile(victim)


def test_a_state_that_a_backup_holds_by_a_second_name_keeps_its_memory(project: Path, tmp_path: Path) -> None:
    assert main(["-C", str(project), "apply", "--yes", "--quiet"]) == 0
    database, backup = project / ".reconcile" / "state.db", tmp_path / "backup"
    os.link(database, backup)
    before = backup.read_bytes()
    with State(project) as kept:
        kept.remember_fact("after", 1)
        assert kept.warnings == ()
        assert [each.key for each in kept.all()]
    assert backup.read_bytes() == before


def pipe(place: Path) -> None:
    os.mkfifo(place)


def unix_socket(place: Path) -> None:
    before = Path.cwd()
    os.chdir(place.parent)  # a socket's own name is short
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(place.name)
    finally:
        os.chdir(before)


@pytest.mark.parametrize("make", [pipe, unix_socket])
@pytest.mark.parametrize(
    "name", ["state.db", "state.db-journal", "lock", "lock.json", "outbox/0.json", "outbox/failed"]
)
def test_a_pipe_or_a_socket_makes_nothing_wait(
    make: Callable[[Path], None], name: str, project: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (state / "outbox").mkdir(mode=0o700)
    make(state / name)
    if name == "lock.json":  # it is written, and takes the other's place
        assert main(["-C", str(project), "apply", "--yes"]) == 0
        return
    if name == "outbox/failed":
        with pytest.raises(StateError, match="is a pipe, a socket or a device"):
            Outbox(project).failed_within(1)
        return
    assert main(["-C", str(project), "apply", "--yes"]) == 1
    assert "it is a pipe, a socket or a device" in capsys.readouterr().err


@pytest.mark.parametrize("make", [pipe, unix_socket])
def test_a_pipe_in_the_place_of_a_folder_is_named_as_what_it_is(
    make: Callable[[Path], None], project: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(state / "journal")
    assert main(["-C", str(project), "history"]) == 1
    told = capsys.readouterr().err
    assert "is a pipe, a socket or a device, and should be a folder" in told
    assert "read it as the user" not in told


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("name", ["", "state.db", "lock", "journal", "outbox"])
def test_what_belongs_to_another_user_is_refused(name: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-C", str(project), "apply", "--yes", "--quiet"]) == 0
    Outbox(project).add([Note("a.png")])
    write(project, "characters/rem_cosplay.png", b"something to do")
    os.chown(project / ".reconcile" / name, 65534, 65534)
    assert main(["-C", str(project), "apply", "--yes"]) == 1
    assert "belongs to another user (65534)" in capsys.readouterr().err


def test_a_file_of_absurd_size_is_not_read(project: Path, state: Path) -> None:
    with (state / "lock.json").open("wb") as file:
        file.truncate(1 << 40)
    assert ProjectLock(project).holder() is None
    with pytest.raises(OSError, match="too large"):
        StateFolder(project).read("lock.json", 1000)
