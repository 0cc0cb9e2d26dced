"""What docs/publishing.md says of queries: on the official emulator, the types of a run are found by it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.workshop import Workshop, open_workshop
from tests.servers.gcs import GcsServer
from tests.unit.test_docs import python_of

KPOP = "remixes/{0}_idol/result/[kpop]_{0}_idol.mp4"


@pytest.fixture
def shop(tmp_path: Path, firestore_emulator: str) -> Iterator[Workshop]:
    with GcsServer() as server:
        yield open_workshop(tmp_path / "project", server, firestore_emulator, local_db=False, index="asset_types")


@pytest.mark.emulator
def test_a_version_is_found_by_a_query_after_the_run_that_uploads_it(shop: Workshop) -> None:
    collection = shop.collection()
    for char_id in ("ai_hoshino", "mei", "rem"):
        collection.document(char_id).set({"name": char_id, "assets": []})
        image = shop.folder / "output" / "characters" / f"{char_id}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(char_id.encode())
    for char_id in ("ai_hoshino", "rem"):
        video = shop.folder / "output" / KPOP.format(char_id)
        video.parent.mkdir(parents=True)
        video.write_bytes(b"kpop" * 100)
    applied = shop.run("apply", "--yes", "--json")
    assert applied.code == 0, applied.err
    shown: dict[str, Any] = {}
    code = next(each for each in python_of("docs/publishing.md") if "def with_type" in each)
    exec(compile(code, "docs/publishing.md", "exec"), shown)

    assert [found.id for found in shown["with_type"](collection, "kpop_version")] == ["ai_hoshino", "rem"]
    assert len(shown["with_type"](collection, "anime_image")) == 3
    assert shown["with_type"](collection, "ai_music") == []
    assert shop.run("plan", "--detailed-exitcode").code == 0
