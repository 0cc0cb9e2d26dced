"""A plan from an inventory report: that of a listing, with the time that the report is of; and none from half a
report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconcile import Project
from reconcile.api import plan
from reconcile.project import RunOptions
from tests.kit.inventory import TAKEN, line_of, report
from tests.kit.studio import Studio, build_studio
from tests.kit.workshop import PREFIX, Workshop, furnish, open_workshop
from tests.servers.firestore import FirestoreServer
from tests.servers.gcs import GcsServer
from tests.servers.gcs_world import Preconditions

REPORTS = "inventory:gs://reports/nightly/"
OF_ITS_MAKING = ("created", "estimate", "objects_as_of", "records_as_of")


@pytest.fixture
def gcs() -> Iterator[GcsServer]:
    with GcsServer() as server:
        yield server


@pytest.fixture
def shop(tmp_path: Path, gcs: GcsServer, firestore_server: FirestoreServer) -> Workshop:
    gcs.world.make_bucket("reports")
    return open_workshop(tmp_path / "project", gcs, firestore_server.address, local_db=False)


@pytest.fixture
def studio(shop: Workshop) -> Studio:
    made = build_studio(shop.folder, scale=0.15, bucket_uri=f"gs://{shop.bucket}/{PREFIX}")
    furnish(shop, made)
    return made


def make_report(shop: Workshop, shards: int = 2) -> dict[str, bytes]:
    """The report of the bucket as it is now, its rows in no order, where the reports are."""
    held = list(shop.gcs.world.objects(shop.bucket).values())
    files = report([line_of(shop.bucket, each) for each in held[::2] + held[1::2]], shards)
    for name, data in files.items():
        shop.gcs.world.insert("reports", f"nightly/{name}", data, {})
    return files


def told(document: dict[str, Any]) -> dict[str, Any]:
    """A plan without what is of its making."""
    return {name: value for name, value in document.items() if name not in OF_ITS_MAKING}


def listings(shop: Workshop) -> int:
    """How often the bucket itself was listed."""
    return sum(call.path.endswith(f"/b/{shop.bucket}/o") for call in shop.gcs.script.calls("GET"))


@pytest.mark.parametrize("scope", [(), ("--asset-type", "anime_image"), ("--char-id", "ai_hoshino")])
def test_the_plan_is_that_of_a_listing_and_says_as_of_when(
    shop: Workshop, studio: Studio, scope: tuple[str, ...]
) -> None:
    make_report(shop)
    listed = shop.run("plan", "--json", *scope)
    before = listings(shop)
    assert before
    reported = shop.run("plan", "--objects-from", REPORTS, "--json", *scope)
    assert reported.code == 0, reported.err
    assert listings(shop) == before
    assert told(reported.document) == told(listed.document)
    assert json.dumps(told(reported.document)) == json.dumps(told(listed.document))
    assert listed.document["actions"]
    assert (listed.document["objects_as_of"], reported.document["objects_as_of"]) == (None, TAKEN)
    assert f"says what was in it at {TAKEN}" in reported.err
    assert f"as of {TAKEN}, by an inventory report" in shop.run("plan", "--objects-from", REPORTS, *scope).out


def test_a_plan_of_an_old_report_overwrites_nothing_newer(shop: Workshop, studio: Studio) -> None:
    make_report(shop)
    where = shop.folder / "plan.json"
    planned = shop.run("plan", "--objects-from", REPORTS, "--out", str(where), "--json").document
    uploads = [each["key"] for each in planned["actions"] if each["kind"] == "upload"]
    shop.gcs.world.insert(shop.bucket, f"{PREFIX}/{uploads[0]}", b"somebody else's", {"contentType": "image/png"})
    done = shop.run("apply", str(where), "--yes", "--json")
    assert done.document["counts"]["stale"] >= 1
    assert shop.objects()[uploads[0]].data == b"somebody else's"
    assert set(uploads) <= set(shop.objects())


def test_what_was_good_is_remembered_as_of_the_report(shop: Workshop) -> None:
    (shop.folder / "output").mkdir(exist_ok=True)
    shop.gcs.world.insert(shop.bucket, f"{PREFIX}/notes.txt", b"x", {"contentType": "text/plain"})
    make_report(shop)
    where = shop.folder / "plan.json"
    assert shop.run("plan", "--objects-from", REPORTS, "--out", str(where)).code == 0
    assert shop.run("apply", str(where), "--yes").code == 0
    with Project.open(shop.folder).opened() as project:
        assert project.last_good_run == TAKEN


def test_a_plan_folder_keeps_the_time_of_its_objects(shop: Workshop, studio: Studio, tmp_path: Path) -> None:
    make_report(shop)
    where = str(tmp_path / "tonight")
    planned = shop.run("plan", "--objects-from", REPORTS, "--out", where, "--shards", "2", "--json")
    assert planned.code == 0, planned.err
    merged = shop.run("apply", where, "--dry-run", "--json")
    assert merged.document == planned.document


def test_from_python_the_option_of_a_run_does_the_same(shop: Workshop, studio: Studio) -> None:
    make_report(shop)
    with Project.open(shop.folder).opened(RunOptions(inventory="gs://reports/nightly")) as project:
        made = plan(project)
    assert made.plan.objects_as_of == TAKEN
    assert made.plan.fingerprint == shop.run("plan", "--json").document["fingerprint"]


@pytest.mark.parametrize("part", ["file", "row"])
def test_half_a_report_is_refused_and_nothing_is_written(shop: Workshop, studio: Studio, part: str) -> None:
    files = make_report(shop)
    name = next(each for each in files if each.endswith("_1.csv"))
    if part == "file":
        shop.gcs.world.delete("reports", f"nightly/{name}", None, Preconditions())
    else:
        whole = files[name].splitlines(keepends=True)
        shop.gcs.world.insert("reports", f"nightly/{name}", b"".join(whole[:-1]), {})
    before = shop.objects(), shop.records()
    where = shop.folder / "plan.json"
    done = shop.run("plan", "--objects-from", REPORTS, "--out", str(where))
    assert done.code == 64
    assert ("is missing" if part == "file" else "rows; it has") in done.err
    assert not where.exists()
    assert (shop.objects(), shop.records()) == before


def test_a_report_that_is_not_there_is_told_of_before_any_record_is_read(shop: Workshop, studio: Studio) -> None:
    done = shop.run("plan", "--objects-from", REPORTS, "--json", "-vv")
    assert done.code == 64
    assert "gs://reports/nightly holds no inventory report" in done.err
    assert "runQuery" not in done.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--objects-from", "gs://reports/nightly"), "is not inventory:gs://BUCKET/PREFIX/"),
        (("--objects-from", "inventory:reports"), "is not inventory:gs://BUCKET/PREFIX/"),
    ],
)
def test_what_names_no_reports_is_refused(shop: Workshop, arguments: tuple[str, ...], says: str) -> None:
    done = shop.run("plan", *arguments)
    assert done.code == 64
    assert says in done.err
