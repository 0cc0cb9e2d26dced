"""The main job at the users' counts: the program as a process, a GCS server, and Firestore: the official emulator, and
the tests' own server, which is there on every machine."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.kit.studio import Studio, build_studio
from tests.kit.workshop import BUCKET, PREFIX, Run, Workshop, furnish, open_workshop
from tests.servers.firestore import FirestoreServer
from tests.servers.gcs import GcsServer


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
    with GcsServer() as server:
        yield server


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, gcs: GcsServer, firestore: str) -> Workshop:
    return open_workshop(tmp_path_factory.mktemp("users") / "project", gcs, firestore, index="asset_types")


@pytest.fixture(scope="module")
def studio(shop: Workshop) -> Studio:
    made = build_studio(shop.folder, bucket_uri=f"gs://{shop.bucket}/{PREFIX}")
    furnish(shop, made)
    return made


def of_kind(plan: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [action for action in plan["actions"] if action["kind"] == kind]


def uris_in(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value] if value.startswith("gs://") else []
    if isinstance(value, dict):
        value = list(value.values())
    return [uri for item in value for uri in uris_in(item)] if isinstance(value, list) else []


@dataclass(frozen=True)
class Story:
    """The users' world before a run, the plan that was shown, and what applying gave."""

    before: dict[str, tuple[dict[str, Any], str]]
    planned: Run
    between: tuple[dict[str, Any], set[str]]
    applied: Run


@pytest.fixture(scope="module")
def story(shop: Workshop, studio: Studio) -> Story:
    before = shop.records()
    planned = shop.run("plan", "--json", "--detailed-exitcode")
    between = (shop.records(), set(shop.objects()))
    return Story(before, planned, between, shop.run("apply", "--yes", "--json"))


def test_the_plan_is_exactly_the_drift(studio: Studio, story: Story) -> None:
    assert story.planned.code == 2, story.planned.err
    plan = story.planned.document
    assert {action["key"] for action in of_kind(plan, "upload")} == studio.expected_uploads
    indexed = [each for each in of_kind(plan, "set_field") if each.get("at") == ["asset_types"]]
    others = [each for each in of_kind(plan, "set_field") if each not in indexed]
    fields = {(each["document"], each["entry"], each["field"], each["new"]) for each in others}
    assert fields == studio.expected_fields
    assert {each["document"] for each in others} <= {each["document"] for each in indexed}
    created = {each["document"].removeprefix("characters/"): each["fields"] for each in of_kind(plan, "create_record")}
    assert created == studio.expected_new_records
    assert not of_kind(plan, "replace")
    found = {(finding["code"], finding["subject"]) for finding in plan["findings"]}
    for code, text in studio.expected_findings:
        assert any(code == each and text in subject for each, subject in found), (code, text)


def test_a_plan_changes_nothing(studio: Studio, story: Story) -> None:
    assert story.between == (story.before, set(studio.objects))


def test_apply_mends_the_drift(shop: Workshop, studio: Studio, story: Story) -> None:
    assert story.applied.code == 0, story.applied.out + story.applied.err
    report = story.applied.document
    assert report["status"] == "success"
    assert report["counts"]["applied"] == len(story.planned.document["actions"])
    records = shop.records()
    for document, _entry, field, new in studio.expected_fields:
        entries = records[document.removeprefix("characters/")][0]["assets"]
        assert new in [entry.get(field) for entry in entries if isinstance(entry, dict)]
    for action in story.planned.document["actions"]:
        if action.get("at") == ["asset_types"]:
            assert action["asset_type"] in records[action["char_id"]][0]["asset_types"]


def test_every_reference_resolves_to_the_right_bytes(shop: Workshop, studio: Studio, story: Story) -> None:
    objects = shop.objects()
    for key in studio.expected_uploads:
        assert objects[key].data == studio.files[key].read_bytes(), key
    named = [uri for fields, _ in shop.records().values() for uri in uris_in(fields)]
    ours = {uri.removeprefix(f"{studio.bucket_uri}/") for uri in named if uri.startswith(studio.bucket_uri)}
    lost_before = {
        uri.removeprefix(f"{studio.bucket_uri}/") for fields, _ in story.before.values() for uri in uris_in(fields)
    } - set(objects)
    assert ours - set(objects) <= lost_before
    conflicts = {text for code, text in studio.expected_findings if code in {"content_conflict", "empty_file"}}
    for key in ours & set(studio.files) - conflicts:
        assert objects[key].data == studio.files[key].read_bytes(), key


def test_a_second_run_changes_nothing(shop: Workshop, story: Story) -> None:
    records = shop.records()
    generations = {key: stored.generation for key, stored in shop.objects().items()}
    second = shop.run("plan", "--json", "--detailed-exitcode")
    assert (second.code, second.document["actions"]) == (0, [])
    assert shop.run("apply", "--yes", "--json").code == 0
    assert {key: stored.generation for key, stored in shop.objects().items()} == generations
    assert shop.records() == records


def test_what_else_a_record_holds_is_kept(shop: Workshop, studio: Studio, story: Story) -> None:
    """Every field of every map that no change named is as it was written."""
    changed = {
        (document.removeprefix("characters/"), entry, field) for document, entry, field, _ in studio.expected_fields
    }
    records = shop.records()
    for char_id, fields in studio.records.items():
        now = records[char_id][0]
        assert {name: now[name] for name in fields if name != "assets"} == {
            name: value for name, value in fields.items() if name != "assets"
        }
        for before, after in zip(fields.get("assets") or [], now.get("assets") or [], strict=False):
            if not isinstance(before, dict):
                assert after == before
                continue
            for field, value in before.items():
                if (char_id, before.get("title"), field) not in changed:
                    assert after[field] == value, (char_id, before.get("title"), field)


def test_status_counts_what_is_there(shop: Workshop, story: Story) -> None:
    rows = {row["asset_type"]: row for row in shop.run("status", "--json").document["rows"]}
    # characters/mei_cosplay.png could be either kind of image, and counts as the one whose rule stands first.
    assert rows["anime_image"]["local"] == 121 - 1
    assert all(row["to_do"] == 0 for row in rows.values())


def test_one_character_is_brought_in_step_alone(tmp_path: Path, gcs: GcsServer, firestore: str) -> None:
    shop = open_workshop(tmp_path / "project", gcs, firestore, index="asset_types")
    studio = build_studio(shop.folder, seed=3, scale=0.1, bucket_uri=f"gs://{shop.bucket}/{PREFIX}")
    furnish(shop, studio)
    whole = shop.run("plan", "--json").document
    for char_id in ("ai_hoshino", "rem", "rem_2"):
        scoped = shop.run("plan", "--json", "--char-id", char_id).document
        wanted = {action["id"] for action in whole["actions"] if action["char_id"] == char_id}
        assert {action["id"] for action in scoped["actions"]} == wanted

    others = {char_id: record for char_id, record in shop.records().items() if char_id != "rem_2"}
    assert shop.run("apply", "--yes", "--char-id", "rem_2", "--json").code == 0
    assert {char_id: record for char_id, record in shop.records().items() if char_id != "rem_2"} == others
    assert shop.run("plan", "--json", "--char-id", "rem_2", "--detailed-exitcode").code == 0


def test_a_bucket_that_is_not_there_is_said(shop: Workshop) -> None:
    uri = f"gs://{BUCKET}-{uuid.uuid4().hex}/x"
    run = shop.run("plan", "--bucket-uri", uri)
    assert run.code == 1
    assert uri.split("/")[2] in run.err
    assert "Traceback" not in run.err
