"""The walk by a second process: it gives the rows of a walk by this one, whatever becomes of the other."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from reconcile.adapters.local import wire
from reconcile.adapters.local.apart import MOST_HELD, WalkProcess, command
from reconcile.adapters.local.names import Prefixes
from reconcile.adapters.local.seen import Miss, Row
from reconcile.adapters.local.settle import FirstLooks
from reconcile.adapters.local.store import LocalFiles
from reconcile.adapters.local.walking import Walk
from reconcile.adapters.state.store import State
from reconcile.commands.demo_media import mp4
from reconcile.core.errors import SourceError
from reconcile.core.pattern import Template
from reconcile.core.reach import Selection
from reconcile.core.rows import FileProblem, LocalFile
from tests.kit.alive import is_running
from tests.kit.small_project import OLD
from tests.kit.tree import IGNORE, an_hour_on

RULES = ("characters/{char_id}.png", "remixes/{char_id}_{title}/result/{name}.mp4", ".thumbs/{char_id}.png")
FOLDERS = ("", "a/", "a/b/", "B/", "b/", "a.b/", "remixes/x_y/result/", "レム/", ".thumbs/", "a/b/c/d/e/f/g/h/")
NAMES = (
    "a.png",
    "A.png",
    "z.tmp",
    "é.png",
    "e\u0301.png",
    "ＡＢ.png",
    "Thumbs.db",
    ".hidden",
    "a b",
    "x" * 200,
    "😀.mp4",
)
SIZES = (0, 1, 50, 5000)


class World:
    """A project folder with a root in it, and its state."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "output"
        self.root.mkdir(parents=True)
        self.state = State(folder)
        self.opened: list[LocalFiles] = []

    def put(self, path: str, body: bytes = b"body") -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
        os.utime(file, (OLD, OLD))
        return file

    def many(self, count: int) -> list[str]:
        """So many files whose content is known."""
        paths = [f"characters/{number:05}.png" for number in range(count)]
        for path in paths:
            self.put(path)
        assert [file.path for file in self.files().walk()] == paths
        self.state.flush()
        return paths

    def files(self, looks: FirstLooks | None = None, on_progress: Callable[[int], None] | None = None) -> LocalFiles:
        rules = [Template(rule) for rule in RULES]
        self.opened.append(
            LocalFiles(
                self.root,
                ignore=IGNORE,
                rules=rules,
                looks=looks or FirstLooks(0),
                cache=self.state,
                clock=an_hour_on,
                on_progress=on_progress,
            )
        )
        return self.opened[-1]

    def expected(self, started_by: Sequence[str] | None = None, **options: object) -> LocalFiles:
        """Files whose next walk is by another process."""
        files = self.files(**options)  # type: ignore[arg-type]
        assert files.walk_apart(self.state.path, started_by)
        return files

    def apart(self, started_by: Sequence[str] | None = None) -> WalkProcess:
        root, hashes = os.fsencode(self.root), os.fsencode(self.state.path)
        return WalkProcess((root, list(IGNORE), list(RULES), True, hashes, identity(self.root)), started_by)

    def rows(self) -> list[Row]:
        """What a walk by this process sees."""
        walk = Walk(str(self.root), Selection(IGNORE, [*map(Template, RULES)]), self.state.get, holds_incomplete=True)
        return list(walk.rows(walk.top(), Prefixes(("",))))

    def close(self) -> None:
        for files in self.opened:
            files.walk_here()
        self.state.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "project")
    yield made
    made.close()


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, list[str]]]:
    """Files of four blocks, which walks alone look at, and their paths."""
    made = World(tmp_path_factory.mktemp("crowd"))
    yield made, made.many(3 * wire.ROWS + 5)
    made.close()


def identity(root: Path) -> tuple[int, int]:
    found = root.stat()
    return found.st_dev, found.st_ino


def ended(apart: WalkProcess) -> bool:
    """Whether its process is over, and nobody has to ask for its exit code."""
    return apart.child is not None and apart.child.returncode is not None


def after(prelude: str) -> list[str]:
    """The command of the other process, which does something else first."""
    *start, code = command()
    return [*start, f"{prelude}\n{code}"]


def writing(count: int, then: str) -> list[str]:
    """The command of the other process, in which ``then`` comes in place of the write of this number, of ``data``."""
    return after(
        "import os, signal, time\nwrites, put, kill = [], os.write, os.kill\n"
        "def write(to, data):\n"
        f"    writes.append(to)\n    if len(writes) > {count}: {then}\n    return put(to, data)\n"
        "os.write = write"
    )


# -- the same rows --


def scatter(world: World, seed: int) -> None:
    """A tree with what a walk meets, half of it known."""
    rng = random.Random(seed)
    for number in range(150):
        name = rng.choice((*NAMES, f"n{number}.png"))
        world.put(rng.choice(FOLDERS) + name, bytes(rng.choice(SIZES)))
    world.put("a/whole.mp4", mp4(4))
    world.put("a/torn.mp4", mp4(4)[:-10])
    list(world.files().walk())
    world.state.flush()
    for path in sorted(world.root.rglob("*.png"))[::3]:
        path.write_bytes(b"changed")
    for number in range(40):
        world.put(f"{rng.choice(FOLDERS)}new{number}.png", bytes(rng.choice(SIZES)))


def rarities(world: World) -> None:
    """What only POSIX has."""
    root = os.fsencode(world.root)
    for name in (b"\xff.png", b"a/\xfe\xfd", b"a/\xff.png"):
        with open(os.path.join(root, name), "wb") as file:
            file.write(b"x")
    os.mkdir(os.path.join(root, b"\xff"))
    os.mkfifo(world.root / "a" / "pipe")
    for link, target in (("to_file", "whole.mp4"), ("to_folder", "b"), ("to_itself", "to_itself"), ("out", "/etc")):
        (world.root / "a" / link).symlink_to(target)
    (world.root / "a" / "closed").mkdir()
    (world.root / "a" / "closed" / "x.png").write_bytes(b"x")
    (world.root / "a" / "closed").chmod(0)


@pytest.mark.parametrize("seed", range(5))
def test_the_other_process_sees_what_this_one_sees(world: World, seed: int) -> None:
    scatter(world, seed)
    if os.name == "posix":
        rarities(world)
    with world.apart() as apart:
        seen = list(apart.rows())
    assert seen == world.rows()
    assert apart.came_to_end
    assert any(isinstance(row, Miss) for row in seen)
    assert any(isinstance(row, LocalFile) and row.problem is None for row in seen)
    assert any(isinstance(row, LocalFile) and row.problem is not None for row in seen)
    looks = [(row.seen.st_mtime_ns, row.seen.st_ctime_ns, row.seen.st_ino) for row in seen if isinstance(row, Miss)]
    again = [
        (row.seen.st_mtime_ns, row.seen.st_ctime_ns, row.seen.st_ino) for row in world.rows() if isinstance(row, Miss)
    ]
    assert looks == again


def test_a_walk_by_it_hashes_and_reports_as_ever(world: World) -> None:
    scatter(world, 9)
    walked = list(world.expected().walk())
    assert walked == list(world.files().walk())
    assert {file.problem for file in walked} >= {None, FileProblem.EMPTY, FileProblem.INCOMPLETE}


def test_large_folders_come_in_many_blocks(crowd: tuple[World, list[str]]) -> None:
    world, paths = crowd
    with world.apart() as apart:
        assert [row.path for row in apart.rows()] == paths
        assert apart.came_to_end


def test_an_empty_root_has_no_rows(world: World) -> None:
    with world.apart() as apart:
        assert list(apart.rows()) == []
        assert apart.came_to_end
    assert list(world.expected().walk()) == []


def test_what_this_process_hashed_meanwhile_is_not_hashed_again(world: World) -> None:
    world.put("a.png", b"12345")
    read: list[int] = []
    files = world.expected(on_progress=read.append)
    assert [file.path for file in files.lookup(["a.png"])] == ["a.png"]
    assert [file.path for file in files.walk()] == ["a.png"]
    assert read == [5]


def test_new_files_are_waited_for_once(world: World) -> None:
    world.many(5)
    world.put("new.png")
    now = [0.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    waits = world.expected(looks=FirstLooks(2.0, clock=lambda: now[0], sleep=sleep))
    assert [file.problem for file in waits.walk()] == [None] * 6
    assert slept == [2.0]
    world.put("newer.png")
    unsettled = world.expected(looks=FirstLooks(2.0, clock=lambda: now[0], sleep=None))
    assert [file.path for file in unsettled.walk() if file.problem is FileProblem.UNSETTLED] == ["newer.png"]


def test_a_walk_of_a_part_is_by_this_process(world: World) -> None:
    world.many(5)
    files = world.expected(writing(0, "kill(os.getpid(), signal.SIGKILL)"))
    assert len(list(files.walk(("characters/00001",)))) == 1
    assert len(list(files.walk())) == 5


# -- whatever becomes of it --

NONSENSE = {
    "it cannot be started": [os.path.join(os.sep, "no", "such", "python")],
    "it is no Python": [sys.executable, "--no-such-option"],
    "it ends at once": after("raise SystemExit"),
    "it finds nothing to import": after(
        "import marshal; loads = marshal.loads; marshal.loads = lambda of: [[], *loads(of)[1:]]"
    ),
    "it fails": after("import os; os.scandir = None"),
    "it says something else first": after("import os; os.write(1, b'Welcome to Python')"),
    "it says something else in between": writing(2, "put(to, b'Warning: low on ink')"),
    "it changes what it sends": writing(1, "data = bytes(data[:99]) + b'?' + bytes(data[100:])"),
    "it sends half a block": writing(1, "put(to, data[:1000]); os._exit(0)"),
    "it leaves a block out": writing(1, "return len(data) if len(writes) == 2 else put(to, data)"),
    "it dies before its first block": writing(0, "kill(os.getpid(), signal.SIGTERM)"),
    "it dies after its first block": writing(1, "kill(os.getpid(), signal.SIGTERM)"),
    "it dies before the last block": writing(3, "kill(os.getpid(), signal.SIGTERM)"),
    "it dies before the end": writing(4, "kill(os.getpid(), signal.SIGTERM)"),
}


@pytest.mark.parametrize("started_by", NONSENSE.values(), ids=NONSENSE)
def test_what_it_does_not_come_to_is_walked_here(crowd: tuple[World, list[str]], started_by: list[str]) -> None:
    world, paths = crowd
    with world.apart(started_by) as apart:
        some = [row.path for row in apart.rows()]
    assert some == paths[: len(some)]
    assert not apart.came_to_end
    assert [file.path for file in world.expected(started_by).walk()] == paths


def test_it_dies_with_the_cache_of_hashes(world: World) -> None:
    paths = world.many(10)
    files = world.files()
    assert files.walk_apart(world.state.path.with_name("gone.db"))
    assert [file.path for file in files.walk()] == paths
    assert not world.state.path.with_name("gone.db").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux lets a pipe hold more")
def test_a_pipe_that_may_not_be_larger_is_used_as_it_is(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    paths = world.many(10)
    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(fcntl, "F_SETPIPE_SZ", -1)
    with world.apart() as apart:
        assert [row.path for row in apart.rows()] == paths
        assert apart.came_to_end
    assert len(os.listdir("/proc/self/fd")) == before


def test_no_byte_of_a_block_can_change_unseen(world: World) -> None:
    world.many(3)
    sent = b"".join(wire.blocks(world.rows()))
    for at in range(len(sent)):
        spoilt = bytearray(sent)
        spoilt[at] ^= 1
        got, ends = received(bytes(spoilt))
        assert not ends
        assert got in ([], world.rows())
    for size in range(len(sent)):
        assert not received(sent[:size])[1]
    assert received(sent) == (world.rows(), True)


def received(sent: bytes) -> tuple[list[Row], bool]:
    """The rows that come of these bytes, and whether they came to their end."""
    at = 0

    def pipe(size: int) -> bytes:
        nonlocal at
        at += size
        return sent[at - size : at]

    got: list[Row] = []
    try:
        got.extend(wire.rows(iter(lambda: wire.read(pipe), None)))
    except wire.Garbled:
        return got, False
    return got, True


# -- the root --


def test_a_root_that_is_not_there_is_told_as_ever(world: World) -> None:
    files = world.files()
    world.root.rmdir()
    assert not files.walk_apart(world.state.path)
    with pytest.raises(SourceError, match="is not there"):
        list(files.walk())


def test_a_root_that_is_no_folder_is_told_as_ever(world: World) -> None:
    world.root.rmdir()
    world.root.write_bytes(b"")
    with pytest.raises(SourceError, match="is not a folder"):
        list(world.expected().walk())


def test_a_root_that_goes_away_after_the_start_is_told(world: World) -> None:
    world.many(10)
    files = world.expected()
    shutil.rmtree(world.root)
    with pytest.raises(SourceError, match=r"is not there|went away"):
        list(files.walk())


def test_a_root_that_another_one_took_the_place_of_is_told(world: World) -> None:
    world.many(10)
    files = world.expected()
    world.root.rename(world.root.with_name("former"))
    world.root.mkdir()
    with pytest.raises(SourceError, match="was replaced while it was read"):
        list(files.walk())


@pytest.mark.skipif(os.name == "nt", reason="Windows lets nobody rename a folder that is open")
def test_a_root_that_is_away_for_a_moment_is_walked_again(world: World) -> None:
    paths, away = world.many(10), world.root.with_name("away")
    moved = after(
        f"import os\nroot, away = {str(world.root)!r}, {str(away)!r}\nread, end, folders = os.scandir, os._exit, []\n"
        "def scandir(folder):\n"
        "    folders.append(folder)\n"
        "    if len(folders) == 1: return read(folder)\n"
        "    os.rename(root, away)\n"
        "    raise FileNotFoundError\n"
        "def back(status):\n"
        "    if os.path.exists(away): os.rename(away, root)\n"
        "    end(status)\n"
        "os.scandir, os._exit = scandir, back"
    )
    assert [file.path for file in world.expected(moved).walk()] == paths


# -- its end --


def test_it_is_over_after_a_walk(world: World) -> None:
    world.many(10)
    apart = world.apart()
    list(apart.rows())
    apart.close()
    assert ended(apart)


def test_it_is_over_if_nobody_ever_asked(world: World) -> None:
    apart = world.apart()
    apart.close()
    assert apart.child is None or ended(apart)


def test_it_is_over_if_the_walk_is_left(world: World) -> None:
    world.many(3 * wire.ROWS)
    with world.apart(writing(1, "time.sleep(600)")) as apart:
        assert next(apart.rows())
    assert ended(apart)


def test_it_does_not_run_ahead_without_end(world: World) -> None:
    endless = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "import itertools, os\nfrom reconcile.adapters.local import wire\nfrom reconcile.core.rows import LocalFile\n"
        "for block in wire.blocks(itertools.repeat(LocalFile('a' * 1000, 1, 1, 'x'))): os.write(1, block)"
    )
    with world.apart([sys.executable, "-c", endless]) as apart:
        rows = apart.rows()
        next(rows)
        patience = time.monotonic() + 30
        while apart.held <= MOST_HELD and time.monotonic() < patience:
            time.sleep(0.01)
        for _ in range(20):
            assert MOST_HELD < apart.held < MOST_HELD + 2**21
            time.sleep(0.01)
    assert ended(apart)


@pytest.mark.skipif(os.name == "nt", reason="POSIX sends Ctrl-C as a signal")
def test_an_interrupt_is_not_for_it(world: World) -> None:
    paths = world.many(10)
    with world.apart(writing(0, "kill(os.getpid(), signal.SIGINT)")) as apart:
        assert [row.path for row in apart.rows()] == paths
        assert apart.came_to_end


PARENT = """
import os, sys
from reconcile.adapters.local.apart import WalkProcess
apart = WalkProcess(({root!r}, [], None, True, {state!r}, {identity!r}), {command!r})
while apart.child is None:
    pass
if {reads}:
    next(apart.rows())
print(apart.child.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="/proc says which processes there are")
@pytest.mark.parametrize("reads", [False, True])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, None])
def test_it_ends_with_this_process(crowd: tuple[World, list[str]], reads: bool, how: signal.Signals | None) -> None:
    world, _ = crowd
    state, hangs = os.fsencode(world.state.path), writing(1, "time.sleep(600)")
    root = {"root": os.fsencode(world.root), "identity": identity(world.root)}
    code = PARENT.format(**root, state=state, command=hangs, reads=reads)
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_running(child)
        if how is None:
            parent.stdin.close()
        else:
            parent.send_signal(how)
        parent.wait(30)
    patience = time.monotonic() + 30
    while is_running(child) and time.monotonic() < patience:
        time.sleep(0.01)
    assert not is_running(child)


# -- what is there by now --


@pytest.mark.skipif(os.name == "nt", reason="Windows lists folders by path")
def test_each_folder_is_listed_once_however_many_files_are_looked_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.many(3)
    world.put("a/b/c.png")
    listed: list[object] = []
    read = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: listed.append(folder) or read(folder))
    paths = sorted(["a/b/c.png", "a/x.png", "b.png", *(f"characters/{number:05}.png" for number in range(3000))])
    with world.files().presence() as is_there:
        assert [path for path in paths if is_there(path)] == ["a/b/c.png", *(f"characters/0000{n}.png" for n in "012")]
    assert len(listed) == 4
