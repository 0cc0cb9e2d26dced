"""What --out writes: never over work, whole or not at all, and to stdout where it is asked to."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from reconcile.__main__ import main
from tests.kit.small_project import make_project, write
from tests.kit.windows import on_each_system  # noqa: F401
from tests.unit.conftest import Answer

posix_only = pytest.mark.posix("POSIX")

WRITERS: dict[str, list[str]] = {
    "plan": ["plan", "--out"],
    "report": ["report", "--out"],
    "certificate": ["verify", "--char-id", "rem", "--out"],
}
ENDS = {"plan": ".json", "report": ".html", "certificate": ".json"}


@pytest.fixture
def studio(project: Path) -> Path:
    """The small project, with a local database."""
    (project / "data").mkdir()
    (project / "data" / "characters.json").write_text('{"ai_hoshino": {"assets": []}, "rem": {"assets": []}}')
    rules = project / "rules" / "asset_map.toml"
    text = rules.read_text(encoding="utf-8")
    rules.write_text(text + '\n[local_db]\npath = "data/characters.json"\n', encoding="utf-8")
    return project


def everything(folder: Path) -> dict[str, bytes]:
    """Each file but what the tool remembers."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and ".reconcile" not in path.parts)
    return {str(path): path.read_bytes() for path in files}


def refused(run: Any, command: list[str], out: Path | str, folder: Path, word: str) -> None:
    before = everything(folder.parent)
    answer = run(*command, str(out), folder=folder)
    assert answer.code == 64, (command, out, answer.err)
    assert word in answer.err
    assert "hint: " in answer.err
    assert everything(folder.parent) == before


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(
    ("place", "word"),
    [
        ("data/characters.json", "database"),
        ("output/characters/rem.png", "local root"),
        ("output/new", "local root"),
        ("rules/asset_map.toml", "rules file"),
        (".reconcile/new", "memory"),
        ("data/../output/../output/characters/new", "local root"),
        ("stores/my-bucket/new", "store"),
    ],
)
def test_nothing_of_the_project_s_work_is_written_over_or_into(
    name: str, place: str, word: str, run: Any, studio: Path
) -> None:
    run("status", folder=studio)
    if name == "report" and "." not in place.rsplit("/", 1)[1]:
        place += ".html"
    if name != "plan" and place.endswith((".json", ".png", ".toml")) and ENDS[name] not in place:
        word = "--out"  # refused for its name alone
    refused(run, WRITERS[name], studio / place, studio, word)
    if name == "plan":
        before = os.getcwd()
        os.chdir(studio)
        try:
            refused(run, WRITERS[name], place, studio, word)
        finally:
            os.chdir(before)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("content", [b"", b"precious", b"{}", b'{"format": "another/1"}', b"\xff\x00" * 5000])
def test_a_file_that_is_not_one_of_ours_is_left_as_it_is(name: str, content: bytes, run: Any, studio: Path) -> None:
    out = studio / f"mine{ENDS[name]}"
    out.write_bytes(content)
    refused(run, WRITERS[name], out, studio, "it was left as it is")


@pytest.mark.parametrize("name", WRITERS)
def test_one_of_ours_of_that_kind_is_written_anew(name: str, run: Any, studio: Path) -> None:
    out = studio / f"mine{ENDS[name]}"
    for _ in range(2):
        assert run(*WRITERS[name], str(out), folder=studio).code in (0, 2)
        out.chmod(0o600)
        out.write_bytes(out.read_bytes() + b" ")
    assert run(*WRITERS[name], str(out), folder=studio).code in (0, 2)
    assert not out.read_bytes().endswith(b" ")


def test_markdown_is_written_over_markdown_and_not_over_a_page(run: Any, studio: Path) -> None:
    for name in ("r.md", "r.html"):
        for _ in range(2):
            assert run("report", "--out", str(studio / name), folder=studio).code == 0
    (studio / "r.md").write_bytes((studio / "r.html").read_bytes())
    refused(run, ["report", "--out"], studio / "r.md", studio, "it was left as it is")


def test_one_of_ours_of_another_kind_is_left_as_it_is(run: Any, studio: Path) -> None:
    plan = studio / "plan.json"
    assert run("plan", "--out", str(plan), folder=studio).code == 0
    refused(run, WRITERS["certificate"], plan, studio, "not a certificate")


@posix_only
@pytest.mark.parametrize("name", WRITERS)
def test_links_lead_nowhere_that_a_plain_name_may_not(name: str, run: Any, studio: Path, tmp_path: Path) -> None:
    end = ENDS[name]
    (tmp_path / "there").symlink_to(studio / "output")
    refused(run, WRITERS[name], tmp_path / "there" / f"new{end}", studio, "local root")
    (tmp_path / f"file{end}").symlink_to(studio / "data" / "characters.json")
    refused(run, WRITERS[name], tmp_path / f"file{end}", studio, "database")
    (tmp_path / f"nowhere{end}").symlink_to(studio / "not there")
    refused(run, WRITERS[name], tmp_path / f"nowhere{end}", studio, "not an ordinary file")
    os.link(studio / "data" / "characters.json", tmp_path / f"same{end}")
    refused(run, WRITERS[name], tmp_path / f"same{end}", studio, "database")
    os.link(studio / "output" / "characters" / "rem.png", tmp_path / f"media{end}")
    refused(run, WRITERS[name], tmp_path / f"media{end}", studio, "it was left as it is")


@posix_only
def test_a_root_that_is_itself_a_link_is_the_root_by_both_names(run: Any, studio: Path, tmp_path: Path) -> None:
    (studio / "output").rename(tmp_path / "drive")
    (studio / "output").symlink_to(tmp_path / "drive")
    refused(run, ["plan", "--out"], tmp_path / "drive" / "p.json", studio, "local root")
    refused(run, ["plan", "--out"], studio / "output" / "p.json", studio, "local root")


@posix_only
@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("place", ["/dev/stdout", "/dev/null", "/", "missing/p", "/proc/1/p", "x" * 300, "."])
def test_what_is_no_place_for_a_file_is_a_sentence(name: str, place: str, run: Any, studio: Path) -> None:
    end = "" if place.startswith("/dev") or place in ("/", ".") else ENDS[name]
    if name == "certificate" and not end:
        return  # names a folder
    refused(run, WRITERS[name], f"{place}{end}", studio, "--out")


@pytest.mark.parametrize("name", ["plan", "certificate"])
def test_out_minus_is_stdout(name: str, run: Any, studio: Path) -> None:
    before = everything(studio)
    answer = run(*WRITERS[name], "-", folder=studio)
    assert answer.code in (0, 2)
    answer.document(name)
    assert everything(studio) == before


def test_plan_out_minus_is_what_json_gives_and_can_be_applied(run: Any, studio: Path, tmp_path: Path) -> None:
    saved = run("plan", "--out", "-", folder=studio).out
    (tmp_path / "p.json").write_text(saved, encoding="utf-8")
    assert run("apply", str(tmp_path / "p.json"), folder=studio).code == 0


def test_report_out_minus_is_the_page_and_nothing_else(run: Any, studio: Path) -> None:
    answer = run("report", "--out", "-", folder=studio)
    assert answer.code == 0
    assert answer.out.startswith("<!doctype html>")
    assert answer.out.rstrip().endswith("</html>")
    assert not (studio / "-").exists()


@pytest.mark.parametrize("name", ["page.html", "page.md"])
def test_the_page_of_a_saved_plan_has_its_changes_and_no_status(
    run: Any, studio: Path, tmp_path: Path, name: str
) -> None:
    saved, out = tmp_path / "p.json", tmp_path / name
    assert run("plan", "--out", str(saved), folder=studio).code == 0
    before = everything(studio)
    answer = run("report", str(saved), "--out", str(out), "--json", folder=studio)
    assert answer.code == 0
    assert answer.document("report")["rows"] == []
    text = out.read_text(encoding="utf-8")
    assert "[kpop]" in text
    assert "In step" not in text
    assert everything(studio) == before
    assert run("report", str(saved), "--out", str(out), "--char-id", "rem", folder=studio).code == 64


@pytest.mark.parametrize("name", ["report", "certificate"])
def test_stdout_holds_one_thing(name: str, run: Any, studio: Path) -> None:
    assert run(*WRITERS[name], "-", "--json", folder=studio).code == 64


def test_schedule_out_minus_is_what_it_prints_anyway(run: Any, studio: Path) -> None:
    assert run("schedule", "cron", "--out", "-").out == run("schedule", "cron").out


@pytest.mark.parametrize("place", ["a file", "/dev/full"])
def test_schedule_says_that_it_needs_a_folder(place: str, run: Any, studio: Path, tmp_path: Path) -> None:
    there = tmp_path / place
    if not there.exists():
        there.write_text("mine")
    told = run("schedule", "cron", "--out", str(there), folder=studio)
    assert (told.code, f"--out {str(there)!r} is not a folder" in told.err) == (64, True)


@pytest.mark.parametrize("place", ["output/jobs", "output", ".reconcile", "stores/jobs"])
def test_schedule_writes_nothing_into_the_project_s_work(place: str, run: Any, studio: Path) -> None:
    refused(run, ["schedule", "cron", "--out"], studio / place, studio, "--out")
    assert not (studio / "output" / "jobs").exists()


@pytest.mark.parametrize("place", ["output/night.log", "data/characters.json", "rules/asset_map.toml", ".reconcile/x"])
def test_the_nightly_log_is_no_file_of_the_project_s_work(place: str, run: Any, studio: Path) -> None:
    run("status", folder=studio)
    refused(run, ["schedule", "cron", "--log"], studio / place, studio, "--log")
    assert run("schedule", "cron", "--log", str(studio / ".reconcile" / "night.log"), folder=studio).code == 0


# -- whole or not at all --

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.argv[1:2] = []
from reconcile.__main__ import main
sys.exit(main())
"""


def limited(size: int, *arguments: str) -> Answer:
    """Runs the program where no file may grow past so many bytes, as on a disk that fills up."""
    import subprocess

    command = [sys.executable, "-B", "-c", LIMITED, str(size), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return Answer(done.returncode, done.stdout, done.stderr)


@posix_only
@pytest.mark.parametrize(("kind", "size"), [("cron", 10), ("systemd", 600), ("windows", 600), ("cloud-run", 10)])
def test_a_schedule_on_a_full_disk_leaves_nothing(
    kind: str, size: int, run: Any, project: Path, tmp_path: Path
) -> None:
    run("status")  # so that nothing else is left to write
    out = tmp_path / "some" / "jobs"
    answer = limited(size, "-C", str(project), "schedule", kind, "--out", str(out))
    assert answer.code == 64
    assert "File too large" in answer.err
    assert "Traceback" not in answer.err
    assert not (tmp_path / "some").exists()
    assert run("schedule", kind, "--out", str(out)).code == 0


@posix_only
def test_of_two_files_of_a_schedule_none_is_left_where_one_is_there_already(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "jobs"
    out.mkdir()
    (out / "reconcile.timer").write_text("mine")
    assert run("schedule", "systemd", "--out", str(out)).code == 64
    assert [path.name for path in out.iterdir()] == ["reconcile.timer"]
    assert (out / "reconcile.timer").read_text() == "mine"


@posix_only
@pytest.mark.parametrize("name", WRITERS)
def test_a_result_on_a_full_disk_leaves_nothing_or_the_old_one(name: str, run: Any, tmp_path: Path) -> None:
    project = make_project(tmp_path / "some")
    run("status", folder=project)
    out = tmp_path / "results" / f"r{ENDS[name]}"
    out.parent.mkdir()
    answer = limited(100, "-C", str(project), *WRITERS[name], str(out))
    assert answer.code == 64
    assert list(out.parent.iterdir()) == []
    run(*WRITERS[name], str(out), folder=project)
    before = out.read_bytes()
    assert limited(100, "-C", str(project), *WRITERS[name], str(out)).code == 64
    assert out.read_bytes() == before
    assert list(out.parent.iterdir()) == [out]


def test_certificates_in_a_folder_are_written_over_certificates_alone(run: Any, studio: Path, tmp_path: Path) -> None:
    out = tmp_path / "certificates"
    assert run("verify", "--out", str(out), folder=studio).code in (0, 2)
    for path in out.iterdir():
        path.write_text("mine")
    refused(run, ["verify", "--out"], out, studio, "it was left as it is")
    refused(run, ["verify", "--out"], studio / "output" / "certificates", studio, "local root")
    assert not (studio / "output" / "certificates").exists()


def test_what_comes_between_is_not_written_over(project: Path, tmp_path: Path) -> None:
    """The file is made while the plan is."""
    from reconcile.cli.files import PLAN, write_whole
    from reconcile.core.errors import UsageError

    out = tmp_path / "p.json"
    out.write_text("made meanwhile")
    with pytest.raises(UsageError, match="it was left as it is"):
        write_whole(out, b"{}", PLAN)
    assert out.read_text() == "made meanwhile"
    write(project, "characters/x.png", b"x")
    assert main(["-C", str(project), "plan", "--quiet", "--out", str(tmp_path / "q.json")]) == 0
