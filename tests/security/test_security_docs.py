"""docs/security.md names the test that holds each safeguard: each of them is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
DEFINED = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^\s*def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
}
OWN = {
    name
    for path in Path(__file__).parent.glob("test_*.py")
    for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
}
ROWS = [line for line in TEXT.splitlines() if line.startswith("| ") and "`test_" in line]


def test_there_are_threats() -> None:
    tables = re.findall(r"^\| threat \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    assert sum(table.count("\n") for table in tables) == len(ROWS) > 30


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_a_threat_names_tests_that_are_there(row: str) -> None:
    named = re.findall(r"`(test_\w+)`", row.rsplit("|", 2)[1])
    assert named
    assert set(named) <= DEFINED


def test_every_test_of_this_folder_holds_a_threat() -> None:
    told = set(re.findall(r"`(test_\w+)`", TEXT))
    about_this_page = {name for name in OWN if name.startswith(("test_there_are", "test_a_threat", "test_every_test"))}
    assert OWN - told - about_this_page == set()
