"""The studio has the users' counts, and what it expects of a plan follows from the worlds that it hands out."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.kit.studio import LOCAL_DB, PREVIOUS_ROOT, Studio, build_studio, owner, spellings


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return build_studio(tmp_path_factory.mktemp("studio"))


def kind(key: str) -> str:
    folder, _, name = key.rpartition("/")
    if key.startswith("characters/"):
        return "cosplay" if name.endswith("_cosplay.png") and name != "mei_cosplay.png" else "anime"
    if key.startswith("dances/"):
        return "dance"
    if folder.endswith("/variants"):
        return "variant"
    starts = {"REMIX_": "remix", "[kpop]_": "kpop", "[orig]_": "orig", "generated_": "music", "icon_": "icon"}
    return next((value for start, value in starts.items() if name.startswith(start)), "watermarked")


def written(studio: Studio) -> list[str]:
    """Local files that a rule matches and that hold something."""
    skipped = {key for code, key in studio.expected_findings if code in {"unclaimed_file", "empty_file"}}
    return [key for key in studio.files if key not in skipped and not key.endswith((".db", ".part", ".tmp"))]


def test_it_has_the_users_counts(studio: Studio) -> None:
    counts = Counter(map(kind, written(studio)))
    assert (counts["anime"], counts["dance"]) == (121, 62)
    assert counts["remix"] == counts["kpop"] == counts["orig"] == 64
    assert counts["cosplay"] > 30
    assert (counts["watermarked"], counts["icon"]) == (60, 60)
    assert 45 <= counts["music"] <= 55
    assert len({key.split("/")[1] for key in studio.files if key.startswith("remixes/")}) == 64
    assert 490 <= sum(key.startswith("remixes/") for key in studio.files) <= 510


def test_files_are_on_disk_and_settled(studio: Studio) -> None:
    found = {path.relative_to(studio.output).as_posix() for path in studio.output.rglob("*") if path.is_file()}
    assert found == set(studio.files)
    assert max(path.stat().st_mtime for path in studio.files.values()) < 1_740_000_000
    assert json.loads((studio.root / LOCAL_DB).read_text("utf-8")) == studio.local_db


def test_uploads_are_just_the_files_that_the_bucket_lacks(studio: Studio) -> None:
    assert studio.expected_uploads == set(written(studio)) - set(studio.objects)
    assert len(studio.expected_uploads) > 100


def test_objects_hold_the_files_bytes_but_for_the_conflict(studio: Studio) -> None:
    both = studio.files.keys() & studio.objects.keys()
    differing = {key for key in both if studio.files[key].read_bytes() != studio.objects[key]}
    assert differing == {key for code, key in studio.expected_findings if code == "content_conflict"}


def test_with_the_expected_fields_every_known_asset_is_named_once_it_can_be(studio: Studio) -> None:
    """Applied by hand, the expected changes leave nothing to do: a check of the builder, not of the program."""
    there = studio.objects.keys() | studio.expected_uploads
    records = json.loads(json.dumps({**studio.records, **studio.expected_new_records}))
    for document, title, name, uri in studio.expected_fields:
        entries = records[document.removeprefix("characters/")].setdefault("assets", [])
        entry = next((entry for entry in entries if isinstance(entry, dict) and entry["title"] == title), None)
        if entry is None:
            entries.append(entry := {"title": title})
        assert entry.get(name) != uri
        entry[name] = uri
        assert uri.removeprefix(f"{studio.bucket_uri}/") in there
    texts = [
        value
        for fields in records.values()
        for entry in fields["assets"]
        if isinstance(entry, dict)
        for value in entry.values()
        if isinstance(value, str)
    ]
    left = [text for text in texts if text.startswith(("C:", "c:", "\\", "/", " ", "file:", "output/", "characters/"))]
    lost = rf"{PREVIOUS_ROOT}\dances\dance_zero_two_lost.mp4"
    assert sorted(left) == sorted([lost, r"C:\Users\mei\Desktop\sketch.png"])
    named = {text.removeprefix(f"{studio.bucket_uri}/") for text in texts if text.startswith(studio.bucket_uri)}
    assert named <= there
    unnamed = {kind(key) for key in written(studio) if key not in named and "_encore/" not in key}
    assert unnamed <= {"anime", "remix"}


def test_every_spelling_occurs(studio: Studio) -> None:
    texts = {
        value
        for fields in studio.records.values()
        for entry in fields.get("assets", ())
        if isinstance(entry, dict)
        for value in entry.values()
        if isinstance(value, str)
    }
    for spelled in spellings():
        assert any(spelled(key) in texts for key in studio.files), spelled("characters/x.png")


def test_one_seed_gives_one_world_and_another_seed_another(tmp_path: Path) -> None:
    first, again, other = (
        build_studio(tmp_path / name, seed=seed, scale=0) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first.objects == again.objects
    assert first.records == again.records
    assert first.expected_fields == again.expected_fields
    assert first.expected_fields != other.expected_fields
    assert first.objects != other.objects


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rem_2_02", "rem_2"),
        ("rem_20", "rem"),
        ("remi_x", "remi"),
        ("ai-x", "ai"),
        ("ai_hoshino", "ai_hoshino"),
        ("a", None),
    ],
)
def test_owner_is_the_longest_id_at_a_boundary(name: str, expected: str | None) -> None:
    assert owner(name, {"rem", "rem_2", "remi", "ai", "ai_hoshino"}) == expected
