"""The stages on Beam give the plan of the plain dictionary, byte for byte."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

beam = pytest.importorskip("apache_beam", reason="reconcile[beam] is not installed")

from apache_beam.options.pipeline_options import PipelineOptions  # noqa: E402

from reconcile.core.errors import AccessDenied  # noqa: E402
from reconcile.core.events import silent  # noqa: E402
from reconcile.core.plan import Plan, Scope  # noqa: E402
from reconcile.core.planfile import dumps  # noqa: E402
from reconcile.core.rows import World as Place  # noqa: E402
from reconcile.pipeline import beam_steps as steps  # noqa: E402
from reconcile.pipeline.beam_kept import Kept  # noqa: E402
from reconcile.pipeline.beam_known import AT_HAND  # noqa: E402
from reconcile.pipeline.beam_lines import Noted, told, told_gap  # noqa: E402
from reconcile.pipeline.beam_run import Inputs, finished, judged, opened  # noqa: E402
from reconcile.pipeline.beam_sources import objects_in, ranges  # noqa: E402
from reconcile.pipeline.gaps import Denied  # noqa: E402
from reconcile.pipeline.planner import survey  # noqa: E402
from tests.kit.engines import DictionaryEngine  # noqa: E402
from tests.kit.guarded import guard  # noqa: E402
from tests.kit.world import World  # noqa: E402
from tests.kit.worlds import Pick, spec_of  # noqa: E402

DENIED = ("characters/", "characters/rem", "dances/", "dances/dance_", "remixes/", "images/", "moves/", "")


def planned(world: World, folder: Path, random: Random, at_hand: int = AT_HAND) -> Plan:
    """The plan of a world, by Beam's local runner."""
    seen, kept = opened(world, silent), Kept(str(folder / "kept"))
    listed: list[bool] = []
    prefixes = world.asset_map.key_prefixes(())
    parts = ranges(world.asset_map, sorted(seen.roster.known_ids))
    found = [each for part in parts for each in objects_in(world.objects, part, prefixes, lambda: listed.append(True))]
    objects = [each for each in found if not isinstance(each, Denied)]
    assert len({each.key for each in objects}) == len(objects)
    documents = [] if seen.roster.refused else world.records.read()
    with beam.Pipeline(options=PipelineOptions(["--runner", "FnApiRunner"])) as pipeline:

        def created(name: str, values: list[Any]) -> Any:
            random.shuffle(values)
            return pipeline | name >> beam.Create(values, reshuffle=False)

        def rows_of(place: Place, found: Any) -> list[Any]:
            return [steps.packed(steps.document_row(each, place)) for each in found]

        inputs = Inputs(
            created("records", rows_of(Place.RECORDS, documents)),
            created("local records", rows_of(Place.LOCAL_DB, seen.roster.local_documents)),
            created("files", [steps.pack(each) for each in world.files.walk()]),
            created("objects", [steps.packed(steps.object_row(each)) for each in objects]),
            created("states", [steps.packed(steps.state_row(each)) for each in world.agreed.all()]),
            created("ids", list(seen.roster.known_ids)),
            created("gaps of listings", [told_gap(each) for each in found if isinstance(each, Denied)]),
            created("noted of listings", [told(Noted(listed=True)) for _ in listed]),
        )
        judged(inputs, seen.context, at_hand).write(kept)
    return finished(world, seen, kept, silent).plan


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
    for seed in range(100, 118):
        random = Random(seed)
        spec = spec_of(Pick(random.randrange))
        rules.add(spec.rules)
        with spec.build() as world:
            by_beam = planned(world, tmp_path / str(seed), random, at_hand=0)
            assert undated(by_beam) == undated(survey(world, Scope()).plan), seed
    assert {"templates", "users"} <= rules


def test_parts_that_may_not_be_read_are_left_undecided_as_by_the_other_engine(tmp_path: Path) -> None:
    incomplete = 0
    for seed in range(200, 216):
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
    assert incomplete > 8
