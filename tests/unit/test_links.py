"""url: signed URLs of what subjects mean, which really give the bytes; no URL of what is not there."""

from __future__ import annotations

import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from reconcile import Project
from reconcile.commands.links import lifetime_of, links
from reconcile.core.errors import NotThere, UsageError
from tests.kit.workshop import PREFIX, Workshop, open_workshop
from tests.servers.firestore import FirestoreServer
from tests.servers.gcs import GcsServer
from tools import schemas

KEY = "remixes/x/result/[kpop]_x 100%.mp4"
IMAGE = "characters/rem.png"
DANCE = "dances/dance_rem_spin.mp4"
LONGER = "dances/dance_rem_2_spin.mp4"
ODD = "characters/a#?&=+%20é 美樹.png"


@pytest.fixture
def shop(tmp_path: Path, gcs_server: GcsServer, firestore_server: FirestoreServer) -> Workshop:
    made = open_workshop(tmp_path / "studio", gcs_server, firestore_server.address, local_db=False)
    (made.folder / "output").mkdir()
    gcs_server.world.insert(made.bucket, f"{PREFIX}/{KEY}", b"moving pictures", {"contentType": "video/mp4"})
    return made


@pytest.fixture
def full(shop: Workshop) -> Workshop:
    """rem has an image, a dance, and a version that only her record says is hers; rem_2 has a dance."""
    for key in (IMAGE, DANCE, LONGER):
        shop.gcs.world.insert(shop.bucket, f"{PREFIX}/{key}", key.encode(), {})
    collection = shop.collection()
    collection.document("rem").set({"assets": [{"title": "primary", "kpop_video": shop.uri(KEY)}]})
    collection.document("rem_2").set({"assets": []})
    return shop


def keys(urls: dict[str, str], shop: Workshop) -> list[str]:
    return [uri.removeprefix(shop.uri("")) for uri in urls]


def asked(shop: Workshop, *arguments: str) -> Any:
    ran = shop.run("url", *arguments, "--json")
    jsonschema.validate(ran.document, schemas.schema("url"), cls=jsonschema.Draft202012Validator)
    assert ran.code == 0, ran.err
    return ran.document


@pytest.mark.parametrize("spelling", ["key", "uri", "windows"])
def test_any_spelling_gives_a_url_that_answers_with_the_bytes(spelling: str, shop: Workshop) -> None:
    subject = {"key": KEY, "uri": shop.uri(KEY), "windows": "output\\" + KEY.replace("/", "\\")}[spelling]
    with Project.open(shop.folder).opened() as project:
        made = links(project, [subject], 900)
    assert (made.key, made.uri, made.urls) == (KEY, shop.uri(KEY), {shop.uri(KEY): made.url})
    assert isinstance(made.url, str)
    with urllib.request.urlopen(made.url, timeout=20) as answer:
        assert answer.read() == b"moving pictures"
        assert answer.headers["Content-Type"] == "video/mp4"


def test_a_name_with_any_character_gives_a_url_that_answers(shop: Workshop) -> None:
    shop.gcs.world.insert(shop.bucket, f"{PREFIX}/{ODD}", b"odd", {})
    url = Project.open(shop.folder).signed_url(shop.uri(ODD))
    with urllib.request.urlopen(url, timeout=20) as answer:
        assert answer.read() == b"odd"


def test_a_decomposed_name_is_found_under_its_composed_one(shop: Workshop) -> None:
    shop.gcs.world.insert(shop.bucket, f"{PREFIX}/characters/é.png", b"x", {})
    with Project.open(shop.folder).opened() as project:
        assert links(project, ["characters/e\u0301.png"], 60).key == "characters/é.png"


def test_a_character_has_urls_of_all_that_is_its_own(full: Workshop) -> None:
    document = asked(full, "rem")
    assert keys(document["urls"], full) == [IMAGE, DANCE, KEY]
    assert "url" not in document
    for uri, url in document["urls"].items():
        with urllib.request.urlopen(url, timeout=20) as answer:
            assert answer.read() in (uri.removeprefix(full.uri("")).encode(), b"moving pictures")


def test_a_scope_narrows_a_character_and_alone_says_what_is_meant(full: Workshop) -> None:
    assert keys(asked(full, "rem", "--asset-type", "dance_video")["urls"], full) == [DANCE]
    assert keys(asked(full, "--asset-type", "Dance Video")["urls"], full) == [LONGER, DANCE]
    assert keys(asked(full, "--char-id", "rem", "--asset-type", "kpop_version")["urls"], full) == [KEY]


def test_several_subjects_give_each_object_one_url_in_their_order(full: Workshop) -> None:
    assert keys(asked(full, DANCE, full.uri(KEY), "rem", DANCE)["urls"], full) == [DANCE, KEY, IMAGE]
    lines = full.run("url", DANCE, IMAGE).out.splitlines()
    assert [line.partition(" ")[2] for line in lines] == [full.uri(DANCE), full.uri(IMAGE)]
    assert all(line.startswith("http") for line in lines)


def test_a_url_of_one_asset_is_printed_alone(full: Workshop) -> None:
    (line,) = full.run("url", KEY).out.splitlines()
    with urllib.request.urlopen(line, timeout=20) as answer:
        assert answer.read() == b"moving pictures"


def test_what_is_missing_is_named_and_the_rest_has_urls(full: Workshop) -> None:
    ran = full.run("url", "characters/nobody.png", IMAGE, "--json")
    assert ran.code == 1
    assert ran.document["missing"] == ["characters/nobody.png"]
    assert keys(ran.document["urls"], full) == [IMAGE]
    assert "'characters/nobody.png' is not in gs://" in ran.err


def test_what_is_not_there_has_no_url(shop: Workshop) -> None:
    with Project.open(shop.folder).opened() as project, pytest.raises(NotThere, match="is not in gs://"):
        links(project, ["characters/nobody.png"], 900)
    assert shop.run("url", "characters/nobody.png", "--json").code == 1


def test_no_machine_needs_a_local_file_for_it(full: Workshop) -> None:
    (full.folder / "output").rmdir()
    assert keys(asked(full, "rem", IMAGE)["urls"], full) == [IMAGE, DANCE, KEY]
    assert len(Project.open(full.folder).signed_urls("rem")) == 3


def test_a_project_answers_in_one_call(full: Workshop) -> None:
    project = Project.open(full.folder)
    assert keys(project.signed_urls("rem", asset_types=["dance_video"], expires=timedelta(hours=1)), full) == [DANCE]
    assert project.signed_urls("rem_2", asset_types=["anime_image"]) == {}
    assert "X-Goog-Expires=3600&" in project.signed_url(full.uri(IMAGE), expires="1h")
    with project.opened() as opened:
        assert "X-Goog-Expires=60&" in opened.signed_url(IMAGE, expires=60)
    with pytest.raises(UsageError, match="asset_types"):
        project.signed_urls("rem", asset_types="dance_video")
    with pytest.raises(UsageError, match="nobody"):
        project.signed_urls("nobody")
    with pytest.raises(NotThere):
        project.signed_url("rem")  # no asset, though a character


def test_an_unknown_character_is_told_which_ids_come_near(full: Workshop) -> None:
    ran = full.run("url", "rem_", "--json")
    assert ran.code == 64
    assert "rem_2" in ran.document["hint"]


def test_a_uri_of_another_bucket_is_refused(shop: Workshop) -> None:
    with Project.open(shop.folder).opened() as project, pytest.raises(UsageError):
        links(project, ["gs://other/x.png"], 900)


@pytest.mark.parametrize("lifetime", ["0s", "7d1s", "8d", 0, -1, 0.5, timedelta(days=8), "soon", float("nan")])
def test_a_lifetime_that_cannot_be_is_refused(lifetime: Any) -> None:
    with pytest.raises(UsageError, match="expires: "):
        lifetime_of(lifetime)


def test_a_lifetime_that_is_too_long_says_the_longest(run: Any) -> None:
    answer = run("url", "characters/rem.png", "--expires", "8d", "--json")
    assert answer.code == 64
    error = answer.document("error")
    assert error["message"] == "--expires: a signed URL cannot hold for 8d"
    assert "7d" in error["hint"]


def test_a_week_is_possible(shop: Workshop) -> None:
    assert "X-Goog-Expires=604800&" in Project.open(shop.folder).signed_url(KEY, expires="7d")


def test_nothing_named_is_refused(run: Any) -> None:
    answer = run("url", "--json")
    assert answer.code == 64
    assert answer.document("error")["message"] == "no asset is named"


def test_a_bucket_in_a_folder_has_no_urls(run: Any) -> None:
    answer = run("url", "characters/rem.png", "--json")
    assert answer.code == 64
    assert "no URLs of it" in answer.document("error")["message"]
