"""Why things are as they are: subjects in every spelling, rules that lose, who names what, verdicts."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconcile import Project
from reconcile.commands.explain import AssetView, Explanation, explain
from reconcile.commands.status import table
from reconcile.commands.trials import describe_rules, try_paths
from reconcile.core.errors import UsageError
from reconcile.core.plan import Scope
from reconcile.core.status import Sync
from reconcile.pipeline.planner import survey
from reconcile.project import OpenProject
from reconcile.views.explain import show_explanation, show_rules, show_trials
from reconcile.views.terminal import Terminal
from tests.kit.small_project import KPOP, LOCAL_PATH, URI, make_project, open_objects, open_records, put, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_project(tmp_path / "studio")


@pytest.fixture
def project(folder: Path) -> Iterator[OpenProject]:
    with Project.open(folder).opened() as opened:
        yield opened


def asset(project: OpenProject, subject: str) -> AssetView:
    found = explain(project, subject).asset
    assert found is not None
    return found


SPELLINGS = [
    "characters/ai_hoshino.png",
    "output/characters/ai_hoshino.png",
    LOCAL_PATH,
    "c:\\OO\\Bar\\Output\\characters\\ai_hoshino.png",
    "C:\\oo\\bar\\output\\Characters\\AI_Hoshino.PNG",
    "file:///C:/oo/bar/output/characters/ai_hoshino.png",
    "/mnt/c/oo/bar/output//characters/./ai_hoshino.png",
    "D:\\elsewhere\\characters\\ai_hoshino.png",
    URI,
]


@pytest.mark.parametrize("subject", SPELLINGS)
def test_a_subject_may_be_spelt_as_a_record_would(project: OpenProject, subject: str) -> None:
    assert asset(project, subject).key == "characters/ai_hoshino.png"


def test_a_subject_may_be_absolute_or_relative_to_here(
    project: OpenProject, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asset(project, str(folder / "output" / "characters" / "rem.png")).key == "characters/rem.png"
    monkeypatch.chdir(folder / "output" / "characters")
    assert asset(project, "./rem.png").key == "characters/rem.png"


def test_an_asset_out_of_step(project: OpenProject) -> None:
    answer = explain(project, "characters/ai_hoshino.png")
    assert answer.verdict == (
        "It is out of step, and would be put right: it would be uploaded and 1 field would be set to its URI"
    )
    assert [type(change).__name__ for change in answer.actions] == ["Upload", "SetField"]
    view = answer.asset
    assert view is not None
    assert (view.char_id, view.ownership) == ("ai_hoshino", "its path holds the longest known id")
    assert view.rule is not None
    assert view.rule.type == "anime_image"
    assert (view.local is not None, view.bucket) == (True, None)
    (naming,) = view.named_by
    assert (naming.world, naming.document, naming.entry, naming.field) == (
        "records",
        "characters/ai_hoshino",
        "primary",
        "anime_image",
    )
    assert (naming.text, naming.exact) == (LOCAL_PATH, False)


def test_an_asset_in_step(project: OpenProject) -> None:
    answer = explain(project, "characters/rem.png")
    assert answer.verdict.startswith("It is in step")
    assert (answer.actions, answer.findings) == ((), ())


def test_only_the_bucket_has_it(project: OpenProject, folder: Path) -> None:
    (folder / "output" / "characters" / "rem.png").unlink()
    answer = explain(project, "characters/rem.png")
    assert answer.verdict.startswith("It is in step: only the bucket has it")


def test_nothing_is_known_of_it(project: OpenProject) -> None:
    answer = explain(project, "characters/gone.png")
    assert answer.verdict.startswith("Nothing is known of it")
    assert answer.asset is not None
    assert not answer.asset.exists


def test_an_asset_that_is_nowhere_says_who_names_it(project: OpenProject, folder: Path) -> None:
    (folder / "output" / "characters" / "ai_hoshino.png").unlink()
    answer = explain(project, "characters/ai_hoshino.png")
    assert answer.verdict.startswith("Nothing would be done: primary › anime_image names")
    assert [finding.code.value for finding in answer.findings] == ["missing_asset"]


def test_an_orphan(project: OpenProject, folder: Path) -> None:
    objects = open_objects(folder)
    put(objects, "old/x.png", b"x")
    objects.close()
    answer = explain(project, "gs://my-bucket/anime_dance/old/x.png")
    assert [finding.code.value for finding in answer.findings] == ["orphan_object"]


def test_rules_that_match_too_and_lose(project: OpenProject, folder: Path) -> None:
    path = "remixes/ai_hoshino_x/result/[kpop]_x_watermarked.mp4"
    write(folder, path, b"w")
    view = asset(project, path)
    assert view.rule is not None
    assert view.rule.type == "watermarked"
    assert [(loser.type, loser.why) for loser in view.losers] == [("kpop_version", "comes later in the rules")]


def test_a_known_character_beats_an_earlier_rule(project: OpenProject, folder: Path) -> None:
    write(folder, "characters/mei_cosplay.png", b"m")
    records = open_records(folder)
    records.put("mei_cosplay", {"assets": []})
    records.close()
    view = asset(project, "characters/mei_cosplay.png")
    assert (view.rule and view.rule.type, view.char_id) == ("anime_image", "mei_cosplay")
    assert [loser.type for loser in view.losers] == ["cosplay_image"]
    assert view.losers[0].why.startswith("finds no known character")


def test_an_unknown_character(project: OpenProject, folder: Path) -> None:
    write(folder, "dances/dance_zed.mp4", b"z")
    view = asset(project, "dances/dance_zed.mp4")
    assert (view.char_id, view.ownership) == (None, "its path says 'zed', which is not a known character")


def test_a_record_that_names_a_file_owns_it(project: OpenProject, folder: Path) -> None:
    write(folder, "dances/dance_zed.mp4", b"z")
    records = open_records(folder)
    records.put("rem", {"assets": [{"title": "primary", "dance_video": "output/dances/dance_zed.mp4"}]})
    records.close()
    view = asset(project, "dances/dance_zed.mp4")
    assert (view.char_id, view.ownership) == ("rem", "its path does not settle it, but only this one's record names it")


def test_a_character(project: OpenProject) -> None:
    answer = explain(project, "ai_hoshino")
    assert answer.asset is None
    view = answer.character
    assert view is not None
    assert (view.record, view.local_db) == (True, None)
    assert {row.asset_type: row.to_do for row in view.assets if row.to_do} == {"anime_image": 1, "kpop_version": 1}
    assert answer.verdict == "ai_hoshino has a record; 4 changes would be made"
    assert explain(project, "rem").verdict == "rem has a record and is in step"


def test_a_uri_of_another_bucket_is_refused(project: OpenProject) -> None:
    with pytest.raises(UsageError, match="is not below gs://my-bucket/anime_dance"):
        explain(project, "gs://other/anime_dance/characters/rem.png")


def test_a_mistyped_id_is_refused_with_the_near_ones(project: OpenProject) -> None:
    with pytest.raises(UsageError) as caught:
        explain(project, "ai_hoshin")
    assert "ai_hoshino" in caught.value.hint


def test_explaining_changes_nothing(project: OpenProject, folder: Path) -> None:
    before = survey(project).plan.fingerprint
    explain(project, "characters/ai_hoshino.png")
    explain(project, "ai_hoshino")
    assert survey(project).plan.fingerprint == before


# -- rules --


def test_rules_are_tried_without_a_store(project: OpenProject) -> None:
    (trial,) = try_paths(project, ["C:\\oo\\bar\\output\\remixes\\rem_x\\result\\[kpop]_x.mp4"]).results
    assert trial.path == "remixes/rem_x/result/[kpop]_x.mp4"
    assert trial.rule is not None
    assert (trial.rule.type, trial.char_id) == ("kpop_version", "rem_x")
    assert not (project.settings.project / ".reconcile").exists()


# -- the table --


def test_rows_follow_the_rules_and_show_empty_ones(project: OpenProject) -> None:
    rows = table(survey(project), project.asset_map, "type").rows
    assert [row.asset_type for row in rows] == [*(rule.type for rule in project.asset_map.rules), None]
    kpop = next(row for row in rows if row.asset_type == "kpop_version")
    assert (kpop.local, kpop.bucket, kpop.to_do, kpop.sync) == (1, 0, 1, Sync.MISSING)
    assert next(row for row in rows if row.asset_type == "icon").sync is Sync.EMPTY


def test_a_scope_leaves_only_its_rows(project: OpenProject) -> None:
    scope = Scope(asset_types=("icon", "anime_image"))
    rows = table(survey(project, scope), project.asset_map, "type").rows
    assert [row.asset_type for row in rows] == ["anime_image", "icon"]
    scope = Scope(char_ids=("rem",))
    rows = table(survey(project, scope), project.asset_map, "character").rows
    assert [row.char_id for row in rows] == ["rem"]


# -- as text --


def text(explanation: Explanation) -> str:
    stream = io.StringIO()
    show_explanation(Terminal(stream), explanation, {"kpop_version": "K-Pop Version"})
    return stream.getvalue()


def test_an_asset_as_text(project: OpenProject) -> None:
    found = text(explain(project, "characters/ai_hoshino.png"))
    assert found.startswith("It is out of step, and would be put right: ")
    assert "  Named by   record ai_hoshino › primary › anime_image\n" in found
    assert f"             {LOCAL_PATH}\n" in found
    assert "  Bucket     not there\n" in found


def test_a_character_as_text(project: OpenProject) -> None:
    found = text(explain(project, "ai_hoshino"))
    assert "  Character  ai_hoshino\n" in found
    assert f"  ↑~ K-Pop Version  {KPOP}   1.0 kB  → ai_hoshino › primary › kpop_video\n" in found


def test_rules_and_trials_as_text(project: OpenProject) -> None:
    stream = io.StringIO()
    show_rules(Terminal(stream), describe_rules(project.settings))
    show_trials(Terminal(stream), try_paths(project, [KPOP, "foo.txt"]))
    lines = stream.getvalue().splitlines()
    assert lines[0].endswith(f"asset_map.toml: {len(project.settings.asset_map.rules)} rules, all valid")
    assert "  Captures   char_id = ai_hoshino_x" in lines
    assert lines[-2:] == ["foo.txt", "  Rule       no rule matches it"]
