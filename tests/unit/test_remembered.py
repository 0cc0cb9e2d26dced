"""Documents that have not moved are remembered, and what is read is the same as without."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile import Project
from reconcile.adapters.state import documents
from reconcile.adapters.state.database import STATE, Layout
from reconcile.adapters.state.documents import LAYOUT, RememberedDocuments
from reconcile.commands.explain import explain
from reconcile.commands.verify import verify
from reconcile.config.environment import RULES
from reconcile.core.errors import StoreUnavailable
from reconcile.core.moment import Moment
from reconcile.core.opaque import Opaque
from reconcile.core.planfile import dumps
from reconcile.core.rows import Document
from reconcile.pipeline.planner import survey
from tests.kit.fakes import Records
from tests.kit.small_project import make_project
from tests.kit.steady import DEVIATIONS, steady
from tests.kit.world import World, titled


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory is used from one document on, and asks in small numbers."""
    for name, value in (("FEW", 0), ("_ASKED_TOGETHER", 4), ("_READ_TOGETHER", 3)):
        monkeypatch.setattr(documents, name, value)


@pytest.fixture
def records() -> Iterator[Records]:
    store = Records("characters")
    yield store
    store.close()


def all_of(records: Records, folder: Path, place: str = "here") -> list[Document]:
    """What a run reads, and forgets."""
    with RememberedDocuments(records, place, folder) as memory:
        found = list(memory.read(Moment()))
        memory.forget_others({each.id for each in found})
    return sorted(found, key=lambda each: each.id)


CHANGES = st.lists(
    st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["put", "remove", "anew"]), st.integers(0, 2)),
        max_size=4,
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=60)
@given(runs=CHANGES)
def test_whatever_is_written_between_runs_each_reads_what_is_there(
    tmp_path_factory: pytest.TempPathFactory, runs: list[list[tuple[str, str, int]]]
) -> None:
    folder, records = tmp_path_factory.mktemp("project"), Records("characters")
    for changes in runs:
        for name, how, value in changes:
            if how != "put":
                records.remove(name)
            if how != "remove":
                records.put(name, {"value": value, "deep": [{"x": 1.0, "none": None}]})
        assert all_of(records, folder) == list(records.read())
    kept = set[str]()
    if (file := folder / ".reconcile" / LAYOUT.name).exists():
        with sqlite3.connect(file) as database:
            kept = {name for (name,) in database.execute("SELECT id FROM documents")}
    assert kept == {each.id for each in records.read()}
    records.close()


def test_only_what_has_moved_is_read_again(records: Records, tmp_path: Path) -> None:
    for name in "abcde":
        records.put(name, {"name": name})
    all_of(records, tmp_path)
    records.reads.clear()
    assert len(all_of(records, tmp_path)) == 5
    assert records.reads == []
    records.put("b", {"name": "changed"})
    records.put("f", {"name": "new"})
    records.remove("c")
    assert {each.id: each.fields["name"] for each in all_of(records, tmp_path)} == {
        "a": "a", "b": "changed", "d": "d", "e": "e", "f": "new",
    }  # fmt: skip
    assert [set(each or ()) for each in records.reads] == [{"b", "f"}]


def test_a_document_with_an_earlier_time_than_before_is_read_again(records: Records, tmp_path: Path) -> None:
    """As after a backup was restored in the place of the database."""
    times = iter(["2026-02-07T03:00:00.000002Z", "2026-02-07T03:00:00.000001Z"])

    class Restored(Records):
        now = ""

        def versions(self, **options: object) -> Iterator[tuple[str, str]]:
            return ((document.id, document.update_time) for document in self.read())

        def read(self, *args: object, **options: object) -> Iterator[Document]:
            return iter([Document("a", {"at": self.now}, self.now)])

    restored = Restored("characters")
    for restored.now in times:
        assert [each.fields["at"] for each in all_of(restored, tmp_path)] == [restored.now]
    restored.close()


def test_nothing_is_taken_from_another_place(records: Records, tmp_path: Path) -> None:
    records.put("a", {"name": "here"})
    all_of(records, tmp_path)
    for place in ("there", "a third one"):
        records.reads.clear()
        all_of(records, tmp_path, place)
        assert records.reads == [None]
    records.put("a", {"name": "changed"})
    all_of(records, tmp_path, "there")
    with sqlite3.connect(tmp_path / ".reconcile" / LAYOUT.name) as database:
        database.execute("DELETE FROM documents WHERE place = 'here'")
        database.execute("INSERT INTO documents VALUES ('here', 'b', '1', x'80', 0)")
    records.reads.clear()
    all_of(records, tmp_path)
    assert [set(each or ()) for each in records.reads] == [{"a"}]


def test_each_server_project_database_and_collection_has_a_memory_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = make_project(tmp_path) / RULES
    text = rules.read_text("utf-8")
    kept = 'uri = "firestore://my-project/(default)/characters"', 'endpoint = "file:stores"'
    uris = ("my-project/(default)/characters", "other/(default)/characters", "my-project/b/characters")
    servers = [("", ""), ("127.0.0.1:8080", ""), ("127.0.0.1:8081", ""), ("", "127.0.0.1:8082")]
    places = set[str]()
    for uri, (endpoint, emulator) in product((*uris, "my-project/(default)/others"), servers):
        at, _, stores = text.partition(kept[0])
        stores = stores.replace(kept[1], f'endpoint = "{endpoint}"', 1)
        rules.write_text(f'{at}uri = "firestore://{uri}"{stores}', encoding="utf-8")
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", emulator)
        with Project.open(tmp_path).opened() as project:
            memory = project.remembered_documents
            assert memory is not None
            places.add(memory.place)
    assert len(places) == 4 * len(servers)


def test_a_few_documents_are_read_whole_and_nothing_is_kept_of_them(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "FEW", 2)
    for name in "ab":
        records.put(name, {"name": name})
    all_of(records, tmp_path)
    assert not (tmp_path / ".reconcile").exists()
    records.put("c", {"name": "c"})
    all_of(records, tmp_path)
    records.reads.clear()
    assert [each.id for each in all_of(records, tmp_path)] == ["a", "b", "c"]
    assert records.reads == []


def test_values_come_back_as_they_were(tmp_path: Path) -> None:
    fields = {
        "z": 2**63 - 1, "a": -(2**63), "whole": 1.0, "minus zero": -0.0, "nan": float("nan"), "flag": True,
        "none": None,
        "opaque": Opaque('{"timestampValue":"2026-02-07T03:00:00.000000Z"}'), "deep": [{"b": [], "a": {}}, "é😀"],
    }  # fmt: skip

    class Typed(Records):
        def read(self, *args: object, **options: object) -> Iterator[Document]:
            self.reads.append(None)
            return iter([Document("a", fields, "2026-02-07T03:00:00.000000Z")])

        def versions(self, **options: object) -> Iterator[tuple[str, str]]:
            return iter([("a", "2026-02-07T03:00:00.000000Z")])

    records = Typed("characters")
    [first], [again] = all_of(records, tmp_path), all_of(records, tmp_path)
    assert len(records.reads) == 1
    assert repr(again) == repr(first)
    assert list(again.fields) == list(first.fields)
    records.close()


@pytest.mark.parametrize("damage", [b"", b"\xc1", b"\x80\x80", b"\xd9\xff", b"\x91\x01"])
def test_what_is_damaged_is_read_again(records: Records, tmp_path: Path, damage: bytes) -> None:
    records.put("a", {"name": "a"})
    all_of(records, tmp_path)
    with sqlite3.connect(tmp_path / ".reconcile" / LAYOUT.name) as database:
        [(time,)] = database.execute("SELECT update_time FROM documents")
        values = (damage, documents._checksum("a", time, damage))
        database.execute("UPDATE documents SET fields = ?, checksum = ?", values)
    assert all_of(records, tmp_path) == list(records.read())
    records.reads.clear()
    assert all_of(records, tmp_path) == list(records._store.read())
    assert records.reads == []


def test_no_byte_of_a_document_can_change_unseen(records: Records, tmp_path: Path) -> None:
    records.put("a", {"name": "a", "size": 7})
    there = list(records.read())
    all_of(records, tmp_path)
    file = tmp_path / ".reconcile" / LAYOUT.name
    with sqlite3.connect(file) as database:
        [(data,)] = database.execute("SELECT fields FROM documents")
    for at in range(len(data)):
        spoilt = bytearray(data)
        spoilt[at] ^= 1
        with sqlite3.connect(file) as database:
            database.execute("UPDATE documents SET fields = ?", (bytes(spoilt),))
        assert all_of(records, tmp_path) == there


def test_a_document_is_not_taken_for_another_one_or_for_a_later_one(records: Records, tmp_path: Path) -> None:
    for name in "ab":
        records.put(name, {"name": name})
    there = list(records.read())
    all_of(records, tmp_path)
    with sqlite3.connect(tmp_path / ".reconcile" / LAYOUT.name) as database:
        database.execute("UPDATE documents SET fields = (SELECT fields FROM documents WHERE id = 'b') WHERE id = 'a'")
    assert all_of(records, tmp_path) == there
    records.put("a", {"name": "later"})
    there = list(records.read())
    with sqlite3.connect(tmp_path / ".reconcile" / LAYOUT.name) as database:
        database.execute("UPDATE documents SET update_time = ? WHERE id = 'a'", (there[0].update_time,))
    assert all_of(records, tmp_path) == there


def test_a_file_of_the_version_before_is_begun_afresh(records: Records, tmp_path: Path) -> None:
    records.put("a", {"name": "a"})
    all_of(records, tmp_path)
    with sqlite3.connect(tmp_path / ".reconcile" / LAYOUT.name) as database:
        database.executescript(
            "DROP TABLE documents; PRAGMA user_version = 1;"
            "CREATE TABLE documents (place TEXT, id TEXT, update_time TEXT, fields BLOB, UNIQUE (place, id));"
            "INSERT INTO documents VALUES ('here', 'a', '1', x'80');"
        )
    for _ in range(2):
        with RememberedDocuments(records, "here", tmp_path) as memory:
            assert list(memory.read(Moment())) == list(records._store.read())
            assert memory.warnings == ()
    assert records.reads == [None, None]


@pytest.mark.parametrize("layout", [STATE, LAYOUT], ids=lambda each: each.name)
def test_two_runs_may_make_a_file_at_the_same_time(layout: Layout) -> None:
    """Each of them saw that there was none."""
    with sqlite3.connect(":memory:") as database:
        for _ in range(2):
            database.executescript(layout.schema)


def test_a_file_that_is_no_database_is_set_aside_and_told(records: Records, tmp_path: Path) -> None:
    records.put("a", {"name": "a"})
    all_of(records, tmp_path)
    (tmp_path / ".reconcile" / LAYOUT.name).write_bytes(b"not a database" * 100)
    with RememberedDocuments(records, "here", tmp_path) as memory:
        assert [each.id for each in memory.read(Moment())] == ["a"]
        assert ["was set aside" in each for each in memory.warnings] == [True]


def test_a_document_that_goes_between_its_version_and_its_reading_is_not_there(
    records: Records, tmp_path: Path
) -> None:
    for name in "abc":
        records.put(name, {"name": name})
    all_of(records, tmp_path)
    records.put("b", {"name": "changed"})
    with RememberedDocuments(records, "here", tmp_path) as memory:
        reading = memory.read(Moment())
        first = next(reading)
        records.remove("b")
        assert {first.id, *(each.id for each in reading)} == {"a", "c"}


def test_a_failure_leaves_the_next_run_all_documents(records: Records, tmp_path: Path) -> None:
    records.put("a", {"name": "a"})
    all_of(records, tmp_path)
    records.put("b", {"name": "b"})
    records.down = True
    with pytest.raises(StoreUnavailable):
        all_of(records, tmp_path)
    records.down = False
    assert [each.id for each in all_of(records, tmp_path)] == ["a", "b"]


@settings(max_examples=40)
@given(seed=st.integers(0, 2**48))
def test_plans_with_a_memory_are_those_without(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    random, folder = Random(seed), tmp_path_factory.mktemp("project")
    with steady(random) as world:
        for _ in range(3):
            for _ in range(random.choice([0, 1, 2])):
                random.choice(DEVIATIONS[random.choice(list(DEVIATIONS))])(world, random)
            states, plans = dict(world.memory.states), []
            for cache in (True, False):
                world.memory.states = dict(states)
                world.options = msgspec.structs.replace(world.options, cache=cache)
                world.remembered_documents = RememberedDocuments(world.records, "here", folder)
                plans.append(dumps(msgspec.structs.replace(survey(world).plan, created="", estimate=None)))
                world.remembered_documents.close()
            assert plans[0] == plans[1]


def test_no_cache_verify_and_explain_read_the_records_themselves(tmp_path: Path) -> None:
    key = "characters/ann.png"
    with World() as world, RememberedDocuments(world.records, "here", tmp_path) as memory:
        world.both(key)
        world.record("ann", titled(anime_image=world.uri(key)))
        world.remembered_documents = memory
        for _ in range(2):
            world.records.reads.clear()
            survey(world)
        assert None not in world.records.reads
        for command in (lambda: verify(world), lambda: explain(world, "ann")):
            world.records.reads.clear()
            command()
            assert world.records.reads
        world.options = msgspec.structs.replace(world.options, cache=False)
        world.records.reads.clear()
        survey(world)
        assert None in world.records.reads
