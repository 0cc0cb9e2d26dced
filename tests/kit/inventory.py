"""Inventory reports as Storage Insights writes them: files of rows, and a manifest at the end."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.servers.gcs_world import Stored

COLUMNS = (
    *("project", "bucket", "name", "location", "size", "timeCreated", "timeDeleted", "updated", "storageClass", "etag"),
    *("crc32c", "md5Hash", "generation", "metageneration", "contentType", "contentEncoding"),
)
"""As ``gcloud storage insights inventory-reports create`` has them, without a few that say nothing here."""
TAKEN = "2026-11-28T02:00:00Z"
CONFIG = "5b2ce4a1-76f1-4d6a-bb0a-4d7c1c9a4a10"

Line = Mapping[str, Any]


def line_of(bucket: str, stored: Stored) -> dict[str, Any]:
    """The row of an object."""
    said = stored.resource(bucket, "")
    return {"project": "1", **{name: said[name] for name in COLUMNS if name in said}}


def as_csv(
    lines: Iterable[Line], columns: Sequence[str] = COLUMNS, *, delimiter: str = ",", separator: str = "\n"
) -> bytes:
    """A file of rows."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, "", extrasaction="ignore", delimiter=delimiter, lineterminator=separator)
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue().encode()


def manifest(names: Sequence[str], records: int, taken: str = TAKEN, **more: Any) -> bytes:
    """What is written when the report is whole."""
    said = {
        "report_config": {"display_name": "nightly"},
        "records_processed": records,
        "snapshot_time": taken,
        "shard_count": len(names),
        "report_shards_file_names": list(names),
    }
    return json.dumps({**said, **more}).encode()


def report(lines: Sequence[Line], shards: int = 1, taken: str = TAKEN) -> dict[str, bytes]:
    """The files of a whole report, by name, in so many shards."""
    start = f"{CONFIG}_{taken[:16]}"
    files = {f"{start}_{number}.csv": as_csv(lines[number::shards]) for number in range(shards)}
    return {**files, f"{start}_manifest.json": manifest(list(files), len(lines), taken)}
