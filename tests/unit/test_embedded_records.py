"""The embedded record store beyond the common suite: its file, its clock, its limits, several processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from reconcile.adapters.embedded.records import FILE_NAME
from reconcile.core.document_rules import MAX_DEPTH, id_problem, may_start_id, prefix_end
from reconcile.core.errors import Rejected, StoreUnavailable
from tests.kit.embedded import EmbeddedRecords
from tests.kit.windows import on_each_system  # noqa: F401

ADD = """
import sys
from pathlib import Path
from reconcile.adapters.embedded.records import EmbeddedRecordStore
from reconcile.core.errors import PreconditionFailed


store = EmbeddedRecordStore.open(Path(sys.argv[1]), "characters")
for number in range(25):
    while True:
        [seen] = store.read(["rem"])
        try:
            store.update("rem", {"assets": [*seen.fields["assets"], number]}, if_update_time=seen.update_time)
        except PreconditionFailed:
            continue
        break
"""


def open_in(directory: Path | None, collection: str = "characters") -> EmbeddedRecords:
    return EmbeddedRecords.open(directory, collection)


def test_documents_outlive_the_store(tmp_path: Path) -> None:
    first = open_in(tmp_path)
    time = first.create("rem", {"name": "レム", "assets": []})
    first.close()
    again = open_in(tmp_path)
    assert [(each.id, each.update_time) for each in again.read()] == [("rem", time)]
    assert again.fields("rem") == {"name": "レム", "assets": []}
    again.close()


def test_looking_makes_no_file(tmp_path: Path) -> None:
    store = open_in(tmp_path / "cloud")
    assert (list(store.ids()), list(store.read()), list(store.read(["rem"])), store.fields("rem")) == ([], [], [], None)
    assert list(tmp_path.iterdir()) == []


def test_looking_writes_nothing_to_the_file(tmp_path: Path) -> None:
    store = open_in(tmp_path)
    store.put("rem", {"assets": []})
    store.close()
    before = (tmp_path / FILE_NAME).read_bytes()
    reader = open_in(tmp_path)
    assert len(list(reader.read())) == len(list(reader.ids())) == 1
    reader.close()
    assert (tmp_path / FILE_NAME).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_collections_share_a_folder_and_nothing_else(tmp_path: Path) -> None:
    characters, shows = open_in(tmp_path), open_in(tmp_path, "shows")
    characters.put("rem", {"assets": []})
    shows.put("re_zero", {"assets": []})
    assert (list(characters.ids()), list(shows.ids())) == (["rem"], ["re_zero"])
    characters.close()
    shows.close()


def test_documents_are_shown_whole() -> None:
    store = open_in(None)
    store.put("rem", {"name": "Rem", "assets": [1]})
    assert [dict(each.fields) for each in store.read()] == [{"name": "Rem", "assets": [1]}]
    assert store.fields("rem") == {"name": "Rem", "assets": [1]}
    store.close()


def test_update_times_rise_though_the_clock_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_in(None)
    clock = iter([1_770_433_200_000_005_000, 1_770_433_200_000_005_999, 1_000_000_000_000_000_000])
    monkeypatch.setattr(time, "time_ns", lambda: next(clock))
    tokens = [store.put("rem", {"n": number}) for number in range(3)]
    assert tokens == ["2026-02-07T03:00:00.000005Z", "2026-02-07T03:00:00.000006Z", "2026-02-07T03:00:00.000007Z"]
    store.close()


def test_a_document_put_again_is_never_older(tmp_path: Path) -> None:
    store = open_in(tmp_path)
    first = store.put("rem", {"n": 1})
    store.remove("rem")
    assert store.put("rem", {"n": 1}) > first
    store.close()


def test_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    store = open_in(tmp_path)
    store.put("rem", {"name": "Rem", "assets": []})
    writers = [subprocess.Popen([sys.executable, "-c", ADD, str(tmp_path)]) for _ in range(3)]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    fields = store.fields("rem") or {}
    assert sorted(fields["assets"]) == sorted([*range(25)] * 3)
    assert fields["name"] == "Rem"
    store.close()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("no database, but long enough to be looked at as one" * 40)
    store = open_in(tmp_path)
    with pytest.raises(StoreUnavailable, match=FILE_NAME) as failure:
        list(store.ids())
    assert failure.value.hint
    store.close()


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "cloud").write_text("")
    with pytest.raises(StoreUnavailable, match="cloud"):
        open_in(tmp_path / "cloud").put("rem", {})


def test_values_are_kept_as_readable_json(tmp_path: Path) -> None:
    store = open_in(None)
    fields: dict[str, Any] = {
        "n": 1,
        "x": 1.0,
        "big": 2**63 - 1,
        "text": "é😀\n",
        "none": None,
        "assets": [{"ok": True}],
    }
    store.put("rem", fields)
    assert json.dumps(store.fields("rem")) == json.dumps(fields)
    store.close()


def nested(levels: int) -> dict[str, Any]:
    return reduce(lambda inner, _: {"a": inner}, range(levels), {"a": 1})


def test_values_nest_so_deep_and_no_deeper() -> None:
    store = open_in(None)
    store.put("rem", nested(MAX_DEPTH))
    with pytest.raises(Rejected, match="deeper"):
        store.put("rem", nested(MAX_DEPTH + 1))
    store.close()


@pytest.mark.parametrize(
    ("prefix", "end"),
    [
        ("rem", "ren"),
        ("a\U0010ffff", "b"),
        ("\ud7ff", "\ue000"),
        ("\U0010ffff", None),
        ("", None),
        ("-", "."),
        ("z😀", "z😁"),
    ],
)
def test_the_end_of_a_prefix_is_the_next_text(prefix: str, end: str | None) -> None:
    assert prefix_end(prefix) == end


def test_a_prefix_need_be_no_id() -> None:
    assert [prefix for prefix in (".", "..", "__x__", "", "rem") if not may_start_id(prefix)] == []
    assert [prefix for prefix in ("a/", "\ud800", "x" * 1_501) if may_start_id(prefix)] == []
    assert id_problem("__x__") == "the name is reserved"
