"""A store that refuses everything ends a phase early with one sentence; one that refuses a folder does not."""

from __future__ import annotations

import pytest

from reconcile.adapters.workers import REFUSALS, Breaker, results
from reconcile.core.errors import AccessDenied, Rejected, SourceError, StoreUnavailable
from reconcile.core.events import Event, Warned
from reconcile.core.report import OutcomeKind, Status
from reconcile.ports import DesiredObject
from tests.kit.world import World


class Refusing:
    """Refuses puts whose keys begin so, and counts what was tried."""

    def __init__(self, world: World, prefix: str, error: Exception) -> None:
        self._put = world.objects.put
        self._prefix = prefix
        self._error = error
        self.tried: list[str] = []

    def __call__(self, desired: DesiredObject, *given: object, **named: object) -> object:
        if desired.key.startswith(self._prefix):
            self.tried.append(desired.key)
            raise self._error
        return self._put(desired, *given, **named)  # type: ignore[arg-type]


DENIED = AccessDenied("you may not", hint="grant it")


def world_with(refusing: str, error: Exception) -> tuple[World, Refusing]:
    world = World()
    for number in range(40):
        world.file(f"characters/c{number:02}.png")
        world.file(f"dances/dance_c{number:02}_x.mp4")
    refusals = Refusing(world, refusing, error)
    world.objects.put = refusals  # type: ignore[method-assign,assignment]
    return world, refusals


@pytest.mark.parametrize("error", [StoreUnavailable("it is down", hint="wait"), DENIED])
def test_a_store_that_refuses_everything_is_given_up_with_one_sentence(error: Exception) -> None:
    world = World()
    for number in range(60):
        world.file(f"remixes/r{number:02}/REMIX_x.mp4")
    refusals = Refusing(world, "", error)
    world.objects.put = refusals  # type: ignore[method-assign,assignment]
    told: list[Event] = []
    report = world.apply(concurrency=1, listener=told.append)
    assert report.status is Status.FAILED
    assert len(refusals.tried) == REFUSALS
    warnings = [event.message for event in told if isinstance(event, Warned)]
    assert len(warnings) == 1
    assert "8 times in a row" in warnings[0]
    left = [outcome for outcome in report.outcomes if outcome.outcome is OutcomeKind.NOT_STARTED]
    assert {outcome.error for outcome in left} == set(warnings)


def test_a_folder_that_may_not_be_written_does_not_keep_the_others_waiting() -> None:
    world, refusals = world_with("characters/", DENIED)
    report = world.apply(concurrency=1)
    assert len(refusals.tried) == REFUSALS
    assert sum(key.startswith("dances/") for key in world.objects.all()) == 40
    assert report.status is Status.PARTIAL
    barred = [each.error or "" for each in report.outcomes if each.outcome is OutcomeKind.NOT_STARTED]
    assert len(barred) == 40 - REFUSALS
    assert all("of 'characters' were denied" in sentence for sentence in barred)


def test_what_was_barred_is_taken_once_it_is_allowed() -> None:
    world, refusals = world_with("characters/", DENIED)
    world.apply()
    world.objects.put = refusals._put  # type: ignore[method-assign]
    assert world.apply().status is Status.SUCCESS
    assert world.plan().actions == ()


def test_what_says_nothing_of_the_store_is_not_counted_unless_it_was_asked_for() -> None:
    plain, strict = Breaker(), Breaker(counted=(SourceError,))
    for _ in range(REFUSALS):
        for error in (Rejected("not this one"), SourceError("no space left")):
            plain.failed(error)
            strict.failed(error)
    assert plain.tripped is None
    assert strict.tripped is not None
    assert strict.tripped.message.startswith("this machine refused 8 times in a row")


def test_a_success_starts_the_count_again_until_it_has_tripped() -> None:
    breaker = Breaker()
    for _ in range(REFUSALS - 1):
        breaker.failed(StoreUnavailable("down"))
    breaker.succeeded()
    for _ in range(REFUSALS - 1):
        breaker.failed(StoreUnavailable("down"))
    assert breaker.tripped is None
    breaker.failed(StoreUnavailable("down"))
    breaker.succeeded()
    assert breaker.tripped is not None


def test_workers_begin_no_job_once_the_breaker_has_tripped() -> None:
    breaker = Breaker()
    begun: list[int] = []

    def job(number: int) -> int:
        begun.append(number)
        breaker.failed(StoreUnavailable("down"))
        return number

    jobs = (lambda number=number: job(number) for number in range(100))
    assert sorted(results(jobs, 1, breaker=breaker)) == begun == list(range(REFUSALS))
