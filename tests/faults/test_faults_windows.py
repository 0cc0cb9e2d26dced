"""Others who have files open by the rules of Windows: a virus scanner that looks at every fresh file, and a workflow
that renames and replaces what is being read. The runs succeed, and the workflow is never in our way, nor we in its."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconcile.__main__ import main
from reconcile.adapters.local.slices import SLICE
from reconcile.adapters.logfile import LARGE
from reconcile.adapters.state.outbox import Outbox
from reconcile.core.errors import ExitCode
from reconcile.core.notes import Note
from tests.kit.small_project import make_project, open_objects, write
from tests.kit.windows import FakeWindows, Scanner, rules

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the simulation asks Linux who has a file open")


@pytest.fixture(autouse=True)
def windows(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWindows]:
    with rules(monkeypatch) as system:
        yield system


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "studio")


def command(project: Path, *arguments: str) -> int:
    return main(["-C", str(project), *arguments])


# -- a virus scanner --


def test_under_a_scanner_everything_is_applied_and_restored(project: Path, tmp_path: Path) -> None:
    before = {
        name: (project / "output" / name).read_bytes() for name in ("characters/rem.png", "characters/ai_hoshino.png")
    }
    with Scanner(project) as scanner:
        assert command(project, "apply", "--yes") == ExitCode.OK
        os.rename(project / "output", tmp_path / "elsewhere")
        assert command(project, "restore", "--yes") == ExitCode.OK
    assert scanner.opened > 0
    assert {name: (project / "output" / name).read_bytes() for name in before} == before
    assert [path.name for path in (project / "output").rglob(".r-*")] == []


def test_under_a_scanner_notes_of_many_threads_are_all_kept(project: Path) -> None:
    outbox, failures = Outbox(project), []

    def note(number: int) -> None:
        try:
            for turn in range(5):
                outbox.add([Note(f"characters/{turn}.png", "rem", None, (("primary", f"field_{number}"),))])
        except Exception as error:  # noqa: BLE001 whatever it is, it must not be
            failures.append(error)

    threads = [threading.Thread(target=note, args=[number]) for number in range(4)]
    with Scanner(project):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    assert {place for each in outbox.notes() for place in each.places} == {("primary", f"field_{n}") for n in range(4)}


def test_under_a_scanner_the_local_database_is_rewritten(project: Path) -> None:
    rules_file = project / "rules" / "asset_map.toml"
    text = rules_file.read_text(encoding="utf-8")
    rules_file.write_text(text + '\n[local_db]\npath = "data/characters.json"\nrewrite = true\n', encoding="utf-8")
    (project / "data").mkdir()
    database = project / "data" / "characters.json"
    database.write_text(
        json.dumps(
            {"ai_hoshino": {"assets": [{"title": "primary", "anime_image": "output/characters/ai_hoshino.png"}]}}
        )
    )
    with Scanner(project):
        assert command(project, "apply", "--yes") == ExitCode.OK
    assert "gs://my-bucket" in database.read_text()
    assert {path.name for path in database.parent.iterdir()} <= {"characters.json", ".characters.json.lock"}


def test_under_a_scanner_results_are_written_over_and_a_run_is_undone(project: Path, tmp_path: Path) -> None:
    plan, page, log = tmp_path / "plan.json", tmp_path / "report.html", tmp_path / "nightly.log"
    with Scanner(tmp_path) as scanner:
        for _ in range(3):
            log.write_text("x" * LARGE, encoding="utf-8")
            assert command(project, "plan", "--out", str(plan), "--log-file", str(log)) == ExitCode.OK
            assert command(project, "report", "--out", str(page), "--quiet") == ExitCode.OK
        assert command(project, "apply", str(plan), "--yes") == ExitCode.OK
        assert command(project, "undo", "last", "--yes") == ExitCode.OK
        for _ in range(2):
            assert command(project, "verify", "--out", str(tmp_path / "proof")) == ExitCode.DIFFERENCES
    assert scanner.opened > 0
    assert sum(each.name.startswith(log.name) for each in tmp_path.iterdir()) == 4
    assert [each.name for each in tmp_path.rglob("*.new")] == []


# -- a workflow --


class Workflow(threading.Thread):
    """Works on one file for as long as a run reads it, as programs do that know nothing of us."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._act = act
        self._over = threading.Event()
        self.failures: list[Exception] = []
        self.done = 0

    def run(self) -> None:
        while not self._over.wait(0.002):
            try:
                self._act()
                self.done += 1
            except Exception as error:  # noqa: BLE001 whatever it is, it must not be
                self.failures.append(error)

    def __enter__(self) -> Workflow:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def test_a_workflow_renames_and_removes_what_is_being_read(project: Path) -> None:
    """Also while it is hashed: every opening of ours shares that."""
    write(project, "dances/dance_rem_01.mp4", b"v" * (3 * SLICE))
    file = project / "output" / "dances" / "dance_rem_01.mp4"
    aside = file.with_name("aside.bak")

    def act() -> None:
        os.rename(file, aside)
        os.rename(aside, file)
        shutil.copyfile(file, aside)
        os.unlink(aside)

    with Workflow(act) as workflow:
        for _ in range(3):
            assert command(project, "apply", "--yes") in (ExitCode.OK, ExitCode.STALE)
    assert workflow.failures == []
    assert workflow.done
    assert command(project, "apply", "--yes") == ExitCode.OK
    assert open_objects(project).get("dances/dance_rem_01.mp4") is not None


def test_a_workflow_that_replaces_what_is_being_read_gets_through_within_a_second(project: Path) -> None:
    """It may be refused while a piece of the file is read, and not for as long as all of it takes."""
    write(project, "dances/dance_rem_01.mp4", b"v" * (3 * SLICE))
    file = project / "output" / "dances" / "dance_rem_01.mp4"
    fresh = file.with_name("fresh.bak")

    def act() -> None:
        shutil.copyfile(file, fresh)
        end = time.monotonic() + 1.0
        while True:
            try:
                return os.replace(fresh, file)
            except PermissionError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.002)

    with Workflow(act) as workflow:
        for _ in range(3):
            assert command(project, "apply", "--yes") in (ExitCode.OK, ExitCode.STALE)
    assert workflow.failures == []
    assert workflow.done
    assert command(project, "apply", "--yes") == ExitCode.OK
    assert open_objects(project).get("dances/dance_rem_01.mp4") is not None
