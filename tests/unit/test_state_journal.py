"""The journal's files: for their owner alone, whole lines, and a disk that is full is told before anything is done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconcile.adapters.state.journal import Journal
from reconcile.core.errors import JournalError
from reconcile.core.journal import RecordMade, RunStarted, encode
from reconcile.core.plan import Scope, Stores


def started(run_id: str) -> RunStarted:
    return RunStarted(
        run_id=run_id,
        started="2026-02-07T03:00:00Z",
        tool="reconcile 0",
        command="apply",
        scope=Scope(),
        stores=Stores("/x/output", "gs://b/p", "firestore://p/d/c"),
        fingerprint="f",
        actions=1,
    )


@pytest.mark.posix("modes are POSIX")
def test_nobody_else_can_read_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Journal(tmp_path).begin(started("run-1")).close()
    finally:
        os.umask(before)
    folder = tmp_path / ".reconcile" / "journal"
    assert folder.stat().st_mode & 0o777 == 0o700
    (file,) = folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_runs_are_read_newest_first_whatever_the_clock_said_and_foreign_files_are_passed_over(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.run_ids() == []
    for run_id in ("20260102-b", "20991231-a", "20260103-c"):
        journal.begin(started(run_id)).close()
    folder = tmp_path / ".reconcile" / "journal"
    (folder / "notes.txt").write_text("x")
    (folder / "zzz.jsonl").write_bytes(b"\x00\xffnonsense")
    assert [past.run.run_id for past in journal.runs()] == ["20260103-c", "20991231-a", "20260102-b"]
    assert journal.run_ids() == ["zzz", "20260102-b", "20991231-a", "20260103-c"]


def test_journals_from_before_the_numbers_come_first_in_their_own_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    folder = tmp_path / ".reconcile" / "journal"
    folder.mkdir(parents=True)
    for run_id in ("20991231-ahead", "20260101-old"):
        (folder / f"{run_id}.jsonl").write_bytes(encode(started(run_id)))
        (folder / f"{run_id}.jsonl").chmod(0o600)
    journal.begin(started("20260205-new")).close()
    assert [past.run.run_id for past in journal.runs()] == ["20260205-new", "20991231-ahead", "20260101-old"]
    found = journal.read("20260101-old")
    assert found is not None
    assert found.run.run_id == "20260101-old"
    with pytest.raises(JournalError, match="cannot be written"):
        journal.begin(started("20260101-old"))


def test_numbers_go_on_past_six_digits_and_past_a_run_that_was_removed(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin(started("a")).close()
    folder = tmp_path / ".reconcile" / "journal"
    (folder / "a.000001.jsonl").rename(folder / "a.999999.jsonl")
    journal.begin(started("c")).close()
    journal.begin(started("b")).close()
    (folder / "c.1000000.jsonl").unlink()
    assert journal.run_ids() == ["a", "b"]
    assert [path.name for path in folder.glob("b*")] == ["b.1000001.jsonl"]


@pytest.mark.posix("modes are POSIX")
@pytest.mark.parametrize("kind", ["writable by others", "a folder", "a link", "damaged"])
def test_a_run_that_cannot_be_believed_is_an_error_and_not_nothing(kind: str, tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin(started("run-1")).close()
    journal.begin(started("run-2")).close()
    (file,) = (tmp_path / ".reconcile" / "journal").glob("run-2.*")
    if kind == "writable by others":
        file.chmod(0o666)
    elif kind == "damaged":
        file.write_bytes(b"?" + file.read_bytes())
    else:
        file.unlink()
        file.mkdir() if kind == "a folder" else file.symlink_to(file.with_name("run-1.000001.jsonl"))
    with pytest.raises(JournalError, match="cannot be read"):
        journal.read("run-2")
    with pytest.raises(JournalError, match="cannot be read"):
        list(journal.runs())
    missed: list[JournalError] = []
    assert [past.run.run_id for past in journal.runs(missed)] == ["run-1"]
    assert len(missed) == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else")
def test_a_folder_that_another_user_may_not_enter_is_an_error_and_not_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin(started("run-1")).close()
    os.seteuid(65534)
    try:
        for attempt in (journal.run_ids, lambda: list(journal.runs()), lambda: journal.read("run-1")):
            with pytest.raises(JournalError, match=r"cannot be read: Permission denied"):
                attempt()
    finally:
        os.seteuid(0)


def test_a_journal_that_is_no_folder_is_an_error_and_not_nothing(tmp_path: Path) -> None:
    (tmp_path / ".reconcile").mkdir()
    (tmp_path / ".reconcile" / "journal").write_text("in the way")
    with pytest.raises(JournalError, match="cannot be read"):
        Journal(tmp_path).run_ids()
    with pytest.raises(JournalError, match="cannot be written"):
        Journal(tmp_path).begin(started("run-1"))


@pytest.mark.parametrize("run_id", ["..", "../x", "a/b", "", "x" * 65, "a\n"])
def test_a_run_id_never_leads_out_of_the_folder(tmp_path: Path, run_id: str) -> None:
    (tmp_path / "x.jsonl").write_text("secret")
    assert Journal(tmp_path).read(run_id) is None


def test_a_run_never_writes_into_another_run_s_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin(started("run-1")).close()
    with pytest.raises(JournalError, match="cannot be written"):
        journal.begin(started("run-1"))


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / ".reconcile").write_text("in the way")
    with pytest.raises(JournalError, match="cannot be written") as caught:
        Journal(tmp_path).begin(started("run-1"))
    assert "--no-journal" in caught.value.hint


FULL = """
import resource, signal, sys
from pathlib import Path
from reconcile.adapters.state.journal import Journal
from reconcile.core.errors import JournalError
from reconcile.core.journal import RecordMade
from tests.kit.windows import on_each_system  # noqa: F401
from tests.unit.test_state_journal import started

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder, limit = Path(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    log = Journal(folder).begin(started("run-1"))
except JournalError as error:
    sys.exit(f"begin: {error.message}")
try:
    for number in range(1000):
        log.write(RecordMade(id=str(number), document="c/x", fields={}), durable=True)
except JournalError as error:
    sys.exit(f"write {number}: {error.message}")
"""


@pytest.mark.posix("file size limits are POSIX")
@pytest.mark.parametrize(("limit", "when"), [(10, "begin:"), (1000, "write ")])
def test_a_disk_that_takes_no_more(tmp_path: Path, limit: int, when: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path), str(limit)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith(when)
    assert "cannot be written" in done.stderr
    past = Journal(tmp_path).read("run-1")
    # Begun in vain, it leaves nothing; cut short, every whole line is still told.
    assert (past is None) is (when == "begin:")
    if past is not None:
        assert [each.id for each in past.made] == [str(number) for number in range(len(past.made))] != []


def test_lines_of_several_threads_stay_whole(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with Journal(tmp_path).begin(started("run-1")) as log, ThreadPoolExecutor(8) as pool:
        for number in range(400):
            pool.submit(log.write, RecordMade(id=str(number), document="c/x", fields={"text": "y" * 5000}))
    past = Journal(tmp_path).read("run-1")
    assert past is not None
    assert {each.id for each in past.made} == {str(number) for number in range(400)}
