"""The hooks: whose a file is, of which type, and which files are taken, also if one of several is not."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconcile import Project, apply, plan
from reconcile.core.notes import Note
from reconcile.hooks import NotUploaded, auto_upload_to_gcs, sync_upsert
from reconcile.hooks.handover import below_root
from tests.kit.small_project import open_records
from tests.kit.workflows import BASE, Studio, about, queueing, upsert_nothing

# -- whose file it is --


def _calls(studio: Studio) -> list[tuple[str, Callable[[], Any]]]:
    path = "remixes/shared/x/REMIX_1.mp4"  # the path says nothing of rem

    def make(char_id: str = "rem", *_: Any, **__: Any) -> str:
        return studio.make(path)

    def keywords(**options: Any) -> str:
        return studio.make(path)

    def job(task: dict[str, Any]) -> str:
        return studio.make(path)

    wrap = auto_upload_to_gcs("remix_video")
    chosen = auto_upload_to_gcs("remix_video", char_id=lambda arguments: arguments["task"]["who"])
    return [
        ("positional", lambda: wrap(make)("rem")),
        ("keyword", lambda: wrap(make)(char_id="rem")),
        ("default", lambda: wrap(make)()),
        ("among others", lambda: wrap(keywords)(seed=1, char_id="rem")),
        ("a callable", lambda: chosen(job)({"who": "rem"})),
    ]


@pytest.mark.parametrize("number", range(5))
def test_the_call_says_whose_it_is_where_the_path_does_not(studio: Studio, number: int) -> None:
    name, call = _calls(studio)[number]
    uri = call()[1]
    assert studio.entry("rem")["deliverable"] == uri == f"{BASE}/remixes/shared/x/REMIX_1.mp4", name


def test_the_path_says_whose_it_is_where_the_call_does_not(studio: Studio) -> None:
    uri = auto_upload_to_gcs()(lambda: studio.make("dances/dance_ai_hoshino_1.mp4"))()[1]
    assert studio.entry("ai_hoshino")["dance_video"] == uri


def test_a_file_that_nobody_owns_is_uploaded_and_no_record_is_touched(studio: Studio) -> None:
    uri = auto_upload_to_gcs()(lambda: studio.make("remixes/shared/x/REMIX_1.mp4"))()[1]
    assert "remixes/shared/x/REMIX_1.mp4" in studio.objects()
    assert uri == f"{BASE}/remixes/shared/x/REMIX_1.mp4"
    assert "deliverable" not in studio.entry("rem")


def test_a_new_character_is_uploaded_before_it_has_a_record(studio: Studio) -> None:
    @auto_upload_to_gcs()
    def dance(char_id: str) -> str:
        return studio.make(f"dances/dance_{char_id}_1.mp4")

    assert dance("brand_new")[1] == f"{BASE}/dances/dance_brand_new_1.mp4"


def test_a_path_of_another_known_character_contradicts_the_call(studio: Studio) -> None:
    @auto_upload_to_gcs()
    def dance(char_id: str) -> str:
        return studio.make("dances/dance_ai_hoshino_1.mp4")

    with pytest.raises(NotUploaded, match="is ai_hoshino's, and the call was for rem"):
        dance("rem")
    assert "dances/dance_ai_hoshino_1.mp4" not in studio.objects()


@pytest.mark.parametrize("wrong", [3, "", "  ", b"rem"])
def test_a_character_that_is_no_text_is_an_error(studio: Studio, wrong: Any) -> None:
    with pytest.raises(NotUploaded, match="as the character"):
        auto_upload_to_gcs()(about(lambda: studio.make("dances/dance_rem_1.mp4")))(wrong)


def test_an_error_in_the_callable_loses_nothing(studio: Studio) -> None:
    made = studio.make("dances/dance_rem_1.mp4")
    with pytest.raises(NotUploaded, match="KeyError") as caught:
        auto_upload_to_gcs(char_id=lambda arguments: arguments["nothing"])(lambda: made)()
    assert caught.value.result == made
    assert caught.value.path == made


# -- of which type --


@pytest.mark.parametrize("asset_type", ["dance_video", "Dance Video", None])
def test_a_type_a_label_or_the_paths_own(studio: Studio, asset_type: str | None) -> None:
    assert auto_upload_to_gcs(asset_type)(lambda: studio.make("dances/dance_rem_1.mp4"))()[1]


@pytest.mark.parametrize(
    ("asset_type", "path", "says"),
    [
        ("anime_image", "dances/dance_rem_1.mp4", "is 'dance_video', and the decorator says 'anime_image'"),
        ("anime_image", "characters/rem_cosplay.png", "is 'cosplay_image', and the decorator says 'anime_image'"),
        ("no_such", "dances/dance_rem_1.mp4", "no rule has the asset type 'no_such'"),
        (None, "elsewhere/x.mp4", "no rule matches elsewhere/x.mp4"),
    ],
)
def test_what_the_rules_say_otherwise_is_an_error(studio: Studio, asset_type: str | None, path: str, says: str) -> None:
    before = studio.objects()
    with pytest.raises(NotUploaded, match=says):
        auto_upload_to_gcs(asset_type)(about(lambda: studio.make(path)))("rem")
    assert studio.objects() == before


# -- which files --


def test_a_file_outside_the_root_is_an_error(studio: Studio, tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"x")
    with pytest.raises(NotUploaded, match="not below the local root"):
        auto_upload_to_gcs(project=studio.folder)(lambda: outside)()
    with pytest.raises(NotUploaded, match="not below the local root"):
        auto_upload_to_gcs()(lambda: studio.folder / "output" / ".." / "rules" / "asset_map.toml")()


def test_a_folder_and_a_file_that_is_not_there_are_errors(studio: Studio) -> None:
    with pytest.raises(NotUploaded, match="is a folder"):
        auto_upload_to_gcs()(lambda: studio.folder / "output" / "characters")()
    with pytest.raises(NotUploaded, match="is not there"):
        auto_upload_to_gcs()(lambda: studio.folder / "output" / "characters" / "none.png")()


def test_an_empty_file_is_an_error_that_says_so(studio: Studio) -> None:
    with pytest.raises(NotUploaded, match="no bytes") as caught:
        auto_upload_to_gcs()(lambda: studio.make("dances/dance_rem_1.mp4", b""))()
    assert caught.value.uris == {}


def test_of_several_files_those_that_arrived_are_told(studio: Studio) -> None:
    good, bad = studio.make("dances/dance_rem_1.mp4"), studio.make("dances/dance_rem_2.mp4", b"")
    with pytest.raises(NotUploaded) as caught:
        auto_upload_to_gcs()(lambda: [good, bad])()
    assert (caught.value.path, caught.value.uris) == (bad, {good: f"{BASE}/dances/dance_rem_1.mp4"})
    with pytest.warns(UserWarning, match="dance_rem_2"):
        pairs = auto_upload_to_gcs(on_error="warn")(lambda: [good, bad])()
    assert pairs == [(good, f"{BASE}/dances/dance_rem_1.mp4"), (bad, None)]


def test_a_relative_path_is_one_from_the_current_folder(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(studio.folder / "output" / "characters")
    studio.make("characters/rem.png", b"r" * 100)
    assert auto_upload_to_gcs()(lambda: "rem.png")() == ("rem.png", f"{BASE}/characters/rem.png")


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_root_that_is_reached_by_a_link_is_the_same_root(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(studio.folder, target_is_directory=True)
    studio.make("dances/dance_rem_1.mp4")
    path = tmp_path / "link" / "output" / "dances" / "dance_rem_1.mp4"
    assert auto_upload_to_gcs()(lambda: path)()[1] == f"{BASE}/dances/dance_rem_1.mp4"
    assert auto_upload_to_gcs(project=studio.folder)(lambda: path)()[1]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
@pytest.mark.parametrize("before", ["", "/", "//"])
def test_a_link_below_the_root_is_left_to_the_walk_however_its_path_begins(tmp_path: Path, before: str) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "rem.png").write_bytes(b"r")
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    assert below_root(tmp_path, f"{before}{tmp_path}/link/rem.png") == "link/rem.png"


@pytest.mark.parametrize("name", ["[kpop]_x y#%.mp4", "[kpop]_[b]:star:.mp4", "[kpop]_é日本.mp4"])
def test_odd_names(studio: Studio, name: str) -> None:
    path = f"remixes/rem_x/result/{name}"
    assert auto_upload_to_gcs("kpop_version")(lambda: studio.make(path))()[1] == f"{BASE}/{path}"


def test_a_new_file_of_somebody_else_is_left_until_it_has_settled(studio: Studio) -> None:
    rules = studio.folder / "rules" / "asset_map.toml"
    rules.write_text(rules.read_text(encoding="utf-8").replace("settle = 0", "settle = 2"), encoding="utf-8")
    studio.make("characters/rem_cosplay.png", b"half of a pict")
    upsert = sync_upsert(upsert_nothing)
    upsert("rem", {"title": "primary", "dance_video": studio.make("dances/dance_rem_1.mp4")})

    assert "dances/dance_rem_1.mp4" in studio.objects()
    assert "characters/rem_cosplay.png" not in studio.objects()


def test_more_replacements_than_the_limit_allows_are_meant_where_the_call_made_them_all(studio: Studio) -> None:
    names = [f"dances/dance_rem_{number}.mp4" for number in range(12)]
    render = auto_upload_to_gcs()(lambda take: [studio.make(name, take) for name in names])
    render(b"first")
    assert len(render(b"second")) == 12
    with Project.open(studio.folder).opened() as project:
        assert {found.size for found in project.objects.list("dances/")} == {len(b"second")}


# -- one bad file of several --


def _bad(studio: Studio, kind: str) -> str:
    match kind:
        case "missing":
            return str(studio.folder / "output/dances/dance_rem_9.mp4")
        case "no rule":
            return studio.make("elsewhere/x.mp4")
        case "a folder":
            return str(studio.folder / "output/characters")
        case "another's":
            return studio.make("dances/dance_ai_hoshino_9.mp4")
        case _:
            return "nul\0.mp4"


BAD = ["missing", "no rule", "a folder", "another's", "a NUL"]


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("first", [True, False])
def test_a_bad_path_does_not_keep_the_good_ones_back(
    studio: Studio, kind: str, first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = studio.make("dances/dance_rem_1.mp4"), _bad(studio, kind)
    made = [bad, good] if first else [good, bad]
    uris = {good: f"{BASE}/dances/dance_rem_1.mp4", bad: None}
    assert queueing()(about(lambda: made))("rem") == [(each, uris[each]) for each in made]
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1
    assert studio.notes() == ()
    with pytest.raises(NotUploaded) as caught:
        auto_upload_to_gcs()(about(lambda: made))("rem")
    assert (caught.value.path, caught.value.uris) == (bad, {good: uris[good]})


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_path_does_not_keep_the_good_ones_from_being_noted(studio: Studio, kind: str) -> None:
    made = [_bad(studio, kind), studio.make("dances/dance_rem_1.mp4")]
    studio.cut_off()
    assert [uri for _, uri in queueing()(about(lambda: made))("rem")] == [None, None]
    assert Note("dances/dance_rem_1.mp4", "rem") in studio.notes()


@pytest.mark.parametrize("on_error", ["raise", "queue"])
@pytest.mark.parametrize("good", [True, False])
def test_of_several_bad_paths_the_first_is_told_as_the_reason_and_the_others_are_logged(
    studio: Studio, good: bool, on_error: Any, caplog: pytest.LogCaptureFixture
) -> None:
    missing, empty = _bad(studio, "missing"), studio.make("dances/dance_rem_2.mp4", b"")
    made = [missing, empty, *([studio.make("dances/dance_rem_1.mp4")] if good else [])]
    wrapped = auto_upload_to_gcs(on_error=on_error)(about(lambda: made))
    if on_error == "raise":
        with pytest.raises(NotUploaded, match="is not there") as caught:
            wrapped("rem")
        assert caught.value.path == missing
    else:
        assert [uri is not None for _, uri in wrapped("rem")] == [False, False, True][: len(made)]
        assert "dance_rem_9.mp4 is not there" in caplog.text
    assert "no bytes" in caplog.text


def test_a_tuple_of_paths_keeps_its_shape_where_one_is_missing(studio: Studio) -> None:
    good, bad = studio.make("dances/dance_rem_1.mp4"), str(studio.folder / "output/dances/dance_rem_2.mp4")
    assert queueing()(lambda: (good, bad))() == [(good, f"{BASE}/dances/dance_rem_1.mp4"), (bad, None)]
    assert queueing()(lambda: (good, "a caption"))() == (good, f"{BASE}/dances/dance_rem_1.mp4", "a caption")


def test_the_project_is_looked_for_at_every_file(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.mp4").write_bytes(b"x")
    made = [str(tmp_path / "x.mp4"), studio.make("dances/dance_rem_1.mp4")]
    assert queueing()(lambda: made)()[1] == (made[1], f"{BASE}/dances/dance_rem_1.mp4")


# -- the owner, where nobody was there to ask --


def test_a_file_queued_for_the_wrong_character_is_not_given_to_it(studio: Studio) -> None:
    store = open_records(studio.folder)
    store.put("rem_2", {"assets": [{"title": "primary"}]})
    store.close()
    studio.cut_off()
    queueing()(about(lambda: studio.make("dances/dance_rem_2_wrong.mp4")))("rem")
    studio.mend()
    os.utime(studio.folder / "output/dances/dance_rem_2_wrong.mp4", (1, 1))
    for _ in range(2):
        with Project.open(studio.folder).opened() as project:
            assert apply(plan(project)).exit_code == 0
    assert "dance_video" not in studio.entry("rem")
    assert studio.entry("rem_2")["dance_video"] == f"{BASE}/dances/dance_rem_2_wrong.mp4"
