"""The hooks that write records: one field by hand, and the workflow's own upsert with the cloud in step."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import pytest

from reconcile import Project, apply, plan
from reconcile.config.environment import RULES
from reconcile.core.errors import NotThere, StoreError, UsageError
from reconcile.core.notes import Note
from reconcile.hooks import NotUploaded, auto_upload_to_gcs, sync_upsert, update_firestore_gcs_path
from reconcile.hooks.errors import SYNCING, HookOptions
from reconcile.hooks.wrapping import Wrapper
from tests.kit.small_project import open_records
from tests.kit.workflows import BASE, Studio, about, upsert_nothing
from tests.kit.world import windows

# -- update_firestore_gcs_path --

REM = f"{BASE}/characters/rem.png"


def test_a_field_is_set_once_and_all_else_stays(studio: Studio) -> None:
    set_it = functools.partial(update_firestore_gcs_path, "ai_hoshino", "primary", "cosplay_image", REM)
    assert set_it(project=studio.folder) is True
    assert set_it(project=studio.folder) is False
    store = open_records(studio.folder)
    fields = store.fields("ai_hoshino")
    store.close()
    assert fields == {
        "name": "Ai",
        "assets": [
            {"title": "primary", "anime_image": r"C:\oo\bar\output\characters\ai_hoshino.png", "cosplay_image": REM}
        ],
    }


def test_a_missing_map_is_added(studio: Studio) -> None:
    assert update_firestore_gcs_path("rem", "variant_1", "dance_video", REM, project=studio.folder)
    assert studio.entry("rem", "variant_1") == {"title": "variant_1", "dance_video": REM}
    assert studio.entry("rem") == {"title": "primary", "anime_image": REM}


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (("rem", "primary", "icon", f"{BASE}/characters/none.png"), NotThere, "not in the bucket"),
        (("nobody", "primary", "icon", REM), NotThere, "no record"),
        (("rem", "primary", "icon", "gs://other/rem.png"), UsageError, "not below"),
        (("rem", "primary", "icon", "/local/rem.png"), UsageError, "not below"),
        (("rem", "primary", "title", REM), UsageError, "tells the maps apart"),
        (("", "primary", "icon", REM), UsageError, "char_id"),
        (("rem", None, "icon", REM), UsageError, "title"),
        (("rem", "primary", "icon\udc80", REM), UsageError, "field is .* not valid Unicode"),
        (("rem", "prim\ud800", "icon", REM), UsageError, "title is"),
        (("r\ud800", "primary", "icon", REM), UsageError, "char_id is"),
        (("rem", "primary", "icon", f"{REM}\ud800"), UsageError, "uri is"),
    ],
)
def test_what_would_be_wrong_is_refused(
    studio: Studio, call: tuple[Any, ...], error: type[Exception], says: str
) -> None:
    store = open_records(studio.folder)
    before = [store.fields(each) for each in ("rem", "ai_hoshino", "nobody")]
    with pytest.raises(error, match=says):
        update_firestore_gcs_path(*call, project=studio.folder)
    assert [store.fields(each) for each in ("rem", "ai_hoshino", "nobody")] == before
    store.close()


def test_two_maps_of_one_title_are_left_alone(studio: Studio) -> None:
    store = open_records(studio.folder)
    store.put("rem", {"assets": [{"title": "primary"}, {"title": "primary"}]})
    with pytest.raises(StoreError, match="2 maps"):
        update_firestore_gcs_path("rem", "primary", "icon", REM, project=studio.folder)
    store.close()


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_map_whose_key_has_another_unicode_form_is_the_same_map(studio: Studio, form: Literal["NFC", "NFD"]) -> None:
    other = "NFD" if form == "NFC" else "NFC"
    store = open_records(studio.folder)
    store.put("rem", {"assets": [{"title": unicodedata.normalize(other, "été"), "icon": "its own"}]})
    store.close()
    title = unicodedata.normalize(form, "été")
    assert update_firestore_gcs_path("rem", title, "icon", REM, project=studio.folder) is True
    assert update_firestore_gcs_path("rem", title, "icon", REM, project=studio.folder) is False
    assert studio.entry("rem", unicodedata.normalize(other, "été"))["icon"] == REM
    assert studio.entry("rem", title) == {}


def test_threads_that_set_fields_of_one_record_lose_nothing(studio: Studio) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(
            pool.map(
                lambda n: update_firestore_gcs_path("rem", "primary", f"field_{n}", REM, project=studio.folder),
                range(6),
            )
        )
    assert set(studio.entry("rem")) == {"title", "anime_image", *(f"field_{n}" for n in range(6))}


# -- sync_upsert --


def test_the_upsert_runs_first_and_the_cloud_follows(studio: Studio) -> None:
    seen: list[tuple[str, dict[str, Any]]] = []

    @sync_upsert
    def upsert_asset(char_id: str, asset: dict[str, Any]) -> str:
        assert "dances/dance_rem_1.mp4" not in studio.objects()
        seen.append((char_id, asset))
        return "its own answer"

    asset = {"title": "primary", "dance_video": studio.make("dances/dance_rem_1.mp4"), "style": "idol", "take": 3}
    assert upsert_asset("rem", asset) == "its own answer"
    assert seen == [("rem", asset)]
    assert studio.entry("rem") == {
        "title": "primary",
        "anime_image": REM,
        "dance_video": f"{BASE}/dances/dance_rem_1.mp4",
    }


def test_an_upsert_says_which_file_a_field_is_to_name_also_where_it_names_a_good_one(studio: Studio) -> None:
    upsert = sync_upsert(upsert_nothing)
    for number in (1, 2):
        upsert("rem", {"title": "primary", "dance_video": Path(studio.make(f"dances/dance_rem_{number}.mp4"))})
    assert studio.entry("rem")["dance_video"] == f"{BASE}/dances/dance_rem_2.mp4"


@pytest.mark.parametrize("on_error", ["raise", "queue"])
@pytest.mark.parametrize("recorded", ["NFC", "NFD"])
@pytest.mark.parametrize("told", ["NFC", "NFD"])
def test_a_character_is_the_same_in_either_unicode_form(
    studio: Studio, told: Literal["NFC", "NFD"], recorded: Literal["NFC", "NFD"], on_error: Any
) -> None:
    known, named = unicodedata.normalize(recorded, "zoé"), unicodedata.normalize(told, "zoé")
    store = open_records(studio.folder)
    store.put(known, {"assets": [{"title": "primary", "dance_video": REM}]})
    store.close()

    made = studio.make(f"dances/dance_{named}_1.mp4")
    assert auto_upload_to_gcs(on_error=on_error)(about(lambda: made))(named)[1] is not None
    sync_upsert(upsert_nothing, on_error=on_error)(named, {"title": "primary", "dance_video": made, "trailer": made})
    fields = studio.entry(known)
    assert fields["dance_video"] == fields["trailer"] != REM
    assert studio.notes() == ()


def test_an_upsert_brings_everything_of_the_character_in_step(studio: Studio) -> None:
    sync_upsert(upsert_nothing, project=studio.folder)("ai_hoshino", {"title": "primary"})
    assert studio.entry("ai_hoshino")["anime_image"] == f"{BASE}/characters/ai_hoshino.png"
    assert "remixes/ai_hoshino_x/result/[kpop]_x.mp4" in studio.objects()


def test_an_upsert_may_be_a_coroutine_function_and_name_files_elsewhere(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "reference.png").write_bytes(b"x")

    @sync_upsert(project=studio.folder)
    async def upsert_asset(char_id: str, asset: dict[str, Any]) -> int:
        return 5

    asset = {"title": "v", "dance_video": studio.make("dances/dance_rem_1.mp4"), "ref": str(tmp_path / "reference.png")}
    assert inspect.iscoroutinefunction(upsert_asset)
    assert asyncio.run(upsert_asset(asset=asset, char_id="rem")) == 5
    assert studio.entry("rem", "v")["dance_video"] == f"{BASE}/dances/dance_rem_1.mp4"


@pytest.mark.parametrize("call", [("rem",), (3, {"title": "primary"}), ("rem", "no map")])
def test_an_upsert_of_another_shape_is_an_error_after_it_ran(studio: Studio, call: tuple[Any, ...]) -> None:
    ran: list[Any] = []
    upsert = sync_upsert(lambda *arguments: ran.append(arguments) or 9, project=studio.folder)
    with pytest.raises(NotUploaded) as caught:
        upsert(*call)
    assert caught.value.result == 9
    assert ran == [call]


def test_an_upsert_is_queued_where_the_cloud_is_away(studio: Studio) -> None:
    studio.cut_off()
    upsert = Wrapper(about(lambda: "done"), HookOptions(SYNCING, "queue", None, lock=0.0, rest=0.0))
    assert upsert("rem", {"title": "primary", "dance_video": studio.make("dances/dance_rem_1.mp4")}) == "done"
    assert studio.notes() == (Note("dances/dance_rem_1.mp4", "rem", places=(("primary", "dance_video"),)),)


def queued_upsert(**more: float) -> Callable[..., Any]:
    times = {"lock": 0.0, "silence": 30.0, "rest": 0.0, **more}
    return Wrapper(upsert_nothing, HookOptions(SYNCING, "queue", None, **times))


def apply_until_quiet(studio: Studio, char_id: str) -> None:
    """As the next runs do, long after the files were made."""
    for path in (studio.folder / "output").rglob("*"):
        os.utime(path, (1, 1))
    for _ in range(2):
        with Project.open(studio.folder).opened() as project:
            assert apply(plan(project, char_ids=[char_id])).exit_code == 0
    with Project.open(studio.folder).opened() as project:
        assert plan(project, char_ids=[char_id]).actions == ()


@pytest.mark.parametrize("field", ["dance_video", "a_field_of_no_rule"])
@pytest.mark.parametrize("title", ["primary", "variant_1"])
def test_a_queued_upsert_sets_its_field_at_the_next_run_also_where_it_names_another_file(
    studio: Studio, title: str, field: str
) -> None:
    upsert = queued_upsert()
    upsert("rem", {"title": title, field: studio.make("dances/dance_rem_1.mp4")})
    assert studio.entry("rem", title)[field] == f"{BASE}/dances/dance_rem_1.mp4"
    studio.cut_off()
    upsert("rem", {"title": title, field: studio.make("dances/dance_rem_2.mp4")})
    studio.mend()
    apply_until_quiet(studio, "rem")
    assert studio.entry("rem", title)[field] == f"{BASE}/dances/dance_rem_2.mp4"
    assert studio.notes() == ()


def dance(number: int) -> str:
    return f"dances/dance_rem_{number}.mp4"


ALL = [f"{BASE}/{dance(each)}" for each in (1, 2, 3)]
NEWEST = ALL[2]
"""The one that is upserted; the others claim the field."""


@pytest.mark.parametrize("road", ["direct", "queued", "update"])
@pytest.mark.parametrize(
    ("held", "own", "other"),
    [
        ((), ALL, NEWEST),
        (None, ALL, NEWEST),
        ([], ALL, [NEWEST]),
        ([ALL[0]], ALL, [ALL[0], NEWEST]),
        (ALL[1], ALL, NEWEST),
        (windows(dance(2)), ALL, NEWEST),
        (f"{BASE}/dances/lost.mp4", ALL, NEWEST),
        ("https://example.com/x.png", ALL, NEWEST),
        ("ask Ken", ALL, NEWEST),
        (["ask Ken"], ["ask Ken", NEWEST], ["ask Ken", NEWEST]),
        ([5, None], [5, None, NEWEST], [5, None, NEWEST]),
    ],
)
@pytest.mark.parametrize("field", ["dance_video", "trailer"])
def test_a_field_that_is_a_list_is_the_same_by_every_road(
    studio: Studio, road: str, held: Any, own: Any, other: Any, field: str
) -> None:
    rules = studio.folder / RULES
    rules.write_text(rules.read_text("utf-8").replace('many = "newest"', 'many = "list"'), "utf-8")
    paths = [studio.make(dance(each)) for each in (1, 2)]
    store = open_records(studio.folder)
    extra = {} if held == () else {field: held}
    if field != "dance_video":  # the field of the rule has all of them already
        extra["dance_video"] = ALL[:2]
    apply_until_quiet(studio, "rem")
    store.put("rem", {"assets": [{"title": "primary", **extra}]})
    paths.append(studio.make(dance(3)))
    upserted = {"title": "primary", field: paths[2]}
    if road == "queued":
        studio.cut_off()
        queued_upsert()("rem", upserted)
        studio.mend()
    elif road == "direct":
        sync_upsert(upsert_nothing)("rem", upserted)
    else:
        auto_upload_to_gcs(about(lambda: paths[2]))("rem")
        update_firestore_gcs_path("rem", "primary", field, NEWEST, project=studio.folder)
    apply_until_quiet(studio, "rem")
    store.close()
    assert studio.entry("rem")[field] == (own if field == "dance_video" else other)
    assert studio.notes() == ()


@pytest.mark.parametrize("recorded", ["NFC", "NFD"])
@pytest.mark.parametrize("told", ["NFC", "NFD"])
@pytest.mark.parametrize("path", ["dances/dance_{}_1.mp4", "remixes/shared/x/REMIX_1.mp4"])
def test_a_queued_upsert_finds_its_character_in_either_unicode_form(
    studio: Studio, path: str, told: Literal["NFC", "NFD"], recorded: Literal["NFC", "NFD"]
) -> None:
    known, named = unicodedata.normalize(recorded, "zoé"), unicodedata.normalize(told, "zoé")
    store = open_records(studio.folder)
    store.put(known, {"assets": [{"title": "primary", "dance_video": REM}]})
    store.close()
    studio.cut_off()
    made = studio.make(path.format(named))
    for char_id in (known, named):
        queued_upsert()(char_id, {"title": "primary", "dance_video": made, "trailer": made})
    studio.mend()
    apply_until_quiet(studio, known)
    fields = studio.entry(known)
    assert fields["dance_video"] == fields["trailer"] == f"{BASE}/{path.format(named)}"
    assert studio.notes() == ()


def test_of_two_queued_upserts_of_one_field_the_last_counts(studio: Studio) -> None:
    studio.cut_off()
    for number in (2, 1):
        queued_upsert()("rem", {"title": "primary", "dance_video": studio.make(f"dances/dance_rem_{number}.mp4")})
    studio.mend()
    apply_until_quiet(studio, "rem")
    assert studio.entry("rem")["dance_video"] == f"{BASE}/dances/dance_rem_1.mp4"
    assert studio.notes() == ()


def test_one_file_for_several_fields_is_queued_for_all_of_them(studio: Studio) -> None:
    made = studio.make("dances/dance_rem_1.mp4")
    studio.cut_off()
    queued_upsert()("rem", {"title": "primary", "dance_video": made, "trailer": made})
    queued_upsert()("rem", {"title": "variant_1", "dance_video": made})
    studio.mend()
    apply_until_quiet(studio, "rem")
    uri = f"{BASE}/dances/dance_rem_1.mp4"
    assert studio.entry("rem") == {"title": "primary", "anime_image": REM, "dance_video": uri, "trailer": uri}
    assert studio.entry("rem", "variant_1") == {"title": "variant_1", "dance_video": uri}
    assert studio.notes() == ()


def test_a_file_for_the_maps_own_title_never_becomes_one(studio: Studio) -> None:
    made = studio.make("dances/dance_rem_1.mp4")
    studio.cut_off()
    queued_upsert()("rem", {"title": made, "dance_video": made})
    assert studio.notes() == (Note("dances/dance_rem_1.mp4", "rem", places=((made, "dance_video"),)),)


@pytest.mark.parametrize("later", ["upsert", "update"])
def test_what_is_set_later_is_not_undone_by_what_was_queued_before(studio: Studio, later: str) -> None:
    studio.cut_off()
    queued_upsert()("rem", {"title": "primary", "dance_video": studio.make("dances/dance_rem_1.mp4")})
    studio.mend()
    if later == "upsert":
        newer = studio.make("dances/dance_rem_2.mp4")
        sync_upsert(upsert_nothing)("rem", {"title": "primary", "dance_video": newer})
        wanted = f"{BASE}/dances/dance_rem_2.mp4"
    else:
        wanted = REM
        update_firestore_gcs_path("rem", "primary", "dance_video", wanted, project=studio.folder)
    apply_until_quiet(studio, "rem")
    assert studio.entry("rem")["dance_video"] == wanted
    assert studio.notes() == ()


def test_an_upsert_that_is_not_queued_says_to_call_it_again(studio: Studio) -> None:
    studio.cut_off()
    asset = {"title": "primary", "dance_video": studio.make("dances/dance_rem_1.mp4")}
    with pytest.raises(NotUploaded) as caught:
        sync_upsert(upsert_nothing)("rem", asset)
    assert "call the upsert again" in str(caught.value.hint)
    with pytest.warns(UserWarning, match="call the upsert again"):
        sync_upsert(upsert_nothing, on_error="warn")("rem", asset)


def test_an_upsert_that_sets_nothing_says_so(studio: Studio, caplog: pytest.LogCaptureFixture) -> None:
    made = studio.make("dances/dance_rem_1.mp4")
    sync_upsert(upsert_nothing)("rem", {"dance_video": made})
    assert "gives no text for 'title'" in caplog.text
    caplog.clear()
    sync_upsert(upsert_nothing, project=studio.folder)("rem", {"title": "primary", "dance_video": [made]})
    assert "a list of files for dance_video" in caplog.text
    caplog.clear()
    sync_upsert(upsert_nothing, project=studio.folder)("rem", {"title": "primary", "tags": ["idol"]})
    assert caplog.text == ""


@pytest.mark.parametrize("on_error", ["raise", "queue"])
def test_an_upsert_passes_over_files_that_no_rule_takes(studio: Studio, on_error: Any) -> None:
    asset = {
        "title": "primary",
        "thumb": studio.make("thumbs/x.webp"),
        "dance_video": studio.make("dances/dance_rem_1.mp4"),
    }
    sync_upsert(upsert_nothing, on_error=on_error)("rem", asset)
    assert studio.entry("rem")["dance_video"] == f"{BASE}/dances/dance_rem_1.mp4"
    assert "thumb" not in studio.entry("rem")


def test_an_upsert_for_a_character_without_a_record_is_uploaded_and_says_so(studio: Studio) -> None:
    made = studio.make("dances/dance_nobody_1.mp4")
    with pytest.raises(
        NotUploaded, match=r"was uploaded, but its record was not changed: .*nobody: there is no such record"
    ) as caught:
        sync_upsert(upsert_nothing)("nobody", {"title": "primary", "dance_video": made})
    assert caught.value.uris == {made: f"{BASE}/dances/dance_nobody_1.mp4"}
    assert "call the upsert again" in caught.value.hint


def test_an_upsert_into_a_record_that_is_malformed_is_uploaded_and_says_so(studio: Studio) -> None:
    store = open_records(studio.folder)
    store.put("rem", {"assets": "a note"})
    store.close()
    made = studio.make("dances/dance_rem_1.mp4")
    with pytest.raises(NotUploaded, match=r"was uploaded, but its record was not changed: .*is not a list of maps"):
        sync_upsert(upsert_nothing)("rem", {"title": "primary", "trailer": made})
