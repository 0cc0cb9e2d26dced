"""Keys, gs:// URIs, and names that are alike."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.names import BucketRoot, fold, is_below, key_problem, nfc
from tests.kit.strategies import keys

ROOT = BucketRoot("my-bucket", "anime_dance")


@pytest.mark.parametrize(
    ("uri", "bucket", "prefix"),
    [
        ("gs://b/anime_dance", "b", "anime_dance"),
        ("gs://b", "b", ""),
        ("gs://b/", "b", ""),
        ("gs://b/a/c/", "b", "a/c"),
        ("gs://b/a%20b#c?d", "b", "a%20b#c?d"),
    ],
)
def test_a_bucket_uri_is_no_url_and_nothing_in_it_is_escaped(uri: str, bucket: str, prefix: str) -> None:
    assert BucketRoot.parse(uri) == BucketRoot(bucket, prefix)


@pytest.mark.parametrize("uri", ["", "b/x", "gs://", "gs:///x", "GS://b", "https://b/x", "gs:/b/x"])
def test_what_is_no_bucket_uri_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="is not gs://BUCKET/PREFIX"):
        BucketRoot.parse(uri)


@given(keys() | st.text(min_size=1, max_size=30), st.sampled_from((ROOT, BucketRoot("b"), BucketRoot("b", "a b/#"))))
def test_the_uri_of_a_key_is_the_uri_of_that_key(key: str, root: BucketRoot) -> None:
    assert root.key(root.uri(key)) == key
    assert root.uri(key) == f"gs://{root.bucket}/{root.object_name(key)}"
    assert BucketRoot.parse(str(root)) == root


@pytest.mark.parametrize(
    "uri",
    [
        "gs://my-bucket/anime_dance",
        "gs://my-bucket/anime_dance/",
        "gs://my-bucket/anime_dance2/x.png",
        "gs://my-bucket/other/x.png",
        "gs://my-bucket2/anime_dance/x.png",
        "gs://my-bucket/ANIME_DANCE/x.png",
        "https://storage.googleapis.com/my-bucket/anime_dance/x.png",
        " gs://my-bucket/anime_dance/x.png",
        "anime_dance/x.png",
    ],
)
def test_a_uri_that_is_not_below_the_prefix_has_no_key(uri: str) -> None:
    assert ROOT.key(uri) is None


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("x" * 1025, "at most 1024 bytes"),
        ("é" * 513, "at most 1024 bytes"),
        ("a\nb", "no line breaks"),
        ("a\rb", "no line breaks"),
        ("", "does not allow this name"),
        (".", "does not allow this name"),
        ("..", "does not allow this name"),
        (".well-known/acme-challenge/x", "does not allow this name"),
        ("a\udce9b", "not valid Unicode"),
    ],
)
def test_a_name_that_the_bucket_would_refuse_is_known_before(name: str, why: str) -> None:
    assert why in str(key_problem(name))


@pytest.mark.parametrize(
    "name", ["x" * 1024, "é" * 512, "[kpop]_a?#% (1).mp4", "a/../b", "a//b", "初音ミク.png", "a\tb"]
)
def test_a_name_that_the_bucket_takes_has_no_problem(name: str) -> None:
    assert key_problem(name) is None


@given(st.text(max_size=12))
def test_names_that_differ_in_unicode_form_fold_alike(text: str) -> None:
    forms = {unicodedata.normalize(form, text) for form in ("NFC", "NFD")}
    assert len({fold(form) for form in (text, *forms)}) == 1
    assert len({nfc(form) for form in forms}) == 1


@pytest.mark.parametrize(
    ("one", "other"), [("REM.PNG", "rem.png"), ("José", "Jose\u0301"), ("JOSÉ", "jose\u0301"), ("Straße", "STRASSE")]
)
def test_names_that_differ_in_case_fold_alike(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@given(st.text(max_size=12))
def test_folding_and_composing_are_done_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert nfc(nfc(text)) == nfc(text)


@pytest.mark.parametrize(("one", "other"), [("a", "b"), ("a_b", "a-b"), ("é", "e"), ("ロ", "口")])
def test_different_names_fold_apart(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/b.png", True),
        ("...", True),
        (".hidden/..b", True),
        ("a..b/c", True),
        ("", False),
        (".", False),
        ("..", False),
        ("/a", False),
        ("a/", False),
        ("a//b", False),
        ("./a", False),
        ("a/./b", False),
        ("a/..", False),
        ("../a", False),
        ("a/../b", False),
        ("..\n", True),
    ],
)
def test_a_name_stays_below_where_it_starts(name: str, expected: bool) -> None:
    assert is_below(name) is expected


@pytest.mark.parametrize("uri", ["gs://b/../x", "gs://b/a//b", "gs://b/./a", "gs://", "gs:///a", "s3://b/a"])
def test_what_is_no_bucket_and_prefix_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="is not gs://BUCKET/PREFIX"):
        BucketRoot.parse(uri)
