"""Which program ``reconcile run`` starts: on Windows the one that a shell finds, elsewhere what the system finds."""

from __future__ import annotations

import pytest

from reconcile.cli.run import program

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
