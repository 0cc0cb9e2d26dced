"""Finds the newest complete inventory report in a folder by its manifest, which Storage Insights writes last."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Collection, Generator
from typing import Any

import msgspec

from reconcile.core.errors import AccessDenied, NotThere, StoreError, UsageError
from reconcile.core.names import BucketRoot
from reconcile.ports import ObjectStore

MANIFEST = "_manifest.json"
LARGEST_MANIFEST = 64 * 2**20
"""Bytes: several hundred thousand files, each of a million objects."""
AGAIN = "wait for the next report, or plan without --objects-from"
_STAMP = re.compile(rf"_(\d{{4}}-\d\d-\d\dT\d\d:\d\d)[^_/]*{re.escape(MANIFEST)}")
_CAMEL = re.compile("[A-Z]")


class Manifest(msgspec.Struct, frozen=True):
    """A report's manifest: when the bucket was read, the report's files, and its number of rows.

    Some versions name the files in ``report_names``, by URI.
    """

    snapshot_time: str
    records_processed: int
    shard_count: int | None = None
    report_shards_file_names: tuple[str, ...] = ()
    report_names: tuple[str, ...] = ()
    report_config: Any = None

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the report's files, which are in the folder of the manifest."""
        return tuple(each.rpartition("/")[2] for each in self.report_shards_file_names or self.report_names)

    @property
    def source(self) -> str | None:
        """The bucket that the report is about, if the manifest says so."""
        found = self.report_config
        for name in ("object_metadata_report_options", "storage_filters", "bucket"):
            found = _snake(found).get(name)
        return found if isinstance(found, str) else None


class ReportFile(msgspec.Struct, frozen=True):
    """One file of a report: where the report is, the file's key there, the URI of the manifest, and how many rows all
    files have."""

    root: BucketRoot
    key: str
    manifest: str
    records: int

    @property
    def uri(self) -> str:
        """The file's URI."""
        return self.root.uri(self.key)

    def read(self, folder: ObjectStore) -> Generator[bytes, None, None]:
        """Yields the file's content from ``folder``, the objects below the report's root. Raises UsageError if it is
        missing, and StoreError."""
        try:
            yield from folder.read(self.key)
        except NotThere as error:
            raise _missing(self) from error
        except AccessDenied as error:
            raise _denied(self.root, error) from error


class InventoryReport:
    """One report in ``folder``, the objects below ``root``.

    ``name`` is its manifest's URI, ``taken`` when the bucket was read (RFC 3339), and ``records`` its number of rows.
    """

    def __init__(self, root: BucketRoot, folder: ObjectStore, key: str, manifest: Manifest) -> None:
        self.folder = folder
        self.name = root.uri(key)
        self.taken = _moment(manifest.snapshot_time, self.name)
        self.records = manifest.records_processed
        own = key[: key.rfind("/") + 1]
        self.files = tuple(ReportFile(root, own + each, self.name, self.records) for each in manifest.files)
        if manifest.shard_count not in (None, len(set(self.files))):
            raise UsageError(
                f"{self.name} says that the report has {manifest.shard_count} files, and names {len(set(self.files))}",
                hint=AGAIN,
            )


def newest(uri: str, objects_at: Callable[[BucketRoot], ObjectStore], bucket: str) -> InventoryReport:
    """Returns the newest report below this URI that is about this bucket, as far as the manifests say.

    A report without a manifest is unfinished and skipped. Raises UsageError if there is no report, or a file that the
    manifest names is missing; and StoreError.
    """
    try:
        root = BucketRoot.parse(uri)
    except ValueError as error:
        raise UsageError(str(error), hint="name the folder of a bucket that holds the reports") from error
    folder = objects_at(root)
    try:
        keys = {each.key: each.size for each in folder.list()}
        manifests = sorted(((_stamp(key), key) for key in keys if key.endswith(MANIFEST)), reverse=True)
        found, others = None, set[str]()
        for stamp, key in manifests:
            if found is not None and stamp < found.taken[: len(stamp)]:
                break
            if keys[key] > LARGEST_MANIFEST:
                raise _no_manifest(root.uri(key), f"it has {keys[key]:,} bytes")
            manifest = _read(root, folder, key)
            if manifest.source not in (None, bucket):
                others.add(str(manifest.source))
                continue
            report = InventoryReport(root, folder, key, manifest)
            if found is None or report.taken > found.taken:
                found = report
    except AccessDenied as error:
        raise _denied(root, error) from error
    if found is None:
        raise _none(root, keys, others, bucket)
    for file in found.files:
        if file.key not in keys:
            raise _missing(file)
    return found


def _stamp(key: str) -> str:
    """Returns the time in a manifest's name, or without one a text that sorts after all times, so that it is read."""
    found = _STAMP.search(key)
    return "~" if found is None else found[1]


def _read(root: BucketRoot, folder: ObjectStore, key: str) -> Manifest:
    try:
        found = msgspec.json.decode(b"".join(folder.read(key)))
        return msgspec.convert(_snake(found), Manifest, strict=False)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _no_manifest(root.uri(key), str(error)) from error


def _no_manifest(uri: str, why: str) -> UsageError:
    return UsageError(
        f"{uri} is not the manifest of an inventory report: {why}", hint="name the folder that holds the reports alone"
    )


def _snake(found: Any) -> dict[str, Any]:
    """Returns a JSON object with its names in snake case, which some versions use; empty for anything else."""
    if not isinstance(found, dict):
        return {}
    return {_CAMEL.sub(lambda letter: f"_{letter[0].lower()}", name): value for name, value in found.items()}


def _moment(text: str, where: str) -> str:
    try:
        return utc(text).strftime("%Y-%m-%dT%H:%M:%SZ")
    except ValueError as error:
        raise UsageError(f"{where} has {text!r} for a snapshot_time, which is not a time", hint=AGAIN) from error


def utc(text: str) -> datetime.datetime:
    """Returns an ISO 8601 time in UTC, which is assumed if it names no zone. Raises ValueError for any other text."""
    found = datetime.datetime.fromisoformat(text)
    return found.replace(tzinfo=found.tzinfo or datetime.UTC).astimezone(datetime.UTC)


def _none(root: BucketRoot, keys: Collection[str], others: Collection[str], bucket: str) -> UsageError:
    if others:
        return UsageError(
            f"the inventory reports in {root} are about {', '.join(sorted(others))}, not about {bucket}",
            hint=f"name the folder with the reports about {bucket}",
        )
    what = f"has no *{MANIFEST}, so no report there is whole" if keys else "holds no inventory report"
    return UsageError(
        f"{root} {what}",
        hint="`gcloud storage insights inventory-reports create` makes one a day; the first takes up to two days",
    )


def _missing(file: ReportFile) -> UsageError:
    return UsageError(f"{file.uri} is missing, which {file.manifest} names", hint=AGAIN)


def _denied(root: BucketRoot, error: AccessDenied) -> StoreError:
    # Not AccessDenied, which would mean that some of the assets may not be listed.
    return StoreError(
        f"the inventory reports in {root} cannot be read: {error.message}",
        hint=f"reading them requires roles/storage.objectViewer on gs://{root.bucket}",
    )
