"""Files that somebody changes while they are hashed, between plan and apply, and while they are uploaded: the bucket
gets whole files or nothing, no record names what is not there, and the next run takes what came out of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconcile.__main__ import main
from reconcile.adapters.gcs.upload import CHUNK
from reconcile.adapters.local.settle import FirstLooks
from reconcile.core.changes import Code
from reconcile.core.errors import ExitCode
from reconcile.core.events import Advanced, Event, Phase
from reconcile.core.plan import Plan
from reconcile.core.report import OutcomeKind, Report, Status
from reconcile.pipeline.executor import execute
from reconcile.pipeline.planner import survey
from reconcile.run_options import RunOptions
from tests.kit.bench_project import OLD, Bench
from tests.kit.windows import on_each_system  # noqa: F401
from tests.servers.faults import Fault
from tests.servers.gcs import GcsServer

posix = pytest.mark.posix("Windows keeps a file that is open from being moved")

KEY = "characters/rem.png"
VIDEO = "dances/dance_rem_01.mp4"
OTHER = "characters/mei.png"
SMALL = bytes(range(256)) * 1200
LARGE = bytes(range(256)) * 4096 * 9
LINKED = b"what a link leads to"


def flipped(data: bytes) -> bytes:
    return bytes(255 - byte for byte in data[:1]) + data[1:-1] + bytes(255 - byte for byte in data[-1:])


# -- what somebody does to a file


def rewrite(file: Path) -> None:
    """The same length, other bytes at both ends, in place."""
    data = flipped(file.read_bytes())
    with file.open("r+b") as body:
        body.write(data)


def scribble(file: Path) -> None:
    """The same, and the time of change put back."""
    times = file.stat()
    rewrite(file)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def change_the_end(file: Path) -> None:
    with file.open("r+b") as body:
        body.seek(-1, os.SEEK_END)
        body.write(b"!")


def grow(file: Path) -> None:
    with file.open("ab") as body:
        body.write(b"more")


def truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def replace(file: Path) -> None:
    """Another file of the same length, by rename, as careful writers do."""
    fresh = file.with_name("fresh.part")
    fresh.write_bytes(flipped(file.read_bytes()))
    os.replace(fresh, file)


def delete(file: Path) -> None:
    file.unlink()


def rename(file: Path) -> None:
    file.rename(file.with_name("elsewhere.bak"))


def turn_into_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def turn_into_a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def turn_into_a_link(file: Path) -> None:
    secret = file.parents[2] / "secret"
    secret.write_bytes(LINKED)
    file.unlink()
    file.symlink_to(secret)


def move_its_folder(file: Path) -> None:
    file.parent.rename(file.parent.with_name("moved"))


EDITS = [
    rewrite,
    scribble,
    change_the_end,
    grow,
    truncate,
    empty,
    replace,
    delete,
    rename,
    turn_into_a_folder,
    turn_into_a_pipe,
    turn_into_a_link,
]
Edit = Callable[[Path], None]


# -- where


@dataclass(frozen=True)
class Place:
    """A bucket, and the file of a size that goes there in one way."""

    bench: Bench
    path: str
    data: bytes

    @property
    def file(self) -> Path:
        return self.bench.root / self.path

    def plan(self, on_hashed: Callable[[int], None] | None = None) -> Plan:
        with self.bench.open() as project:

            def listen(event: Event) -> None:
                if on_hashed and isinstance(event, Advanced) and event.phase is Phase.LISTING and event.size:
                    on_hashed(event.size)

            return survey(project, listener=listen).plan

    def apply(self, plan: Plan, listener: Callable[[Event], None] = lambda _: None) -> Report:
        with self.bench.open() as project:
            return execute(project, plan, listener=listener)

    def outcome(self, report: Report) -> OutcomeKind:
        """What became of the file's upload."""
        [found] = [each for each in report.outcomes if each.kind in ("upload", "replace") and each.key == self.path]
        return found.outcome


@pytest.fixture
def server() -> Iterator[GcsServer]:
    with GcsServer() as started:
        yield started


@pytest.fixture(params=["embedded", "multipart", "resumable"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """The file that will move, and one that stays as it is, both to be uploaded and named by a record."""
    server = None if request.param == "embedded" else request.getfixturevalue("server")
    bench = Bench(tmp_path / "studio", server)
    path, data, field = (VIDEO, LARGE, "dance_video") if request.param == "resumable" else (KEY, SMALL, "anime_image")
    bench.file(path, data)
    bench.file(OTHER, b"mei")
    bench.record("rem", **{field: bench.windows(path)})
    bench.record("mei", anime_image=bench.windows(OTHER))
    assert CHUNK < len(LARGE) < 2 * CHUNK
    return Place(bench, path, data)


# -- what must be true whatever was done


def whole_and_named(place: Place, *versions: bytes) -> None:
    """The bucket holds one of these versions of the file, or none; a record names it only if it is there."""
    held = place.bench.held()
    assert held.keys() <= {place.path, OTHER}
    assert place.path not in held or held[place.path] in versions, "the bucket holds a mix"
    [value] = [value for name, value in place.bench.fields("rem").items() if name != "title"]
    assert value == (place.bench.uri(place.path) if value.startswith("gs://") else place.bench.windows(place.path))
    assert not value.startswith("gs://") or place.path in held, "the record names what is not there"


def the_next_run_takes_it(place: Place) -> None:
    """Once the file has settled, the bucket holds what it has become, the record names that, and nothing is to do."""
    now = place.file.read_bytes() if place.file.is_file() and not place.file.is_symlink() else None
    if now is not None:
        os.utime(place.file, (OLD, OLD))
    was = place.bench.held().get(place.path)
    counts = place.apply(place.plan()).counts
    assert (counts.failed, counts.stale, counts.blocked) == (0, 0, 0)
    held = place.bench.held()
    assert held[OTHER] == b"mei"
    assert held.get(place.path) == (now or was)
    named = place.bench.uri(place.path) in place.bench.fields("rem").values()
    assert named is (place.path in held)
    assert place.plan().actions == ()


# -- the moments


@posix
@pytest.mark.parametrize("edit", [*EDITS, move_its_folder])
def test_between_plan_and_apply(place: Place, edit: Edit) -> None:
    plan = place.plan()
    edit(place.file)
    report = place.apply(plan)
    assert (report.status, report.exit_code) == (Status.STALE, ExitCode.STALE)
    assert place.outcome(report) is OutcomeKind.STALE
    assert place.bench.held().keys() - {OTHER} == set()
    assert place.bench.fields("mei")["anime_image"].startswith("gs://") is (
        edit is not move_its_folder or place.path == VIDEO
    )
    whole_and_named(place, place.data)
    if edit is not move_its_folder:
        the_next_run_takes_it(place)


@posix
@pytest.mark.parametrize(
    ("edit", "late"),
    [
        *((edit, False) for edit in EDITS),
        *((edit, True) for edit in (rewrite, change_the_end, grow, truncate, replace)),
    ],
)
def test_while_it_is_uploaded(place: Place, edit: Edit, late: bool) -> None:
    """After the first block, and when nearly all of it is sent."""
    edits, moved = [edit], 0

    def listen(event: Event) -> None:
        nonlocal moved
        if not isinstance(event, Advanced) or event.phase is not Phase.UPLOADS or event.size <= 3:
            return
        moved += event.size
        if edits and moved >= (len(place.data) - 300_000 if late else 1):
            edits.pop()(place.file)

    report = place.apply(place.plan(), listen)
    assert edits == []
    outcome = place.outcome(report)
    assert outcome in (OutcomeKind.APPLIED, OutcomeKind.STALE)
    assert report.status is (Status.SUCCESS if outcome is OutcomeKind.APPLIED else Status.STALE)
    assert (place.path in place.bench.held()) is (outcome is OutcomeKind.APPLIED)
    whole_and_named(place, place.data)
    the_next_run_takes_it(place)


@posix
@pytest.mark.parametrize("place", ["multipart", "resumable"], indirect=True)
@pytest.mark.parametrize("edit", [rewrite, scribble, truncate, replace, delete])
def test_when_all_of_it_is_sent_and_the_object_is_not_yet_made(place: Place, server: GcsServer, edit: Edit) -> None:
    """What was planned has arrived, so it is kept; the next run sees the other bytes."""
    last = {"method": "PUT", "skip": 1} if place.path == VIDEO else {"method": "POST", "key": f"anime_dance/{KEY}"}
    server.script.add(Fault(run=lambda: edit(place.file), **last))  # type: ignore[arg-type]
    report = place.apply(place.plan())
    assert place.outcome(report) is OutcomeKind.APPLIED
    assert place.bench.held()[place.path] == place.data
    the_next_run_takes_it(place)


@posix
@pytest.mark.parametrize("request_number", [0, 1, 2])
@pytest.mark.parametrize("edit", [scribble, change_the_end, truncate, replace])
def test_between_the_requests_of_a_resumable_upload(
    tmp_path: Path, server: GcsServer, edit: Edit, request_number: int
) -> None:
    place = resumable(tmp_path, server)
    # When the n-th request has come: what it carries was read before, and what the next one carries comes after.
    method = "POST" if request_number == 0 else "PUT"
    skip = max(0, request_number - 1)
    server.script.add(Fault(method=method, key=f"anime_dance/{VIDEO}", skip=skip, run=lambda: edit(place.file)))
    report = place.apply(place.plan())
    assert place.outcome(report) in (OutcomeKind.APPLIED, OutcomeKind.STALE)
    whole_and_named(place, LARGE)
    the_next_run_takes_it(place)


@posix
@pytest.mark.parametrize("edit", [rewrite, scribble, change_the_end, grow, truncate, empty, replace, delete, rename])
def test_while_it_is_hashed(place: Place, edit: Edit) -> None:
    edits = [edit]

    def hashed(size: int) -> None:
        if edits and size > 3:
            edits.pop()(place.file)

    plan = place.plan(hashed)
    assert edits == []
    assert place.path not in {action.key for action in plan.actions}
    [finding] = [each for each in plan.findings if each.code is Code.UNSETTLED_FILE]
    assert finding.subject == place.path
    assert place.apply(plan).status is Status.SUCCESS
    assert place.bench.held() == {OTHER: b"mei"}
    whole_and_named(place)
    the_next_run_takes_it(place)


@posix
@pytest.mark.parametrize("edit", [change_the_end, grow])
def test_being_written_all_the_time(place: Place, edit: Edit) -> None:
    """Each block that is hashed or sent finds the file changed again."""
    plan = place.plan()

    def listen(event: Event) -> None:
        if isinstance(event, Advanced) and event.phase is Phase.UPLOADS and event.size > 3 and len(writes) < 40:
            writes.append(edit(place.file))

    writes: list[None] = []
    assert place.outcome(place.apply(plan, listen)) is OutcomeKind.STALE
    assert place.path not in place.bench.held()
    os.utime(place.file, (OLD, OLD))
    again = place.plan(lambda size: edit(place.file) if size > 3 else None)
    assert place.path not in {action.key for action in again.actions}
    the_next_run_takes_it(place)


def test_what_is_new_and_still_being_written_waits_for_the_next_run(place: Place) -> None:
    place.file.write_bytes(place.data[:1])
    now = [0.0]

    def write_on(seconds: float) -> None:
        now[0] += seconds
        place.file.write_bytes(place.data)

    looks = FirstLooks(2.0, clock=lambda: now[0], sleep=write_on)
    with place.bench.open(RunOptions(looks=looks)) as project:
        plan = survey(project).plan
    assert place.path not in {action.key for action in plan.actions}
    assert [each.subject for each in plan.findings if each.code is Code.UNSETTLED_FILE] == [place.path]
    assert place.apply(plan).exit_code == ExitCode.OK
    the_next_run_takes_it(place)


@posix
def test_a_root_that_goes_away_between_plan_and_apply(place: Place) -> None:
    plan = place.plan()
    place.bench.root.rename(place.bench.root.with_name("unmounted"))
    assert place.apply(plan).status is Status.STALE
    assert place.bench.held() == {}
    shutil.copytree(place.bench.root.with_name("unmounted"), place.bench.root)
    the_next_run_takes_it(place)


def test_at_the_command_line_a_file_that_moved_is_stale_and_the_rest_is_done(
    place: Place, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, saved = ["-C", str(place.bench.folder)], str(tmp_path / "plan.json")
    assert main([*folder, "plan", "--out", saved, "--quiet"]) == 0
    scribble(place.file)
    assert main([*folder, "apply", saved, "--yes"]) == 3
    told = capfd.readouterr().out
    assert f"stale  upload  {place.path}: " in told
    assert "blocked  set_field" in told
    assert place.bench.held() == {OTHER: b"mei"}
    assert main([*folder, "apply", "--yes", "--quiet"]) == 0
    assert place.bench.held()[place.path] == flipped(place.data)


def resumable(tmp_path: Path, server: GcsServer) -> Place:
    bench = Bench(tmp_path / "studio", server)
    bench.file(VIDEO, LARGE)
    bench.file(OTHER, b"mei")
    bench.record("rem", dance_video=bench.windows(VIDEO))
    bench.record("mei", anime_image=bench.windows(OTHER))
    return Place(bench, VIDEO, LARGE)
