"""A saved plan at the command line, after the world or the rules have moved; and the limits that a plan must keep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reconcile.__main__ import main
from tests.kit.bench_project import Bench, settled
from tests.kit.workshop import Run

PICTURE = "characters/{}.png"
NAMES = ("ai", "mei", "rem", "ruby", "yui")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Five images to upload, each with a record that holds a local path."""
    made = Bench(tmp_path / "studio")
    for name in NAMES:
        made.file(PICTURE.format(name), name.encode())
        made.record(name, anime_image=made.windows(PICTURE.format(name)))
    return made


@pytest.fixture
def run(bench: Bench, capfd: pytest.CaptureFixture[str]) -> Any:
    return in_process(bench, capfd)


def in_process(bench: Bench, capfd: pytest.CaptureFixture[str]) -> Any:
    """The command line, in this process."""

    def command(*arguments: str) -> Run:
        capfd.readouterr()
        code = main(["-C", str(bench.folder), *arguments])
        return Run(code, *capfd.readouterr())

    return command


@pytest.fixture
def saved(bench: Bench, run: Any, tmp_path: Path) -> str:
    """The plan of that, saved."""
    path = str(tmp_path / "plan.json")
    assert run("plan", "--out", path).code == 0
    return path


def replacing(run: Any, tmp_path: Path) -> str:
    """A plan in which the local file wins, saved."""
    shown = run("apply", "--dry-run", "--replace", "local", "--json")
    assert shown.code == 0
    path = tmp_path / "replacing.json"
    path.write_text(shown.out, encoding="utf-8")
    return str(path)


def outcomes(done: Run) -> dict[tuple[str, str | None], str]:
    """What became of each action."""
    return {(each["kind"], each["key"]): each["outcome"] for each in done.document["outcomes"]}


# -- each action has its own precondition


def test_what_moved_is_left_alone_and_named_while_the_rest_is_done(bench: Bench, run: Any, saved: str) -> None:
    bench.file(PICTURE.format("ai"), b"other bytes")
    bench.object(PICTURE.format("mei"), b"somebody else's")
    bench.record("rem", anime_image="somewhere else")
    (bench.root / PICTURE.format("ruby")).unlink()
    done = run("apply", saved, "--json")
    assert done.code == 3
    assert done.document["status"] == "stale"
    expected = {"ai": ("stale", "blocked"), "mei": ("stale", "blocked"), "rem": ("applied", "stale")}
    expected |= {"ruby": ("stale", "blocked"), "yui": ("applied", "applied")}
    found = outcomes(done)
    for name, (upload, field) in expected.items():
        key = PICTURE.format(name)
        assert (found["upload", key], found["set_field", key]) == (upload, field), name
    assert bench.held() == {
        PICTURE.format("mei"): b"somebody else's",
        PICTURE.format("rem"): b"rem",
        PICTURE.format("yui"): b"yui",
    }
    assert bench.fields("rem")["anime_image"] == "somewhere else"
    assert bench.fields("ai")["anime_image"] == bench.windows(PICTURE.format("ai"))
    assert bench.fields("yui")["anime_image"] == bench.uri(PICTURE.format("yui"))


def test_what_is_stale_is_named_in_the_text_too(bench: Bench, run: Any, saved: str) -> None:
    bench.object(PICTURE.format("mei"), b"somebody else's")
    done = run("apply", saved)
    assert done.code == 3
    assert "stale  upload  characters/mei.png: " in done.out
    assert "Stale in part: 4 uploads (12 bytes), 4 fields, 1 stale, 1 blocked" in done.out


def test_a_replaced_object_is_replaced_only_as_it_was_seen(bench: Bench, run: Any, tmp_path: Path) -> None:
    bench.object(PICTURE.format("ai"), b"old")
    bench.object(PICTURE.format("mei"), b"old")
    path = replacing(run, tmp_path)
    bench.object(PICTURE.format("ai"), b"newer")
    done = run("apply", path, "--json")
    assert done.code == 3
    assert outcomes(done)["replace", PICTURE.format("ai")] == "stale"
    assert outcomes(done)["replace", PICTURE.format("mei")] == "applied"
    assert (bench.held()[PICTURE.format("ai")], bench.held()[PICTURE.format("mei")]) == (b"newer", b"mei")


def test_the_same_plan_again_is_all_already(bench: Bench, run: Any, tmp_path: Path) -> None:
    """Of every kind of action."""
    bench.object(PICTURE.format("ai"), b"old")
    with bench.rules.open("a", encoding="utf-8") as rules:
        rules.write('\n[local_db]\npath = "data/characters.json"\nrewrite = true\n')
    (bench.folder / "data").mkdir()
    entry = {"title": "primary", "anime_image": bench.windows(PICTURE.format("kana"))}
    local = {"kana": {"name": "Kana", "assets": [entry]}}
    (bench.folder / "data" / "characters.json").write_text(json.dumps(local), encoding="utf-8")
    bench.file(PICTURE.format("kana"), b"kana")
    path = replacing(run, tmp_path)
    plan = json.loads(Path(path).read_bytes())
    assert {each["kind"] for each in plan["actions"]} == {
        "upload",
        "replace",
        "set_field",
        "create_record",
        "rewrite_local_db",
    }
    first = run("apply", path, "--json")
    assert (first.code, set(outcomes(first).values())) == (0, {"applied"})
    again = run("apply", path, "--json")
    assert (again.code, again.document["status"]) == (0, "success")
    assert set(outcomes(again).values()) == {"already"}
    assert again.document["counts"]["already"] == len(plan["actions"])
    settled(bench, bench.held())


def test_a_saved_plan_that_nobody_overtook_goes_through(bench: Bench, run: Any, saved: str) -> None:
    bench.file("characters/late.png", b"made after the plan")
    done = run("apply", saved, "--json")
    assert (done.code, done.document["counts"]["applied"]) == (0, 2 * len(NAMES))
    assert "characters/late.png" not in bench.held()


# -- plans that are not this project's


@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("--bucket-uri", "gs://another/anime_dance", "the plan was made for bucket"),
        ("--bucket-uri", "gs://my-bucket/elsewhere", "the plan was made for bucket"),
        ("--bucket-endpoint", "file:other", "the plan was made for bucket_endpoint"),
        ("--records-uri", "firestore://another/(default)/characters", "the plan was made for records"),
        ("--records-endpoint", "file:other", "the plan was made for records_endpoint"),
        ("--local-root", "elsewhere", "the plan was made for local"),
    ],
)
def test_a_plan_for_other_stores_is_refused(
    bench: Bench, run: Any, saved: str, flag: str, value: str, words: str
) -> None:
    refused(run("apply", saved, flag, value), words)
    assert bench.held() == {}


def test_a_plan_of_other_rules_is_refused(bench: Bench, run: Any, saved: str) -> None:
    text = bench.rules.read_text(encoding="utf-8")
    bench.rules.write_text(text.replace('field = "anime_image"', 'field = "picture"', 1), encoding="utf-8")
    refused(run("apply", saved), "the rules have changed since the plan was saved")
    assert bench.held() == {}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"reconcile.plan/1"', '"reconcile.plan/2"', "has the format 'reconcile.plan/2'"),
        ('"reconcile.plan/1"', '"reconcile.result/1"', "has the format 'reconcile.result/1'"),
        ("characters/ai.png", "characters/../../ai.png", "fingerprint"),
        ('"actions": [', '"actions": [[', "is not a whole plan file"),
    ],
)
def test_a_plan_of_another_format_or_hand_is_refused(
    bench: Bench, run: Any, saved: str, old: str, new: str, words: str
) -> None:
    text = Path(saved).read_text(encoding="utf-8")
    assert old in text
    Path(saved).write_text(text.replace(old, new), encoding="utf-8")
    refused(run("apply", saved), words)
    assert bench.held() == {}


def refused(done: Run, words: str) -> None:
    """One sentence that says why, and one that says what to do; nothing else."""
    assert done.code == 64
    sentence, hint = done.err.splitlines()
    assert sentence.startswith("error: ")
    assert words in sentence
    assert hint.startswith("hint: ")
    assert done.out == ""


# -- limits


@pytest.fixture
def crowd(tmp_path: Path) -> Bench:
    """Twelve images in the bucket, three of which are others on the disk."""
    made = Bench(tmp_path / "studio")
    for number in range(12):
        key = PICTURE.format(f"c{number:02}")
        made.object(key, b"old")
        made.file(key, b"new" if number < 3 else b"old")
        made.record(f"c{number:02}", anime_image=made.uri(key))
    return made


@pytest.mark.parametrize(("limit", "allowed"), [("24%", False), ("25%", True), ("2", False), ("3", True), ("0", False)])
def test_max_replace(crowd: Bench, capfd: pytest.CaptureFixture[str], limit: str, allowed: bool) -> None:
    text = crowd.rules.read_text(encoding="utf-8")
    crowd.rules.write_text(text.replace('max_replace = "10%"', f'max_replace = "{limit}"'), encoding="utf-8")
    arguments = ["-C", str(crowd.folder), "apply", "--replace", "local", "--quiet"]
    if not allowed:
        assert main(arguments) == 4
        told = capfd.readouterr().err
        assert f"replaces 3 of 12 objects in scope, more than max_replace = {limit} allows" in told
        assert "--force" in told
        assert b"new" not in crowd.held().values()
        arguments.append("--force")
    assert main(arguments) == 0
    assert list(crowd.held().values()).count(b"new") == 3


def test_max_replace_holds_for_a_saved_plan_too(
    crowd: Bench, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = in_process(crowd, capfd)
    path = replacing(run, tmp_path)
    done = run("apply", path, "--json")
    assert (done.code, done.document["code"]) == (4, "refused")
    assert run("apply", path, "--force", "--quiet").code == 0


@pytest.mark.parametrize("given", [[], ["PLANFILE"]])
def test_max_actions(bench: Bench, run: Any, saved: str, given: list[str]) -> None:
    planfile = [saved for _ in given]
    done = run("apply", *planfile, "--max-actions", "9", "--quiet")
    assert done.code == 4
    assert "the plan has 10 actions, more than --max-actions 9; nothing was changed" in done.err
    assert "--force" in done.err
    assert bench.held() == {}
    assert run("apply", *planfile, "--max-actions", "10", "--quiet").code == 0
    assert len(bench.held()) == len(NAMES)


def test_a_root_that_has_shrunk_to_nothing_is_said_loudly(bench: Bench, run: Any) -> None:
    assert run("apply").code == 0
    held = bench.held()
    unmounted = bench.root.with_name("unmounted")
    bench.root.rename(unmounted)
    bench.root.mkdir()
    done = run("apply", "--quiet", "--json")
    assert "warning: " in done.err
    empty = f"{bench.root} holds no file that a rule matches; the last run saw {len(NAMES)}: is a drive missing?"
    assert empty in done.err
    assert (done.code, done.document["outcomes"]) == (0, [])
    assert bench.held() == held
    assert all(bench.fields(name)["anime_image"] == bench.uri(PICTURE.format(name)) for name in NAMES)
    bench.root.rmdir()
    unmounted.rename(bench.root)
    assert "has no file" not in run("plan").err


def test_a_root_that_is_gone_is_said_loudly_and_changes_nothing(bench: Bench, run: Any, saved: str) -> None:
    bench.root.rename(bench.root.with_name("unmounted"))
    assert "is a drive missing?" in run("apply").err
    done = run("apply", saved, "--json")
    assert (done.code, set(outcomes(done).values())) == (3, {"stale", "blocked"})
    assert bench.held() == {}
