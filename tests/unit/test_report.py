"""What happened: outcomes, counts, and how a run ended."""

from __future__ import annotations

import json

import msgspec
import pytest

from reconcile.core.errors import (
    AccessDenied,
    ExitCode,
    NotThere,
    ReconcileError,
    Rejected,
    SourceChanged,
    StoreError,
    StoreUnavailable,
    Uncertain,
)
from reconcile.core.report import Counts, Outcome, OutcomeKind, Problem, Report, Status, build
from tests.kit.plans import creation, finding, set_field, upload

APPLIED, ALREADY, STALE, FAILED, BLOCKED, NOT_STARTED = OutcomeKind


def report(*kinds: OutcomeKind, interrupted: bool = False, complete: bool = True) -> Report:
    outcomes = [Outcome.of(upload(f"{at}.png"), kind) for at, kind in enumerate(kinds)]
    return build("r1", outcomes, [finding()], moved=3, seconds=1.9, interrupted=interrupted, complete=complete)


@pytest.mark.parametrize(
    ("kinds", "status", "code"),
    [
        pytest.param((), Status.SUCCESS, ExitCode.OK, id="nothing to do"),
        pytest.param((APPLIED, ALREADY), Status.SUCCESS, ExitCode.OK, id="all done"),
        pytest.param((ALREADY,), Status.SUCCESS, ExitCode.OK, id="all done before"),
        pytest.param((APPLIED, FAILED), Status.PARTIAL, ExitCode.FAILED, id="something failed"),
        pytest.param((ALREADY, FAILED), Status.PARTIAL, ExitCode.FAILED, id="something failed, the rest done before"),
        pytest.param((FAILED, FAILED), Status.FAILED, ExitCode.FAILED, id="everything failed"),
        pytest.param((FAILED, BLOCKED, NOT_STARTED), Status.FAILED, ExitCode.FAILED, id="failed, the rest not begun"),
        pytest.param((APPLIED, STALE), Status.STALE, ExitCode.STALE, id="stale, nothing else failed"),
        pytest.param((STALE, BLOCKED), Status.STALE, ExitCode.STALE, id="stale, and what hung on it"),
        pytest.param((STALE, FAILED, APPLIED), Status.PARTIAL, ExitCode.FAILED, id="stale, and something failed"),
        pytest.param((STALE, FAILED), Status.FAILED, ExitCode.FAILED, id="stale, and all else failed"),
        pytest.param((APPLIED, BLOCKED), Status.PARTIAL, ExitCode.FAILED, id="blocked"),
        pytest.param((APPLIED, NOT_STARTED), Status.PARTIAL, ExitCode.FAILED, id="not started"),
    ],
)
def test_how_a_run_ended_and_what_the_process_answers(
    kinds: tuple[OutcomeKind, ...], status: Status, code: ExitCode
) -> None:
    found = report(*kinds)
    assert (found.status, found.exit_code) == (status, code)


@pytest.mark.parametrize("kinds", [(), (APPLIED, NOT_STARTED), (FAILED,), (STALE,)])
def test_an_interrupted_run_is_interrupted_whatever_else(kinds: tuple[OutcomeKind, ...]) -> None:
    found = report(*kinds, interrupted=True)
    assert (found.status, found.exit_code) == (Status.INTERRUPTED, ExitCode.INTERRUPTED)


@pytest.mark.parametrize("kinds", [(), (APPLIED,)])
def test_a_run_over_a_world_that_was_not_read_whole_is_partial(kinds: tuple[OutcomeKind, ...]) -> None:
    found = report(*kinds, complete=False)
    assert (found.status, found.exit_code) == (Status.PARTIAL, ExitCode.FAILED)


def test_outcomes_are_counted_by_kind() -> None:
    found = report(APPLIED, APPLIED, ALREADY, STALE, FAILED, BLOCKED, NOT_STARTED)
    assert found.counts == Counts(applied=2, already=1, stale=1, failed=1, blocked=1, not_started=1)
    assert [outcome.key for outcome in found.outcomes] == [f"{at}.png" for at in range(7)]


def test_an_outcome_names_its_change() -> None:
    full = Problem("rejected", "no room", "make room")
    made = Outcome.of(upload(), FAILED, full)
    assert (made.id, made.kind, made.key, made.document) == (upload().id, "upload", upload().key, None)
    assert (made.outcome, made.error, made.problem) == (FAILED, "no room (make room)", full)
    created = Outcome.of(creation(), APPLIED, remark="one was left out")
    assert (created.key, created.document, created.error, created.problem) == (
        None,
        creation().document,
        "one was left out",
        None,
    )


def test_a_change_that_was_not_made_has_an_error_that_names_it() -> None:
    failed = Outcome.of(upload(), FAILED, Problem("denied", "no right", "ask for it")).failure()
    assert type(failed) is AccessDenied
    assert failed.sentence == f"upload of {upload().key}: no right (ask for it)"
    blocked = Outcome.of(set_field(), BLOCKED).failure()
    assert (type(blocked), blocked.message) == (
        StoreError,
        f"set_field of {set_field().key} in {set_field().document}: blocked",
    )
    kinds = [kind for kind in OutcomeKind if Outcome.of(upload(), kind).is_done]
    assert kinds == [APPLIED, ALREADY]


@pytest.mark.parametrize("kind", [AccessDenied, StoreUnavailable, Uncertain, Rejected, SourceChanged, NotThere])
def test_a_problem_gives_back_the_error_that_it_came_from(kind: type[ReconcileError]) -> None:
    problem = Problem.of(kind("it says no", hint="ask again"))
    error = problem.error("upload of a.png")
    assert type(error) is kind
    assert (error.sentence, error.code) == ("upload of a.png: it says no (ask again)", kind.code)
    assert error.transient is problem.transient is (kind in (StoreUnavailable, Uncertain))


def test_a_report_is_written_as_the_contract_says() -> None:
    written = json.loads(msgspec.json.encode(report(APPLIED)))
    assert written["format"] == "reconcile.result/1"
    assert (written["run_id"], written["status"], written["bytes"], written["seconds"]) == ("r1", "success", 3, 1.9)
    assert written["counts"] == {
        "applied": 1,
        "already": 0,
        "stale": 0,
        "failed": 0,
        "blocked": 0,
        "not_started": 0,
    }
    assert written["outcomes"] == [
        {
            "id": "upload 0.png",
            "kind": "upload",
            "key": "0.png",
            "document": None,
            "outcome": "applied",
            "error": None,
            "problem": None,
        }
    ]
    assert len(written["findings"]) == 1


def test_every_status_has_an_exit_code() -> None:
    for status in Status:
        assert msgspec.structs.replace(report(), status=status).exit_code in ExitCode
