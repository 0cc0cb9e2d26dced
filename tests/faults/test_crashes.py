"""An apply that dies at steps of both kinds, at the doors and at the wire; `make soak` walks every one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconcile.core.report import Report
from tests.faults.crashes import FILES, PART, RENAMED, Died, InProcess, Scene, Served, Servers, Steps, walk

KINDS = {"upload", "replace", "copy", "set_metadata", "create_record", "set_field", "rewrite_local_db"}


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    made = Servers()
    yield made
    made.close()


@pytest.mark.parametrize("first", [0, 2])
def test_a_run_that_dies_at_a_step_is_finished_by_the_next(first: int) -> None:
    walked = walk("in process", InProcess, first=first, stride=5)

    assert walked.problems == ()
    assert walked.deaths == len(range(first, walked.steps, 5))
    assert walked.steps > 90


def test_a_run_that_dies_at_a_request_is_finished_by_the_next(servers: Servers) -> None:
    walked = walk("served", servers, first=1, stride=5)

    assert walked.problems == ()
    assert walked.deaths == len(range(1, walked.steps, 5))
    assert walked.steps >= 40


def _steps(scene: Scene) -> tuple[Report, set[str]]:
    steps = Steps()
    report = scene.run(steps)
    scene.close()
    return report, set(steps.names)


def test_the_world_has_every_kind_of_change_and_the_walk_every_kind_of_step(tmp_path: Path) -> None:
    report, names = _steps(InProcess(tmp_path / "studio"))

    assert {each.kind for each in report.outcomes} == KINDS
    assert {
        "bucket.list",
        "bucket.put",
        "bucket.put, done",
        "bucket.get",
        "bucket.md5",
        "bucket.copy",
        "bucket.copy, done",
        "bucket.set_type",
        "bucket.set_type, done",
        "records.read",
        "records.create, done",
        "records.update",
        "records.update, done",
        "local_db.update_many",
        "open data/.characters.json.part",
        "os.rename data/.characters.json.part",
        "os.rename data/.characters.json.new",
        "state.remember",
        "state.remember, done",
        "state.close",
        "journal.begin",
        "journal of a run.write",
        "journal of a run.write, done",
        "open .reconcile/lock",
        "open .*.new",
        "os.rename .reconcile/.*.new",
        "os.remove .reconcile/lock.json",
    } <= names


def test_the_walk_at_the_wire_has_every_kind_of_change_and_request(tmp_path: Path, servers: Servers) -> None:
    report, names = _steps(Served(tmp_path / "studio", servers))

    assert {each.kind for each in report.outcomes} == KINDS
    assert {"bucket", "bucket, done", "Commit", "Commit, done", "BatchGetDocuments"} <= names
    assert servers.gcs.world.rewrite_limit == PART
    assert all(len(data) > 2 * PART for data in RENAMED.values()), "a copy takes several requests"


@pytest.mark.parametrize("make", ["at the doors", "at the wire"])
def test_the_world_writes_an_index_and_what_was_copied_is_not_sent(tmp_path: Path, servers: Servers, make: str) -> None:
    scene = InProcess(tmp_path / "studio") if make == "at the doors" else Served(tmp_path / "studio", servers)
    report = scene.run(Steps())
    (copied,) = [each.key for each in report.outcomes if each.kind == "copy"]
    assert scene.objects()[copied or ""] == FILES[copied or ""]
    sent = {each.key for each in report.outcomes if each.kind in ("upload", "replace")}
    assert report.bytes == sum(len(FILES[key or ""]) for key in sent)
    assert all(fields["asset_types"] for fields in scene.records().values())
    scene.close()


class Forgetful(InProcess):
    """A tool that loses an object when it dies."""

    def run(self, steps: Steps) -> Report:
        try:
            return super().run(steps)
        except Died:
            with self._bucket._database.transaction() as connection:
                connection.execute("DELETE FROM objects WHERE name LIKE '%ai.png'")
            raise


def test_the_walk_notices_a_record_that_names_nothing() -> None:
    walked = walk("forgetful", Forgetful, first=30, stride=1000)

    assert walked.deaths == 1
    assert any("a record names what is not there" in problem for problem in walked.problems)
