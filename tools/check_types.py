"""Checks the types for every system that the program runs on, whichever one this is: a name that Windows lacks is an
error in the run for Windows.

``python -m tools.check_types`` prints what mypy finds, each line once; ``make check`` runs it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SYSTEMS = ("linux", "darwin", "win32")


def check(root: Path, *packages: str, systems: Sequence[str] = SYSTEMS) -> dict[str, list[str]]:
    """What mypy finds in these packages, and the systems for which it does; nothing if all is well. The runs are
    parallel, each with a cache of its own, because a cache belongs to one system."""
    runs = {
        system: subprocess.Popen(
            [sys.executable, "-m", "mypy", "--platform", system, "--cache-dir", f".mypy_cache/{system}", *packages],
            cwd=root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for system in systems
    }
    found: dict[str, list[str]] = {}
    for system, run in runs.items():
        said, _ = run.communicate()
        if run.returncode:
            for line in said.splitlines():
                found.setdefault(line, []).append(system)
    return found


def main() -> int:
    """Prints what is wrong, and for which systems if not for all."""
    found = check(ROOT, "reconcile", "tools")
    for line, systems in found.items():
        sys.stderr.write(line if len(systems) == len(SYSTEMS) else f"{line} ({', '.join(systems)})")
        sys.stderr.write("\n")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
