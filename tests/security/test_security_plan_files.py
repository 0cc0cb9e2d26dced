"""Whoever edits a saved plan, and knows how its fingerprint is made: it reaches nothing that the rules do not give."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reconcile.core.changes import Change, CreateRecord, Need, Reason, SetField, Upload
from tests.kit.small_project import make_project, open_records, write
from tests.security.attack import bucket, forge, records, run

IMAGE = "characters/ai_hoshino.png"
Edit = Callable[[Change], Iterable[Change]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    made = make_project(tmp_path / "studio")
    (tmp_path / "studio" / "secret.png").write_bytes(b"a" * 48_211)  # beside the root, with the bytes planned
    return made


def uploads(**changed: Any) -> Edit:
    return lambda change: [
        msgspec.structs.replace(change, **changed) if isinstance(change, Upload) and change.key == IMAGE else change
    ]


def sets(**changed: Any) -> Edit:
    return lambda change: [
        msgspec.structs.replace(change, **changed) if isinstance(change, SetField) and change.key == IMAGE else change
    ]


def creates(document: str) -> Edit:
    made = CreateRecord(id="x", char_id="evil", reason=Reason.MISSING_RECORD, document=document, fields={}, needs=())
    return lambda change: [change, made] if isinstance(change, Upload) and change.key == IMAGE else [change]


OTHER = "gs://my-bucket/anime_dance/characters/rem.png"


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(
            uploads(key="../secret.png", uri="gs://my-bucket/anime_dance/../secret.png"), id="out of the root"
        ),
        pytest.param(uploads(key="/etc/passwd", uri="gs://my-bucket/anime_dance//etc/passwd"), id="an absolute path"),
        pytest.param(uploads(uri="gs://my-bucket/secret.png"), id="outside the prefix"),
        pytest.param(uploads(uri=f"gs://other-bucket/anime_dance/{IMAGE}"), id="another bucket"),
        pytest.param(uploads(if_generation_match=7), id="over an object"),
        pytest.param(sets(document="users/admin"), id="another collection"),
        pytest.param(sets(document="characters/rem/private/x"), id="below a document"),
        pytest.param(sets(document="characters/../users"), id="a document that climbs"),
        pytest.param(sets(needs=()), id="no needs"),
        pytest.param(sets(new=OTHER), id="another object than is needed"),
        pytest.param(sets(new="https://evil.example/x.png"), id="another site"),
        pytest.param(sets(new=None), id="nothing"),
        pytest.param(creates("users/evil"), id="a record elsewhere"),
    ],
)
def test_a_plan_that_trespasses_is_refused_whole(project: Path, edit: Edit) -> None:
    before = records(project)
    done = forge(project, edit)
    assert done.code == 64
    assert done.document["code"] == "usage"
    assert set(bucket(project)) == {"characters/rem.png"}
    assert records(project) == before


def test_a_plan_cannot_upload_another_file_than_the_rule_of_its_type_takes(project: Path) -> None:
    """The file is there, below the root, and its size and checksum are right; but no rule matches it."""
    write(project, "notes/diary.txt", b"a" * 48_211)
    key = "notes/diary.txt"
    uri = f"gs://my-bucket/anime_dance/{key}"
    for asset_type in (None, "anime_image", "no_such_type"):
        done = forge(project, uploads(key=key, uri=uri, asset_type=asset_type))
        assert done.code == 3
        assert key not in bucket(project)


def test_a_plan_cannot_upload_other_bytes_under_a_name(project: Path) -> None:
    done = forge(project, uploads(size=100, crc32c="AAAAAA=="))
    assert done.code == 3
    assert IMAGE not in bucket(project)


def test_a_field_whose_object_has_not_the_planned_bytes_is_not_set(project: Path) -> None:
    before = records(project)["ai_hoshino"][0]["anime_image"]
    done = forge(project, sets(needs=(Need("characters/rem.png", "AAAAAA=="),), new=OTHER))
    assert done.code == 3
    assert records(project)["ai_hoshino"][0]["anime_image"] == before


def test_a_field_that_holds_something_else_is_not_set(project: Path) -> None:
    store = open_records(project)
    store.put("rem", {"assets": [{"title": "primary", "anime_image": OTHER, "note": "precious"}]})
    store.close()
    edit = sets(document="characters/rem", field="note", old="guessed wrong")
    assert forge(project, edit).code == 3
    assert records(project)["rem"][0]["note"] == "precious"


def test_a_record_that_the_local_database_does_not_hold_is_not_made(project: Path) -> None:
    done = forge(project, creates("characters/evil"))
    assert done.code == 3
    assert "evil" not in records(project)


@pytest.mark.parametrize("depth", [100_000, 2_000_000])
def test_a_plan_file_nested_without_end_is_refused_with_a_sentence(project: Path, depth: int) -> None:
    (project / "plan.json").write_bytes(b'{"format":"reconcile.plan/1","actions":' + b"[" * depth)
    done = run(project, "apply", "plan.json", "--yes", "--json")
    assert (done.code, done.document["code"]) == (64, "usage")


def test_texts_of_many_megabytes_cost_no_more_than_a_few_times_their_size(project: Path) -> None:
    size = 4_000_000
    shapes = ("a/", "\\\x08", "\\..", "%41/", "_-")
    texts = [shape * (size // len(shape)) for shape in shapes]
    database = {f"huge{at}": {"assets": [{"title": text, "anime_image": text}]} for at, text in enumerate(texts)}
    (project / "data").mkdir()
    (project / "data" / "characters.json").write_text(json.dumps(database), encoding="utf-8")
    rules = project / "rules" / "asset_map.toml"
    text = rules.read_text(encoding="utf-8").replace("# [local_db]", "[local_db]").replace("# path =", "path =")
    rules.write_text(text, encoding="utf-8")
    tracemalloc.start()
    try:
        done = run(project, "status", "--quiet", "--json")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert done.code == 0
    assert peak < 20 * size * len(shapes)


@pytest.mark.parametrize(
    "char_id", ["../../evil", "a/b", "..", "__x__", "evil\x1b[2J", "*", "{char_id}", "\u202erem", "x" * 2000]
)
def test_a_hostile_id_in_the_local_database_makes_no_record_elsewhere(project: Path, char_id: str) -> None:
    (project / "data").mkdir()
    entry = {"assets": [{"title": "primary", "anime_image": "characters/rem.png"}]}
    (project / "data" / "characters.json").write_text(json.dumps({char_id: entry}), encoding="utf-8")
    rules = project / "rules" / "asset_map.toml"
    text = rules.read_text(encoding="utf-8").replace("# [local_db]", "[local_db]").replace("# path =", "path =")
    rules.write_text(text, encoding="utf-8")
    before = {path for path in project.parent.rglob("*") if ".reconcile" not in path.parts}
    done = run(project, "apply", "--yes", "--json")
    assert done.document["format"] == "reconcile.result/1"
    assert set(records(project)) <= {"ai_hoshino", "rem", char_id}
    assert all("/" not in each for each in records(project))
    new = {path for path in project.parent.rglob("*") if ".reconcile" not in path.parts} - before
    assert all(path.is_relative_to(project / "stores") for path in new)


def with_database(project: Path, document: dict[str, Any]) -> None:
    (project / "data").mkdir()
    (project / "data" / "characters.json").write_text(json.dumps({"new": document}), encoding="utf-8")
    rules = project / "rules" / "asset_map.toml"
    text = rules.read_text(encoding="utf-8").replace("# [local_db]", "[local_db]").replace("# path =", "path =")
    rules.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    "fields",
    [
        {"age": 18, "assets": [{"title": "primary", "note": "x"}]},
        {"age": 17, "assets": [{"title": "evil", "note": "x"}]},
        {"age": 17, "name": "x", "assets": [{"title": "primary", "note": "x"}]},
        {"age": 17, "assets": [{"title": "primary", "note": "primary"}]},
        {"assets": [{"title": "primary", "note": "x"}]},
    ],
    ids=["a number", "a title", "a text elsewhere", "a text moved", "a number left out"],
)
def test_a_new_record_is_made_just_as_the_local_database_says(project: Path, fields: dict[str, Any]) -> None:
    with_database(project, {"age": 17, "assets": [{"title": "primary", "note": "x"}]})
    done = forge(
        project,
        lambda change: [msgspec.structs.replace(change, fields=fields) if isinstance(change, CreateRecord) else change],
    )
    assert done.code == 3
    assert "new" not in records(project)


def test_a_plan_cannot_change_what_tells_maps_apart(project: Path) -> None:
    assert forge(project, sets(field="title", old="primary")).code == 64
    assert records(project)["ai_hoshino"][0]["title"] == "primary"


def test_a_plan_cannot_do_without_the_checksum_of_what_a_field_needs(project: Path) -> None:
    before = records(project)["ai_hoshino"]
    edit = sets(needs=(Need("characters/rem.png", None),), new=OTHER)
    assert forge(project, edit).code == 3
    assert records(project)["ai_hoshino"][0]["anime_image"] == before[0]["anime_image"]


def test_a_plan_replaces_nothing_where_the_rules_say_never(project: Path) -> None:
    from reconcile.core.changes import Replace

    rules = project / "rules" / "asset_map.toml"
    rules.write_text(
        rules.read_text(encoding="utf-8").replace('replace = "safe"', 'replace = "never"'), encoding="utf-8"
    )

    def edit(change: Change) -> Iterable[Change]:
        if not isinstance(change, Upload) or change.key != IMAGE:
            return [change]
        kept = msgspec.structs.asdict(change) | {"if_generation_match": 7, "old_size": 1, "old_crc32c": None}
        return [Replace(**kept)]

    assert forge(project, edit).code == 64
