"""The watcher on a real folder and embedded stores, with a clock of its own: hours pass in no time."""

from __future__ import annotations

import datetime
import json
import os
import re
import socket
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from reconcile import config
from reconcile.adapters.local.settle import Looks
from reconcile.adapters.local.watching import FolderWatch
from reconcile.adapters.state.health import HealthFile, read_health
from reconcile.commands.demo_media import png
from reconcile.commands.watch import Watcher, WatchOptions
from reconcile.commands.watch_teller import SILENT_AFTER, check
from reconcile.core.changes import Finding, Severity
from reconcile.core.errors import LockHeld, StoreUnavailable
from reconcile.core.plan import Scope
from reconcile.core.watch_report import EventKind, WatchEvent, WatchState
from reconcile.core.watching import Look, Poll, Seen
from reconcile.project import OpenProject, Project, RunOptions
from reconcile.views.json import dumps
from tests.kit.small_project import OLD, make_project, open_objects, open_records, put, write
from tests.kit.windows import on_each_system  # noqa: F401

IMAGE = png(1)
Act = Callable[[], Seen | None]
"""What happens, and what the watcher sees of it."""


class Day:
    """A watcher's time and folder: what happens at which second, and where it ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 0.0
        self.acts: list[tuple[float, Act]] = []
        self.events: list[tuple[float, WatchEvent]] = []
        self.stop = threading.Event()
        self.opened = 0
        self.open_now = 0
        self.waits = 0
        self.broken: Callable[[OpenProject], None] = lambda _project: None

    def at(self, when: float, act: Act) -> None:
        """Something happens in the folder; what it gives is what the watcher sees."""
        self.acts.append((when, act))

    def writes(self, when: float, *paths: str, data: bytes = IMAGE) -> None:
        """A workflow writes files, which are seen."""

        def act() -> Seen:
            for path in paths:
                write(self.folder, path, data)
            return Seen(paths)

        self.at(when, act)

    def run(self, until: float, *, scope: Scope | None = None, **options: Any) -> tuple[Finding, ...]:
        """The watcher, from 0 to then; what it was to fail on and remains."""

        def end() -> None:
            self.stop.set()

        self.at(until, end)
        self.acts.sort(key=lambda pair: pair[0])
        return Watcher(
            Project.open(self.folder),
            WatchOptions(scope=scope or Scope(), **options),
            reopen=self.reopen,
            listener=lambda event: self.events.append((self.now, event)),
            stop=self.stop,
            clock=lambda: self.now,
            folder=lambda settings, _poll: _Folder(self, settings),
            jitter=lambda: 1.0,
        ).run()

    def reopen(self) -> Project:
        return _Counted(Project.open(self.folder).settings, self)

    def told(self, *kinds: EventKind) -> list[tuple[float, str]]:
        """When what was said."""
        return [(when, event.message) for when, event in self.events if not kinds or event.event in kinds]

    def of(self, kind: EventKind) -> list[WatchEvent]:
        return [event for _, event in self.events if event.event is kind]


class _Counted(Project, frozen=True):
    """A project that counts how often it is opened, and may be broken then."""

    day: Day

    @contextmanager
    def opened(self, options: RunOptions | None = None) -> Iterator[OpenProject]:  # type: ignore[override]
        with Project.opened(self, options) as project:
            self.day.opened += 1
            self.day.open_now += 1
            try:
                self.day.broken(project)
                yield project
            finally:
                self.day.open_now -= 1


class _Folder:
    """The real folder, but for waiting: that passes the day's time."""

    def __init__(self, day: Day, settings: config.Settings) -> None:
        self._day = day
        self._files = FolderWatch(settings.root, ignore=settings.ignore)

    def wait(self, seconds: float, stop: threading.Event) -> Seen:
        day = self._day
        day.waits += 1
        assert day.waits < 200_000, "it spins"
        assert day.open_now == 0, "a project is held open while nothing is done"
        if day.acts and day.acts[0][0] <= day.now + seconds:
            when, act = day.acts.pop(0)
            day.now = max(day.now, when)
            return act() or Seen()
        day.now += seconds
        return Seen()

    def look(self, path: str) -> Look | None:
        return self._files.look(path)

    def below(self, path: str) -> Iterable[str]:
        return self._files.below(path)

    def missing_end(self, path: str) -> str | None:
        return self._files.missing_end(path) if path.startswith("characters/") else None

    def close(self) -> None:
        self._files.close()


@pytest.fixture
def day(tmp_path: Path) -> Day:
    made = Day(make_project(tmp_path, settle=2))
    # The small project's files are no media; those here are looked at.
    for name in ("ai_hoshino", "rem"):
        os.unlink(tmp_path / "output" / "characters" / f"{name}.png")
    write(tmp_path, "characters/ai_hoshino.png", IMAGE)
    know(tmp_path)
    return made


def know(folder: Path) -> None:
    """An earlier run has looked at the files that are there."""
    with Project.open(folder).opened(RunOptions(looks=Looks(0))) as project:
        assert len(list(project.files.walk())) >= 3


def keys(day: Day) -> set[str]:
    objects = open_objects(day.folder)
    try:
        return {found.key for found in objects.list()}
    finally:
        objects.close()


def entry(day: Day, char_id: str) -> dict[str, Any]:
    records = open_records(day.folder)
    try:
        fields = records.fields(char_id)
        assert fields is not None
        found: dict[str, Any] = fields["assets"][0]
        return found
    finally:
        records.close()


# -- passes --


def test_what_happened_while_it_was_down_is_taken_first(day: Day) -> None:
    day.run(5)
    assert "characters/ai_hoshino.png" in keys(day)
    assert entry(day, "ai_hoshino")["anime_image"].startswith("gs://")
    kinds = [event.event for _, event in day.events]
    assert kinds == [
        EventKind.STARTED,
        EventKind.PASS_STARTED,
        EventKind.APPLYING,
        EventKind.APPLIED,
        EventKind.IDLE,
        EventKind.STOPPED,
    ]
    [report] = day.of(EventKind.APPLIED)
    assert report.counts is not None
    assert report.counts.applied == 4


def test_a_new_file_is_taken_for_its_character_alone(day: Day) -> None:
    day.writes(100, "characters/rem_cosplay.png")
    day.run(200)
    assert entry(day, "rem")["cosplay_image"].endswith("/characters/rem_cosplay.png")
    passes = day.of(EventKind.PASS_STARTED)
    assert [(each.char_ids, each.count) for each in passes] == [((), 0), (("rem",), 1)]
    [(when, _)] = [told for told in day.told(EventKind.APPLIED) if told[0] > 50]
    assert when == 102


def test_a_burst_of_500_files_is_a_pass_or_two(day: Day) -> None:
    for number in range(500):
        day.writes(10 + number / 50, f"characters/c{number:03}.png")
    day.run(100)
    assert len(keys(day)) == 3 + 500
    assert len(day.of(EventKind.PASS_STARTED)) <= 3


def test_a_file_that_is_not_complete_is_left_until_it_is(day: Day) -> None:
    write(day.folder, "characters/rem_cosplay.png", IMAGE[:-1])
    day.writes(100, "characters/ai_hoshino_cosplay.png", data=IMAGE[:50])
    day.writes(500, "characters/rem_cosplay.png")
    day.run(600)
    assert "characters/rem_cosplay.png" in keys(day)
    assert "characters/ai_hoshino_cosplay.png" not in keys(day)
    assert "cosplay_image" not in entry(day, "ai_hoshino")
    waiting = day.told(EventKind.WAITING)
    assert [(when < 110, message.split(" ")[0]) for when, message in waiting] == [
        (True, "characters/rem_cosplay.png"),
        (True, "characters/ai_hoshino_cosplay.png"),
    ]
    assert len(day.of(EventKind.PASS_STARTED)) == 2, "an unfinished file is worth no pass"
    assert not day.of(EventKind.FAILED)


def test_a_pass_that_held_something_back_is_no_good_run_of_everything(day: Day) -> None:
    write(day.folder, "characters/rem_cosplay.png", IMAGE[:-1])
    day.writes(1000, "characters/rem_cosplay.png")
    runs: list[str | None] = []
    day.at(900, lambda: runs.append(_last_good_run(day)))
    day.run(4000, every=3600)
    runs.append(_last_good_run(day))
    assert runs[0] is None
    assert runs[1] is not None


def _last_good_run(day: Day) -> str | None:
    with Project.open(day.folder).opened() as project:
        return project.last_good_run


def test_a_new_folder_is_looked_into(day: Day) -> None:
    def act() -> Seen:
        write(day.folder, "remixes/rem_new/result/[kpop]_new.mp4", b"data")
        return Seen(("remixes/rem_new",))

    day.at(100, act)
    day.run(200)
    assert "remixes/rem_new/result/[kpop]_new.mp4" in keys(day)


def test_whose_file_is_learnt_on_the_way_is_taken_for_the_right_one(day: Day) -> None:
    def act() -> Seen:
        records = open_records(day.folder)
        records.put("rem_2", {"name": "Rem 2", "assets": [{"title": "primary"}]})
        records.close()
        write(day.folder, "dances/dance_rem_2_x.mp4", b"data")
        return Seen(("dances/dance_rem_2_x.mp4",))

    day.at(100, act)
    day.run(200)
    assert [event.char_ids for event in day.of(EventKind.PASS_STARTED)] == [(), ("rem",), ("rem_2",)]
    assert entry(day, "rem_2")["dance_video"].endswith("dance_rem_2_x.mp4")


def test_what_others_change_is_found_by_the_periodic_pass(day: Day) -> None:
    def act() -> None:
        records = open_records(day.folder)
        records.put("rem", {"name": "Rem", "assets": [{"title": "primary", "anime_image": r"C:\oo\bar\output\x"}]})
        records.close()
        write(day.folder, "characters/unseen.png", IMAGE)

    day.at(1000, act)
    day.run(7300, every=3600)
    assert "characters/unseen.png" in keys(day)
    causes = [event.cause.value for event in day.of(EventKind.PASS_STARTED) if event.cause]
    assert causes == ["start", "periodic", "files", "periodic"], "a pass sees the file, the next takes it"


def test_a_plan_alone_changes_nothing(day: Day) -> None:
    day.run(5, apply=False)
    assert keys(day) == {"characters/rem.png"}
    [planned] = day.of(EventKind.PLANNED)
    assert planned.count == 4
    [idle] = day.of(EventKind.IDLE)
    assert idle.message == "nothing left to take; waiting for files"


def test_a_watcher_that_only_plans_is_not_the_one_of_the_project(day: Day) -> None:
    first = HealthFile(day.folder)
    first.open()
    try:
        day.run(5, apply=False)
    finally:
        first.close()
    assert day.of(EventKind.PLANNED)
    assert read_health(day.folder) is None
    assert check(day.folder, 3600) == (None, "no watcher has run in this project")


def test_a_watcher_that_only_plans_leaves_the_place_free(day: Day) -> None:
    def another() -> None:
        place = HealthFile(day.folder)
        place.open()
        place.close()

    day.at(3, another)
    day.run(5, apply=False)
    assert not day.acts


def test_a_watcher_of_one_character_takes_its_files_only(day: Day) -> None:
    day.writes(100, "characters/rem_cosplay.png", "characters/ai_hoshino_cosplay.png")
    day.run(200, scope=Scope(("rem",)))
    assert keys(day) == {"characters/rem.png", "characters/rem_cosplay.png"}


def test_files_that_no_rule_takes_are_no_news(day: Day) -> None:
    for second in range(100):
        day.writes(100 + second, "render.log", data=b"%d" % second)
    day.run(300)
    assert len(day.of(EventKind.PASS_STARTED)) == 1
    assert len(day.of(EventKind.IDLE)) == 1


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
    rules = day.folder / config.RULES
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
    rules = day.folder / config.RULES
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

        def put(self, key: str, *arguments: Any, **options: Any) -> Any:
            if key == "characters/ai_hoshino.png":
                raise StoreUnavailable("not this one")
            return self._store.put(key, *arguments, **options)

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


def test_a_second_watcher_is_refused(day: Day) -> None:
    first = HealthFile(day.folder)
    first.open()
    try:
        with pytest.raises(LockHeld, match="watched already"):
            day.run(5)
    finally:
        first.close()
    day.stop.clear()
    day.run(10)


def test_stopping_while_a_plan_is_made_leaves_it(day: Day) -> None:
    def broken(project: OpenProject) -> None:
        day.stop.set()

    day.broken = broken
    day.run(100)
    assert keys(day) == {"characters/rem.png"}
    assert day.events[-1][1].event is EventKind.STOPPED


# -- many passes --


def test_after_many_passes_nothing_has_piled_up(day: Day) -> None:
    for number in range(15):
        day.writes(1000 + 900 * number, "characters/rem_cosplay.png", data=png(number))
    day.run(15_000, every=3600)
    # The embedded stores' own files are opened and closed by each pass.
    assert day.opened >= 15
    assert day.open_now == 0
    health = read_health(day.folder)
    assert health is not None
    assert health.pending == 0


# -- health --


def test_the_health_file_tells_how_it_is(day: Day) -> None:
    seen: list[Any] = []
    day.at(50, lambda: seen.append(read_health(day.folder)))
    day.run(60)
    [health] = seen
    assert health.state is WatchState.IDLE
    assert health.last_good_pass is not None
    assert health.pid == os.getpid()
    assert check(day.folder, 3600)[1] is not None, "a watcher that was stopped is not well"
    if os.name == "posix":
        assert stat.S_IMODE((day.folder / ".reconcile" / "watch-health.json").stat().st_mode) == 0o600


def test_a_check_tells_a_dead_watcher_and_one_that_gets_nothing_done(tmp_path: Path) -> None:
    now = datetime.datetime(2026, 2, 7, 12, tzinfo=datetime.UTC)
    assert check(tmp_path, 60, now) == (None, "no watcher has run in this project")
    (tmp_path / ".reconcile").mkdir()

    def wrong(heard: int, good: int | None, error: str | None = None) -> str | None:
        document = {
            "format": "reconcile.watch-health/1",
            "pid": 7,
            "host": "h",
            "since": _before(now, 7200),
            "heard": _before(now, heard),
            "state": "idle",
            "last_good_pass": None if good is None else _before(now, good),
            "last_error": error,
            "pending": 0,
            "incomplete": 0,
        }
        (tmp_path / ".reconcile" / "watch-health.json").write_bytes(dumps(document))
        return check(tmp_path, 3600, now)[1]

    assert wrong(10, 600) is None
    assert "last heard of" in str(wrong(int(SILENT_AFTER) + 1, 600))
    assert str(wrong(10, 3601, "the bucket is down")).endswith(": the bucket is down")
    assert "no pass went well" in str(wrong(10, None))
    (tmp_path / ".reconcile" / "watch-health.json").write_bytes(b"{")
    assert check(tmp_path, 60, now)[0] is None


def test_a_check_tells_a_watcher_that_was_killed_at_once(day: Day) -> None:
    """What a kill leaves: the health file as it was a moment ago, and the lock for anybody to take."""
    held = HealthFile(day.folder)
    now = datetime.datetime.now(datetime.UTC)
    place = day.folder / ".reconcile" / "watch-health.json"

    def wrong(host: str) -> str | None:
        document = {
            "format": "reconcile.watch-health/1",
            "pid": 4711,
            "host": host,
            "since": _before(now, 60),
            "heard": _before(now, 1),
            "state": "idle",
            "last_good_pass": _before(now, 1),
            "last_error": None,
            "pending": 0,
            "incomplete": 0,
        }
        place.write_bytes(dumps(document))
        return check(day.folder, 3600, now)[1]

    here = socket.gethostname()
    held.open()
    assert wrong(here) is None
    held.close()
    assert wrong(here) == "the watcher (process 4711) has died"
    assert wrong(here), "asking changes nothing"
    assert wrong("elsewhere") is None, "a lock tells nothing of another machine"
    place.with_name("watch.lock").unlink()
    assert wrong(here) is None, "a watcher that could take no lock may be there"
    held.open()
    held.close()


def _before(now: datetime.datetime, seconds: int) -> str:
    return (now - datetime.timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def test_polling_can_be_asked_for_by_name() -> None:
    assert [Poll(name) for name in ("auto", "always", "never")] == [Poll.AUTO, Poll.ALWAYS, Poll.NEVER]
