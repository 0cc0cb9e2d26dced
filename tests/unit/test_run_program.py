"""Which program ``reconcile run`` starts: on Windows the one that a shell finds, elsewhere what the system finds."""

from __future__ import annotations

import pytest

from reconcile.__main__ import status
from reconcile.cli.run import program, shell_code

FOUND = {
    "python": r"C:\studio\.venv\Scripts\python.EXE",
    "npm": r"C:\node\npm.CMD",
    r".\render": r".\render.BAT",
}


@pytest.mark.parametrize("name", FOUND)
def test_on_windows_a_command_is_looked_for_as_a_shell_does(name: str) -> None:
    assert program(name, "win32", FOUND.get) == FOUND[name]


def test_on_windows_a_command_that_is_not_found_is_left_to_the_system_to_refuse() -> None:
    assert program("no_such", "win32", FOUND.get) == "no_such"


@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_elsewhere_the_system_looks_for_it(system: str) -> None:
    assert program("python", system, FOUND.get) == "python"


@pytest.mark.parametrize(
    ("code", "shown"), [(0, 0), (3, 3), (-9, 137), (-2, 130), (0xC000013A, 130), (0xC0000005, 0xC0000005)]
)
def test_the_code_of_a_workflow_is_the_one_that_a_shell_has(code: int, shown: int) -> None:
    assert shell_code(code) == shown


@pytest.mark.parametrize("code", [0, 1, 78, 255, 0x7FFFFFFF, 0xC0000005, 0xFFFFFFFF])
def test_a_code_of_32_bits_keeps_its_bits_on_the_way_out(code: int) -> None:
    assert -(1 << 31) <= status(code) < 1 << 31
    assert status(code) & 0xFFFFFFFF == code
