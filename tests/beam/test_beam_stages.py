"""The stages on Beam give the plan of the plain dictionary, byte for byte."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

pytest.importorskip("apache_beam", reason="reconcile[beam] is not installed")

from reconcile.adapters.shared_folder import DiskFolder
from reconcile.commands.scanning import scan
from reconcile.config.settings import Settings
from reconcile.core.errors import AccessDenied, ConfigError
from reconcile.core.events import Advanced, Event, Phase, silent
from reconcile.core.plan import Plan, Scope
from reconcile.core.planfile import dumps
from reconcile.core.ramp import Rates
from reconcile.pipeline.beam_kept import Kept
from reconcile.pipeline.beam_known import AT_HAND
from reconcile.pipeline.beam_run import finished, inputs_of, judge, opened
from reconcile.pipeline.beam_run import survey as survey_on_beam
from reconcile.pipeline.beam_runner import counters_of, is_local, options_of, pipeline_of
from reconcile.pipeline.beam_sources import DOCUMENTS, LANES, ReadLanes, in_lane
from reconcile.pipeline.beam_steps import pack
from reconcile.pipeline.planner import survey
from reconcile.project import ClosedProject, OpenProject
from tests.benchmarks import model
from tests.kit.engines import DictionaryEngine
from tests.kit.guarded import guard
from tests.kit.on_beam import planned
from tests.kit.small_project import make_project
from tests.kit.world import World
from tests.kit.worlds import Pick, spec_of
from tests.servers.clock import SkippingClock

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


def test_the_counters_of_a_run_tell_what_was_read_and_judged(tmp_path: Path) -> None:
    with ClosedProject.open(make_project(tmp_path / "project")).opened() as project:
        where, heard = tmp_path / "scan", list[int]()
        scan(project, DiskFolder(where), "here", silent)
        seen, kept, pipeline = opened(project, silent), Kept(str(tmp_path / "kept")), pipeline_of(options_of([]))
        with pipeline as begun:
            judge(inputs_of(begun, project, seen, [where], kept, on_many=False), seen.context, kept)
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


class Asking(ReadLanes):
    """Tells, in place of reading documents, in which minute it would and how many."""

    def __init__(self, settings: Settings, clock: SkippingClock) -> None:
        super().__init__(settings, None, Rates().records, clock.monotonic, clock.sleep)
        self._time = clock

    def read(self, project: OpenProject, part: Sequence[str]) -> Iterator[Any]:
        yield int(self._time.now) // 60, len(part)


def test_lanes_together_read_records_no_faster_than_the_ramp_allows(tmp_path: Path) -> None:
    """Each lane at a time of its own, as they share nothing: what counts is when each of them asks."""
    settings, ramp = ClosedProject.open(make_project(tmp_path / "project")).settings, Rates().records
    parts = [pack([f"{at + number:06}" for number in range(DOCUMENTS)]) for at in range(0, 180_000, DOCUMENTS)]
    lanes: dict[int, list[bytes]] = defaultdict(list)
    for part in parts:
        lanes[in_lane(part)[0]].append(part)
    asked = Counter[int]()
    for number, of_lane in lanes.items():
        clock = SkippingClock()
        reading = Asking(settings, clock)
        reading.setup()
        for minute, count in reading.process((number, of_lane)):
            asked[minute] += count
        reading.teardown()
    assert len(lanes) == LANES == model.LANES
    total = 0
    for minute in range(6):
        total += asked[minute]
        allowed = model.seconds_for(ramp, total)
        assert allowed <= (minute + 1) * 60 + LANES * DOCUMENTS / ramp.start
    assert total > 0.7 * 195_000, "it is a limit, and no lower one"


def test_records_in_lanes_give_the_same_plan(tmp_path: Path) -> None:
    with ClosedProject.open(make_project(tmp_path / "project")).opened() as project:
        where = tmp_path / "scan"
        scan(project, DiskFolder(where), "here", silent)
        plans = []
        for on_many in (False, True):
            seen, kept = opened(project, silent), Kept(str(tmp_path / f"kept {on_many}"))
            with pipeline_of(options_of([])) as begun:
                inputs = inputs_of(begun, project, seen, [where], kept, on_many=on_many)
                judge(inputs, seen.context, kept)
            plans.append(undated(finished(project, seen, kept, silent).plan))
        assert plans[0] == plans[1]
        assert b"set_field" in plans[0]


@pytest.mark.parametrize(
    ("runner", "local"),
    [("FnApiRunner", True), ("DirectRunner", True), ("DataflowRunner", False), ("apache_beam.x.FnApiRunner", True)],
)
def test_only_a_runner_on_this_machine_is_local(runner: str, *, local: bool) -> None:
    assert is_local(options_of(["--runner", runner])) is local
