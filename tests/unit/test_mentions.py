"""A local path of ours is found in a text that is more than this path, whoever encoded it, and in time."""

from __future__ import annotations

import time

import pytest

from reconcile.core.mentions import Mention, mention
from reconcile.core.paths import root_forms

ROOTS = tuple(
    root_forms(root)
    for root in ("C:\\oo\\bar\\output", "output", "\\\\nas\\share\\out put", "/data/\u51fa\u529b x/media", "/srv")
)


@pytest.mark.parametrize(
    "text",
    [
        "see \\\\nas\\share\\out put\\a.png",
        "see \\\\?\\UNC\\nas\\share\\out put\\a.png",
        "see file://nas/share/out%20put/a.png",
        "see //nas/share/out+put/a.png",
        "see /data/\u51fa\u529b x/media/a.png",
        '["/data/\\u51fa\\u529b x/media/a.png"]',
        "\u30d5\u30a1\u30a4\u30eb\u306f/data/\u51fa\u529b\\ x/media/a.png",
        "a.png\\nC:\\\\oo\\\\bar\\\\output\\\\b.png",
        '{"dir": "C:\\\\oo\\\\bar\\\\output"}',
        "http://example.com/x C:\\oo\\bar\\output\\a.png",
        "[x](file:///srv/a.png)",
        "in /srv/a.png",
    ],
)
def test_a_longer_text_holds_it(text: str) -> None:
    assert mention(text, ROOTS) is Mention.LONGER


@pytest.mark.parametrize(
    "text",
    [
        "C:\\oo\\bar\\output\\x\\a.png",
        '"C:/oo/bar/output/x/a.png"',
        "file:///C:/oo/bar/output/x/a.png",
        "C:\\oo\bar\\output\\a.png",
        "C:\\oo\\bar\\output\\Smith, J\\a;b.png",
        "C:\\oo\\bar\\output2\\a.png",
        "see C:\\oo\\bar\\outputs",
        "see ABC:/oo/bar/output/a.png",
        "see https://example.com/srv/a.png",
        "gs://srv/srv/a.png",
        "~/srv/a.png",
        "../srv/a.png",
        "/mnt/srv/a.png",
        "/\u5199\u771f/srv/a.png",
        "see output/x/a.png",
    ],
)
def test_a_path_alone_and_what_only_looks_alike_do_not(text: str) -> None:
    assert mention(text, ROOTS) is None


@pytest.mark.parametrize(
    "piece", ["xC:\\oo\\bar\\output\\", "x/srv/", "https://srv", "%41srv", "\\", "c:\\", '"\n/srv']
)
def test_a_hostile_text_takes_time_in_step_with_its_length(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    start = time.process_time()
    mention(f"{text}output", ROOTS)
    assert time.process_time() - start < 5
