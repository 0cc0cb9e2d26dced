"""What a watcher does when: settling, holding back, batches, retries and the periodic pass, on a clock of its own."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

from reconcile.core.plan import Scope
from reconcile.core.rules import AssetMap
from reconcile.core.watching import MOST_CHARACTERS, MOST_PATHS, Agenda, Batch, Cause, Look, owner_of, scope_of
from tests.kit.world import rule

SETTLE = 2.0
EVERY = 3600.0
RULES = AssetMap(
    (
        rule("image", "characters/{char_id}.png", "image"),
        rule("dance", "dances/dance_{char_id}*.mp4", "dance"),
        rule("music", "music/*.mp3", "music"),
    )
)


def whole() -> str | None:
    return None


class Day:
    """An agenda with a clock and a folder of files that are as large as they are told."""

    def __init__(self, *, jitter: Callable[[], float] = lambda: 1.0) -> None:
        self.now = 0.0
        self.agenda = Agenda(settle=SETTLE, every=EVERY, now=0.0, jitter=jitter)
        self.sizes: dict[str, int] = {}
        self.missing: dict[str, str] = {}
        self.told: list[tuple[str, str]] = []

    def write(self, *paths: str) -> None:
        for path in paths:
            self.sizes[path] = self.sizes.get(path, 0) + 1
        self.agenda.touch(paths, self.now)

    def step(self) -> Batch | None:
        """Looks at what is due, then asks for a batch."""
        for path in self.agenda.to_look_at(self.now):
            size = self.sizes.get(path)
            look = None if size is None else Look((size, 0, 0))
            reason = self.agenda.looked(path, look, self.now, lambda path=path: self.missing.get(path))
            if reason is not None:
                self.told.append((path, reason))
        return self.agenda.batch(self.now)

    def until(self, end: float) -> list[tuple[float, Batch]]:
        """The passes until then, each of which goes well at once."""
        passes: list[tuple[float, Batch]] = []
        while self.now < end:
            batch = self.step()
            if batch is not None:
                passes.append((self.now, batch))
                self.agenda.done(batch, self.now)
            elif self.agenda.wait(self.now) == 0:
                assert self.agenda.to_look_at(self.now), "it would wait for nothing, for ever"
            self.now = min(end, self.now + self.agenda.wait(self.now))
        return passes


def test_a_file_is_taken_when_it_has_not_changed_for_the_time_to_settle() -> None:
    day = Day()
    day.write("a.png")
    [(when, batch)] = day.until(10)
    assert (when, set(batch.paths), batch.whole) == (SETTLE, {"a.png"}, False)


def test_a_file_that_is_still_written_is_not_taken() -> None:
    day = Day()
    for second in range(10):
        day.write("a.png")
        assert day.until(second + 1) == []
    [(when, _)] = day.until(20)
    assert when == 9 + SETTLE


def test_a_file_that_grows_without_being_told_of_is_not_taken() -> None:
    day = Day()
    day.write("a.png")
    for second in range(1, 10):
        day.sizes["a.png"] += 1
        assert day.until(second) == []
    assert [when for when, _ in day.until(30)] == [10.0]


def test_a_file_that_has_gone_is_forgotten() -> None:
    day = Day()
    day.write("a.png")
    del day.sizes["a.png"]
    assert day.until(10) == []
    assert day.agenda.pending == 0


def test_a_burst_is_one_pass() -> None:
    day = Day()
    for number in range(500):
        day.write(f"{number}.png")
        assert day.until(number / 100) == []
    [(_, batch)] = day.until(30)
    assert len(batch.paths) == 500


def test_a_steady_stream_does_not_starve_what_is_ready() -> None:
    day = Day()
    passes: list[tuple[float, Batch]] = []
    for second in range(300):
        day.write(f"{second}.png")
        passes += day.until(second + 1)
    times = [when for when, _ in passes]
    assert 9 <= len(times) <= 11
    assert max(later - sooner for sooner, later in pairwise(times)) <= 34
    passes += day.until(400)
    assert sum(len(batch.paths) for _, batch in passes) == 300


def test_a_file_that_is_written_again_while_others_settle_waits_for_its_new_end() -> None:
    day = Day()
    day.write("a.png")
    assert day.until(1) == []
    day.write("b.png")
    assert day.until(2.5) == [], "a.png is ready, and waits for b.png"
    day.write("a.png", "b.png")
    [(when, batch)] = day.until(100)
    assert (when, set(batch.paths)) == (2.5 + SETTLE, {"a.png", "b.png"})


def test_an_unfinished_file_is_held_back_and_said_once() -> None:
    day = Day()
    day.missing["a.png"] = "has no IEND chunk"
    day.write("a.png", "b.png")
    [(when, batch)] = day.until(1000)
    assert (when, set(batch.paths)) == (SETTLE, {"b.png"})
    assert day.told == [("a.png", "has no IEND chunk")]
    day.write("a.png")
    assert day.until(2000) == []
    assert day.told == [("a.png", "has no IEND chunk")]
    del day.missing["a.png"]
    day.write("a.png")
    [(when, batch)] = day.until(3000)
    assert (when, set(batch.paths)) == (2000 + SETTLE, {"a.png"})


def test_an_unfinished_file_that_ends_unnoticed_is_found_within_a_minute() -> None:
    day = Day()
    day.missing["a.png"] = "has no IEND chunk"
    day.write("a.png")
    assert day.until(1000) == []
    del day.missing["a.png"]
    [(when, _)] = day.until(2000)
    assert when <= 1060


def test_an_event_that_changed_nothing_makes_no_pass() -> None:
    day = Day()
    day.write("a.png")
    assert len(day.until(100)) == 1
    day.agenda.touch(["a.png"], day.now)
    assert day.until(200) == []


def test_everything_is_looked_at_now_and_then() -> None:
    day = Day()
    assert [(when, batch.whole, batch.cause) for when, batch in day.until(3 * EVERY)] == [
        (EVERY, True, Cause.PERIODIC),
        (2 * EVERY, True, Cause.PERIODIC),
    ]


def test_too_many_files_at_once_become_one_look_at_everything() -> None:
    day = Day()
    day.write(*(f"{number}.png" for number in range(MOST_PATHS + 1)))
    assert day.agenda.pending == 0
    [(_, batch)] = day.until(10)
    assert batch.whole


def test_retries_grow_to_five_minutes_and_keep_what_is_to_be_taken() -> None:
    day = Day()
    day.write("a.png")
    tries: list[float] = []
    while day.now < 2000:
        batch = day.step()
        if batch is not None:
            assert "a.png" in batch.paths
            tries.append(day.now)
            day.agenda.failed(batch, day.now, alone=False)
        if day.now == 100:
            day.write("b.png")
        day.now += 1
    gaps = [later - sooner for sooner, later in pairwise(tries)]
    assert gaps == [5, 10, 20, 40, 80, 160, 300, 300, 300, 300, 300]
    batch = None
    while batch is None:
        day.now += 1
        batch = day.step()
    assert set(batch.paths) == {"a.png", "b.png"}
    day.agenda.done(batch, day.now)
    assert not day.agenda.is_failing
    day.write("c.png")
    start = day.now
    [(when, batch)] = day.until(day.now + 60)
    assert (when, set(batch.paths)) == (start + SETTLE, {"c.png"})


def test_what_failed_too_often_to_be_listed_becomes_one_look_at_everything() -> None:
    day = Day()
    for number in range(12):
        paths = {f"{number}/{each}.png": (1, 1, 1) for each in range(3000)}
        day.agenda.failed(Batch(Cause.FILES, False, paths, frozenset({f"c{number}"})), day.now, alone=False)
        assert day.agenda.pending <= MOST_PATHS
    day.now += 300
    batch = day.step()
    assert batch is not None
    assert (batch.cause, batch.whole) == (Cause.RETRY, True)
    assert len(batch.paths) <= MOST_PATHS
    day.agenda.done(batch, day.now)
    assert day.agenda.is_idle


def test_retries_are_spread() -> None:
    def first(jitter: float) -> float:
        day = Day(jitter=lambda: jitter)
        return day.agenda.failed(Batch(Cause.START, True, {}, frozenset()), 0.0, alone=False)

    assert (first(0.0), first(1.0)) == (2.5, 5.0)


def test_one_that_fails_for_good_does_not_hold_up_the_others() -> None:
    day = Day()
    day.write("bad.png")
    taken: list[tuple[float, frozenset[str]]] = []
    while day.now < 1200:
        batch = day.step()
        if batch is not None:
            taken.append((day.now, frozenset(batch.paths)))
            if "bad.png" in batch.paths:
                day.agenda.failed(batch, day.now, alone=True)
            else:
                day.agenda.done(batch, day.now)
        if day.now % 100 == 0:
            day.write(f"good{day.now}.png")
        day.now += 1
    good = {path: when for when, paths in taken for path in sorted(paths, reverse=True)}
    for hundred in range(0, 1200, 100):
        assert good[f"good{float(hundred)}.png"] >= hundred + SETTLE
        first = min(when for when, paths in taken if f"good{float(hundred)}.png" in paths)
        assert first <= hundred + SETTLE + 1
    tries = [when for when, paths in taken if "bad.png" in paths]
    assert len(tries) < 12, "its own tries grow further apart, whatever else goes well"


def test_mended_rules_are_tried_at_once() -> None:
    day = Day()
    batch = Batch(Cause.START, True, {}, frozenset())
    for _ in range(9):
        day.agenda.failed(batch, day.now, alone=False)
    day.agenda.retry_now()
    assert day.agenda.wait(day.now) == 0
    assert day.step() is not None


def test_it_never_spins_and_never_sleeps_over_something_due() -> None:
    """Whatever happens in whatever order: when it says that nothing is to be waited for, something is to be done."""
    dice = random.Random(7)
    for _ in range(300):
        day = Day(jitter=dice.random)
        for _ in range(40):
            paths = [f"{dice.randrange(6)}.png" for _ in range(dice.randrange(3))]
            match dice.randrange(8):
                case 0:
                    day.sizes = {path: size for path, size in day.sizes.items() if dice.random() < 0.5}
                case 1:
                    day.agenda.ask(Cause.LOCAL_DATABASE)
                case 2:
                    day.agenda.ask_for(["rem"], day.now)
                case 3:
                    day.agenda.look_again(paths, day.now)
                case 4:
                    day.missing = dict.fromkeys(paths, "has no end")
                case _:
                    day.write(*paths)
            batch = day.step()
            if batch is not None:
                if dice.random() < 0.5:
                    day.agenda.done(batch, day.now)
                else:
                    day.agenda.failed(batch, day.now, alone=dice.random() < 0.5)
            wait = day.agenda.wait(day.now)
            looks = bool(day.agenda.to_look_at(day.now))
            if wait == 0 and not looks:
                batch = day.agenda.batch(day.now)
                assert batch is not None
                day.agenda.done(batch, day.now)
            assert wait > 0 or looks or batch is not None
            day.now += dice.choice([wait, wait / 2, 0.1])
        day.missing.clear()
        day.until(day.now + 4000)
        assert day.agenda.pending == 0
        assert day.agenda.is_idle


# -- whose files they are --


def batch_of(*paths: str, char_ids: frozenset[str] = frozenset()) -> Batch:
    return Batch(Cause.FILES, False, dict.fromkeys(paths, (1, 1, 1)), char_ids)


def test_files_of_known_characters_are_looked_at_alone() -> None:
    batch = batch_of("characters/rem.png", "dances/dance_rem_2_x.mp4", "notes.txt", char_ids=frozenset({"emilia"}))
    assert scope_of(batch, RULES, {"rem", "rem_2"}, Scope()) == Scope(("emilia", "rem", "rem_2"))


def test_a_name_that_is_an_id_makes_a_new_character() -> None:
    assert owner_of("characters/new.png", RULES, set()) == {"new"}


def test_whose_file_is_unsure_is_found_by_looking_at_everything() -> None:
    assert scope_of(batch_of("music/song.mp3", "characters/rem.png"), RULES, {"rem"}, Scope()) == Scope()
    assert scope_of(batch_of("dances/dance_nobody_x.mp4"), RULES, {"rem"}, Scope()) == Scope()


def test_files_that_no_rule_takes_make_no_pass() -> None:
    assert scope_of(batch_of("notes.txt", "a/b/log"), RULES, {"rem"}, Scope()) is None


def test_very_many_characters_are_looked_at_as_everything() -> None:
    paths = [f"characters/c{number}.png" for number in range(MOST_CHARACTERS + 1)]
    assert scope_of(batch_of(*paths[:-1]), RULES, set(), Scope()) != Scope()
    assert scope_of(batch_of(*paths), RULES, set(), Scope()) == Scope()


def test_a_watcher_of_one_character_looks_at_that_one() -> None:
    limit = Scope(("rem",))
    assert scope_of(batch_of("music/song.mp3"), RULES, {"rem"}, limit) == limit
