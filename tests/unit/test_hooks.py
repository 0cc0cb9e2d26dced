"""The hooks that workflow code imports, on a real project folder with embedded stores."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from reconcile import Project, apply, hooks, plan
from reconcile.adapters.state.outbox import Outbox
from reconcile.core.errors import LockHeld, ReconcileError, UsageError
from reconcile.core.notes import Note
from reconcile.hooks import NotUploaded, auto_upload_to_gcs, sync_upsert
from reconcile.hooks.errors import Manner
from reconcile.hooks.wrapping import uploading
from tests.kit.small_project import open_records
from tests.kit.workflows import BASE, Studio, about, queueing, upsert_nothing

NOT_IMPORTED = ("google", "grpc", "msgspec", "typer", "rich", "sqlite3", "asyncio", "inspect", "logging", "typing")


# -- what a function may return --


def test_a_path_becomes_the_path_and_its_uri(studio: Studio) -> None:
    @auto_upload_to_gcs(asset_type="anime_image")
    def generate_character_image(char_id: str) -> str:
        return studio.make(f"characters/{char_id}.png", b"drawn just now")

    local_path, gcs_uri = generate_character_image("ai_hoshino")

    assert local_path == str(studio.folder / "output/characters/ai_hoshino.png")
    assert gcs_uri == f"{BASE}/characters/ai_hoshino.png"
    assert studio.entry("ai_hoshino")["anime_image"] == gcs_uri
    assert "characters/ai_hoshino.png" in studio.objects()


def test_only_what_the_call_made_is_uploaded(studio: Studio) -> None:
    before = studio.objects()

    @auto_upload_to_gcs()
    def dance(char_id: str) -> str:
        return studio.make(f"dances/dance_{char_id}_1.mp4")

    dance("ai_hoshino")
    assert studio.objects() - before == {"dances/dance_ai_hoshino_1.mp4"}


def test_several_paths_become_pairs(studio: Studio) -> None:
    made = [studio.make("characters/rem.png", b"again"), studio.make("dances/dance_rem_1.mp4")]
    pairs = [(made[0], f"{BASE}/characters/rem.png"), (made[1], f"{BASE}/dances/dance_rem_1.mp4")]

    for value in (list(made), tuple(made)):
        studio.make("characters/rem.png", b"r" * 100)
        assert auto_upload_to_gcs()(lambda value=value: value)() == pairs


@pytest.mark.parametrize("rest", [({"seed": 3},), ("a caption",), (None, 1), (["x"],)])
def test_a_tuple_that_begins_with_a_path_keeps_the_rest(studio: Studio, rest: tuple[Any, ...]) -> None:
    made = Path(studio.make("dances/dance_rem_1.mp4"))
    value = auto_upload_to_gcs()(lambda: (made, *rest))()

    assert value == (made, f"{BASE}/dances/dance_rem_1.mp4", *rest)
    assert value[0] is made


@pytest.mark.parametrize(("value", "expected"), [(None, None), ([], []), ((), [])])
def test_nothing_made_is_nothing_to_do(studio: Studio, value: Any, expected: Any) -> None:
    assert auto_upload_to_gcs(project=studio.folder)(lambda: value)() == expected
    assert not (studio.folder / ".reconcile").exists()


@pytest.mark.parametrize("value", [3, {"path": "x"}, b"bytes", [3], ({"seed": 1}, "x"), object()])
def test_what_names_no_file_is_an_error_that_has_the_value(studio: Studio, value: Any) -> None:
    with pytest.raises(NotUploaded, match="names no file") as caught:
        auto_upload_to_gcs(project=studio.folder)(lambda: value)()

    assert caught.value.result is value
    assert caught.value.code == "usage"


def test_a_value_that_names_no_file_is_passed_on_where_the_hook_only_warns(studio: Studio) -> None:
    with pytest.warns(UserWarning, match="names no file"):
        assert auto_upload_to_gcs(on_error="warn")(lambda: 3)() == (3, None)


def _takes(studio: Studio) -> tuple[str, str]:
    return studio.make("dances/dance_rem_1.mp4"), studio.make("dances/dance_rem_2.mp4")


def _with_gaps(studio: Studio) -> list[tuple[Any, Any]]:
    """What functions return whose second take, or first, or all failed, and what their callers get."""
    first, second = _takes(studio)
    uri, other = f"{BASE}/dances/dance_rem_1.mp4", f"{BASE}/dances/dance_rem_2.mp4"
    return [
        ([first, None], [(first, uri), (None, None)]),
        ([None, first], [(None, None), (first, uri)]),
        ([first, ""], [(first, uri), ("", None)]),
        ([first, None, second], [(first, uri), (None, None), (second, other)]),
        ((first, None, second), [(first, uri), (None, None), (second, other)]),
        ((None, first), [(None, None), (first, uri)]),
        ((Path(first), "", second), [(Path(first), uri), ("", None), (second, other)]),
        ([None, None], [(None, None), (None, None)]),
        ([""], [("", None)]),
        ((None,), [(None, None)]),
        ((first, None), (first, uri, None)),
        ((None, {"seconds": 12.5}), (None, None, {"seconds": 12.5})),
        ((None, "a caption"), (None, None, "a caption")),
        ((None, None), (None, None, None)),
        ("", ("", None)),
    ]


@pytest.mark.parametrize("on_error", ["raise", "warn", "queue"])
@pytest.mark.parametrize("number", range(15))
def test_a_gap_stays_a_gap(studio: Studio, number: int, on_error: Any, caplog: pytest.LogCaptureFixture) -> None:
    value, expected = _with_gaps(studio)[number]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert auto_upload_to_gcs(on_error=on_error, project=studio.folder)(lambda: value)() == expected
    assert caplog.text == ""
    assert studio.notes() == ()


def test_a_gap_keeps_nothing_from_being_noted(studio: Studio) -> None:
    first, second = _takes(studio)
    studio.cut_off()
    assert queueing()(about(lambda: [first, None, second]))("rem") == [(first, None), (None, None), (second, None)]
    assert [note.path for note in studio.notes()] == ["dances/dance_rem_1.mp4", "dances/dance_rem_2.mp4"]


def test_a_coroutine_functions_gap_stays_one_too(studio: Studio) -> None:
    @auto_upload_to_gcs(on_error="queue")
    async def remix(char_id: str) -> list[str | None]:
        return [studio.make("dances/dance_rem_1.mp4"), None]

    assert [uri for _, uri in asyncio.run(remix("rem"))] == [f"{BASE}/dances/dance_rem_1.mp4", None]


@pytest.mark.parametrize("strange", [3, {"seed": 1}, ["x.mp4"], b"x.mp4"])
def test_what_is_no_path_among_paths_is_told_when_the_others_were_handed_over(studio: Studio, strange: Any) -> None:
    first, second = _takes(studio)
    expected = [(first, f"{BASE}/dances/dance_rem_1.mp4"), (strange, None), (second, f"{BASE}/dances/dance_rem_2.mp4")]

    with pytest.warns(UserWarning, match="among its paths, which names no file"):
        assert auto_upload_to_gcs(on_error="warn")(about(lambda: [first, strange, second]))("rem") == expected
    with pytest.raises(NotUploaded, match="names no file") as caught:
        auto_upload_to_gcs()(about(lambda: [first, strange, second]))("rem")
    assert caught.value.uris == {path: uri for path, uri in expected if uri}
    assert caught.value.result == [first, strange, second]

    studio.cut_off()
    assert queueing()(about(lambda: [first, strange]))("rem") == [(first, None), (strange, None)]
    assert [note.path for note in studio.notes()] == ["dances/dance_rem_1.mp4"]


# -- kinds of functions --


def test_a_coroutine_function_stays_one(studio: Studio) -> None:
    @auto_upload_to_gcs()
    async def dance(char_id: str) -> str:
        """Dances."""
        await asyncio.sleep(0)
        return studio.make(f"dances/dance_{char_id}_1.mp4")

    assert inspect.iscoroutinefunction(dance)
    assert asyncio.run(dance("rem"))[1] == f"{BASE}/dances/dance_rem_1.mp4"
    assert (dance.__name__, dance.__doc__, list(inspect.signature(dance).parameters)) == (
        "dance",
        "Dances.",
        ["char_id"],
    )


def test_a_function_that_gives_an_awaitable_is_awaited(studio: Studio) -> None:
    async def dance(char_id: str) -> str:
        return studio.make(f"dances/dance_{char_id}_1.mp4")

    wrapped = auto_upload_to_gcs()(lambda char_id: dance(char_id))
    assert not inspect.iscoroutinefunction(wrapped)

    async def main() -> Any:
        return await wrapped("rem")

    assert asyncio.run(main())[1] == f"{BASE}/dances/dance_rem_1.mp4"


def test_partials_methods_and_callable_objects(studio: Studio) -> None:
    class Workflow:
        @auto_upload_to_gcs()
        def dance(self, char_id: str) -> str:
            return studio.make(f"dances/dance_{char_id}_1.mp4")

        @classmethod
        @auto_upload_to_gcs()
        def image(cls, char_id: str) -> str:
            return studio.make(f"characters/{char_id}_cosplay.png")

        async def __call__(self, char_id: str) -> str:
            return studio.make(f"dances/dance_{char_id}_2.mp4")

    workflow = Workflow()
    assert workflow.dance("rem")[1].endswith("dance_rem_1.mp4")
    assert Workflow.image("rem")[1].endswith("rem_cosplay.png")
    called = auto_upload_to_gcs()(workflow)
    assert inspect.iscoroutinefunction(called)
    assert asyncio.run(called("rem"))[1].endswith("dance_rem_2.mp4")
    partial = auto_upload_to_gcs()(functools.partial(Workflow.dance.__wrapped__, workflow))
    assert partial("rem")[1].endswith("dance_rem_1.mp4")


def test_a_generator_function_is_refused_when_it_is_decorated() -> None:
    def frames() -> Iterator[str]:
        yield "x"

    async def later() -> Any:
        yield "x"

    for function in (frames, later):
        with pytest.raises(UsageError, match="generator function"):
            auto_upload_to_gcs()(function)  # type: ignore[type-var]


@pytest.mark.parametrize("wrong", [3, "text", classmethod(print)])
def test_what_is_no_function_is_refused(wrong: Any) -> None:
    with pytest.raises(UsageError, match="not a function"):
        auto_upload_to_gcs()(wrong)


def test_options_that_cannot_be_right_are_refused_when_the_decorator_is_made() -> None:
    with pytest.raises(UsageError, match="on_error"):
        auto_upload_to_gcs(on_error="ignore")  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="char_id"):
        auto_upload_to_gcs(char_id="ai_hoshino")  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="on_error"):
        sync_upsert(on_error="ignore")  # type: ignore[call-overload]


def test_the_decorator_goes_without_parentheses_too(studio: Studio) -> None:
    @auto_upload_to_gcs
    def dance(char_id: str) -> str:
        """Dances."""
        return studio.make(f"dances/dance_{char_id}_1.mp4")

    path, uri = dance("rem")
    assert (Path(path).name, uri) == ("dance_rem_1.mp4", f"{BASE}/dances/dance_rem_1.mp4")
    assert dance.__doc__ == "Dances."


def test_a_type_goes_by_its_alias_and_its_label_in_any_case(studio: Studio) -> None:
    for name in ("character_cosplay", "Cosplay Image", "cosplay image", "cosplay_image"):
        draw = auto_upload_to_gcs(name)(lambda: studio.make("characters/rem_cosplay.png"))
        assert draw()[1] == f"{BASE}/characters/rem_cosplay.png"


# -- the functions' own exceptions --


class Crash(Exception):
    pass


@pytest.mark.parametrize("on_error", ["raise", "warn", "queue"])
def test_the_functions_own_exception_passes_and_nothing_is_done(studio: Studio, on_error: Any) -> None:
    error = Crash("out of memory")

    @auto_upload_to_gcs(on_error=on_error)
    def now(char_id: str) -> str:
        raise error

    @auto_upload_to_gcs(on_error=on_error)
    async def later(char_id: str) -> str:
        raise error

    upsert = sync_upsert(now.__wrapped__, on_error=on_error)  # type: ignore[attr-defined]
    for call in (lambda: now("rem"), lambda: asyncio.run(later("rem")), lambda: upsert("rem")):
        with pytest.raises(Crash) as caught:
            call()
        assert caught.value is error
        assert caught.value.__context__ is None
    assert not (studio.folder / ".reconcile").exists()


def test_a_wrong_call_is_the_functions_own_error() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        auto_upload_to_gcs(on_error="queue")(about(lambda: "x"))()


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
        (None, "elsewhere/x.mp4", "no rule takes elsewhere/x.mp4"),
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


# -- what to do where the cloud does not do its part --


def test_raise_has_what_the_function_returned(studio: Studio) -> None:
    studio.cut_off()
    made = studio.make("dances/dance_rem_1.mp4")
    with pytest.raises(ReconcileError) as caught:
        auto_upload_to_gcs()(lambda: (made, {"seed": 1}))()

    error = caught.value
    assert isinstance(error, NotUploaded)
    assert isinstance(error.__cause__, ReconcileError)
    assert (error.path, error.result, error.uris) == (made, (made, {"seed": 1}), {})
    assert made in str(error)
    assert studio.notes() == ()


def test_warn_warns_logs_and_gives_no_uri(studio: Studio, caplog: pytest.LogCaptureFixture) -> None:
    studio.cut_off()
    made = studio.make("dances/dance_rem_1.mp4")
    with caplog.at_level(logging.WARNING), pytest.warns(UserWarning, match="is on disk") as caught:
        assert auto_upload_to_gcs(on_error="warn")(lambda: made)() == (made, None)

    assert caught[0].filename == __file__
    assert [record.name for record in caplog.records] == ["reconcile.hooks"]


def test_queue_notes_the_file_and_the_next_run_takes_it(studio: Studio) -> None:
    studio.cut_off()

    @queueing()
    def remix(char_id: str) -> tuple[str, int]:
        return studio.make("remixes/shared/x/REMIX_1.mp4"), 7

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert remix("rem") == (str(studio.folder / "output/remixes/shared/x/REMIX_1.mp4"), None, 7)
    assert studio.notes() == (Note("remixes/shared/x/REMIX_1.mp4", "rem"),)

    studio.mend()
    os.utime(studio.folder / "output/remixes/shared/x/REMIX_1.mp4", (1, 1))
    with Project.open(studio.folder).opened() as project:
        assert apply(plan(project, char_ids=["rem"])).exit_code == 0
    assert studio.entry("rem")["deliverable"] == f"{BASE}/remixes/shared/x/REMIX_1.mp4"
    with Project.open(studio.folder).opened() as project:
        again = plan(project, char_ids=["rem"])
        assert again.actions == ()
        assert len(studio.notes()) == 1, "a plan deletes nothing"
        apply(again)
    assert studio.notes() == ()


def test_the_next_call_for_the_same_character_takes_what_waits(studio: Studio) -> None:
    @queueing()
    def remix(char_id: str, number: int) -> str:
        return studio.make(f"remixes/shared/x/REMIX_{number}.mp4")

    studio.cut_off()
    remix("rem", 1)
    studio.mend()
    os.utime(studio.folder / "output/remixes/shared/x/REMIX_1.mp4", (1, 1))
    assert remix("rem", 2)[1] == f"{BASE}/remixes/shared/x/REMIX_2.mp4"
    assert {"remixes/shared/x/REMIX_1.mp4", "remixes/shared/x/REMIX_2.mp4"} <= studio.objects()


def test_where_all_went_well_nothing_stays_in_the_outbox(studio: Studio) -> None:
    dance = auto_upload_to_gcs(on_error="queue")(lambda char_id: studio.make(f"dances/dance_{char_id}_1.mp4"))
    assert dance("rem")[1] == f"{BASE}/dances/dance_rem_1.mp4"
    assert studio.notes() == ()


def test_a_cloud_that_failed_just_now_is_given_a_rest(studio: Studio, caplog: pytest.LogCaptureFixture) -> None:
    dance = queueing(rest=3600.0)(lambda number: studio.make(f"dances/dance_rem_{number}.mp4"))
    studio.cut_off()
    assert dance(1)[1] is None
    studio.mend()
    before = studio.objects()
    assert dance(2)[1] is None
    assert studio.objects() == before
    assert [note.path for note in studio.notes()] == ["dances/dance_rem_1.mp4", "dances/dance_rem_2.mp4"]
    assert "a moment ago" in caplog.text

    rested = queueing(rest=0.0)(lambda: studio.make("dances/dance_rem_3.mp4"))
    assert rested()[1] is not None
    assert dance(4)[1] is not None  # it is known to be back


def test_a_call_that_the_rules_contradict_is_not_queued(studio: Studio, caplog: pytest.LogCaptureFixture) -> None:
    wrong = auto_upload_to_gcs("anime_image", on_error="queue")(lambda: studio.make("dances/dance_rem_1.mp4"))
    assert wrong() == (str(studio.folder / "output/dances/dance_rem_1.mp4"), None)
    assert studio.notes() == ()
    assert "the decorator says" in caplog.text


def test_an_outbox_that_cannot_be_written_loses_nothing(studio: Studio, caplog: pytest.LogCaptureFixture) -> None:
    (studio.folder / ".reconcile").write_text("a file in its place")
    made = studio.make("dances/dance_rem_1.mp4")
    assert queueing()(lambda: made)() == (made, None)
    assert "outbox" in caplog.text


def test_a_project_without_rules_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.mp4").write_bytes(b"x")
    with pytest.raises(NotUploaded, match="no rules file") as caught:
        auto_upload_to_gcs()(lambda: "x.mp4")()
    assert caught.value.exit_code == 78
    assert auto_upload_to_gcs(on_error="queue")(lambda: "x.mp4")() == ("x.mp4", None)


# -- another run --


def test_another_run_is_waited_for(studio: Studio) -> None:
    made = studio.make("dances/dance_rem_1.mp4")
    with Project.open(studio.folder).opened() as project, project.lock().acquire() as lock:
        timer = threading.Timer(0.3, lock.close)
        timer.start()
        assert auto_upload_to_gcs()(lambda: made)()[1] is not None
        timer.join()


def test_another_run_that_does_not_end_is_an_error_that_says_who(studio: Studio) -> None:
    made = studio.make("dances/dance_rem_1.mp4")
    manner = Manner("raise", None, lock=0.05)
    hook = uploading(None, None, manner)
    with Project.open(studio.folder).opened() as project, project.lock().acquire():
        with pytest.raises(NotUploaded, match=f"process {os.getpid()}") as caught:
            hook(lambda: made)()
        assert isinstance(caught.value.__cause__, LockHeld)
        assert queueing()(lambda: made)() == (made, None)
    assert [note.path for note in studio.notes()] == ["dances/dance_rem_1.mp4"]
    assert queueing(rest=3600.0)(lambda: made)()[1] is not None  # the cloud did not fail, so it needs no rest


def test_a_queued_call_waits_for_nothing_that_is_silent(studio: Studio, caplog: pytest.LogCaptureFixture) -> None:
    made = studio.make("dances/dance_rem_1.mp4")
    with Project.open(studio.folder).opened() as project, project.lock().acquire():
        assert queueing(silence=0.1, lock=3600.0)(lambda: made)() == (made, None)
        assert [note.path for note in studio.notes()] == ["dances/dance_rem_1.mp4"]
    assert "nothing was heard" in caplog.text
    for thread in threading.enumerate():
        if thread.name == "reconcile-hand-over":
            thread.join(30)
            assert not thread.is_alive()


def test_calls_from_several_threads(studio: Studio) -> None:
    @auto_upload_to_gcs()
    def dance(char_id: str, number: int) -> str:
        return studio.make(f"dances/dance_{char_id}_{number}.mp4")

    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(dance, ["rem", "ai_hoshino"] * 3, range(6)))
    assert {uri.removeprefix(f"{BASE}/") for _, uri in made} <= studio.objects()


def test_the_event_loop_goes_on_meanwhile(studio: Studio) -> None:
    @auto_upload_to_gcs()
    async def dance(char_id: str) -> str:
        return studio.make(f"dances/dance_{char_id}_1.mp4")

    async def main() -> tuple[str, str]:
        with Project.open(studio.folder).opened() as project:
            lock = project.lock().acquire()
            task = asyncio.create_task(dance("rem"))
            while not (studio.folder / "output/dances/dance_rem_1.mp4").exists():
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            lock.close()  # reached only where the call does not hold the loop while it waits for the lock
            return await asyncio.wait_for(task, 30)

    assert asyncio.run(main())[1] == f"{BASE}/dances/dance_rem_1.mp4"


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


# -- a cloud that failed once --


def test_a_failure_of_long_ago_shortens_no_patience(studio: Studio, caplog: pytest.LogCaptureFixture) -> None:
    Outbox(studio.folder, lambda: time.time() - 86_400).failed()
    assert queueing(doubt=0.0)(lambda: studio.make("dances/dance_rem_1.mp4"))()[1] is not None


def test_a_failure_is_not_renewed_by_a_call_that_had_less_time(studio: Studio) -> None:
    made = studio.make("dances/dance_rem_1.mp4")
    marker = studio.folder / ".reconcile" / "outbox" / "failed"
    with Project.open(studio.folder).opened() as project, project.lock().acquire():
        project.outbox.failed()
        before = marker.read_bytes()
        assert queueing(doubt=0.05, lock=3600.0)(lambda: made)() == (made, None)
        assert marker.read_bytes() == before
    for thread in threading.enumerate():
        if thread.name == "reconcile-hand-over":
            thread.join(30)
    assert marker.read_bytes() == before
    assert queueing()(lambda: made)()[1] is not None
    assert not marker.exists()


def test_where_the_outbox_cannot_be_written_the_file_is_tried_all_the_same(
    studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    (studio.folder / ".reconcile").mkdir()
    (studio.folder / ".reconcile" / "outbox").write_text("a file in its place")
    made = studio.make("dances/dance_rem_1.mp4")
    assert queueing()(lambda: made)() == (made, f"{BASE}/dances/dance_rem_1.mp4")
    assert "outbox" in caplog.text


# -- the import, and the types --


def test_importing_the_hooks_imports_nothing_heavy() -> None:
    code = f"import sys, reconcile.hooks; print(*(name for name in {NOT_IMPORTED!r} if name in sys.modules))"
    # -S: what site imports for an editable install is not ours.
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.split() == []


def test_decorating_imports_nothing_heavy_either() -> None:
    code = (
        "import sys; from reconcile.hooks import *\n"
        "auto_upload_to_gcs(asset_type='anime_image', on_error='queue')(lambda char_id: 'x'); sync_upsert(lambda: 1)\n"
        f"print(*(name for name in {NOT_IMPORTED!r} if name in sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.split() == []


def test_what_the_hooks_export_is_seen_before_it_is_named() -> None:
    assert set(hooks.__all__) <= set(dir(hooks))
    assert all(callable(getattr(hooks, name)) for name in hooks.__all__)
    with pytest.raises(AttributeError, match="nothing_of_ours"):
        hooks.nothing_of_ours  # noqa: B018


def test_type_checkers_see_through_the_decorators() -> None:
    root = Path(__file__).resolve().parents[2]
    types = root / "tests" / "typing" / "hooks_types.py"
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(types)],
        capture_output=True,
        text=True,
        cwd=root,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_python_that_the_documentation_shows_is_python() -> None:
    import ast
    import re

    text = (Path(__file__).resolve().parents[2] / "docs" / "hooks.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 7
    for block in blocks:
        compile(block, "docs/hooks.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
