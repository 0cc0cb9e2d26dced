"""Other users of the machine: what the tool remembers, and what it saves, is for its user alone."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconcile.__main__ import main
from reconcile.adapters.state.store import State
from tests.kit.small_project import make_project

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes: a user's folder is private")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "studio")


@pytest.fixture
def open_mask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def for_others(folder: Path) -> dict[str, str]:
    """What in a folder others may do something with, itself included, with the mode."""
    found = {path: path.stat().st_mode for path in (folder, *folder.rglob("*"))}
    return {path.name: oct(stat.S_IMODE(mode)) for path, mode in found.items() if mode & 0o077}


def is_private(path: Path) -> bool:
    return not stat.S_IMODE(path.stat().st_mode) & 0o077


def test_what_is_remembered_is_private_whatever_the_mask(project: Path, open_mask: None) -> None:
    assert main(["-C", str(project), "apply", "--yes", "--quiet"]) == 0
    state = project / ".reconcile"
    assert {path.name for path in state.rglob("*")} >= {"state.db", "journal"}
    assert is_private(state)
    assert for_others(state) == {}


def test_a_folder_that_others_could_read_is_closed_to_them(project: Path, open_mask: None) -> None:
    state = project / ".reconcile"
    state.mkdir(mode=0o777)
    State(project).close()
    for path in (state, *state.rglob("*")):
        path.chmod(0o777)
    assert main(["-C", str(project), "apply", "--yes", "--quiet"]) == 0
    assert is_private(state)
    assert is_private(state / "state.db")


def test_a_folder_of_another_user_is_no_reason_to_stop(project: Path) -> None:
    """What cannot be closed stays as it is; the files in it have modes of their own."""
    state = project / ".reconcile"
    state.mkdir(mode=0o755)
    assert main(["-C", str(project), "plan", "--quiet"]) == 0


def test_a_saved_plan_is_for_its_maker(project: Path, open_mask: None) -> None:
    out = project / "plan.json"
    assert main(["-C", str(project), "plan", "--out", str(out), "--quiet"]) == 0
    out.chmod(0o666)
    assert main(["-C", str(project), "plan", "--out", str(out), "--quiet"]) == 0
    assert is_private(out)


def test_a_link_planted_beside_the_file_is_not_written_through(project: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for name in (".plan.json.new", "page.html"):
        (tmp_path / name).symlink_to(victim)
    assert main(["-C", str(project), "plan", "--out", str(tmp_path / "plan.json"), "--quiet"]) == 0
    assert main(["-C", str(project), "report", "--out", str(tmp_path / "page.html"), "--quiet"]) == 64
    assert victim.read_text() == "precious"
