"""The stages on Beam give the plan of the plain dictionary, byte for byte."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

pytest.importorskip("apache_beam", reason="reconcile[beam] is not installed")

from reconcile.adapters.shared_folder import DiskFolder
from reconcile.commands.scanning import scan
from reconcile.core.errors import AccessDenied, ConfigError
from reconcile.core.events import Advanced, Event, Phase, silent
from reconcile.core.plan import Plan, Scope
from reconcile.core.planfile import dumps
from reconcile.core.ramp import Rates
from reconcile.pipeline.beam_kept import Kept
from reconcile.pipeline.beam_known import AT_HAND
from reconcile.pipeline.beam_run import finished, inputs_of, judged, opened
from reconcile.pipeline.beam_run import survey as survey_on_beam
from reconcile.pipeline.beam_runner import counters_of, options_of, pipeline_of
from reconcile.pipeline.beam_sources import DOCUMENTS, ReadDocuments, SomeIds, some_ids
from reconcile.pipeline.beam_steps import pack
from reconcile.pipeline.planner import survey
from reconcile.project import ClosedProject
from tests.kit.engines import DictionaryEngine
from tests.kit.guarded import guard
from tests.kit.on_beam import planned
from tests.kit.small_project import make_project
from tests.kit.world import World
from tests.kit.worlds import Pick, spec_of

DENIED = ("characters/", "characters/rem", "dances/", "dances/dance_", "remixes/", "images/", "moves/", "")


KEY = "characters/rem.png"


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
    for seed in range(100, 107):
        random = Random(seed)
        spec = spec_of(Pick(random.randrange))
        rules.add(spec.rules)
        with spec.build() as world:
            along = planned(world, tmp_path / str(seed), random, at_hand=0)
            beside = planned(world, tmp_path / f"{seed} beside", random)
            assert undated(along) == undated(beside) == undated(survey(world, Scope()).plan), seed
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


NAMED = {"media.assets": [{"title": "primary"}]}
AT_PATH = {"media": {"assets": [{"title": "primary"}]}}


@pytest.mark.parametrize(
    ("records", "local", "refused"),
    [
        ([NAMED, AT_PATH], [], False),
        ([{}, AT_PATH], [], True),
        ([NAMED], [AT_PATH], False),
        ([{}], [AT_PATH], True),
        ([AT_PATH], [NAMED], False),
        ([{}], [{}], False),
    ],
)
def test_entries_that_were_meant_as_a_path_are_refused_as_by_the_other_engine(
    tmp_path: Path, records: list[dict[str, Any]], local: list[dict[str, Any]], *, refused: bool
) -> None:
    with World(entries=("media.assets",), local_db=bool(local)) as world:
        world.both(KEY)
        for number, fields in enumerate(records):
            world.records.put(f"record_{number}", fields)
        for number, fields in enumerate(local):
            world.local(f"local_{number}", **fields)
        ends = []
        for make in (lambda: survey(world, Scope()).plan, lambda: planned(world, tmp_path, Random(1))):
            try:
                ends.append(undated(make()))
            except ConfigError as error:
                ends.append(f"{error.message} {error.hint}".encode())
        assert ends[0] == ends[1]
        assert (b"did you mean entries" in ends[0]) is refused


@pytest.mark.parametrize("count", [0, 1, 300, 301, 200_000])
def test_workers_together_read_records_no_faster_than_the_ramp_allows(count: int) -> None:
    parts, ramp = some_ids([f"{number:06}" for number in range(count)], Rates().records), Rates().records
    assert [each for part in parts for each in part.ids] == [f"{number:06}" for number in range(count)]
    asked = 0
    for part in parts:
        assert ramp.seconds_for(asked) == pytest.approx(part.after)
        asked += len(part.ids)
    if count == 200_000:
        within = [sum(len(part.ids) for part in parts if part.after < minute * 60) for minute in (1, 5, 6)]
        assert within == [pytest.approx(allowed, abs=DOCUMENTS) for allowed in (30_000, 150_000, 195_000)]


def test_the_counters_of_a_run_tell_what_was_read_and_judged(tmp_path: Path) -> None:
    with ClosedProject.open(make_project(tmp_path / "project")).opened() as project:
        where, heard = tmp_path / "scan", list[int]()
        scan(project, DiskFolder(where), "here", silent)
        seen, kept, pipeline = opened(project, silent), Kept(str(tmp_path / "kept")), pipeline_of(options_of([]))
        with pipeline as begun:
            judged(inputs_of(begun, project, seen, [where], kept), seen.context).write(kept)
        counters = counters_of(pipeline.result)
        plan = finished(project, seen, kept, silent).plan
        read = {
            "documents read": len(list(project.records.read())),
            "objects read": len(list(project.objects.list())),
            "files read": len(list(project.files.walk())),
        }
        made = {"records judged": read["documents read"], "changes": len(plan.actions)}
        assert counters == {**counters, **read, **made}
        assert all(read.values())
        assert counters["keys judged"] >= len({each.key for each in plan.actions})

        def listen(event: Event) -> None:
            if isinstance(event, Advanced) and event.phase is Phase.LISTING:
                heard.append(event.count)

        assert undated(survey_on_beam(project, [where], options_of([]), listen).plan) == undated(plan)
        assert sum(heard) == counters["keys judged"]


def test_a_worker_waits_until_it_may_ask_for_its_documents(tmp_path: Path) -> None:
    settings = ClosedProject.open(make_project(tmp_path / "project")).settings
    slept: list[float] = []
    reading = ReadDocuments(settings, None, clock=lambda: 100.0, sleep=slept.append)
    reading.setup()
    for after in (7.5, 2.0):
        assert list(reading.process(pack(SomeIds(("rem",), after)), 95.0))
    reading.teardown()
    assert slept == [2.5, 0.0]
