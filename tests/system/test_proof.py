"""The users' own test: everything is brought in step, the local files are deleted, and the cloud alone proves to be
enough; then the files come back, also when the run that brings them is killed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from reconcile.core.media import content_type
from reconcile.core.proof import certificate_name
from tests.kit import quick_start
from tests.kit.studio import Studio, build_studio
from tests.kit.workshop import PREFIX, Workshop, environment, open_workshop
from tests.servers.faults import Call, Fault
from tests.servers.firestore import FirestoreServer
from tests.servers.gcs import GcsServer
from tests.system.test_end_to_end import uris_in
from tools import schemas

CUT = 263_144
"""Bytes of the largest object that come before its connection breaks."""


@pytest.fixture(scope="module", params=["in process", pytest.param("emulator", marks=pytest.mark.emulator)])
def firestore(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a Firestore."""
    if request.param == "emulator":
        yield request.getfixturevalue("firestore_emulator")
        return
    server = FirestoreServer().start()
    yield server.address
    server.stop()


@pytest.fixture(scope="module")
def gcs() -> Iterator[GcsServer]:
    """A server of this story's own: others script no faults into it."""
    with GcsServer() as server:
        yield server


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, gcs: GcsServer, firestore: str) -> Workshop:
    return open_workshop(tmp_path_factory.mktemp("proof") / "project", gcs, firestore)


@pytest.fixture(scope="module")
def studio(shop: Workshop) -> Studio:
    """The users' world, in step but for what people must mend."""
    made = build_studio(shop.folder, seed=5, scale=0.15, bucket_uri=f"gs://{shop.bucket}/{PREFIX}")
    furnish(shop, made)
    applied = shop.run("apply", "--yes", "--json")
    assert applied.code == 0, applied.err
    return made


def furnish(shop: Workshop, studio: Studio) -> None:
    """As the migration left it, with the content types that it gave."""
    for key, data in studio.objects.items():
        shop.gcs.world.insert(shop.bucket, f"{PREFIX}/{key}", data, {"contentType": content_type(key)})
    for char_id, fields in studio.records.items():
        shop.collection().document(char_id).set(fields)


def mend(shop: Workshop, studio: Studio) -> None:
    """What only a person can put right is put right: paths to nowhere go, and the conflict is settled."""
    for char_id in ("mei", "zero_two"):
        entries = shop.collection().document(char_id).get().to_dict()["assets"]
        for entry in entries:
            entry.pop("reference", None)
        kept = [entry for entry in entries if entry["title"] != "lost take"]
        shop.collection().document(char_id).update({"assets": kept})
    for code, text in studio.expected_findings:
        if code == "malformed_record":
            record = shop.collection().document(text.rpartition("/")[2])
            record.update({"assets": [each for each in record.get().to_dict()["assets"] if isinstance(each, dict)]})
    assert shop.run("apply", "--yes", "--replace", "local", "--force", "--json").code == 0


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def copy(shop: Workshop, studio: Studio) -> dict[str, bytes]:
    """The local files as they were, before they are deleted for good."""
    first = shop.run("verify", "--json")
    found = {(each["code"], each["subject"]) for each in first.document["problems"] if each["severity"] != "info"}
    expected = {(code, text) for code, text in studio.expected_findings if code in ("outside_root", "malformed_record")}
    conflict = {code for code, _ in found} - {"outside_root", "malformed_record"}
    assert first.code == 2, first.err
    assert conflict == {"content_conflict", "local_path"}
    assert expected <= found
    mend(shop, studio)
    kept = files_below(studio.output)
    shutil.rmtree(studio.output)
    return kept


def test_the_cloud_alone_is_enough(shop: Workshop, studio: Studio, copy: dict[str, bytes], tmp_path: Path) -> None:
    assert not studio.output.exists()
    proof = shop.run("verify", "--cloud-only", "--deep", "--json", "--out", str(tmp_path / "certificates"))
    assert proof.code == 0, proof.out + proof.err
    found = proof.document
    jsonschema.validate(found, schemas.schema("verify"), cls=jsonschema.Draft202012Validator)
    assert found["checked"] == found["ok"] > 100
    assert {each["severity"] for each in found["problems"]} <= {"info"}
    records, objects = shop.records(), shop.objects()
    named = {uri for fields, _ in records.values() for uri in uris_in(fields)} & {shop.uri(key) for key in objects}
    assert found["objects"] == len(named)
    assert found["bytes"] == sum(len(stored.data) for key, stored in objects.items() if shop.uri(key) in named)

    assert len(found["certificates"]) == len(list((tmp_path / "certificates").iterdir())) == len(records)
    seen = 0
    for path in found["certificates"]:
        certificate = json.loads(Path(path).read_text("utf-8"))
        jsonschema.validate(certificate, schemas.schema("certificate"), cls=jsonschema.Draft202012Validator)
        digest = certificate.pop("digest")
        told = json.dumps(certificate, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert digest == f"sha256:{hashlib.sha256(told.encode()).hexdigest()}"
        assert Path(path).name == certificate_name(certificate["char_id"], found["created"])
        assert certificate["holds"]
        for each in certificate["references"]:
            live = objects[each["uri"].removeprefix(f"gs://{shop.bucket}/{PREFIX}/")]
            assert (each["crc32c"], each["generation"], each["size"]) == (live.crc32c, live.generation, len(live.data))
            assert each["checked"] == ["metadata", "deep"]
            seen += 1
    assert seen == found["checked"]


def test_the_plan_is_empty_and_the_lost_folder_is_said(shop: Workshop, copy: dict[str, bytes]) -> None:
    for _ in range(2):
        plan = shop.run("plan", "--json", "--detailed-exitcode")
        assert plan.code == 0, plan.out + plan.err
        assert plan.document["actions"] == []
        assert plan.document["complete"]
        assert "has disappeared" in plan.err
        assert "reconcile restore" in plan.err
    assert shop.run("apply", "--yes").code == 0
    status = shop.run("status", "--json", "--detailed-exitcode")
    # Two images have no record to be named in, which no plan can change.
    assert (status.code, [row["asset_type"] for row in status.document["rows"] if row["sync"] == "partial"]) == (
        2,
        ["anime_image"],
    )


def is_signed(call: Call) -> bool:
    return "X-Goog-Signature" in call.query


def test_every_signed_url_answers_with_its_content_type(shop: Workshop, copy: dict[str, bytes]) -> None:
    shop.gcs.script.clear()
    proof = shop.run("verify", "--cloud-only", "--urls", "--json")
    assert proof.code == 0, proof.out + proof.err
    read = [call for call in shop.gcs.script.calls() if is_signed(call)]
    assert len({call.key for call in read}) == proof.document["objects"]
    assert all("range" in call.headers and "authorization" not in call.headers for call in read)
    assert "X-Goog-" not in proof.out + proof.err

    key = next(key for key in shop.objects() if key.startswith("dances/") and key in copy)
    shop.gcs.script.add(Fault(key=f"{PREFIX}/{key}", when=is_signed, status=403))
    refused = shop.run("verify", "--cloud-only", "--urls", "--json")
    assert refused.code == 2
    assert "url_refused" in {each["code"] for each in refused.document["problems"]}
    shop.gcs.script.clear()


def large(shop: Workshop) -> str:
    """The key of the largest object."""
    return max(shop.objects().items(), key=lambda each: len(each[1].data))[0]


def killed_restore(shop: Workshop, fault: Fault) -> None:
    """A restore that is killed when the server comes to the fault."""
    reached, dead = threading.Event(), threading.Event()
    fault.run = lambda: (reached.set(), dead.wait(60))  # type: ignore[func-returns-value,assignment,return-value]
    shop.gcs.script.add(fault)
    child = quick_start.start("reconcile", ["restore", "--yes", "--concurrency", "1"], shop.folder, environment())
    try:
        assert reached.wait(60)
    finally:
        child.kill()
        code, _, _ = child.finish(60)
        dead.set()
    assert code == (-signal.SIGKILL if os.name == "posix" else 1)


def check_none_is_half(shop: Workshop, studio: Studio) -> int:
    """Every file that is there is whole; gives how many are there."""
    found = files_below(studio.output) if studio.output.exists() else {}
    whole = {path: data for path, data in found.items() if "/.r-" not in path}
    objects = shop.objects()
    assert all(objects[path].data == data for path, data in whole.items())
    return len(whole)


def test_a_restore_that_is_killed_goes_on(shop: Workshop, studio: Studio, copy: dict[str, bytes]) -> None:
    key = large(shop)
    size = len(shop.objects()[key].data)
    assert size > 2 * CUT
    shop.gcs.script.add(Fault(path="/download/", key=f"{PREFIX}/{key}", cut=CUT))
    killed_restore(shop, Fault(path="/download/", key=f"{PREFIX}/{key}"))
    place = studio.output / key
    assert not place.exists()
    (part,) = place.parent.glob(".r-*")
    assert part.stat().st_size == CUT
    before = check_none_is_half(shop, studio)
    assert shop.run("plan", "--json").document["actions"] == []

    for skipped in (3, 0, 11):
        shop.gcs.script.clear()
        killed_restore(shop, Fault(path="/download/", skip=skipped))
        there = check_none_is_half(shop, studio)
        assert there >= before + skipped
        before = there

    shop.gcs.script.clear()
    restored = shop.run("restore", "--yes", "--json")
    assert restored.code == 0, restored.out + restored.err
    jsonschema.validate(restored.document, schemas.schema("result"), cls=jsonschema.Draft202012Validator)
    assert restored.document["status"] == "success"
    back = files_below(studio.output)
    objects = shop.objects()
    assert {path: data for path, data in copy.items() if path in objects}.items() <= back.items()
    assert back.keys() == objects.keys()
    missing = copy.keys() - back.keys()
    skipped_files = {text for code, text in studio.expected_findings if code in ("unclaimed_file", "empty_file")}
    assert missing == skipped_files | {path for path in copy if path.endswith((".db", ".part", ".tmp"))}


def test_the_bytes_that_had_come_were_not_fetched_again(shop: Workshop, studio: Studio, copy: dict[str, bytes]) -> None:
    key = large(shop)
    (studio.output / key).unlink()
    shop.gcs.script.clear()
    shop.gcs.script.add(Fault(path="/download/", key=f"{PREFIX}/{key}", cut=CUT))
    killed_restore(shop, Fault(path="/download/", key=f"{PREFIX}/{key}"))
    shop.gcs.script.clear()
    restored = shop.run("restore", "--yes", "--json")

    assert (restored.code, restored.document["counts"]["applied"]) == (0, 1)
    (call,) = shop.gcs.script.calls("GET", "/download/")
    assert call.headers["range"] == f"bytes={CUT}-"
    assert restored.document["bytes"] == len(copy[key]) - CUT
    assert (studio.output / key).read_bytes() == copy[key]


def test_a_second_restore_does_nothing_and_the_plan_is_empty(
    shop: Workshop, studio: Studio, copy: dict[str, bytes]
) -> None:
    before = {path: (studio.output / path).stat().st_mtime_ns for path in files_below(studio.output)}
    shop.gcs.script.clear()
    second = shop.run("restore", "--yes", "--json")
    assert (second.code, second.document["outcomes"]) == (0, [])
    assert shop.gcs.script.calls("GET", "/download/") == []
    assert {path: (studio.output / path).stat().st_mtime_ns for path in files_below(studio.output)} == before

    plan = shop.run("plan", "--json", "--detailed-exitcode")
    assert (plan.code, plan.document["actions"]) == (0, [])
    assert "disappeared" not in plan.err
    assert shop.run("verify", "--json").code == 0


def test_a_local_file_with_other_bytes_is_left_alone_and_named(
    shop: Workshop, studio: Studio, copy: dict[str, bytes]
) -> None:
    ours, gone = sorted(path for path in copy if path.startswith("dances/") and path in shop.objects())[:2]
    (studio.output / ours).write_bytes(b"rendered anew, and not uploaded yet")
    os.utime(studio.output / ours, (1_700_000_000, 1_700_000_000))
    (studio.output / gone).unlink()
    shown = shop.run("restore", "--dry-run", "--json")
    jsonschema.validate(shown.document, schemas.schema("restore-plan"), cls=jsonschema.Draft202012Validator)
    assert [each["path"] for each in shown.document["actions"]] == [gone]
    assert not (studio.output / gone).exists()
    run = shop.run("restore", "--yes")

    assert run.code == 0, run.err
    assert ours in run.out
    assert "content_conflict" in run.out
    assert (studio.output / ours).read_bytes() == b"rendered anew, and not uploaded yet"
    assert (studio.output / gone).read_bytes() == copy[gone]
    verified = shop.run("verify", "--json")
    assert (verified.code, {each["code"] for each in verified.document["problems"]}) == (
        2,
        {"content_conflict", "foreign_uri"},
    )
    (studio.output / ours).write_bytes(copy[ours])
