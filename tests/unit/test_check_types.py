"""``tools.check_types``: types hold for every system, and not only for the one that checks them."""

from __future__ import annotations

from pathlib import Path

from tools.check_types import check


def test_a_name_that_only_one_system_lacks_is_found_on_any_other(tmp_path: Path) -> None:
    (tmp_path / "pair.py").write_text(
        "import os, sys\nos.getuid()\nif sys.platform == 'win32':\n    os.startfile('a')\n", encoding="utf-8"
    )
    found = check(tmp_path, "pair.py", systems=("linux", "win32"))
    assert {line.split(" error: ")[0]: systems for line, systems in found.items() if " error: " in line} == {
        "pair.py:2:": ["win32"]
    }
