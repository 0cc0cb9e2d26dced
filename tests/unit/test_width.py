"""How many uploads at once are found to go fastest, on simulated networks and a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from reconcile import Project
from reconcile.adapters.lanes import Lanes
from reconcile.commands.restore import survey
from reconcile.commands.restoring import execute
from reconcile.commands.verify import verify
from reconcile.core.proof import Mode
from reconcile.core.width import FIRST, LAST_HOLD, MOST, Width
from tests.kit.small_project import make_project
from tests.kit.world import World, titled

STEP = 0.005
KIB, MIB = 1024, 1024 * 1024


@dataclass
class _Sending:
    left: float
    waits: float


@dataclass
class Network:
    """Sends files under a ``Width``: each waits ``latency`` seconds, and all share ``bandwidth`` (bytes a second).
    More than ``bears`` at once are refused, and tried again a second later."""

    latency: float = 0.0
    bandwidth: float = float("inf")
    bears: int = 10**6
    most: int = MOST
    jitter: float = 0.0
    now: float = 0.0
    refusals: list[float] = field(default_factory=list)
    widths: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.width = Width(self.most)
        self.random = Random(7)

    def send(self, sizes: Iterable[float]) -> float:
        """Sends files of these sizes, and gives the seconds that it took."""
        waiting, started = list(reversed(list(sizes))), self.now
        sending: list[_Sending] = []
        self.width.start(self.now)
        while waiting or sending:
            while waiting and len(sending) < self.width.at_once:
                sending.append(_Sending(waiting.pop(), self.wait()))
                if len(sending) > self.bears:
                    sending[-1].waits += 1
                    self.refusals.append(self.now)
                    self.width.refused(self.now)
            self.now += STEP
            self.step(sending)
            sending = [each for each in sending if each.left > 0 or each.waits > 0]
            self.widths.append((self.now, self.width.at_once))
        return self.now - started

    def wait(self) -> float:
        return self.latency * (1 + self.jitter * self.random.uniform(-1, 1))

    def step(self, sending: list[_Sending]) -> None:
        moving = [each for each in sending if each.waits <= 0]
        for each in sending:
            each.waits -= STEP
        for each in moving:
            moved = min(each.left, STEP * self.bandwidth / len(moving))
            each.left -= moved
            self.width.moved(int(moved), self.now)
        for _ in (each for each in sending if each.left <= 0 and each.waits <= 0):
            self.width.finished(self.now)

    def usual(self, since: float = 0.0) -> int:
        """The width that held for most of the time after that moment."""
        found = sorted(width for now, width in self.widths if now >= since)
        return found[len(found) // 2]


def test_it_starts_at_eight_or_at_the_most_there_may_be() -> None:
    assert Width().at_once == FIRST == 8
    assert Width(3).at_once == 3
    assert Width(0).at_once == 1


@pytest.mark.parametrize("latency", [0.02, 0.04, 0.2])
def test_where_small_files_wait_for_answers_it_grows_to_the_most_at_once(latency: float) -> None:
    network = Network(latency, 100 * MIB, jitter=0.3)
    took = network.send([2 * KIB] * 3000)
    assert network.usual() == MOST
    assert took < 2 * 3000 * latency / MOST


def test_where_large_files_fill_the_line_it_stays_where_it_is() -> None:
    network = Network(0.04, 10 * MIB)
    took = network.send([40 * MIB] * 40)
    assert network.usual() == FIRST
    assert max(width for _, width in network.widths) <= 2 * FIRST
    assert took < 1.05 * 40 * 40 / 10


def test_where_one_connection_is_slow_large_files_are_sent_at_once_in_number() -> None:
    class PerConnection(Network):
        def step(self, sending: list[_Sending]) -> None:
            self.bandwidth = MIB * max(1, len([each for each in sending if each.waits <= 0]))
            super().step(sending)

    network = PerConnection(0.04)
    network.send([60 * MIB] * 300)
    assert network.usual() == MOST


def test_it_grows_as_far_as_the_rate_does() -> None:
    # Files of 256 KiB, 100 ms each: 20 at once fill 50 MiB a second.
    network = Network(0.1, 50 * MIB, jitter=0.3)
    network.send([256 * KIB] * 4000)
    assert 16 <= network.usual() <= 32


def test_a_server_that_refuses_more_than_it_bears_is_asked_for_less() -> None:
    network = Network(0.04, bears=20)
    took = network.send([KIB] * 20_000)
    assert 10 <= network.usual(2) <= 20
    assert len(network.refusals) < 20_000 / 100
    assert took < 2 * 20_000 * 0.04 / 20


def test_a_server_that_bears_less_than_the_first_width_is_asked_for_that() -> None:
    network = Network(0.04, bears=3)
    network.send([KIB] * 3000)
    assert 1 <= network.usual(2) <= 3
    assert len(network.refusals) < 3000 / 20


def test_what_was_refused_is_tried_again_after_a_while() -> None:
    network = Network(0.04, bears=10)
    network.send([KIB] * 2000)
    assert network.usual(1) <= 10
    network.bears = 10**6
    network.send([KIB] * 100_000)
    assert network.widths[-1][1] == MOST


def test_refusals_of_requests_that_set_out_together_halve_it_once() -> None:
    width = Width()
    width.start(0)
    for _ in range(8):
        width.refused(0.5)
    assert width.at_once == 4
    width.refused(1.6)
    assert width.at_once == 2
    for second in range(3, 10):
        width.refused(second)
    assert width.at_once == 1


def test_a_step_that_brought_nothing_is_repeated_less_and_less_often() -> None:
    network = Network(0.0, 10 * MIB)
    network.send([MIB] * 6000)
    rises = [after[0] for before, after in pairwise(network.widths) if after[1] > before[1]]
    gaps = [after - before for before, after in pairwise(rises)]
    assert len(rises) < 20
    assert gaps[-1] >= LAST_HOLD > gaps[0]


def test_what_is_sent_again_counts_once() -> None:
    width = Width()
    width.start(0)
    for second in range(1, 200):
        width.moved(MIB, second)
        width.moved(-MIB, second)
    assert width.at_once <= 2 * FIRST


def test_a_number_that_was_asked_for_stays() -> None:
    now = 0.0
    lanes = Lanes(5, clock=lambda: now)
    lanes.start()
    for _ in range(1000):
        now += 0.01
        lanes.finished()
        lanes.refused()
    assert lanes.at_once == 5


def test_a_refusal_before_the_first_upload_says_nothing_of_uploads() -> None:
    lanes = Lanes(clock=lambda: 1.0)
    lanes.refused()
    lanes.start()
    assert lanes.at_once == FIRST
    lanes.refused()
    assert lanes.at_once == FIRST // 2


class Told(Lanes):
    """Counts what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.files = 0

    def moved(self, size: int) -> None:
        self.bytes += size
        super().moved(size)

    def finished(self) -> None:
        self.files += 1
        super().finished()


def test_uploads_and_deep_proofs_say_what_they_have_done() -> None:
    world = World()
    for number in range(3):
        world.file(f"characters/c{number}.png", bytes(1000))
    world.record("c0", titled(anime_image=world.uri("characters/c0.png")))
    world.lanes = Told()
    assert world.apply().counts.applied == 3
    assert (world.lanes.files, world.lanes.bytes) == (3, 3000)
    world.lanes = Told()
    assert verify(world, mode=Mode(deep=True)).verification.ok == 1
    assert (world.lanes.files, world.lanes.bytes) == (2, 1000)  # it asks for the object, and then reads it


def test_files_that_come_back_say_what_they_have_done(tmp_path: Path) -> None:
    folder = make_project(tmp_path)
    (folder / "output" / "characters" / "rem.png").unlink()
    with Project.open(folder).opened() as project:
        project.lanes = told = Told()
        assert execute(project, survey(project)).counts.applied == 1
    assert (told.files, told.bytes) == (1, 100)


def test_what_fails_is_not_taken_for_progress() -> None:
    world = World()
    world.file("characters/rem.png")
    plan = world.plan()
    world.file("characters/rem.png", b"changed since")
    world.lanes = told = Told()
    assert world.apply(plan).counts.applied == 0
    assert told.files == 0
