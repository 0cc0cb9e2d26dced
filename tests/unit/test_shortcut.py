"""What is in step is skipped, and the plan is the same: by the short way, by the long way, and by the referee's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.adapters.sorting import Spill
from reconcile.commands import restore
from reconcile.commands.explain import explain
from reconcile.commands.verify import verify
from reconcile.core.catalogue import AssetState
from reconcile.core.changes import Code
from reconcile.core.events import silent
from reconcile.core.plan import Scope
from reconcile.core.planfile import dumps
from reconcile.core.rows import Group, Row, Stream
from reconcile.pipeline import observe
from reconcile.pipeline.catalogue import Catalogue
from reconcile.pipeline.engine import Prefetch, StreamEngine
from reconcile.pipeline.inventory import Inventory
from reconcile.pipeline.planner import survey
from tests.kit.engines import DictionaryEngine
from tests.kit.guarded import guard
from tests.kit.search import sparingly
from tests.kit.steady import DEVIATIONS, steady
from tests.kit.world import World, titled
from tests.kit.worlds import Pick, spec_of

SEEDS = st.integers(0, 2**48)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """All is read in small numbers, so that the small worlds here have many ranges of keys."""
    for module, name in ((observe, "STATES_TOGETHER"), (observe, "ASKED_TOGETHER"), (Prefetch, "BATCH")):
        monkeypatch.setattr(module, name, 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spill")


def compare(world: World, random: Random, folder: Path) -> None:
    """Plans by every way, each from the same start."""
    tallied = random.random() < 0.5
    states = dict(world.memory.states)
    world.records.order = lambda documents: random.sample(documents, len(documents))
    ways: list[tuple[bool, int, Any]] = [
        (False, 2**26, DictionaryEngine(random)),
        (False, 2**26, None),
        (True, 2**26, None),
        (True, 0, None),
        (True, random.choice([500, 2000, 5000]), None),
        (True, 2**26, DictionaryEngine(random)),
    ]
    found = []
    for cache, memory, engine in ways:
        world.memory.states = dict(states)
        world.options = msgspec.structs.replace(world.options, cache=cache, memory=memory, spill=folder)
        seen = survey(world, engine=engine, tallied=tallied)
        plan = dumps(msgspec.structs.replace(seen.plan, created=""))
        found.append((plan, seen.tallies, seen.known_ids, world.files_held, world.memory.states))
    for each in found[1:]:
        assert each == found[0]


@pytest.mark.parametrize("fact", DEVIATIONS)
@sparingly(25)
@given(seed=SEEDS)
def test_a_plan_by_the_short_way_is_the_referees_if_all_is_in_step_except_for(
    folder: Path, fact: str, seed: int
) -> None:
    random = Random(seed)
    with steady(random) as world:
        for _ in range(random.randint(1, 2)):
            random.choice(DEVIATIONS[fact])(world, random)
        compare(world, random, folder)


@sparingly(40)
@given(seed=SEEDS)
def test_so_it_is_whatever_deviates(folder: Path, seed: int) -> None:
    random = Random(seed)
    every = [each for some in DEVIATIONS.values() for each in some]
    with steady(random) as world:
        for _ in range(random.choice([0, 2, 3, 5])):
            random.choice(every)(world, random)
        compare(world, random, folder)


@sparingly(40)
@given(seed=SEEDS)
def test_so_it_is_in_worlds_with_every_trap(folder: Path, seed: int) -> None:
    random = Random(seed)
    with spec_of(Pick(random.randrange)).build(random) as world:
        survey(world)
        compare(world, random, folder)


def test_what_is_in_step_is_skipped_and_counted_by_type_and_character(folder: Path) -> None:
    with World() as world:
        keys = [f"characters/{each}.png" for each in ("ann", "bo", "rem")]
        for key, char_id in zip(keys, ("ann", "bo", "rem"), strict=True):
            world.both(key)
            world.record(char_id, titled(anime_image=world.uri(key)))
        survey(world)  # after which the states that agree are remembered
        world.both("characters/bo.png", b"changed")
        counted: list[tuple[str, str]] = []
        with Spill(2**26, lambda: folder) as spill:
            seen = Inventory(world, Scope(), silent, spill, skip=counted.extend)
            rows = list(seen.rows())
            records = list(seen.records())

    assert counted == [("anime_image", "ann"), ("anime_image", "rem")]
    assert [(row.stream, row.value.key) for row in rows] == [
        (Stream.REFERENCE, "characters/bo.png"),
        (Stream.KEY, "characters/bo.png"),
    ]
    assert records == []  # no row of the other one has passed yet


def test_what_two_records_name_is_missed_by_both(folder: Path) -> None:
    key = "characters/ann.png"
    with World() as world:
        world.both(key)
        for char_id in ("ann", "bo"):
            world.record(char_id, titled(anime_image=world.uri(key)))
        survey(world)
        world.objects.remove(key)
        world.files.files.clear()

        compare(world, Random(0), folder)
        missing = (each for each in survey(world).plan.findings if each.code is Code.MISSING_ASSET)
        assert [each.char_id for each in missing] == ["ann", "bo"]


class Counting(StreamEngine):
    """An engine that counts the keys which it groups."""

    def __init__(self, spill: Spill) -> None:
        super().__init__(spill)
        self.keys = 0

    def group(self, rows: Iterable[Row], *args: Any, **options: Any) -> Iterator[tuple[str, Group]]:
        return super().group(self._counted(rows), *args, **options)

    def _counted(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            self.keys += row.stream is Stream.KEY
            yield row


@pytest.mark.parametrize(
    ("scope", "trace", "cache", "keys"),
    [
        pytest.param(Scope(), (), True, 0, id="the short way"),
        pytest.param(Scope(("ann",)), (), True, 1, id="a character"),
        pytest.param(Scope((), ("anime_image",)), (), True, 1, id="a type"),
        pytest.param(Scope((), (), ("characters/ann.png",)), (), True, 1, id="a path"),
        pytest.param(Scope(), ("x",), True, 1, id="facts of a key"),
        pytest.param(Scope(), (), False, 1, id="--no-cache"),
    ],
)
def test_the_long_way_is_taken_for(
    folder: Path, scope: Scope, trace: tuple[str, ...], *, cache: bool, keys: int
) -> None:
    with World() as world, Spill(2**26, lambda: folder) as spill:
        world.both("characters/ann.png")
        world.record("ann", titled(anime_image=world.uri("characters/ann.png")))
        survey(world)
        world.options = msgspec.structs.replace(world.options, cache=cache)
        engine = Counting(spill)

        assert survey(world, scope, trace=trace, engine=engine).plan.summary.in_step == 1
        assert engine.keys == keys


def test_list_verify_explain_and_restore_tell_of_what_a_plan_passes_over(folder: Path) -> None:
    key = "characters/ann.png"
    with World() as world, Spill(2**26, lambda: folder) as spill:
        world.both(key)
        world.record("ann", titled(anime_image=world.uri(key)))
        survey(world)
        engine = Counting(spill)
        assert survey(world, engine=engine).plan.summary.in_step == 1
        assert engine.keys == 0

        assert [(each.uri, each.state) for each in Catalogue(world, Scope())] == [(world.uri(key), AssetState.IN_STEP)]
        proof = verify(world).verification
        assert (proof.documents, proof.objects, proof.checked, proof.ok) == (1, 1, 1, 1)
        for subject in (key, "ann"):
            explained = explain(world, subject)
            assert "is in step" in explained.verdict
        world.files.files.clear()
        assert [each.key for each in restore.survey(world).actions] == [key]


def test_a_listing_that_is_refused_half_way_leaves_known_what_came_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Prefetch, "BATCH", 1024)
    with World() as world:
        for char_id in ("ann", "mei"):
            world.both(f"characters/{char_id}.png")
            world.record(char_id, titled(anime_image=world.uri(f"characters/{char_id}.png")))
        survey(world)
        world.file("about.txt")
        world.file("characters/jim.png")
        world.record("jim")
        guard(world, "remixes/", pages=2)
        plans = []
        for cache in (False, True):
            world.options = msgspec.structs.replace(world.options, cache=cache)
            plan = survey(world).plan
            plans.append((plan.actions, plan.findings))
        assert plans[0] == plans[1]
        assert [finding.subject for finding in plan.findings if finding.code is Code.UNCLAIMED_FILE] == ["about.txt"]
