"""verify and restore as a process sees them: exit codes, documents, certificates, prompts, and the page about them."""

from __future__ import annotations

import io
import json
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reconcile.core.errors import ExitCode
from reconcile.core.report import OutcomeKind, Report, Status
from reconcile.core.report import build as report_of
from reconcile.views.report import RESTORE, show_report
from reconcile.views.terminal import Terminal
from tests.kit.at_terminal import Question, at_terminal
from tests.kit.small_project import KPOP, make_project, open_objects, open_records, put, write
from tests.unit.conftest import Answer

PAGE = "docs/proof.md"
REM = "characters/rem.png"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project in step."""
    folder = make_project(tmp_path / "studio")
    assert main(folder, "apply", "--yes", "--quiet") == 0
    return folder


def main(folder: Path, *arguments: str) -> int:
    from reconcile.__main__ import main as run

    return run(["-C", str(folder), *arguments])


@pytest.fixture
def run(project: Path, capfd: pytest.CaptureFixture[str]) -> Any:
    def command(*arguments: str) -> Answer:
        capfd.readouterr()
        code = main(project, *arguments)
        return Answer(code, *capfd.readouterr())

    return command


# -- verify --


def test_a_proof_that_holds_exits_0_and_one_that_does_not_2(run: Any, project: Path) -> None:
    found = run("verify", "--json")
    document = found.document("verify")
    assert found.code == 0, found.err
    assert (document["checked"], document["ok"], document["problems"]) == (3, 3, [])
    assert run("verify", "--quiet").out.splitlines()[-1].startswith("Proved: 3 of 3 references in 2 records, ")

    write(project, REM, b"drawn anew")
    found = run("verify", "--json")
    assert (found.code, [each["code"] for each in found.document("verify")["problems"]]) == (2, ["content_conflict"])
    text = run("verify", "--quiet")
    assert text.code == 2
    assert "content_conflict" in text.out
    assert "Not proved: 2 of 3" in text.out


def test_a_bucket_in_a_folder_has_no_urls_to_prove(run: Any) -> None:
    answer = run("verify", "--urls")
    assert answer.code == ExitCode.USAGE
    assert "there are no URLs of it" in answer.err
    assert len(answer.err.splitlines()) == 2


def test_certificates_are_written_whole_one_a_character(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "some" / "certificates"
    document = run("verify", "--json", "--out", str(out)).document("verify")
    day = document["created"][:10]
    assert sorted(path.name for path in out.iterdir()) == [f"ai_hoshino-{day}.json", f"rem-{day}.json"]
    assert document["certificates"] == [str(out / f"{name}-{day}.json") for name in ("ai_hoshino", "rem")]
    again = run("verify", "--quiet", "--out", str(out))
    assert len(list(out.iterdir())) == 2
    assert f"{out}/rem-{day}.json" in again.out


def test_the_certificate_of_one_character_may_be_one_file(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "rem.json"
    assert run("verify", "--char-id", "rem", "--out", str(out)).code == 0
    assert Answer(0, out.read_text("utf-8"), "").document("certificate")["char_id"] == "rem"


@pytest.mark.parametrize("arguments", [["all.json"], ["taken"], ["taken/below"], ["no/rem.json", "--char-id", "rem"]])
def test_an_out_that_cannot_be_is_refused_before_anything_is_read(
    run: Any, tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "taken").write_bytes(b"a file")
    answer = run("verify", "--local-root", "gone", "--out", str(tmp_path / arguments[0]), *arguments[1:])
    assert answer.code == ExitCode.USAGE
    assert "--out" in answer.err


def test_a_certificate_is_never_of_a_part_of_a_record(run: Any, project: Path, tmp_path: Path) -> None:
    records = open_records(project)
    gone = "gs://my-bucket/anime_dance/gone.mp4"
    records.put("rem", {"assets": [{"title": "primary", "kpop_video": gone}]})
    records.close()
    out = tmp_path / "certificates"
    assert run("verify", "--cloud-only", "--quiet", "--out", str(out)).code == 2
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    answer = run("verify", "--cloud-only", "--asset-type", "anime_image", "--out", str(out))

    assert answer.code == ExitCode.USAGE
    assert "a certificate is about everything that a record names" in answer.err
    assert "--asset-type and --path do not go with --out" in answer.err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    never = tmp_path / "never"
    assert run("verify", "--asset-type", "anime_image", "--out", str(never)).code == ExitCode.USAGE
    assert not never.exists()


def test_a_proof_says_on_which_server_it_was_made(run: Any, project: Path, tmp_path: Path) -> None:
    out = tmp_path / "rem.json"
    document = run("verify", "--json", "--char-id", "rem", "--out", str(out)).document("verify")
    certificate = Answer(0, out.read_text("utf-8"), "").document("certificate")
    stores = run("restore", "-n", "--json").document("restore-plan")["stores"]

    assert stores["bucket_endpoint"].startswith("file:")
    assert document["stores"] == certificate["stores"] == stores
    assert (document["bucket"], document["records"]) == (stores["bucket"], stores["records"])
    text = run("verify").out
    assert f"Local    {stores['local']}\n" in text
    assert f"Bucket   {stores['bucket']} at {stores['bucket_endpoint']}\n" in text
    assert f"Records  {stores['records']} at {stores['records_endpoint']}\n" in text
    assert "Local    none read\n" in run("verify", "--cloud-only").out


def test_a_character_named_twice_is_shown_once(run: Any) -> None:
    both = ("--char-id", "rem", "--char-id", "ai_hoshino", "--char-id", "rem")
    types = ("--asset-type", "kpop_version", "--asset-type", "anime_image", "--asset-type", "kpop_version")
    answer = run("verify", "--json", *both, *types).document("verify")

    assert answer["scope"] == {
        "char_ids": ["rem", "ai_hoshino"],
        "asset_types": ["kpop_version", "anime_image"],
        "paths": [],
    }
    assert "Scope    character rem\n" in run("verify", "--char-id", "rem", "--char-id", "rem").out


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")
def test_the_digest_of_a_certificate_can_be_checked_by_hand(run: Any, project: Path, tmp_path: Path) -> None:
    records = open_records(project)
    odd = 'gs://my-bucket/anime_dance/a "b" é\\u星\t\x1b[1m\x7f\x80/😀.png'
    records.put("rem", {"assets": [{"title": "prim\nary", "anime_image": odd}]})
    records.close()
    out = tmp_path / "rem.json"
    assert run("verify", "--char-id", "rem", "--out", str(out)).code == 2
    line = next(line for line in Path(PAGE).read_text("utf-8").splitlines() if line.startswith("jq "))
    command = line.partition("  #")[0].replace("certificates/ai_hoshino-2026-02-07.json", shlex.quote(str(out)))
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(out.read_text("utf-8"))["digest"] == f"sha256:{done.stdout.split()[0]}"


def test_names_can_do_no_harm(run: Any, project: Path) -> None:
    records = open_records(project)
    records.put(
        "rem", {"assets": [{"title": "[b]:star:", "anime_image": "gs://my-bucket/anime_dance/\x1b[31mx\ny.png"}]}
    )
    records.close()
    answer = run("verify", "--color", "always")
    assert "\\x1b[31mx\\ny.png" in answer.out
    assert "[b]:star:" in answer.out


def test_cloud_only_needs_no_root(run: Any, project: Path) -> None:
    assert run("verify", "--cloud-only", "--local-root", "never-there").code == 0
    answer = run("verify", "--local-root", "never-there")
    assert answer.code == ExitCode.FAILED
    shutil.rmtree(project / "output")
    answer = run("verify")
    assert answer.code == 0
    assert "has disappeared" in answer.err


# -- restore --


def test_a_dry_run_makes_nothing(run: Any, project: Path) -> None:
    shutil.rmtree(project / "output")
    answer = run("restore", "-n", "--json")
    assert answer.code == 0
    assert [each["path"] for each in answer.document("restore-plan")["actions"]] == [
        "characters/ai_hoshino.png",
        REM,
        KPOP,
    ]
    assert "To restore: 3 files (49.3 kB to fetch)" in run("restore", "-n", "--quiet").out
    assert not (project / "output").exists()


def test_files_come_back_with_a_result(run: Any, project: Path) -> None:
    shutil.rmtree(project / "output")
    answer = run("restore", "--yes", "--json")
    document = answer.document("result")
    assert (answer.code, document["status"], document["bytes"]) == (0, "success", 49_311)
    assert {each["kind"] for each in document["outcomes"]} == {"restore"}
    assert "Nothing to restore: 3 files there already." in run("restore", "--yes").out


def test_more_files_than_fit_on_a_screen_are_a_row_for_each_character_unless_all_are_asked_for(
    run: Any, project: Path
) -> None:
    objects = open_objects(project)
    for number in range(18):
        put(objects, f"remixes/rem_x/variants/v{number}.mp4", b"v" * 1000)
    objects.close()
    shutil.rmtree(project / "output")
    short, whole = run("restore", "--dry-run", "--quiet").out, run("restore", "--dry-run", "--quiet", "--verbose").out
    assert "v17.mp4" not in short
    assert [line.split() for line in short.splitlines() if line.startswith(("rem", "total"))] == [
        ["rem", "19", "18.1", "kB"],
        ["total", "21", "67.3", "kB"],
    ]
    assert "--verbose shows each file" in short
    assert sum(".mp4" in line for line in whole.splitlines()) == 19
    assert short.splitlines()[-1] == whole.splitlines()[-1]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows gives links to administrators only")
@pytest.mark.parametrize("scope", [(), ("--char-id", "rem")])
def test_a_restore_that_a_link_hides_files_from_is_no_success(
    run: Any, project: Path, tmp_path: Path, scope: tuple[str, ...]
) -> None:
    shutil.rmtree(project / "output" / "characters")
    (tmp_path / "elsewhere").mkdir()
    (project / "output" / "characters").symlink_to(tmp_path / "elsewhere")
    for dry in ("--dry-run", "--yes"):
        answer = run("restore", dry, *scope)
        assert answer.code == ExitCode.FAILED
        assert f"gs://my-bucket/anime_dance/{REM}" in answer.out
        assert "Nothing that can be restored" in answer.out
        assert "nothing is restored there" in answer.out
    document = run("restore", "--yes", "--json", *scope).document("result")
    assert (document["status"], document["outcomes"]) == ("partial", [])
    named = {each["subject"] for each in document["findings"] if each["code"] == "unreadable_file"}
    assert f"gs://my-bucket/anime_dance/{REM}" in named
    assert len(named) == (1 if scope else 2)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_everything_goes_with_no_scope(run: Any) -> None:
    assert run("restore", "--all", "--char-id", "rem").code == ExitCode.USAGE


def test_what_no_rule_takes_comes_with_all(run: Any, project: Path) -> None:
    objects = open_objects(project)
    put(objects, "old/sketch.bin", b"old")
    objects.close()
    assert run("restore", "--yes").code == 0
    assert not (project / "output" / "old").exists()
    assert run("restore", "--yes", "--all").code == 0
    assert (project / "output" / "old" / "sketch.bin").read_bytes() == b"old"


def test_a_restore_waits_for_the_lock(run: Any, project: Path) -> None:
    from reconcile.adapters.state.lock import ProjectLock

    shutil.rmtree(project / "output")
    with ProjectLock(project).acquire():
        assert run("restore", "--yes").code == ExitCode.LOCKED
        assert run("restore", "-n").code == 0
    assert not (project / "output").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")
@pytest.mark.parametrize(("typed", "code"), [(b"y\n", 0), (b"\n", 5), (signal.SIGINT, 130)])
def test_on_a_terminal_it_shows_the_files_and_asks(project: Path, typed: bytes | signal.Signals, code: int) -> None:
    shutil.rmtree(project / "output")
    question = Question(b"Restore these files? [y/N] ", b"characters/rem.png")
    assert at_terminal(["-C", str(project), "restore"], question, typed) == code
    assert (project / "output" / REM).exists() is (code == 0)


def shown_report(report: Report) -> str:
    stream = io.StringIO()
    show_report(Terminal(stream), report, RESTORE)
    return stream.getvalue()


@pytest.mark.parametrize("status", list(Status))
def test_every_end_says_what_to_do_next(status: Status) -> None:
    from reconcile.core.report import Outcome

    kinds = {
        Status.SUCCESS: (OutcomeKind.APPLIED,),
        Status.PARTIAL: (OutcomeKind.APPLIED, OutcomeKind.FAILED),
        Status.FAILED: (OutcomeKind.FAILED,),
        Status.STALE: (OutcomeKind.APPLIED, OutcomeKind.STALE),
        Status.INTERRUPTED: (OutcomeKind.APPLIED, OutcomeKind.NOT_STARTED),
    }[status]
    outcomes = [
        Outcome(id=str(kind), kind="restore", key=f"{kind.value}.png", outcome=kind, error="why") for kind in kinds
    ]
    interrupted = status is Status.INTERRUPTED
    text = shown_report(report_of("r", outcomes, (), moved=5, seconds=1.0, interrupted=interrupted))

    assert (status is Status.SUCCESS) is ("reconcile restore" not in text)
    assert ("failed.png: why" in text) is (OutcomeKind.FAILED in kinds)
