"""Builds the studio of the demo: small and messy, with real media, and with embedded stores in its own folder."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import crc32c
import msgspec

from reconcile.commands.demo_media import mp3, mp4, png, sample_file
from reconcile.config.environment import RULES
from reconcile.config.settings import load, template
from reconcile.core.digest import encode_crc32c
from reconcile.core.errors import UsageError
from reconcile.core.media import content_type
from reconcile.ports import DesiredObject
from reconcile.project import ClosedProject, OpenProject

AN_HOUR = 3600
_BUCKET_ENDPOINT = re.compile(r'(?m)^endpoint = ""(?= +# "" is Google; "http)')
_RECORDS_ENDPOINT = re.compile(r'(?m)^endpoint = ""(?= +# "" is Google; "127)')
_LOCAL_DB = re.compile(r"(?m)^# (?=\[local_db\]|path = |rewrite = )")


class Studio(msgspec.Struct, frozen=True):
    """The beginning of the demo: the ``files`` in the output folder, the keys that are ``migrated`` to the bucket, the
    ``records``, and the documents that only the ``local`` database has."""

    files: list[str]
    migrated: list[str]
    records: dict[str, dict[str, Any]]
    local: dict[str, dict[str, Any]]


def next_free(folder: Path) -> Path:
    """Returns the first of ``folder``, ``folder-2``, ``folder-3``, … that does not exist or is empty."""
    names = itertools.chain([folder], (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2)))
    return next(each for each in names if not _is_used(each))


def _is_used(folder: Path) -> bool:
    return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))


def build(directory: Path) -> None:
    """Builds the studio in a folder that is empty or does not exist. Raises UsageError if it holds anything."""
    if _is_used(directory):
        raise UsageError(
            f"{str(directory)!r} is not an empty folder, and the demo overwrites nothing",
            hint="name another: reconcile demo DIR",
        )
    (directory / RULES).parent.mkdir(parents=True, exist_ok=True)
    (directory / RULES).write_text(_rules(), encoding="utf-8")
    studio = msgspec.json.decode(sample_file("studio.json"), type=Studio)
    (directory / "data").mkdir()
    database = json.dumps(studio.records | studio.local, indent=2, ensure_ascii=False)
    (directory / "data" / "characters.json").write_text(f"{database}\n", encoding="utf-8")
    _write_files(directory / "output", studio.files)
    with ClosedProject(load(directory, environ={})).opened() as project:
        _fill_stores(project, studio)


def _rules() -> str:
    """Returns the rules that ``init`` writes, with stores in the folder and with the pipeline's own database."""
    text = _BUCKET_ENDPOINT.sub('endpoint = "file:cloud/bucket"', template())
    text = _RECORDS_ENDPOINT.sub('endpoint = "file:cloud/records"', text)
    return _LOCAL_DB.sub("", text)


def _write_files(output: Path, paths: Iterable[str]) -> None:
    made = time.time() - AN_HOUR
    for number, path in enumerate(paths):
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


def _fill_stores(project: OpenProject, studio: Studio) -> None:
    for key in studio.migrated:
        data, kind = _media(key), content_type(key)
        digest = encode_crc32c(crc32c.crc32c(data))
        project.objects.put(DesiredObject(key, len(data), digest, kind, 0), io.BytesIO(data))
    for char_id, fields in studio.records.items():
        project.records.create(char_id, fields)
