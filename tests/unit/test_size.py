"""Amounts of bytes as people read them."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from rich import filesize

from reconcile.core.size import decimal


@given(st.integers(min_value=0, max_value=10**31))
@example(0)
@example(1)
@example(999)
@example(1000)
@example(999_950)
@example(10**27)
def test_an_amount_of_bytes_reads_as_rich_writes_it(count: int) -> None:
    assert decimal(count) == filesize.decimal(count)
