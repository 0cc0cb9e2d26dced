"""The Dockerfile, as far as it can be held without a container engine."""

from __future__ import annotations

import json
import shlex
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINES = [
    line.split(" ", 1)
    for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def of(instruction: str) -> list[str]:
    return [rest for name, rest in LINES if name == instruction]


def test_what_is_copied_is_there_and_is_sent_to_the_engine() -> None:
    copied = [source for line in of("COPY") for source in line.split()[:-1]]
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert source in sent


def test_what_the_package_is_built_from_is_copied() -> None:
    copied = {source for line in of("COPY") for source in line.split()[:-1]}
    needed = {"pyproject.toml", "reconcile", PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]}
    needed |= set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"])
    assert needed <= copied


def test_only_locked_versions_are_installed_before_the_program_itself() -> None:
    first, second = (shlex.split(line) for line in of("RUN"))
    assert "--require-hashes" in first
    assert [first[at + 1] for at, word in enumerate(first) if word == "-r"] == [
        "requirements/run.txt",
        "requirements/build.txt",
    ]
    assert {"--no-deps", "--no-build-isolation", "."} <= set(second)


def test_the_program_is_what_runs_and_not_as_root() -> None:
    [entry] = of("ENTRYPOINT")
    assert json.loads(entry)[0] in PROJECT["project"]["scripts"]
    assert of("USER") == ["1000:1000"]
