"""init with stores: former roots are guessed from the records, and the file that is written is sound."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import grpc
import pytest

from reconcile.config.environment import RULES
from reconcile.config.settings import load
from reconcile.core.guess import guess_roots
from tests.kit.embedded import EmbeddedRecords
from tests.kit.world import users_settings
from tests.servers.firestore import FirestoreServer

RECORDS = "firestore://p/(default)/c"


def roots_of(*texts: str) -> dict[str, int]:
    return guess_roots(
        [{"assets": [{"title": "x", "field": text}]} for text in texts], users_settings().asset_map
    ).roots


def test_roots_are_what_stands_before_a_path_that_a_rule_takes() -> None:
    assert roots_of(
        r"C:\oo\bar\output\characters\rem.png",
        r"c:\OO\bar\output\characters\ai.png",
        r"C:\oo\bar\output\dances\dance_rem_x.mp4",
        "//nas/share/out/characters/rem.png",
        "/home/ai/output/remixes/rem_x/result/[kpop]_a b.mp4",
    ) == {r"C:\oo\bar\output": 3, "/home/ai/output": 1, "//nas/share/out": 1}


@pytest.mark.parametrize(
    "text",
    [
        "characters/rem.png",
        "gs://b/characters/rem.png",
        r"C:\characters\rem.png",
        "/characters/rem.png",
        "https://x.y/characters/rem.png",
        r"C:\other\file.txt",
        "a sentence",
    ],
)
def test_what_says_nothing_of_a_root_gives_none(text: str) -> None:
    assert roots_of(text) == {}


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A folder with records and no rules yet."""
    store = EmbeddedRecords.open(tmp_path / "stores" / "p" / "(default)", "c")
    for name in ("rem", "ai"):
        path = rf"D:\it's\output\characters\{name}.png"
        store.put(name, {"assets": [{"title": "primary", "anime_image": path, "note": r"E:\lost\x.bin"}]})
    store.close()
    return tmp_path


def test_of_many_roots_the_ones_that_explain_most_are_kept() -> None:
    once = [f"/tmp/run{number}/characters/rem.png" for number in range(200)]
    found = guess_roots([*once, "/mnt/x/characters/rem.png", "/mnt/x/characters/mei.png"], users_settings().asset_map)

    assert (len(found.roots), next(iter(found.roots.items()))) == (20, ("/mnt/x", 2))
    assert (found.paths, found.explained) == (202, 21)


def test_init_writes_the_stores_and_what_the_records_say(run: Any, filled: Path) -> None:
    stores = ("--bucket", "gs://mine/x", "--records", RECORDS, "--records-endpoint", f"file:{filled / 'stores'}")
    answer = run("-C", str(filled), "init", *stores, "--json")
    assert answer.code == 0
    assert answer.document("init")["previous_roots"] == {r"D:\it's\output": 2}
    written = tomllib.loads((filled / RULES).read_text(encoding="utf-8"))
    assert (written["bucket"]["uri"], written["records"]["uri"]) == ("gs://mine/x", RECORDS)
    assert written["local"]["previous_roots"] == [r"D:\it's\output"]
    assert "explains 2 of 4 paths" in (filled / RULES).read_text(encoding="utf-8")
    assert "2 absolute paths in the records are below none of them" in answer.err
    assert load(filled, environ={}).previous_roots == (r"D:\it's\output",)


def test_records_that_cannot_be_read_are_told_and_the_file_is_written(
    run: Any, tmp_path: Path, firestore_server: FirestoreServer
) -> None:
    firestore_server.fault("RunQuery", before=grpc.StatusCode.PERMISSION_DENIED, times=1 << 30)
    refusing = ("--records-endpoint", firestore_server.address)
    answer = run("-C", str(tmp_path), "init", "--records", RECORDS, *refusing)
    assert answer.code == 0
    assert "previous_roots was not guessed" in answer.err
    assert load(tmp_path, environ={}).records.project == "p"


@pytest.mark.parametrize("given", [("--bucket", "s3://x"), ("--records", "firestore://p")])
def test_a_uri_that_cannot_be_is_refused_and_nothing_is_written(
    run: Any, tmp_path: Path, given: tuple[str, str]
) -> None:
    assert run("-C", str(tmp_path), "init", *given, "--json").code == 64
    assert not (tmp_path / RULES).exists()
