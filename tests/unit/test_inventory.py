"""Inventory reports in place of a listing: which report is read, what it says, and what makes it no report."""

from __future__ import annotations

import io
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconcile.adapters.gcs.store import GcsObjectStore
from reconcile.adapters.inventory.report import LARGEST_MANIFEST, InventoryReport, newest
from reconcile.adapters.inventory.store import ReportedObjects
from reconcile.adapters.inventory.tables import LONGEST_LINE
from reconcile.core.errors import StoreError, UsageError
from reconcile.core.names import BucketRoot
from reconcile.core.rows import RemoteObject
from reconcile.ports import DesiredObject
from tests.kit.inventory import COLUMNS, CONFIG, TAKEN, Line, as_csv, line_of, manifest, report
from tests.servers.faults import Fault
from tests.servers.gcs import GcsServer

ROOT = BucketRoot("b", "anime_dance")
REPORTS = "gs://reports/of-b/"
ODD = ("a,b.png", 'q"uo"te.png', "sep\u2028arated.png", "é.png", "Z.png", "\U0001f600.png", "tab\there.png", " .png")
Files = dict[str, bytes]


class Place:
    """A bucket with objects, and a folder of another one with reports of it."""

    def __init__(self, server: GcsServer, spill: Path) -> None:
        self.server = server
        self._spill = spill
        self._open: list[Any] = []
        server.world.make_bucket("reports")

    def store(self, root: BucketRoot = ROOT) -> GcsObjectStore:
        self._open.append(GcsObjectStore(root.bucket, root.prefix, self.server.url, deadline=5))
        return self._open[-1]

    def fill(self, *keys: str) -> None:
        for key in keys:
            self.server.world.insert("b", ROOT.object_name(key), key.encode(), {"contentType": "image/png"})

    def lines(self) -> list[dict[str, Any]]:
        return [line_of("b", each) for each in self.server.world.objects("b").values()]

    def put(self, files: Files, folder: str = "of-b/") -> None:
        for name, data in files.items():
            self.server.world.insert("reports", f"{folder}{name}", data, {})

    def report(self, where: str = REPORTS) -> InventoryReport:
        return newest(where, self.store, "b")

    def reported(self, memory: int = 1 << 20) -> ReportedObjects:
        self._open.append(ReportedObjects(self.store(), ROOT, self.report(), memory, lambda: self._spill))
        return self._open[-1]

    def close(self) -> None:
        for each in reversed(self._open):
            each.close()


@pytest.fixture
def place(server: GcsServer, tmp_path: Path) -> Iterator[Place]:
    made = Place(server, tmp_path)
    yield made
    made.close()


def listed(found: list[RemoteObject]) -> list[str]:
    return [each.key for each in found]


@pytest.mark.parametrize("memory", [1 << 20, 2000])
@pytest.mark.parametrize("shards", [1, 3])
def test_a_report_in_any_order_gives_what_a_listing_gives(place: Place, shards: int, memory: int) -> None:
    place.fill(*ODD, *(f"characters/{number:04}.png" for number in range(1200)))
    place.server.world.insert("b", ROOT.object_name("packed.json"), b"{}", {"contentEncoding": "gzip"})
    lines = place.lines()
    random.Random(shards).shuffle(lines)
    place.put(report(lines, shards))
    found, live = place.reported(memory), place.store()
    assert list(found.list()) == list(live.list())
    assert list(found.list("characters/00")) == list(live.list("characters/00"))
    for first, stop in [
        ("", ""),
        ("characters/0499.png", "characters/0501.png"),
        ("a", "a,"),
        ("Z", ""),
        ("", "Z.png"),
    ]:
        assert list(found.between(first, stop)) == list(live.between(first, stop))


def test_everything_but_the_listing_is_live(place: Place) -> None:
    place.fill("old.png")
    place.put(report(place.lines()))
    found = place.reported()
    place.fill("new.png")
    assert listed(list(found.list())) == ["old.png"]
    new = found.get("new.png")
    assert new is not None
    assert b"".join(found.read("new.png")) == b"new.png"
    made = found.put(DesiredObject("more.png", 0, "AAAAAA==", "image/png", 0), io.BytesIO(b""))
    assert place.store().get("more.png") == made


def test_what_is_not_below_the_prefix_or_not_live_is_left_out(place: Place) -> None:
    place.fill("here.png")
    lines = place.lines()
    place.server.world.insert("b", "anime_dance2/there.png", b"x", {})
    place.server.world.insert("b", "there.png", b"x", {})
    gone = {**lines[0], "generation": "1", "timeDeleted": "2026-11-01T00:00:00Z"}
    place.put(report([*place.lines(), gone, {**gone, "name": "anime_dance/gone.png"}, {**lines[0], "bucket": "other"}]))
    assert listed(list(place.reported().list())) == ["here.png"]


def test_the_newest_report_that_is_finished_and_about_the_bucket_is_read(place: Place) -> None:
    place.fill("a.png")
    old = report(place.lines(), taken="2026-11-26T02:00:00Z")
    place.fill("b.png")
    place.put(old)
    place.put(report(place.lines(), taken="2026-11-27T02:00:00Z"))
    unfinished = report([], taken="2026-11-28T02:00:00Z")
    place.put({name: data for name, data in unfinished.items() if name.endswith(".csv")})
    about = {"object_metadata_report_options": {"storage_filters": {"bucket": "other"}}}
    place.put({f"{CONFIG}_2026-11-28T09:00_manifest.json": manifest(["x.csv"], 1, report_config=about)})
    assert place.report().taken == "2026-11-27T02:00:00Z"
    assert listed(list(place.reported().list())) == ["a.png", "b.png"]


def test_a_manifest_without_a_time_in_its_name_counts_by_what_it_says(place: Place) -> None:
    place.fill("a.png")
    place.put(report(place.lines(), taken="2026-11-26T02:00:00Z"))
    later = {"late.csv": as_csv(place.lines()), "late_manifest.json": manifest(["late.csv"], 1, "2026-11-27T02:00:00Z")}
    place.put(later)
    assert place.report().name == "gs://reports/of-b/late_manifest.json"


def test_a_manifest_of_the_other_spelling_is_read_too(place: Place) -> None:
    place.fill("a.png")
    files = {
        "x.csv": as_csv(place.lines()),
        "x_manifest.json": (
            b'{"snapshotTime": "2026-11-28T04:00:00+02:00", "recordsProcessed": "1", "shardCount": 1,'
            b' "reportNames": ["gs://reports/of-b/2026/x.csv"], "reportConfig": null}'
        ),
    }
    place.put(files, folder="of-b/2026/")
    assert place.report().taken == TAKEN
    assert listed(list(place.reported().list())) == ["a.png"]


@pytest.mark.parametrize(
    "written",
    [
        lambda lines: as_csv(lines, delimiter=";"),
        lambda lines: as_csv(lines, delimiter="|"),
        lambda lines: as_csv(lines, delimiter="\t"),
        lambda lines: as_csv(lines, separator="\r\n"),
        lambda lines: "\ufeff".encode() + as_csv(lines),
        lambda lines: as_csv(lines, COLUMNS[::-1]),
        lambda lines: b'"' + as_csv(lines).replace(b",", b'","', len(COLUMNS) - 1).replace(b"\n", b'"\n', 1),
        lambda lines: as_csv([{**each, "updated": f"{each['updated'][:-1].replace('T', ' ')} UTC"} for each in lines]),
    ],
)
def test_each_way_of_writing_csv_is_read(place: Place, written: Callable[[list[Line]], bytes]) -> None:
    place.fill(*ODD)
    place.put({"x.csv": written(place.lines()), "x_manifest.json": manifest(["x.csv"], len(ODD))})  # type: ignore[arg-type]
    assert list(place.reported().list()) == list(place.store().list())


def test_what_the_bucket_need_not_say_may_be_missing(place: Place) -> None:
    place.fill("a.png")
    columns = ("bucket", "name", "size", "crc32c", "generation", "contentType", "contentEncoding")
    place.put({"x.csv": as_csv(place.lines(), columns), "x_manifest.json": manifest(["x.csv"], 1)})
    [found], [live] = list(place.reported().list()), list(place.store().list())
    assert found == RemoteObject("a.png", live.size, live.generation, live.crc32c, "image/png")


# -- what is no report --


def torn(files: Files) -> None:
    name = next(each for each in files if each.endswith("_1.csv"))
    files[name] = files[name].rpartition(b"\n")[0].rpartition(b"\n")[0] + b"\n"


def cut(files: Files) -> None:
    name = next(each for each in files if each.endswith("_1.csv"))
    files[name] = files[name][:-60]


def replaced(old: bytes, new: bytes) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        for name, data in files.items():
            files[name] = data.replace(old, new)

    return change


def without(end: str) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        del files[next(each for each in files if each.endswith(end))]

    return change


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (without("_manifest.json"), r"gs://reports/of-b has no \*_manifest.json"),
        (lambda files: files.clear(), "gs://reports/of-b holds no inventory report"),
        (without("_1.csv"), r"_1\.csv is missing, which gs://reports/of-b/.*_manifest.json names"),
        (replaced(b'"shard_count": 2', b'"shard_count": 3'), "says that the report has 3 files, and names 2"),
        (torn, "says that the report has 4 rows; it has 3"),
        (cut, r"_1\.csv is torn: row 3 has \d+ columns, not 16"),
        (replaced(b'"records_processed": 4', b'"records_processed": 3'), "has 3 rows; it has more"),
        (replaced(b'"records_processed": 4', b'"records_processed": "x"'), "is not the manifest of an inventory"),
        (replaced(b'{"report_config"', b'["report_config"'), "is not the manifest of an inventory"),
        (replaced(b'"snapshot_time": "2026', b'"snapshot_time": "soon'), "which is not a time"),
        (replaced(b"generation,", b"generations,"), r"_0\.csv has no column generation; its columns are project"),
        (replaced(b",contentEncoding", b",x"), r"_0\.csv has no column contentEncoding"),
        (replaced(b"project,bucket,name", b"1,b,x"), "has no column bucket, name; its columns are 1"),
        (replaced(b",b,", b",other,"), "is about other, not about b"),
        (replaced(b"AAAA", b"AAA"), "row . of gs://reports/of-b/.* is not an object: .*crc32c"),
        (replaced(b"a.png", b"\xff.png"), "cannot be read as CSV"),
        (replaced(b"anime_dance/a.png", b'"anime_dance/a.png'), "cannot be read as CSV"),
        (replaced(b"b.png", b"a.png"), "has two objects of the name 'a.png'"),
    ],
)
def test_a_report_that_is_not_whole_gives_no_object(place: Place, spoil: Callable[[Files], None], says: str) -> None:
    place.server.world.insert("b", ROOT.object_name("empty"), b"", {})
    place.fill("a.png", "b.png", "c.png")
    files = report(place.lines(), 2)
    spoil(files)
    place.put(files)
    with pytest.raises(UsageError, match=says) as refused:
        next(place.reported().list())
    assert refused.value.hint


@pytest.mark.parametrize("at", [b"project", b"\n"], ids=["header", "rows"])
def test_a_line_without_an_end_is_not_held_in_memory(place: Place, at: bytes) -> None:
    place.fill("a.png")
    data = as_csv(place.lines()).replace(at, at + b"x," * LONGEST_LINE, 1)
    place.put({"x.csv": data, "x_manifest.json": manifest(["x.csv"], 1)})
    with pytest.raises(UsageError, match="it has a line of 1,048,576 characters"):
        next(place.reported().list())


def test_a_manifest_that_is_too_large_is_not_read(place: Place) -> None:
    place.fill("a.png")
    data = manifest(["x.csv"], 1) + b" " * LARGEST_MANIFEST
    place.put({"x.csv": as_csv(place.lines()), "x_manifest.json": data})
    with pytest.raises(UsageError, match=r"is not the manifest of an inventory report: it has [0-9,]+ bytes"):
        place.report()


def test_more_rows_than_the_manifest_says_are_not_put_on_disk(place: Place, tmp_path: Path) -> None:
    place.fill("a.png")
    [line] = place.lines()
    many = [{**line, "name": f"{line['name']}{number}"} for number in range(20_000)]
    place.put({"x.csv": as_csv(many), "x_manifest.json": manifest(["x.csv"], 2)})
    with pytest.raises(UsageError, match="has 2 rows; it has more"):
        next(place.reported(memory=2000).list())
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 100_000


def test_a_report_of_nothing_does_not_show_what_it_is_about(place: Place) -> None:
    place.put(report([]))
    with pytest.raises(UsageError, match="names no object"):
        next(place.reported().list())


def test_reports_about_other_buckets_alone_are_told_of(place: Place) -> None:
    about = {"objectMetadataReportOptions": {"storageFilters": {"bucket": "other"}}}
    place.put({"x_manifest.json": manifest(["x.csv"], 1, report_config=about)})
    with pytest.raises(UsageError, match="in gs://reports/of-b are about other, not about b"):
        place.report()


@pytest.mark.parametrize("where", ["reports", "gs://", "gs://reports/../x"])
def test_a_place_that_is_none_is_refused(place: Place, where: str) -> None:
    with pytest.raises(UsageError, match="is not gs://BUCKET/PREFIX"):
        place.report(where)


def test_a_report_that_may_not_be_read_is_no_part_of_the_assets_that_may_not_be_listed(place: Place) -> None:
    place.fill("a.png")
    place.put(report(place.lines()))
    found = place.reported()
    place.server.script.add(Fault(path="/b/reports/o", status=403, reason="forbidden", times=1 << 30))
    for read in (place.report, lambda: next(found.list())):
        with pytest.raises(StoreError, match="the inventory reports in gs://reports/of-b cannot be read") as refused:
            read()
        assert type(refused.value) is StoreError
        assert "roles/storage.objectViewer on gs://reports" in refused.value.hint


# -- Parquet --


def test_a_parquet_report_without_the_extra_says_which_it_is(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    place.put({"x.parquet": b"PAR1", "x_manifest.json": manifest(["x.parquet"], 1)})
    with pytest.raises(UsageError, match=r"x\.parquet is a Parquet file") as refused:
        next(place.reported().list())
    assert "reconcile[parquet]" in refused.value.hint


def test_a_parquet_report_gives_what_a_listing_gives(place: Place) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="reconcile[parquet] is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    import datetime

    place.fill(*ODD)
    rows = [
        {
            **{name: each.get(name) for name in COLUMNS},
            "size": int(each["size"]),
            "generation": int(each["generation"]),
            "metageneration": int(each["metageneration"]),
            "updated": datetime.datetime.fromisoformat(each["updated"]),
        }
        for each in place.lines()
    ]
    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    place.put({"x.parquet": file.getvalue(), "x_manifest.json": manifest(["x.parquet"], len(rows))})
    assert list(place.reported().list()) == list(place.store().list())
    place.put({"x.parquet": file.getvalue()[:-20]})
    with pytest.raises(UsageError, match="cannot be read as Parquet"):
        next(place.reported().list())
    parquet.write_table(pyarrow.Table.from_pylist([{"name": "x"}]), file := io.BytesIO())
    place.put({"x.parquet": file.getvalue()})
    with pytest.raises(UsageError, match=r"has no column bucket, size, .*, contentEncoding; its columns are name"):
        next(place.reported().list())
