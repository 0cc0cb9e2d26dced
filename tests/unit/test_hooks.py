"""The hooks that workflow code imports, on a real project folder with embedded stores."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconcile import hooks
from reconcile.core.errors import UsageError
from reconcile.hooks import NotUploaded, auto_upload_to_gcs, sync_upsert
from tests.kit.workflows import BASE, Studio, about, queueing

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
