"""A want of descriptors: what is at work fits the limit, and a shortage is never taken for a file that is gone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconcile.adapters import descriptors
from reconcile.adapters.descriptors import fitting, is_shortage
from reconcile.adapters.embedded.objects import EmbeddedObjectStore
from reconcile.adapters.gcs.failures import Transient, of_failed
from reconcile.adapters.jsondb.store import JsonDatabase
from reconcile.adapters.lean_http import Failed, Http
from reconcile.adapters.local.settle import FirstLooks
from reconcile.adapters.local.store import LocalFiles
from reconcile.adapters.local.writing import LocalPlaces
from reconcile.core.errors import LocalDatabaseError, ReconcileError, SourceError, StoreUnavailable
from reconcile.core.rows import FileProblem
from tests.unit.test_requester_pays import put

resource = pytest.importorskip("resource", reason="Windows has no such limit")


class NoCache:
    """Remembers nothing."""

    def get(self, path: str) -> None:
        return None

    def put(self, *_: object) -> None:
        pass

    def drop(self, path: str) -> None:
        pass


def open_files(root: Path) -> LocalFiles:
    return LocalFiles(root, ignore=(), looks=FirstLooks(0), cache=NoCache())  # type: ignore[arg-type]


@contextmanager
def none_left() -> Iterator[None]:
    """No descriptor is to be had, as where a program has as many open as it may."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@contextmanager
def limited(most: int) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize(
    ("most", "asked", "given"), [(48, 64, 4), (64, 8, 8), (20, 64, 1), (256, 64, 56), (1024, 8, 8)]
)
def test_what_is_at_work_fits_the_limit(most: int, asked: int, given: int) -> None:
    with limited(most):
        found = fitting(asked)
    assert found == given


def test_a_file_that_cannot_be_opened_for_want_of_descriptors_is_not_called_changed(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    files = open_files(tmp_path)
    list(files.walk())
    error: ReconcileError | None = None
    with none_left():
        try:
            with files.open("a.png"):
                pass
        except ReconcileError as raised:
            error = raised
    assert type(error) is SourceError
    assert "too many open files (this process may have 3)" in error.message
    assert "--concurrency" in error.hint
    assert "any more" not in error.message


def test_a_walk_without_descriptors_makes_nothing_absent(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    error: ReconcileError | None = None
    with none_left():
        try:
            list(open_files(tmp_path).walk())
        except ReconcileError as raised:
            error = raised
    assert type(error) is SourceError
    assert "too many open files" in error.message
    assert "ulimit" in error.hint


def test_a_folder_met_without_descriptors_is_unreadable_and_says_so(tmp_path: Path) -> None:
    for name in [*(f"a/{number:03}" for number in range(100)), "b/x"]:
        file = tmp_path / f"{name}.png"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"x")
    rows = open_files(tmp_path).walk()
    assert next(rows).problem is None
    with none_left():
        later = list(rows)
    refused = [row for row in later if row.problem is not None]
    assert {row.problem for row in refused} == {FileProblem.UNREADABLE}
    assert all("too many open files" in str(row.detail) for row in refused)
    assert "b/" in {row.path for row in refused}
    assert len(later) == 100


def test_a_restore_without_descriptors_says_so(tmp_path: Path) -> None:
    error: ReconcileError | None = None
    places = LocalPlaces(tmp_path)
    with none_left():
        try:
            places.place("a.png", lambda _offset: iter([b"x"]), size=1, crc32c="", generation=1)
        except ReconcileError as raised:
            error = raised
    assert type(error) is SourceError
    assert "too many open files" in error.message
    assert "--concurrency" in error.hint


def test_the_local_database_without_descriptors_says_so(tmp_path: Path) -> None:
    path = tmp_path / "characters.json"
    path.write_text("{}")
    database = JsonDatabase(path, "assets")
    error: ReconcileError | None = None
    with none_left():
        try:
            list(database.ids())
        except ReconcileError as raised:
            error = raised
    assert type(error) is LocalDatabaseError
    assert "too many open files" in error.message
    assert "ulimit" in error.hint


def test_a_store_in_a_folder_without_descriptors_has_not_lost_its_bytes(tmp_path: Path) -> None:
    store = EmbeddedObjectStore.open(tmp_path, "")
    put(store, "a.png", b"x")  # type: ignore[arg-type]
    error: ReconcileError | None = None
    with none_left():
        try:
            list(store.read("a.png"))
        except ReconcileError as raised:
            error = raised
    assert isinstance(error, StoreUnavailable)
    assert "lost" not in error.message


def test_a_connection_without_descriptors_says_so() -> None:
    http = Http(deadline=1, connections=1)
    said: Failed | None = None
    with none_left():
        try:
            http.ask("GET", "http://127.0.0.1:9")
        except Failed as raised:
            said = raised
    assert said is not None
    assert is_shortage(said)
    error = of_failed(said, "gs://b")
    assert isinstance(error, Transient)
    assert not error.reached
    assert error.hint == descriptors.HINT


def test_other_errors_are_no_shortage() -> None:
    assert not is_shortage(FileNotFoundError(2, os.strerror(2)))
    assert not is_shortage(ValueError("x"))
