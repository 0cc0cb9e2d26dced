"""Bad input and bad luck: the contract's exit code, one sentence that helps, nothing written, never a traceback."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import grpc
import pytest

from reconcile.commands.demo import build
from tests.kit.embedded import EmbeddedRecords
from tests.kit.workshop import Run, reconcile, snapshot
from tests.servers.faults import FOREVER, Fault
from tests.servers.firestore import FirestoreServer
from tests.servers.gcs import GcsServer

RULES = Path("rules") / "asset_map.toml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The demo's studio: a whole project with much to do, on embedded stores, and no wait for its new files."""
    build(tmp_path / "project")
    edit_rules(tmp_path / "project", "settle = 2.0", "settle = 0.0")
    return tmp_path / "project"


def edit_rules(folder: Path, old: str, new: str) -> int:
    """Changes the rules; returns the line."""
    path = folder / RULES
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def refused(folder: Path, code: int, says: str, *arguments: str, **options: Any) -> Run:
    """Runs plan and apply, as text and as JSON: the code, the sentence, no traceback, nothing changed."""
    before = snapshot(folder)
    run = reconcile(folder, *(arguments or ("apply", "--yes")), **options)
    assert run.code == code, run.out + run.err
    assert re.search(says, run.err), run.err
    assert run.out == ""
    assert "Traceback" not in run.err
    as_json = reconcile(folder, *(arguments or ("apply", "--yes")), "--json", **options)
    assert as_json.code == code
    error = as_json.document
    assert error["format"] == "reconcile.error/1"
    assert re.search(says, error["message"] + " " + error["hint"])
    assert error["code"]
    assert snapshot(folder) == before
    return run


def unknown(folder: Path, says: str, *options: str) -> None:
    """A store that denies: exit 1, one sentence on stderr, a plan that says that it is incomplete, no write."""
    before = snapshot(folder)
    run = reconcile(folder, "plan", *options)
    assert run.code == 1
    assert len(re.findall(says, run.err)) == 1, run.err
    assert "Traceback" not in run.err
    plan = reconcile(folder, "plan", "--json", *options).document
    assert not plan["complete"]
    assert "unreadable_scope" in {finding["code"] for finding in plan["findings"]}
    assert [action for action in plan["actions"] if action["kind"] != "upload"] == []
    assert snapshot(folder) == before


def test_rules_that_are_torn(folder: Path) -> None:
    line = edit_rules(folder, "settle = 0.0", "settle = ")
    refused(folder, 78, rf"asset_map\.toml:{line}: is not TOML")


def test_rules_with_an_unknown_key(folder: Path) -> None:
    line = edit_rules(folder, "settle = 0.0", "setle = 0.0")
    refused(folder, 78, rf"asset_map\.toml:{line}: unknown key 'setle'")
    refused(folder, 78, "did you mean 'settle'", "plan")


def test_rules_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", 78, "reconcile init", "plan")


def test_a_root_that_is_not_there(folder: Path) -> None:
    edit_rules(folder, 'root = "output"', 'root = "outptu"')
    refused(folder, 1, "outptu")


def test_a_project_folder_that_is_not_there(folder: Path) -> None:
    refused(folder, 64, "nowhere", "plan", "-C", "nowhere")


def test_a_torn_local_database(folder: Path) -> None:
    path = folder / "data" / "characters.json"
    path.write_bytes(path.read_bytes()[:-40])
    refused(folder, 78, "characters.json")


def test_an_unknown_character(folder: Path) -> None:
    refused(folder, 64, "ai_hosino", "apply", "--yes", "--char-id", "ai_hosino")


def test_an_unknown_asset_type(folder: Path) -> None:
    refused(folder, 64, "cosplay_image", "apply", "--yes", "--asset-type", "cosplay")


@pytest.mark.parametrize(
    "arguments", [("aply",), ("plan", "--no-such"), ("apply", "--concurrency", "many"), ("plan", "x")]
)
def test_a_wrong_command_line(folder: Path, arguments: tuple[str, ...]) -> None:
    refused(folder, 64, "", *arguments)


def test_a_plan_file_that_is_torn(folder: Path) -> None:
    saved = folder / "plan.json"
    assert reconcile(folder, "plan", "--out", "plan.json", "--quiet").code == 0
    saved.write_bytes(saved.read_bytes()[:-100])
    refused(folder, 64, "plan.json", "apply", "plan.json", "--yes")


def test_a_plan_file_that_is_not_there(folder: Path) -> None:
    refused(folder, 64, "plan.json", "apply", "plan.json", "--yes")


def test_a_plan_file_of_another_project(folder: Path, tmp_path: Path) -> None:
    build(tmp_path / "other")
    assert reconcile(tmp_path / "other", "plan", "--out", str(folder / "plan.json"), "--quiet").code == 0
    refused(folder, 64, "the plan was made for", "apply", "plan.json", "--yes")


def test_a_plan_file_of_a_later_format(folder: Path) -> None:
    reconcile(folder, "plan", "--out", "plan.json", "--quiet")
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    (folder / "plan.json").write_text(json.dumps({**plan, "format": "reconcile.plan/2"}), encoding="utf-8")
    refused(folder, 64, "reconcile.plan/2", "apply", "plan.json", "--yes")


def test_a_plan_file_edited_to_write_another_document(folder: Path) -> None:
    reconcile(folder, "plan", "--out", "plan.json", "--quiet")
    text = (folder / "plan.json").read_text(encoding="utf-8")
    (folder / "plan.json").write_text(text.replace('"characters/rem_2"', '"settings/rem_2"'), encoding="utf-8")
    refused(folder, 64, "plan", "apply", "plan.json", "--yes")


def test_init_overwrites_nothing(folder: Path) -> None:
    refused(folder, 64, "asset_map.toml", "init")


# -- stores --


def test_a_bucket_that_denies(folder: Path) -> None:
    with GcsServer() as server:
        server.world.make_bucket("my-bucket")
        server.script.add(Fault(path="/storage/", status=403, reason="forbidden", times=FOREVER))
        unknown(folder, "nothing of the bucket may be read", "--bucket-endpoint", server.url)
        assert server.world.commits == []


def test_a_database_that_denies(folder: Path, firestore_server: FirestoreServer) -> None:
    for method in ("RunQuery", "BatchGetDocuments", "ListDocuments"):
        firestore_server.fault(method, before=grpc.StatusCode.PERMISSION_DENIED, times=FOREVER)
    unknown(folder, "nothing of the records may be read", "--records-endpoint", firestore_server.address)


def test_records_that_are_not_shaped_like_records(folder: Path) -> None:
    records = EmbeddedRecords.open(folder / "cloud" / "records" / "my-project" / "(default)", "characters")
    records.put("rem", {"name": "Rem", "assets": "none"})
    records.put("rem_2", {"name": "Rem", "assets": [7, {"title": "primary"}, {"title": "primary"}]})
    records.close()
    run = reconcile(folder, "plan", "--json")
    assert run.code == 0
    malformed = [each["subject"] for each in run.document["findings"] if each["code"] == "malformed_record"]
    assert set(malformed) == {"characters/rem", "characters/rem_2"}
    assert reconcile(folder, "apply", "--yes", "--quiet").code == 0
    again = reconcile(folder, "plan", "--json", "--detailed-exitcode")
    assert (again.code, again.document["actions"]) == (0, [])


def test_a_root_that_has_lost_every_file_is_said_loudly(folder: Path) -> None:
    assert reconcile(folder, "apply", "--yes", "--quiet").code == 0
    for path in (folder / "output").rglob("*"):
        if path.is_file():
            path.unlink()
    run = reconcile(folder, "plan", "--detailed-exitcode")
    assert run.code == 0
    assert re.search(r"output holds no file that a rule matches; the last run saw \d+", run.err)
