"""Decorated functions in process pools, as docs/hooks.md shows them and in every other form that programs have."""

from __future__ import annotations

import ast
import copy
import inspect
import json
import multiprocessing
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reconcile.hooks import auto_upload_to_gcs, sync_upsert
from tests.kit.workflows import BASE, Studio

ROOT = Path(__file__).resolve().parents[2]
STARTS = [name for name in ("spawn", "fork", "forkserver") if name in multiprocessing.get_all_start_methods()]
SHOWN = ["character_gen", "main_pipeline", "audio_pipeline", "watermark_job", "batch_soundtrack_remix"]
"""The workflows of the documentation, in its order."""

DATABASE = """
def upsert_asset(char_id, asset):
    with open("upserted.txt", "a") as file:
        file.write(f"{char_id} {sorted(asset)}\\n")
"""
PRELUDE = """
from reconcile.hooks import auto_upload_to_gcs, sync_upsert
from pipeline_db import upsert_asset
output_path = "output/characters/ai_hoshino.png"
marked_path = "output/dances/dance_ai_hoshino_1.mp4"
kpop_path = "output/remixes/ai_hoshino_x/result/[kpop]_x.mp4"
orig_path = "output/remixes/ai_hoshino_x/result/[orig]_x.mp4"
"""
MAIN = """
import asyncio, functools, importlib, json, multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
from types import SimpleNamespace

def awaited(function, *arguments):
    return asyncio.run(function(*arguments))

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with ProcessPoolExecutor(2, context) as pool:
        running = [pool.submit(*call) for call in calls()]
        for each in running:
            print(json.dumps(each.result(120)))
"""
SHOWN_CALLS = f"""
{"".join(f"import {name}{chr(10)}" for name in SHOWN)}
def calls():
    asset = {{"title": "primary", "anime_image": character_gen.output_path}}
    return [
        (character_gen.generate_character_image, "ai_hoshino", "a prompt"),
        (character_gen.upsert_asset, "ai_hoshino", asset),
        (main_pipeline.upsert_asset, "ai_hoshino", asset),
        (audio_pipeline.make_music, "ai_hoshino", "idol"),
        (watermark_job.watermark, SimpleNamespace(char_id="ai_hoshino")),
        (awaited, batch_soundtrack_remix.remix, "ai_hoshino", "a video"),
    ]
"""
KINDS = """
import functools, sys
from reconcile.hooks import auto_upload_to_gcs, sync_upsert
from pipeline_db import upsert_asset as upsert_locally

NAMES = iter(range(100))

def made(name):
    from pathlib import Path
    path = Path("output/dances") / f"dance_rem_{name}.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)
    return str(path)

class Workflow:
    @auto_upload_to_gcs()
    def method(self, name): return made(name)

    @classmethod
    @auto_upload_to_gcs()
    def of_class(cls, name): return made(name)

    @staticmethod
    @auto_upload_to_gcs(char_id=lambda arguments: "rem")
    def static(name): return made(name)

    @auto_upload_to_gcs()
    async def later(self, name): return made(name)

class Called:
    def __call__(self, name): return made(name)

def plain(name): return made(name)

@auto_upload_to_gcs()
@functools.lru_cache
def cached(name): return made(name)

renamed = auto_upload_to_gcs(on_error="queue")(plain)
of_lambda = auto_upload_to_gcs(char_id=lambda arguments: "rem")(lambda name: made(name))
of_partial = auto_upload_to_gcs()(functools.partial(plain, "partial"))
of_object = auto_upload_to_gcs()(Called())
of_method = auto_upload_to_gcs()(Called().__call__)
twice = sync_upsert(on_error="warn")(sync_upsert(upsert_locally))
"""
KINDS_CALLS = """
import kinds
def calls():
    workflow = kinds.Workflow()
    return [
        (workflow.method, "method"), (kinds.Workflow.of_class, "of_class"), (kinds.Workflow.static, "static"),
        (awaited, workflow.later, "later"), (kinds.cached, "cached"), (kinds.renamed, "renamed"),
        (kinds.of_lambda, "of_lambda"), (kinds.of_partial,), (kinds.of_object, "of_object"),
        (kinds.of_method, "of_method"), (functools.partial(kinds.renamed, name="of_decorated"),),
        (functools.partial(kinds.Workflow.method, workflow), "unbound"),
        (kinds.twice, "rem", {"title": "primary", "icon": kinds.made("icon")}),
    ]
"""


def shown() -> dict[str, str]:
    """What the documentation adds to each workflow, without the calls that stand below it."""
    text = (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8")
    blocks = [block.partition("# after\n")[2] for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]
    out: dict[str, str] = {}
    for name, block in zip(SHOWN, filter(None, blocks), strict=True):
        nodes = compile(block, name, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT).body
        kept: list[ast.stmt] = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
        kept += [node for node in nodes if isinstance(node, ast.FunctionDef)]
        kept += [node for node in nodes if isinstance(node, ast.AsyncFunctionDef)]
        kept += [node for node in nodes if isinstance(node, ast.Assign) and "sync_upsert" in ast.unparse(node)]
        out[name] = "\n\n".join(map(ast.unparse, kept))
    return out


def run(studio: Studio, start: str, calls: str) -> list[Any]:
    (studio.folder / "pipeline_db.py").write_text(DATABASE)
    (studio.folder / "main.py").write_text(calls + MAIN)
    done = subprocess.run(
        [sys.executable, "main.py", start], capture_output=True, text=True, timeout=300, check=False, cwd=studio.folder
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("start", STARTS)
def test_what_the_documentation_shows_works_in_a_process_pool(studio: Studio, start: str) -> None:
    for name, text in shown().items():
        (studio.folder / f"{name}.py").write_text(PRELUDE + text)
    made = {
        "image": "characters/ai_hoshino.png",
        "music": "remixes/ai_hoshino_idol/result/generated_kpop_music.mp3",
        "dance": "dances/dance_ai_hoshino_1.mp4",
        "kpop": "remixes/ai_hoshino_x/result/[kpop]_x.mp4",
        "orig": "remixes/ai_hoshino_x/result/[orig]_x.mp4",
    }
    for path in made.values():
        studio.make(path)
    pairs = {name: [f"output/{path}", f"{BASE}/{path}"] for name, path in made.items()}

    assert run(studio, start, SHOWN_CALLS) == [
        pairs["image"],
        None,
        None,
        pairs["music"],
        [*pairs["dance"], {"seconds": 12.5}],
        [pairs["kpop"], pairs["orig"]],
    ]
    assert set(made.values()) <= studio.objects()
    assert (studio.folder / "upserted.txt").read_text().count("ai_hoshino") == 2
    assert studio.entry("ai_hoshino")["anime_image"] == pairs["image"][1]


@pytest.mark.parametrize("start", STARTS)
def test_functions_of_every_kind_work_in_a_process_pool(studio: Studio, start: str) -> None:
    (studio.folder / "kinds.py").write_text(KINDS)
    *answers, upserted = run(studio, start, KINDS_CALLS)

    assert upserted is None
    assert len(answers) == 12
    assert [uri for path, uri in answers] == [path.replace("output", BASE, 1) for path, _ in answers]
    assert studio.entry("rem")["icon"] == f"{BASE}/dances/dance_rem_icon.mp4"


# -- without a pool --


@auto_upload_to_gcs()
def dance(char_id: str) -> str:
    """Dances."""
    return f"output/dances/dance_{char_id}.mp4"


def plain(char_id: str, asset: dict[str, Any]) -> int:
    return 7


upsert = sync_upsert(plain)
by_lambda = auto_upload_to_gcs()(lambda: "x")


@pytest.mark.parametrize("wrapped", [dance, by_lambda])
def test_what_a_module_names_is_the_same_object_when_it_comes_back(wrapped: Any) -> None:
    assert pickle.loads(pickle.dumps(wrapped)) is wrapped


@pytest.mark.parametrize("wrapped", [dance, upsert, by_lambda])
def test_a_copy_is_the_function_itself_as_of_any_function(wrapped: Any) -> None:
    assert copy.copy(wrapped) is wrapped
    assert copy.deepcopy([wrapped])[0] is wrapped


def test_a_function_under_another_name_comes_back_as_one_that_does_the_same() -> None:
    back: Any = pickle.loads(pickle.dumps(upsert))
    assert back.__wrapped__ is plain
    assert back.__qualname__ == "plain"


def test_a_function_that_is_not_wrapped_yet_on_the_other_side_is_wrapped_there(monkeypatch: pytest.MonkeyPatch) -> None:
    here = sys.modules[__name__]
    monkeypatch.setattr(here, "plain", sync_upsert(plain, on_error="queue"))
    sent = pickle.dumps(here.plain)
    monkeypatch.undo()

    back = pickle.loads(sent)
    assert back is not plain
    assert back.__wrapped__ is plain
    assert pickle.dumps(back)


def test_a_name_that_is_not_there_on_the_other_side_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    here = sys.modules[__name__]
    sent = pickle.dumps(dance)
    monkeypatch.delattr(here, "dance")
    with pytest.raises(AttributeError, match="dance"):
        pickle.loads(sent)


def test_a_function_of_a_function_is_refused_with_what_to_do() -> None:
    def local() -> str:
        return "x"

    with pytest.raises(pickle.PicklingError, match="define it at the top of a module"):
        pickle.dumps(auto_upload_to_gcs()(local))


def test_a_decorated_function_looks_like_the_function_itself() -> None:
    assert (dance.__name__, dance.__qualname__, dance.__module__, dance.__doc__) == (
        "dance",
        "dance",
        __name__,
        "Dances.",
    )
    assert list(inspect.signature(dance).parameters) == ["char_id"]
    assert inspect.getsource(dance).startswith("@auto_upload_to_gcs()")
    assert not inspect.iscoroutinefunction(dance)
    assert callable(dance)
