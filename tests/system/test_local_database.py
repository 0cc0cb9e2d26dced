"""The pipeline's own JSON database: gs:// URIs where the rules allow it, and nothing else of the file changed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reconcile.commands.demo import build
from reconcile.config.environment import RULES
from reconcile.config.settings import template
from tests.kit.small_project import open_records, write
from tests.kit.workshop import Run, reconcile


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build(tmp_path / "project")
    rules = tmp_path / "project" / "rules" / "asset_map.toml"
    rules.write_text(rules.read_text("utf-8").replace("rewrite = false", "rewrite = true"), encoding="utf-8")
    return tmp_path / "project"


def test_only_the_paths_in_it_change(folder: Path) -> None:
    path = folder / "data" / "characters.json"
    before = path.read_bytes().replace(b"\n", b"\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + before)
    run = reconcile(folder, "apply", "--yes", "--json")
    assert run.code == 0, run.out
    rewrites = [each for each in run.document["outcomes"] if each["kind"] == "rewrite_local_db"]
    assert len(rewrites) >= 6
    assert {each["outcome"] for each in rewrites} == {"applied"}

    old, new = before.decode().split("\r\n"), path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode().split("\r\n")
    assert path.read_bytes().startswith(b"\xef\xbb\xbf{\r\n")
    changed = [(one, other) for one, other in zip(old, new, strict=True) if one != other]
    assert len(changed) == len(rewrites)
    for one, other in changed:
        assert re.match(r'\s+"\w+": "([A-Za-z]:|output/)', one)
        assert re.match(r'\s+"\w+": "gs://my-bucket/anime_dance/', other)
        assert one.partition('": "')[0] == other.partition('": "')[0]
    assert any("dance_rem_lost" in line for line in new)

    written = path.read_bytes()
    again = reconcile(folder, "plan", "--json", "--detailed-exitcode")
    assert (again.code, again.document["actions"]) == (0, [])
    assert reconcile(folder, "apply", "--yes", "--quiet").code == 0
    assert path.read_bytes() == written


# -- a smaller project, for one thing at a time -----------------------------------------------------------------------

PATH = r"C:\\oo\\bar\\output\\characters\\rem.png"
URI = "gs://my-bucket/anime_dance/characters/rem.png"
VIDEOS = ("dances/dance_rem_a.mp4", "dances/dance_rem_b.mp4")


def project(folder: Path, database: bytes | str | None, *files: str, record: dict[str, Any] | None = None) -> Path:
    """A project on embedded stores with this local database, which is to be rewritten, and rules without ``many``."""
    rules = re.sub(r'(?m)^endpoint = ""', 'endpoint = "file:stores"', template().replace("settle = 2.0", "settle = 0"))
    rules = rules.replace('index = "asset_types"', 'index = ""')  # counted here is what the database comes to
    rules = re.sub(r"(?m)^# (?=\[local_db\]|path = |rewrite = )", "", rules)
    rules = rules.replace("rewrite = false", "rewrite = true").replace('many = "newest"\n', "")
    (folder / "rules").mkdir(parents=True)
    (folder / RULES).write_text(rules, encoding="utf-8")
    (folder / "data").mkdir()
    if database is not None:
        (folder / "data" / "characters.json").write_bytes(
            database if isinstance(database, bytes) else database.encode()
        )
    for file in files or ("characters/rem.png",):
        write(folder, file, file.encode())
    records = open_records(folder)
    if record is not None:
        records.put("rem", record)
    records.close()
    return folder


def record_of_rem(folder: Path) -> Any:
    records = open_records(folder)
    found = [document.fields["assets"] for document in records.read(["rem"])]
    records.close()
    return found[0] if found else None


def outcomes(run: Run) -> dict[str, list[str]]:
    """The outcomes of a run by the kind of change, but for uploads."""
    found: dict[str, list[str]] = {}
    for each in run.document["outcomes"]:
        if each["kind"] != "upload":
            found.setdefault(each["kind"], []).append(each["outcome"])
    return found


def codes(run: Run) -> list[str]:
    return [finding["code"] for finding in run.document["findings"]]


def identity(path: Path) -> tuple[int, int, bytes]:
    return path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()


MAP = f'{{"title": "primary", "anime_image": "{PATH}"}}'
LAYOUTS = {
    "a BOM, CRLF, tabs, no last newline": '\ufeff{\r\n\t"rem": {\r\n\t\t"assets": [\r\n\t\t\t%s ]\r\n\t}\r\n}',
    "lines that end in CR": '{\r "rem": {\r  "assets": [\r   %s\r  ]\r }\r}\r',
    "trailing blanks, and keys in an order of their own": '\n{ "rem" :{"z":1e0 ,"assets" : [%s  ] ,"a":1.50 } }   \n\n',
    "keys that stand twice": '{"rem": {"n": 1, "n": 2, "assets": [], "assets": [%s]}}',
    "escapes": '{"rem": {"u": "a\\/b", "name": "\\u30ec\\u30e0 \\ud83d\\ude00", "assets": [%s]}}',
    "letters that are not ASCII": '{"rem": {"name": "レム", "assets": [%s]}}',
    "a list by id": '[\n  {"id": "rem", "assets": [%s]}\n]\n',
    "a list by char_id, with numbers for ids": '[\n  {"assets": [%s], "char_id": "rem", "id": 17}\n]\n',
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_record_is_made_and_the_one_value_rewritten_in_any_layout(tmp_path: Path, layout: str) -> None:
    before = layout % MAP
    folder = project(tmp_path / "p", before)
    path = folder / "data" / "characters.json"
    run = reconcile(folder, "apply", "--yes", "--json")
    assert (run.code, run.document["findings"]) == (0, []), run.out
    assert outcomes(run) == {"create_record": ["applied"], "rewrite_local_db": ["applied"]}
    assert path.read_bytes().decode() == before.replace(PATH, URI)
    assert record_of_rem(folder) == [{"title": "primary", "anime_image": URI}]

    after = identity(path)
    again = reconcile(folder, "apply", "--yes", "--json")
    assert (again.code, again.document["outcomes"]) == (0, [])
    assert identity(path) == after


@pytest.mark.parametrize(
    "number", ["NaN", "-Infinity", "1e400", "123456789012345678901234567890", "[9223372036854775808]"]
)
def test_a_number_that_no_record_can_hold_is_found_and_the_file_keeps_it(tmp_path: Path, number: str) -> None:
    before = f'{{"rem": {{"seed": {number}, "assets": [{MAP}]}}}}'
    folder = project(tmp_path / "p", before)
    for kinds in ({"rewrite_local_db": ["applied"]}, {}):
        run = reconcile(folder, "apply", "--yes", "--json")
        assert (run.code, outcomes(run), codes(run)) == (0, kinds, ["malformed_record"]), run.out
        assert "`seed`" in run.document["findings"][0]["message"]
    assert (folder / "data" / "characters.json").read_text() == before.replace(PATH, URI)
    assert record_of_rem(folder) is None


def test_a_text_in_a_list_that_a_plan_cannot_hold_is_put_right_by_itself(tmp_path: Path) -> None:
    before = f'{{"rem": {{"assets": [{{"title": "primary", "anime_image": ["{PATH}", NaN]}}]}}}}'
    folder = project(tmp_path / "p", before, record=json.loads(before)["rem"])
    run = reconcile(folder, "apply", "--yes", "--json")
    made = {"set_field": ["applied"], "rewrite_local_db": ["applied"]}
    assert (run.code, outcomes(run), codes(run)) == (0, made, []), run.out
    uri = "gs://my-bucket/anime_dance/characters/rem.png"
    assert (folder / "data" / "characters.json").read_text() == before.replace(PATH, uri)


@pytest.mark.parametrize(
    ("held", "chosen"),
    [(None, None), (VIDEOS[0], VIDEOS[0]), (VIDEOS[1], VIDEOS[1]), ("dances/dance_rem_lost.mp4", None),
     ([VIDEOS[0]], VIDEOS[0]), (list(VIDEOS), None)],
)  # fmt: skip
def test_of_several_files_the_field_gets_the_one_that_the_local_database_names(
    tmp_path: Path, held: Any, chosen: str | None
) -> None:
    database = {"rem": {"assets": [{"title": "primary", "dance_video": held}]}}
    folder = project(tmp_path / "p", json.dumps(database), *VIDEOS, record={"assets": [{"title": "primary"}]})
    run = reconcile(folder, "plan", "--json")
    fields = [each["new"] for each in run.document["actions"] if each["kind"] == "set_field"]
    assert fields == ([f"gs://my-bucket/anime_dance/{chosen}"] if chosen else [])
    assert codes(run) == ([] if chosen else ["ambiguous_field"])


def test_where_the_two_name_different_files_the_record_counts_and_it_is_said(tmp_path: Path) -> None:
    uris = [f"gs://my-bucket/anime_dance/{video}" for video in VIDEOS]
    database = {"rem": {"assets": [{"title": "primary", "dance_video": uris[1]}]}}
    record = {"assets": [{"title": "primary", "dance_video": uris[0]}]}
    folder = project(tmp_path / "p", json.dumps(database), *VIDEOS, record=record)
    for kinds in ({"upload"}, set()):
        run = reconcile(folder, "apply", "--yes", "--json")
        assert {each["kind"] for each in run.document["outcomes"]} == kinds
        [finding] = run.document["findings"]
        assert (finding["code"], finding["severity"]) == ("database_differs", "info")
        assert finding["subject"] == "characters/rem"
        assert all(video in finding["message"] for video in VIDEOS)
    assert record_of_rem(folder) == record["assets"]
    assert json.loads((folder / "data" / "characters.json").read_text()) == database


def test_undo_gives_the_file_back_byte_for_byte(tmp_path: Path) -> None:
    before = f'\ufeff[\r\n\t{{"char_id": "rem", "assets": [{MAP}]}}\r\n]'
    folder = project(tmp_path / "p", before, record={"assets": [{"title": "primary", "anime_image": URI}]})
    path = folder / "data" / "characters.json"
    assert outcomes(reconcile(folder, "apply", "--yes", "--json")) == {"rewrite_local_db": ["applied"]}
    assert path.read_bytes().decode() == before.replace(PATH, URI)
    assert outcomes(reconcile(folder, "undo", "last", "--yes", "--json")) == {"rewrite_local_db": ["applied"]}
    assert path.read_bytes().decode() == before


@pytest.mark.parametrize("database", [None, b"", b" \n", '{"rem": {"assets": []}}'.encode("utf-16"), b'[{"id": 7}]'])
def test_what_is_no_database_stops_the_run_before_anything_is_written(tmp_path: Path, database: bytes | None) -> None:
    folder = project(tmp_path / "p", database)
    run = reconcile(folder, "apply", "--yes", "--json")
    assert (run.code, run.document["code"]) == (78, "local_database")
    assert "characters.json" in run.document["message"]
    assert record_of_rem(folder) is None
    if database is not None:
        assert (folder / "data" / "characters.json").read_bytes() == database


def test_a_file_that_is_read_only_fails_alone(tmp_path: Path) -> None:
    before = f'{{"rem": {{"assets": [{MAP}]}}}}'
    folder = project(tmp_path / "p", before)
    path = folder / "data" / "characters.json"
    path.chmod(0o444)
    run = reconcile(folder, "apply", "--yes", "--json")
    assert (run.code, outcomes(run)) == (1, {"create_record": ["applied"], "rewrite_local_db": ["failed"]})
    assert "read-only" in run.err
    assert path.read_text() == before


@pytest.mark.skipif(os.name == "nt", reason="links take a right of their own there")
def test_a_link_to_the_file_stays_one(tmp_path: Path) -> None:
    before = f'{{"rem": {{"assets": [{MAP}]}}}}'
    folder = project(tmp_path / "p", before)
    path, real = folder / "data" / "characters.json", tmp_path / "shared.json"
    path.replace(real)
    path.symlink_to(real)
    assert reconcile(folder, "apply", "--yes", "--quiet").code == 0
    assert path.is_symlink()
    assert real.read_text() == before.replace(PATH, URI)


# -- the pipeline, at the same moment -----------------------------------------------------------------------------

PIPELINE = """
import json, os, sys, time
path, save = sys.argv[1:]
saved = None
seen = []
while not os.path.exists(path + ".stop"):
    with open(path, "r+" if save == "same handle" else "r", encoding="utf-8") as file:
        data = json.load(file)
        seen.append((saved, data["rem"]["renders"]))
        saved = data["rem"]["renders"] = data["rem"]["renders"] + 1
        if save == "same handle":
            file.seek(0)
            file.write(json.dumps(data, indent=1))
            file.truncate()
    if save != "same handle":
        with open(path + ".tmp" if save == "renaming" else path, "w", encoding="utf-8") as file:
            json.dump(data, file, indent=1)
        if save == "renaming":
            os.replace(path + ".tmp", path)
    if len(seen) == 1:
        print("started", flush=True)
    time.sleep(0.005)
print(json.dumps({"saved": saved, "lost": [(old, new) for old, new in seen[1:] if old != new]}))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a moment is left between look and write")
@pytest.mark.parametrize("save", ["in place", "renaming", "same handle"])
def test_no_update_of_a_pipeline_that_writes_all_the_time_is_lost_or_seen_torn(tmp_path: Path, save: str) -> None:
    image = {"title": "primary", "anime_image": PATH.replace("\\\\", "\\")}
    database: dict[str, Any] = {f"c{number}": {"assets": [image]} for number in range(20)}
    database["rem"] = {"renders": 0, "assets": [image]}
    folder = project(tmp_path / "p", json.dumps(database, indent=1), record={"assets": [image]})
    path = folder / "data" / "characters.json"
    pipeline = subprocess.Popen(
        [sys.executable, "-c", PIPELINE, str(path), save], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert pipeline.stdout is not None
    assert pipeline.stdout.readline() == "started\n"
    run = reconcile(folder, "apply", "--yes", "--json", "--char-id", "rem")
    path.with_name(f"{path.name}.stop").touch()
    out, err = pipeline.communicate(timeout=60)
    assert (pipeline.returncode, err) == (0, ""), "it read a torn file"
    told = json.loads(out)
    # An update right at the exchange is out of its place until it has been put back: a reader who comes in that moment
    # finds the file as it was one update before.
    assert len(told["lost"]) <= 1
    assert all(seen == saved - 1 for saved, seen in told["lost"])
    assert json.loads(path.read_text())["rem"]["renders"] == told["saved"]
    # A pipeline that never rests may keep the file to itself for longer than it is waited for.
    assert outcomes(run) in (
        {"set_field": ["applied"], "rewrite_local_db": [outcome]} for outcome in ("applied", "failed")
    )
    names = {each.name for each in path.parent.iterdir() if not each.name.startswith("characters.json.kept-")}
    assert names - {"characters.json.tmp"} == {
        ".characters.json.lock",
        "characters.json",
        "characters.json.stop",
    }
    assert outcomes(reconcile(folder, "apply", "--yes", "--json", "--char-id", "rem")).keys() <= {"rewrite_local_db"}
    assert json.loads(path.read_text())["rem"]["assets"] == [{"title": "primary", "anime_image": URI}]
