"""The stages on Beam give the plan of the plain dictionary, byte for byte."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

beam = pytest.importorskip("apache_beam", reason="reconcile[beam] is not installed")

from apache_beam.options.pipeline_options import PipelineOptions  # noqa: E402

from reconcile.core.events import silent  # noqa: E402
from reconcile.core.plan import Plan, Scope  # noqa: E402
from reconcile.core.planfile import dumps  # noqa: E402
from reconcile.pipeline import beam_steps as steps  # noqa: E402
from reconcile.pipeline.beam_run import Inputs, finished, judged, opened  # noqa: E402
from reconcile.pipeline.planner import survey  # noqa: E402
from tests.kit.engines import DictionaryEngine  # noqa: E402
from tests.kit.world import World  # noqa: E402
from tests.kit.worlds import Pick, spec_of  # noqa: E402


def planned(world: World, folder: Path, random: Random) -> Plan:
    """The plan of a world, by Beam's local runner."""
    seen = opened(world, silent)
    with beam.Pipeline(options=PipelineOptions(["--runner", "FnApiRunner"])) as pipeline:

        def created(name: str, values: list[Any]) -> Any:
            random.shuffle(values)
            return pipeline | name >> beam.Create(values, reshuffle=False)

        inputs = Inputs(
            created("records", [steps.pack(each) for each in world.records.read()]),
            created("local records", [steps.pack(each) for each in seen.roster.local_documents]),
            created("files", [steps.pack(each) for each in world.files.walk()]),
            created("objects", [steps.packed(steps.object_row(each)) for each in world.objects.list()]),
            created("states", [steps.packed(steps.state_row(each)) for each in world.agreed.all()]),
        )
        results = judged(pipeline, inputs, seen.context)
        results.write(str(folder / "result"))
    return finished(world, seen, folder / "result", silent).plan


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
