"""A small project, and the command line run on it in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from reconcile.__main__ import main
from tests.unit.small_project import make_project
from tools import schemas


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "studio")


class Answer:
    """What a command answered."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    def document(self, kind: str) -> Any:
        """The one JSON document on stdout, held against its schema."""
        found = json.loads(self.out)
        jsonschema.validate(found, schemas.schema(kind), cls=jsonschema.Draft202012Validator)
        return found


@pytest.fixture
def run(project: Path, capfd: pytest.CaptureFixture[str]) -> Any:
    def command(*arguments: str, folder: Path = project) -> Answer:
        capfd.readouterr()
        code = main(["-C", str(folder), *arguments])
        return Answer(code, *capfd.readouterr())

    return command
