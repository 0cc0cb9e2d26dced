"""Without the extras nothing of them is imported, and what needs one says which."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from reconcile.core.errors import ExitCode
from tests.kit.small_project import make_project
from tests.unit.conftest import Answer

EXTRAS = ("apache_beam", "pyarrow")


@pytest.fixture
def run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Any:
    folder = make_project(tmp_path / "studio")

    def command(*arguments: str) -> Answer:
        from reconcile.__main__ import main

        capfd.readouterr()
        code = main(["-C", str(folder), *arguments])
        return Answer(code, *capfd.readouterr())

    return command


class Recorder:
    """Sees which modules are asked for, and finds none."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        self.asked.append(name)


def test_the_beam_engine_says_which_extra_it_needs(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.startswith("reconcile.pipeline.beam_")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    answer = run("plan", "--engine", "beam", "--", "--runner", "DataflowRunner")
    assert answer.code == ExitCode.USAGE
    assert "--engine beam needs Apache Beam" in answer.err
    assert "pip install 'reconcile[beam]'" in answer.err


def test_what_is_for_many_machines_imports_nothing_of_the_extras(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    monkeypatch.setattr(sys, "meta_path", [recorder, *sys.meta_path])
    scan, where = str(tmp_path / "scan"), str(tmp_path / "plan")
    assert run("scan", "--out", scan, "--name", "one").code == 0
    assert run("plan", "--files-from", scan, "--out", where, "--shards", "2").code == 0
    assert run("apply", where, "--shard", "1/2", "--machine", "one", "--yes").code == 0
    assert run("apply", where, "--merge-reports").code != ExitCode.USAGE
    assert not [name for name in (*recorder.asked, *sys.modules) if name.partition(".")[0] in EXTRAS]
