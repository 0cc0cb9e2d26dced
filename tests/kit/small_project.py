"""A small project on embedded stores: one character to migrate, one in step, and names that mean harm."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import crc32c

from reconcile.config.environment import RULES
from reconcile.config.settings import load, template
from reconcile.core.digest import encode_crc32c
from reconcile.core.media import content_type
from reconcile.ports import DesiredObject
from tests.kit.embedded import EmbeddedBucket, EmbeddedRecords

OLD = 1_700_000_000
LOCAL_PATH = r"C:\oo\bar\output\characters\ai_hoshino.png"
URI = "gs://my-bucket/anime_dance/characters/ai_hoshino.png"
KPOP = "remixes/ai_hoshino_x/result/[kpop]_x.mp4"


def make_project(folder: Path, *, settle: float = 0, index: str = "") -> Path:
    """ai_hoshino has an image and a soundtrack version to upload and two fields to set; rem is in step. Records have no
    ``index``, unless one is named."""
    rules = re.sub(r'(?m)^endpoint = ""', 'endpoint = "file:stores"', template())
    rules = rules.replace("settle = 2.0", f"settle = {settle:g}")
    rules = rules.replace('index = "asset_types"', f'index = "{index}"')
    (folder / "rules").mkdir(parents=True)
    (folder / RULES).write_text(rules, encoding="utf-8")
    write(folder, "characters/ai_hoshino.png", b"a" * 48_211)
    write(folder, "characters/rem.png", b"r" * 100)
    write(folder, KPOP, b"k" * 1000)
    write(folder, "notes/:star: [b]todo.txt", b"n")
    settings = load(folder, environ={})
    objects = open_objects(folder)
    put(objects, "characters/rem.png", b"r" * 100)
    objects.close()
    records = open_records(folder)
    records.put("ai_hoshino", {"name": "Ai", "assets": [{"title": "primary", "anime_image": LOCAL_PATH}]})
    uri = settings.bucket.uri("characters/rem.png")
    records.put("rem", {"name": "Rem", "assets": [{"title": "primary", "anime_image": uri}]})
    records.close()
    return folder


def write(folder: Path, path: str, data: bytes) -> None:
    """A file below the local root that settled long ago."""
    file = folder / "output" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    os.utime(file, (OLD, OLD))


def open_objects(folder: Path) -> EmbeddedBucket:
    """The project's bucket."""
    return EmbeddedBucket.open(folder / "stores" / "my-bucket", "anime_dance")


def open_records(folder: Path) -> EmbeddedRecords:
    """The project's database."""
    return EmbeddedRecords.open(folder / "stores" / "my-project" / "(default)", "characters")


def put(objects: EmbeddedBucket, key: str, data: bytes) -> None:
    """Creates an object."""
    size, checksum, kind = len(data), encode_crc32c(crc32c.crc32c(data)), content_type(key)
    objects.put(DesiredObject(key, size, checksum, kind, 0), io.BytesIO(data))
