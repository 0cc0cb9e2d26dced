"""The deterministic simulation: a seed makes a world, its faults, and the order in which everybody acts on it.

Several reconcilers plan and apply over the same stores, each with a machine of its own, and die and start again. Other
hands write in between. Every write is judged when it lands (``ledger``). Then all is quiet, and one run must end with
nothing to do, and one more write nothing.

    .venv/bin/python -m tests.faults.simulation --seed 123          one seed, told step by step
    .venv/bin/python -m tests.faults.simulation --seeds 1000        seeds 0 to 999
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from random import Random

import msgspec

from reconcile.core.errors import ReconcileError, UsageError
from reconcile.core.plan import Plan, Scope
from reconcile.pipeline.executor import execute
from reconcile.pipeline.planner import survey
from tests.faults.actor import Actor, Disk, Stage, Weather
from tests.faults.baton import Baton, Killed, Stuck
from tests.faults.hands import Hands
from tests.faults.ledger import Applied, Broken, Ledger
from tests.kit.world import World
from tests.kit.worlds import MAPS, Pick, ids_of, spec_of, users_settings

REPLAY = ".venv/bin/python -m tests.faults.simulation --seed {}"


class Outcome(msgspec.Struct, frozen=True):
    """What one seed did. ``broken`` is the invariant that did not hold; ``counts`` are of faults, ``foreign`` of what
    other hands did, and ``done`` of the changes that runs made, by kind."""

    seed: int
    steps: int
    counts: Counter[str]
    foreign: Counter[str]
    done: Counter[str]
    runs: int
    log: tuple[str, ...]
    broken: str | None = None

    @property
    def faults(self) -> int:
        """Faults injected, deaths aside."""
        return sum(self.counts.values()) - self.crashes

    @property
    def crashes(self) -> int:
        """How often a reconciler died."""
        return self.counts["crash"]


def simulate(seed: int) -> Outcome:
    """Runs one seed to its end."""
    return _Simulation(seed).run()


class _Simulation:
    """One seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.dice = Random(seed)
        self.log: list[str] = []
        self.counts: Counter[str] = Counter()
        self.runs = 0
        self.spec = spec_of(Pick(self.dice.randrange), stops=self.dice.random() < 0.2)

    def run(self) -> Outcome:
        broken = None
        foreign: Counter[str] = Counter()
        done: Counter[str] = Counter()
        with self.spec.build() as world:
            ledger = Ledger(world)
            hands = Hands(world, self.spec, ledger, self.dice, self.log.append)
            busy = self.dice.choice((0.0, 0.05, 0.1, 0.2))
            between: Callable[[], None] = lambda: hands.act() if self.dice.random() < busy else None  # noqa: E731
            baton = Baton(self.dice, self.dice.choice((0.05, 0.2, 0.5)), between)
            stage = Stage(world, ledger, baton, self.dice, self._weather(), self.counts, self.log.append)
            disks = [Disk() for _ in range(self.dice.choice((1, 2, 2, 3)))]
            try:
                baton.run(
                    {f"machine {at}": self._machine(stage, f"machine {at}", disk) for at, disk in enumerate(disks)}
                )
                ledger.settle()
                self._quiet(world, self.dice.choice([*disks, Disk()]))
            except Broken as error:
                broken = str(error)
            except (Exception, Stuck) as error:  # noqa: BLE001 - whatever it is, it is the seed that shows it
                broken = "".join(traceback.format_exception(error))
            foreign, done = hands.counts, ledger.done
        return Outcome(self.seed, baton.steps, self.counts, foreign, done, self.runs, tuple(self.log), broken)

    def _weather(self) -> Weather:
        """Mild on some days, foul on others."""
        dice = self.dice
        documents = sorted(self.spec.records)
        keys = [thing.key for thing in self.spec.things]
        denied = dice.sample([*documents, *keys], 1) if dice.random() < 0.15 else []
        return Weather(
            before=dice.choice((0.0, 0.03, 0.15)),
            after=dice.choice((0.0, 0.05, 0.3)),
            torn=dice.choice((0.0, 0.0, 0.02)),
            crash=dice.choice((0.0, 0.01, 0.03)),
            journal=dice.choice((0.0, 0.0, 0.02)),
            denied=frozenset(denied),
        )

    # -- a reconciler --

    def _machine(self, stage: Stage, name: str, disk: Disk) -> Callable[[], None]:
        rounds = self.dice.choice((1, 1, 2))

        def work() -> None:
            for _ in range(rounds):
                actor = Actor(stage, name, stage.baton.task(name), disk)
                try:
                    self._round(actor)
                except ReconcileError as error:
                    self.log.append(f"{name}: gives up: {error.sentence}")
                except Killed:
                    if not actor.dead:
                        raise

        return work

    def _round(self, actor: Actor) -> None:
        scope = self._scope()
        actor.look(str(scope))
        plan = survey(actor, scope).plan
        if scope == Scope() and actor.sight is not None and actor.sight.errors:
            raise Broken(f"what broke while it was read was taken for whole: {sorted(actor.sight.errors)}")
        self._apply(actor, plan)
        if self.dice.random() < 0.1:
            self._apply(actor, plan)

    def _scope(self) -> Scope:
        kind = self.dice.random()
        characters = ids_of(self.spec)
        if kind < 0.2 and characters:
            return Scope((self.dice.choice(characters),), ())
        if kind < 0.3:
            return Scope((), (self.dice.choice(MAPS[self.spec.rules] or users_settings().asset_map.rules).type,))
        if kind < 0.4 and self.spec.things:
            return Scope((), (), (self.dice.choice(self.spec.things).key,))
        return Scope()

    def _apply(self, actor: Actor, plan: Plan) -> None:
        applied = Applied(plan, actor.stage.ledger)
        actor.act(applied)
        self.runs += 1
        try:
            report = execute(actor, plan, concurrency=1, force=True)
        except UsageError as error:
            raise Broken(f"a plan was refused by the project that made it: {error.sentence}") from error
        self.log.append(f"{actor.name}: {report.counts}")
        actor.stage.ledger.told(applied, report)

    # -- the end --

    def _quiet(self, world: World, disk: Disk) -> None:
        """One run without faults, in which nobody else writes, and one more."""
        world.memory = disk.memory
        try:
            self._converge(world)
        except ReconcileError as error:
            raise Broken(f"a quiet run failed: {error.sentence}") from error

    def _converge(self, world: World) -> None:
        first = world.plan()
        self.log.append(f"quiet: {[(action.__class__.__name__, action.key) for action in first.actions]}")
        report = world.apply(first, concurrency=1, force=True)
        counts = report.counts
        if counts.failed or counts.stale or counts.blocked or counts.not_started:
            raise Broken(f"a quiet run did not do what it planned: {report.outcomes}")
        found = world.survey()
        second = found.plan
        if second.actions:
            raise Broken(f"after a quiet run something is left to do: {second.actions}")
        if self.spec.index and not self.spec.stops:
            Ledger(world).check_indexes(found.known_ids)
        before, written = world.snapshot(), world.writes()
        world.apply(second, concurrency=1, force=True)
        if (world.snapshot(), world.writes()) != (before, written):
            raise Broken("a second run wrote something")


class Tally(msgspec.Struct):
    """What many seeds did."""

    seeds: int = 0
    steps: int = 0
    runs: int = 0
    counts: Counter[str] = msgspec.field(default_factory=Counter)
    foreign: Counter[str] = msgspec.field(default_factory=Counter)
    done: Counter[str] = msgspec.field(default_factory=Counter)
    crashes: int = 0
    faults: int = 0
    seconds: float = 0.0
    failures: list[Outcome] = msgspec.field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Counts one seed."""
        self.seeds += 1
        self.steps += outcome.steps
        self.runs += outcome.runs
        self.counts += outcome.counts
        self.foreign += outcome.foreign
        self.done += outcome.done
        self.crashes += outcome.crashes
        self.faults += outcome.faults
        if outcome.broken is not None:
            self.failures.append(outcome)

    def plus(self, other: Tally) -> Tally:
        """Both together; the seconds are the longer ones'."""
        return Tally(
            self.seeds + other.seeds,
            self.steps + other.steps,
            self.runs + other.runs,
            self.counts + other.counts,
            self.foreign + other.foreign,
            self.done + other.done,
            self.crashes + other.crashes,
            self.faults + other.faults,
            max(self.seconds, other.seconds),
            self.failures + other.failures,
        )

    def sentence(self) -> str:
        """The counts in a line."""
        rate = 60 * self.seeds / self.seconds if self.seconds else 0
        return (
            f"{self.seeds} seeds, {self.runs} applies, {self.steps} steps, {self.faults} faults, "
            f"{self.crashes} crashes, {self.foreign.total()} foreign writes, {len(self.failures)} failures, "
            f"{self.seconds:.1f} s, {rate:.0f} seeds a minute"
        )


def run_seeds(start: int, count: int, *, until: float | None = None, stop_at: int = 1) -> Tally:
    """Simulates so many seeds, or as many as fit until then (``time.monotonic``); stops at so many failures."""
    tally, began = Tally(), time.monotonic()
    for seed in range(start, start + count):
        if (until is not None and time.monotonic() >= until) or len(tally.failures) >= stop_at:
            break
        tally.add(simulate(seed))
    tally.seconds = time.monotonic() - began
    return tally


def failed(outcome: Outcome) -> str:
    """What to say of a seed that failed."""
    return f"seed {outcome.seed}: {outcome.broken}\nreplay it with: {REPLAY.format(outcome.seed)}"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--seed", type=int, help="this seed alone, told step by step")
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--start", type=int, default=0, help="the first of them")
    parser.add_argument("--failures", type=int, default=1, help="how many failures to go on to")
    options = parser.parse_args()
    if options.seed is not None:
        outcome = simulate(options.seed)
        sys.stdout.write("".join(f"{line}\n" for line in outcome.log))
        sys.stdout.write(f"{outcome.steps} steps: {failed(outcome) if outcome.broken else 'sound'}\n")
        return int(outcome.broken is not None)
    tally = run_seeds(options.start, options.seeds, stop_at=options.failures)
    sys.stdout.write(f"{tally.sentence()}\n")
    for counts in (tally.counts + tally.foreign, tally.done):
        sys.stdout.write("".join(f"  {count:8} {name}\n" for name, count in sorted(counts.items())))
    for outcome in tally.failures:
        sys.stdout.write(f"{failed(outcome)}\n")
    return int(bool(tally.failures))


if __name__ == "__main__":
    sys.exit(main())
