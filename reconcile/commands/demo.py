"""The demo's studio: a small messy one, of real media, on embedded stores in its own folder."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import crc32c

from reconcile import config
from reconcile.adapters.embedded.objects import EmbeddedObjectStore
from reconcile.adapters.embedded.records import EmbeddedRecordStore
from reconcile.commands.demo_media import mp3, mp4, png
from reconcile.config import RULES, Settings
from reconcile.core.digest import encode_crc32c
from reconcile.core.errors import UsageError
from reconcile.core.media import content_type

AN_HOUR = 3600
_OLD_ROOT = "C:\\oo\\bar\\output\\"
_BUCKET = "gs://my-bucket/anime_dance"

_FILES = (
    "characters/ai_hoshino.png",
    "characters/ai_hoshino_cosplay.png",
    "characters/rem.png",
    "characters/rem_2.png",
    "characters/miku.png",
    "dances/dance_ai_hoshino_idol.mp4",
    "dances/dance_rem_2_spin.mp4",
    "remixes/ai_hoshino_idol/REMIX_ai_hoshino_idol.mp4",
    "remixes/ai_hoshino_idol/variants/neon.mp4",
    "remixes/ai_hoshino_idol/variants/rain.mp4",
    "remixes/ai_hoshino_idol/result/[kpop]_ai_hoshino_idol.mp4",
    "remixes/ai_hoshino_idol/result/[orig]_ai_hoshino_idol.mp4",
    "remixes/ai_hoshino_idol/result/[kpop]_ai_hoshino_idol_watermarked.mp4",
    "remixes/ai_hoshino_idol/result/generated_kpop_music.mp3",
    "remixes/ai_hoshino_idol/result/icon_star.png",
    "remixes/rem_2_spin/REMIX_rem_2_spin.mp4",
    "remixes/rem_2_spin/result/[kpop]_rem_2_spin.mp4",
    "remixes/rem_2_spin/result/generated_kpop_music.mp3",
)
_MIGRATED = (
    "characters/ai_hoshino.png",
    "characters/rem.png",
    "characters/rem_2.png",
    "dances/dance_ai_hoshino_idol.mp4",
    "dances/dance_rem_2_first_try.mp4",
)


def _records() -> dict[str, dict[str, Any]]:
    return {
        "ai_hoshino": {
            "name": "Ai Hoshino",
            "anime": "Oshi no Ko",
            "assets": [
                {
                    "title": "primary",
                    "anime_image": f"{_BUCKET}/characters/ai_hoshino.png",
                    "cosplay_image": _OLD_ROOT + "characters\\ai_hoshino_cosplay.png",
                    "dance_video": "C:/oo/bar/output/dances/dance_ai_hoshino_idol.mp4",
                    "deliverable": _OLD_ROOT + "remixes\\ai_hoshino_idol\\REMIX_ai_hoshino_idol.mp4",
                },
                {"title": "neon", "dance_video": _OLD_ROOT + "remixes\\ai_hoshino_idol\\variants\\neon.mp4"},
            ],
        },
        "rem": {
            "name": "Rem",
            "anime": "Re:Zero",
            "assets": [
                {
                    "title": "primary",
                    "anime_image": f"{_BUCKET}/characters/rem.png",
                    "dance_video": _OLD_ROOT + "dances\\dance_rem_lost.mp4",
                }
            ],
        },
        "rem_2": {
            "name": "Rem, second look",
            "anime": "Re:Zero",
            "assets": [
                {
                    "title": "primary",
                    "anime_image": "c:\\OO\\Bar\\Output\\Characters\\REM_2.PNG",
                    "deliverable": "output/remixes/rem_2_spin/REMIX_rem_2_spin.mp4",
                    "reference": "https://example.com/mood-board",
                }
            ],
        },
    }


def _local_database() -> dict[str, dict[str, Any]]:
    miku = {
        "name": "Hatsune Miku",
        "anime": "Vocaloid",
        "assets": [{"title": "primary", "anime_image": _OLD_ROOT + "characters\\miku.png"}],
    }
    return {**_records(), "miku": miku}


def next_free(folder: Path) -> Path:
    """The folder, or the first of ``folder-2``, ``folder-3``, … that is not there or empty."""
    names = itertools.chain([folder], (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2)))
    return next(each for each in names if not _is_used(each))


def _is_used(folder: Path) -> bool:
    return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))


def build(directory: Path) -> None:
    """Makes the studio in a folder that is empty or not there. Raises UsageError if it holds anything."""
    if _is_used(directory):
        raise UsageError(
            f"{str(directory)!r} is not an empty folder, and the demo overwrites nothing",
            hint="name another: reconcile demo DIR",
        )
    (directory / RULES).parent.mkdir(parents=True, exist_ok=True)
    (directory / RULES).write_text(_rules(), encoding="utf-8")
    (directory / "data").mkdir()
    database = json.dumps(_local_database(), indent=2, ensure_ascii=False)
    (directory / "data" / "characters.json").write_text(f"{database}\n", encoding="utf-8")
    _write_files(directory / "output")
    _fill_stores(config.load(directory, environ={}))


_BUCKET_ENDPOINT = re.compile(r'(?m)^endpoint = ""(?= +# "" is Google; "http)')
_RECORDS_ENDPOINT = re.compile(r'(?m)^endpoint = ""(?= +# "" is Google; "127)')
_LOCAL_DB = re.compile(r"(?m)^# (?=\[local_db\]|path = |rewrite = )")


def _rules() -> str:
    """The rules that ``init`` writes, with stores in the folder and the pipeline's own database."""
    text = _BUCKET_ENDPOINT.sub('endpoint = "file:cloud/bucket"', config.template())
    text = _RECORDS_ENDPOINT.sub('endpoint = "file:cloud/records"', text)
    return _LOCAL_DB.sub("", text)


def _write_files(output: Path) -> None:
    made = time.time() - AN_HOUR
    for number, path in enumerate(_FILES):
        _write(output / path, _media(path), made + number)
    _write(output / "notes" / "ideas.txt", b"a red dress next time\n", made)
    _write(output / "remixes" / "rem_2_spin" / "render.tmp", b"half a render", made)


def _write(path: Path, data: bytes, modified: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (modified, modified))


def _media(path: str) -> bytes:
    if path.endswith(".png"):
        return png(path)
    return mp3(path) if path.endswith(".mp3") else mp4(path)


def _fill_stores(settings: Settings) -> None:
    bucket = Path(settings.bucket_endpoint.removeprefix("file:")) / settings.bucket.bucket
    objects = EmbeddedObjectStore.open(bucket, settings.bucket.prefix)
    for key in _MIGRATED:
        _put(objects, key, _media(key))
    objects.close()
    where = settings.records
    folder = Path(settings.records_endpoint.removeprefix("file:")) / where.project / where.database
    records = EmbeddedRecordStore.open(folder, where.collection)
    _put_all(records, _records())
    records.close()


def _put(objects: EmbeddedObjectStore, key: str, data: bytes) -> None:
    digest = encode_crc32c(crc32c.crc32c(data))
    objects.put(
        key, io.BytesIO(data), size=len(data), crc32c=digest, content_type=content_type(key), if_generation_match=0
    )


def _put_all(records: EmbeddedRecordStore, documents: Mapping[str, Mapping[str, Any]]) -> None:
    for char_id, fields in documents.items():
        records.put(char_id, fields)
