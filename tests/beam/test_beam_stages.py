"""The stages on Beam give the plan of the plain dictionary, byte for byte."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

pytest.importorskip("apache_beam", reason="reconcile[beam] is not installed")

from reconcile.core.errors import AccessDenied
from reconcile.core.plan import Plan, Scope
from reconcile.core.planfile import dumps
from reconcile.pipeline.beam_known import AT_HAND
from reconcile.pipeline.planner import survey
from tests.kit.engines import DictionaryEngine
from tests.kit.guarded import guard
from tests.kit.on_beam import planned
from tests.kit.worlds import Pick, spec_of

DENIED = ("characters/", "characters/rem", "dances/", "dances/dance_", "remixes/", "images/", "moves/", "")


def undated(plan: Plan) -> bytes:
    import msgspec

    return dumps(msgspec.structs.replace(plan, created="", estimate=None, records_as_of=None))


def test_random_worlds_get_the_plan_of_the_referee(tmp_path: Path) -> None:
    for seed in range(12):
        random = Random(seed)
        spec = spec_of(Pick(random.randrange))
        with spec.build() as world:
            by_beam = planned(world, tmp_path / str(seed), random)
            referee = survey(world, Scope(), engine=DictionaryEngine(random)).plan
            assert undated(by_beam) == undated(referee), seed


def test_ids_that_are_joined_to_what_asks_for_them_change_nothing_in_the_plan(tmp_path: Path) -> None:
    rules = set[str]()
    for seed in range(100, 110):
        random = Random(seed)
        spec = spec_of(Pick(random.randrange))
        rules.add(spec.rules)
        with spec.build() as world:
            by_beam = planned(world, tmp_path / str(seed), random, at_hand=0)
            assert undated(by_beam) == undated(survey(world, Scope()).plan), seed
    assert {"templates", "users"} <= rules


def test_parts_that_may_not_be_read_are_left_undecided_as_by_the_other_engine(tmp_path: Path) -> None:
    incomplete = 0
    for seed in range(200, 210):
        random = Random(seed)
        spec = spec_of(Pick(random.randrange))
        denied = random.sample(DENIED, random.choice((0, 1, 1, 2)))
        records = random.choice(((), (), None))
        if not denied and records == ():
            denied = ["dances/"]
        with spec.build() as world:
            guard(world, *denied, records=records)
            try:
                expected = survey(world, Scope()).plan
            except AccessDenied as error:
                with pytest.raises(AccessDenied, match=str(error.message)):
                    planned(world, tmp_path / str(seed), random)
                continue
            by_beam = planned(world, tmp_path / str(seed), random, at_hand=random.choice((0, AT_HAND)))
            assert undated(by_beam) == undated(expected), seed
            assert not by_beam.complete
            incomplete += 1
    assert incomplete > 4
