"""Lengths of time, read and written."""

from __future__ import annotations

import pytest

from reconcile.core.duration import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("26h", 93600), ("7d", 604800), ("1h30m", 5400), (" 1H 30M ", 5400), ("0.5s", 0.5)],
)
def test_what_people_write(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "10 minutes", "-5m", "1h30", "ten", "1e3s", "٣m" + "x"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(ValueError, match="length of time"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.4, "0s"),
        (45, "45s"),
        (90, "1m 30s"),
        (5400, "1h 30m"),
        (93600, "26h"),
        (200000, "2d 7h"),
        (-3, "0s"),
    ],
)
def test_what_people_read(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
