"""A world planned by Beam's local runner. It takes the environment of ``requirements/beam.txt``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from reconcile.core.events import silent
from reconcile.core.plan import Plan
from reconcile.core.rows import World as Place
from reconcile.pipeline import beam_steps as steps
from reconcile.pipeline.beam_kept import Kept
from reconcile.pipeline.beam_known import AT_HAND
from reconcile.pipeline.beam_lines import Noted, gap_line
from reconcile.pipeline.beam_run import Inputs, finished, judge, opened
from reconcile.pipeline.beam_sources import Range, objects_in, ranges
from reconcile.pipeline.gaps import Denied
from tests.kit.world import World


def planned(
    world: World, folder: Path, random: Random, at_hand: int = AT_HAND, parts: Sequence[Range] | None = None
) -> Plan:
    """The plan; every collection is shuffled. Of more than ``at_hand`` ids the workers hold none. The bucket is listed
    in these ``parts``, if not in those of a run."""
    seen, kept = opened(world, silent), Kept(str(folder / "kept"))
    listed: list[bool] = []
    prefixes = world.asset_map.key_prefixes(())
    spans = parts or ranges(world.asset_map, sorted(seen.roster.known_ids))
    found = [each for part in spans for each in objects_in(world.objects, part, prefixes, lambda: listed.append(True))]
    objects = [each for each in found if not isinstance(each, Denied)]
    assert len({each.key for each in objects}) == len(objects)
    documents = [] if seen.roster.refused else world.records.read()
    with beam.Pipeline(options=PipelineOptions(["--runner", "FnApiRunner"])) as pipeline:

        def created(name: str, values: list[Any]) -> Any:
            random.shuffle(values)
            if parts is not None:  # a large world, of which the pipeline itself would be slow to build
                return kept.given(pipeline, name, values)
            return pipeline | name >> beam.Create(values, reshuffle=False)

        def rows_of(place: Place, found: Any) -> list[Any]:
            return [steps.packed(steps.document_row(each, place)) for each in found]

        inputs = Inputs(
            created(
                "documents",
                rows_of(Place.RECORDS, documents) + rows_of(Place.LOCAL_DB, seen.roster.local_documents),
            ),
            created("files", [steps.pack(each) for each in world.files.walk()]),
            created("objects", [steps.packed(steps.object_row(each)) for each in objects]),
            created("states", [steps.packed(steps.state_row(each)) for each in world.agreed.all()]),
            created("ids", list(seen.roster.known_ids)),
            created("gaps of listings", [gap_line(each) for each in found if isinstance(each, Denied)]),
            created("noted of listings", [Noted(listed=True) for _ in listed]),
        )
        judge(inputs, seen.context, kept, at_hand)
    return finished(world, seen, kept, silent).plan
