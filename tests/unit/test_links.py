"""url: a signed URL of what a subject means, which really gives the bytes; no URL of what is not there."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from reconcile.commands.explain import link
from reconcile.core.errors import NotThere, Rejected, UsageError
from reconcile.project import Project
from tests.kit.workshop import PREFIX, Workshop, open_workshop
from tests.servers.firestore import FirestoreServer
from tests.servers.gcs import GcsServer

KEY = "remixes/x/result/[kpop]_x 100%.mp4"


@pytest.fixture
def shop(tmp_path: Path, gcs_server: GcsServer, firestore_server: FirestoreServer) -> Workshop:
    made = open_workshop(tmp_path / "studio", gcs_server, firestore_server.address, local_db=False)
    (made.folder / "output").mkdir()
    gcs_server.world.insert(made.bucket, f"{PREFIX}/{KEY}", b"moving pictures", {"contentType": "video/mp4"})
    return made


@pytest.mark.parametrize("spelling", ["key", "uri", "windows"])
def test_any_spelling_gives_a_url_that_answers_with_the_bytes(spelling: str, shop: Workshop) -> None:
    subject = {"key": KEY, "uri": shop.uri(KEY), "windows": "output\\" + KEY.replace("/", "\\")}[spelling]
    with Project.open(shop.folder).opened() as project:
        made = link(project, subject, 900)
    assert (made.key, made.uri) == (KEY, shop.uri(KEY))
    with urllib.request.urlopen(made.url, timeout=20) as answer:
        assert answer.read() == b"moving pictures"
        assert answer.headers["Content-Type"] == "video/mp4"


def test_what_is_not_there_has_no_url(shop: Workshop) -> None:
    with Project.open(shop.folder).opened() as project, pytest.raises(NotThere, match="is not in gs://"):
        link(project, "characters/nobody.png", 900)


def test_a_uri_of_another_bucket_is_refused(shop: Workshop) -> None:
    with Project.open(shop.folder).opened() as project, pytest.raises(UsageError):
        link(project, "gs://other/x.png", 900)


@pytest.mark.parametrize("lifetime", [0, 8 * 86400])
def test_a_lifetime_that_cannot_be_is_refused(lifetime: float, shop: Workshop) -> None:
    with Project.open(shop.folder).opened() as project, pytest.raises(Rejected, match="cannot be signed for"):
        link(project, KEY, lifetime)


def test_a_bucket_in_a_folder_has_no_urls(run: Any) -> None:
    answer = run("url", "characters/rem.png", "--json")
    assert answer.code == 64
    assert "no URLs of it" in answer.document("error")["message"]
