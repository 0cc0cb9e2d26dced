"""What does not fit in memory: the same plans, by way of a folder in which nothing stays."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from itertools import chain, pairwise
from operator import itemgetter
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.adapters import sorting
from reconcile.adapters.sorting import DocumentSpool, Sorter, Spill, Tuples
from reconcile.adapters.spill import SpillFile
from reconcile.core.changes import canonical
from reconcile.core.errors import SpillError
from reconcile.core.flat import packed, unpacked
from reconcile.core.notes import Note
from reconcile.core.opaque import Opaque
from reconcile.core.plan import Plan, Scope
from reconcile.core.planfile import dumps
from reconcile.core.rows import (
    Agreed,
    Answer,
    Candidate,
    Claim,
    Document,
    FileProblem,
    KeyRow,
    LocalFile,
    Outlook,
    RemoteObject,
    Row,
    Slot,
    Stream,
    World,
)
from reconcile.core.rules import Many
from reconcile.core.way import Titled
from reconcile.pipeline.engine import StreamEngine
from reconcile.pipeline.planner import survey
from reconcile.pipeline.survey import Survey
from tests.kit.engines import DictionaryEngine
from tests.kit.search import sparingly
from tests.kit.small_project import make_project
from tests.kit.world import World as Worlds
from tests.kit.worlds import Spec, ids_of, specs
from tests.unit.test_partial_permission import guard

NAMES = st.sampled_from(["a", "characters/rem.png", "\udcff.png", "\ud800", "é", "e\u0301", "\U0001f600", "K", ""])
SLOTS = st.builds(
    Slot,
    st.none() | st.integers(0, 3),
    st.none() | NAMES,
    NAMES,
    st.none() | st.integers(0, 3),
    st.just(()) | st.tuples(NAMES, st.integers(0, 3), st.builds(Titled, NAMES)),
    st.booleans(),
)
WORLDS, OUTLOOKS, TRUTHS = st.sampled_from(World), st.sampled_from(Outlook), st.booleans()
SIZES = st.integers(0, 2**63)
SUMS = st.none() | st.just("AAAAAA==")
VALUES = st.recursive(
    st.none() | TRUTHS | st.integers() | st.floats() | NAMES | st.builds(Opaque, st.just('{"timestampValue":"…"}')),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=6,
)
DOCUMENTS = st.builds(Document, NAMES, st.dictionaries(NAMES, VALUES, max_size=3), NAMES, st.none() | NAMES)
FILES = st.builds(LocalFile, NAMES, SIZES, SIZES, SUMS, st.none() | st.sampled_from(FileProblem), NAMES, NAMES)
OBJECTS = st.builds(RemoteObject, NAMES, SIZES, SIZES, SUMS, st.none() | NAMES, NAMES, NAMES)
STATES = st.builds(Agreed, NAMES, SIZES, st.just("AAAAAA=="), SIZES)
KINDS = {
    Stream.KEY: st.builds(
        KeyRow, NAMES, st.none() | NAMES, st.none() | FILES, st.none() | OBJECTS, st.none() | STATES, TRUTHS, TRUTHS
    ),
    Stream.REFERENCE: st.builds(
        Candidate, NAMES, WORLDS, NAMES, SLOTS, st.integers(0, 9), TRUTHS, TRUTHS, TRUTHS, TRUTHS
    ),
    Stream.ANSWER: st.builds(
        Answer, WORLDS, NAMES, SLOTS, SIZES, NAMES, SIZES, TRUTHS, TRUTHS, OUTLOOKS, SUMS, st.none() | NAMES
    ),
    Stream.CLAIM: st.builds(Claim, *[NAMES] * 5, st.sampled_from(Many), OUTLOOKS, SUMS, TRUTHS, SIZES | NAMES),
    Stream.RECORD: DOCUMENTS,
    Stream.LOCAL_RECORD: DOCUMENTS,
}
ROWS = st.sampled_from(sorted(KINDS)).flatmap(lambda kind: st.builds(Row, st.just(kind), NAMES, KINDS[kind]))


@given(ROWS)
def test_a_row_comes_back_from_bytes_as_it_was_whatever_its_names_and_values(row: Row) -> None:
    stream, value = unpacked(packed(row.stream, row.value))

    assert stream is row.stream
    assert repr(value) == repr(row.value)  # by which NaN is itself, and 1 is neither True nor 1.0


def test_a_value_of_a_clients_own_stands_as_its_repr_so_that_changes_keep_their_ids() -> None:
    fields = {"made": math, "of": [{"when": Opaque("{}")}, math.inf]}

    _, document = unpacked(packed(Stream.RECORD, Document("rem", fields, "1")))

    assert document.fields == {"made": Opaque(repr(math)), "of": [{"when": Opaque("{}")}, math.inf]}
    assert canonical(document.fields["made"]) == canonical(fields["made"])


# -- sorting --


@given(st.lists(ROWS, max_size=30), st.integers(0, 6000), st.integers(2, 4))
def test_a_sorter_gives_the_rows_in_order_of_the_key_and_those_of_one_key_as_they_came(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], memory: int, most: int
) -> None:
    folder = tmp_path_factory.mktemp("spill")
    with pytest.MonkeyPatch.context() as patched, Spill(memory, lambda: folder) as spill:
        patched.setattr(sorting, "_SMALLEST_RUN", 300)
        patched.setattr(sorting, "_MOST_RUNS", most)
        sorter = Sorter(spill)
        for row in rows:
            sorter.add(row.key, row)
            sorter.add(row.key)
        found = list(sorter)

        assert [key for key, _ in found] == sorted(key for row in rows for key in (row.key, row.key))
        assert repr([row for _, row in found if row is not None]) == repr(sorted(rows, key=itemgetter(1)))
        assert spill.held == 0


def test_tuples_of_one_name_come_together_and_as_they_came_wherever_a_block_or_a_run_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("_SMALLEST_RUN", 1200), ("_BLOCK", 700), ("_MOST_RUNS", 3)):
        monkeypatch.setattr(sorting, name, value)
    for seed in range(200):
        random = Random(seed)
        items = [(random.choice("abcé"), number) for number in range(random.randint(0, 60))]
        with Spill(random.choice([0, 4000, 2**20]), lambda: tmp_path) as spill:
            tuples = Tuples(spill)
            for each in items:
                tuples.add(each)
            batches = list(tuples.batches())
        assert list(chain.from_iterable(batches)) == sorted(items, key=itemgetter(0))
        assert all(one[-1][0] < other[0][0] for one, other in pairwise(batches))


def test_what_is_sorted_takes_no_more_than_its_memory_and_a_little(tmp_path: Path) -> None:
    most = 0
    with Spill(100_000, lambda: tmp_path) as spill:
        sorter = Sorter(spill)
        for number in range(20_000):
            sorter.add(f"{number:05}", Row(Stream.KEY, "a", KeyRow("a", None)))
            most = max(most, spill.held)

        assert sum(1 for _ in sorter) == 20_000
    assert most < 120_000


@given(st.lists(DOCUMENTS, max_size=8), st.integers(0, 8000))
def test_a_shelf_gives_its_documents_in_their_order_as_often_as_they_are_asked_for(
    tmp_path_factory: pytest.TempPathFactory, documents: list[Document], memory: int
) -> None:
    folder = tmp_path_factory.mktemp("spill")
    with Spill(memory, lambda: folder) as spill:
        shelf = DocumentSpool(spill, documents)

        assert repr(list(shelf)) == repr(documents)
        assert repr(list(zip(shelf, shelf, strict=True))) == repr(list(zip(documents, documents, strict=True)))


@given(
    st.lists(ROWS, max_size=20), st.lists(DOCUMENTS, max_size=4, unique_by=lambda each: each.id), st.integers(0, 9000)
)
def test_an_engine_that_spills_gives_every_key_once_with_all_of_its_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], documents: list[Document], memory: int
) -> None:
    folder = tmp_path_factory.mktemp("spill")
    last = [Row(Stream.RECORD, each.id, each) for each in documents]
    with Spill(memory, lambda: folder) as spill:
        found = list(StreamEngine(spill).group(rows, last=last))
    every = [*rows, *last]

    assert len({key for key, _ in found}) == len(found)
    assert _listed(found) == sorted((row.key, row.stream, repr(row.value)) for row in every)


def _listed(groups: list[Any]) -> list[tuple[str, str, str]]:
    return sorted((key, stream, repr(each)) for key, group in groups for stream, of in group.items() for each in of)


# -- plans --


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spill")


def _given(world: Worlds, memory: int, folder: Path) -> None:
    world.options = msgspec.structs.replace(world.options, memory=memory, spill=folder)


def _seen(found: Survey) -> tuple[bytes, Any, list[str]]:
    """All that a survey gives; of facts, who named a key is in no order."""
    facts = (msgspec.structs.replace(each, candidates=tuple(sorted(each.candidates, key=repr))) for each in found.facts)
    return _bytes_of(found.plan), found.tallies, sorted(map(repr, facts))


def _bytes_of(plan: Plan) -> bytes:
    return dumps(msgspec.structs.replace(plan, created=""))


MEMORIES = st.sampled_from([0, 500, 2000, 5000, 2**26])


@sparingly(40)
@given(spec=specs(), random=st.randoms(use_true_random=False), memory=MEMORIES, which=st.integers(0, 3))
def test_a_plan_is_the_plain_ones_byte_for_byte_whatever_the_memory(
    folder: Path, spec: Spec, random: Random, memory: int, which: int
) -> None:
    with spec.build(random) as world:
        ids, types = ids_of(spec), [rule.type for rule in world.asset_map.rules]
        trace = [thing.key for thing in spec.things]
        survey(world)  # after which the states that agree are remembered
        scopes = (Scope(), Scope(tuple(ids[:1])), Scope((), tuple(types[:1])), Scope(tuple(ids[:1]), tuple(types)))
        _given(world, 2**26, folder)
        plain = survey(world, scopes[which], engine=DictionaryEngine(random), trace=trace)
        _given(world, memory, folder)

        assert _seen(survey(world, scopes[which], trace=trace)) == _seen(plain)


@sparingly(40)
@given(spec=specs(), random=st.randoms(use_true_random=False), memory=MEMORIES)
def test_so_it_is_with_notes_of_workflows_and_where_parts_may_not_be_read(
    folder: Path, spec: Spec, random: Random, memory: int
) -> None:
    with spec.build() as world:
        keys = [thing.key for thing in spec.things]
        world._know(tuple(Note(key, random.choice([None, *ids_of(spec)])) for key in keys[:2]))
        shut = random.choice(keys)[: random.randrange(1, 14)]
        guard(world, shut, pages=random.choice([None, 0, 1, 2]), records=random.choice([(), ids_of(spec)[:1], None]))
        found: list[object] = []
        for engine, size in ((None, 2**26), (DictionaryEngine(random), 2**26), (None, memory)):
            _given(world, size, folder)
            try:
                found.append(_seen(survey(world, engine=engine)))
            except Exception as error:  # noqa: BLE001 nothing may be read at all, whatever the engine
                found.append(repr(error))

        assert found[1] == found[2]


# -- the folder --


def test_nothing_is_seen_in_the_folder_and_what_was_written_is_given_back(tmp_path: Path) -> None:
    with SpillFile(tmp_path) as file:
        places = [(file.append(each), len(each)) for each in (b"one", b"", b"three" * 50_000)]

        assert list(tmp_path.iterdir()) == [] or sys.platform == "win32"
        assert [file.read(at, size) for at, size in reversed(places)] == [b"three" * 50_000, b"", b"one"]
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from reconcile import Project, RunOptions
from reconcile.adapters import sorting
from reconcile.pipeline.planner import survey

merged = sorting.DocumentSpool.__iter__

def dying(self):
    if self._file is not None:
        print("spilled", flush=True)
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    return merged(self)

sorting.DocumentSpool.__iter__ = dying
options = RunOptions(memory=0, spill=Path(sys.argv[2]) if len(sys.argv) > 2 else None)
with Project.open(sys.argv[1]).opened(options) as project:
    survey(project)
"""


@pytest.mark.parametrize("given", [True, False], ids=["a folder of its own", "the project's"])
def test_a_run_that_is_killed_leaves_nothing_on_the_disk(tmp_path: Path, *, given: bool) -> None:
    project, spill = make_project(tmp_path / "project"), tmp_path / "spill"
    spill.mkdir()
    arguments = [str(project), str(spill)] if given else [str(project)]

    done = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stdout == "spilled\n", done.stderr
    assert done.returncode != 0
    assert list(spill.iterdir()) == []
    assert not [name for name in os.listdir(project / ".reconcile") if "spill" in name]


FULL = """
import resource, sys
from pathlib import Path
from reconcile.adapters.spill import SpillFile
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))
file = SpillFile(Path(sys.argv[1]))
for _ in range(4):
    file.append(bytes(1_000_000))
"""


@pytest.mark.posix("the size of files has a limit for a process")
def test_a_full_disk_is_told_with_the_folder_and_how_much_is_lacking(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )

    assert (
        f"the spill folder {tmp_path} is full: this run holds 3 MB there, and needs at least 1 MB more" in done.stderr
    )


def test_a_folder_that_is_not_there_is_told_when_it_is_needed(tmp_path: Path) -> None:
    with pytest.raises(SpillError, match="gone cannot be used: No such file"):
        SpillFile(tmp_path / "gone")


# -- the options --


def _plan(run: Any, *arguments: str) -> dict[str, Any]:
    return {**run("plan", "--json", *arguments).document("plan"), "created": None}


@pytest.mark.parametrize("memory", ["0K", "32M", "1.5 GiB"])
def test_a_command_plans_the_same_with_any_memory_and_another_folder(run: Any, tmp_path: Path, memory: str) -> None:
    plain = _plan(run)

    assert plain["actions"]
    assert _plan(run, "--engine", "stream", "--memory", memory, "--spill", str(tmp_path)) == plain
    assert run("status", "--memory", memory).out == run("status").out
    assert run("apply", "--memory", memory).code == 0
    assert _plan(run, "--memory", memory)["actions"] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--memory", "much"), "--memory: 'much' is not an amount of memory; write it as 512K, 32M or 1.5G"),
        (("--memory", "32"), "--memory: '32' is not an amount of memory"),
        (("--memory", "9" * 30 + "G"), "is more than any machine has"),
        (("--spill", "nowhere"), "--spill: there is no folder 'nowhere'"),
    ],
)
def test_what_is_no_amount_and_no_folder_is_told_before_anything_is_read(
    run: Any, arguments: tuple[str, ...], said: str
) -> None:
    answer = run("plan", *arguments)

    assert answer.code == 64
    assert said in answer.err


@pytest.mark.posix("nobody can write to /proc")
def test_a_folder_that_takes_nothing_ends_the_run_and_changes_nothing(run: Any) -> None:
    if not Path("/proc/self").is_dir():
        pytest.skip("there is no /proc here")
    before = _plan(run)
    answer = run("apply", "--memory", "0K", "--spill", "/proc")

    assert answer.code == 1
    assert "the spill folder /proc cannot be used" in answer.err
    assert "name another folder with --spill" in answer.err
    assert _plan(run) == before
