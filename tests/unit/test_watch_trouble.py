"""A watcher in trouble: what stands from pass to pass is told, and what fails is tried again."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from reconcile import Project
from reconcile.adapters.state.health import read_health, take_place
from reconcile.commands.demo_media import png
from reconcile.config.environment import RULES
from reconcile.core.changes import Severity
from reconcile.core.errors import LockHeld, StoreUnavailable
from reconcile.core.rows import FileProblem, LocalFile
from reconcile.core.watch_report import EventKind
from reconcile.core.watching import Seen
from reconcile.ports import DesiredObject
from reconcile.project import OpenProject
from tests.kit.day import IMAGE, Day, entry, keys, know
from tests.kit.small_project import OLD, make_project, open_objects, put, write
from tests.kit.windows import on_each_system  # noqa: F401


@pytest.fixture
def day(tmp_path: Path) -> Day:
    made = Day(make_project(tmp_path, settle=2))
    # The small project's files are no media; those here are looked at.
    for name in ("ai_hoshino", "rem"):
        os.unlink(tmp_path / "output" / "characters" / f"{name}.png")
    write(tmp_path, "characters/ai_hoshino.png", IMAGE)
    know(tmp_path)
    return made


# -- what it finds --


IN_STEP = "in step; waiting for files"

NOTHING_LEFT = "nothing left to take; waiting for files"


def conflict(day: Day, name: str = "rem") -> str:
    """Two worlds that disagree: the bucket has other bytes, and nobody knows which are the newer ones."""
    key = f"characters/{name}.png"
    write(day.folder, key, png(2))
    know(day.folder)
    objects = open_objects(day.folder)
    if objects.get(key) is None:
        put(objects, key, b"other")
    objects.close()
    return key


def test_where_nothing_was_found_all_is_in_step(day: Day) -> None:
    day.run(5)
    assert [message for _, message in day.told(EventKind.IDLE, EventKind.WARNING)] == [IN_STEP]


def test_a_conflict_is_told_once_and_all_is_not_in_step_while_it_stands(day: Day) -> None:
    key = conflict(day)
    day.writes(100, "characters/ai_hoshino_cosplay.png")
    day.run(8000, every=3600)
    assert len(day.of(EventKind.PASS_STARTED)) == 4
    [(when, message)] = day.told(EventKind.WARNING)
    assert when < 5
    assert re.fullmatch(rf"1 error; the first: .*{re.escape(key)}: .*; see `reconcile plan`", message), message
    assert {message for _, message in day.told(EventKind.IDLE)} == {NOTHING_LEFT}
    kinds = [event.event for _, event in day.events]
    assert kinds.index(EventKind.APPLIED) < kinds.index(EventKind.WARNING) < kinds.index(EventKind.IDLE)


@pytest.mark.parametrize(("fail_on", "good"), [(None, True), (Severity.ERROR, False), (Severity.WARNING, False)])
def test_while_an_error_stands_no_pass_is_good_for_a_watcher_that_fails_on_it(
    fail_on: Severity | None, good: bool, day: Day
) -> None:
    key = conflict(day)
    seen: list[Any] = []
    day.at(90, lambda: seen.append(read_health(day.folder)))
    day.writes(100, "characters/ai_hoshino_cosplay.png")
    day.at(190, lambda: seen.append(read_health(day.folder)))
    left = day.run(200, fail_on=fail_on)
    for health in seen:
        assert (health.last_good_pass is not None) is good
        assert (health.last_error is None) is good or key in health.last_error
    assert [each.subject.endswith(key) for each in left] == ([] if good else [True])
    with Project.open(day.folder).opened() as project:
        assert (project.last_good_run is not None) is good


def test_when_the_error_is_settled_a_pass_is_good_again(day: Day) -> None:
    key = conflict(day)

    def settled() -> Seen:
        write(day.folder, key, b"r" * 100)
        return Seen((key,))

    seen: list[Any] = []
    day.at(100, settled)
    day.at(190, lambda: seen.append(read_health(day.folder)))
    assert day.run(200, fail_on=Severity.ERROR) == ()
    assert seen[0].last_good_pass is not None
    assert seen[0].last_error is None


def test_what_comes_to_what_was_found_is_told_with_all_that_stands(day: Day) -> None:
    first = conflict(day)

    def another() -> Seen:
        return Seen((conflict(day, "ai_hoshino_cosplay"),))

    def mended() -> Seen:
        write(day.folder, first, b"r" * 100)
        return Seen((first,))

    day.at(100, another)
    day.at(200, mended)
    day.run(300)
    told = [(when > 100, when > 200, message.split(": ")[0]) for when, message in day.told(EventKind.WARNING)]
    assert told == [
        (False, False, "1 error; the first"),
        (True, False, "2 errors; new"),
        (True, True, "1 error; the first"),
    ]
    assert "ai_hoshino_cosplay" in day.told(EventKind.WARNING)[1][1]
    assert all(event.code == "findings" for event in day.of(EventKind.WARNING))
    assert [event.count for event in day.of(EventKind.WARNING)] == [1, 2, 1]


def test_when_it_is_mended_all_is_in_step_again(day: Day) -> None:
    key = conflict(day)

    def mended() -> Seen:
        write(day.folder, key, b"r" * 100)
        return Seen((key,))

    day.at(100, mended)
    day.at(200, lambda: Seen((conflict(day, "rem_cosplay"),)))
    day.run(300)
    assert [message for _, message in day.told(EventKind.IDLE)] == [NOTHING_LEFT, IN_STEP, NOTHING_LEFT]
    assert len(day.of(EventKind.WARNING)) == 2


def test_an_unfinished_file_is_not_in_step(day: Day) -> None:
    write(day.folder, "characters/ai_hoshino_cosplay.png", IMAGE[:50])
    day.run(60)
    assert [message for _, message in day.told(EventKind.IDLE)] == [NOTHING_LEFT]


# -- trouble --


def test_while_the_cloud_is_away_it_says_so_once_and_goes_on_when_it_is_back(day: Day) -> None:
    def broken(project: OpenProject) -> None:
        if day.now < 1000:
            project.__dict__["objects"] = _Away()

    day.broken = broken
    day.writes(100, "characters/rem_cosplay.png")
    day.run(2000)
    told = [(event.event, event.code) for _, event in day.events if event.event in _TROUBLE]
    assert told == [(EventKind.WAITING, "unavailable"), (EventKind.RECOVERED, None)]
    assert "characters/rem_cosplay.png" in keys(day)
    starts = [when for when, _ in day.told(EventKind.PASS_STARTED)]
    assert max(later - sooner for sooner, later in pairwise(starts)) <= 301
    assert len(starts) < 15


_TROUBLE = (EventKind.WAITING, EventKind.FAILED, EventKind.RECOVERED)


class _Away:
    def list(self, prefix: str = "", splits: Iterable[str] = ()) -> Iterator[Any]:
        raise StoreUnavailable("the bucket is down")

    def get(self, key: str) -> None:
        raise StoreUnavailable("the bucket is down")


def test_a_lock_that_another_run_holds_is_waited_for(day: Day) -> None:
    lock = Project.open(day.folder).opened().lock()
    lock.acquire()
    day.at(300, lock.close)
    day.run(400)
    [(when, message)] = day.told(EventKind.WAITING)
    assert when < 1
    assert "holds the lock" in message
    [(applied, _)] = day.told(EventKind.APPLIED)
    assert 300 <= applied <= 361


def test_what_nobody_foresaw_is_told_and_tried_again(day: Day) -> None:
    def broken(project: OpenProject) -> None:
        if day.now < 10:
            raise ZeroDivisionError("seven")

    day.broken = broken
    day.run(100)
    [(_, message)] = day.told(EventKind.FAILED)
    assert message == "this is a bug in reconcile: ZeroDivisionError: seven"
    assert "characters/ai_hoshino.png" in keys(day)


def test_changed_rules_are_taken_and_wrong_ones_waited_for(day: Day) -> None:
    rules = day.folder / RULES
    text = rules.read_text(encoding="utf-8")

    def mend() -> None:
        (day.folder / "elsewhere" / "characters").mkdir(parents=True)
        (day.folder / "elsewhere" / "characters" / "rem_cosplay.png").write_bytes(IMAGE)
        os.utime(day.folder / "elsewhere" / "characters" / "rem_cosplay.png", (OLD, OLD))
        rules.write_text(text.replace('root = "output"', 'root = "elsewhere"'), encoding="utf-8")

    def spoil() -> None:
        rules.write_text("nonsense", encoding="utf-8")

    day.at(100, spoil)
    day.at(2000, mend)
    day.run(2010)
    [failed] = day.of(EventKind.FAILED)
    assert failed.code == "config"
    assert day.of(EventKind.RECOVERED)
    assert "characters/rem_cosplay.png" in keys(day)


def test_a_character_that_is_registered_later_gets_its_record(day: Day) -> None:
    rules = day.folder / RULES
    text = rules.read_text(encoding="utf-8")
    rules.write_text(text.replace("# [local_db]", "[local_db]").replace("# path =", "path ="), encoding="utf-8")
    database = day.folder / "data" / "characters.json"
    database.parent.mkdir()
    database.write_text("{}", encoding="utf-8")

    def register() -> None:
        fields = {"name": "Emilia", "assets": [{"title": "primary", "anime_image": "output/characters/emilia.png"}]}
        database.write_text(json.dumps({"emilia": fields}), encoding="utf-8")

    day.writes(100, "characters/emilia.png")
    day.at(200, register)
    day.run(300)
    assert [event.char_ids for event in day.of(EventKind.PASS_STARTED)] == [(), ("emilia",), ("emilia",)]
    assert entry(day, "emilia")["anime_image"].endswith("/characters/emilia.png")


def test_a_root_that_is_gone_is_waited_for(day: Day) -> None:
    day.at(0, lambda: Seen(gone=True))
    for second in range(1, 100):
        day.at(second, lambda: Seen(gone=True))
    day.at(100, lambda: Seen(armed="by the system's events"))
    day.run(200)
    [(when, message)] = day.told(EventKind.WAITING)
    assert (when, "is not there" in message) == (0, True)
    assert [when for when, _ in day.told(EventKind.PASS_STARTED)] == [100]


def test_one_change_that_fails_for_good_does_not_stop_the_others(day: Day) -> None:
    class Stubborn:
        def __init__(self, store: Any) -> None:
            self._store = store

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

        def put(self, desired: DesiredObject, *arguments: Any, **options: Any) -> Any:
            if desired.key == "characters/ai_hoshino.png":
                raise StoreUnavailable("not this one")
            return self._store.put(desired, *arguments, **options)

    def broken(project: OpenProject) -> None:
        project.__dict__["objects"] = Stubborn(project.objects)

    day.broken = broken
    day.writes(1000, "characters/rem_cosplay.png")
    day.run(1100)
    assert "characters/rem_cosplay.png" in keys(day)
    assert max(when for when, _ in day.told(EventKind.APPLIED)) >= 1002
    [failed] = day.of(EventKind.FAILED)
    assert "not this one" in failed.message
    assert not day.of(EventKind.RECOVERED)
    health = read_health(day.folder)
    assert health is not None
    assert health.last_error == failed.message


def test_what_could_not_be_read_is_told_beside_what_was_made(day: Day) -> None:
    class Unread:
        def __init__(self, files: Any) -> None:
            self._files = files

        def __getattr__(self, name: str) -> Any:
            return getattr(self._files, name)

        def walk(self, prefixes: Sequence[str] = ("",)) -> Iterator[LocalFile]:
            yield from self._files.walk(prefixes)
            yield LocalFile("remixes/rem/", 0, 0, problem=FileProblem.UNREADABLE, detail="no right")

    def broken(project: OpenProject) -> None:
        project.__dict__["files"] = Unread(project.files)

    day.broken = broken
    day.run(4)
    assert [message for _, message in day.told(EventKind.APPLIED, EventKind.FAILED)] == [
        "4 changes made, 0 not",
        "a part of the local files could not be read; `reconcile plan` says which",
    ]


def test_a_second_watcher_is_refused(day: Day) -> None:
    with take_place(day.folder), pytest.raises(LockHeld, match="watched already"):
        day.run(5)
    day.stop.clear()
    day.run(10)


def test_stopping_while_a_plan_is_made_leaves_it(day: Day) -> None:
    def broken(project: OpenProject) -> None:
        day.stop.set()

    day.broken = broken
    day.run(100)
    assert keys(day) == {"characters/rem.png"}
    assert day.events[-1][1].event is EventKind.STOPPED
