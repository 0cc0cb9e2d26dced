"""Content types."""

from __future__ import annotations

import pytest

from reconcile.core.media import content_type


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("characters/rem.png", "image/png"),
        ("characters/REM.PNG", "image/png"),
        ("remixes/a.b/REMIX_1.mp4", "video/mp4"),
        ("remixes/x/result/generated_kpop_music.mp3", "audio/mpeg"),
        ("a.jpeg", "image/jpeg"),
        ("a.webp", "image/webp"),
        ("a.mov", "video/quicktime"),
        ("a.wav", "audio/wav"),
        ("a.tar.json", "application/json"),
        (".png", "image/png"),
    ],
)
def test_the_ending_says_the_content_type_on_every_machine(key: str, expected: str) -> None:
    assert content_type(key) == expected


@pytest.mark.parametrize("key", ["png", "x/mp4", "a.mp4/b", "a.xyz", "a.", "", "a.mp4 "])
def test_what_has_no_known_ending_is_just_bytes(key: str) -> None:
    assert content_type(key) == "application/octet-stream"
