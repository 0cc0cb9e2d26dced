"""Each decoder of what a store answers, given anything: a value, or an error of ours."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.adapters import refusals
from reconcile.adapters.gcs.answers import decode_page, decode_resource, number
from reconcile.adapters.retry import seconds_asked
from reconcile.core.digest import is_crc32c
from reconcile.core.errors import StoreError, StoreUnavailable
from tests.unit.test_signing import KEY, Account

ODD = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["-1", str(2**63), "9" * 5000, "1e400", "abc", "", "AAAAAA==", "AAAA", "99999-13-01T00:00:00Z"])
)
JSON = st.recursive(
    ODD, lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3)
)
FIELDS = ("name", "size", "generation", "crc32c", "contentType", "contentEncoding", "updated", "metadata")
OBJECTS = st.fixed_dictionaries(
    {"name": st.just("p/a"), "size": st.just("1"), "generation": st.just("7")},
    optional={field: JSON for field in FIELDS if field not in ("name", "size", "generation")},
) | st.dictionaries(st.sampled_from(FIELDS), JSON)
PAGES = st.fixed_dictionaries(
    {}, optional={"items": st.lists(OBJECTS | JSON, max_size=3) | JSON, "nextPageToken": JSON}
)
ERRORS = st.fixed_dictionaries(
    {"error": st.fixed_dictionaries({}, optional={"message": JSON, "errors": JSON, "details": JSON}) | JSON}
)


def written(value: Any) -> bytes:
    return json.dumps(value).encode()


@given(st.binary() | (OBJECTS | JSON).map(written))
def test_an_object(body: bytes) -> None:
    with contextlib.suppress(StoreUnavailable):
        found = decode_resource(body, "gs://b", "p/a")
        assert found.name == "p/a"
        assert 0 <= found.size < 2**63
        assert 0 < found.generation < 2**63
        assert found.crc32c is None or is_crc32c(found.crc32c)


@given(st.binary() | (PAGES | JSON).map(written))
def test_a_page_of_a_listing(body: bytes) -> None:
    with contextlib.suppress(StoreUnavailable):
        page = decode_page(body, "gs://b")
        assert all(0 < each.generation < 2**63 for each in page.items)


@given(st.binary() | (ERRORS | JSON).map(written), st.sampled_from([refusals.of_bucket, refusals.of_records]))
def test_the_body_of_an_error(body: bytes, meaning: Any) -> None:
    said, reasons = refusals.error_in(body)
    assert len(said) <= 500
    assert "\n" not in said
    found = meaning(reasons, said)
    assert found is None or (issubclass(found.kind, StoreError) and found.hint and "{" not in found.hint)


@given(st.text() | st.integers().map(str) | st.just("9" * 5000))
def test_a_number_of_a_header(text: str) -> None:
    found = number(text)
    assert found is None or (0 <= found < 2**63 and int(text) == found)


@given(st.text(), st.text())
def test_a_pause(asked: str, date: str) -> None:
    assert 0 <= seconds_asked(asked, date) <= 3600


@given(st.binary() | JSON.map(written) | JSON.map(lambda value: written({"signedBlob": value})))
def test_a_signature(body: bytes) -> None:
    with contextlib.suppress(StoreUnavailable):
        url = Account(data=body or b" ").signer().sign(KEY, expires=60)
        assert "X-Goog-Signature=" in url
        assert not url.endswith("X-Goog-Signature=")


@pytest.mark.parametrize("body", [b"", b"[" * 500_000, b'{"error":' + b"[" * 500_000, b"\xff" * 10_000])
def test_an_error_that_says_nothing_is_one_short_line(body: bytes) -> None:
    said, reasons = refusals.error_in(body)
    assert len(said) <= 500
    assert not reasons


@given(JSON.map(written))
def test_what_a_bucket_says_of_itself(body: bytes) -> None:
    from reconcile.adapters.gcs import checkup
    from reconcile.adapters.gcs.answers import decode

    for decoder in (checkup._BUCKET, checkup._GRANTED):
        with contextlib.suppress(StoreUnavailable):
            assert isinstance(decode(decoder, body, "gs://b", "a bucket"), msgspec.Struct)
