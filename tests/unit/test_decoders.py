"""Whatever stands in a file of ours, it is read as a value or refused with one of our errors."""

from __future__ import annotations

import contextlib
import datetime
import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconcile.adapters.jsondb.store import JsonDatabase
from reconcile.adapters.state.health import read_health
from reconcile.adapters.state.lock import ProjectLock
from reconcile.adapters.state.outbox import Outbox
from reconcile.adapters.state.store import State
from reconcile.cli.files import CERTIFICATE, MARKDOWN, PAGE, PLAN, OutputKind, write_whole
from reconcile.commands.watch_teller import check
from reconcile.config.environment import RULES
from reconcile.config.settings import load, template
from reconcile.core.errors import ReconcileError, UsageError
from reconcile.core.journal import past
from reconcile.core.planfile import loads
from reconcile.core.rows import Agreed, Hashed

HASH = Hashed(10, 2, 3, 4, "AAAAAA==")

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(2**63), 2**64, 0])
    | st.floats()
    | st.text(st.characters(codec=None), max_size=8)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)
HOSTILE = [
    b"",
    b"\0" * 100,
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"rem": ' + b"[" * 2000 + b"]" * 2000 + b"}",
    b'{"rem": {"assets": [], "assets": []}, "rem": {}}',
    b'{"rem": {"n": ' + b"9" * 6000 + b"}}",
    b'{"rem": {"n": NaN, "m": -Infinity, "k": 1e999}}',
    b'{"\\ud800": {"t": "\\udfff"}}',
    b'[{"id": 1}]',
    b'{"line":"run"}',
    b"x = " + b"[" * 5000,
    b"[local]\nroot = " + b"9" * 6000,
    b"[local]\nroot = 1979-05-27\n[[asset]]\ntype = 1",
]
bodies = (
    st.sampled_from(HOSTILE)
    | st.binary(max_size=60)
    | values.map(lambda value: json.dumps(value, default=str).encode())
)


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        (path / ".reconcile" / "outbox").mkdir(parents=True, mode=0o700)
        (path / ".reconcile").chmod(0o700)
        yield path


@settings(max_examples=60, deadline=None)
@given(bodies)
def test_a_plan_file_is_a_plan_or_an_error(data: bytes) -> None:
    with contextlib.suppress(ReconcileError):
        loads(data, "plan.json")


@settings(max_examples=60, deadline=None)
@given(values.filter(lambda value: isinstance(value, dict)) | st.just({}))
def test_a_plan_file_of_our_format_is_a_plan_or_an_error(fields: dict[str, Any]) -> None:
    data = json.dumps({**fields, "format": "reconcile.plan/1", "actions": [fields]}, default=str).encode()
    with pytest.raises(ReconcileError):
        loads(data, "plan.json")


@settings(max_examples=60, deadline=None)
@given(st.lists(bodies, max_size=4))
def test_a_journal_is_what_can_be_read_of_it(lines: list[bytes]) -> None:
    past(b"\n".join(lines))


@settings(max_examples=50, deadline=None)
@given(bodies)
def test_small_files_of_ours_are_read_or_passed_over(data: bytes) -> None:
    with folder() as project:
        state = project / ".reconcile"
        for name in ("lock.json", "watch-health.json", "outbox/0.json", "outbox/failed"):
            (state / name).write_bytes(data)
        Outbox(project).notes()
        Outbox(project).failed_within(30)
        ProjectLock(project).holder()
        read_health(project)


@pytest.mark.parametrize("when", ["soon", "", "2026-01-01T00:00:00", "9" * 5000, "\ud800"])
def test_a_watcher_whose_times_are_none_is_not_well(when: str) -> None:
    with folder() as project:
        health = {
            "format": "f", "pid": 1, "host": "elsewhere", "since": when, "heard": when, "state": "watching",
            "last_good_pass": when, "last_error": None, "pending": 0, "incomplete": 0,
        }  # fmt: skip
        (project / ".reconcile" / "watch-health.json").write_text(json.dumps(health))
        assert check(project, 60, datetime.datetime.now(datetime.UTC))[1]


HEADS = {
    PLAN: b'{"format": "reconcile.plan/1"',
    CERTIFICATE: b'{"format": "reconcile.certificate/1"',
    PAGE: b"<!doctype html>\n<title>reconcile: ",
    MARKDOWN: b"## reconcile: ",
}
MARKS = {
    PLAN: b'"reconcile.plan/',
    CERTIFICATE: b'"reconcile.certificate/',
    PAGE: b"<title>reconcile: ",
    MARKDOWN: b"## reconcile: ",
}
heads = st.sampled_from(list(HEADS.values())).flatmap(lambda head: st.binary(max_size=60).map(lambda tail: head + tail))


@pytest.mark.parametrize("kind", HEADS, ids=lambda kind: kind.name)
@settings(max_examples=60, deadline=None)
@given(data=bodies | heads)
@example(data=b"\xef\xbb\xbf" + HEADS[CERTIFICATE])
@example(data=b"<!doctype html>" + b"x" * 3000 + b"<title>reconcile: ")
@example(data=b" " * 5000 + HEADS[CERTIFICATE])
def test_a_proof_or_another_result_takes_the_place_of_an_older_one_and_of_nothing_else(
    kind: OutputKind, data: bytes
) -> None:
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "result"
        out.write_bytes(data)
        try:
            write_whole(out, b"new", kind)
        except UsageError:
            assert out.read_bytes() == data
            assert not data.startswith(HEADS[kind])
        else:
            assert out.read_bytes() == b"new"
            assert MARKS[kind] in data[:4096]
        assert list(Path(name).iterdir()) == [out]


@settings(max_examples=60, deadline=None)
@given(bodies)
def test_rules_are_settings_or_an_error(data: bytes) -> None:
    with folder() as project:
        (project / "rules").mkdir()
        (project / RULES).write_bytes(data)
        with contextlib.suppress(ReconcileError):
            load(project, environ={})


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["BUCKET_URI", "BUCKET_ENDPOINT", "RECORDS_URI", "RECORDS_ENDPOINT", "LOCAL_ROOT"]), st.text())
def test_an_environment_is_settings_or_an_error(name: str, value: str) -> None:
    with folder() as project:
        (project / "rules").mkdir()
        (project / RULES).write_text(template())
        with contextlib.suppress(ReconcileError):
            load(project, environ={f"RECONCILE_{name}": value})


@settings(max_examples=60, deadline=None)
@given(bodies)
def test_a_local_database_is_documents_or_an_error(data: bytes) -> None:
    with folder() as project:
        path = project / "characters.json"
        path.write_bytes(data)
        with contextlib.suppress(ReconcileError):
            for document in JsonDatabase(path, "assets", wait=lambda _: None).read():
                assert document.id


cells = st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.binary(max_size=6) | st.text(max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["hashes", "agreed", "sessions", "facts"]), st.lists(cells, min_size=8, max_size=8))
@example("hashes", ["a", -1, 2, 3, 4, "AAAAAA==", "", 0])
@example("agreed", ["a", 1.5, "AAAAAA==", 1, 0, 0, 0, 0])
@example("facts", ["files", b"\xff", 0, 0, 0, 0, 0, 0])
def test_a_row_of_the_state_is_what_it_says_or_the_file_is_made_anew_once(table: str, row: list[object]) -> None:
    with folder() as project:
        with State(project) as state:
            state.put("z", HASH)
        with sqlite3.connect(project / ".reconcile" / "state.db") as db:
            width = len(db.execute(f"PRAGMA table_info({table})").fetchall())
            # As text whatever it is, so that what is not UTF-8 is among it.
            cell = "CASE WHEN typeof(?1) = 'blob' THEN CAST(?1 AS TEXT) ELSE ?1 END"
            marks = ", ".join(cell.replace("?1", f"?{number + 1}") for number in range(width))
            try:
                db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", row[:width])
            except sqlite3.IntegrityError:
                return  # a key that is null
        db.close()
        with State(project) as state:
            for path in ("", "a", "z", str(row[0])):
                try:
                    found = state.get(path)
                except UnicodeEncodeError:
                    continue
                assert found is None or [type(value) for value in found] == [int, int, int, int, str, str, int]
            known = [msgspec.to_builtins(each) for each in state.all()]
            assert [msgspec.convert(each, Agreed) for each in known] == list(state.all())
            fact = state.fact("files")
            assert fact is None or isinstance(fact, str | int)
            state.sessions.get("a", "AAAAAA==", 1)
            assert len(state.warnings) <= 1
            state.put("after", HASH)
        with State(project) as state:
            assert (state.get("after"), state.warnings) == (HASH, ())


def test_a_value_of_absurd_size_is_not_read_into_memory(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        state.put("z", HASH)
    with sqlite3.connect(tmp_path / ".reconcile" / "state.db") as db:
        db.execute("UPDATE hashes SET crc32c = CAST(zeroblob(20000000) AS TEXT)")
    db.close()
    with State(tmp_path) as state:
        assert state.get("z") is None
        assert len(state.warnings) == 1
    with State(tmp_path) as state:
        assert state.warnings == ()
