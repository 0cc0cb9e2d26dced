"""A walk of a part of the files gives what the whole walk says of them, and so does one that only names them."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.adapters.local.settle import FirstLooks
from reconcile.adapters.local.store import LocalFiles
from tests.kit.tree import Cache, an_hour_on

# The Kelvin and the angstrom sign, composed and decomposed letters, and letters that fold to two of ASCII.
LETTERS = [
    "k",
    "K",
    "\u212a",
    "\u212b",
    "\xe5",
    "a\u030a",
    "A",
    "a",
    "e\u0301",
    "\xe9",
    "e",
    "\u0130",
    "i",
    "I",
    "i\u0307",
]
LETTERS += ["\xdf", "ss", "\ufb01", "fi", "1", "_", ".", "[", "\u0301"]
parts = st.lists(st.sampled_from(LETTERS), min_size=1, max_size=3).map("".join)
paths_of = st.sets(st.lists(parts, min_size=1, max_size=3).map("/".join), max_size=14)


def whole_tree(root: Path, paths: set[str]) -> LocalFiles:
    for path in sorted(paths, key=len, reverse=True):
        file = root / path
        if not file.exists() and not any(part in (".", "..") for part in path.split("/")):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(path)
    return LocalFiles(root, ignore=["*.tmp"], looks=FirstLooks(0), cache=Cache(), clock=an_hour_on)


@pytest.mark.skipif(sys.platform != "linux", reason="the other systems take twins for one name")
@settings(max_examples=150, deadline=None)
@given(paths=paths_of, asked=st.lists(parts | st.lists(parts, min_size=2, max_size=3).map("/".join), max_size=3))
def test_a_part_of_the_files_is_seen_as_in_the_whole_with_its_twins(paths: set[str], asked: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = whole_tree(Path(folder), paths)
        whole = list(files.walk())
        found = list(files.walk(asked))
        names = list(files.names(asked))
    assert found == [file for file in whole if file.path.startswith(tuple(asked))]
    assert names == [file.path for file in found]


@pytest.mark.skipif(sys.platform != "linux", reason="the other systems take twins for one name")
def test_a_twin_outside_the_part_that_is_asked_for_is_told(tmp_path: Path) -> None:
    files = whole_tree(tmp_path, {"Characters/\u212aai.png", "characters/kai.png", "characters/rem.png"})
    assert [(each.path, each.twin) for each in files.walk(["characters/ka"])] == [
        ("characters/kai.png", "Characters/\u212aai.png")
    ]
