"""The hooks against servers: the real clients in between, a cloud that is away, and a watcher in a thread."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from reconcile import Project
from reconcile.core.errors import AccessDenied, ReconcileError, Rejected, UsageError
from reconcile.core.notes import Note
from reconcile.hooks import NotUploaded, auto_upload_to_gcs, sync_upsert, update_firestore_gcs_path, watch_directory
from tests.kit.workshop import Workshop, open_workshop
from tests.servers.faults import FOREVER, Fault
from tests.servers.firestore import Fault as FirestoreFault
from tests.servers.firestore import FirestoreServer
from tests.servers.gcs import GcsServer

LIMIT = 20.0
"""Seconds: more than a call may ever be kept waiting, less than any client's own patience."""


@pytest.fixture
def bucket() -> Iterator[GcsServer]:
    """A server of the test's own, for its faults."""
    with GcsServer() as server:
        yield server


@pytest.fixture
def shop(tmp_path: Path, bucket: GcsServer, firestore_server: FirestoreServer) -> Workshop:
    made = open_workshop(tmp_path / "project", bucket, firestore_server.address, local_db=False)
    made.collection().document("ai_hoshino").set({"name": "Ai", "assets": [{"title": "primary", "mood": "calm"}]})
    return made


def make(shop: Workshop, path: str, data: bytes = b"made just now") -> str:
    file = shop.folder / "output" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return str(file)


def primary(shop: Workshop) -> dict[str, str]:
    fields, _ = shop.records()["ai_hoshino"]
    found: dict[str, str] = fields["assets"][0]
    return found


def test_the_six_workflows_with_hooks(shop: Workshop) -> None:
    @auto_upload_to_gcs(asset_type="Anime Image")
    def generate_character_image(char_id: str) -> str:
        return make(shop, f"characters/{char_id}.png")

    @auto_upload_to_gcs(asset_type="dance_video")
    async def dance(char_id: str) -> tuple[str, int]:
        return make(shop, f"dances/dance_{char_id}_idol.mp4"), 7

    @auto_upload_to_gcs()
    def soundtracks(char_id: str) -> list[str]:
        return [make(shop, f"remixes/{char_id}_idol/result/[{kind}]_idol.mp4") for kind in ("kpop", "orig")]

    base = shop.uri("")
    assert generate_character_image("ai_hoshino")[1] == f"{base}characters/ai_hoshino.png"
    assert asyncio.run(dance("ai_hoshino"))[1:] == (f"{base}dances/dance_ai_hoshino_idol.mp4", 7)
    assert [uri for _, uri in soundtracks("ai_hoshino")] == [
        f"{base}remixes/ai_hoshino_idol/result/[kpop]_idol.mp4",
        f"{base}remixes/ai_hoshino_idol/result/[orig]_idol.mp4",
    ]
    sync_upsert(lambda char_id, asset: None)(  # noqa: ARG005
        "ai_hoshino", {"title": "primary", "cosplay_image": make(shop, "characters/ai_hoshino_cosplay.png")}
    )
    assert primary(shop) == {
        "title": "primary",
        "mood": "calm",
        "anime_image": f"{base}characters/ai_hoshino.png",
        "dance_video": f"{base}dances/dance_ai_hoshino_idol.mp4",
        "kpop_video": f"{base}remixes/ai_hoshino_idol/result/[kpop]_idol.mp4",
        "orig_video": f"{base}remixes/ai_hoshino_idol/result/[orig]_idol.mp4",
        "cosplay_image": f"{base}characters/ai_hoshino_cosplay.png",
    }
    uri = f"{base}dances/dance_ai_hoshino_idol.mp4"
    told = [update_firestore_gcs_path("ai_hoshino", "v", "dance_video", uri, project=shop.folder) for _ in range(2)]
    assert told == [True, False]
    assert shop.run("plan", "--detailed-exitcode", "--char-id", "ai_hoshino").code == 0


@pytest.mark.parametrize("reading", [1, 2])
def test_a_field_is_set_beside_a_write_of_somebody_else(
    shop: Workshop, firestore_server: FirestoreServer, reading: int
) -> None:
    shop.gcs.world.insert(shop.bucket, "anime_dance/characters/ai_hoshino.png", b"x", {})
    document = shop.collection().document("ai_hoshino")

    def meddle() -> None:
        document.set({"name": "Ai", "assets": [{"title": "primary", "mood": "wild"}], "age": 16})

    fault = FirestoreFault("BatchGetDocuments", nth=reading, then=meddle)
    firestore_server.faults.append(fault)
    uri = shop.uri("characters/ai_hoshino.png")
    assert update_firestore_gcs_path("ai_hoshino", "primary", "anime_image", uri, project=shop.folder)
    fields, _ = shop.records()["ai_hoshino"]
    assert fault.seen > reading
    assert fields == {"name": "Ai", "age": 16, "assets": [{"title": "primary", "mood": "wild", "anime_image": uri}]}


def test_a_bucket_that_refuses_is_an_error_with_the_render_in_it(shop: Workshop, bucket: GcsServer) -> None:
    bucket.script.add(Fault(method="POST", status=403, reason="forbidden", times=FOREVER))
    with pytest.raises(NotUploaded) as caught:
        auto_upload_to_gcs()(lambda: make(shop, "dances/dance_ai_hoshino_1.mp4"))()

    assert caught.value.result == str(shop.folder / "output/dances/dance_ai_hoshino_1.mp4")
    assert "dance_video" not in primary(shop)


@pytest.mark.parametrize(("status", "reason", "kind"), [(403, "forbidden", AccessDenied), (400, "invalid", Rejected)])
def test_a_refusal_is_raised_as_itself_and_keeps_no_other_file_waiting(
    shop: Workshop, bucket: GcsServer, status: int, reason: str, kind: type[ReconcileError]
) -> None:
    bucket.script.add(Fault(method="POST", status=status, reason=reason, times=FOREVER))
    raising = auto_upload_to_gcs()(lambda: make(shop, "dances/dance_ai_hoshino_held.mp4"))
    with pytest.raises(NotUploaded) as caught:
        raising()
    assert isinstance(caught.value.__cause__, kind)
    assert caught.value.code == kind.code

    queued = auto_upload_to_gcs(on_error="queue")
    assert queued(lambda: make(shop, "dances/dance_ai_hoshino_held.mp4"))()[1] is None
    bucket.script.clear()
    assert queued(lambda: make(shop, "dances/dance_ai_hoshino_well.mp4"))()[1] == shop.uri(
        "dances/dance_ai_hoshino_well.mp4"
    )


def test_an_upload_whose_record_could_not_be_written_has_its_uri(
    shop: Workshop, firestore_server: FirestoreServer
) -> None:
    firestore_server.faults.append(FirestoreFault("Commit", times=FOREVER, before=grpc.StatusCode.PERMISSION_DENIED))
    with pytest.warns(UserWarning, match="set_field"):
        answer = auto_upload_to_gcs(on_error="warn")(lambda: make(shop, "dances/dance_ai_hoshino_1.mp4"))()
    assert answer is not None
    assert answer[1] == shop.uri("dances/dance_ai_hoshino_1.mp4")


@pytest.mark.parametrize("silent", [False, True])
def test_a_cloud_that_is_away_keeps_nobody_waiting_and_loses_nothing(
    shop: Workshop, silent: bool, caplog: pytest.LogCaptureFixture
) -> None:
    rules = shop.folder / "rules" / "asset_map.toml"
    right = rules.read_text(encoding="utf-8")
    with socket.socket() as away:
        away.bind(("127.0.0.1", 0))
        if silent:
            away.listen(50)  # takes every connection, and never answers
        address = f"127.0.0.1:{away.getsockname()[1]}"
        wrong = right.replace(shop.gcs.url, f"http://{address}").replace(shop.firestore, address)
        rules.write_text(wrong, encoding="utf-8")

        @auto_upload_to_gcs(on_error="queue")
        def remix(char_id: str, number: int) -> str:
            return make(shop, f"remixes/shared/x/REMIX_{number}.mp4")

        started = time.monotonic()
        assert remix("ai_hoshino", 1)[1] is None
        first = time.monotonic()
        assert remix("ai_hoshino", 2)[1] is None
        second = time.monotonic()

    assert first - started < LIMIT
    assert second - first < 2.0
    with Project.open(shop.folder).opened() as project:
        assert project.noted == tuple(Note(f"remixes/shared/x/REMIX_{number}.mp4", "ai_hoshino") for number in (1, 2))
    rules.write_text(right, encoding="utf-8")
    for number in (1, 2):
        os.utime(shop.folder / f"output/remixes/shared/x/REMIX_{number}.mp4", (number, number))
    assert shop.run("apply", "--yes", "--char-id", "ai_hoshino").code == 0
    assert primary(shop)["deliverable"] == shop.uri("remixes/shared/x/REMIX_2.mp4")
    assert shop.run("plan", "--detailed-exitcode").code == 0
    assert shop.run("apply", "--yes").code == 0
    with Project.open(shop.folder).opened() as project:
        assert project.noted == ()


def test_an_upsert_while_the_cloud_is_away_sets_its_field_when_it_is_back(shop: Workshop) -> None:
    rules = shop.folder / "rules" / "asset_map.toml"
    right = rules.read_text(encoding="utf-8")
    upsert = sync_upsert(lambda char_id, asset: None, on_error="queue")  # noqa: ARG005
    upsert("ai_hoshino", {"title": "primary", "dance_video": make(shop, "dances/dance_ai_hoshino_1.mp4")})
    assert primary(shop)["dance_video"] == shop.uri("dances/dance_ai_hoshino_1.mp4")
    with socket.socket() as away:
        away.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{away.getsockname()[1]}"
        wrong = right.replace(shop.gcs.url, f"http://{address}").replace(shop.firestore, address)
        rules.write_text(wrong, encoding="utf-8")
        upsert("ai_hoshino", {"title": "primary", "dance_video": make(shop, "dances/dance_ai_hoshino_2.mp4")})
    rules.write_text(right, encoding="utf-8")
    os.utime(shop.folder / "output/dances/dance_ai_hoshino_2.mp4", (1, 1))
    assert shop.run("apply", "--yes").code == 0
    assert primary(shop)["dance_video"] == shop.uri("dances/dance_ai_hoshino_2.mp4")
    assert shop.run("plan", "--detailed-exitcode").code == 0
    assert shop.run("apply", "--yes").code == 0
    with Project.open(shop.folder).opened() as project:
        assert project.noted == ()


def test_a_watched_directory_is_uploaded_and_the_handle_ends_it(
    shop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    rules = shop.folder / "rules" / "asset_map.toml"
    rules.write_text(rules.read_text(encoding="utf-8").replace("settle = 2.0", "settle = 0.1"), encoding="utf-8")
    png = b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\x00IEND\xaeB`\x82"
    make(shop, "characters/ai_hoshino.png", png)
    with caplog.at_level(logging.INFO, "reconcile.hooks"), watch_directory(shop.folder / "output") as watching:
        deadline = time.monotonic() + 60
        while primary(shop).get("anime_image") is None and time.monotonic() < deadline:
            os.sched_yield() if sys.platform != "win32" else None
        assert watching.is_alive
    assert not watching.is_alive
    assert watching.error is None
    assert primary(shop)["anime_image"] == shop.uri("characters/ai_hoshino.png")


def test_a_watched_directory_that_is_only_reported_stays_as_it_is(
    shop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    make(shop, "characters/ai_hoshino.png")
    os.utime(shop.folder / "output/characters/ai_hoshino.png", (1, 1))
    with caplog.at_level(logging.INFO, "reconcile.hooks"):
        watching = watch_directory(str(shop.folder / "output"), auto_upload=False)
        deadline = time.monotonic() + 60
        while "to make" not in caplog.text and time.monotonic() < deadline:
            os.sched_yield() if sys.platform != "win32" else None
        assert watching.stop(60)
    assert "2 changes to make" in caplog.text
    assert shop.objects() == {}


def test_a_folder_that_is_no_local_root_is_not_watched(shop: Workshop) -> None:
    make(shop, "characters/ai_hoshino.png")
    with pytest.raises(UsageError, match="not the local root"):
        watch_directory(shop.folder / "output" / "characters")
