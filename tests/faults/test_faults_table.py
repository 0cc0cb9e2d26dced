"""The table of faults is true: each test that it names is there, and each fault test is in it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
TABLE = TESTS.parent / "docs" / "faults.md"


def rows() -> list[list[str]]:
    """The cells of the tables' rows."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| \d+ \|", line)]


def named() -> set[str]:
    """The tests that the table names, as ``folder/file.py::test``."""
    return {name for *_, cell in rows() for name in re.findall(r"`([^`]+)`", cell)}


def found_in(path: Path) -> set[str]:
    """The tests of a file, by the same names."""
    found = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    names = (node.name for node in found if isinstance(node, ast.FunctionDef))
    return {f"{path.relative_to(TESTS).as_posix()}::{name}" for name in names if name.startswith("test_")}


def test_every_fault_has_a_number_a_safeguard_and_a_test() -> None:
    assert [int(row[0]) for row in rows()] == list(range(1, len(rows()) + 1))
    assert [row[0] for row in rows() if len(row) != 4 or not all(row) or "::test_" not in row[3]] == []


def test_every_test_that_the_table_names_is_there() -> None:
    there: set[str] = set()
    for name in {each.partition("::")[0] for each in named()}:
        there |= found_in(TESTS / name)
    assert sorted(named() - there) == []


def test_every_fault_test_is_in_the_table() -> None:
    ours = (path for path in (TESTS / "faults").glob("test_faults_*.py") if path != Path(__file__).resolve())
    there = {test for path in ours for test in found_in(path)}
    assert there
    assert sorted(there - named()) == []
