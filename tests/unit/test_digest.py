"""Content identity."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.digest import Comparison, compare, encode_crc32c, is_crc32c

CRC = st.integers(0, 2**32 - 1)


def test_a_crc32c_is_written_as_gcs_writes_it() -> None:
    assert encode_crc32c(0) == "AAAAAA=="
    assert encode_crc32c(0xE3069283) == "4waSgw=="  # of the bytes 123456789, the standard's own example


@given(CRC)
def test_a_written_crc32c_is_one_and_reads_back(value: int) -> None:
    text = encode_crc32c(value)
    assert is_crc32c(text)
    assert int.from_bytes(base64.b64decode(text), "big") == value


@pytest.mark.parametrize("value", [-1, 2**32])
def test_what_has_no_32_bits_is_no_crc32c(value: int) -> None:
    with pytest.raises(OverflowError):
        encode_crc32c(value)


@pytest.mark.parametrize("text", ["", "AAAA", "AAAAAAAA", "AAAAAA", "4waSgw== ", "é", "e3069283"])
def test_what_is_no_crc32c(text: str) -> None:
    assert not is_crc32c(text)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((3, "A"), (3, "A"), Comparison.SAME),
        ((3, "A"), (3, "B"), Comparison.DIFFERENT),
        ((3, "A"), (4, "A"), Comparison.DIFFERENT),
        ((3, "A"), (4, None), Comparison.DIFFERENT),
        ((3, "A"), (3, None), Comparison.UNKNOWN),
        ((3, None), (3, None), Comparison.UNKNOWN),
        ((0, None), (0, "A"), Comparison.UNKNOWN),
    ],
)
def test_unknown_is_never_taken_for_equal(
    one: tuple[int, str | None], other: tuple[int, str | None], expected: Comparison
) -> None:
    assert compare(*one, *other) is expected
    assert compare(*other, *one) is expected
