"""What is written, said and run by the rules of Windows, held by a simulation; see ``tests.kit.windows``."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import filelock
import pytest
from crc32c import crc32c

from reconcile.__main__ import main
from reconcile.adapters import files
from reconcile.adapters.jsondb.swap import Exchange, exchange
from reconcile.adapters.local.writing import LocalPlaces
from reconcile.adapters.opening import leads_elsewhere
from reconcile.adapters.state.folder import StateFolder
from reconcile.adapters.state.health import is_place_free, take_place
from reconcile.core.digest import encode_crc32c
from reconcile.core.errors import ExitCode
from reconcile.hooks.handover import below_root
from reconcile.views.json import show, show_line
from reconcile.views.progress import shows_bars
from reconcile.views.terminal import Terminal, console
from tests.kit.json_records import JsonRecords
from tests.kit.small_project import make_project, open_objects
from tests.kit.tree import put
from tests.kit.windows import FakeWindows, Scanner, rules

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the simulation asks Linux who has a file open")

HELD = 0.03
"""Seconds for which a scanner holds a file."""


@pytest.fixture(autouse=True)
def windows(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWindows]:
    with rules(monkeypatch) as system:
        yield system


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "output"
    folder.mkdir()
    return folder


# -- writing --


@contextlib.contextmanager
def open_for_a_while(path: Path, windows: FakeWindows, steps: int = 5) -> Iterator[None]:
    """A scanner that lets go after a few tries."""
    found = path.stat()
    windows.handles.refusing[(found.st_dev, found.st_ino)] = steps
    yield
    assert windows.handles.refusing.pop((found.st_dev, found.st_ino)) == 0, "the step was not tried again"


def test_a_step_waits_until_a_scanner_lets_go(tmp_path: Path, windows: FakeWindows) -> None:
    place, fresh = put(tmp_path, "place"), put(tmp_path, "fresh", b"new")
    with open_for_a_while(place, windows):
        files.replace(fresh, place)
    assert place.read_bytes() == b"new"
    with open_for_a_while(place, windows):
        files.move_to_free(place, tmp_path / "free")
    with open_for_a_while(tmp_path / "free", windows):
        files.remove(tmp_path / "free")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_held_for_good_is_refused_at_last(tmp_path: Path, windows: FakeWindows) -> None:
    place, fresh = put(tmp_path, "place"), put(tmp_path, "fresh", b"new")
    with place.open("rb"), pytest.raises(PermissionError) as failure:
        files.replace(fresh, place)
    assert windows.is_in_use(failure.value)
    assert place.read_bytes() == b"body"


def test_what_a_scanner_holds_when_its_place_is_taken_is_left_to_the_next_run(root: Path, windows: FakeWindows) -> None:
    """The bytes that were made beside a file which another run has put there meanwhile."""
    data = b"body"

    def body(_: int) -> Iterator[bytes]:
        put(root, "a.png", data)
        [part] = root.glob(".r-*")
        found = part.stat()
        windows.handles.refusing[(found.st_dev, found.st_ino)] = 1_000
        yield data

    places, meant = LocalPlaces(root), encode_crc32c(crc32c(data))
    assert not places.place("a.png", body, size=len(data), crc32c=meant, generation=1)
    assert len(list(root.glob(".r-*"))) == 1
    windows.handles.refusing.clear()
    os.unlink(root / "a.png")
    assert LocalPlaces(root).place("a.png", lambda _: iter([data]), size=len(data), crc32c=meant, generation=1)
    assert [path.name for path in root.iterdir()] == ["a.png"]


def test_a_note_is_replaced_while_it_is_read(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.make()
    with Scanner(tmp_path, HELD):
        for number in range(20):
            folder.write("note", b"%d" % number)
            assert folder.read("note", 10) == b"%d" % number


def test_a_lock_file_stays_so_that_a_watcher_that_was_killed_is_noticed(tmp_path: Path) -> None:
    with take_place(tmp_path):
        assert not is_place_free(tmp_path)
    assert [is_place_free(tmp_path) for _ in range(3)] == [True, True, True]
    with filelock.FileLock(tmp_path / "x.lock"):
        pass
    assert not (tmp_path / "x.lock").exists(), "the simulation takes a lock file away that is not told to stay"


def test_the_state_folder_has_the_rights_of_the_folder_above(tmp_path: Path) -> None:
    """Less would be an access list for its maker alone, which shuts out colleagues, and the same person after an
    elevated run."""
    StateFolder(tmp_path).lock("lock", 0).release()
    there = (tmp_path / ".reconcile").stat().st_mode
    (tmp_path / "usual").mkdir()
    assert there == (tmp_path / "usual").stat().st_mode
    assert (tmp_path / ".reconcile" / "lock").stat().st_mode & 0o044


@pytest.mark.parametrize(
    ("tag", "is_link"),
    [
        pytest.param(0xA0000003, True, id="a junction"),
        pytest.param(0xA000000C, True, id="a symbolic link"),
        pytest.param(0x80000013, False, id="deduplicated"),
        pytest.param(0x80000017, False, id="compressed by the system"),
        pytest.param(0x9000001A, False, id="kept by OneDrive"),
        pytest.param(0, False, id="none"),
    ],
)
def test_a_reparse_point_is_a_link_only_if_it_stands_for_another_place(tag: int, *, is_link: bool) -> None:
    class Found:
        st_reparse_tag = tag

    assert leads_elsewhere(Found()) is is_link  # type: ignore[arg-type]


# -- the local database --


def test_a_state_folder_of_an_elevated_run_is_named_with_its_owner_and_what_to_do(
    tmp_path: Path, windows: FakeWindows, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_project(tmp_path / "studio")
    folder = project / ".reconcile"
    folder.mkdir()
    windows.denied = folder
    whose = f"{folder} belongs to BUILTIN\\Administrators"
    do = f"as administrator, `icacls {folder} /reset /T` gives it the rights of the folder above it"
    assert main(["-C", str(project), "apply", "--yes"]) == ExitCode.FAILED
    assert f"{whose}: {do}; --no-journal works without one" in " ".join(capsys.readouterr().err.split())
    assert main(["-C", str(project), "doctor"]) == ExitCode.FAILED
    assert f"{whose}: {do}; without it there is no lock" in " ".join(capsys.readouterr().out.split())


def test_what_the_workflow_writes_at_the_last_moment_is_kept(tmp_path: Path) -> None:
    real = put(tmp_path, "characters.json", b"old")
    theirs = [b"theirs"]

    def swap(one: Path, other: Path) -> bool:
        if theirs:
            put(tmp_path, real.name, theirs.pop())
        return exchange(one, other)

    trade = Exchange(real, swap)
    files.create(trade.part, b"ours")
    assert not trade.put(b"ours", b"old")
    assert real.read_bytes() == b"theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["characters.json"]


@pytest.mark.parametrize("at", ["before the file is back", "before the old one has its name"])
def test_an_exchange_that_was_killed_between_its_names_is_ended_by_the_next(tmp_path: Path, at: str) -> None:
    real = tmp_path / "characters.json"
    put(tmp_path, ".characters.json.out", b'{"a": {"assets": []}}')
    if at != "before the file is back":
        put(tmp_path, real.name, b'{"a": {"assets": []}, "b": {}}')
    Exchange(real, exchange).settle()
    assert real.exists()
    names = {path.name for path in tmp_path.iterdir()} - {real.name}
    assert all(name.startswith("characters.json.kept-") for name in names), names
    assert len(names) == (at != "before the file is back")


def test_a_drive_without_that_step_is_written_all_the_same(tmp_path: Path, windows: FakeWindows) -> None:
    windows.calls.has_replace_file = False
    path = put(tmp_path, "characters.json", b'{"a": {"name": "Ai"}}')
    store = JsonRecords(path, "assets", wait=lambda _: None, patience=0)
    store.update("a", {"name": "Aj"}, if_update_time=next(iter(store.read())).update_time)
    assert next(iter(store.read())).fields == {"name": "Aj"}
    assert {each.name for each in tmp_path.iterdir()} <= {path.name, f".{path.name}.lock"}


# -- what workflow code hands over --


def test_a_file_of_a_call_has_the_name_that_it_has_on_the_disk(root: Path, windows: FakeWindows) -> None:
    (root / "characters").mkdir()
    put(root / "characters", "ai.png")
    assert below_root(root, str(root / "Characters" / "AI.png")) == "characters/ai.png"
    assert windows.plain("\\\\?\\C:\\oo\\a.png") == "C:\\oo\\a.png"
    assert windows.plain("\\\\?\\UNC\\nas\\share\\a.png") == "\\\\nas\\share\\a.png"
    assert below_root(root, f"\\\\?\\{root}/characters/ai.png") == "characters/ai.png"


# -- what is said --


class Pipe(io.TextIOWrapper):
    """A stream that is not a terminal."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="cp437")

    @property
    def written(self) -> bytes:
        self.flush()
        return self.buffer.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("text", ["レム.mp4", "😀", "é\u2028\u202e", "plain"])
def test_json_for_a_pipe_holds_no_letter_that_powershell_would_change(text: str) -> None:
    pipe = Pipe()
    show(pipe, {"path": text})
    show_line(pipe, {"path": text})
    assert pipe.written.isascii()
    whole, line = pipe.written.decode().rsplit("\n", 2)[:2]
    assert json.loads(whole) == json.loads(line) == {"path": text}


class Console(Pipe):
    """A console by a descriptor of its own."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return True


def test_whether_a_bar_can_move_is_asked_of_the_console_that_it_is_on(
    windows: FakeWindows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not of stdout, which may be a file."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    new, old = Console(101), Console(102)
    windows.calls.old_consoles.add(102)
    assert shows_bars(new)
    assert not shows_bars(old)
    assert not console(new).legacy_windows
    for stream, coloured in ((new, True), (old, False)):
        Terminal(stream).line(("word", "red"))
        assert (b"\x1b" in stream.written) is coloured
    assert not console(Pipe()).legacy_windows


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("C:\\oo\\.venv\\Scripts\\reconcile.exe", "C:\\oo\\.venv\\Scripts\\reconcile.exe"),
        ("two words", '"two words"'),
        ("it's [kpop]_x.mp4", '"it\'s [kpop]_x.mp4"'),
        ("", '""'),
    ],
)
def test_a_word_is_quoted_as_cmd_and_powershell_both_take_it(word: str, said: str, windows: FakeWindows) -> None:
    assert windows.quoted(word) == said


def test_the_demo_names_the_program_as_it_is_called_on_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scripts = tmp_path / ".venv" / "Scripts"
    scripts.mkdir(parents=True)
    put(scripts, "reconcile.exe")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", str(scripts / "python.exe"))
    assert main(["demo", "demo"]) == ExitCode.OK
    program = os.path.join(".venv", "Scripts", "reconcile.exe")
    assert capsys.readouterr().out.splitlines()[-1] == f"Try: {program} -C demo status"


# -- a workflow that is run --


def test_a_workflow_is_waited_for_in_slices_between_which_an_interrupt_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, wait, slices = make_project(tmp_path / "studio"), subprocess.Popen.wait, []

    def waited(child: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        slices.append(timeout)
        return wait(child, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", waited)
    assert main(["-C", str(project), "run", "--quiet", "--", sys.executable, "-c", "raise SystemExit(3)"]) == 3
    assert slices
    assert all(timeout is not None and timeout < 1 for timeout in slices)


def test_a_workflow_is_run_and_what_it_made_is_applied(tmp_path: Path) -> None:
    project = make_project(tmp_path / "studio")
    made = "import pathlib; pathlib.Path('output/characters/rem_cosplay.png').write_bytes(b'new')"
    here = os.getcwd()
    os.chdir(project)
    try:
        assert main(["run", "--quiet", "--", sys.executable, "-c", made]) == 0
        assert main(["run", "--quiet", "--", sys.executable, "-c", "raise SystemExit(7)"]) == 7
    finally:
        os.chdir(here)
    objects = open_objects(project)
    assert objects.get("characters/rem_cosplay.png") is not None
    objects.close()


def test_a_process_without_standard_streams_does_its_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As under pythonw, and with some services."""
    project = make_project(tmp_path / "studio")
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert main(["-C", str(project), "plan", "--detailed-exitcode"]) == ExitCode.DIFFERENCES
    assert main(["-C", str(project), "apply", "--yes"]) == ExitCode.OK
