"""The watcher on a real folder and embedded stores, with a clock of its own: hours pass in no time."""

from __future__ import annotations

import datetime
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from reconcile import Project
from reconcile.adapters.state.health import read_health, take_place
from reconcile.commands.demo_media import png
from reconcile.commands.watch_teller import SILENT_AFTER, check
from reconcile.core.plan import Scope
from reconcile.core.watch_report import EventKind, WatchState
from reconcile.core.watching import Poll, Seen
from reconcile.views.json import dumps
from tests.kit.day import IMAGE, Day, entry, keys, know
from tests.kit.small_project import make_project, open_records, write
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
    with take_place(day.folder):
        day.run(5, apply=False)
    assert day.of(EventKind.PLANNED)
    assert read_health(day.folder) is None
    assert check(day.folder, 3600) == (None, "no watcher has run in this project")


def test_a_watcher_that_only_plans_leaves_the_place_free(day: Day) -> None:
    def another() -> None:
        take_place(day.folder).close()

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
    with take_place(day.folder):
        assert wrong(here) is None
    assert wrong(here) == "the watcher (process 4711) has died"
    assert wrong(here), "asking changes nothing"
    assert wrong("elsewhere") is None, "a lock tells nothing of another machine"
    place.with_name("watch.lock").unlink()
    assert wrong(here) is None, "a watcher that could take no lock may be there"
    take_place(day.folder).close()


def _before(now: datetime.datetime, seconds: int) -> str:
    return (now - datetime.timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def test_polling_can_be_asked_for_by_name() -> None:
    assert [Poll(name) for name in ("auto", "always", "never")] == [Poll.AUTO, Poll.ALWAYS, Poll.NEVER]
