"""The pipeline's own JSON database: gs:// URIs where the rules allow it, and nothing else of the file changed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reconcile.demo import build
from tests.system.workshop import reconcile


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build(tmp_path / "project")
    rules = tmp_path / "project" / "rules" / "asset_map.toml"
    rules.write_text(rules.read_text("utf-8").replace("rewrite = false", "rewrite = true"), encoding="utf-8")
    return tmp_path / "project"


def test_only_the_paths_in_it_change(folder: Path) -> None:
    path = folder / "data" / "characters.json"
    before = path.read_bytes().replace(b"\n", b"\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + before)
    run = reconcile(folder, "apply", "--yes", "--json")
    assert run.code == 0, run.out
    rewrites = [each for each in run.document["outcomes"] if each["kind"] == "rewrite_local_db"]
    assert len(rewrites) >= 6
    assert {each["outcome"] for each in rewrites} == {"applied"}

    old, new = before.decode().split("\r\n"), path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode().split("\r\n")
    assert path.read_bytes().startswith(b"\xef\xbb\xbf{\r\n")
    changed = [(one, other) for one, other in zip(old, new, strict=True) if one != other]
    assert len(changed) == len(rewrites)
    for one, other in changed:
        assert re.match(r'\s+"\w+": "([A-Za-z]:|output/)', one)
        assert re.match(r'\s+"\w+": "gs://my-bucket/anime_dance/', other)
        assert one.partition('": "')[0] == other.partition('": "')[0]
    assert any("dance_rem_lost" in line for line in new)

    written = path.read_bytes()
    again = reconcile(folder, "plan", "--json", "--detailed-exitcode")
    assert (again.code, again.document["actions"]) == (0, [])
    assert reconcile(folder, "apply", "--yes", "--quiet").code == 0
    assert path.read_bytes() == written
