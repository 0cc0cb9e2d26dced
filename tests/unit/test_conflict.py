"""A conflict has a way out: both sides are shown, and each command that is shown does what it says."""

from __future__ import annotations

import re
import shlex
import unicodedata
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reconcile.core.leftovers import leftover
from reconcile.core.restoration import name_beside
from reconcile.core.rows import LocalFile
from reconcile.core.sides import local_side, quoted, side_text
from tests.kit.small_project import open_objects, put, write

SPACED = "remixes/ai_hoshino_x/result/[kpop]_x y.mp4"
ODD = 'remixes/ai_hoshino_x/result/[kpop]_$x `y` "z" !.mp4'
KEYS = (SPACED, ODD)
TO_DO = {"upload", "replace"}


@pytest.fixture
def conflict(project: Path) -> Path:
    """Two assets whose file and object differ, and nothing says which one is meant."""
    for key in KEYS:
        write(project, key, b"mine")
        with closing(open_objects(project)) as objects:
            put(objects, key, b"theirs!")
    return project


def commands(finding: dict[str, Any]) -> list[list[str]]:
    return [shlex.split(each)[1:] for each in re.findall(r"`(reconcile .*?)`(?=[,;]|$)", finding["hint"])]


def finding_of(run: Any, key: str) -> dict[str, Any]:
    (found,) = run("explain", key, "--json").document("explain")["findings"]
    assert found["code"] == "content_conflict"
    return found


def file(project: Path, key: str) -> Path:
    return project / "output" / key


def held(project: Path, key: str) -> bytes:
    with closing(open_objects(project)) as objects:
        return b"".join(objects.read(key))


def test_a_conflict_shows_both_sides(run: Any, conflict: Path) -> None:
    said = finding_of(run, SPACED)["message"]
    assert "here 4 bytes, 2023-11-14T22:13:20Z, video/mp4" in said
    assert re.search(r"in the bucket 7 bytes, 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ, video/mp4", said)
    text = run("explain", SPACED).out
    assert "2023-11-14T22:13:20Z  video/mp4" in text
    assert re.search(r"Bucket .*Z  video/mp4  crc32c", text)
    assert f'reconcile apply --path "{SPACED}" --replace local' in text.replace("\n", " ")


@pytest.mark.parametrize("key", KEYS)
def test_the_command_that_keeps_the_local_file_replaces_that_object_alone(run: Any, conflict: Path, key: str) -> None:
    keep = commands(finding_of(run, key))[0]
    assert run(*keep, "--yes").code == 0
    assert held(conflict, key) == b"mine"
    (other,) = {*KEYS} - {key}
    assert held(conflict, other) == b"theirs!"


@pytest.mark.parametrize("key", KEYS)
def test_the_command_that_looks_writes_the_buckets_version_beside_the_file(run: Any, conflict: Path, key: str) -> None:
    look = commands(finding_of(run, key))[1]
    assert run(*look, "--yes").code == 0
    beside = file(conflict, name_beside(key))
    assert (beside.read_bytes(), file(conflict, key).read_bytes()) == (b"theirs!", b"mine")
    # It is no media of ours, and to have looked is not to have chosen.
    plan = run("plan", "--json").document("plan")
    assert not [each for each in plan["actions"] if "bucket.mp4" in (each.get("key") or "")]
    assert not [each for each in plan["findings"] if "bucket.mp4" in each["subject"]]
    finding_of(run, key)
    again = run(*look, "--yes", "--json").document("result")
    assert [each["outcome"] for each in again["outcomes"]] == ["already"]


def test_the_command_that_keeps_the_buckets_version_brings_it_back(run: Any, conflict: Path) -> None:
    last = commands(finding_of(run, SPACED))[2]
    file(conflict, SPACED).rename(conflict / "aside.mp4")
    assert run(*last, "--yes").code == 0
    assert file(conflict, SPACED).read_bytes() == b"theirs!"


def test_what_is_beside_the_file_already_is_not_overwritten(run: Any, conflict: Path) -> None:
    write(conflict, name_beside(SPACED), b"somebody's own")
    assert run("restore", "--path", SPACED, "--beside", "--yes").code != 0
    assert file(conflict, name_beside(SPACED)).read_bytes() == b"somebody's own"


def test_without_beside_a_file_that_differs_is_left_alone_and_the_command_is_named(run: Any, conflict: Path) -> None:
    plan = run("restore", "--path", SPACED, "-n", "--json").document("restore-plan")
    assert plan["actions"] == []
    assert f'--path "{SPACED}" --beside' in plan["findings"][0]["hint"]


@pytest.mark.parametrize(
    ("path", "beside"),
    [
        ("a/b c.mp4", "a/b c.bucket.mp4"),
        ("x.tar.gz", "x.tar.bucket.gz"),
        ("a.d/plain", "a.d/plain.bucket"),
        ("a/.hidden", "a/.hidden.bucket"),
    ],
)
def test_a_version_beside_a_file_has_its_ending_and_is_left_out(path: str, beside: str) -> None:
    assert name_beside(path) == beside
    assert leftover(beside.rpartition("/")[2]) is not None


@pytest.mark.parametrize(
    "word", ["a b", "[x]", "a'b", "a;b", "*", "x&y|z", "$HOME", "`x`", '"', "a\\b", "!x", "~x", "é", ""]
)
def test_a_word_is_quoted_for_a_shell(word: str) -> None:
    assert shlex.split(quoted(word)) == [word]


def test_a_time_that_no_calendar_has_is_left_out() -> None:
    assert side_text(*local_side(LocalFile("a.png", 1, 10**30))) == "1 bytes, image/png"


# -- the scope --


def test_a_path_is_taken_in_any_spelling(run: Any, project: Path) -> None:
    key = "characters/ai_hoshino.png"
    for spelling in (
        key,
        f"gs://my-bucket/anime_dance/{key}",
        str(project / "output" / key),
        rf"C:\oo\bar\output\{key}",
    ):
        plan = run("plan", "--json", "--path", spelling).document("plan")
        assert plan["scope"]["paths"] == [key]
        assert {each["key"] for each in plan["actions"]} == {key}


def test_several_paths_are_several_assets(run: Any, conflict: Path) -> None:
    found = run("apply", "-n", "--json", "--path", SPACED, "--path", ODD, "--replace", "local").document("plan")
    assert sorted(each["key"] for each in found["actions"] if each["kind"] in TO_DO) == sorted(KEYS)


def test_a_decomposed_path_is_the_composed_asset(run: Any, project: Path) -> None:
    write(project, "characters/é.png", b"x")
    plan = run("plan", "--json", "--path", unicodedata.normalize("NFD", "characters/é.png")).document("plan")
    assert plan["scope"]["paths"] == ["characters/é.png"]


@pytest.mark.parametrize("command", ["plan", "status", "apply"])
def test_a_path_of_which_nothing_is_known_is_refused(run: Any, project: Path, command: str) -> None:
    answer = run(command, "--json", "--path", "characters/nobody.png")
    assert answer.code == 64
    assert "'characters/nobody.png' is neither a local file nor in the bucket" in answer.document("error")["message"]


def test_a_path_that_is_no_asset_of_the_project_is_refused(run: Any, project: Path) -> None:
    assert run("plan", "--json", "--path", "gs://other/x.png").code == 64
    assert run("plan", "--json", "--path", "/etc/passwd").code == 64


def test_the_counts_of_one_asset_are_its_own(run: Any, project: Path) -> None:
    rows = run("status", "--json", "--path", "characters/rem.png").document("status")["rows"]
    assert [row["local"] for row in rows if row["local"]] == [1]


def test_a_proof_and_a_report_are_of_the_asset_alone(run: Any, project: Path, tmp_path: Path) -> None:
    verified = run("verify", "--json", "--path", "characters/rem.png").document("verify")
    assert (verified["checked"], verified["ok"], verified["problems"]) == (1, 1, [])
    page = tmp_path / "page.html"
    assert run("report", "--path", "characters/rem.png", "--out", str(page)).code == 0
    assert "characters/ai_hoshino.png" not in page.read_text(encoding="utf-8")
