"""``plan --engine beam`` reads the stores by parts, on Beam's local runner, and gives the plan of the other engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("apache_beam", reason="reconcile[beam] is not installed")

import grpc

from tests.kit.inventory import TAKEN, line_of, report
from tests.kit.studio import build_studio
from tests.kit.workshop import PREFIX, Workshop, furnish, open_workshop
from tests.servers.faults import FOREVER, Call, Fault
from tests.servers.firestore import FirestoreServer
from tests.servers.gcs import GcsServer

Code = grpc.StatusCode
REPORTS = "inventory:gs://reports/nightly/"
QUIET = {"PYTHONWARNINGS": "ignore"}
"""Beam and what it imports warn."""


@pytest.fixture
def server() -> Iterator[FirestoreServer]:
    made = FirestoreServer().start()
    yield made
    made.stop()


@pytest.fixture
def shop(tmp_path: Path, server: FirestoreServer) -> Iterator[Workshop]:
    with GcsServer() as gcs:
        made = open_workshop(tmp_path / "project", gcs, server.address)
        furnish(made, build_studio(made.folder, scale=0.2, bucket_uri=f"gs://{made.bucket}/{PREFIX}"))
        yield made


def told(document: dict[str, Any]) -> dict[str, Any]:
    """A plan without what is of its making."""
    return {name: value for name, value in document.items() if name not in ("created", "estimate", "records_as_of")}


def test_the_users_world_gets_the_same_plan_from_both_engines(shop: Workshop) -> None:
    by_beam = shop.run("plan", "--engine", "beam", "--json", **QUIET)
    assert by_beam.code == 0, by_beam.err
    stream = shop.run("plan", "--json")
    assert told(by_beam.document) == told(stream.document)
    assert stream.document["actions"]


def test_ten_thousand_assets_get_the_same_plan_from_both_engines(tmp_path: Path) -> None:
    firestore = FirestoreServer().start()
    with GcsServer() as gcs:
        large = open_workshop(tmp_path / "large", gcs, firestore.address, local_db=False)
        studio = build_studio(large.folder, scale=16, bucket_uri=f"gs://{large.bucket}/{PREFIX}")
        furnish(large, studio)
        by_beam = large.run("plan", "--engine", "beam", "--json", timeout=170, **QUIET)
        assert by_beam.code == 0, by_beam.err
        assert told(by_beam.document) == told(large.run("plan", "--json").document)
        assert len(list((large.folder / "output").rglob("*.*"))) > 10_000
    firestore.stop()


def test_nothing_is_left_behind(shop: Workshop) -> None:
    before = (
        {path.name for path in (shop.folder / ".reconcile").glob("*")}
        if (shop.folder / ".reconcile").exists()
        else set()
    )
    assert shop.run("plan", "--engine", "beam", "--json", **QUIET).code == 0
    after = {path.name for path in (shop.folder / ".reconcile").glob("*")}
    assert not {name for name in after - before if name.startswith(("beam-", "scan-"))}


def test_a_plan_of_scans_is_made_where_no_file_is_and_saved_in_shards(shop: Workshop, tmp_path: Path) -> None:
    expected = shop.run("plan", "--json").document
    assert shop.run("scan", "--out", str(tmp_path / "scan")).code == 0
    (shop.folder / "output").rename(tmp_path / "away")
    (shop.folder / "output").mkdir()
    arguments = ("--files-from", str(tmp_path / "scan"), "--out", str(tmp_path / "plan"), "--shards", "3", "--json")
    done = shop.run("plan", "--engine", "beam", *arguments, "--", "--runner", "FnApiRunner", **QUIET)
    assert done.code == 0, done.err
    assert told(done.document) == told(expected)
    head = json.loads((tmp_path / "plan" / "plan.json").read_text("utf-8"))
    assert sum(each["actions"] for each in head["shards"]) == len(expected["actions"])


def test_the_files_of_several_machines_are_one_listing(shop: Workshop, tmp_path: Path) -> None:
    paths = sorted(path for path in (shop.folder / "output").rglob("*.*") if path.is_file())
    assert shop.run("scan", "--out", str(tmp_path / "one"), "--name", "one").code == 0
    for number, path in enumerate(paths):
        if number % 3 == 0:
            path.unlink()
        elif number % 3 == 1:
            path.write_bytes(b"other" + path.read_bytes())
    assert shop.run("scan", "--out", str(tmp_path / "two"), "--name", "two").code == 0
    scans = ("--files-from", str(tmp_path / "one"), "--files-from", str(tmp_path / "two"), "--json")
    expected = shop.run("plan", *scans)
    by_beam = shop.run("plan", "--engine", "beam", *scans, **QUIET)
    assert told(by_beam.document) == told(expected.document)
    assert "2 machines have different content" in by_beam.out
    twice = ("--files-from", str(tmp_path / "one"), "--files-from", str(tmp_path / "one"))
    refused = shop.run("plan", "--engine", "beam", *twice, **QUIET)
    assert (refused.code, "two scans are of the machine one" in refused.err) == (64, True)


# -- what may not be read ---------------------------------------------------------------------------------------


def deny(shop: Workshop, *prefixes: str) -> None:
    """The bucket may be listed where no object begins with these alone."""
    names = [f"{PREFIX}/{each}" for each in prefixes]

    def forbidden(call: Call) -> bool:
        asked = call.query.get("prefix", "")
        return not call.key and any(asked.startswith(each) or each.startswith(asked) for each in names)

    path = f"/b/{shop.bucket}/o"
    shop.gcs.script.add(Fault(method="GET", path=path, when=forbidden, status=403, reason="forbidden", times=FOREVER))


@pytest.mark.parametrize("denied", [("remixes/",), ("characters/", "dances/"), ("",)])
def test_a_part_of_the_bucket_that_may_not_be_listed_is_left_undecided(shop: Workshop, denied: tuple[str, ...]) -> None:
    deny(shop, *denied)
    by_beam = shop.run("plan", "--engine", "beam", "--json", **QUIET)
    stream = shop.run("plan", "--json")
    assert told(by_beam.document) == told(stream.document)
    assert by_beam.code == stream.code
    assert by_beam.document["complete"] is False
    assert "unreadable_scope" in {each["code"] for each in by_beam.document["findings"]}


def test_records_that_may_not_be_read_are_left_undecided(shop: Workshop, server: FirestoreServer) -> None:
    server.fault("RunQuery", times=FOREVER, before=Code.PERMISSION_DENIED)
    by_beam = shop.run("plan", "--engine", "beam", "--json", **QUIET)
    stream = shop.run("plan", "--json")
    assert told(by_beam.document) == told(stream.document)
    assert by_beam.document["complete"] is False
    assert {each["kind"] for each in by_beam.document["actions"]} <= {"upload", "set_metadata", "rewrite_local_db"}
    assert by_beam.document["actions"]


def test_one_record_that_a_worker_may_not_read_leaves_all_undecided_as_one_page_does(
    shop: Workshop, server: FirestoreServer
) -> None:
    refused = {"times": FOREVER, "before": Code.PERMISSION_DENIED}
    server.fault("BatchGetDocuments", when=lambda get: any(each.endswith("/rem") for each in get.documents), **refused)
    by_beam = shop.run("plan", "--engine", "beam", "--json", **QUIET)
    server.fault("RunQuery", when=lambda query: not query.structured_query.HasField("select"), **refused)
    stream = shop.run("plan", "--json")
    assert told(by_beam.document) == told(stream.document)
    assert by_beam.document["complete"] is False


def test_where_nothing_may_be_read_it_is_one_error(shop: Workshop, server: FirestoreServer) -> None:
    deny(shop, "")
    server.fault("RunQuery", times=FOREVER, before=Code.PERMISSION_DENIED)
    by_beam, stream = shop.run("plan", "--engine", "beam", "--json", **QUIET), shop.run("plan", "--json")
    assert by_beam.document == stream.document
    assert (by_beam.code, by_beam.document["code"]) == (1, "denied")


def test_a_part_that_cannot_be_read_fails_the_plan_with_its_own_sentence(shop: Workshop) -> None:
    shop.gcs.script.add(Fault(method="GET", path=f"/b/{shop.bucket}/o", status=404, reason="notFound", times=FOREVER))
    done = shop.run("plan", "--engine", "beam", "--json", **QUIET)
    assert done.code == 1
    assert done.document["format"] == "reconcile.error/1"
    assert done.document["code"] == "store_missing"


# -- records that change meanwhile ------------------------------------------------------------------------------


def test_workers_read_records_as_they_were_when_their_ids_were_read(shop: Workshop, server: FirestoreServer) -> None:
    expected = shop.run("plan", "--json").document
    [first, *_] = sorted(shop.records())

    def disturb() -> None:
        shop.collection().document(first).set({"name": "somebody", "assets": "nothing"})

    server.fault("RunQuery", then=disturb)
    before = len(server.calls("BatchGetDocuments"))
    by_beam = shop.run("plan", "--engine", "beam", "--json", **QUIET).document
    assert told(by_beam) == told(expected)
    assert by_beam["records_as_of"] is not None
    asked = [get for get in server.calls("BatchGetDocuments")[before:] if get.HasField("read_time")]
    assert {get.read_time.ToJsonString() for get in asked} == {by_beam["records_as_of"]}
    assert told(shop.run("plan", "--json").document) != told(expected)


def test_a_moment_that_is_kept_no_longer_is_said_to_be_none(shop: Workshop, server: FirestoreServer) -> None:
    server.fault(
        "BatchGetDocuments", times=FOREVER, before=Code.FAILED_PRECONDITION, when=lambda get: get.HasField("read_time")
    )
    by_beam = shop.run("plan", "--engine", "beam", "--json", **QUIET).document
    assert told(by_beam) == told(shop.run("plan", "--json").document)
    assert by_beam["records_as_of"] is None


# -- objects from an inventory report ---------------------------------------------------------------------------


def make_report(shop: Workshop, shards: int = 3) -> dict[str, bytes]:
    """The report of the bucket as it is now, its rows in no order, where the reports are."""
    shop.gcs.world.make_bucket("reports")
    held = list(shop.gcs.world.objects(shop.bucket).values())
    files = report([line_of(shop.bucket, each) for each in held[::2] + held[1::2]], shards)
    put_report(shop, files)
    return files


def put_report(shop: Workshop, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        shop.gcs.world.insert("reports", f"nightly/{name}", data, {})


def test_objects_of_an_inventory_report_give_the_plan_of_the_other_engine(shop: Workshop) -> None:
    make_report(shop)
    stream = shop.run("plan", "--objects-from", REPORTS, "--json")
    before = len(shop.gcs.script.calls("GET"))
    by_beam = shop.run("plan", "--engine", "beam", "--objects-from", REPORTS, "--json", **QUIET)
    assert by_beam.code == 0, by_beam.err
    assert told(by_beam.document) == told(stream.document)
    assert by_beam.document["objects_as_of"] == TAKEN
    assert not [call for call in shop.gcs.script.calls("GET")[before:] if call.path.endswith(f"/b/{shop.bucket}/o")]


@pytest.mark.parametrize("part", ["row", "twin", "other"])
def test_a_report_that_is_not_whole_gives_no_plan_on_beam_either(shop: Workshop, part: str) -> None:
    files = make_report(shop)
    name = next(each for each in files if each.endswith("_1.csv"))
    lines = files[name].splitlines(keepends=True)
    changed = {
        "row": b"".join(lines[:-1]),
        "twin": b"".join([*lines[:-1], lines[1]]),
        "other": b"".join(lines) + b"torn",
    }
    put_report(shop, {name: changed[part]})
    stream = shop.run("plan", "--objects-from", REPORTS, "--json")
    by_beam = shop.run("plan", "--engine", "beam", "--objects-from", REPORTS, "--json", **QUIET)
    assert (stream.code, by_beam.code) == (64, 64)
    assert stream.document["message"] in by_beam.document["message"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--runner", "NoSuch"), "Unexpected pipeline runner: NoSuch"),
        (("--runner", "DataflowRunner"), "Missing required option: project"),
        (("--num_workers", "many"), "argument --num_workers: invalid int value: 'many'"),
        (("eight", "--num_workers", "8"), "'eight' behind -- is no option of Beam"),
        (("--help",), "they ask for help"),
    ],
)
def test_options_behind_the_dashes_reach_beam_which_says_what_it_does_not_take(
    shop: Workshop, options: tuple[str, ...], says: str
) -> None:
    done = shop.run("plan", "--engine", "beam", "--json", "--", *options, **QUIET)
    assert done.code == 64
    assert says in done.document["message"]


def test_a_place_for_workers_that_cannot_be_made_is_told_of(shop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    done = shop.run("plan", "--engine", "beam", "--json", "--", "--temp_location", str(tmp_path / "file"), **QUIET)
    assert (done.code, done.document["code"]) == (1, "store")
    assert "the run on Beam failed" in done.document["message"]


def test_without_a_runner_it_is_the_local_one_that_is_not_downloaded() -> None:
    from apache_beam.options.pipeline_options import StandardOptions

    from reconcile.pipeline.beam_runner import options_of

    for arguments, runner in (
        ([], "FnApiRunner"),
        (["--direct_num_workers", "2"], "FnApiRunner"),
        (["--runner", "PrismRunner"], "PrismRunner"),
    ):
        assert options_of(arguments).view_as(StandardOptions).runner == runner


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("plan", "--engine", "beam", "--char-id", "rem"), "plans everything"),
        (("apply", "--engine", "beam", "--yes"), "only plan runs on Beam"),
        (("plan", "--", "--runner", "FnApiRunner"), "takes no argument"),
    ],
)
def test_what_beam_is_not_for_is_refused(shop: Workshop, arguments: tuple[str, ...], says: str) -> None:
    done = shop.run(*arguments)
    assert done.code == 64
    assert says in done.err
