"""The JSON database while the workflow writes it at the worst moment, and the run is killed: no update is lost."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconcile.adapters.jsondb.swap import exchange, left_beside
from reconcile.core.errors import LocalDatabaseError, PreconditionFailed, StoreUnavailable
from tests.kit.json_records import JsonRecords
from tests.kit.windows import on_each_system  # noqa: F401

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux exchanges two files in a step")

OURS = {"assets": [{"title": "primary", "anime_image": "gs://b/rem.png"}]}
START: dict[str, Any] = {"rem": {"assets": []}}
KILLED = 9


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "characters.json"
    file.write_text(json.dumps(START))
    return file


def theirs(mark: str) -> str:
    return json.dumps({**START, mark: {"assets": []}})


def replace(path: Path, mark: str) -> None:
    new = path.with_name(f"{mark}.tmp")
    new.write_text(theirs(mark))
    new.replace(path)


def overwrite(path: Path, mark: str) -> None:
    path.write_text(theirs(mark))


def nothing(path: Path, mark: str) -> None:
    """Leaves the file as it is."""


def update(path: Path, swap: Callable[[Path, Path], bool] = exchange) -> None:
    store = JsonRecords(path, "assets", wait=lambda _: None, patience=0, swap=swap)
    [found] = store.read(["rem"])
    store.update("rem", OURS, if_update_time=found.update_time)


def update_again(path: Path, swap: Callable[[Path, Path], bool] = exchange) -> None:
    """As a run does, which reads a record again that was changed since it was read."""
    try:
        update(path, swap)
    except PreconditionFailed:
        update(path, swap)


def marks(folder: Path) -> set[str]:
    """The updates of others that are anywhere in the folder."""
    return {
        mark
        for file in folder.iterdir()
        if file.suffix != ".lock"
        for mark in "abcd"
        if f'"{mark}"' in file.read_text()
    }


class Steps:
    """Exchanges files, with something that the workflow does before and after each step in turn; and a kill."""

    def __init__(self, path: Path, *actions: tuple[Callable[[Path, str], None], Callable[[Path, str], None]]) -> None:
        self._path = path
        self._actions = list(actions)
        self.kill_after: int | None = None
        self.count = 0
        self.wrote: list[str] = []

    def __call__(self, one: Path, other: Path) -> bool:
        before, after = self._actions.pop(0) if self._actions else (nothing, nothing)
        self._do(before, "ab"[self.count % 2] if self.count < 2 else "c")
        done = exchange(one, other)
        self.count += 1
        self._do(after, "cd"[self.count % 2])
        if self.count == self.kill_after:
            os._exit(KILLED)
        return done

    def _do(self, action: Callable[[Path, str], None], mark: str) -> None:
        action(self._path, mark)
        if action is not nothing:
            self.wrote.append(mark)


def in_child(work: Callable[[], object]) -> int:
    """Does it in a process of its own, which may be killed; gives its exit code."""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


WRITERS = [nothing, replace, overwrite]


@pytest.mark.parametrize("before", WRITERS)
@pytest.mark.parametrize("after", WRITERS)
@pytest.mark.parametrize("again", WRITERS)
def test_what_the_workflow_writes_round_the_exchange_is_in_its_place_or_kept(
    before: Callable[[Path, str], None],
    after: Callable[[Path, str], None],
    again: Callable[[Path, str], None],
    path: Path,
) -> None:
    swap = Steps(path, (before, after), (nothing, again))
    update(path, swap)
    found = json.loads(path.read_text())
    assert found.keys() == {"rem", *swap.wrote[-1:]}, "the last word is the workflow's"
    assert found["rem"] == OURS or after is not nothing or again is not nothing
    if before is not nothing and (
        after is not nothing or again is nothing
    ):  # the workflow did not write over it itself
        assert "a" in marks(path.parent)
    left = {each.name for each in left_beside(path)}
    assert {file.name for file in path.parent.iterdir()} - left == {".characters.json.lock", "characters.json"}


def test_an_update_while_the_exchange_is_prepared_never_loses_its_place(path: Path) -> None:
    listening = [True]

    def write_meanwhile(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename" and listening and os.fspath(arguments[1]).endswith(".characters.json.new"):
            listening.clear()
            replace(path, "a")

    sys.addaudithook(write_meanwhile)
    steps = Steps(path)
    update_again(path, steps)
    assert not listening
    assert steps.count == 1, "what somebody else had written was never moved"
    assert json.loads(path.read_text()) == {"rem": OURS, "a": {"assets": []}}
    assert left_beside(path) == []


def test_two_updates_round_the_exchange_are_both_there_and_one_is_named(path: Path) -> None:
    update(path, Steps(path, (replace, replace)))
    assert set(json.loads(path.read_text())) == {"rem", "d"}
    [kept] = left_beside(path)
    assert kept.name.startswith("characters.json.kept-")
    assert kept.read_text() == theirs("a")


@pytest.mark.parametrize("kill_after", [1, 2, 3])
@pytest.mark.parametrize("before", WRITERS)
@pytest.mark.parametrize("after", [nothing, replace])
def test_a_kill_between_two_steps_loses_nothing(
    kill_after: int, before: Callable[[Path, str], None], after: Callable[[Path, str], None], path: Path
) -> None:
    swap = Steps(path, (before, after), (nothing, nothing))
    swap.kill_after = kill_after
    code = in_child(lambda: update(path, swap))
    written = ({"a"} if before is not nothing else set()) | ({"d"} if after is not nothing else set())
    assert code in (0, KILLED)
    assert written <= marks(path.parent)
    update_again(path)
    assert written <= marks(path.parent)
    assert json.loads(path.read_text())["rem"] == OURS
    assert not any(file.name in (".characters.json.new", ".characters.json.swap") for file in path.parent.iterdir())


@pytest.mark.posix("a file that is open is not exchanged there")
def test_what_is_written_late_through_an_open_file_survives_a_kill(path: Path) -> None:
    """The old file came out of the exchange with somebody's descriptor on it, and nobody was left to look."""
    with path.open("r+") as file:
        swap = Steps(path)
        swap.kill_after = 1
        assert in_child(lambda: update(path, swap)) == KILLED
        file.write(theirs("a"))
        file.truncate()
    assert set(json.loads(path.read_text())) == {"rem"}
    assert [each.name for each in left_beside(path)] == [".characters.json.new"]
    update_again(path)
    assert json.loads(path.read_text()) == {"rem": OURS, "a": {"assets": []}}
    assert left_beside(path) == []


def test_a_workflow_that_writes_before_every_step_has_the_last_word(path: Path) -> None:
    written: list[str] = []

    def busy(one: Path, other: Path) -> bool:
        written.append(f"turn {len(written)}")
        replace(path, written[-1])
        return exchange(one, other)

    with pytest.raises(StoreUnavailable, match="all the time"):
        update(path, busy)
    texts = [file.read_text() for file in (path, *left_beside(path))]
    assert any(written[-1] in text for text in texts)
    assert not any("gs://" in text for text in texts)


def test_a_file_with_a_second_name_is_left_alone(path: Path) -> None:
    other = path.with_name("other.json")
    os.link(path, other)
    with pytest.raises(LocalDatabaseError, match="hard links") as caught:
        update(path)
    assert caught.value.hint
    assert json.loads(other.read_text()) == START
    assert path.samefile(other)


def test_extended_attributes_stay(path: Path) -> None:
    try:
        os.setxattr(path, "user.project", b"night")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    path.chmod(0o640)
    update(path)
    assert os.getxattr(path, "user.project") == b"night"
    assert path.stat().st_mode & 0o777 == 0o640
