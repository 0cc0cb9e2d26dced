"""Acting: order, preconditions, what moved since the plan, failures that stay where they are, and stopping."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from reconcile.adapters.workers import REFUSALS
from reconcile.config.settings import Policy
from reconcile.core.changes import SetField
from reconcile.core.context import Replacing
from reconcile.core.errors import AccessDenied, Refused, Rejected, StoreUnavailable, Uncertain, UsageError
from reconcile.core.events import Advanced, ChangeDone, Event, Phase, PhaseDone, PhaseStarted
from reconcile.core.plan import Plan, ReplaceLimit
from reconcile.core.report import OutcomeKind, Problem, Status
from tests.kit.fakes import digest
from tests.kit.world import World, kinds, outcomes, titled, windows

KEY = "characters/rem.png"
COSPLAY = "characters/rem_cosplay.png"


@pytest.fixture
def world() -> Iterator[World]:
    with World(local_db=True) as made:
        yield made


def _ready(world: World) -> Plan:
    """One file to upload and one field to set."""
    world.file(KEY)
    world.record("rem", titled(anime_image=windows(KEY)))
    return world.plan()


def _kinds(world: World, plan: Plan, **options: Any) -> list[OutcomeKind]:
    return [outcome.outcome for outcome in world.apply(plan, **options).outcomes]


class TestOrder:
    def test_uploads_come_before_records(self, world: World) -> None:
        for char_id in ("mei", "rem"):
            world.file(f"characters/{char_id}.png")
            world.record(char_id)
        there: list[int] = []
        world.records.before_write = lambda _document: there.append(len(world.objects.writes))
        report = world.apply()

        assert there == [2, 2]
        assert report.status is Status.SUCCESS
        assert report.bytes == sum(len(key) for key in world.objects.writes)

    def test_a_record_is_written_once_however_many_of_its_fields_change(self, world: World) -> None:
        for name in (KEY, COSPLAY, "dances/dance_rem.mp4", "remixes/rem/variants/neon.mp4"):
            world.file(name)
        world.record("rem", titled(anime_image=windows(KEY)))
        plan = world.plan()
        world.apply(plan)

        assert kinds(plan).count("set_field") == 4
        assert world.records.writes == ["rem"]

    def test_there_is_one_outcome_for_each_change_in_the_plans_order(self, world: World) -> None:
        plan = _ready(world)
        report = world.apply(plan)

        assert [outcome.id for outcome in report.outcomes] == [action.id for action in plan.actions]
        assert report.findings == plan.findings


class TestAnOutcome:
    @pytest.mark.parametrize(
        ("error", "code", "transient"),
        [
            (AccessDenied("you may not", hint="ask for the role"), "denied", False),
            (Rejected("a hold is on it", hint="ask for the role"), "rejected", False),
            (StoreUnavailable("it is down", hint="ask for the role"), "unavailable", True),
        ],
    )
    def test_keeps_the_error_with_its_code_and_hint(
        self, world: World, error: Exception, code: str, transient: bool
    ) -> None:
        plan = _ready(world)
        world.objects.refuse = lambda _key: error
        upload, field = world.apply(plan).outcomes

        assert upload.problem == Problem(code, str(error), "ask for the role", transient)
        assert (upload.error, upload.document) == (f"{error} (ask for the role)", None)
        assert (field.outcome, field.document) == (OutcomeKind.BLOCKED, "characters/rem")
        assert field.problem == Problem("not_there", f"{KEY} was not uploaded")

    def test_of_what_was_not_tried_has_the_code_of_the_refusal(self, world: World) -> None:
        for number in range(3 * REFUSALS):
            world.file(f"{number}/characters.png")
            world.file(f"remixes/rem_{number}/REMIX_{number}.mp4")
        world.objects.refuse = lambda _key: AccessDenied("you may not", hint="ask")
        waiting = [each for each in world.apply(concurrency=1).outcomes if each.outcome is OutcomeKind.NOT_STARTED]

        assert waiting
        assert {each.problem.code for each in waiting if each.problem is not None} == {"denied"}


class TestAFailedUpload:
    def test_blocks_its_own_fields_and_nothing_else(self, world: World) -> None:
        world.file(KEY)
        world.file(COSPLAY)
        world.record("rem")
        world.objects.refuse = lambda key: Rejected("no") if key == KEY else None
        report = world.apply()
        found = {(outcome.kind, outcome.key): outcome.outcome for outcome in report.outcomes}

        assert found == {
            ("upload", KEY): OutcomeKind.FAILED,
            ("upload", COSPLAY): OutcomeKind.APPLIED,
            ("set_field", KEY): OutcomeKind.BLOCKED,
            ("set_field", COSPLAY): OutcomeKind.APPLIED,
        }
        assert report.status is Status.PARTIAL
        assert world.entries("rem") == [titled(cosplay_image=world.uri(COSPLAY))]
        world.objects.refuse = lambda _key: None
        world.apply()
        assert world.plan().actions == ()

    def test_is_left_out_of_a_new_record(self, world: World) -> None:
        world.file(KEY)
        world.file(COSPLAY)
        world.local("rem", titled(anime_image=windows(KEY), cosplay_image=windows(COSPLAY)))
        world.objects.refuse = lambda key: Rejected("no") if key == KEY else None
        report = world.apply()

        assert world.entries("rem") == [titled(cosplay_image=world.uri(COSPLAY))]
        assert KEY in (report.outcomes[-1].error or "")
        world.objects.refuse = lambda _key: None
        world.apply()
        assert world.entries("rem") == [titled(cosplay_image=world.uri(COSPLAY), anime_image=world.uri(KEY))]
        assert world.plan().actions == ()


class TestTheWorldMovedSinceThePlan:
    def test_a_file_that_changed_is_stale_and_nothing_lands(self, world: World) -> None:
        plan = _ready(world)
        world.file(KEY, b"rendered again")

        assert _kinds(world, plan) == [OutcomeKind.STALE, OutcomeKind.BLOCKED]
        assert world.objects.all() == {}
        assert world.records.writes == []

    def test_a_file_that_is_gone_is_stale(self, world: World) -> None:
        plan = _ready(world)
        del world.files.files[KEY]

        assert _kinds(world, plan) == [OutcomeKind.STALE, OutcomeKind.BLOCKED]
        assert world.apply(plan).status is Status.STALE

    def test_a_file_that_cannot_be_read_is_failed(self, world: World) -> None:
        plan = _ready(world)
        world.files.unreadable.add(KEY)

        assert _kinds(world, plan) == [OutcomeKind.FAILED, OutcomeKind.BLOCKED]

    def test_equal_bytes_that_somebody_else_uploaded_are_already_there(self, world: World) -> None:
        plan = _ready(world)
        world.object(KEY)
        generation = world.objects.all()[KEY].generation

        report = world.apply(plan)
        assert report.status is Status.SUCCESS
        assert world.objects.all()[KEY].generation == generation
        assert world.entries("rem") == [titled(anime_image=world.uri(KEY))]

    def test_other_bytes_that_somebody_else_uploaded_stay_and_the_plan_is_stale(self, world: World) -> None:
        plan = _ready(world)
        world.object(KEY, b"theirs")

        assert _kinds(world, plan) == [OutcomeKind.STALE, OutcomeKind.BLOCKED]
        assert world.objects.all()[KEY].crc32c == digest(b"theirs")
        assert world.records.writes == []

    def test_an_object_that_was_replaced_meanwhile_is_not_replaced(self) -> None:
        with World(policy=Policy(Replacing.LOCAL)) as world:
            world.file(KEY, b"mine")
            world.object(KEY, b"old")
            plan = world.plan()
            world.object(KEY, b"theirs")

            assert kinds(plan) == ["replace"]
            assert _kinds(world, plan) == [OutcomeKind.STALE]
            assert world.objects.all()[KEY].crc32c == digest(b"theirs")

    def test_an_object_that_a_field_needs_and_that_is_gone_blocks_the_field(self, world: World) -> None:
        world.both(KEY)
        world.record("rem", titled(anime_image=windows(KEY)))
        plan = world.plan()
        world.objects.remove(KEY)

        assert _kinds(world, plan) == [OutcomeKind.BLOCKED]
        assert world.records.writes == []

    def test_an_object_that_a_field_needs_and_that_has_other_bytes_is_stale(self, world: World) -> None:
        world.both(KEY)
        world.record("rem", titled(anime_image=windows(KEY)))
        plan = world.plan()
        world.object(KEY, b"theirs")

        assert _kinds(world, plan) == [OutcomeKind.STALE]
        assert world.records.writes == []

    def test_anything_else_that_was_written_into_the_record_stays(self, world: World) -> None:
        plan = _ready(world)
        world.record("rem", titled("neon", mood="calm"), titled(anime_image=windows(KEY), likes=7), name="Rem!")

        assert world.apply(plan).status is Status.SUCCESS
        assert world.records.fields("rem") == {
            "name": "Rem!",
            "assets": [titled("neon", mood="calm"), titled(anime_image=world.uri(KEY), likes=7)],
        }

    def test_a_write_between_reading_and_writing_is_read_again_and_stays(self, world: World) -> None:
        plan = _ready(world)

        def meddle(document: str) -> None:
            world.records.before_write = lambda _document: None
            world.record(document, titled(anime_image=windows(KEY), likes=8))

        world.records.before_write = meddle
        assert world.apply(plan).status is Status.SUCCESS
        assert world.entries("rem") == [titled(anime_image=world.uri(KEY), likes=8)]

    def test_a_field_that_holds_another_value_now_is_stale_and_left_alone(self, world: World) -> None:
        plan = _ready(world)
        world.record("rem", titled(anime_image="https://example.com/mine.png"))

        assert _kinds(world, plan) == [OutcomeKind.APPLIED, OutcomeKind.STALE]
        assert world.entries("rem") == [titled(anime_image="https://example.com/mine.png")]

    def test_a_field_that_holds_the_planned_value_is_already_done_and_not_written(self, world: World) -> None:
        plan = _ready(world)
        world.record("rem", titled(anime_image=world.uri(KEY)))

        assert _kinds(world, plan) == [OutcomeKind.APPLIED, OutcomeKind.ALREADY]
        assert world.records.writes == []

    def test_a_record_that_is_gone_is_stale(self, world: World) -> None:
        plan = _ready(world)
        world.records.remove("rem")

        assert _kinds(world, plan) == [OutcomeKind.APPLIED, OutcomeKind.STALE]
        assert world.records.fields("rem") is None

    def test_a_record_that_somebody_else_created_is_never_overwritten(self, world: World) -> None:
        world.file(KEY)
        world.local("rem", titled(anime_image=windows(KEY)))
        plan = world.plan()
        world.record("rem", titled(mood="mine"))

        assert _kinds(world, plan) == [OutcomeKind.APPLIED, OutcomeKind.STALE]
        assert world.entries("rem") == [titled(mood="mine")]

    def test_a_record_that_was_created_just_so_is_already_done(self, world: World) -> None:
        world.file(KEY)
        world.local("rem", titled(anime_image=windows(KEY)))
        plan = world.plan()
        world.record("rem", titled(anime_image=world.uri(KEY)))

        assert _kinds(world, plan) == [OutcomeKind.APPLIED, OutcomeKind.ALREADY]

    def test_a_saved_plan_applied_twice_does_nothing_the_second_time(self, world: World) -> None:
        plan = _ready(world)
        world.apply(plan)
        before, writes = world.snapshot(), world.writes()

        assert set(_kinds(world, plan)) == {OutcomeKind.ALREADY}
        assert (world.snapshot(), world.writes()) == (before, writes)


class TestAnUncertainAnswer:
    def test_of_an_upload_is_settled_by_reading(self, world: World) -> None:
        plan = _ready(world)
        world.objects.lose_answers = True

        assert _kinds(world, plan) == [OutcomeKind.ALREADY, OutcomeKind.APPLIED]
        assert world.objects.writes == [KEY]

    def test_of_an_upload_that_did_not_land_is_failed(self, world: World) -> None:
        plan = _ready(world)
        world.objects.refuse = lambda _key: Uncertain("no answer came")

        assert _kinds(world, plan) == [OutcomeKind.FAILED, OutcomeKind.BLOCKED]

    def test_of_a_record_write_is_settled_by_reading(self, world: World) -> None:
        plan = _ready(world)
        world.records.lose_answers = 1

        assert _kinds(world, plan) == [OutcomeKind.APPLIED, OutcomeKind.ALREADY]
        assert world.records.writes == ["rem"]

    def test_of_a_creation_is_settled_by_reading(self, world: World) -> None:
        world.local("rem", titled(mood="calm"))
        plan = world.plan()
        world.records.lose_answers = 1

        assert _kinds(world, plan) == [OutcomeKind.ALREADY]


class TestStopping:
    @staticmethod
    def _many(world: World, count: int = 60) -> Plan:
        for number in range(count):
            world.file(f"dances/dance_rem_{number:03d}.mp4")
        return world.plan()

    @pytest.mark.parametrize("error", [AccessDenied("no"), StoreUnavailable("down")])
    def test_a_store_that_refuses_everything_stops_the_run(self, world: World, error: Exception) -> None:
        world.record("rem")
        plan = self._many(world)
        world.objects.refuse = lambda _key: error
        report = world.apply(plan, concurrency=2)

        assert REFUSALS <= len(world.objects.attempts) <= REFUSALS + 4
        assert report.counts.not_started > 40
        assert report.status is Status.FAILED

    def test_a_store_that_comes_to_refuse_everything_stops_the_run_too(self, world: World) -> None:
        plan = self._many(world)
        world.objects.refuse = lambda _key: AccessDenied("no") if len(world.objects.writes) >= 5 else None
        report = world.apply(plan, concurrency=1)

        assert report.counts.applied == 5
        assert report.counts.failed <= REFUSALS + 2
        assert report.status is Status.PARTIAL

    def test_refusals_among_successes_stop_nothing(self, world: World) -> None:
        plan = self._many(world)
        world.objects.refuse = lambda key: AccessDenied("held") if int(key[-7:-4]) % 2 else None
        report = world.apply(plan, concurrency=1)

        assert (report.counts.applied, report.counts.failed, report.counts.not_started) == (30, 30, 0)

    def test_a_bucket_that_refuses_does_not_keep_records_from_being_put_right(self, world: World) -> None:
        world.both(KEY)
        world.record("rem", titled(anime_image=windows(KEY)))
        plan = self._many(world)
        world.objects.refuse = lambda _key: AccessDenied("no uploads")
        world.apply(plan, concurrency=1)

        assert world.entries("rem")[0]["anime_image"] == world.uri(KEY)

    def test_a_stop_finishes_what_is_in_flight_and_starts_nothing_more(self, world: World) -> None:
        plan = self._many(world)
        stop = threading.Event()

        def refuse(_key: str) -> None:
            if len(world.objects.attempts) == 3:
                stop.set()

        world.objects.refuse = refuse
        report = world.apply(plan, concurrency=1, stop=stop)

        assert report.status is Status.INTERRUPTED
        assert 3 <= report.counts.applied == len(world.objects.writes) <= 6
        assert report.counts.applied + report.counts.not_started == len(plan.actions)
        world.apply()
        assert world.plan().actions == ()

    def test_a_stop_after_the_last_change_is_no_interruption(self, world: World) -> None:
        plan = _ready(world)
        stop = threading.Event()

        def listen(event: Event) -> None:
            if isinstance(event, PhaseDone) and event.phase is Phase.WRITING:
                stop.set()

        assert world.apply(plan, stop=stop, listener=listen).status is Status.SUCCESS


class TestRefusedBeforeAnythingIsWritten:
    def _replacing(self, limit: str) -> World:
        world = World(policy=Policy(Replacing.LOCAL, ReplaceLimit.parse(limit)))
        for number in range(12):
            world.both(f"dances/dance_rem_{number}.mp4")
        for number in range(2):
            world.file(f"dances/dance_rem_{number}.mp4", b"edited")
        world.file(KEY)
        return world

    def test_a_plan_that_replaces_more_than_allowed(self) -> None:
        with self._replacing("10%") as world:
            with pytest.raises(Refused):
                world.apply()
            assert world.writes() == []
            assert world.apply(force=True).counts.applied == 3

    def test_a_plan_that_replaces_no_more_than_allowed_is_applied(self) -> None:
        with self._replacing("17%") as world:
            assert world.apply().status is Status.SUCCESS

    def test_a_plan_with_more_actions_than_allowed(self, world: World) -> None:
        plan = _ready(world)

        with pytest.raises(Refused):
            world.apply(plan, max_actions=1)
        assert world.writes() == []
        assert world.apply(plan, max_actions=2).status is Status.SUCCESS

    @pytest.mark.parametrize(
        "change",
        [
            lambda plan: msgspec.structs.replace(plan, rules_digest="other"),
            lambda plan: msgspec.structs.replace(plan, stores=msgspec.structs.replace(plan.stores, bucket="gs://x")),
            lambda plan: msgspec.structs.replace(plan, actions=plan.actions[1:]),
        ],
        ids=["other rules", "another bucket", "edited by hand"],
    )
    def test_a_plan_that_this_project_did_not_make(self, world: World, change: Callable[[Plan], Plan]) -> None:
        plan = change(_ready(world))

        with pytest.raises(UsageError):
            world.apply(plan)
        assert world.writes() == []


class TestTheLocalDatabase:
    def test_a_rewrite_keeps_what_somebody_else_wrote(self) -> None:
        with World(rewrite=True) as world:
            world.both(KEY)
            world.record("rem", titled(anime_image=world.uri(KEY)))
            world.local("rem", titled(anime_image=windows(KEY)))
            plan = world.plan()
            world.local("rem", titled(anime_image=windows(KEY), likes=1), titled("new"))

            assert _kinds(world, plan) == [OutcomeKind.APPLIED]
            assert world.local_db.fields("rem")["assets"] == [
                titled(anime_image=world.uri(KEY), likes=1),
                titled("new"),
            ]
            assert world.plan().actions == ()

    def test_a_rewrite_waits_for_its_object(self) -> None:
        with World(rewrite=True) as world:
            world.file(KEY)
            world.record("rem")
            world.local("rem", titled(anime_image=windows(KEY)))
            world.objects.refuse = lambda _key: Rejected("no")
            report = world.apply()

            assert outcomes(report)[KEY] is OutcomeKind.BLOCKED
            assert world.local_db.writes == []


def test_what_is_uploaded_is_remembered_as_agreed(world: World) -> None:
    _ready(world)
    world.apply()

    assert world.memory.states[KEY].generation == world.objects.all()[KEY].generation


def test_nothing_of_an_applied_plan_is_written_to_without_its_precondition(world: World) -> None:
    plan = _ready(world)
    [change] = [action for action in plan.actions if isinstance(action, SetField)]

    assert plan.actions[0].if_generation_match == 0
    assert change.update_time == next(iter(world.records.read(["rem"]))).update_time


def test_events_tell_of_each_phase_and_each_change(world: World) -> None:
    plan = _ready(world)
    seen: list[Event] = []
    world.apply(plan, listener=seen.append)

    assert [event.phase for event in seen if isinstance(event, PhaseStarted)] == [Phase.UPLOADS, Phase.WRITING]
    assert [event.outcome.key for event in seen if isinstance(event, ChangeDone)] == [KEY, KEY]
    assert sum(event.size for event in seen if isinstance(event, Advanced)) == len(KEY)


def test_a_plan_without_changes_is_a_success_that_writes_nothing(world: World) -> None:
    report = world.apply()

    assert report.status is Status.SUCCESS
    assert report.outcomes == ()
    assert world.writes() == []


class TestWhatIsAgreed:
    def test_a_run_that_dies_forgets_no_more_than_its_last_uploads(self) -> None:
        """So that a file that is rendered anew before the next run is replaced, and not called a conflict."""
        world = World()
        for number in range(100):
            world.file(f"dances/dance_c{number:03}.mp4")

        def die(event: Event) -> None:
            if isinstance(event, ChangeDone) and len(world.objects.all()) == 90:
                raise Died

        with pytest.raises(Died):
            world.apply(concurrency=1, listener=die)
        assert len(world.memory.states) >= 64


class Died(BaseException):
    """A kill."""
