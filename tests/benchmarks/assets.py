"""The assets of the benchmarks: ten small files for each character, and the record that names them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reconcile.config.environment import RULES
from reconcile.config.settings import template

BUCKET = "my-bucket"
PREFIX = "anime_dance"
OLD = 1_000_000_000
WINDOWS_ROOT = "C:\\oo\\bar\\output\\"
FIELDS = {
    "characters/{}.png": ("primary", "anime_image"),
    "characters/{}_cosplay.png": ("primary", "cosplay_image"),
    "dances/dance_{}_01.mp4": ("primary", "dance_video"),
    "remixes/{}_a/REMIX_a.mp4": ("primary", "deliverable"),
    "remixes/{}_a/variants/neon.mp4": ("neon", "dance_video"),
    "remixes/{}_a/variants/rain.mp4": ("rain", "dance_video"),
    "remixes/{}_a/result/[kpop]_a.mp4": ("primary", "kpop_video"),
    "remixes/{}_a/result/[orig]_a.mp4": ("primary", "orig_video"),
    "remixes/{}_a/result/a_watermarked.mp4": ("primary", "watermarked"),
    "remixes/{}_a/result/icon_a.png": ("primary", "icon"),
}


INDEX = [
    "anime_image",
    "cosplay_image",
    "dance_video",
    "icon",
    "kpop_version",
    "orig_version",
    "remix_video",
    "variant_video",
    "watermarked",
]
"""Their types, as each record lists them."""


def characters(assets: int) -> Iterator[str]:
    """The ids of as many characters as have ``assets`` assets."""
    return (f"char_{number:07}" for number in range(assets // len(FIELDS)))


def keys_of(char_id: str) -> list[str]:
    """The keys of a character's assets."""
    return [path.format(char_id) for path in FIELDS]


def content(key: str) -> bytes:
    """What the file of a key holds: some hundred bytes, different for each name."""
    return key.encode() * 20


def record_of(char_id: str, *, local_paths: bool = False) -> dict[str, Any]:
    """The record that names them all: by URI, or by the Windows path that the workflow saw."""
    entries: dict[str, dict[str, str]] = {}
    for path, (title, field) in FIELDS.items():
        key = path.format(char_id)
        named = WINDOWS_ROOT + key.replace("/", "\\") if local_paths else f"gs://{BUCKET}/{PREFIX}/{key}"
        entries.setdefault(title, {"title": title})[field] = named
    index = {} if local_paths else {"asset_types": INDEX}
    return {"name": char_id, "assets": list(entries.values()), **index}


def make_files(root: Path, assets: int) -> None:
    """Writes the files, each with a modification time long past."""
    for char_id in characters(assets):
        for key in keys_of(char_id):
            file = root / key
            try:
                file.write_bytes(content(key))
            except FileNotFoundError:
                file.parent.mkdir(parents=True)
                file.write_bytes(content(key))
            os.utime(file, (OLD, OLD))


def make_rules(folder: Path, bucket: str, records: str) -> None:
    """The map that ``reconcile init`` writes, with the endpoints of both stores."""
    text = re.sub(r'(?m)^endpoint = ""', f'endpoint = "{bucket}"', template(), count=1)
    text = re.sub(r'(?m)^endpoint = ""', f'endpoint = "{records}"', text, count=1)
    file = folder / RULES
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
